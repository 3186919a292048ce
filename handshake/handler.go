package handshake

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/trackgate/trackgate/apierror"
)

// The handshake's own words.
const (
	validatedText = "Handshake token validated."
	validatedJSON = `{"status": "validated"}`
	methodText    = "Only POST requests are accepted for bugtracker handshakes."
)

// Admission guards the callback from outside: a throttle, as a rule.
type Admission interface {
	// Admit is asked before a token is looked at. Its error is the answer, by
	// the catalogue, and the token is not consumed. It may set headers of the
	// answer.
	Admit(r *http.Request, h http.Header) error
	// Failed is told after a callback was answered 410; not for a probe.
	Failed(r *http.Request)
}

// Handler is the public callback of the bug-tracker handshake:
//
//	POST [/for/{tracker}]/token/{token}/+bugtracker-handshake
//
// and the same below /tokens/. Whatever else it is given is answered
// RESOURCE_NOT_FOUND; [Match] tells beforehand. It must see the path as it was
// sent: a mux that cleans or redirects must not stand before it. It never reads
// the body of a request.
type Handler struct {
	authority *Authority
	caller    func(*http.Request) netip.Addr
	admission Admission
}

var _ http.Handler = (*Handler)(nil)

// HandlerOption changes a [Handler] that [NewHandler] makes.
type HandlerOption func(*Handler)

// WithCaller sets how the address of the caller is found. Without it, it is
// the peer of the connection.
func WithCaller(caller func(*http.Request) netip.Addr) HandlerOption {
	return func(h *Handler) { h.caller = caller }
}

// WithAdmission sets what is asked before a token is looked at; without it all
// callbacks are admitted.
func WithAdmission(a Admission) HandlerOption { return func(h *Handler) { h.admission = a } }

// NewHandler returns the callback of an authority's bug-tracker tokens.
func NewHandler(authority *Authority, opts ...HandlerOption) *Handler {
	h := &Handler{authority: authority, caller: peer, admission: admitAll{}}
	for _, opt := range opts {
		opt(h)
	}
	return h
}

// Match tells whether a request is for the handshake's callback, with whatever
// method and token.
func Match(r *http.Request) bool {
	_, ok := parsePath(r.URL.EscapedPath())
	return ok
}

// ServeHTTP answers one callback.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Cache-Control"] = noStore
	t, ok := parsePath(r.URL.EscapedPath())
	if !ok {
		apierror.Write(w, r, apierror.New(apierror.ResourceNotFound))
		return
	}
	if r.Method != http.MethodPost {
		h.refuse(r, t, ReasonMethod, nil)
		w.Header().Set("Allow", http.MethodPost)
		apierror.Write(w, r, apierror.New(apierror.MethodNotAllowed).WithMessage(methodText))
		return
	}
	if err := h.admission.Admit(r, w.Header()); err != nil {
		h.refuse(r, t, ReasonNotAdmitted, err)
		apierror.Write(w, r, err)
		return
	}
	if t.token == probeToken {
		h.authority.observe(r.Context(), h.event(r, t, EventProbe))
		apierror.Write(w, r, apierror.New(apierror.TokenInvalid))
		return
	}
	h.accept(w, r, t)
}

func (h *Handler) accept(w http.ResponseWriter, r *http.Request, t target) {
	if t.owned && t.root == "" {
		h.refuse(r, t, ReasonUnknownRoot, nil)
		h.invalid(w, r)
		return
	}
	reason, err := h.authority.Accept(r.Context(), Callback{Token: t.token, Kind: BugTracker, Root: t.root, Caller: h.caller(r)})
	switch {
	case err != nil:
		apierror.Write(w, r, err)
	case reason != Granted:
		h.invalid(w, r)
	default:
		writeValidated(w, r)
	}
}

func (h *Handler) invalid(w http.ResponseWriter, r *http.Request) {
	apierror.Write(w, r, apierror.New(apierror.TokenInvalid))
	h.admission.Failed(r)
}

func (h *Handler) refuse(r *http.Request, t target, reason Reason, err error) {
	event := h.event(r, t, EventRefused)
	event.Reason, event.Err = reason, err
	h.authority.noteCallback(r.Context(), event)
	h.authority.observe(r.Context(), event)
}

// event describes a callback that never came to the store.
func (h *Handler) event(r *http.Request, t target, kind EventType) Event {
	event := Event{Type: kind, Time: h.authority.now(), Kind: BugTracker, Root: h.authority.known(t.root), Caller: h.caller(r)}
	if id, ok := ParseToken(t.token); ok {
		event.Fingerprint = id.Fingerprint()
	}
	return event
}

// The headers of the answer that is given most often, made once.
var (
	noStore       = []string{"no-store"}
	varyAccept    = []string{"Accept"}
	typeText      = []string{apierror.ContentTypeText}
	typeJSON      = []string{apierror.ContentTypeJSON}
	noSniff       = []string{"nosniff"}
	lengthOfText  = []string{strconv.Itoa(len(validatedText))}
	lengthOfJSON  = []string{strconv.Itoa(len(validatedJSON))}
	contentLength = "Content-Length"
)

func writeValidated(w http.ResponseWriter, r *http.Request) {
	header, body := w.Header(), validatedText
	header["Vary"] = varyAccept
	header["X-Content-Type-Options"] = noSniff
	if apierror.AcceptsJSON(r) {
		body = validatedJSON
		header["Content-Type"], header[contentLength] = typeJSON, lengthOfJSON
	} else {
		header["Content-Type"], header[contentLength] = typeText, lengthOfText
	}
	_, _ = io.WriteString(w, body) // a caller that is gone cannot be told so
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	if address, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return address.Addr().Unmap()
	}
	return netip.Addr{}
}

type admitAll struct{}

var _ Admission = admitAll{}

func (admitAll) Admit(*http.Request, http.Header) error { return nil }
func (admitAll) Failed(*http.Request)                   {}
