package redisstore_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// verdict is what a claim was told.
type verdict struct {
	reason handshake.Reason
	err    error
}

// claimTogether makes claims that wait for one another: the server stands still until all
// have begun.
func claimTogether(t *testing.T, server *redistest.Server, s *redisstore.Store, claims []handshake.Claim) []verdict {
	t.Helper()
	verdicts := make([]verdict, len(claims))
	server.Pause()
	var begun, ended sync.WaitGroup
	begun.Add(len(claims))
	for i, c := range claims {
		ended.Go(func() {
			begun.Done()
			v := &verdicts[i]
			_, v.reason, v.err = s.Consume(t.Context(), c)
		})
	}
	begun.Wait()
	server.Resume()
	ended.Wait()
	return verdicts
}

func commandCalls(t *testing.T, server *redistest.Server, command string) int {
	t.Helper()
	_, rest, _ := strings.Cut(server.Do("info", "commandstats"), "cmdstat_"+command+":calls=")
	number, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("calls of %s: %v", command, err)
	}
	return n
}

func TestClaimsThatWaitShareACallAndEachIsJudgedByItself(t *testing.T) {
	for _, trail := range []bool{false, true} {
		t.Run(fmt.Sprintf("trail %v", trail), func(t *testing.T) {
			server := redistest.Start(t)
			s := open(t, server.URL())
			defer func() { _ = s.Close() }()
			warm(t, s)
			if trail {
				if err := s.Trail().Begin(t.Context(), audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
					t.Fatal(err)
				}
			}
			const tokens, presentations = 150, 3
			var claims []handshake.Claim
			for i := range tokens {
				record := newRecord(time.Now())
				if i%3 == 1 {
					record.Tracker = "gnome"
				}
				if err := s.Mint(t.Context(), record); err != nil {
					t.Fatal(err)
				}
				claim := claimOn(record)
				if i%5 == 4 {
					claim.Tracker = "another"
				}
				if trail {
					claim.Note = &audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemToken, Code: audit.TokenConsumed}
				}
				for range presentations {
					claims = append(claims, claim)
				}
			}
			server.Do("config", "resetstat")
			verdicts := claimTogether(t, server, s, claims)
			for i := range tokens {
				granted, want := 0, 1
				for _, v := range verdicts[i*presentations : (i+1)*presentations] {
					switch {
					case v.err != nil:
						t.Errorf("token %d: %v", i, v.err)
					case v.reason == handshake.Granted:
						granted++
					}
					if i%5 == 4 && v.reason != handshake.ReasonWrongTracker {
						t.Errorf("token %d under another tracker: %q", i, v.reason)
					}
				}
				if i%5 == 4 {
					want = 0
				}
				if granted != want {
					t.Errorf("token %d was accepted %d times, want %d", i, granted, want)
				}
			}
			if calls := commandCalls(t, server, "evalsha"); calls > len(claims)/2 {
				t.Errorf("%d claims took %d calls of scripts", len(claims), calls)
			}
		})
	}
}

func TestWhatIsWrongWithOneTokenIsNoOthersAffair(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	warm(t, s)
	const list, garbage, gone = 3, 5, 7
	var claims []handshake.Claim
	for i := range 20 {
		record := newRecord(time.Now())
		if err := s.Mint(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		key := "trackgate:" + string(record.ID.Hash[:])
		switch i {
		case list:
			server.Do("del", key)
			server.Do("rpush", key, "x")
		case garbage:
			server.Do("set", key, "x")
		case gone:
			server.Do("del", key)
		}
		claims = append(claims, claimOn(record))
	}
	for i, v := range claimTogether(t, server, s, claims) {
		switch i {
		case list:
			if !errors.Is(v.err, handshake.ErrOutcomeUnknown) || !strings.Contains(v.err.Error(), "WRONGTYPE") {
				t.Errorf("a key that is a list: %q, error %v", v.reason, v.err)
			}
		case garbage:
			if v.err == nil {
				t.Errorf("a value that is none: %q", v.reason)
			}
		case gone:
			if v.reason != handshake.ReasonUnknown || v.err != nil {
				t.Errorf("a token that is gone: %q, error %v", v.reason, v.err)
			}
		default:
			if v.reason != handshake.Granted || v.err != nil {
				t.Errorf("token %d: %q, error %v", i, v.reason, v.err)
			}
		}
	}
}

func TestClaimsThatShareACallTeachAServerTheScript(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	var claims []handshake.Claim
	for range 30 {
		record := newRecord(time.Now())
		if err := s.Mint(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		claims = append(claims, claimOn(record))
	}
	server.Do("script", "flush")
	for i, v := range claimTogether(t, server, s, claims) {
		if v.reason != handshake.Granted || v.err != nil {
			t.Errorf("token %d: %q, error %v", i, v.reason, v.err)
		}
	}
}

func TestTokensThatExpireTogetherLeaveOneByOne(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	const tokens, lifetime = 200, 10 * time.Minute
	client := server.Client()
	least, most := time.Hour, time.Duration(0)
	for range tokens {
		record := newRecord(time.Now())
		if err := s.Mint(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		left, err := client.PTTL(t.Context(), "trackgate:"+string(record.ID.Hash[:])).Result()
		if err != nil {
			t.Fatal(err)
		}
		least, most = min(least, left), max(most, left)
		claim := claimOn(record)
		claim.At = record.Expires
		if _, reason, err := s.Consume(t.Context(), claim); reason != handshake.ReasonExpired || err != nil {
			t.Fatalf("at its expiry: %q, error %v, want %q", reason, err, handshake.ReasonExpired)
		}
	}
	// Each of 200 keys stays a part of a minute that is as good as random.
	if least > lifetime+15*time.Second || least < lifetime-15*time.Second || most < lifetime+45*time.Second || most > lifetime+time.Minute {
		t.Errorf("keys live from %v to %v", least, most)
	}
}
