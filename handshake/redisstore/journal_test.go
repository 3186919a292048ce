package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/internal/redistest"
)

func outcome(subject string) audit.Entry {
	return audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemToken, Code: audit.TokenConsumed, Outcome: audit.Done, Subject: subject}
}

// subjects counts the entries by subject, and checks the trail.
func subjects(t *testing.T, s *Store) map[string]int {
	t.Helper()
	report, err := audit.Verify(context.Background(), s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("the trail: %v, error %v", report.Problems, err)
	}
	page, err := audit.List(context.Background(), s.Trail(), audit.Filter{}, "", audit.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, e := range page.Entries {
		found[e.Subject]++
	}
	return found
}

func openTrail(t *testing.T, url string, opts ...Option) *Store {
	t.Helper()
	s, err := Open(context.Background(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Trail().Begin(context.Background(), audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnOutcomeIsWrittenWhenRedisIsBackAndOnce(t *testing.T) {
	server := redistest.Start(t)
	s := openTrail(t, server.URL())
	if err := s.Trail().Append(context.Background(), outcome("first")); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	s.journal.follow(outcome("second"))
	if err := s.Trail().Append(context.Background(), outcome("refused")); err == nil {
		t.Error("an entry was added while Redis was away")
	}
	s.journal.follow(outcome("third"))
	server.Restart()
	redistest.Until(t, "the outcomes are written", func() bool { return subjects(t, s)["third"] > 0 })
	for subject, times := range subjects(t, s) {
		if times != 1 {
			t.Errorf("%s stands there %d times", subject, times)
		}
	}
}

func TestAClosingStoreWaitsForOutcomesAndNotForADeadServer(t *testing.T) {
	server := redistest.Start(t)
	s, dead := openTrail(t, server.URL()), redistest.Start(t)
	cut := openTrail(t, dead.URL())
	for range 3 * maxBlock {
		s.journal.follow(outcome("many"))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(context.Background(), openTrail(t, server.URL()).Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() || report.Entries != 3*maxBlock {
		t.Errorf("%d entries, problems %v, error %v", report.Entries, report.Problems, err)
	}
	dead.Kill()
	cut.journal.follow(outcome("lost"))
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMoreThanTheJournalHoldsIsRefusedOrCounted(t *testing.T) {
	server := redistest.Start(t)
	s := openTrail(t, server.URL(), WithQueue(10))
	ctx := context.Background()
	if err := s.Trail().Append(ctx, make([]audit.Entry, 11)...); !errors.Is(err, handshake.ErrBusy) {
		t.Errorf("more than the queue holds: %v, want ErrBusy", err)
	}
	backlog := make([]audit.Entry, 25)
	for i := range backlog {
		backlog[i] = outcome("waited")
	}
	s.journal.again(backlog)
	if err := s.Trail().Append(ctx, outcome("next")); err != nil {
		t.Fatal(err)
	}
	if found := subjects(t, s); found["waited"] != 10 || found[""] != 1 || found["next"] != 1 {
		t.Errorf("the trail has %v, want 10 that waited and one that counts the others", found)
	}
}
