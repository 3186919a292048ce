package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
)

// sourcePrefix begins the source of an event that a hook was told of.
const sourcePrefix = "hook:"

// handlerError is what a hook's own handler answered.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

// deliver hands on what was accepted, once: to the feed, or to the hook's own
// handler. It returns when that is durable.
func (h *Handler) deliver(ctx context.Context, k *Hook, s submission) (result, error) {
	signed, window := k.replay(s.proof)
	if signed != "" {
		after, seen, err := h.memory.seen(ctx, signed)
		if err != nil {
			return result{}, err
		}
		if seen {
			return result{After: after, duplicate: true}, nil
		}
	}
	var done result
	var err error
	if k.handle == nil {
		done, err = h.append(ctx, k, s)
	} else {
		done, err = h.call(ctx, k, s)
	}
	if err != nil || signed == "" {
		return done, err
	}
	// Were this left out, the request could be played again once the feed has
	// forgotten it. The sender is told that it failed, and its next try finds the event.
	if err := h.memory.remember(ctx, signed, nil, done.After, window); err != nil {
		return result{}, err
	}
	return done, nil
}

// replay returns under what key, and for how long, a request is remembered because
// whoever has seen it could send it again as another one: its signature has no time,
// or the hook knows requests by a field. The Content-Type is not signed, and under
// another one the same bytes give other fields.
func (h *Hook) replay(p proof) (key string, window time.Duration) {
	switch {
	case p.body != "":
		return memoryKey(h.Name(), "body", p.body), h.spec.ReplayWindow
	case h.spec.DedupField != "" && slices.Contains(p.methods, MethodWebhook):
		return memoryKey(h.Name(), "id", p.id), 2 * Tolerance
	default:
		return "", 0
	}
}

// append puts the event into the feed, which knows those that come again.
func (h *Handler) append(ctx context.Context, k *Hook, s submission) (result, error) {
	event, err := k.event(s)
	if err != nil {
		return result{}, err
	}
	positions, err := h.feed.Append(ctx, event)
	switch {
	case errors.Is(err, feed.ErrTooLarge):
		return result{}, tooLarge("Bytes of an event", feed.MaxData)
	case err != nil:
		return result{}, unavailable(err)
	case len(positions) != 1:
		return result{}, unavailable(fmt.Errorf("the feed gave %d positions for one event", len(positions)))
	}
	return result{After: positions[0]}, nil
}

// call calls the hook's own handler. Two requests with the same key do not get to
// it at the same time; the later one is asked to come again, and told that it is a
// duplicate when the earlier one has succeeded.
func (h *Handler) call(ctx context.Context, k *Hook, s submission) (result, error) {
	key := k.key(s)
	if key == "" {
		return result{}, handled(k.handle(ctx, s))
	}
	at := memoryKey(k.Name(), "key", key)
	claim, seen, err := h.memory.claim(ctx, at)
	if err != nil || seen {
		return result{duplicate: seen}, err
	}
	if err := handled(k.handle(ctx, s)); err != nil {
		h.memory.release(ctx, at, claim)
		return result{}, err
	}
	return result{}, h.memory.remember(ctx, at, claim, "", k.spec.ReplayWindow)
}

func handled(err error) error {
	if err == nil {
		return nil
	}
	return &handlerError{err}
}

// key tells a submission from others of the hook; "" when nothing does.
func (h *Hook) key(s submission) string {
	if value, ok := s.values[h.spec.DedupField]; ok {
		return "field " + digestOf([]byte(wordOf(value)))
	}
	if s.proof.id != "" {
		return "id " + digestOf([]byte(s.proof.id))
	}
	if s.proof.body != "" {
		return "body " + s.proof.body
	}
	return ""
}

// isWord tells whether a field becomes kind, tracker or bug of an event.
func (h *Hook) isWord(name string) bool {
	return name == h.spec.KindField || name == h.spec.TrackerField || name == h.spec.BugField
}

// wordOf returns the text of a value of the types text and integer.
func wordOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		return ""
	}
}

func (v values) word(field, otherwise string) string {
	if word := wordOf(v[field]); word != "" {
		return word
	}
	return otherwise
}

// event returns what a submission says as an event: its data are all fields but
// the token.
func (h *Hook) event(s submission) (feed.New, error) {
	data, err := s.values.encode()
	if err != nil {
		return feed.New{}, fmt.Errorf("the fields of the hook %s cannot be written as JSON: %w", h.Name(), err)
	}
	return feed.New{
		Event: feed.Event{
			Time:    s.at.UTC().Truncate(time.Millisecond),
			Source:  sourcePrefix + h.Name(),
			Kind:    s.values.word(h.spec.KindField, h.spec.Kind),
			Tracker: s.values.word(h.spec.TrackerField, h.spec.Tracker),
			Bug:     s.values.word(h.spec.BugField, ""),
			Data:    data,
		},
		Key: h.key(s),
	}, nil
}

// encode writes the values as a JSON object, sorted by name.
func (v values) encode() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any(v)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(text.Bytes()), nil
}
