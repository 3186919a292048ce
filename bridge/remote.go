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

// maxPage bounds the body of a plain HTTP answer that [Remote.Get] keeps.
const maxPage = 64 << 10

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

	// Set once, before the first call.
	dialect Dialect
	session *session
}

func newRemote(c Config, base *url.URL, o *options) *Remote {
	return &Remote{config: c, base: base, options: o, http: newHTTPClient(c, base, o)}
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
func (r *Remote) Connections() int { return r.options.connections }

// Midway asks, and returns the gateway's clock half way between question and
// answer, to compare a tracker's clock with.
func (r *Remote) Midway(ask func() error) (time.Time, error) {
	before := r.options.now()
	err := ask()
	return before.Add(r.options.now().Sub(before) / 2), err
}

// Page is a plain HTTP answer.
type Page struct {
	StatusCode int
	Header     http.Header
	// Body is at most the first 64 KiB.
	Body []byte
}

// Cookie returns the value of a cookie that the answer sets, and "" when it sets
// none of that name. Cookies are cleared by setting one that is over, or empty.
func (p *Page) Cookie(name string) string {
	now, err := http.ParseTime(p.Header.Get("Date"))
	if err != nil { // the tracker's clock, which need not be ours, is not known
		now = time.Now()
	}
	value := ""
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		over := c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(now)
		if c.Name == name && c.Value != "" && !over {
			value = c.Value
		}
	}
	return value
}

// Status says what the status of the answer means, as errors do, without a full
// stop.
func (p *Page) Status() string { return describeStatus(p.StatusCode, nil, nil, nil) }

// Get fetches a place below the base URL without a session. Any HTTP status is
// an answer. The segments, one of which may be a token, are kept out of the
// errors.
func (r *Remote) Get(ctx context.Context, segments ...string) (*Page, error) {
	page, err := r.get(ctx, r.URL(segments...))
	err = classify(err, segments)
	r.session.reached(err)
	return page, err
}

func (r *Remote) get(ctx context.Context, place string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", r.options.userAgent)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil && isTimeout(err) {
		return nil, err
	}
	if err != nil {
		return nil, badAnswer("The answer was cut off.")
	}
	return &Page{StatusCode: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

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
	return e.do(ctx, effect, result, func(ctx context.Context, c *xmlrpc.Client) error {
		return c.Call(ctx, method, result, params...)
	})
}

// Send is [Endpoint.Call] for a document that holds the whole call.
func (e *Endpoint) Send(ctx context.Context, effect Effect, document []byte, result any) error {
	return e.do(ctx, effect, result, func(ctx context.Context, c *xmlrpc.Client) error {
		return c.Send(ctx, document, result)
	})
}

// do makes one call with the tracker's session: with one that is made for it
// when there is none, and once more with a new one when the tracker says that
// the session was over and the call therefore not executed. If it says so again,
// either it accepts no session of ours, or it refuses this one call in the same
// way (a filter before it may): another call tells.
//
// Where a call was refused so once, the next refusal is looked into before
// anyone logs in, so that a caller whose calls are filtered costs no handshake
// each time. Elsewhere a session that is over, which is the ordinary case, costs
// no call more than it must.
func (e *Endpoint) do(ctx context.Context, effect Effect, result any, call func(context.Context, *xmlrpc.Client) error) error {
	r := e.remote
	l, verifying := ctx.Value(verified{}).(*live)
	if !verifying {
		var err error
		if l, err = r.session.acquire(ctx, 0); err != nil {
			return classify(err, nil)
		}
	}
	expired, refusal := e.attempt(ctx, effect, l, result, call)
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
	if expired, refusal = e.attempt(ctx, effect, l, result, call); !expired {
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
func (e *Endpoint) attempt(ctx context.Context, effect Effect, l *live, result any, call func(context.Context, *xmlrpc.Client) error) (expired bool, err error) {
	r := e.remote
	begun := time.Now()
	err = e.repeatStale(ctx, effect, e.client.With(xmlrpc.WithCookies(l.session.Cookies...)), call)
	if err != nil && r.dialect.Expired(err) {
		r.options.observer.TrackerCall(r.config.Name, OutcomeExpired, time.Since(begun))
		return true, err
	}
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
func (e *Endpoint) repeatStale(ctx context.Context, effect Effect, client *xmlrpc.Client, call func(context.Context, *xmlrpc.Client) error) error {
	var kept atomic.Bool
	err := call(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { kept.Store(info.Reused) },
	}), client)
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if transport := new(xmlrpc.TransportError); effect == Read && kept.Load() && closed && errors.As(err, &transport) {
		return call(ctx, client)
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
		if explained := explainer.ExplainFault(fault); explained != nil {
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
