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

// liveLedger counts live tokens by caller. Each token carries an account, which the
// ledger has given to one caller for one slice of time: by it the ledger knows whose
// the token was when it ends, without keeping anything for each. What it is told may
// be counted a moment later.
type liveLedger interface {
	// account is the one that a caller's next token is to carry; "" is none.
	account(c ratelimit.Caller) handshake.Account
	// minted and ended are told of the account of a token. A token whose account
	// is not known is not counted, and not taken from what is counted.
	minted(a handshake.Account, c ratelimit.Caller)
	ended(a handshake.Account)
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

// account is the one that a caller's next token is to carry.
func (t *liveTokens) account(c ratelimit.Caller) handshake.Account {
	if t.max == 0 {
		return ""
	}
	return t.ledger.account(c)
}

func (t *liveTokens) minted(a handshake.Account, c ratelimit.Caller) {
	if t.max > 0 {
		t.ledger.minted(a, c)
	}
}

func (t *liveTokens) ended(a handshake.Account) {
	if t.max > 0 {
		t.ledger.ended(a)
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

// owner is whose the tokens of an account are: one caller's, minted in one slice.
type owner struct {
	caller ratelimit.Caller
	slice  int64
}

// accounts are those of the current slice, one for each caller.
type accounts struct {
	slices
	slice      int64
	byCaller   map[ratelimit.Caller]handshake.Account
	newAccount func() handshake.Account
}

func newAccounts(lifetime time.Duration, now func() time.Time) accounts {
	return accounts{slices: slicesOf(lifetime, now), byCaller: map[ratelimit.Caller]handshake.Account{}, newAccount: handshake.NewAccount}
}

// turn drops the accounts when another slice has begun, and tells whether one has.
func (a *accounts) turn() bool {
	slice := a.current()
	if slice == a.slice {
		return false
	}
	a.slice = slice
	clear(a.byCaller)
	return true
}

// ownLedger counts in the process. What it holds grows with callers, not with tokens.
type ownLedger struct {
	mu sync.Mutex
	accounts
	tallies map[handshake.Account]*tally
	counts  map[ratelimit.Caller]int
}

var _ liveLedger = (*ownLedger)(nil)

// tally is how many live tokens there are of an account.
type tally struct {
	owner
	live int
}

func newOwnLedger(lifetime time.Duration, now func() time.Time) *ownLedger {
	return &ownLedger{accounts: newAccounts(lifetime, now), tallies: map[handshake.Account]*tally{}, counts: map[ratelimit.Caller]int{}}
}

func (l *ownLedger) account(c ratelimit.Caller) handshake.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	if a, ok := l.byCaller[c]; ok {
		return a
	}
	a := l.newAccount()
	for l.tallies[a] != nil {
		a = l.newAccount()
	}
	l.byCaller[c], l.tallies[a] = a, &tally{owner: owner{c, l.slice}}
	return a
}

func (l *ownLedger) minted(a handshake.Account, _ ratelimit.Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tallies[a]; t != nil {
		l.add(t, 1)
	}
}

func (l *ownLedger) ended(a handshake.Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tallies[a]; t != nil && t.live > 0 {
		l.add(t, -1)
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
	if !l.turn() {
		return
	}
	for a, t := range l.tallies {
		if l.over(t.slice) {
			l.add(t, -t.live)
			delete(l.tallies, a)
		}
	}
}

// add counts tokens of an account. The mutex is held.
func (l *ownLedger) add(t *tally, n int) {
	t.live += n
	if l.counts[t.caller] += n; l.counts[t.caller] <= 0 {
		delete(l.counts, t.caller)
	}
}
