package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Effect says what a call does at the tracker, which decides what may be done
// when its answer is lost.
type Effect int

// The effects.
const (
	Read  Effect = iota // changes nothing; may be repeated
	Write               // must never be executed twice
)

// Remote is a dialect's way to its tracker, and the only one. Its methods are
// safe for concurrent use; their errors are of package apierror.
type Remote struct {
	config  Config
	base    *url.URL
	options *options
	http    *http.Client

	// The operator's own words, folded.
	states      map[string]State
	importances map[string]Importance

	// Set once, before the first call.
	dialect Dialect
	session *session
}

// URL returns the URL of a place below the tracker's base URL. Each segment is
// escaped, so that none can lead elsewhere.
func (r *Remote) URL(segments ...string) string {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
		if s == "." || s == ".." {
			escaped[i] = strings.ReplaceAll(s, ".", "%2E")
		}
	}
	return r.base.JoinPath(escaped...).String()
}

// BatchSize returns how many bugs or comments one call should ask for.
func (r *Remote) BatchSize() int { return r.options.batchSize }

// Connections returns how many calls to the tracker can be under way at once.
func (r *Remote) Connections() int {
	if r.config.Connections > 0 {
		return r.config.Connections
	}
	return r.options.connections
}

// Account is the name of the configured user, which a dialect may need to know
// without logging in: a session may be one that was kept. It is empty where none
// is configured.
func (r *Remote) Account() string { return r.config.Secrets.User }

// Endpoint is one XML-RPC address of a tracker.
type Endpoint struct {
	remote *Remote
	client *xmlrpc.Client
}

// Endpoint returns the XML-RPC service at a place below the base URL.
func (r *Remote) Endpoint(segments ...string) (*Endpoint, error) {
	client, err := xmlrpc.NewClient(r.URL(segments...),
		xmlrpc.WithHTTPClient(r.http),
		xmlrpc.WithTimeLimit(0), // callers' contexts have one
		xmlrpc.WithMaxAnswer(r.options.maxAnswer),
		xmlrpc.WithClientRepair(),
		xmlrpc.WithUserAgent(r.options.userAgent),
	)
	if err != nil {
		return nil, err
	}
	return &Endpoint{remote: r, client: client}, nil
}

// Call calls a method with a session and decodes its value into result.
func (e *Endpoint) Call(ctx context.Context, effect Effect, method string, result any, params ...any) error {
	document, err := xmlrpc.AppendCall(nil, method, params)
	if err != nil {
		return classify(err, nil)
	}
	return e.Send(ctx, effect, document, result)
}

// Send is [Endpoint.Call] for a document that holds the whole call.
func (e *Endpoint) Send(ctx context.Context, effect Effect, document []byte, result any) error {
	return e.remote.do(ctx, effect, result, func(ctx context.Context, s *Session) error {
		carrying, err := spliceMembers(document, s.Members)
		if err != nil {
			return err
		}
		return e.client.With(s.options()...).Send(ctx, carrying, result)
	})
}

// CallAlone calls a method without a session, and returns the header of the
// answer, if there was one. It is for log-ins and for finding out what a tracker
// speaks. A fault is returned as it is, another failure as an error of the
// catalogue; the secrets are kept out of both.
func (e *Endpoint) CallAlone(ctx context.Context, method string, result any, secrets []string, params ...any) (http.Header, error) {
	return e.CallWith(ctx, &Session{}, method, result, secrets, params...)
}

// CallWith is [Endpoint.CallAlone] with what is to become a session, whose values
// are kept out of the error too. It is for log-ins that need a call to find out
// whether the credentials are taken.
func (e *Endpoint) CallWith(ctx context.Context, s *Session, method string, result any, secrets []string, params ...any) (http.Header, error) {
	secrets = append(s.secrets(), secrets...)
	document, err := xmlrpc.AppendCall(nil, method, params)
	if err == nil {
		document, err = spliceMembers(document, s.Members)
	}
	if err != nil {
		return nil, classify(err, secrets)
	}
	var header http.Header
	options := append(s.options(), xmlrpc.WithOnResponse(func(_ int, h http.Header) { header = h.Clone() }))
	err = e.client.With(options...).Send(ctx, document, result)
	e.remote.session.judge(err)
	known := classify(err, secrets)
	e.remote.session.reached(known)
	if fault := new(xmlrpc.Fault); errors.As(err, &fault) {
		return header, scrubbedFault(fault, secrets)
	}
	return header, known
}

// options makes every call carry the session, but for its members.
func (s *Session) options() []xmlrpc.ClientOption {
	options := []xmlrpc.ClientOption{xmlrpc.WithCookies(s.Cookies...)}
	for name, value := range s.Header {
		options = append(options, xmlrpc.WithHeader(name, value))
	}
	return options
}

// do makes one call with the tracker's session: with one that is made for it
// when there is none, and once more with a new one when the tracker says that
// the session was over and the call therefore not executed. A new one of another
// gateway may be over as well, and then one of our own is made. If it says so again,
// either it accepts no session of ours, or it refuses this one call in the same
// way (a filter before it may): another call tells.
//
// Where a call was refused so once, the next refusal is looked into before
// anyone logs in, so that a caller whose calls are filtered costs no handshake
// each time. Elsewhere a session that is over, which is the ordinary case, costs
// no call more than it must.
func (r *Remote) do(ctx context.Context, effect Effect, result any, call func(context.Context, *Session) error) error {
	l, verifying := ctx.Value(verified{}).(*live)
	if !verifying {
		var err error
		if l, err = r.session.acquire(ctx, 0); err != nil {
			return classify(err, nil)
		}
	}
	expired, refusal := r.attempt(ctx, effect, l, result, call)
	switch {
	case !expired:
		return refusal
	case verifying:
		return r.session.rejected(l)
	case l.filtered.Load():
		err := r.verify(ctx, l)
		if err == nil {
			return r.explain(ctx, effect, refusal, l.session.secrets())
		}
		if !apierror.Is(err, apierror.TrackerLoginFailed) {
			return err
		}
	}
	l, err := r.session.acquire(ctx, l.generation)
	if err != nil {
		return classify(err, nil)
	}
	if expired, refusal = r.attempt(ctx, effect, l, result, call); expired && l.kept {
		if l, err = r.session.acquire(ctx, l.generation); err != nil {
			return classify(err, nil)
		}
		expired, refusal = r.attempt(ctx, effect, l, result, call)
	}
	if !expired {
		return refusal
	}
	if err := r.verify(ctx, l); err != nil {
		return err
	}
	l.filtered.Store(true)
	return r.explain(ctx, effect, refusal, l.session.secrets())
}

// verified holds, in a context, the session that a call is made to find out
// about.
type verified struct{}

// verify finds out, with another call, whether the tracker takes a session at
// all. TRACKER_LOGIN_FAILED says that it does not.
func (r *Remote) verify(ctx context.Context, l *live) error {
	_, err := r.dialect.About(context.WithValue(ctx, verified{}, l))
	return classify(err, nil)
}

// attempt makes the call with one session and says how it ended.
func (r *Remote) attempt(ctx context.Context, effect Effect, l *live, result any, call func(context.Context, *Session) error) (expired bool, err error) {
	begun := time.Now()
	err = repeatStale(ctx, effect, l.session, call)
	if err != nil && r.dialect.Expired(err) {
		r.options.observer.TrackerCall(r.config.Name, OutcomeExpired, time.Since(begun))
		return true, err
	}
	r.judge(err)
	if err == nil && effect == Read { // what was written is written, whatever its answer holds
		err = charge(ctx, result)
	}
	err = r.explain(ctx, effect, err, l.session.secrets())
	r.options.observer.TrackerCall(r.config.Name, outcomeOf(err), time.Since(begun))
	r.session.used(l, err)
	return false, err
}

// repeatStale repeats a read once when a kept connection turns out to have been
// closed by the tracker, which happens in the ordinary course of things.
func repeatStale(ctx context.Context, effect Effect, session *Session, call func(context.Context, *Session) error) error {
	var kept atomic.Bool
	err := call(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { kept.Store(info.Reused) },
	}), session)
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if transport := new(xmlrpc.TransportError); effect == Read && kept.Load() && closed && errors.As(err, &transport) {
		return call(ctx, session)
	}
	return err
}

// explain makes the catalogue's error of the failure of a call.
func (r *Remote) explain(ctx context.Context, effect Effect, err error, secrets []string) error {
	if err == nil {
		return nil
	}
	fault := new(xmlrpc.Fault)
	if explainer, ok := r.dialect.(FaultExplainer); ok && errors.As(err, &fault) {
		if explained := explainer.ExplainFault(cleanFault(fault, secrets)); explained != nil {
			return explained
		}
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		// The connection was closed under the call because its time was up.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	classified := classify(err, secrets)
	if effect == Write && executedPerhaps(err) {
		return outcomeUnknown(classified)
	}
	return classified
}

// judge lets the session take note of an answer. That the tracker does not know a
// method, or a place, that a caller named says nothing about the tracker.
func (r *Remote) judge(err error) {
	fault, status := new(xmlrpc.Fault), new(xmlrpc.HTTPError)
	if _, forwarded := r.dialect.(passing); forwarded && (errors.As(err, &fault) || errors.As(err, &status)) {
		return
	}
	r.session.judge(err)
}
