package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

const (
	// openLimit bounds how long [Open] waits for the store.
	openLimit = 5 * time.Second
	// closeLimit bounds how long [Trail.Close] waits for it.
	closeLimit = 5 * time.Second
	// retryStore is what a caller is told to wait when the store has failed.
	retryStore = 2 * time.Second
	// warnEvery is how often at most the log tells of failures.
	warnEvery = time.Minute
)

// Reasons of [TrailSuppressed].
const (
	// ReasonFlood: callers were refused too often for a list.
	ReasonFlood = "flood"
	// ReasonQueue: too many entries waited for the store.
	ReasonQueue = "queue"
)

// Trail is the policy with which a gateway keeps its trail: what is listed and
// what is only counted, what waits, what happens when the store takes nothing, and
// when old entries make room. It is safe for concurrent use and made by [Open]. A
// nil *Trail keeps no trail.
//
// One background goroutine writes what waits, another makes room. An entry whose
// write the store did not confirm is written again and may stand there twice.
type Trail struct {
	store Store
	set   settings
	chain *Chain
	crowd crowd

	mu      sync.Mutex
	waiting []Entry
	lost    tally // what the queue had no room for
	closed  bool
	warned  time.Time
	silent  int // failures since the last warning

	wake     chan struct{} // holds one: something waits
	stop     chan struct{} // closed by Close
	stopped  sync.WaitGroup
	ctx      context.Context // of everything in the background
	cancel   context.CancelFunc
	closeErr error
	// seen are the numbers at which the last witnessing found the chains, and due is
	// whether it is time for another one. Open uses them, then the writer alone.
	seen map[ChainID]uint64
	due  bool
}

// Open begins a chain in a store, which stays the caller's to close. The chain's
// first entry is [GatewayStarted], whoever writes first; behind it stand the heads
// of the other chains, as far as the store tells them. A store that does not
// answer is no failure: the chain begins when it does.
func Open(ctx context.Context, store Store, opts ...Option) (*Trail, error) {
	s := settings{now: time.Now, required: true, queue: DefaultQueue, callerLimit: DefaultCallerLimit, maxCallers: DefaultMaxCallers}
	for _, opt := range opts {
		opt(&s)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	switch {
	case store == nil:
		return nil, errors.New("audit: there is no store for the trail")
	case s.queue < 1 || s.callerLimit < 1 || s.maxCallers < 1:
		return nil, fmt.Errorf("audit: the queue (%d), the refusals of a caller (%d) and the callers (%d) must all be at least 1",
			s.queue, s.callerLimit, s.maxCallers)
	case s.maxAge < 0 || s.maxSize < 0:
		return nil, fmt.Errorf("audit: the age (%v) and the size (%d) that are kept must not be negative", s.maxAge, s.maxSize)
	}
	t := &Trail{
		store: store, set: s, chain: NewChain(NewChainID(), s.keys.Signing()),
		crowd: crowd{perCaller: s.callerLimit, maxCallers: s.maxCallers},
		wake:  make(chan struct{}, 1), stop: make(chan struct{}), due: true,
	}
	t.chain.opening.Store(&Entry{Time: s.now(), Subsystem: SubsystemGateway, Code: GatewayStarted, Outcome: Done, Name: s.gateway, Detail: s.started})
	if err := store.Begin(ctx, t.chain); err != nil {
		return nil, fmt.Errorf("audit: the chain cannot be begun: %w", err)
	}
	opening, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	if err := t.write(opening, nil); err != nil {
		t.warn("the audit trail cannot be written yet: the gateway starts, and the trail with the store", err)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.stopped.Go(t.writing)
	t.stopped.Go(t.rotating)
	return t, nil
}

// Record writes an entry and returns when it is as durable as a token would be.
// Refusals of a caller beyond the limit are counted instead. It fails with
// STORE_UNAVAILABLE, when the trail is required: what was to be recorded must then
// be refused.
func (t *Trail) Record(ctx context.Context, e Entry) error {
	if t == nil {
		return nil
	}
	e = t.Fill(ctx, e)
	if !t.crowd.admit(&e, t.set.now()) {
		return nil
	}
	err := t.store.Append(ctx, e)
	switch {
	case err == nil:
		return nil
	case t.set.required:
		return unavailable(err)
	}
	t.warn("an entry of the audit trail could not be written and waits: audit.required is false", err)
	t.enqueue(e)
	return nil
}

func unavailable(err error) error {
	return apierror.New(apierror.StoreUnavailable).WithRetryAfter(retryStore).WithCause(err)
}

// Note writes an entry soon, without waiting for it. Refusals of a caller beyond
// the limit, and what finds the queue full, are counted instead.
func (t *Trail) Note(ctx context.Context, e Entry) {
	if t == nil {
		return
	}
	e = t.Fill(ctx, e)
	if t.crowd.admit(&e, t.set.now()) {
		t.enqueue(e)
	}
}

// Crowded tells whether further refusals of a caller would only be counted now, so
// that nobody need write what he intends about them.
func (t *Trail) Crowded(caller netip.Addr) bool {
	return t != nil && t.crowd.full(caller, t.set.now())
}

// Fill returns an entry with the time, and with what the context tells of its
// origin, where it has none.
func (t *Trail) Fill(ctx context.Context, e Entry) Entry {
	if e.Time.IsZero() {
		now := time.Now
		if t != nil {
			now = t.set.now
		}
		e.Time = now()
	}
	OriginOf(ctx).fill(&e)
	return e
}

// Required tells whether what cannot be recorded must be refused.
func (t *Trail) Required() bool { return t != nil && t.set.required }

// Chain returns the name of the chain; it is zero for a nil trail.
func (t *Trail) Chain() ChainID {
	if t == nil {
		return ChainID{}
	}
	return t.chain.id
}

// Close writes what waits, and that the gateway stopped, and ends what runs in the
// background. It takes as long as the context allows and 5 s at most, and tells
// what could not be written. Entries that come later are lost; a second Close does
// nothing.
func (t *Trail) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	closed := t.closed
	t.closed = true
	t.mu.Unlock()
	if closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	defer context.AfterFunc(ctx, t.cancel)()
	defer t.cancel()
	close(t.stop)
	done := make(chan struct{})
	go func() {
		t.stopped.Wait()
		close(done)
	}()
	select {
	case <-done:
		return t.closeErr
	case <-ctx.Done():
	}
	// A store that is in the middle of a call looks at no context any more.
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Errorf("audit: the trail could not be closed in time, with %d entries waiting: %w", len(t.waiting), ctx.Err())
}

// warn logs a failure, unless it has just done so.
func (t *Trail) warn(message string, err error) {
	t.mu.Lock()
	now := time.Now()
	quiet := !t.warned.IsZero() && now.Sub(t.warned) < warnEvery
	silent := t.silent
	if quiet {
		t.silent++
	} else {
		t.warned, t.silent = now, 0
	}
	t.mu.Unlock()
	if !quiet {
		//nolint:sloglint // every caller gives a constant
		t.set.log.Warn(message, "error", clean(err.Error(), MaxDetail), "failures_not_logged", silent)
	}
}
