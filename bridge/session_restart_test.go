package bridge_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
)

// restarted is a gateway as after a start.
func restarted(t *testing.T, p *tracpeer.Peer, state bridge.StateStore) *bridge.Bridge {
	t.Helper()
	keys, err := bridge.ParseSessionKeys("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.New([]bridge.Config{tracker("t", p.URL())}, dialects, newTokens(), state, bridge.WithSessionKeys(keys))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func wantLink(t *testing.T, b *bridge.Bridge) {
	t.Helper()
	if _, err := b.GetLink(t.Context(), "t", "1"); err != nil {
		t.Error(err)
	}
}

func TestAGatewayThatIsStartedAgainLogsInOnlyWhenTheTrackerWantsIt(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	state := &store{values: map[string][]byte{}}
	for _, tc := range []struct {
		name    string
		expired bool
		logins  int
	}{
		{"the first start", false, 1},
		{"the second", false, 1},
		{"one after the session has ended", true, 2},
		{"one after that", false, 2},
	} {
		if tc.expired {
			p.Expire()
		}
		b := restarted(t, p, state)
		wantLink(t, b)
		wantLink(t, b)
		b.Close() // waits until the session is kept
		if p.Logins() != tc.logins {
			t.Errorf("%s: %d log-ins by then, want %d", tc.name, p.Logins(), tc.logins)
		}
	}
}

// behind is a way to a store that is cut at first.
type behind struct {
	bridge.StateStore
	cut   atomic.Bool
	asked chan struct{} // of every question that was cut off
}

func (b *behind) Get(ctx context.Context, key string) ([]byte, error) {
	if b.cut.Load() {
		b.asked <- struct{}{}
		return nil, errors.New("the store is away")
	}
	return b.StateStore.Get(ctx, key)
}

func TestWhenTheTrackerForgetsAllSessionsNoCallFailsForThatOfAnotherGateway(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	state := &store{values: map[string][]byte{}}
	way := &behind{StateStore: state, asked: make(chan struct{})}
	way.cut.Store(true)
	b := restarted(t, p, way)
	go func() { <-way.asked }() // before the log-in
	wantLink(t, b)
	<-way.asked // after it
	way.cut.Store(false)

	other := restarted(t, p, state) // makes a session of its own, which is kept
	wantLink(t, other)
	other.Close()
	p.Expire()
	wantLink(t, b)
	if p.Logins() != 3 {
		t.Errorf("%d log-ins, want 3", p.Logins())
	}
}
