package bridge

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is a StateStore in memory that remembers what it was asked and all that
// was ever stored.
type shelf struct {
	mu      sync.Mutex
	values  map[string][]byte
	ttl     map[string]time.Duration
	gets    map[string]int
	written [][]byte
	// on is called at the beginning of every call, outside the lock.
	on func(ctx context.Context, operation string) error
}

var _ StateStore = (*shelf)(nil)

func newShelf() *shelf {
	return &shelf{values: map[string][]byte{}, ttl: map[string]time.Duration{}, gets: map[string]int{}}
}

func (s *shelf) Get(ctx context.Context, key string) ([]byte, error) {
	if s.on != nil {
		if err := s.on(ctx, "get"); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets[key]++
	return s.values[key], ctx.Err()
}

func (s *shelf) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	if s.on != nil {
		if err := s.on(ctx, "swap"); err != nil {
			return false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.values[key]; ctx.Err() != nil || !bytes.Equal(old, prev) || (old == nil) != (prev == nil) {
		return false, ctx.Err()
	}
	if s.ttl[key] = ttl; next == nil {
		delete(s.values, key)
		return true, nil
	}
	s.values[key] = next
	s.written = append(s.written, next)
	return true, nil
}

// at returns what the store holds of the tracker t, once all that was begun is done.
func (s *shelf) at(key string) []byte {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

const (
	keptSessionAt = "bridge:session:t"
	keptBackoffAt = "bridge:backoff:t"
)

// keyText is a key as an operator writes it.
func keyText(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)) }

func testKeys(t testing.TB, n ...byte) SessionKeys {
	t.Helper()
	var text strings.Builder
	for _, n := range n {
		fmt.Fprintln(&text, keyText(n))
	}
	keys, err := ParseSessionKeys(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// numbered makes a session that tells how many log-ins there were, and counts.
func numbered(logins *atomic.Int32) func(context.Context, *Credentials) (*Session, error) {
	return func(context.Context, *Credentials) (*Session, error) {
		return &Session{Cookies: []*http.Cookie{{Name: "sid", Value: fmt.Sprint("secret-cookie-", logins.Add(1))}}}, nil
	}
}

// started is a gateway's session with the tracker t, as after a start.
func started(t *testing.T, state StateStore, keys SessionKeys, login func(context.Context, *Credentials) (*Session, error), opts ...Option) *session {
	t.Helper()
	return startedFor(t, Config{Name: "t", URL: "https://t.example", Dialect: "bare"}, state, keys, login, opts...)
}

func startedFor(t *testing.T, c Config, state StateStore, keys SessionKeys, login func(context.Context, *Credentials) (*Session, error), opts ...Option) *session {
	t.Helper()
	o := options{
		state: state, logger: slog.New(slog.DiscardHandler), observer: unobserved{}, admission: admitAll{},
		now: time.Now, timeLimit: DefaultTimeLimit,
	}
	for _, opt := range append(opts, WithSessionKeys(keys)) {
		opt(&o)
	}
	base, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s := newSession(base, &running, &o, &c, c.Dialect, login)
	t.Cleanup(func() { stop(); s.close(); running.Wait() })
	return s
}

// mustAcquire acquires a session and waits until what is kept of it is kept.
func mustAcquire(t *testing.T, s *session, stale uint64) *live {
	t.Helper()
	l, err := s.acquire(t.Context(), stale)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return l
}

func sid(l *live) string { return l.session.Cookies[0].Value }
