package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// testOneOfMany lets a thousand claims loose on one token, on all handles.
func testOneOfMany(t *testing.T, b Backend) {
	const claims = 1000
	handles := startAll(t, b)
	record := newRecord(now())
	mint(t, handles[0], record)
	var granted, used atomic.Int32
	together(claims, func(i int) {
		_, reason, err := handles[i%len(handles)].Consume(context.Background(), claimOn(record, now()))
		switch {
		case err != nil:
			t.Errorf("claim %d: %v", i, err)
		case reason == handshake.Granted:
			granted.Add(1)
		case reason == handshake.ReasonUsed:
			used.Add(1)
		default:
			t.Errorf("claim %d: %q", i, reason)
		}
	})
	if granted.Load() != 1 || used.Load() != claims-1 {
		t.Errorf("%d claims were granted and %d found the token used, want 1 and %d", granted.Load(), used.Load(), claims-1)
	}
}

func testClaimsAndRevocations(t *testing.T, b Backend) {
	handles := startAll(t, b)
	for range 20 {
		record := newRecord(now())
		mint(t, handles[0], record)
		var granted atomic.Int32
		together(32, func(i int) {
			s := handles[i/2%len(handles)]
			var reason handshake.Reason
			var err error
			if i%2 == 0 {
				_, reason, err = s.Consume(context.Background(), claimOn(record, now()))
			} else {
				_, reason, err = s.Revoke(context.Background(), record.ID, now())
			}
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
			if reason == handshake.Granted {
				granted.Add(1)
			}
		})
		if granted.Load() != 1 {
			t.Fatalf("%d calls were granted, want 1", granted.Load())
		}
	}
}

// call is one call on a token in a history. Begun and ended are positions in
// one order of all beginnings and ends: a call that ended before another began
// has the smaller number.
type call struct {
	what         string // "mint", "consume", "revoke", "lookup"
	reason       handshake.Reason
	status       handshake.Status
	begun, ended int64
}

// testHistory makes random calls on few tokens from many goroutines, and checks
// the history of each token against what one atomic record would have shown.
func testHistory(t *testing.T, b Backend) {
	const tokens, callers, callsEach = 40, 32, 60
	handles := startAll(t, b)
	records := make([]handshake.Record, tokens)
	for i := range records {
		records[i] = newRecord(now())
	}
	var clock atomic.Int64
	var mu sync.Mutex
	histories := make([][]call, tokens)
	together(callers, func(caller int) {
		random := rand.New(rand.NewPCG(uint64(caller), 1))
		for range callsEach {
			token := random.IntN(tokens)
			c, err := randomCall(handles[random.IntN(len(handles))], records[token], random, &clock)
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
				return
			}
			mu.Lock()
			histories[token] = append(histories[token], c)
			mu.Unlock()
		}
	})
	for i, history := range histories {
		if err := explain(history); err != nil {
			t.Errorf("token %d: %v", i, err)
		}
	}
}

func randomCall(s handshake.Store, r handshake.Record, random *rand.Rand, clock *atomic.Int64) (call, error) {
	ctx := context.Background()
	c := call{begun: clock.Add(1)}
	var record handshake.Record
	var err error
	switch choice := random.IntN(10); {
	case choice < 2:
		c.what = "mint"
		r.Expires = r.Expires.Add(time.Duration(c.begun) * time.Second) // no two are the same
		if err = s.Mint(ctx, r); errors.Is(err, handshake.ErrExists) {
			c.reason, err = handshake.ReasonUnknown, nil // a reason, where others are given one
		}
	case choice < 4:
		c.what = "revoke"
		record, c.reason, err = s.Revoke(ctx, r.ID, now())
	case choice < 7:
		c.what = "consume"
		record, c.reason, err = s.Consume(ctx, claimOn(r, now()))
	default:
		var ok bool
		c.what = "lookup"
		if record, ok, err = s.Lookup(ctx, r.ID); !ok {
			c.reason = handshake.ReasonUnknown
		}
	}
	c.status, c.ended = record.Status, clock.Add(1)
	return c, err
}

// explain says what in the history of one token cannot be explained by one
// record that is minted once and ends once. The moment of the minting lies
// within the call that was told so, that of the end likewise; all others must
// have seen what their own beginning and end allow.
func explain(history []call) error {
	var minted, ended *call
	for i := range history {
		c := &history[i]
		if c.reason != handshake.Granted || c.what == "lookup" {
			continue
		}
		which := &ended
		if c.what == "mint" {
			which = &minted
		}
		if *which != nil {
			return fmt.Errorf("%s and %s were both granted", (*which).what, c.what)
		}
		*which = c
	}
	for i := range history {
		c := &history[i]
		if c == minted || c == ended {
			continue
		}
		exists := c.what == "mint" || c.reason != handshake.ReasonUnknown
		over := c.reason == handshake.ReasonUsed || c.reason == handshake.ReasonRevoked || c.status != handshake.Live
		switch {
		case exists && (minted == nil || c.ended < minted.begun):
			return fmt.Errorf("%s saw the token before it was minted", c.what)
		case !exists && minted != nil && minted.ended < c.begun:
			return fmt.Errorf("%s did not see the token after it was minted", c.what)
		case over && (ended == nil || c.ended < ended.begun):
			return fmt.Errorf("%s saw the token's end before it came", c.what)
		case !over && exists && c.what != "mint" && ended != nil && ended.ended < c.begun:
			return fmt.Errorf("%s saw the token live after %s had ended it", c.what, ended.what)
		}
	}
	if ended != nil && (minted == nil || ended.ended < minted.begun) {
		return fmt.Errorf("%s was granted on a token that was not minted", ended.what)
	}
	return nil
}

// together runs n calls that begin at the same moment, as far as that can be.
func together(n int, work func(i int)) {
	var group sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-gate
			work(i)
		})
	}
	close(gate)
	group.Wait()
}
