package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/feed"
)

const (
	// Route is the pattern of the addresses of hooks, as the trail has it.
	Route      = "/hooks/{name}"
	prefix     = "/hooks/"
	listener   = "public"
	methodText = "Only POST requests are accepted by hooks."
	// recordLimit is how long an entry of the trail may take. It does not end with
	// the request: whoever hangs up must be recorded, too.
	recordLimit = 10 * time.Second
)

// Backend is what hooks need of a store; a [handshake.Store] is one.
type Backend interface {
	State() handshake.StateStore
	Feed() feed.Store
}

// Handler answers POST /hooks/{name}. Its answers are JSON, whatever the request
// accepts. Whatever else it is given is answered RESOURCE_NOT_FOUND.
type Handler struct {
	hooks     map[string]*Hook
	tokens    *Tokens
	memory    memory
	feed      feed.Store
	trail     *audit.Trail
	observer  Observer
	caller    func(*http.Request) netip.Addr
	admission handshake.Admission
	now       func() time.Time
	maxBody   int64
}

var _ http.Handler = (*Handler)(nil)

// HandlerOption changes a [Handler] that [NewHandler] makes.
type HandlerOption func(*Handler)

// WithTrail sets the trail that is told of every AuthenticationTokenMismatch;
// without it none is.
func WithTrail(trail *audit.Trail) HandlerOption { return func(h *Handler) { h.trail = trail } }

// WithObserver sets who is told what came of every request.
func WithObserver(o Observer) HandlerOption { return func(h *Handler) { h.observer = o } }

// WithCaller sets how the address of the caller is found. Without it, it is the
// peer of the connection.
func WithCaller(caller func(*http.Request) netip.Addr) HandlerOption {
	return func(h *Handler) { h.caller = caller }
}

// WithAdmission sets what is asked before a body is read, and told of every
// AuthenticationTokenMismatch; without it all requests are admitted.
func WithAdmission(a handshake.Admission) HandlerOption { return func(h *Handler) { h.admission = a } }

// WithClock sets the clock, time.Now by default.
func WithClock(now func() time.Time) HandlerOption { return func(h *Handler) { h.now = now } }

// WithMaxBody sets how many bytes a body may have, [DefaultMaxBody] by default.
func WithMaxBody(n int64) HandlerOption { return func(h *Handler) { h.maxBody = n } }

// NewHandler returns the handler of some hooks, whose names must differ. The
// tokens must be those of the same store.
func NewHandler(store Backend, tokens *Tokens, hooks []*Hook, opts ...HandlerOption) (*Handler, error) {
	h := &Handler{
		hooks:     make(map[string]*Hook, len(hooks)),
		tokens:    tokens,
		memory:    memory{state: store.State()},
		feed:      store.Feed(),
		observer:  ObserverFunc(func(context.Context, Event) {}),
		caller:    peer,
		admission: admitAll{},
		now:       time.Now,
		maxBody:   DefaultMaxBody,
	}
	for _, opt := range opts {
		opt(h)
	}
	if h.maxBody <= 0 {
		return nil, errors.New("the largest body must be above 0 bytes")
	}
	for _, k := range hooks {
		if _, twice := h.hooks[k.Name()]; twice {
			return nil, fmt.Errorf("the hook %s is declared twice", k.Name())
		}
		h.hooks[k.Name()] = k
	}
	return h, nil
}

// Match tells whether a request is for a hook, with whatever method and name. It
// looks at the path as it was sent, as what stands before the gateway does.
func Match(r *http.Request) bool { return strings.HasPrefix(r.URL.EscapedPath(), prefix) }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	event := Event{Time: h.now(), Caller: h.caller(r)}
	result, err := h.serve(w, r, &event)
	if err != nil {
		event.Outcome, event.Err = Refused, err
		if event.Reason == ReasonStore && errors.Is(r.Context().Err(), context.Canceled) && errors.Is(err, context.Canceled) {
			event.Reason = ReasonGone // which says nothing of the store
		}
		apierror.WriteJSON(w, err)
	} else {
		event.Outcome = Accepted
		if result.duplicate {
			event.Outcome = Duplicate
		}
		writeResult(w, result)
	}
	h.observer.Observe(r.Context(), event)
	if event.Reason == ReasonMismatch {
		h.admission.Failed(r)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, event *Event) (result, error) {
	k, known := h.hooks[strings.TrimPrefix(r.URL.Path, prefix)]
	known = known && Match(r)
	if known {
		event.Hook = k.Name()
	}
	if known && r.Method != http.MethodPost {
		event.Reason = ReasonMethod
		w.Header().Set("Allow", http.MethodPost)
		return result{}, apierror.New(apierror.MethodNotAllowed).WithMessage(methodText)
	}
	if err := h.admission.Admit(r, w.Header()); err != nil {
		event.Reason = ReasonNotAdmitted
		return result{}, err
	}
	if !known {
		event.Reason = ReasonUnknownHook
		return result{}, apierror.New(apierror.ResourceNotFound).WithDetail("No hook has this name.")
	}
	b, err := readBody(w, r, h.maxBody)
	if err != nil {
		return result{}, refused(event, err)
	}
	return h.take(r, k, b, event)
}

// refused says why a body could not be read.
func refused(event *Event, err error) error {
	var unreadable invalid
	if errors.As(err, &unreadable) {
		event.Reason = ReasonInvalid
		return apierror.New(apierror.InvalidData).WithDetail(string(unreadable))
	}
	event.Reason = ReasonTooLarge
	return err
}

// take checks a request and hands on what it says.
func (h *Handler) take(r *http.Request, k *Hook, b body, event *Event) (result, error) {
	var p problems
	s, err := b.parse(k)
	var unreadable invalid
	switch {
	case errors.As(err, &unreadable):
		p.detail = string(unreadable)
	case err != nil:
		return result{}, refused(event, err)
	}
	event.Ignored = s.ignored
	proved, err := h.authenticate(r.Context(), r, k, b, s, &p, event.Time)
	if err != nil {
		event.Reason = ReasonStore
		return result{}, err
	}
	event.Methods = proved.methods
	checked := submission{at: event.Time, values: k.read(s, &p), proof: proved}
	if err := p.err(); err != nil {
		return result{}, h.deny(r, k, &p, err, event)
	}
	if len(proved.methods) == 0 {
		event.Reason = ReasonInvalid
		return result{}, apierror.New(apierror.InvalidData).WithDetail(flawMissing)
	}
	if !proved.token.IsZero() {
		h.tokens.uses.note(proved.token, event.Time)
	}
	done, err := h.deliver(r.Context(), k, checked)
	if err != nil {
		event.Reason = reasonOf(err)
		return result{}, err
	}
	done.Status, done.Ignored = "ok", s.ignored
	return done, nil
}

// deny refuses a request for its problems. When there is an
// AuthenticationTokenMismatch among them, and only then, that is recorded first.
func (h *Handler) deny(r *http.Request, k *Hook, p *problems, err error, event *Event) error {
	event.Reason = ReasonInvalid
	if len(p.mismatched) == 0 {
		return err
	}
	event.Reason = ReasonMismatch
	entry := audit.Entry{
		Time: event.Time, Subsystem: audit.SubsystemHook, Code: audit.HookAuthentication, Outcome: audit.Refused, Reason: string(ReasonMismatch),
		Caller: event.Caller, Listener: listener, Route: Route, Name: k.Name(), Detail: methodNames(p.mismatched),
	}
	if !p.expected.IsZero() {
		entry.Subject = p.expected.String()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordLimit)
	defer cancel()
	if trailErr := h.trail.Record(ctx, entry); trailErr != nil {
		return unavailable(trailErr)
	}
	return err
}

// read returns the values of all fields but the token, and adds what is wrong
// with them. Of a body that could not be read no field is missed.
func (h *Hook) read(s submitted, p *problems) values {
	found := values{}
	for i := range h.spec.Fields {
		f := &h.spec.Fields[i]
		if i == h.token || p.detail != "" {
			continue
		}
		value, flaw := f.read(s.inputs[f.Name], MaxJSONDepth)
		if value != nil && flaw == "" && h.isWord(f.Name) {
			flaw = checkWord(wordOf(value))
		}
		if fit := h.fits[i]; fit != nil && value != nil && flaw == "" {
			flaw = fit(value)
		}
		switch {
		case flaw != "":
			p.add(f.Name, flaw)
		case value != nil:
			found[f.Name] = value
		case f.Required:
			p.add(f.Name, flawRequired)
		}
	}
	return found
}

// result is the answer to an accepted request.
type result struct {
	Status string `json:"status"`
	// After is the position of the event in the feed; left out when there is none.
	After string `json:"after,omitempty"`
	// Ignored is how many fields were sent that the hook does not have.
	Ignored int `json:"ignored"`

	// duplicate is whether the request was accepted before. The answer is then that of
	// the first one.
	duplicate bool
}

func writeResult(w http.ResponseWriter, done result) {
	text, _ := json.Marshal(done) // strings and numbers
	header := w.Header()
	header.Set("Vary", "Accept")
	header.Set("Content-Type", apierror.ContentTypeJSON)
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // a caller that is gone cannot be told so
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return address.Addr().Unmap()
	}
	return netip.Addr{}
}

type admitAll struct{}

var _ handshake.Admission = admitAll{}

func (admitAll) Admit(*http.Request, http.Header) error { return nil }
func (admitAll) Failed(*http.Request)                   {}
