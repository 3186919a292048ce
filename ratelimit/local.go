package ratelimit

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Limits of [Local].
const (
	// DefaultMaxCallers is how many callers of one policy Local tells apart.
	DefaultMaxCallers = 65_536
	// shardCount is over how many locks the callers of one policy are spread.
	shardCount = 64
	// overflowPerShard is over how many shared buckets a shard spreads the
	// callers for whom there is no room.
	overflowPerShard = 16
)

// Local counts in the process, with golang.org/x/time/rate.
//
// Memory is bounded: of each policy a fixed number of callers have a bucket of
// their own. A bucket is given to another caller only once it is full again,
// because then forgetting it changes nothing: however many new callers come, no
// caller gets back what it has spent. A newcomer that finds no room shares one of
// some hundred overflow buckets, chosen by a keyed hash, with other newcomers;
// and whoever gets a bucket of his own later starts it with what the shared one
// still holds, so that a caller never has more than one burst. A flood of new
// callers can thus make it narrower for other new ones, and for nobody else.
//
// Policies with other numbers are other policies, even under the same name.
type Local struct {
	maxCallers int
	now        func() time.Time
	seed       maphash.Seed
	// tables is replaced by a changed copy under growing, and read without it.
	tables  atomic.Pointer[map[Policy]*table]
	growing sync.Mutex
}

var _ Limiter = (*Local)(nil)

// NewLocal returns a limiter that tells apart maxCallers callers of each
// policy, rounded up to whole shards; zero means [DefaultMaxCallers]. A bucket
// takes about 200 bytes. now is the clock; nil means [time.Now].
func NewLocal(maxCallers int, now func() time.Time) (*Local, error) {
	if maxCallers < 0 {
		return nil, fmt.Errorf("ratelimit: room for %d callers: it must be at least 1", maxCallers)
	}
	if maxCallers == 0 {
		maxCallers = DefaultMaxCallers
	}
	if now == nil {
		now = time.Now
	}
	l := &Local{maxCallers: maxCallers, now: now, seed: maphash.MakeSeed()}
	l.tables.Store(&map[Policy]*table{})
	return l, nil
}

// Take implements [Limiter]. It never waits and ignores ctx.
func (l *Local) Take(_ context.Context, p Policy, c Caller, n int) (Decision, error) {
	if err := p.check(n); err != nil {
		return Decision{}, err
	}
	return l.answer(Ask{p, c, n}, n), nil
}

// TakeAll implements [Limiter]. It never waits and ignores ctx.
func (l *Local) TakeAll(_ context.Context, asks ...Ask) ([]Decision, error) {
	for _, a := range asks {
		if err := a.Policy.check(a.N); err != nil {
			return nil, err
		}
	}
	decisions := make([]Decision, len(asks))
	for i, a := range asks {
		decisions[i] = l.answer(a, 0)
	}
	for i, a := range asks {
		if a.N > 0 && allowed(decisions) {
			decisions[i] = l.answer(a, a.N)
		}
	}
	return decisions, nil
}

// Reset implements [Limiter]. Of a caller without a bucket of its own it fills the
// one that it shares. It never waits and ignores ctx.
func (l *Local) Reset(_ context.Context, p Policy, c Caller) error {
	if err := p.Validate(); err != nil || p.Rate.IsOff() {
		return err
	}
	hash := maphash.String(l.seed, string(c))
	s := &l.table(p).shards[hash%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	lim := s.bucket(now, c, hash/shardCount)
	// What is taken less than nothing is given; no bucket gets more than full.
	lim.AllowN(now, -int(math.Ceil(float64(p.Burst)-lim.TokensAt(now))))
	return nil
}

// answer tells whether a's events are there, and takes them when take, which
// is then a.N, is not zero.
func (l *Local) answer(a Ask, take int) Decision {
	if a.Policy.Rate.IsOff() {
		return unlimited(a.Policy)
	}
	hash := maphash.String(l.seed, string(a.Caller))
	s := &l.table(a.Policy).shards[hash%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	lim := s.bucket(now, a.Caller, hash/shardCount)
	interval := a.Policy.Rate.interval()
	var allowed bool
	if take > 0 {
		allowed = lim.AllowN(now, take)
	} else {
		lacking := float64(max(a.N, 1)) - lim.TokensAt(now)
		allowed = seconds(lacking*interval) <= 0 // AllowN rounds to nanoseconds as well
	}
	missing := float64(a.Policy.Burst) - lim.TokensAt(now)
	return decide(a.Policy, a.N, allowed, missing*interval)
}

func (l *Local) table(p Policy) *table {
	if t, ok := (*l.tables.Load())[p]; ok {
		return t
	}
	l.growing.Lock()
	defer l.growing.Unlock()
	known := *l.tables.Load()
	t, ok := known[p]
	if !ok {
		t = newTable(p, l.maxCallers)
		grown := maps.Clone(known)
		grown[p] = t
		l.tables.Store(&grown)
	}
	return t
}

// table holds the buckets of one policy.
type table struct {
	shards [shardCount]shard
}

func newTable(p Policy, maxCallers int) *table {
	t := &table{}
	for i := range t.shards {
		s := &t.shards[i]
		s.policy = p
		s.room = (maxCallers + shardCount - 1) / shardCount
		s.buckets = map[Caller]*rate.Limiter{}
	}
	return t
}

// shard holds a part of the callers of one policy.
type shard struct {
	mu       sync.Mutex
	policy   Policy
	room     int
	buckets  map[Caller]*rate.Limiter
	order    fullTimes
	overflow [overflowPerShard]*rate.Limiter
}

// bucket returns the bucket that c is counted in at now.
func (s *shard) bucket(now time.Time, c Caller, hash uint64) *rate.Limiter {
	if lim, ok := s.buckets[c]; ok {
		return lim
	}
	shared := s.overflow[hash%overflowPerShard]
	if len(s.buckets) >= s.room && !s.evict(now) {
		if shared == nil {
			shared = s.fresh()
			s.overflow[hash%overflowPerShard] = shared
		}
		return shared
	}
	lim := s.fresh()
	if shared != nil {
		if spent := s.policy.Burst - remaining(s.policy.Burst, float64(s.policy.Burst)-shared.TokensAt(now)); spent > 0 {
			lim.AllowN(now, spent)
		}
	}
	s.buckets[c] = lim
	s.order.push(entry{full: now, caller: c, bucket: lim})
	return lim
}

func (s *shard) fresh() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(1/s.policy.Rate.interval()), s.policy.Burst)
}

// evict forgets one bucket that is full at now, and tells whether there was one.
//
// The times in order are lower bounds, since taking from a bucket does not
// update them. Whoever looks puts right what he finds: an entry moves back at
// most once for all that was taken from its bucket until then.
func (s *shard) evict(now time.Time) bool {
	for len(s.order) > 0 && !s.order[0].full.After(now) {
		first := s.order[0]
		missing := float64(s.policy.Burst) - first.bucket.TokensAt(now)
		if missing <= 0 {
			s.order.pop()
			delete(s.buckets, first.caller)
			return true
		}
		s.order.postpone(now.Add(max(seconds(missing*s.policy.Rate.interval()), time.Nanosecond)))
	}
	return false
}
