package storetest

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

const ttl = 10 * time.Minute

func wantSwap(t *testing.T, s handshake.StateStore, key string, prev, next []byte, want bool) {
	t.Helper()
	got, err := s.CompareAndSwap(context.Background(), key, prev, next, ttl)
	if err != nil {
		t.Fatalf("swapping %q for %q: %v", prev, next, err)
	}
	if got != want {
		t.Fatalf("swapping %q for %q gave %v", prev, next, got)
	}
}

func wantState(t *testing.T, s handshake.StateStore, key string, want []byte) {
	t.Helper()
	got, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("getting: %v", err)
	}
	if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Fatalf("the value is %#v, want %#v", got, want)
	}
}

func testState(t *testing.T, b Backend) {
	s := start(t, b).State()
	one, two, empty, odd := []byte("one"), []byte("two"), []byte{}, []byte("+-\x00\r\n\xff")
	wantState(t, s, "key", nil)
	wantSwap(t, s, "key", one, two, false)
	wantSwap(t, s, "key", empty, two, false) // an empty value is not an absent one
	wantSwap(t, s, "key", nil, one, true)
	wantState(t, s, "key", one)
	wantSwap(t, s, "key", nil, two, false)
	wantSwap(t, s, "key", two, two, false)
	wantSwap(t, s, "key", one, one, true)
	wantSwap(t, s, "key", one, two, true)
	wantState(t, s, "key", two)
	wantState(t, s, "other", nil)
	wantSwap(t, s, "key", one, nil, false)
	wantSwap(t, s, "key", two, nil, true)
	wantState(t, s, "key", nil)
	wantSwap(t, s, "key", two, nil, false)
	wantSwap(t, s, "key", nil, nil, true)
	wantSwap(t, s, "key", nil, empty, true)
	wantState(t, s, "key", empty)
	wantSwap(t, s, "key", nil, one, false)
	wantSwap(t, s, "key", empty, odd, true)
	wantState(t, s, "key", odd)
	wantSwap(t, s, "key", odd, one, true)

	value := []byte("mine")
	wantSwap(t, s, "key", one, value, true)
	copy(value, "****")
	got, err := s.Get(context.Background(), "key")
	if err != nil || string(got) != "mine" {
		t.Fatalf("the value is %q, error %v", got, err)
	}
	copy(got, "****")
	wantState(t, s, "key", []byte("mine"))
}

// testStateExpiry sets a value that lives as shortly as can be, and asks until
// it is gone: stores have clocks of their own.
func testStateExpiry(t *testing.T, b Backend) {
	s := start(t, b).State()
	swapped, err := s.CompareAndSwap(context.Background(), "key", nil, []byte("value"), time.Millisecond)
	if err != nil || !swapped {
		t.Fatalf("swapping: %v, error %v", swapped, err)
	}
	for {
		value, err := s.Get(context.Background(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if value == nil {
			break
		}
	}
	wantSwap(t, s, "key", []byte("value"), []byte("next"), false)
	wantSwap(t, s, "key", nil, []byte("next"), true)
	wantState(t, s, "key", []byte("next"))
}

func testStateLimits(t *testing.T, b Backend) {
	s := start(t, b).State()
	long := strings.Repeat("k", handshake.MaxStateKey)
	large := bytes.Repeat([]byte("v"), handshake.MaxStateValue)
	wantSwap(t, s, long, nil, large, true)
	wantState(t, s, long, large)
	wantSwap(t, s, long, large, nil, true)
	for name, entry := range map[string]struct {
		key  string
		next []byte
		ttl  time.Duration
	}{
		"no key":           {"", []byte("v"), ttl},
		"a long key":       {long + "k", []byte("v"), ttl},
		"a large value":    {"key", append(large, 'v'), ttl},
		"no time to live":  {"key", []byte("v"), 0},
		"a past life":      {"key", []byte("v"), -time.Second},
		"less than a tick": {"key", []byte("v"), time.Microsecond},
	} {
		if ok, err := s.CompareAndSwap(context.Background(), entry.key, nil, entry.next, entry.ttl); ok || !errors.Is(err, handshake.ErrState) {
			t.Errorf("%s: swapped %v, error %v, want ErrState", name, ok, err)
		}
	}
	if _, err := s.Get(context.Background(), long+"k"); !errors.Is(err, handshake.ErrState) {
		t.Errorf("getting a long key: %v, want ErrState", err)
	}
	wantState(t, s, "key", nil)
}

func testStateRace(t *testing.T, b Backend) {
	handles := startAll(t, b)
	var made atomic.Int32
	together(200, func(i int) {
		ok, err := handles[i%len(handles)].State().CompareAndSwap(context.Background(), "key", nil, []byte(strconv.Itoa(i)), ttl)
		if err != nil {
			t.Errorf("swap %d: %v", i, err)
		}
		if ok {
			made.Add(1)
		}
	})
	if made.Load() != 1 {
		t.Errorf("%d swaps were made, want 1", made.Load())
	}
}

// testStateCount counts up by swaps from many goroutines.
func testStateCount(t *testing.T, b Backend) {
	const callers, steps = 8, 25
	handles := startAll(t, b)
	ctx := context.Background()
	together(callers, func(i int) {
		s := handles[i%len(handles)].State()
		for done := 0; done < steps; {
			prev, err := s.Get(ctx, "count")
			if err != nil {
				t.Errorf("getting: %v", err)
				return
			}
			count := 0
			if prev != nil {
				count, _ = strconv.Atoi(string(prev))
			}
			ok, err := s.CompareAndSwap(ctx, "count", prev, []byte(strconv.Itoa(count+1)), ttl)
			if err != nil {
				t.Errorf("swapping: %v", err)
				return
			}
			if ok {
				done++
			}
		}
	})
	wantState(t, handles[0].State(), "count", []byte(strconv.Itoa(callers*steps)))
}
