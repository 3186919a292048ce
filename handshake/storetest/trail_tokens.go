package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

func testTrailMint(t *testing.T, b Backend) {
	s, _ := begin(t, b)
	ctx := context.Background()
	record := newRecord(now())
	if err := s.Mint(ctx, record, entry("1"), entry("2")); err != nil {
		t.Fatalf("minting: %v", err)
	}
	wantRecord(t, s, record)
	wantDetails(t, s, "1", "2")
	const callers = 200
	together(callers, func(int) {
		record := newRecord(now())
		if err := s.Mint(ctx, record, entry("many")); err != nil {
			t.Errorf("minting: %v", err)
		}
	})
	if all := listed(t, s); len(all) != callers+2 {
		t.Errorf("%d entries, want %d", len(all), callers+2)
	}
}

// notes returns the entries about a token once there are enough.
func notes(t *testing.T, s handshake.Store, subject string, enough int) []audit.Listed {
	t.Helper()
	after := ""
	for {
		var found []audit.Listed
		for _, e := range listed(t, s) {
			if e.Subject == subject {
				found = append(found, e)
			}
		}
		if len(found) >= enough {
			return found
		}
		for _, block := range readBlocks(t, s, after, 10_000) {
			after = block.After
		}
		if err := s.Trail().Wait(context.Background(), after); err != nil {
			t.Fatalf("waiting for the trail: %v", err)
		}
	}
}

func noteOn(r handshake.Record) *audit.Entry {
	return &audit.Entry{Time: now(), Subsystem: audit.SubsystemToken, Code: audit.TokenConsumed, Subject: r.ID.Fingerprint().String(), Name: r.Tracker}
}

func testTrailConsume(t *testing.T, b Backend) {
	handles := startAll(t, b)
	for _, s := range handles {
		beginChain(t, s)
	}
	record := newRecord(now())
	mint(t, handles[0], record)
	claim := claimOn(record, now())
	claim.Note = noteOn(record)
	wantConsume(t, handles[0], claim, handshake.Granted)
	if *claim.Note != *noteOn(record) && claim.Note.Outcome != "" {
		t.Errorf("the caller's note was changed: %+v", claim.Note)
	}
	found := notes(t, handles[0], claim.Note.Subject, 2)
	if len(found) != 2 || found[0].Outcome != audit.Intended || found[1].Outcome != audit.Done || found[1].Name != record.Tracker {
		t.Errorf("the notes are %+v", found)
	}

	// Of many claims one is granted, and one outcome says so.
	record = newRecord(now())
	mint(t, handles[0], record)
	const claims = 100
	together(claims, func(i int) {
		claim := claimOn(record, now())
		claim.Note = noteOn(record)
		if _, _, err := handles[i%len(handles)].Consume(context.Background(), claim); err != nil {
			t.Errorf("consuming: %v", err)
		}
	})
	done := 0
	for done == 0 {
		for _, e := range notes(t, handles[0], record.ID.Fingerprint().String(), 2) {
			if e.Outcome == audit.Done {
				done++
			}
		}
	}
	if done != 1 {
		t.Errorf("%d outcomes say that the token was consumed", done)
	}
}

func testTrailRefusals(t *testing.T, b Backend) {
	s, _ := begin(t, b)
	used, other, unknown := newRecord(now()), newRecord(now()), newRecord(now())
	mint(t, s, used)
	mint(t, s, other)
	wantConsume(t, s, claimOn(used, now()), handshake.Granted)
	for record, want := range map[handshake.Record]handshake.Reason{
		used: handshake.ReasonUsed, other: handshake.ReasonWrongKind, unknown: handshake.ReasonUnknown,
	} {
		claim := claimOn(record, now())
		claim.Note = noteOn(record)
		if want == handshake.ReasonWrongKind {
			claim.Kind = otherKind
		}
		wantConsume(t, s, claim, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, e := range listed(t, start(t, b)) {
		if e.Outcome == audit.Done {
			t.Errorf("an outcome says done: %+v", e)
		}
	}
}

func testTrailContext(t *testing.T, b Backend) {
	s, _ := begin(t, b)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	record := newRecord(now())
	if err := s.Trail().Append(ctx, entry("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("appending: %v", err)
	}
	if err := s.Mint(ctx, record, entry("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("minting: %v", err)
	}
	mint(t, s, record)
	claim := claimOn(record, now())
	claim.Note = noteOn(record)
	if _, _, err := s.Consume(ctx, claim); !errors.Is(err, context.Canceled) {
		t.Errorf("consuming: %v", err)
	}
	if _, err := s.Trail().Read(ctx, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("reading: %v", err)
	}
	if _, err := s.Trail().Heads(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("heads: %v", err)
	}
	wantRecord(t, s, record)
	wantDetails(t, s)
}

func testTrailClosed(t *testing.T, b Backend) {
	s := b.Open(t)
	beginChain(t, s)
	record := newRecord(now())
	mint(t, s, record)
	after := ""
	claim := claimOn(record, now())
	claim.Note = noteOn(record)
	wantConsume(t, s, claim, handshake.Granted)
	for _, block := range readBlocks(t, s, "", 100) {
		after = block.After
	}
	waited := make(chan error)
	go func() {
		for {
			err := s.Trail().Wait(context.Background(), after)
			if err != nil {
				waited <- err
				return
			}
			blocks, err := s.Trail().Read(context.Background(), after, 100)
			if err != nil {
				waited <- err
				return
			}
			after = blocks[len(blocks)-1].After
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatalf("closing: %v", err)
	}
	if err := <-waited; !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("waiting while the store closes: %v, want ErrClosed", err)
	}
	ctx := context.Background()
	_, read := s.Trail().Read(ctx, "", 1)
	_, head := s.Trail().Heads(ctx)
	_, _, size := s.Trail().Size(ctx)
	_, _, consumed := s.Consume(ctx, claim)
	for call, err := range map[string]error{
		"begin":  s.Trail().Begin(ctx, audit.NewChain(audit.NewChainID(), audit.Key{})),
		"append": s.Trail().Append(ctx, entry("1")), "read": read, "heads": head, "size": size,
		"drop": s.Trail().Drop(ctx, after), "wait": s.Trail().Wait(ctx, after),
		"mint": s.Mint(ctx, newRecord(now()), entry("1")), "consume": consumed,
	} {
		if !errors.Is(err, handshake.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", call, err)
		}
	}
	var outcomes []audit.Outcome
	for _, e := range listed(t, start(t, b)) {
		outcomes = append(outcomes, e.Outcome)
	}
	if !slices.Equal(outcomes, []audit.Outcome{audit.Intended, audit.Done}) {
		t.Errorf("the trail has the outcomes %q", outcomes)
	}
}

func testTrailBegunOnce(t *testing.T, b Backend) {
	s, chain := begin(t, b)
	appendEntries(t, s, "before")
	another := audit.NewChain(audit.NewChainID(), audit.Key{})
	if err := s.Trail().Begin(context.Background(), another); !errors.Is(err, audit.ErrBegun) {
		t.Errorf("a second chain: %v, want ErrBegun", err)
	}
	appendEntries(t, s, "after")
	for _, e := range listed(t, s) {
		if e.Chain != chain {
			t.Errorf("%q stands in the chain %v", e.Detail, e.Chain)
		}
	}
	wantDetails(t, s, "before", "after")
}
