package bridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Bounds of the back-off after refused log-ins. The wait doubles from the first
// to the last; a random part of at most a quarter is added below the last, so
// that gateways that were refused together do not come back together.
const (
	FirstBackoff = 5 * time.Second
	LastBackoff  = 5 * time.Minute
)

// revokeLimit bounds the revocation of a token, which happens when the time of
// the log-in may be used up.
const revokeLimit = 5 * time.Second

// SessionState says how a tracker's session stands.
type SessionState string

// The states of a session.
const (
	SessionNone    SessionState = "none"    // there is none; the next call logs in
	SessionLive    SessionState = "live"    // there is one that the tracker has not refused yet
	SessionBackoff SessionState = "backoff" // log-ins were refused and none is made for a while
	SessionDown    SessionState = "down"    // the tracker could not be reached the last time
)

// session is the one session of a tracker. Its mutex is held to read and write
// its fields and never while the tracker or the minter is called.
type session struct {
	tracker string
	secrets Secrets
	options *options
	login   func(context.Context, *Credentials) (*Session, error)
	base    context.Context // of log-ins, which no caller's end may cancel
	running *sync.WaitGroup
	keeper  *sessionKeeper

	mu         sync.Mutex
	current    *live         // nil: none
	generation uint64        // of the last session made or taken over
	lastID     string        // of the last session
	attempt    *loginAttempt // nil: none is under way
	refusals   int           // in a row
	until      time.Time     // no log-in before, after a refusal
	refusal    string        // what the tracker said last
	down       bool
	closed     bool // no log-in begins any more
	recalled   bool // the back-off from before a restart is no longer looked for

	// strange is set when the tracker's last answer was not one of its dialect.
	strange atomic.Bool
}

// RefusedError is the failure of a [Dialect]'s log-in when the tracker said no to
// what it was given. It begins the back-off.
type RefusedError struct {
	// Reason says what the tracker answered, in a sentence, without anything
	// secret.
	Reason string
}

// Error gives the reason.
func (e *RefusedError) Error() string { return e.Reason }

// live is a session that was made or taken over, numbered so that of many
// callers that find it expired only the first has it replaced.
type live struct {
	session    *Session
	generation uint64
	id         string // the same in every gateway
	// kept is set when it was found in the state store, in which case nobody knows
	// whether the tracker still takes it.
	kept bool
	// proven is set, under the mutex, once a call with it was not refused.
	proven bool
	// filtered is set once a call with it was refused although others are not.
	filtered atomic.Bool
}

// loginAttempt is a log-in under way, which any number of callers wait for.
type loginAttempt struct {
	done chan struct{} // closed once made or err is set
	made *live
	err  error
}

func newSession(base context.Context, running *sync.WaitGroup, o *options, c *Config, dialect string, login func(context.Context, *Credentials) (*Session, error)) *session {
	return &session{
		tracker: c.Name, secrets: c.Secrets, options: o, login: login, base: base, running: running,
		keeper: newSessionKeeper(o, c, dialect),
	}
}

// acquire returns a session of a later generation than stale. When there is none
// it takes over a kept one or logs in, or joins the log-in under way. A stale of
// zero takes any.
func (s *session) acquire(ctx context.Context, stale uint64) (*live, error) {
	s.mu.Lock()
	if s.current != nil && s.current.generation > stale {
		defer s.mu.Unlock()
		return s.current, nil
	}
	s.current = nil
	if s.attempt == nil {
		if now := s.options.now(); now.Before(s.until) {
			defer s.mu.Unlock()
			return nil, s.backingOff(now)
		}
		if s.closed {
			defer s.mu.Unlock()
			return nil, apierror.New(apierror.TrackerUnavailable).WithDetail("The gateway is stopping.")
		}
		attempt := &loginAttempt{done: make(chan struct{})}
		s.attempt = attempt
		s.running.Go(func() { s.run(attempt) })
	}
	attempt := s.attempt
	s.mu.Unlock()

	select {
	case <-attempt.done:
		return attempt.made, attempt.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the log-in: %w", ctx.Err())
	}
}

// run finds a kept session, or makes one log-in. It is detached from the caller
// that asked for it, whose going away must not cost the others their session.
// What is kept of how it ended is kept when they have been told.
func (s *session) run(attempt *loginAttempt) {
	found, rotate, err := s.recall()
	if found == nil && err == nil {
		s.renew(attempt)
		return
	}
	s.mu.Lock()
	s.attempt = nil
	attempt.made, attempt.err = found, err
	s.mu.Unlock()
	if found != nil {
		s.options.logger.Info("took over a kept session of tracker", "tracker", s.tracker)
	}
	close(attempt.done)
	if rotate {
		s.save(found)
	}
}

// renew makes one log-in.
func (s *session) renew(attempt *loginAttempt) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(s.base, s.options.timeLimit)
	defer cancel()
	credentials := &Credentials{tracker: s.tracker, minter: s.options.minter, secrets: s.secrets}
	made, err := (*Session)(nil), s.options.admission.Login(ctx, s.tracker)
	admitted := err == nil
	if admitted {
		made, err = s.logIn(ctx, credentials)
	}
	s.revoke(credentials)
	refusal := new(RefusedError)
	refused := errors.As(err, &refusal)
	if !refused {
		err = classify(err, nil)
	}
	if admitted {
		s.options.observer.TrackerLogin(s.tracker, loginOutcome(err), time.Since(begun))
	}

	var log func()
	s.mu.Lock()
	s.attempt = nil
	before := s.lastID
	switch {
	case err == nil:
		s.begin(&live{session: made, id: newSessionID()})
		s.down = false
		attempt.made = s.current
		log = func() { s.options.logger.Info("logged in to tracker", "tracker", s.tracker) }
	case refused:
		s.down = false
		s.strange.Store(true) // it may be another tracker than it was taken for
		log, attempt.err = s.refused(refusal.Reason)
	default:
		s.down = unreachable(err)
		s.judge(err)
		attempt.err = err
		log = func() { s.options.logger.Warn("log-in to tracker failed", "tracker", s.tracker, "error", err) }
	}
	s.mu.Unlock()
	log()
	close(attempt.done)

	if err == nil {
		s.save(attempt.made)
		return
	}
	s.drop(before)
	if refused {
		s.recordBackoff()
	}
}

// begin makes l the current session. The mutex is held.
func (s *session) begin(l *live) {
	s.generation++
	l.generation = s.generation
	s.current, s.lastID = l, l.id
}

// logIn calls the dialect.
func (s *session) logIn(ctx context.Context, credentials *Credentials) (made *Session, err error) {
	defer caught(s.options.logger, s.tracker, &err)
	made, err = s.login(ctx, credentials)
	if err == nil && made == nil {
		err = apierror.New(apierror.ServerError).WithCause(errors.New("bridge: a log-in gave no session"))
	}
	return made, err
}

// revoke ends the tokens of a log-in. A token that cannot be revoked now is one
// that expires soon; the log-in stands.
func (s *session) revoke(c *Credentials) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), revokeLimit)
	defer cancel()
	for _, revoke := range c.revoke {
		if err := revoke(ctx); err != nil {
			s.options.logger.Warn("a log-in token could not be revoked", "tracker", s.tracker, "error", err)
		}
	}
}

// refused begins or lengthens the back-off. The mutex is held; log is called
// without it.
func (s *session) refused(reason string) (log func(), err error) {
	s.refusals++
	now := s.options.now()
	s.until = now.Add(backoff(s.refusals, rand.Float64()))
	s.refusal = reason
	refusals, until := s.refusals, s.until
	return func() {
		s.options.logger.Warn("tracker refused the log-in",
			"tracker", s.tracker, "reason", reason, "refusals", refusals, "next_try", until)
	}, s.backingOff(now)
}

// backingOff is the error while no log-in is made. The mutex is held.
func (s *session) backingOff(now time.Time) error {
	return apierror.New(apierror.TrackerLoginFailed).
		WithDetail(fmt.Sprintf("%s No new log-in to %s is made before %s UTC; trackers.retry ends the waiting.",
			s.refusal, s.tracker, shownTime(s.until))).
		WithExtra("next_try", wholeSecond(s.until).Format(time.RFC3339)).
		WithRetryAfter(s.until.Sub(now))
}

// backoff is the wait after the nth refusal in a row; random is in [0, 1).
func backoff(n int, random float64) time.Duration {
	delay := LastBackoff
	if shift := n - 1; shift < 10 { // far above LastBackoff already
		delay = min(FirstBackoff<<shift, LastBackoff)
	}
	return min(delay+time.Duration(random*float64(delay)/4), LastBackoff)
}

// used tells the session how a call with l ended that was not refused.
func (s *session) used(l *live, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = unreachable(err)
	if s.down {
		return
	}
	l.proven = true
	if s.current == l {
		if s.refusals > 0 {
			s.beside(s.recordBackoff)
		}
		s.refusals, s.until = 0, time.Time{}
	}
}

// rejected tells the session that the tracker refuses l, which it has just given.
// When no call ever succeeded with l that is a refusal to log in by another
// name, and without a back-off every call would make a handshake for nothing.
// That a kept session is over by now is no refusal: the next call logs in.
func (s *session) rejected(l *live) error {
	reason := "The tracker accepted the log-in and refused the session that it had just given."
	if l.kept {
		reason = "The tracker refused a session from before. The next call logs in."
	}
	s.mu.Lock()
	if s.current == l {
		s.current = nil
	}
	s.beside(func() { s.drop(l.id) })
	if l.kept || l.proven || s.current != nil || s.attempt != nil {
		s.mu.Unlock()
		return apierror.New(apierror.TrackerLoginFailed).WithDetail(reason)
	}
	log, err := s.refused(reason)
	s.beside(s.recordBackoff)
	s.mu.Unlock()
	log()
	return err
}

// settled waits for the log-in under way, if there is one: how it ends was decided
// before whoever waits has asked for another.
func (s *session) settled(ctx context.Context) {
	s.mu.Lock()
	attempt := s.attempt
	s.mu.Unlock()
	if attempt == nil {
		return
	}
	select {
	case <-attempt.done:
	case <-ctx.Done():
	}
}

// forget ends back-off, so that the next call logs in, and that of a gateway that
// is started later. A live session stays.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals, s.until, s.down, s.recalled = 0, time.Time{}, false, true
	s.beside(s.recordBackoff)
}

// reached tells the session how an exchange without a session ended.
func (s *session) reached(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = unreachable(err)
}

// judge takes note of whether an answer was one of the tracker's dialect. The
// error is that of the exchange, not yet of the catalogue, or that of a dialect
// that could make nothing of the answer. Others say nothing about it.
func (s *session) judge(err error) {
	status, answer, fault := new(xmlrpc.HTTPError), new(xmlrpc.AnswerError), new(xmlrpc.Fault)
	switch {
	case err == nil:
		s.strange.Store(false)
	case errors.As(err, &fault):
		s.strange.Store(fault.Code == xmlrpc.CodeMethodNotFound)
	case errors.As(err, &status):
		s.strange.Store(status.StatusCode == http.StatusNotFound || status.StatusCode == http.StatusMethodNotAllowed)
	case errors.As(err, &answer), apierror.Is(err, apierror.TrackerBadAnswer):
		s.strange.Store(true)
	}
}

// close lets no further log-in begin.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// state describes the session, with the end of the back-off.
func (s *session) state() (SessionState, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.options.now().Before(s.until):
		return SessionBackoff, s.until
	case s.down:
		return SessionDown, time.Time{}
	case s.current != nil:
		return SessionLive, time.Time{}
	}
	return SessionNone, time.Time{}
}
