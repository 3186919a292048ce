package gateway

import (
	"context"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
)

// Limits of [sharedLedger].
const (
	// ledgerWaiting is how many accounts wait for Redis at most; what happens to
	// tokens of more is lost, and then the count is wrong by as many until they
	// expire.
	ledgerWaiting = 8192
	// ledgerPause is how long what happens is gathered when nobody waits for it. As
	// much is lost when the process dies.
	ledgerPause = 50 * time.Millisecond
	// ledgerLimit is how long a mint waits for the count.
	ledgerLimit = 100 * time.Millisecond
	// ledgerWrite is how long a batch waits for Redis, and then it is lost.
	ledgerWrite = time.Second
	// ledgerFresh is how long a count that is far from the limit is believed.
	ledgerFresh = time.Second
	// ledgerCallers is how many counts are kept.
	ledgerCallers = 4096
	// ledgerOwners is how many accounts are kept whose owner is known. Those of more
	// are looked up again.
	ledgerOwners = 65536
)

// sharedLedger counts in Redis, for all gateways:
//
//	trackgate:live:CALLER   a hash: live tokens by the slice in which they were minted
//	trackgate:o:ACCOUNT     whose the tokens of an account are: "SLICE CALLER"; there is
//	                        one for each caller, slice and gateway that mints
//
// All commands are about one key. Minting and accepting do not wait for it: one
// goroutine writes what has changed, in sums. An account is written at once when it is
// made, so that it is there before another gateway is shown a token that carries it.
// Should it come later all the same, the other gateway looks a second time after
// ledgerPause. An account that nobody has written by then, or any more, is written off:
// its tokens count until they would have expired.
type sharedLedger struct {
	client   redis.UniversalClient
	lifetime time.Duration
	logger   *slog.Logger
	bell     chan struct{} // holds one when there is something to write
	haste    chan struct{} // holds one when that is waited for
	closing  chan struct{}
	stopped  chan struct{}

	mu sync.Mutex
	accounts
	owners map[handshake.Account]owner // as far as seen
	missed map[handshake.Account]missed
	next   *news
	known  map[ratelimit.Caller]knownCount
	closed bool
}

var _ liveLedger = (*sharedLedger)(nil)

// news is what is to be written next.
type news struct {
	made    map[handshake.Account]owner
	changes map[handshake.Account]int64 // tokens minted less tokens that ended
	written chan struct{}               // closed when it has been tried
}

func newNews() *news {
	return &news{made: map[handshake.Account]owner{}, changes: map[handshake.Account]int64{}, written: make(chan struct{})}
}

// knownCount is what Redis said of a caller, and what was minted here since then.
type knownCount struct {
	count int
	at    time.Time
}

func newSharedLedger(client redis.UniversalClient, lifetime time.Duration, now func() time.Time, logger *slog.Logger) *sharedLedger {
	l := newIdleLedger(client, lifetime, now, logger)
	go l.run()
	return l
}

// newIdleLedger returns a ledger that does not write by itself.
func newIdleLedger(client redis.UniversalClient, lifetime time.Duration, now func() time.Time, logger *slog.Logger) *sharedLedger {
	return &sharedLedger{
		client: client, lifetime: lifetime, logger: logger,
		bell: make(chan struct{}, 1), haste: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
		accounts: newAccounts(lifetime, now), owners: map[handshake.Account]owner{}, missed: map[handshake.Account]missed{},
		next: newNews(), known: map[ratelimit.Caller]knownCount{},
	}
}

// account gives one account to a caller for each slice.
func (l *sharedLedger) account(c ratelimit.Caller) handshake.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	if a, ok := l.byCaller[c]; ok {
		return a
	}
	if l.closed || len(l.next.made) >= ledgerWaiting {
		return ""
	}
	a, o := l.unknownAccount(), owner{c, l.slice}
	l.remember(a, o)
	l.byCaller[c], l.next.made[a] = a, o
	l.hurry()
	return a
}

// unknownAccount makes an account that is none of those known here. The mutex is held.
func (l *sharedLedger) unknownAccount() handshake.Account {
	for {
		a := l.newAccount()
		_, known := l.owners[a]
		if _, made := l.next.made[a]; !known && !made {
			return a
		}
	}
}

func (l *sharedLedger) minted(a handshake.Account, c ratelimit.Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[c]; ok {
		k.count++
		l.known[c] = k
	}
	l.tell(a, 1)
}

func (l *sharedLedger) ended(a handshake.Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(a, -1)
}

// tell notes a change, or loses it when too many wait. The mutex is held.
func (l *sharedLedger) tell(a handshake.Account, n int64) {
	if _, waits := l.next.changes[a]; l.closed || a == "" || !waits && len(l.next.changes) >= ledgerWaiting {
		return
	}
	l.next.changes[a] += n
	ring(l.bell)
}

// hurry has what waits written at once. The mutex is held.
func (l *sharedLedger) hurry() {
	ring(l.bell)
	ring(l.haste)
}

// ring puts one into a channel that holds one.
func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// remember keeps whose an account is, and forgets the slices that are over, or in
// need everything: Redis still knows. The mutex is held.
func (l *sharedLedger) remember(a handshake.Account, o owner) {
	if len(l.owners) >= ledgerOwners {
		maps.DeleteFunc(l.owners, func(_ handshake.Account, o owner) bool { return l.over(o.slice) })
	}
	if len(l.owners) >= ledgerOwners {
		clear(l.owners)
		clear(l.byCaller)
	}
	l.owners[a] = o
}

// live believes a count from a moment ago while it is far from enough. Near to
// it, it waits until what happened here is written, and asks.
func (l *sharedLedger) live(ctx context.Context, c ratelimit.Caller, enough int) (int, error) {
	now := l.now()
	l.mu.Lock()
	k, ok := l.known[c]
	if ok && now.Sub(k.at) < ledgerFresh && k.count < enough/2 {
		l.mu.Unlock()
		return k.count, nil
	}
	written := l.next.written
	l.hurry()
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, ledgerLimit)
	defer cancel()
	select {
	case <-written:
	case <-l.stopped:
	case <-ctx.Done():
		return 0, ctx.Err()
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

// close writes what waits, and ends.
func (l *sharedLedger) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	<-l.stopped
}
