package redisstore_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
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

func beginChain(tb testing.TB, s *redisstore.Store) audit.ChainID {
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
func BenchmarkTrail(b *testing.B) { benchmarkTrail(b) }

// BenchmarkTrailInMemory is the same with a Redis that writes nothing to a disk.
func BenchmarkTrailInMemory(b *testing.B) { benchmarkTrail(b, "--appendonly", "no") }

func benchmarkTrail(b *testing.B, persistence ...string) {
	b.Helper()
	server := redistest.Start(b, persistence...)
	const turns = 4
	var minted, consumed [2]time.Duration
	for turn := range 2 * turns {
		with := (turn + turn/2) % 2 // neither is always the first
		s := open(b, server.URL())
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

// BenchmarkTrailOfHandshakes is the whole life of a token by way of an authority,
// minting and callback under the tracker's own root, without a trail and with one,
// in turns; it reports the ratio of the rates.
func BenchmarkTrailOfHandshakes(b *testing.B) {
	server := redistest.Start(b)
	trackers := handshake.WithTrackers(func(name string) (handshake.Tracker, bool) { return handshake.Tracker{Name: name}, true })
	const turns = 4
	var spent [2]time.Duration
	for turn := range 2 * turns {
		with := (turn + turn/2) % 2 // neither is always the first
		s := open(b, server.URL())
		opts := []handshake.Option{trackers}
		var trail *audit.Trail
		if with == 1 {
			var err error
			if trail, err = audit.Open(context.Background(), s.Trail(), audit.WithKeys(trailKeys(b))); err != nil {
				b.Fatal(err)
			}
			opts = append(opts, handshake.WithTrail(trail))
		}
		a, err := handshake.New(s, opts...)
		if err != nil {
			b.Fatal(err)
		}
		handler := handshake.NewHandler(a)
		begun := time.Now()
		inParallel(b, func(int) error {
			token, _, err := a.Mint(context.Background(), handshake.BugTracker, "trac")
			if err != nil {
				return err
			}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, handshake.CallbackPath("trac", token), nil))
			if recorder.Code != http.StatusOK {
				return errors.New(recorder.Body.String())
			}
			return nil
		})
		spent[with] += time.Since(begun)
		if err := errors.Join(trail.Close(context.Background()), s.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "with/without")
}
