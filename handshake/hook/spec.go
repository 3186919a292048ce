package hook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// Method is a way in which a request proves who sent it. The set is closed.
type Method string

// The methods.
const (
	// MethodField is the hook's token in its field of [TypeToken].
	MethodField Method = "field"
	// MethodBearer is the hook's token in a header: "Authorization: Bearer TOKEN".
	MethodBearer Method = "bearer"
	// MethodWebhook is a signature by Standard Webhooks 1.0.0: the headers webhook-id,
	// webhook-timestamp and webhook-signature, in the version v1.
	MethodWebhook Method = "standard-webhooks"
	// MethodHub is a signature of the body alone, in the header X-Hub-Signature-256.
	MethodHub Method = "x-hub-signature-256"
)

var methods = []Method{MethodField, MethodBearer, MethodWebhook, MethodHub}

// signed tells whether the method needs secrets.
func (m Method) signed() bool { return m == MethodWebhook || m == MethodHub }

// Spec declares a hook.
type Spec struct {
	// Name is the last part of the hook's address, /hooks/NAME.
	Name string
	// Title is for people; the default is Name.
	Title string
	// Fields are what the hook takes. What a request has beside them is ignored, and
	// counted: senders add to what they send.
	Fields []Field
	// Accept are the methods by which a request may prove itself; by default
	// [MethodField]. One is enough, but what a request carries of them must be right.
	Accept []Method
	// Secrets are what signatures are made with. Any of them is right, so that they
	// can be changed without a gap.
	Secrets []Secret
	// DedupField names a field whose value tells events apart: a second one with the
	// same value is answered like the first and not stored again.
	DedupField string
	// KindField, TrackerField and BugField name the fields that hold what [feed.Event]
	// calls so. Their values are short and on one line.
	KindField, TrackerField, BugField string
	// ReplayWindow is for how long a request is recognised that proves itself by a
	// signature of its body alone, or goes to a handler; the default is
	// [DefaultReplayWindow]. Of other requests the feed knows what it has.
	ReplayWindow time.Duration
	// Kind and Tracker stand for fields that are not named, or not given.
	Kind, Tracker string
}

// Bounds of [Spec.ReplayWindow].
const (
	DefaultReplayWindow = 24 * time.Hour
	MinReplayWindow     = 10 * time.Minute
	MaxReplayWindow     = 365 * 24 * time.Hour
)

// Hook is a declared hook, made by [Declare] or [New].
type Hook struct {
	spec Spec
	// paths are where the fields stand in a JSON body, in the order of the fields.
	paths [][]string
	// token is the index of the token's field, -1 where there is none.
	token int
	// roots are the names of the members of a JSON body that some field needs.
	roots map[string]bool
	// index finds fields by name.
	index map[string]int
	// fits says that a value does not fit where it is to go, by the index of the
	// field; nil where all values do.
	fits map[int]func(value any) string
	// keys is a pointer, so that nothing that prints a hook prints them.
	keys *keys
	// handle takes what was accepted; nil means the feed.
	handle func(ctx context.Context, s submission) error
}

// keys are the secrets of a hook as each method takes them.
type keys struct{ webhook, hub [][]byte }

// submission is a request that has proved itself and whose fields are right.
type submission struct {
	at     time.Time
	values values
	// proof says by what the request proved itself.
	proof proof
}

// Name returns the hook's name.
func (h *Hook) Name() string { return h.spec.Name }

// Title returns the hook's title.
func (h *Hook) Title() string { return h.spec.Title }

// Fields returns the hook's fields with their defaults, in the order in which
// they were declared.
func (h *Hook) Fields() []Field { return slices.Clone(h.spec.Fields) }

// Accept returns the methods by which a request may prove itself.
func (h *Hook) Accept() []Method { return slices.Clone(h.spec.Accept) }

func (h *Hook) accepts(m Method) bool { return slices.Contains(h.spec.Accept, m) }

// Declare returns a hook whose requests become events of the feed.
func Declare(s Spec) (*Hook, error) {
	h, err := declare(s)
	if err != nil {
		return nil, named(s.Name, err)
	}
	return h, nil
}

func named(name string, err error) error {
	if CheckName(name) != nil {
		return err
	}
	return fmt.Errorf("the hook %s: %w", name, err)
}

func declare(s Spec) (*Hook, error) {
	if err := CheckName(s.Name); err != nil {
		return nil, err
	}
	if len(s.Title) > MaxTitle {
		return nil, fmt.Errorf("the title is longer than %d bytes", MaxTitle)
	}
	if s.Title == "" {
		s.Title = s.Name
	}
	if len(s.Accept) == 0 {
		s.Accept = []Method{MethodField}
	}
	if s.ReplayWindow == 0 {
		s.ReplayWindow = DefaultReplayWindow
	}
	if s.ReplayWindow < MinReplayWindow || s.ReplayWindow > MaxReplayWindow {
		return nil, fmt.Errorf("the replay window must be from %v to %v, not %v", MinReplayWindow, MaxReplayWindow, s.ReplayWindow)
	}
	s.Accept, s.Fields, s.Secrets = slices.Clone(s.Accept), slices.Clone(s.Fields), slices.Clone(s.Secrets)
	h := &Hook{spec: s, token: -1, roots: map[string]bool{}, index: map[string]int{}, fits: map[int]func(any) string{}, keys: &keys{}}
	for _, check := range []func() error{h.checkFields, h.checkMethods, h.checkKeys, h.checkRoles} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *Hook) checkFields() error {
	if n := len(h.spec.Fields); n > MaxDeclared {
		return fmt.Errorf("%d fields; at most %d can be declared", n, MaxDeclared)
	}
	for i, f := range h.spec.Fields {
		f, err := f.complete()
		if err != nil {
			return err
		}
		if _, twice := h.index[f.Name]; twice {
			return fmt.Errorf("the field %s is declared twice", f.Name)
		}
		if f.Type == TypeToken {
			if h.token >= 0 {
				return fmt.Errorf("both %s and %s are tokens; a hook has one", h.spec.Fields[h.token].Name, f.Name)
			}
			h.token = i
		}
		path := []string{f.Name}
		if f.From != "" {
			path = strings.Split(f.From, ".")
		}
		h.spec.Fields[i], h.index[f.Name], h.roots[path[0]] = f, i, true
		h.paths = append(h.paths, path)
	}
	return h.checkToken()
}

// checkToken makes sure that a token fits into its field, and into no other: what
// stands in others is stored.
func (h *Hook) checkToken() error {
	if h.token < 0 {
		return nil
	}
	token := h.spec.Fields[h.token]
	if token.MaxLength < TokenLength {
		return fmt.Errorf("the token %s may have %d characters; it must be at least %d", token.Name, token.MaxLength, TokenLength)
	}
	for i, path := range h.paths {
		n := min(len(path), len(h.paths[h.token]))
		if i != h.token && slices.Equal(path[:n], h.paths[h.token][:n]) {
			return fmt.Errorf("the token %s and the field %s both stand at %s in a JSON body, and the token would be stored with the field",
				token.Name, h.spec.Fields[i].Name, strings.Join(path[:n], "."))
		}
	}
	return nil
}

func (h *Hook) checkMethods() error {
	for i, m := range h.spec.Accept {
		switch {
		case !slices.Contains(methods, m):
			return fmt.Errorf("there is no method %q of authentication; methods are %q", m, methods)
		case slices.Contains(h.spec.Accept[:i], m):
			return fmt.Errorf("the method %s stands twice", m)
		}
	}
	switch declared := h.token >= 0; {
	case h.accepts(MethodField) && !declared:
		return errors.New("no field is the token, which the hook accepts as a field; declare one of the type token, or accept other methods only")
	case declared && !h.accepts(MethodField):
		return fmt.Errorf("the field %s is a token, which the hook does not accept as a field; accept the method %s", h.spec.Fields[h.token].Name, MethodField)
	}
	return nil
}

// checkKeys reads the secrets as the methods take them.
func (h *Hook) checkKeys() error {
	switch needed := slices.ContainsFunc(h.spec.Accept, Method.signed); {
	case needed && len(h.spec.Secrets) == 0:
		return errors.New("signatures are accepted, and there is no secret to check them with")
	case !needed && len(h.spec.Secrets) > 0:
		return errors.New("there are secrets, and no method that needs them; tokens are not configured but created")
	case len(h.spec.Secrets) > MaxSecrets:
		return fmt.Errorf("more than %d secrets", MaxSecrets)
	}
	for i, secret := range h.spec.Secrets {
		if h.accepts(MethodWebhook) {
			key, err := secret.webhookKey()
			if err != nil {
				return fmt.Errorf("secret %d: %w", i+1, err)
			}
			h.keys.webhook = append(h.keys.webhook, key)
		}
		if h.accepts(MethodHub) {
			key, err := secret.hubKey()
			if err != nil {
				return fmt.Errorf("secret %d: %w", i+1, err)
			}
			h.keys.hub = append(h.keys.hub, key)
		}
	}
	return nil
}

// checkRoles checks what the hook says of some of its fields.
func (h *Hook) checkRoles() error {
	for _, role := range []struct{ what, field string }{
		{"what tells events apart", h.spec.DedupField},
		{"the kind", h.spec.KindField},
		{"the tracker", h.spec.TrackerField},
		{"the bug", h.spec.BugField},
	} {
		if role.field == "" {
			continue
		}
		i, ok := h.index[role.field]
		if !ok {
			return fmt.Errorf("%s is to be in the field %q, which is not declared", role.what, role.field)
		}
		if t := h.spec.Fields[i].Type; t != TypeText && t != TypeInteger {
			return fmt.Errorf("%s is to be in the field %s, which is of the type %s; it must be text or integer", role.what, role.field, t)
		}
	}
	for _, word := range []string{h.spec.Kind, h.spec.Tracker} {
		if flaw := checkWord(word); flaw != "" {
			return fmt.Errorf("the kind or the tracker: %s", flaw)
		}
	}
	return nil
}

// fingerprintOf returns the name of a token whose digest is known.
func fingerprintOf(digest [digestSize]byte) handshake.Fingerprint {
	return handshake.Fingerprint(digest[:handshake.FingerprintSize])
}
