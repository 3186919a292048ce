package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

func testMint(t *testing.T, b Backend) {
	s := start(t, b)
	if err := s.Ping(context.Background()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	bound, free := newRecord(now()), newRecord(now())
	free.Tracker, free.Kind = "", otherKind
	for _, record := range []handshake.Record{bound, free} {
		mint(t, s, record)
		wantRecord(t, s, record)
		wantRecord(t, s, record) // looking changes nothing
	}
	if _, ok, err := s.Lookup(context.Background(), newRecord(now()).ID); ok || err != nil {
		t.Errorf("a token that was never minted: found %v, error %v", ok, err)
	}
}

func testConsume(t *testing.T, b Backend) {
	for _, tracker := range []string{"", "gnome", "a tracker with a long name, spaces, and {braces}"} {
		s := start(t, b)
		record := newRecord(now())
		record.Tracker = tracker
		mint(t, s, record)
		at := record.Minted().Add(time.Second)
		record.Status, record.Ended = handshake.Used, at
		sameRecord(t, wantConsume(t, s, claimOn(record, at), handshake.Granted), record)
		wantRecord(t, s, record)
		later := claimOn(record, at.Add(time.Second))
		sameRecord(t, wantConsume(t, s, later, handshake.ReasonUsed), record)
		sameRecord(t, wantConsume(t, s, later, handshake.ReasonUsed), record)
		wantRecord(t, s, record)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testRefusals(t *testing.T, b Backend) {
	s := start(t, b)
	record := newRecord(now())
	mint(t, s, record)
	at := record.Minted().Add(time.Second)
	for _, test := range []struct {
		name string
		bend func(*handshake.Claim)
		want handshake.Reason
	}{
		{"another kind", func(c *handshake.Claim) { c.Kind = otherKind }, handshake.ReasonWrongKind},
		{"another tracker", func(c *handshake.Claim) { c.Tracker = "kde" }, handshake.ReasonWrongTracker},
		{"a longer name", func(c *handshake.Claim) { c.Tracker += "s" }, handshake.ReasonWrongTracker},
		{"nobody", func(c *handshake.Claim) { c.Tracker = "" }, handshake.ReasonWrongTracker},
		{"both", func(c *handshake.Claim) { c.Kind, c.Tracker = otherKind, "kde" }, handshake.ReasonWrongKind},
	} {
		claim := claimOn(record, at)
		test.bend(&claim)
		sameRecord(t, wantConsume(t, s, claim, test.want), record)
		wantRecord(t, s, record)
	}
	unknown := claimOn(newRecord(now()), at)
	if got := wantConsume(t, s, unknown, handshake.ReasonUnknown); got != (handshake.Record{}) {
		t.Errorf("an unknown token has the record %+v", got)
	}
	wantConsume(t, s, claimOn(record, at), handshake.Granted)
	claim := claimOn(record, at)
	claim.Kind = otherKind
	wantConsume(t, s, claim, handshake.ReasonUsed) // what it was for matters no more
}

func testExpiry(t *testing.T, b Backend) {
	s := start(t, b)
	record := newRecord(now())
	mint(t, s, record)
	for _, at := range []time.Time{record.Expires, record.Expires.Add(time.Hour)} {
		wantConsume(t, s, claimOn(record, at), handshake.ReasonExpired)
		wantRevoke(t, s, record.ID, at, handshake.ReasonExpired)
	}
	wantConsume(t, s, claimOn(record, record.Expires.Add(-time.Millisecond)), handshake.Granted)
	wantConsume(t, s, claimOn(record, record.Expires.Add(time.Hour)), handshake.ReasonUsed)
}

func testMintTwice(t *testing.T, b Backend) {
	s := start(t, b)
	record := newRecord(now())
	mint(t, s, record)
	again := record
	again.Tracker = "kde"
	if err := s.Mint(context.Background(), again); !errors.Is(err, handshake.ErrExists) {
		t.Fatalf("minting it for another tracker: %v, want ErrExists", err)
	}
	wantRecord(t, s, record)
	record = wantConsume(t, s, claimOn(record, now()), handshake.Granted)
	if err := s.Mint(context.Background(), again); !errors.Is(err, handshake.ErrExists) {
		t.Fatalf("minting it when it is used: %v, want ErrExists", err)
	}
	wantRecord(t, s, record)
}

func testRevoke(t *testing.T, b Backend) {
	s := start(t, b)
	record := newRecord(now())
	at := record.Minted().Add(time.Second)
	wantRevoke(t, s, record.ID, at, handshake.ReasonUnknown)
	mint(t, s, record)
	record.Status, record.Ended = handshake.Revoked, at
	sameRecord(t, wantRevoke(t, s, record.ID, at, handshake.Granted), record)
	sameRecord(t, wantRevoke(t, s, record.ID, at.Add(time.Second), handshake.ReasonRevoked), record)
	sameRecord(t, wantConsume(t, s, claimOn(record, at), handshake.ReasonRevoked), record)

	used := newRecord(now())
	mint(t, s, used)
	used = wantConsume(t, s, claimOn(used, at), handshake.Granted)
	sameRecord(t, wantRevoke(t, s, used.ID, at.Add(time.Second), handshake.ReasonUsed), used)
	wantRecord(t, s, used)
}

func testFind(t *testing.T, b Backend) {
	s := start(t, b)
	records := make([]handshake.Record, 20)
	for i := range records {
		records[i] = newRecord(now())
		mint(t, s, records[i])
	}
	// A fingerprint of characters that a search may take for a pattern.
	copy(records[0].ID.Hash[:], `*?[a-z]\`)
	mint(t, s, records[0])
	for _, record := range records {
		found, err := s.Find(context.Background(), record.ID.Fingerprint())
		if err != nil || len(found) != 1 {
			t.Fatalf("found %d, error %v", len(found), err)
		}
		sameRecord(t, found[0], record)
	}
	found, err := s.Find(context.Background(), newRecord(now()).ID.Fingerprint())
	if err != nil || len(found) != 0 {
		t.Errorf("a fingerprint of no token: found %d, error %v", len(found), err)
	}
}

func testContext(t *testing.T, b Backend) {
	s := start(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	record := newRecord(now())
	if err := s.Mint(ctx, record); !errors.Is(err, context.Canceled) {
		t.Errorf("mint: %v", err)
	}
	wantConsume(t, s, claimOn(record, now()), handshake.ReasonUnknown)
	mint(t, s, record)
	if _, _, err := s.Consume(ctx, claimOn(record, now())); !errors.Is(err, context.Canceled) {
		t.Errorf("consume: %v", err)
	}
	if _, _, err := s.Revoke(ctx, record.ID, now()); !errors.Is(err, context.Canceled) {
		t.Errorf("revoke: %v", err)
	}
	if _, _, err := s.Lookup(ctx, record.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := s.Find(ctx, record.ID.Fingerprint()); !errors.Is(err, context.Canceled) {
		t.Errorf("find: %v", err)
	}
	if _, err := s.State().CompareAndSwap(ctx, "key", nil, []byte("value"), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("state: %v", err)
	}
	if value, err := s.State().Get(context.Background(), "key"); value != nil || err != nil {
		t.Errorf("the swap was made: %q, error %v", value, err)
	}
	wantRecord(t, s, record)
}

func testClosed(t *testing.T, b Backend) {
	s := b.Open(t)
	record := newRecord(now())
	mint(t, s, record)
	if err := s.Close(); err != nil {
		t.Fatalf("closing: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	ctx := context.Background()
	_, _, consumed := s.Consume(ctx, claimOn(record, now()))
	_, _, revoked := s.Revoke(ctx, record.ID, now())
	_, _, looked := s.Lookup(ctx, record.ID)
	_, found := s.Find(ctx, record.ID.Fingerprint())
	_, got := s.State().Get(ctx, "key")
	_, swapped := s.State().CompareAndSwap(ctx, "key", nil, []byte("value"), time.Minute)
	for call, err := range map[string]error{
		"mint": s.Mint(ctx, newRecord(now())), "consume": consumed, "revoke": revoked, "lookup": looked,
		"find": found, "ping": s.Ping(ctx), "get": got, "swap": swapped,
	} {
		if !errors.Is(err, handshake.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", call, err)
		}
	}
}

func testReopen(t *testing.T, b Backend) {
	s := b.Open(t)
	live, used, revoked := newRecord(now()), newRecord(now()), newRecord(now())
	for _, record := range []handshake.Record{live, used, revoked} {
		mint(t, s, record)
	}
	used = wantConsume(t, s, claimOn(used, now()), handshake.Granted)
	revoked = wantRevoke(t, s, revoked.ID, now(), handshake.Granted)
	if ok, err := s.State().CompareAndSwap(context.Background(), "key", nil, []byte("value"), time.Hour); !ok || err != nil {
		t.Fatalf("swapping: %v, error %v", ok, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("closing: %v", err)
	}
	s = start(t, b)
	for _, record := range []handshake.Record{live, used, revoked} {
		wantRecord(t, s, record)
	}
	wantConsume(t, s, claimOn(used, now()), handshake.ReasonUsed)
	wantConsume(t, s, claimOn(revoked, now()), handshake.ReasonRevoked)
	wantConsume(t, s, claimOn(live, now()), handshake.Granted)
	if value, err := s.State().Get(context.Background(), "key"); string(value) != "value" || err != nil {
		t.Errorf("the state is %q, error %v", value, err)
	}
}
