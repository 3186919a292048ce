package bridge

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a bug that is filed.
const (
	// MaxTitleLength bounds the title in bytes.
	MaxTitleLength = 1000
	// MaxFields bounds the members that a caller gives beside title and
	// description.
	MaxFields = 100
	// MaxFieldLength bounds such a member, and its name, in bytes.
	MaxFieldLength = 10_000
)

// foundWithin is how much further back than a key is kept bugs are looked at for
// one that was filed: clocks of trackers differ from ours by any time zone.
const foundWithin = 48 * time.Hour

// NewBug is a bug to be filed.
type NewBug struct {
	Title       string
	Description string // may be empty where the tracker allows it
	Product     string
	Component   string
	// Fields are further members that the caller gave, by the tracker's own
	// names.
	Fields map[string]string
	// Key is the caller's idempotency key, as in [NewComment].
	Key string
}

func (n NewBug) check() error {
	switch {
	case strings.TrimSpace(n.Title) == "":
		return invalid("title is empty: a bug needs a title")
	case len(n.Title) > MaxTitleLength:
		return invalid("title has %d bytes, more than the limit of %d", len(n.Title), MaxTitleLength)
	case strings.ContainsFunc(n.Title, unicode.IsControl):
		return invalid("title must be one line without control characters")
	case len(n.Fields) > MaxFields:
		return invalid("%d members are more than the %d that a bug may be filed with", len(n.Fields), MaxFields)
	case len(n.Key) > MaxKeyLength:
		return invalid("key has %d bytes, more than the limit of %d", len(n.Key), MaxKeyLength)
	}
	texts := []string{n.Title, n.Description, n.Product, n.Component}
	for name, value := range n.Fields {
		if name == "" || len(name) > MaxFieldLength || len(value) > MaxFieldLength {
			return invalid("member %s: name and value have 1 to %d bytes", quoted(name), MaxFieldLength)
		}
		texts = append(texts, name, value)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return invalid("what a bug is filed with must be UTF-8")
		}
	}
	return nil
}

// parts are what the fingerprint of the filing is made of.
func (n NewBug) parts() []string {
	parts := []string{"file", n.Title, n.Description, n.Product, n.Component}
	for _, name := range slices.Sorted(maps.Keys(n.Fields)) {
		parts = append(parts, name, n.Fields[name])
	}
	return parts
}

// FileBug files a bug and returns its id. As with [Bridge.AddComment], one whose
// outcome is not known is OUTCOME_UNKNOWN and is not repeated; with a key, the
// caller may repeat it, and the bridge first looks whether it is there.
func (b *Bridge) FileBug(ctx context.Context, name string, bug NewBug) (string, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return "", err
	}
	if err := bug.check(); err != nil {
		return "", err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	filer, _, err := able[BugFiler](ctx, t, "file-bug")
	if err != nil {
		return "", err
	}
	bug.Description = NormalLines(bug.Description)
	return b.write(ctx, name, bug.Key, bug.parts(),
		func(ctx context.Context) (string, error) { return filer.FileBug(ctx, bug) },
		b.findFiled(filer, bug))
}

// findFiled looks for the bug. It returns nil where the dialect cannot. As with
// comments, one that the tracker files after the look is then there twice.
func (b *Bridge) findFiled(filer BugFiler, bug NewBug) finder {
	reader, ok := filer.(FiledFinder)
	if !ok {
		return nil
	}
	return func(ctx context.Context, recent isRecent) (string, error) {
		since := b.options.now().Add(-b.options.keyRetention - foundWithin)
		batch, err := reader.FindFiled(ctx, bug, since)
		if err != nil {
			return "", err
		}
		for _, found := range batch.Bugs {
			if sameText(found.Title, bug.Title) && recent(found.Created, batch.Time) {
				return found.ID, nil
			}
		}
		return "", nil
	}
}

// Statuses returns the tracker's own words for where a bug stands.
func (b *Bridge) Statuses(ctx context.Context, name string) ([]string, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	lister, _, err := able[StatusLister](ctx, t, "status-list")
	if err != nil {
		return nil, err
	}
	words, err := lister.Statuses(ctx)
	if err != nil {
		return nil, classify(err, nil)
	}
	return append([]string{}, words...), nil
}
