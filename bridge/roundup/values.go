package roundup

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// Answers are read as plain values. What cannot be made sense of is
// TRACKER_BAD_ANSWER and says where it stood.

// textOf reads a text, "" when it is nil or of another type. Roundup sends as
// base64 what it does not take for text, and numbers as doubles.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return strings.ToValidUTF8(string(v), "\ufffd")
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// idOf reads an id that stands in an answer, "" when it is none.
func idOf(v any) string {
	if id, ok := number(textOf(v)); ok {
		return id
	}
	return ""
}

// idsOf reads an array of ids, or a single one, as a link has where others have a
// multilink. It is never nil.
func idsOf(v any) []string {
	ids := []string{}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if id := idOf(v); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// structOf reads the answer to display.
func structOf(designator string, v any) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, bridge.BadShape("display of "+designator, "it is no struct")
	}
	return m, nil
}

// maxID is the largest id that the databases below Roundup hold. A larger one
// makes some of them fail the whole call.
const maxID = 1<<31 - 1

// number brings the decimal digits of an id to the form that Roundup gives them,
// so that 007 is 7, and tells whether the id can be one. Nothing else may stand in
// a designator, which is made of the name of a class and an id.
func number(id string) (string, bool) {
	if id == "" || strings.Trim(id, "0123456789") != "" {
		return id, false
	}
	short := strings.TrimLeft(id, "0")
	n, err := strconv.ParseUint(short, 10, 32)
	return short, err == nil && n > 0 && n <= maxID
}

// BugKey takes leading zeros off a number.
func (d *dialect) BugKey(id string) string {
	trimmed := strings.TrimSpace(id)
	if key, ok := number(trimmed); ok {
		return key
	}
	return trimmed
}

// CommentKey takes leading zeros off a number.
func (d *dialect) CommentKey(id string) string { return d.BugKey(id) }

// possible returns those ids that can be ids.
func possible(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		_, ok := number(id)
		return !ok
	})
}

// compareIDs puts ids in the order of their numbers, which is that of their
// making.
func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// checkCandidates bounds what one call of a caller looks at.
func checkCandidates(ids []string) error {
	if len(ids) > maxCandidates {
		return bridge.TooMany("bugs that may be meant", maxCandidates)
	}
	return nil
}

// maxCandidates is how many issues that a filter gives are looked at.
const maxCandidates = 50_000
