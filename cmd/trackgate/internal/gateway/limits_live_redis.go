package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
)

// Limits of [sharedLedger].
const (
	// ledgerQueue is how many events wait for Redis at most; more are lost, and
	// then the count is wrong by as many until they expire.
	ledgerQueue = 8192
	// ledgerBatch is how many events share a round trip.
	ledgerBatch = 512
	// ledgerLimit is how long a mint waits for the count, and a batch for Redis.
	ledgerLimit = 100 * time.Millisecond
	// ledgerFresh is how long a count that is far from the limit is believed.
	ledgerFresh = time.Second
	// ledgerCallers is how many counts are kept.
	ledgerCallers = 4096
)

// sharedLedger counts in Redis, for all gateways:
//
//	trackgate:live:CALLER   a hash: live tokens by the slice in which they were minted
//	trackgate:o:TOKEN       whose a live token is: "SLICE CALLER", by the 8 bytes of its
//	                        fingerprint; there is one for every live token, so it is short
//
// All commands are about one key. Minting and accepting do not wait for it: events
// are written by one goroutine, many in a round trip.
type sharedLedger struct {
	slices
	client   redis.UniversalClient
	lifetime time.Duration
	logger   *slog.Logger
	events   chan ledgerEvent
	stopped  chan struct{}

	mu     sync.Mutex
	closed bool
	known  map[ratelimit.Caller]knownCount
}

var _ liveLedger = (*sharedLedger)(nil)

// ledgerEvent is a token that was minted for a caller, one that ended, or, with
// written, a question whether all before it has been written.
type ledgerEvent struct {
	token   handshake.Fingerprint
	caller  ratelimit.Caller
	slice   int64
	written chan struct{}
}

// knownCount is what Redis said of a caller, and what was minted here since then.
type knownCount struct {
	count int
	at    time.Time
}

func newSharedLedger(client redis.UniversalClient, lifetime time.Duration, now func() time.Time, logger *slog.Logger) *sharedLedger {
	l := &sharedLedger{
		slices: slicesOf(lifetime, now), client: client, lifetime: lifetime, logger: logger,
		events: make(chan ledgerEvent, ledgerQueue), stopped: make(chan struct{}), known: map[ratelimit.Caller]knownCount{},
	}
	go l.run()
	return l
}

func (l *sharedLedger) minted(f handshake.Fingerprint, c ratelimit.Caller) {
	l.mu.Lock()
	if k, ok := l.known[c]; ok {
		k.count++
		l.known[c] = k
	}
	l.mu.Unlock()
	l.tell(ledgerEvent{token: f, caller: c, slice: l.current()})
}

func (l *sharedLedger) ended(f handshake.Fingerprint) { l.tell(ledgerEvent{token: f}) }

// tell queues an event, or loses it when too many wait.
func (l *sharedLedger) tell(e ledgerEvent) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.events <- e:
		return true
	default:
		return false
	}
}

// live believes a count from a moment ago while it is far from enough. Near to
// it, it waits until what was minted here is written, and asks.
func (l *sharedLedger) live(ctx context.Context, c ratelimit.Caller, enough int) (int, error) {
	now := l.now()
	l.mu.Lock()
	k, ok := l.known[c]
	l.mu.Unlock()
	if ok && now.Sub(k.at) < ledgerFresh && k.count < enough/2 {
		return k.count, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerLimit)
	defer cancel()
	written := make(chan struct{})
	if l.tell(ledgerEvent{written: written}) {
		select {
		case <-written:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	count, err := l.ask(ctx, c)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= ledgerCallers {
		clear(l.known)
	}
	l.known[c] = knownCount{count, now}
	return count, nil
}

// ask adds up the slices that are not over, and drops the others.
func (l *sharedLedger) ask(ctx context.Context, c ratelimit.Caller) (int, error) {
	fields, err := l.client.HGetAll(ctx, liveKey(c)).Result()
	if err != nil {
		return 0, err
	}
	count := 0
	var over []string
	for field, text := range fields {
		slice, _ := strconv.ParseInt(field, 10, 64)
		n, _ := strconv.Atoi(text)
		if l.over(slice) {
			over = append(over, field)
		} else {
			count += max(n, 0)
		}
	}
	if len(over) > 0 {
		err = l.client.HDel(ctx, liveKey(c), over...).Err()
	}
	return count, err
}

func liveKey(c ratelimit.Caller) string { return "trackgate:live:" + string(c) }

func ownerKey(f handshake.Fingerprint) string { return "trackgate:o:" + string(f[:]) }

// close writes what waits, and ends.
func (l *sharedLedger) close() {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	if !already {
		close(l.events)
	}
	<-l.stopped
}

// run writes events until the ledger is closed.
func (l *sharedLedger) run() {
	defer close(l.stopped)
	for first := range l.events {
		batch := append(make([]ledgerEvent, 0, ledgerBatch), first)
		for len(batch) < ledgerBatch && len(l.events) > 0 {
			batch = append(batch, <-l.events)
		}
		l.write(batch)
		for _, e := range batch {
			if e.written != nil {
				close(e.written)
			}
		}
	}
}

// account is where a token is counted.
type account struct {
	caller ratelimit.Caller
	slice  int64
}

// write makes two round trips at most: one for what is minted and whose the
// ended tokens are, and one to take these from their owners.
func (l *sharedLedger) write(batch []ledgerEvent) {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerLimit)
	defer cancel()
	changes := map[account]int64{}
	var owners []*redis.StringCmd
	_, err := l.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range batch {
			switch {
			case e.written != nil:
			case e.caller != "":
				p.Set(ctx, ownerKey(e.token), strconv.FormatInt(e.slice, 10)+" "+string(e.caller), l.lifetime+l.length)
				changes[account{e.caller, e.slice}]++
			default:
				owners = append(owners, p.GetDel(ctx, ownerKey(e.token)))
			}
		}
		l.change(ctx, p, changes)
		return nil
	})
	clear(changes)
	for _, owner := range owners {
		slice, caller, found := strings.Cut(owner.Val(), " ")
		if n, parseErr := strconv.ParseInt(slice, 10, 64); found && parseErr == nil {
			changes[account{ratelimit.Caller(caller), n}]--
		}
	}
	if len(changes) > 0 {
		_, err = l.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			l.change(ctx, p, changes)
			return nil
		})
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		l.logger.Debug("live tokens were not counted", "events", len(batch), "error", err)
	}
}

// change adds to counts. The hash outlives the last token that is counted in it.
func (l *sharedLedger) change(ctx context.Context, p redis.Pipeliner, changes map[account]int64) {
	for a, n := range changes {
		p.HIncrBy(ctx, liveKey(a.caller), strconv.FormatInt(a.slice, 10), n)
		p.PExpire(ctx, liveKey(a.caller), l.lifetime+2*l.length)
	}
}
