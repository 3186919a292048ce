package boltstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

func beginTrail(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Trail().Begin(context.Background(), audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
		t.Fatal(err)
	}
}

// expired returns the tokens that a trail says have expired, by fingerprint.
func expired(t *testing.T, s *Store) []string {
	t.Helper()
	report, err := audit.Verify(context.Background(), s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("the trail: %v, error %v", report.Problems, err)
	}
	var found []string
	for after := ""; ; {
		page, err := audit.List(context.Background(), s.Trail(), audit.Filter{}, after, audit.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Subsystem != audit.SubsystemToken || e.Code != audit.TokenExpired {
				t.Errorf("the trail has %+v", e)
			}
			found = append(found, e.Subject)
		}
		if page.After == after {
			slices.Sort(found)
			return found
		}
		after = page.After
	}
}

func wantExpired(t *testing.T, s *Store, records ...handshake.Record) {
	t.Helper()
	want := make([]string, len(records))
	for i, r := range records {
		want[i] = r.ID.Fingerprint().String()
	}
	slices.Sort(want)
	if got := expired(t, s); !slices.Equal(got, want) {
		t.Errorf("%d tokens are told to have expired, want %d", len(got), len(want))
	}
}

func TestATokenThatExpiresUnusedIsToldOnceAndAtOnce(t *testing.T) {
	const lifetime = 10 * time.Minute
	clock := newClock()
	begin := clock.Now()
	path := filepath.Join(t.TempDir(), "tokens.db")
	open := func() *Store {
		s, err := Open(path, WithClock(clock.Now), WithRetention(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	unused, used, revoked := newRecord(begin, lifetime), newRecord(begin, lifetime), newRecord(begin.Add(time.Second), lifetime)
	later := newRecord(begin.Add(time.Minute), lifetime)
	mintAll(t, s, unused, used, revoked, later)
	ctx := context.Background()
	if _, reason, err := s.Consume(ctx, handshake.Claim{ID: used.ID, Kind: used.Kind, At: begin}); reason != handshake.Granted || err != nil {
		t.Fatal(reason, err)
	}
	if _, reason, err := s.Revoke(ctx, revoked.ID, begin); reason != handshake.Granted || err != nil {
		t.Fatal(reason, err)
	}
	clock.set(begin.Add(lifetime))
	sweep(t, s)
	wantExpired(t, s) // nobody keeps a trail
	beginTrail(t, s)
	clock.set(begin.Add(lifetime - time.Millisecond))
	sweep(t, s)
	wantExpired(t, s)
	clock.set(begin.Add(lifetime))
	sweep(t, s)
	sweep(t, s)
	wantExpired(t, s, unused)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer func() { _ = s.Close() }()
	beginTrail(t, s)
	sweep(t, s)
	wantExpired(t, s, unused)
	clock.set(begin.Add(24 * time.Hour))
	sweep(t, s)
	wantExpired(t, s, unused, later)
	if n := count(t, s, tokensBucket); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
	sweep(t, s)
	wantExpired(t, s, unused, later)
}

func TestManyThatExpireAreToldInChunksWhileOthersAreMinted(t *testing.T) {
	clock := newClock()
	begin := clock.Now()
	s := openTemp(t, WithRetention(time.Minute), WithClock(clock.Now))
	beginTrail(t, s)
	old := make([]handshake.Record, 3*sweepChunk+17)
	for i := range old {
		old[i] = newRecord(begin.Add(time.Duration(i/2)*time.Millisecond), time.Minute)
	}
	mintAll(t, s, old...)
	clock.set(begin.Add(time.Hour))
	fresh := make([]handshake.Record, 100)
	for i := range fresh {
		fresh[i] = newRecord(clock.Now(), time.Minute)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		mintAll(t, s, fresh...)
	}()
	sweep(t, s)
	<-done
	wantExpired(t, s, old...)
	if n := count(t, s, tokensBucket); n != len(fresh) {
		t.Errorf("%d tokens are left, want the %d new ones", n, len(fresh))
	}
}

func TestUsedTokensThatCannotBeReadDelayNothing(t *testing.T) {
	clock := newClock()
	begin := clock.Now()
	s := openTemp(t, WithClock(clock.Now))
	beginTrail(t, s)
	strange, plain := newRecord(begin, time.Minute), newRecord(begin.Add(time.Second), time.Minute)
	mintAll(t, s, strange, plain)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		key := tokenKey(strange.ID)
		return tx.Bucket(tokensBucket).Put(key[:], []byte("of a later version"[:5]))
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.set(begin.Add(time.Hour))
	sweep(t, s)
	wantExpired(t, s, plain)
}

func TestATrailOfManyPartsIsReadAsItWasWritten(t *testing.T) {
	s := openTemp(t)
	beginTrail(t, s)
	ctx := context.Background()
	for size := range 40 {
		entries := make([]audit.Entry, 1+size*size/4)
		for i := range entries {
			entries[i] = audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemOperator, Code: audit.OperatorCommand, Outcome: audit.Done, Detail: strings.Repeat("x", i%7)}
		}
		if err := s.Trail().Append(ctx, entries...); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 3, 100} {
		after, blocks, bytes := "", 0, 0
		for {
			found, err := s.Trail().Read(ctx, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 {
				break
			}
			for _, block := range found {
				if _, err := audit.ReadHeader(block.Data); err != nil {
					t.Errorf("block %s: %v", block.After, err)
				}
				blocks, bytes, after = blocks+1, bytes+len(block.Data), block.After
			}
		}
		size, _, err := s.Trail().Size(ctx)
		if blocks != 40 || size != int64(bytes) || err != nil {
			t.Errorf("%d blocks of %d bytes, said to be %d, error %v", blocks, bytes, size, err)
		}
	}
	report, err := audit.Verify(ctx, s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("the trail: %v, error %v", report.Problems, err)
	}
}

func TestADamagedTrailIsAnErrorAndNoPanic(t *testing.T) {
	ctx := context.Background()
	for name, damage := range map[string]func(tx *bbolt.Tx) error{
		"a short key":       func(tx *bbolt.Tx) error { return tx.Bucket(blocksBucket).Put([]byte("x"), []byte("y")) },
		"a short last key":  func(tx *bbolt.Tx) error { return tx.Bucket(blocksBucket).Put([]byte("\xff"), []byte("y")) },
		"a short block":     func(tx *bbolt.Tx) error { return tx.Bucket(blocksBucket).Put(partKey(1<<40, 0), []byte("y")) },
		"a part of nothing": func(tx *bbolt.Tx) error { return tx.Bucket(blocksBucket).Put(partKey(1<<40, 7), []byte("y")) },
		"a short head": func(tx *bbolt.Tx) error {
			return tx.Bucket(headsBucket).Put([]byte(fmt.Sprintf("%016d", 1)), []byte("y"))
		},
	} {
		s := openTemp(t)
		beginTrail(t, s)
		entry := audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemOperator, Outcome: audit.Done}
		if err := s.Trail().Append(ctx, entry); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Update(damage); err != nil {
			t.Fatal(err)
		}
		_, read := s.Trail().Read(ctx, "", 10)
		_, head := s.Trail().Heads(ctx)
		_, _, size := s.Trail().Size(ctx)
		added := s.Trail().Append(ctx, entry)
		drop := s.Trail().Drop(ctx, "ffffffffffffffff", entry)
		failed := 0
		for _, err := range []error{read, head, size, added, drop} {
			if errors.Is(err, errDamaged) {
				failed++
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if failed == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
}
