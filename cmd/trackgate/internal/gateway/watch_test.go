package gateway

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
)

func openFeed(t *testing.T) feed.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "store.db"), boltstore.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store.Feed()
}

func newChangeLog(events feed.Store, name string) *changeLog {
	return &changeLog{events: events, gateway: name, held: map[string]feed.Lease{}}
}

func change(key, bug string) bridge.Change {
	return bridge.Change{Key: key, Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Kind: bridge.KindBugModified, Tracker: "gnome", Bug: bug, Data: map[string]any{"title": "It <b>fails</b>"}}
}

func TestWhatAWatchFindsBecomesAnEventOfTheFeed(t *testing.T) {
	events := openFeed(t)
	lease, err := newChangeLog(events, "a").Lease(t.Context(), "gnome/all", time.Minute)
	if err != nil || lease.Position() != nil {
		t.Fatalf("%v, %v", lease, err)
	}
	if err := lease.Advance(t.Context(), []byte("one"), change("7@1", "7"), change("8@1", "8")); err != nil {
		t.Fatal(err)
	}
	if err := lease.Advance(t.Context(), []byte("two"), change("8@1", "8"), change("7@2", "7")); err != nil { // one of them again
		t.Fatal(err)
	}
	page, err := events.Read(t.Context(), "", 10)
	if err != nil || len(page.Events) != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	e := page.Events[0]
	if e.Source != "watch:gnome" || e.Kind != "bug.modified" || e.Tracker != "gnome" || e.Bug != "7" || !e.Time.Equal(change("", "").Time) || !strings.Contains(string(e.Data), "It ") {
		t.Errorf("the event is %+v", e)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next, err := newChangeLog(events, "b").Lease(t.Context(), "gnome/all", time.Minute); err != nil || string(next.Position()) != "two" {
		t.Errorf("the next holder begins at %q, %v", next.Position(), err)
	}
}

func TestOnlyTheLastHolderOfAWatchCanStoreChanges(t *testing.T) {
	events := openFeed(t)
	a, b := newChangeLog(events, "a"), newChangeLog(events, "a") // of two gateways with one name
	first, err := a.Lease(t.Context(), "gnome/all", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lease(t.Context(), "gnome/all", time.Minute); !errors.Is(err, bridge.ErrLeased) {
		t.Fatalf("a second holder: %v", err)
	}
	// The same gateway takes it again, as after an error: what is under way under the first lease is void.
	second, err := a.Lease(t.Context(), "gnome/all", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Advance(t.Context(), []byte("x"), change("7@1", "7")); !errors.Is(err, bridge.ErrLeaseLost) {
		t.Errorf("under the first lease: %v", err)
	}
	if err := first.Renew(t.Context()); !errors.Is(err, bridge.ErrLeaseLost) {
		t.Errorf("renewing the first lease: %v", err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Errorf("releasing the first lease: %v", err)
	}
	if err := errors.Join(second.Renew(t.Context()), second.Advance(t.Context(), []byte("y"), change("8@1", "8"))); err != nil {
		t.Errorf("under the second lease: %v", err)
	}
	if err := second.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	third, err := b.Lease(t.Context(), "gnome/all", time.Minute)
	if err != nil || string(third.Position()) != "y" {
		t.Fatalf("the other gateway begins at %q, %v", third.Position(), err)
	}
	if err := second.Advance(t.Context(), []byte("z")); !errors.Is(err, bridge.ErrLeaseLost) {
		t.Errorf("under the second lease, after it was given back: %v", err)
	}
	if page, err := events.Read(t.Context(), "", 10); err != nil || len(page.Events) != 1 || page.Events[0].Bug != "8" {
		t.Errorf("%+v, %v", page, err)
	}
}
