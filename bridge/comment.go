package bridge

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trackgate/trackgate/apierror"
)

// Limits of a comment that is written.
const (
	// MaxAuthorLength bounds the author's name in bytes.
	MaxAuthorLength = 200
	// MaxKeyLength bounds an idempotency key in bytes.
	MaxKeyLength = 200
)

// NewComment is a comment to be written.
type NewComment struct {
	Bug  string
	Text string
	// Author is who really wrote it: the gateway has one account at the
	// tracker, so the name stands in the first line of the text. Empty: nothing
	// is put before the text.
	Author string
	// Key is the caller's idempotency key: a second call with the same key and
	// tracker returns the id of the first one's comment and writes nothing. If
	// the first one's outcome is not known, the second writes only when it does
	// not find the comment at the tracker. Empty: every call writes.
	Key string
}

// body is the text that the tracker gets, with line ends of one LF.
func (c NewComment) body() string {
	text := NormalLines(c.Text)
	if c.Author == "" {
		return text
	}
	return c.Author + " wrote:\n\n" + text
}

func (c NewComment) check() error {
	if err := checkLength("bug", c.Bug); err != nil {
		return err
	}
	switch {
	case strings.TrimSpace(c.Text) == "":
		return invalid("text is empty: a comment needs a text")
	case !utf8.ValidString(c.Text) || !utf8.ValidString(c.Author):
		return invalid("text and author must be UTF-8")
	case len(c.Author) > MaxAuthorLength:
		return invalid("author has %d bytes, more than the limit of %d", len(c.Author), MaxAuthorLength)
	case strings.ContainsFunc(c.Author, unicode.IsControl):
		return invalid("author must be one line without control characters")
	case c.Author != "" && strings.TrimSpace(c.Author) == "":
		return invalid("author is blank: leave it empty for a comment without one")
	case len(c.Key) > MaxKeyLength:
		return invalid("key has %d bytes, more than the limit of %d", len(c.Key), MaxKeyLength)
	}
	return nil
}

// AddComment writes a comment and returns its id. A comment whose outcome is
// not known is OUTCOME_UNKNOWN and is not repeated; with a key, the caller may
// repeat it, and the bridge first looks whether it is there.
func (b *Bridge) AddComment(ctx context.Context, name string, c NewComment) (string, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return "", err
	}
	if err := c.check(); err != nil {
		return "", err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	writer, at, err := able[CommentWriter](ctx, t, "write-comments")
	if err != nil {
		return "", err
	}

	return b.write(ctx, name, c.Key, []string{"comment", c.Bug, c.body()},
		func(ctx context.Context) (string, error) { return writer.WriteComment(ctx, c.Bug, c.body()) },
		at.findComment(c.Bug, c.body()))
}

// write makes a write, under the caller's key when there is one. Parts tell it
// from others under the same key.
func (b *Bridge) write(ctx context.Context, name, key string, parts []string, write func(context.Context) (string, error), find finder) (string, error) {
	if key == "" {
		id, err := write(ctx)
		return id, classify(err, nil)
	}
	if b.options.state == nil {
		return "", apierror.New(apierror.ServerError).
			WithCause(fmt.Errorf("bridge: an idempotency key for tracker %s and no state store", name))
	}
	id, err := b.keyed.once(ctx, &keyedWrite{
		options:   &b.options,
		stateKey:  stateKey(name, key),
		arguments: fingerprint(parts...),
		write:     write,
		find:      find,
	})
	err = classify(err, nil)
	if known := apierror.From(err); apierror.Is(err, apierror.OutcomeUnknown) {
		err = known.WithDetail("Repeat it with the same key: the gateway looks first whether it is there. " + detailOf(known))
	}
	return id, err
}

// findComment looks for a comment with exactly this text that the tracker has
// got at or after a time of its own clock. It returns nil where the dialect
// cannot read comments.
//
// What it does not find may still come: a tracker that was sent a comment can
// take as long as it likes to write it, and nothing in its protocol takes the
// comment back. One that is written after the look is then there twice.
func (s *spoken) findComment(bug, text string) finder {
	reader, ok := s.dialect.(CommentReader)
	if !ok {
		return nil
	}
	return func(ctx context.Context, recent isRecent) (string, error) {
		batch, err := reader.ReadComments(ctx, bug, nil)
		if err != nil {
			return "", err
		}
		for _, c := range batch.Comments {
			if sameText(c.Text, text) && recent(c.Time, batch.Time) {
				return c.ID, nil
			}
		}
		return "", nil
	}
}

// NormalLines brings all line ends to one LF: trackers store what they like.
func NormalLines(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// sameText compares a text with what a tracker made of it: trackers change line
// ends, and some take white space off the ends.
func sameText(a, b string) bool {
	return strings.TrimSpace(NormalLines(a)) == strings.TrimSpace(NormalLines(b))
}
