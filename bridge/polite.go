package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/trackgate/trackgate/apierror"
)

// How a tracker is spared.
const (
	// DefaultBreakAfter is how many requests in a row must fail, because the
	// tracker cannot be reached, does not answer in time, or answers 502, 503 or
	// 504, before it is left alone.
	DefaultBreakAfter = 5
	// DefaultBreakFor is how long no request is sent to a tracker that seems dead.
	// One request then finds out whether it is.
	DefaultBreakFor = 30 * time.Second
	// MaxRetryAfter is how long a tracker's Retry-After is honoured at most.
	MaxRetryAfter = time.Hour
	// MaxCallsPerSecond is the fastest pace that can be set.
	MaxCallsPerSecond = 10_000
	// DefaultRetryAfter is how long no request is sent to a tracker that answered
	// 429 and did not say when to come back.
	DefaultRetryAfter = 5 * time.Second
)

// politeTransport spares a tracker: it sends no more requests a second than it
// may, none while the tracker wants to be left alone, and none to one that is
// dead. A request that is not sent fails with a [heldError].
type politeTransport struct {
	next    http.RoundTripper
	options *options
	name    string
	slots   chan struct{} // as many as there may be connections
	pace    *rate.Limiter // nil: as fast as callers come

	breaker atomic.Pointer[gobreaker.TwoStepCircuitBreaker[struct{}]]

	mu     sync.Mutex
	broken time.Time // when the breaker lets a request through again
	until  time.Time // when the tracker said to come back
	status int       // with which it said so
}

var _ http.RoundTripper = (*politeTransport)(nil)

func newPoliteTransport(next http.RoundTripper, c Config, o *options) *politeTransport {
	connections := o.connections
	if c.Connections > 0 {
		connections = c.Connections
	}
	p := &politeTransport{next: next, options: o, name: c.Name, slots: make(chan struct{}, connections)}
	perSecond := c.CallsPerSecond
	if perSecond == 0 {
		perSecond = o.callsPerSecond
	}
	if perSecond > 0 {
		p.pace = rate.NewLimiter(rate.Limit(perSecond), int(math.Ceil(perSecond)))
	}
	p.reset()
	return p
}

// errDead is what the breaker is told of a failure, errAbandoned what it is told
// of a request that ended for reasons of the caller's.
var (
	errDead      = errors.New("bridge: the tracker did not answer")
	errAbandoned = errors.New("bridge: the caller went away")
)

// reset forgets what is known about the tracker, so that the next request is
// sent.
func (p *politeTransport) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken, p.until, p.status = time.Time{}, time.Time{}, 0
	var breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     p.options.breakFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(p.options.breakAfter) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errAbandoned) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if p.breaker.Load() == breaker { // and not one from before a reset
				p.changed(to)
			}
		},
	})
	p.breaker.Store(breaker)
}

// changed takes note of what the breaker does.
func (p *politeTransport) changed(to gobreaker.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch to {
	case gobreaker.StateOpen:
		p.broken = p.options.now().Add(p.options.breakFor)
		p.options.logger.Warn("tracker does not answer and is left alone", "tracker", p.name, "next_try", p.broken)
	case gobreaker.StateClosed:
		p.broken = time.Time{}
		p.options.logger.Info("tracker answers again", "tracker", p.name)
	case gobreaker.StateHalfOpen:
	}
}

// held returns when the next request is sent, and the zero time when one would
// be at once.
func (p *politeTransport) held() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.now()
	next := p.until
	if p.broken.After(next) {
		next = p.broken
	}
	if !next.After(now) {
		return time.Time{}
	}
	return next
}

// RoundTrip sends a request if it may be sent.
func (p *politeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	finish, err := p.breaker.Load().Allow()
	if err != nil {
		p.leave()
		return nil, p.dead()
	}
	begun := p.options.now()
	end := func(err error) {
		finish(p.verdict(ctx, err, p.options.now().Sub(begun)))
		p.leave()
	}
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		end(err)
		return nil, err
	}
	p.listen(resp)
	watched := &watchedBody{ReadCloser: resp.Body, end: end}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		watched.whole = errDead
	}
	resp.Body = watched
	return resp, nil
}

// enter waits for one of the connections and for its turn, and fails at once, now
// or after the waiting, when nothing may be sent.
func (p *politeTransport) enter(ctx context.Context) error {
	if err := p.allowed(ctx); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := p.wait(ctx)
	if err == nil {
		err = p.allowed(ctx)
	}
	if err != nil {
		p.leave()
	}
	return err
}

func (p *politeTransport) leave() { <-p.slots }

// allowed fails while nothing may be sent.
func (p *politeTransport) allowed(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.asked(); err != nil {
		return err
	}
	if p.breaker.Load().State() == gobreaker.StateOpen {
		return p.dead()
	}
	return nil
}

// verdict is what the breaker is told about an exchange that ended with err, nil
// for the end of a whole answer. That a caller went away says nothing, nor does
// that its time was up soon after the request was sent.
func (p *politeTransport) verdict(ctx context.Context, err error, took time.Duration) error {
	var address *AddressError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled), errors.As(err, &address):
		return errAbandoned
	case ctx.Err() != nil && took < p.options.timeLimit/2:
		return errAbandoned
	}
	return errDead
}

// asked fails while the tracker wants to be left alone.
func (p *politeTransport) asked() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.options.now(); p.until.After(now) {
		return &heldError{
			reason: fmt.Sprintf("It answered HTTP %d and asked to be left alone for a while.", p.status),
			until:  p.until, wait: p.until.Sub(now),
		}
	}
	return nil
}

// wait keeps the pace. It fails at once when the caller's time would be up
// before its turn.
func (p *politeTransport) wait(ctx context.Context) error {
	if p.pace == nil {
		return nil
	}
	err := p.pace.Wait(ctx)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	const soon = time.Second
	return &heldError{reason: "More requests wait for it than its limit of calls per second lets through in time.", until: p.options.now().Add(soon), wait: soon}
}

// dead is the error while the breaker is open.
func (p *politeTransport) dead() error {
	now := p.options.now()
	until := p.held()
	if until.IsZero() { // another request is finding out at this moment
		until = now.Add(time.Second)
	}
	return &heldError{reason: "It did not answer several times in a row.", until: until, wait: until.Sub(now)}
}

// listen heeds what the tracker says about coming back.
func (p *politeTransport) listen(resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	wait, said := retryAfter(resp.Header, p.options.now())
	if !said {
		if resp.StatusCode == http.StatusServiceUnavailable {
			return // the breaker counts these
		}
		wait = DefaultRetryAfter
	}
	if wait <= 0 {
		return
	}
	p.mu.Lock()
	if until := p.options.now().Add(min(wait, MaxRetryAfter)); until.After(p.until) {
		p.until, p.status = until, resp.StatusCode
	}
	until := p.until
	p.mu.Unlock()
	p.options.logger.Warn("tracker wants to be left alone", "tracker", p.name, "status", resp.StatusCode, "next_try", until)
}

// retryAfter reads a Retry-After of RFC 9110, section 10.2.3: seconds, or a date,
// which is compared with the tracker's own clock where it tells it.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, said bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return at.Sub(now), true
}

// watchedBody tells how an answer ended.
type watchedBody struct {
	io.ReadCloser
	whole error // what a whole answer amounts to
	once  sync.Once
	end   func(error)
}

// Read reads on. An answer that breaks off is the tracker's failure.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.once.Do(func() { b.end(b.whole) })
	case err != nil:
		b.once.Do(func() { b.end(err) })
	}
	return n, err
}

// Close ends an answer that was read as far as it was wanted.
func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.end(b.whole) })
	return err
}

// heldError is the failure of a request that was not sent.
type heldError struct {
	reason string
	until  time.Time
	wait   time.Duration
}

// Error gives the reason and the time of the next try.
func (e *heldError) Error() string {
	return e.reason + " No request is sent before " + shownTime(e.until) + " UTC; trackers.retry ends the waiting."
}

// known is the error of the catalogue.
func (e *heldError) known() error {
	return apierror.New(apierror.TrackerUnavailable).
		WithDetail(e.Error()).
		WithExtra("next_try", wholeSecond(e.until).Format(time.RFC3339)).
		WithRetryAfter(e.wait)
}

// wholeSecond is the first whole second after t, in UTC.
func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second).Add(time.Second) }

func shownTime(t time.Time) string { return wholeSecond(t).Format("2006-01-02 15:04:05") }
