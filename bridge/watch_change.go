package bridge

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxChangeText is how many bytes of a text of a bug go into a [Change]. Metadata are
// words and a title. As JSON, which may need six bytes for one, [WatchBatch] changes
// stay below 8 MiB, so that no log has to refuse them.
const MaxChangeText = 1 << 10

// sighting is a bug that a poll found, and what it comes to.
type sighting struct {
	bug  Bug
	data map[string]any
	key  string
	mark string
}

// sight makes a sighting of a bug.
func sight(bug Bug) sighting {
	s := sighting{bug: bug, data: changeData(bug)}
	s.key = changeKey(bug, s.data)
	s.mark = markOf(s.key)
	return s
}

// change is what the log is told.
func (s *sighting) change(tracker string, at time.Time) Change {
	kind := KindBugModified
	if !s.bug.Created.IsZero() && s.bug.Created.Equal(s.bug.Modified) {
		kind = KindBugCreated
	}
	return Change{Key: s.key, Time: at.UTC(), Kind: kind, Tracker: tracker, Bug: s.bug.ID, Data: s.data}
}

// compareSightings puts changes into their order. Those without a time come first:
// how far a watch came is told by the times of the others.
func compareSightings(a, b sighting) int {
	return cmp.Or(a.bug.Modified.Compare(b.bug.Modified), compareIDs(a.bug.ID, b.bug.ID))
}

// compareIDs orders numbers as numbers, and before other ids.
func compareIDs(a, b string) int {
	shortA, numberA := Digits(a)
	shortB, numberB := Digits(b)
	switch {
	case numberA && numberB:
		return cmp.Or(cmp.Compare(len(shortA), len(shortB)), strings.Compare(shortA, shortB))
	case numberA != numberB && numberA:
		return -1
	case numberA != numberB:
		return 1
	}
	return strings.Compare(a, b)
}

// changeKey recognises a change. A bug without a time of modification is another when
// its metadata are.
func changeKey(bug Bug, data map[string]any) string {
	if !bug.Modified.IsZero() {
		return bug.ID + "@" + bug.Modified.UTC().Format(time.RFC3339Nano)
	}
	text, err := json.Marshal(data)
	if err != nil { // it holds strings and a boolean
		text = nil
	}
	sum := sha256.Sum256(text)
	return bug.ID + "#" + hex.EncodeToString(sum[:16])
}

// markOf is a short form of a key, for positions. That two keys have one mark is
// less likely than that the tracker loses a change.
func markOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// changeData is the metadata of a bug with nothing but strings in it, and "truncated"
// where one of them was cut.
func changeData(bug Bug) map[string]any {
	created, modified := bug.Created, bug.Modified
	bug.Created, bug.Modified = time.Time{}, time.Time{}
	bug.CommentIDs, bug.Comments, bug.Description = nil, nil, ""
	data, truncated := bugValue(&bug), false
	for name, value := range data {
		if text, ok := value.(string); ok && len(text) > MaxChangeText {
			data[name], truncated = cutText(text, MaxChangeText), true
		}
	}
	if truncated {
		data["truncated"] = true
	}
	for name, at := range map[string]time.Time{"created": created, "modified": modified} {
		if !at.IsZero() {
			data[name] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return data
}

// cutText shortens a text without cutting a character in two.
func cutText(text string, most int) string {
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
