package audit_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// TestATrailOverRunsOfAGateway keeps a trail in a real file, over several runs that
// make room for each other.
func TestATrailOverRunsOfAGateway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	keys, err := audit.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	var checkpoints []audit.Head
	dropped := 0
	for run := range 5 {
		store, err := boltstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		trail, err := audit.Open(t.Context(), store.Trail(), audit.WithKeys(keys), audit.WithGateway("gw-1"), audit.WithMaxSize(20_000))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			e := audit.Entry{Subsystem: audit.SubsystemToken, Code: audit.TokenMinted, Outcome: audit.Done, Name: fmt.Sprint(run, " ", i)}
			if err := trail.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			trail.Note(t.Context(), e)
		}
		if err := trail.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := trail.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		report, err := audit.Verify(t.Context(), store.Trail(), keys, audit.VerifyOptions{From: checkpoints})
		if err != nil || !report.OK() || report.Met+report.Dropped != len(checkpoints) {
			t.Fatalf("run %d: %d met, %d dropped of %d, problems %v, %v", run, report.Met, report.Dropped, len(checkpoints), report.Problems, err)
		}
		heads, err := audit.Checkpoints(t.Context(), store.Trail())
		if err != nil {
			t.Fatal(err)
		}
		checkpoints = heads
		dropped += report.Dropped
		last, err := audit.Last(t.Context(), store.Trail(), audit.Filter{}, 1)
		if err != nil || last.Entries[0].Code != audit.GatewayStopped || last.Entries[0].Chain != trail.Chain() {
			t.Fatalf("run %d ends with %+v, %v", run, last.Entries, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if dropped == 0 {
		t.Error("no chain made room as a whole")
	}
}

// TestATrailOfSeveralGatewaysOnOneRedis lets gateways write, make room and verify
// at the same time.
func TestATrailOfSeveralGatewaysOnOneRedis(t *testing.T) {
	server := redistest.Start(t)
	keys, err := audit.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	var gateways sync.WaitGroup
	for g := range 3 {
		gateways.Go(func() {
			for run := range 3 {
				store, err := redisstore.Open(t.Context(), server.URL())
				if err != nil {
					t.Error(err)
					return
				}
				defer store.Close()
				trail, err := audit.Open(t.Context(), store.Trail(), audit.WithKeys(keys), audit.WithGateway(fmt.Sprint("gw-", g)), audit.WithMaxSize(15_000))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 60 {
					e := audit.Entry{Subsystem: audit.SubsystemToken, Code: audit.TokenMinted, Outcome: audit.Done, Name: fmt.Sprint(run, " ", i)}
					if err := trail.Record(t.Context(), e); err != nil {
						t.Error(err)
					}
					trail.Note(t.Context(), e)
					if i%20 == 10 {
						if err := trail.Rotate(t.Context()); err != nil {
							t.Error(err)
						}
						report, err := audit.Verify(t.Context(), store.Trail(), keys, audit.VerifyOptions{})
						if err != nil || !report.OK() {
							t.Errorf("gateway %d, run %d, %d: problems %v, %v", g, run, i, report.Problems, err)
						}
					}
				}
				if err := trail.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	gateways.Wait()
	store, err := redisstore.Open(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	report, err := audit.Verify(t.Context(), store.Trail(), keys, audit.VerifyOptions{})
	if err != nil || !report.OK() || len(report.Chains) == 0 {
		t.Errorf("in the end: %+v, %v", report, err)
	}
	if all, err := audit.List(t.Context(), store.Trail(), audit.Filter{}, "", 1); err != nil || all.Entries[0].Seq == 1 {
		t.Errorf("nothing made room: %+v, %v", all.Entries, err)
	}
}
