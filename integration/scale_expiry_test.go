package integration

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

const (
	// steadyWorkers each make a request every steadyEvery: 2,000 a second in all.
	steadyWorkers = 20
	steadyEvery   = 10 * time.Millisecond
	// quietTime is how long the steady load is measured before anything expires.
	quietTime = 6 * time.Second
	// expiryPatience bounds how long it may take until everything is forgotten.
	expiryPatience = 3 * time.Minute
	// longestRequest is the goal, in milliseconds.
	longestRequest = 50
)

// scaleExpiry has as many tokens as the flag says expire within one second, and
// measures a steady load before that and until the database has forgotten all.
func scaleExpiry(b *testing.B, r *scaleReport) {
	var rows []string
	// Redis expires in slices of a quarter of the time between two of its ticks, of
	// which it has hz a second, 10 by default.
	kinds := append(scaleKinds(), scaleKind{"Redis on disk, hz 100", func(b *testing.B) *scaleStore { return openScaleRedis(b, "--hz", "100") }})
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			s := kind.open(b)
			end, last := s.fillForOneEnd(b)
			quiet := s.steady(b, func() bool { return time.Now().After(end) })
			begun := time.Now()
			busy := s.steady(b, func() bool {
				if time.Since(begun) > expiryPatience {
					b.Errorf("%d tokens had not been forgotten after %v", *scaleExpiring, expiryPatience)
					return true
				}
				return s.forgotten(b, last)
			})
			took := time.Since(begun)
			progress(b, "forgotten in %.0f s", took.Seconds())
			row := fmt.Sprintf("%s\t%d\t%.1f s", kind.name, *scaleExpiring, took.Seconds())
			for _, of := range []struct {
				name  string
				times []time.Duration
			}{{"quiet", quiet}, {"expiring", busy}} {
				slices.Sort(of.times)
				p99, slowest := quantile(of.times, 0.99), quantile(of.times, 1)
				p999, over := quantile(of.times, 0.999), 0
				for _, t := range of.times {
					if milliseconds(t) > longestRequest {
						over++
					}
				}
				r.figure("expiry", kind.name, *scaleExpiring, of.name+"_p99_ms", p99)
				r.figure("expiry", kind.name, *scaleExpiring, of.name+"_p999_ms", p999)
				r.goal("expiry", kind.name, *scaleExpiring, of.name+"_slowest_ms", slowest, longestRequest)
				row += fmt.Sprintf("\t%.1f ms\t%.1f ms\t%.1f ms\t%d of %d", p99, p999, slowest, over, len(of.times))
			}
			r.figure("expiry", kind.name, *scaleExpiring, "seconds", took.Seconds())
			rows = append(rows, row)
		})
	}
	printTable(fmt.Sprintf("expiry within one second under %d requests a second", steadyWorkers*int(time.Second/steadyEvery)),
		"store\texpiring\tforgotten in\tbefore: p99\tp99.9\tslowest\tabove 50 ms\twhile: p99\tp99.9\tslowest\tabove 50 ms", rows)
}

// fillForOneEnd mints the tokens with lifetimes that all end within the second
// before end, which leaves time to measure before. It returns the youngest token.
func (s *scaleStore) fillForOneEnd(b *testing.B) (end time.Time, last handshake.Record) {
	b.Helper()
	// A part of them tells how long it will take; they are gone soon.
	part := max(*scaleExpiring/20, 1)
	begun := time.Now()
	s.fill(b, part, part, func(time.Time) time.Duration { return handshake.MinLifetime })
	expected := time.Since(begun) * time.Duration(*scaleExpiring) / time.Duration(part)
	end = time.Now().Add(expected*3/2 + quietTime + 2*time.Second)
	_, last = s.fill(b, *scaleExpiring, *scaleExpiring, func(now time.Time) time.Duration {
		return max(end.Sub(now).Truncate(time.Second), handshake.MinLifetime)
	})
	// What is minted in the same millisecond and lives longer could stand before the
	// last token, which bolt then keeps as long.
	time.Sleep(2 * time.Millisecond)
	end = end.Add(-time.Second)
	if left := time.Until(end); left < quietTime/2 {
		b.Fatalf("minting slowed down: %v were left before the end, not %v", left, quietTime)
	}
	if s.redis != nil {
		if err := s.redis.ConfigResetStat(b.Context()).Err(); err != nil {
			b.Fatal(err)
		}
	}
	return end, last
}

// forgotten is whether the database has let go of what has expired. Redis looks for
// it by chance once it is less than a tenth of all keys, and may keep the rest for long.
func (s *scaleStore) forgotten(b *testing.B, last handshake.Record) bool {
	b.Helper()
	if s.redis != nil {
		return s.info(b, "expired_keys") >= 0.9*float64(*scaleExpiring)
	}
	_, found, err := s.Lookup(b.Context(), last.ID)
	if err != nil {
		b.Error(err)
	}
	return !found
}

// steady makes requests at their times, whether the one before was answered or
// not as far as workers are free, until done says so. It returns how long each
// took from the time at which it was due.
func (s *scaleStore) steady(b *testing.B, done func() bool) []time.Duration {
	b.Helper()
	stop := make(chan struct{})
	took := make([][]time.Duration, steadyWorkers)
	var group sync.WaitGroup
	for w := range steadyWorkers {
		group.Go(func() {
			due := time.Now().Add(steadyEvery * time.Duration(w) / steadyWorkers)
			var held handshake.Record
			for n := 0; ; n++ {
				time.Sleep(time.Until(due))
				select {
				case <-stop:
					return
				default:
				}
				var err error
				if n%2 == 0 {
					held = scaleRecord(time.Now(), handshake.DefaultLifetime)
					err = s.Mint(b.Context(), held)
				} else {
					var reason handshake.Reason
					_, reason, err = s.Consume(b.Context(), handshake.Claim{ID: held.ID, Kind: held.Kind, At: time.Now()})
					if err == nil && reason != handshake.Granted {
						err = fmt.Errorf("a live token was refused: %v", reason)
					}
				}
				if err != nil {
					b.Error(err)
					return
				}
				took[w] = append(took[w], time.Since(due))
				due = due.Add(steadyEvery)
			}
		})
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		<-tick.C
	}
	close(stop)
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return slices.Concat(took...)
}
