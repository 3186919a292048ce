package boltstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

// trailKeys are those of the chains here.
func trailKeys(tb testing.TB) audit.Keys {
	tb.Helper()
	keys, err := audit.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func beginChain(tb testing.TB, s *boltstore.Store) audit.ChainID {
	tb.Helper()
	chain := audit.NewChain(audit.NewChainID(), trailKeys(tb).Signing())
	if err := s.Trail().Begin(context.Background(), chain); err != nil {
		tb.Fatal(err)
	}
	return chain.ID()
}

func noteOn(r handshake.Record, code audit.Code) audit.Entry {
	return audit.Entry{
		Time: time.Now(), Subsystem: audit.SubsystemToken, Code: code, Outcome: audit.Done, Listener: "public", Route: "handshake",
		Subject: r.ID.Fingerprint().String(), Name: r.Tracker,
	}
}

// BenchmarkTrail makes the same mintings and claims without notes for the trail
// and with them, in turns, and reports the ratios of the rates.
func BenchmarkTrail(b *testing.B) {
	const turns = 4
	var minted, consumed [2]time.Duration
	for turn := range 2 * turns {
		with := (turn + turn/2) % 2 // neither is always the first
		s := openTemp(b)
		beginChain(b, s)
		records := make([]handshake.Record, b.N)
		begun := time.Now()
		inParallel(b, func(i int) error {
			records[i] = newRecord(time.Now())
			if with == 0 {
				return s.Mint(context.Background(), records[i])
			}
			return s.Mint(context.Background(), records[i], noteOn(records[i], audit.TokenMinted))
		})
		minted[with] += time.Since(begun)
		begun = time.Now()
		inParallel(b, func(i int) error {
			claim := handshake.Claim{ID: records[i].ID, Kind: handshake.BugTracker, At: time.Now()}
			if with == 1 {
				note := noteOn(records[i], audit.TokenConsumed)
				claim.Note = &note
			}
			_, _, err := s.Consume(context.Background(), claim)
			return err
		})
		consumed[with] += time.Since(begun)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(minted[0])/float64(minted[1]), "mint:with/without")
	b.ReportMetric(float64(consumed[0])/float64(consumed[1]), "consume:with/without")
	b.ReportMetric(float64(turns*b.N)/minted[1].Seconds(), "mints/s")
	b.ReportMetric(float64(turns*b.N)/consumed[1].Seconds(), "consumptions/s")
}
