// Package storetest is the contract of handshake.Store as a suite of tests,
// which every implementation runs:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Backend { ... })
//	}
package storetest

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// Backend is one empty database.
type Backend struct {
	// Open opens a handle on the database. The suite closes it.
	Open func(t *testing.T) handshake.Store
	// Shared says that several handles can be open at once, as those of
	// several gateways.
	Shared bool
}

// otherKind is a kind that no gateway mints yet.
const otherKind handshake.Kind = 2

// lifetime is that of the suite's tokens. Stores may measure it by a clock of
// their own, so that it is far longer than the suite takes.
const lifetime = 10 * time.Minute

// test is one clause of the contract.
type test struct {
	name string
	run  func(t *testing.T, b Backend)
}

// Run holds a store to the contract. newBackend returns a new empty database.
func Run(t *testing.T, newBackend func(t *testing.T) Backend) {
	for _, test := range slices.Concat([]test{
		{"a minted token is live and has what it was minted with", testMint},
		{"a token is consumed once", testConsume},
		{"a refused claim says why and changes nothing", testRefusals},
		{"an expired token is refused", testExpiry},
		{"a token that exists cannot be minted again", testMintTwice},
		{"a revoked token cannot be consumed", testRevoke},
		{"a fingerprint finds its token", testFind},
		{"a context that has ended does nothing", testContext},
		{"a closed store refuses", testClosed},
		{"what was answered survives closing and opening", testReopen},
		{"of 1000 concurrent claims one is granted", testOneOfMany},
		{"of claims and revocations of one token one is granted", testClaimsAndRevocations},
		{"histories of concurrent calls have an order that explains them", testHistory},
		{"a state entry is compared and swapped", testState},
		{"a state entry expires", testStateExpiry},
		{"a state entry outside the limits is refused", testStateLimits},
		{"of concurrent swaps of one state entry one is made", testStateRace},
		{"counting by swaps loses no count", testStateCount},
	}, trailTests) {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBackend(t)) })
	}
}

// start opens a handle that is closed when the test ends.
func start(t *testing.T, b Backend) handshake.Store {
	t.Helper()
	s := b.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// startAll opens as many handles as the database allows, two at most.
func startAll(t *testing.T, b Backend) []handshake.Store {
	t.Helper()
	handles := []handshake.Store{start(t, b)}
	if b.Shared {
		handles = append(handles, start(t, b))
	}
	return handles
}

// now is the time with the precision that stores keep.
func now() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func newRecord(minted time.Time) handshake.Record {
	id := handshake.ID{Millis: minted.UnixMilli()}
	_, _ = rand.Read(id.Hash[:])
	return handshake.Record{ID: id, Kind: handshake.BugTracker, Tracker: "gnome", Expires: minted.Add(lifetime)}
}

// claimOn is the claim that the record grants while it is live.
func claimOn(r handshake.Record, at time.Time) handshake.Claim {
	return handshake.Claim{ID: r.ID, Kind: r.Kind, Tracker: r.Tracker, At: at}
}

func mint(t *testing.T, s handshake.Store, r handshake.Record) {
	t.Helper()
	if err := s.Mint(context.Background(), r); err != nil {
		t.Fatalf("minting: %v", err)
	}
}

// wantConsume makes a claim and checks its reason; it returns the record.
func wantConsume(t *testing.T, s handshake.Store, c handshake.Claim, want handshake.Reason) handshake.Record {
	t.Helper()
	record, reason, err := s.Consume(context.Background(), c)
	if err != nil {
		t.Fatalf("consuming: %v", err)
	}
	if reason != want {
		t.Fatalf("consuming gave %q, want %q", reason, want)
	}
	return record
}

func wantRevoke(t *testing.T, s handshake.Store, id handshake.ID, at time.Time, want handshake.Reason) handshake.Record {
	t.Helper()
	record, reason, err := s.Revoke(context.Background(), id, at)
	if err != nil {
		t.Fatalf("revoking: %v", err)
	}
	if reason != want {
		t.Fatalf("revoking gave %q, want %q", reason, want)
	}
	return record
}

// wantRecord checks what the store has of a token.
func wantRecord(t *testing.T, s handshake.Store, want handshake.Record) {
	t.Helper()
	got, ok, err := s.Lookup(context.Background(), want.ID)
	if err != nil || !ok {
		t.Fatalf("looking up: found %v, error %v", ok, err)
	}
	sameRecord(t, got, want)
}

func sameRecord(t *testing.T, got, want handshake.Record) {
	t.Helper()
	if got.ID != want.ID || got.Kind != want.Kind || got.Tracker != want.Tracker || got.Status != want.Status ||
		!got.Expires.Equal(want.Expires) || !got.Ended.Equal(want.Ended) {
		t.Fatalf("the record is\n%+v, want\n%+v", got, want)
	}
}
