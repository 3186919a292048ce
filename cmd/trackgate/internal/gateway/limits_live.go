package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
)

// liveSlices is into how many parts a token's lifetime is divided for counting:
// an expired token counts for one part too long at most.
const liveSlices = 8

// liveTokens refuses to mint for a caller that has too many tokens that are
// neither used nor expired: mints less consumptions within the lifetime, about.
// The stores do not know who had a token minted, so that this is kept beside them.
type liveTokens struct {
	max    int // 0: no limit, and nothing is kept
	ledger liveLedger
}

// liveLedger counts live tokens by caller. What it is told may be counted a
// moment later.
type liveLedger interface {
	minted(f handshake.Fingerprint, c ratelimit.Caller)
	ended(f handshake.Fingerprint)
	// live is how many tokens a caller has, exactly as far as this gateway was
	// told. It may say less when that is below enough.
	live(ctx context.Context, c ratelimit.Caller, enough int) (int, error)
	close()
}

// newLiveTokens counts in Redis where there is one, for all gateways, and else
// in the process.
func newLiveTokens(most int, lifetime time.Duration, client redis.UniversalClient, now func() time.Time, logger *slog.Logger) *liveTokens {
	t := &liveTokens{max: most}
	switch {
	case most == 0:
	case client != nil:
		t.ledger = newSharedLedger(client, lifetime, now, logger)
	default:
		t.ledger = newOwnLedger(lifetime, now)
	}
	return t
}

// admit refuses a caller that has as many tokens as it may. That they cannot be
// counted refuses nobody: then they cannot be minted either.
func (t *liveTokens) admit(ctx context.Context, c ratelimit.Caller) error {
	if t.max == 0 {
		return nil
	}
	if n, err := t.ledger.live(ctx, c, t.max); err == nil && n >= t.max {
		return apierror.New(apierror.TooManyTokens).
			WithDetail(fmt.Sprintf("The limit is %d for each address.", t.max)).
			WithExtra("limit", t.max)
	}
	return nil
}

func (t *liveTokens) minted(f handshake.Fingerprint, c ratelimit.Caller) {
	if t.max > 0 {
		t.ledger.minted(f, c)
	}
}

func (t *liveTokens) ended(f handshake.Fingerprint) {
	if t.max > 0 {
		t.ledger.ended(f)
	}
}

func (t *liveTokens) close() {
	if t.max > 0 {
		t.ledger.close()
	}
}

// slices divides time into the parts of a lifetime.
type slices struct {
	length time.Duration
	now    func() time.Time
}

func slicesOf(lifetime time.Duration, now func() time.Time) slices {
	return slices{length: max(lifetime/liveSlices, time.Millisecond), now: now}
}

func (s slices) current() int64 { return s.now().UnixNano() / int64(s.length) }

// over tells whether all tokens that were minted in a slice have expired.
func (s slices) over(slice int64) bool { return slice < s.current()-liveSlices }

// ownLedger counts in the process. It holds no more tokens than callers may have.
type ownLedger struct {
	slices
	mu     sync.Mutex
	tokens map[int64]map[handshake.Fingerprint]ratelimit.Caller // by slice
	counts map[ratelimit.Caller]int
}

var _ liveLedger = (*ownLedger)(nil)

func newOwnLedger(lifetime time.Duration, now func() time.Time) *ownLedger {
	return &ownLedger{
		slices: slicesOf(lifetime, now),
		tokens: map[int64]map[handshake.Fingerprint]ratelimit.Caller{}, counts: map[ratelimit.Caller]int{},
	}
}

func (l *ownLedger) minted(f handshake.Fingerprint, c ratelimit.Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	slice := l.current()
	if l.tokens[slice] == nil {
		l.tokens[slice] = map[handshake.Fingerprint]ratelimit.Caller{}
	}
	l.tokens[slice][f] = c
	l.counts[c]++
}

func (l *ownLedger) ended(f handshake.Fingerprint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, tokens := range l.tokens {
		if c, ok := tokens[f]; ok {
			delete(tokens, f)
			l.less(c)
			return
		}
	}
}

func (l *ownLedger) live(_ context.Context, c ratelimit.Caller, _ int) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	return l.counts[c], nil
}

func (l *ownLedger) close() {}

// forget drops the slices that are over. The mutex is held.
func (l *ownLedger) forget() {
	for slice, tokens := range l.tokens {
		if l.over(slice) {
			for _, c := range tokens {
				l.less(c)
			}
			delete(l.tokens, slice)
		}
	}
}

func (l *ownLedger) less(c ratelimit.Caller) {
	if l.counts[c]--; l.counts[c] <= 0 {
		delete(l.counts, c)
	}
}
