package redisstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func detailed(detail string) audit.Entry {
	return audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemOperator, Code: audit.OperatorCommand, Outcome: audit.Done, Detail: detail}
}

// add appends an entry, which may fail for as long as Redis is unwell.
func add(t *testing.T, s *redisstore.Store, detail string) {
	t.Helper()
	redistest.Until(t, "an entry is added", func() bool { return s.Trail().Append(context.Background(), detailed(detail)) == nil })
}

// details returns those of all entries, and what is wrong with the trail.
func details(t *testing.T, s *redisstore.Store) ([]string, []audit.Problem) {
	t.Helper()
	ctx := context.Background()
	report, err := audit.Verify(ctx, s.Trail(), trailKeys(t), audit.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for after := ""; ; {
		page, err := audit.List(ctx, s.Trail(), audit.Filter{}, after, audit.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			found = append(found, e.Detail)
		}
		if page.After == after {
			return found, report.Problems
		}
		after = page.After
	}
}

func TestAnEntryWhoseAnswerIsLostIsWrittenOnce(t *testing.T) {
	s, p := openThrough(t)
	beginChain(t, s)
	ctx := context.Background()
	if err := s.Trail().Append(ctx, detailed("1")); err != nil {
		t.Fatal(err)
	}
	p.Lose(1)
	if err := s.Trail().Append(ctx, detailed("2")); err != nil {
		t.Errorf("an answer that is lost once: %v", err)
	}
	p.Lose(1000)
	if err := s.Trail().Append(ctx, detailed("3")); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("when all are lost: %v, want ErrOutcomeUnknown", err)
	}
	// Behind an entry in doubt nothing else is sent.
	if err := s.Trail().Append(ctx, detailed("never")); err == nil || errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("the next one: %v, want an error that leaves no doubt", err)
	}
	record := newRecord(time.Now())
	if err := s.Mint(ctx, record, detailed("doubtful")); err == nil {
		t.Error("a token was minted")
	}
	p.Lose(0)
	if err := s.Trail().Append(ctx, detailed("4")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	found, problems := details(t, s)
	found = slices.DeleteFunc(found, func(d string) bool { return d == "doubtful" })
	if !slices.Equal(found, []string{"1", "2", "3", "4"}) || len(problems) > 0 {
		t.Errorf("the trail has %q, problems %v", found, problems)
	}
}

func TestAnEntryThatNeverArrivedLeavesNoGap(t *testing.T) {
	server := redistest.Start(t)
	p := redistest.StartProxy(t, server.Addr())
	s := open(t, p.URL())
	defer func() { _ = s.Close() }()
	beginChain(t, s)
	add(t, s, "1")
	p.Cut()
	record := newRecord(time.Now())
	if err := s.Mint(context.Background(), record, detailed("2")); err == nil {
		t.Error("a token was minted that the trail does not know")
	}
	p.Mend()
	add(t, s, "3")
	found, problems := details(t, s)
	found = slices.DeleteFunc(found, func(d string) bool { return d == "2" })
	if !slices.Equal(found, []string{"1", "3"}) || len(problems) > 0 {
		t.Errorf("the trail has %q, problems %v", found, problems)
	}
}

func TestAServerThatHangsHoldsTheTrailUpAndBreaksNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	beginChain(t, s)
	add(t, s, "1")
	record := mintOne(t, s)
	server.Pause()
	claim := claimOn(record)
	note := noteOn(record, audit.TokenConsumed)
	claim.Note = &note
	if _, reason, err := s.Consume(context.Background(), claim); err == nil || reason == handshake.Granted {
		t.Errorf("consuming: %q, error %v", reason, err)
	}
	server.Resume()
	add(t, s, "2")
	// Its intention may stand there, but the token was not touched.
	if reason := consume(t, s, record); reason != handshake.Granted {
		t.Errorf("afterwards the token is %q", reason)
	}
	if found, problems := details(t, s); len(problems) > 0 || !slices.Contains(found, "2") {
		t.Errorf("the trail has %q, problems %v", found, problems)
	}
}

func TestAServerThatRefusesToWriteMintsNothingAndBreaksNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	beginChain(t, s)
	add(t, s, "1")
	server.Do("config", "set", "maxmemory", "1")
	for range 3 {
		if err := s.Mint(context.Background(), newRecord(time.Now()), detailed("doubtful")); err == nil {
			t.Error("a token was minted")
		}
	}
	server.Do("config", "set", "maxmemory", "0")
	add(t, s, "2")
	found, problems := details(t, s)
	found = slices.DeleteFunc(found, func(d string) bool { return d == "doubtful" })
	if !slices.Equal(found, []string{"1", "2"}) || len(problems) > 0 {
		t.Errorf("the trail has %q, problems %v", found, problems)
	}
}

func TestWhatRedisHasForgottenIsMissing(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "no") // everysec may put off writing to the file
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	chain := beginChain(t, s)
	add(t, s, "1")
	add(t, s, "2")
	files := filepath.Join(server.Dir(), "appendonlydir")
	saved := filepath.Join(t.TempDir(), "saved")
	if err := os.CopyFS(saved, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	add(t, s, "3")
	add(t, s, "4")
	server.Kill()
	if err := errors.Join(os.RemoveAll(files), os.CopyFS(files, os.DirFS(saved))); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	add(t, s, "5")
	add(t, s, "6")
	found, problems := details(t, s)
	want := []string{"1", "2", "Redis has lost entries 3 to 4 of this chain, which it had confirmed", "5", "6"}
	if !slices.Equal(found, want) {
		t.Errorf("the trail has %q, want %q", found, want)
	}
	if len(problems) != 1 || problems[0].Kind != audit.ProblemMissing || problems[0].Chain != chain || problems[0].Seq != 3 || !strings.Contains(problems[0].Text, "3 to 4") {
		t.Errorf("the problems are %v", problems)
	}
}

func TestATrailThatRedisHasForgottenAltogetherIsMissing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	chain := beginChain(t, s)
	add(t, s, "1")
	add(t, s, "2")
	server.Do("flushall")
	add(t, s, "3")
	found, problems := details(t, s)
	if !slices.Equal(found, []string{"Redis has lost entries 1 to 2 of this chain, which it had confirmed", "3"}) {
		t.Errorf("the trail has %q", found)
	}
	if len(problems) != 1 || problems[0].Chain != chain || problems[0].Seq != 1 {
		t.Errorf("the problems are %v", problems)
	}
}

func TestChainsAreWholeAfterTheServerWasKilled(t *testing.T) {
	server := redistest.Start(t)
	var stores []*redisstore.Store
	for range 2 {
		s := open(t, server.URL())
		defer func() { _ = s.Close() }()
		beginChain(t, s)
		stores = append(stores, s)
	}
	told := make(chan string, 1<<16)
	done := make(chan struct{})
	for i := range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			s := stores[i%2]
			for {
				record := newRecord(time.Now())
				if s.Mint(context.Background(), record, detailed(record.ID.Fingerprint().String())) != nil {
					return
				}
				told <- record.ID.Fingerprint().String()
			}
		}()
	}
	redistest.Until(t, "some tokens are minted", func() bool { return len(told) > 500 })
	server.Kill()
	for range 16 {
		<-done
	}
	server.Restart()
	for _, s := range stores {
		add(t, s, "again")
	}
	found, problems := details(t, stores[0])
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	times := map[string]int{}
	for _, d := range found {
		times[d]++
	}
	close(told)
	for fingerprint := range told {
		if times[fingerprint] != 1 {
			t.Fatalf("a minting that was answered stands there %d times", times[fingerprint])
		}
	}
}

// A trail that takes nothing gives nothing up either, and does not count what it did
// not take.
func TestATrailThatCannotBeWrittenMakesNoRoom(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	beginChain(t, s)
	add(t, s, "1")
	add(t, s, "2")
	ctx := context.Background()
	before, err := s.Trail().Read(ctx, "", 10)
	if err != nil || len(before) != 2 {
		t.Fatalf("%d blocks, error %v", len(before), err)
	}
	server.Do("acl", "setuser", "default", "-xadd")
	for range 3 {
		if err := s.Trail().Append(ctx, detailed("3")); err == nil {
			t.Error("an entry was added")
		}
	}
	if err := s.Trail().Drop(ctx, before[0].After, detailed("dropped")); err == nil {
		t.Error("room was made")
	}
	if now, err := s.Trail().Read(ctx, "", 10); err != nil || len(now) != 2 {
		t.Errorf("there are %d blocks, error %v", len(now), err)
	}
	server.Do("acl", "setuser", "default", "+xadd")
	add(t, s, "4")
	blocks, err := s.Trail().Read(ctx, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, b := range blocks {
		sum += int64(len(b.Data))
	}
	if size, _, err := s.Trail().Size(ctx); size != sum || err != nil {
		t.Errorf("the trail takes %d bytes, by its own count %d, error %v", sum, size, err)
	}
	if found, problems := details(t, s); len(problems) > 0 || !slices.Contains(found, "4") {
		t.Errorf("the trail has %q, problems %v", found, problems)
	}
}

func TestRoomIsMadeInOneStepWithTheEntryThatSaysSo(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	beginChain(t, s)
	add(t, s, "1")
	add(t, s, "2")
	ctx := context.Background()
	before, err := s.Trail().Read(ctx, "", 10)
	if err != nil || len(before) != 2 {
		t.Fatalf("%d blocks, error %v", len(before), err)
	}
	server.Do("acl", "setuser", "default", "-xadd")
	if err := s.Trail().Drop(ctx, before[0].After, detailed("dropped")); err == nil {
		t.Error("room was made")
	}
	if now, err := s.Trail().Read(ctx, "", 10); err != nil || len(now) != 2 {
		t.Errorf("without its entry: %d blocks are left, error %v", len(now), err)
	}
}
