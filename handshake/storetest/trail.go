package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// trailTests are the tests of handshake.Store.Trail and of the notes that tokens
// leave in it.
var trailTests = []test{
	{"the trail keeps entries in their order", testTrailOrder},
	{"the entries of one append are one block, and concurrent appends share blocks", testTrailBlocks},
	{"a position of the trail is where reading goes on", testTrailPositions},
	{"nothing is written before a chain has begun", testTrailNoChain},
	{"concurrent appends of several gateways leave whole chains", testTrailConcurrent},
	{"a second run has a chain of its own, and the first stays whole", testTrailReopen},
	{"dropping removes old blocks and says so", testTrailDrop},
	{"dropping removes the heads of chains of which nothing is left", testTrailDropChain},
	{"a chain of which everything was dropped goes on", testTrailDropAll},
	{"waiting for the trail ends when it grows", testTrailWait},
	{"the size of the trail is that of its blocks", testTrailSize},
	{"a minting leaves its notes", testTrailMint},
	{"a consumption leaves its intention and then its outcome", testTrailConsume},
	{"a refused claim leaves no outcome that says done", testTrailRefusals},
	{"a chain is begun once", testTrailBegunOnce},
	{"a call that has ended leaves no entry", testTrailContext},
	{"a closed store has told the trail everything", testTrailClosed},
}

// begin opens a handle with a chain of its own.
func begin(t *testing.T, b Backend) (handshake.Store, audit.ChainID) {
	t.Helper()
	s := start(t, b)
	return s, beginChain(t, s)
}

func beginChain(t *testing.T, s handshake.Store) audit.ChainID {
	t.Helper()
	chain := audit.NewChain(audit.NewChainID(), audit.Key{})
	if err := s.Trail().Begin(context.Background(), chain); err != nil {
		t.Fatalf("beginning a chain: %v", err)
	}
	return chain.ID()
}

// entry is one that can be told apart by its detail.
func entry(detail string) audit.Entry {
	return audit.Entry{Time: now(), Subsystem: audit.SubsystemOperator, Code: audit.OperatorCommand, Outcome: audit.Done, Detail: detail}
}

func appendEntries(t *testing.T, s handshake.Store, details ...string) {
	t.Helper()
	entries := make([]audit.Entry, len(details))
	for i, detail := range details {
		entries[i] = entry(detail)
	}
	if err := s.Trail().Append(context.Background(), entries...); err != nil {
		t.Fatalf("appending: %v", err)
	}
}

// listed returns all entries of a trail that Verify finds nothing wrong with.
func listed(t *testing.T, s handshake.Store) []audit.Listed {
	t.Helper()
	ctx := context.Background()
	report, err := audit.Verify(ctx, s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil {
		t.Fatalf("verifying: %v", err)
	}
	for _, problem := range report.Problems {
		t.Errorf("the trail: %v", problem)
	}
	var entries []audit.Listed
	for after := ""; ; {
		page, err := audit.List(ctx, s.Trail(), audit.Filter{}, after, audit.MaxPage)
		if err != nil {
			t.Fatalf("listing: %v", err)
		}
		entries = append(entries, page.Entries...)
		if page.After == after {
			return entries
		}
		after = page.After
	}
}

// wantDetails checks the details of all entries, in order.
func wantDetails(t *testing.T, s handshake.Store, want ...string) {
	t.Helper()
	var got []string
	for _, e := range listed(t, s) {
		got = append(got, e.Detail)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the trail has %q, want %q", got, want)
	}
}

func readBlocks(t *testing.T, s handshake.Store, after string, limit int) []audit.Block {
	t.Helper()
	blocks, err := s.Trail().Read(context.Background(), after, limit)
	if err != nil {
		t.Fatalf("reading after %q: %v", after, err)
	}
	return blocks
}

func heads(t *testing.T, s handshake.Store) map[audit.ChainID]audit.Head {
	t.Helper()
	found, err := s.Trail().Heads(context.Background())
	if err != nil {
		t.Fatalf("heads: %v", err)
	}
	byChain := map[audit.ChainID]audit.Head{}
	for _, head := range found {
		byChain[head.Chain] = head
	}
	return byChain
}

func testTrailOrder(t *testing.T, b Backend) {
	s, chain := begin(t, b)
	if found := heads(t, s); len(found) != 0 {
		t.Errorf("an empty trail has heads: %v", found)
	}
	wantDetails(t, s)
	appendEntries(t, s, "1", "2", "3")
	appendEntries(t, s, "4")
	appendEntries(t, s)
	appendEntries(t, s, "5")
	wantDetails(t, s, "1", "2", "3", "4", "5")
	all := listed(t, s)
	for i, e := range all {
		if e.Chain != chain || e.Seq != uint64(i+1) || e.Subsystem != audit.SubsystemOperator {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	if head := heads(t, s)[chain]; head.Seq != 5 || head.MAC != all[4].MAC {
		t.Errorf("the head is %+v", head)
	}
}

func testTrailBlocks(t *testing.T, b Backend) {
	s, _ := begin(t, b)
	appendEntries(t, s, "1", "2", "3", "4", "5")
	if blocks := readBlocks(t, s, "", 10); len(blocks) != 1 {
		t.Errorf("one append made %d blocks", len(blocks))
	}
	const callers = 400
	together(callers, func(i int) {
		if err := s.Trail().Append(context.Background(), entry(fmt.Sprint(i)), entry(fmt.Sprint(i))); err != nil {
			t.Errorf("appending: %v", err)
		}
	})
	if blocks := readBlocks(t, s, "", 2*callers); len(blocks) > callers/2 {
		t.Errorf("%d concurrent appends made %d blocks", callers, len(blocks)-1)
	}
	all := listed(t, s)[5:]
	if len(all) != 2*callers {
		t.Fatalf("%d entries, want %d", len(all), 2*callers)
	}
	for i := 0; i < len(all); i += 2 {
		if all[i].Detail != all[i+1].Detail {
			t.Fatalf("the entries of one append stand apart: %q, %q", all[i].Detail, all[i+1].Detail)
		}
	}
}

func testTrailPositions(t *testing.T, b Backend) {
	s, _ := begin(t, b)
	for i := range 7 {
		appendEntries(t, s, fmt.Sprint(i))
	}
	all := readBlocks(t, s, "", 100)
	if len(all) != 7 {
		t.Fatalf("%d blocks, want 7", len(all))
	}
	after := ""
	for i := range all {
		next := readBlocks(t, s, after, 1)
		if len(next) != 1 || next[0].After != all[i].After || !slices.Equal(next[0].Data, all[i].Data) {
			t.Fatalf("after %q stands %v, want %v", after, next, all[i])
		}
		after = next[0].After
	}
	for after, want := range map[string]int{all[6].After: 0, all[3].After: 3} {
		if found := readBlocks(t, s, after, 100); len(found) != want {
			t.Errorf("%d blocks after %q, want %d", len(found), after, want)
		}
	}
	if found := readBlocks(t, s, "", 0); len(found) != 0 {
		t.Errorf("none were asked for and %d came", len(found))
	}
	for _, text := range []string{"x", "-", "1-", "-1", "1-2-3", " ", "+", "00", all[0].After + "0x", strings.Repeat("9", 100), "1-99999999999999999999", "0000000000000000000000000001"} {
		if _, err := s.Trail().Read(context.Background(), text, 1); !errors.Is(err, audit.ErrPosition) {
			t.Errorf("reading after %q: %v, want ErrPosition", text, err)
		}
		if err := s.Trail().Wait(context.Background(), text); !errors.Is(err, audit.ErrPosition) {
			t.Errorf("waiting after %q: %v, want ErrPosition", text, err)
		}
		if err := s.Trail().Drop(context.Background(), text, entry("dropped")); !errors.Is(err, audit.ErrPosition) {
			t.Errorf("dropping up to %q: %v, want ErrPosition", text, err)
		}
	}
}

func testTrailNoChain(t *testing.T, b Backend) {
	s := start(t, b)
	ctx := context.Background()
	record := newRecord(now())
	if err := s.Trail().Append(ctx, entry("1")); !errors.Is(err, audit.ErrNoChain) {
		t.Errorf("appending: %v, want ErrNoChain", err)
	}
	if err := s.Mint(ctx, record, entry("1")); !errors.Is(err, audit.ErrNoChain) {
		t.Errorf("minting with a note: %v, want ErrNoChain", err)
	}
	if _, ok, err := s.Lookup(ctx, record.ID); ok || err != nil {
		t.Errorf("the token was minted: %v, error %v", ok, err)
	}
	mint(t, s, record)
	claim, note := claimOn(record, now()), entry("1")
	claim.Note = &note
	if _, reason, err := s.Consume(ctx, claim); !errors.Is(err, audit.ErrNoChain) || reason == handshake.Granted {
		t.Errorf("consuming with a note: %q, %v, want ErrNoChain", reason, err)
	}
	wantRecord(t, s, record)
	wantConsume(t, s, claimOn(record, now()), handshake.Granted)
	wantDetails(t, s)
}

func testTrailConcurrent(t *testing.T, b Backend) {
	const callers, each = 16, 20
	handles := startAll(t, b)
	for _, s := range handles {
		beginChain(t, s)
	}
	together(callers, func(i int) {
		for n := range each {
			if err := handles[i%len(handles)].Trail().Append(context.Background(), entry(fmt.Sprint(i, " ", n))); err != nil {
				t.Errorf("appending: %v", err)
			}
		}
	})
	next := make([]int, callers)
	all := listed(t, handles[0])
	for _, e := range all {
		var caller, n int
		if _, err := fmt.Sscan(e.Detail, &caller, &n); err != nil || n != next[caller] {
			t.Fatalf("the entry %q stands there, error %v", e.Detail, err)
		}
		next[caller]++
	}
	if len(all) != callers*each || len(heads(t, handles[0])) != len(handles) {
		t.Errorf("%d entries in %d chains, want %d in %d", len(all), len(heads(t, handles[0])), callers*each, len(handles))
	}
}

func testTrailReopen(t *testing.T, b Backend) {
	s := b.Open(t)
	first := beginChain(t, s)
	appendEntries(t, s, "1", "2")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, second := begin(t, b)
	if found := heads(t, s); len(found) != 1 || found[first].Seq != 2 {
		t.Errorf("the heads are %v", found)
	}
	appendEntries(t, s, "3")
	wantDetails(t, s, "1", "2", "3")
	if found := heads(t, s); len(found) != 2 || found[first].Seq != 2 || found[second].Seq != 1 {
		t.Errorf("the heads are %v", found)
	}
}

// dropped is the entry that says that a chain made room up to a head.
func dropped(upTo ...audit.Head) audit.Entry {
	return audit.Entry{Time: now(), Subsystem: audit.SubsystemTrail, Code: audit.TrailDropped, Outcome: audit.Done, Detail: "dropped", Heads: audit.PackHeads(upTo...)}
}

func testTrailDrop(t *testing.T, b Backend) {
	s, chain := begin(t, b)
	appendEntries(t, s, "1")
	appendEntries(t, s, "2", "3")
	upTo := heads(t, s)[chain]
	appendEntries(t, s, "4")
	all := readBlocks(t, s, "", 10)
	if err := s.Trail().Drop(context.Background(), all[1].After, dropped(upTo)); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	wantDetails(t, s, "4", "dropped")
	// A reader that stood in what is gone goes on with what is left.
	if found := readBlocks(t, s, all[0].After, 10); len(found) != 2 || found[0].After != all[2].After {
		t.Errorf("after a dropped position stand %v", found)
	}
	if err := s.Trail().Drop(context.Background(), all[0].After); err != nil {
		t.Fatalf("dropping what is gone: %v", err)
	}
	appendEntries(t, s, "5")
	wantDetails(t, s, "4", "dropped", "5")
}

func testTrailDropChain(t *testing.T, b Backend) {
	s := b.Open(t)
	old := beginChain(t, s)
	appendEntries(t, s, "1")
	appendEntries(t, s, "2")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, chain := begin(t, b)
	appendEntries(t, s, "3")
	all := readBlocks(t, s, "", 10)
	end := heads(t, s)[old]
	if err := s.Trail().Drop(context.Background(), all[0].After); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	if found := heads(t, s); found[old] != end {
		t.Errorf("the heads are %v, and something is left of the old chain", found)
	}
	if err := s.Trail().Drop(context.Background(), all[1].After, dropped(end)); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	if found := heads(t, s); len(found) != 1 || found[chain].Seq != 2 {
		t.Errorf("the heads are %v, want that of the new chain alone", found)
	}
	wantDetails(t, s, "3", "dropped")
}

// testTrailDropAll drops everything of a chain that has yet to go on, by way of
// another gateway where there can be one.
func testTrailDropAll(t *testing.T, b Backend) {
	handles := startAll(t, b)
	for _, s := range handles {
		beginChain(t, s)
	}
	first, last := handles[0], handles[len(handles)-1]
	appendEntries(t, first, "1")
	appendEntries(t, first, "2")
	var ends []audit.Head
	for _, head := range heads(t, first) {
		ends = append(ends, head)
	}
	all := readBlocks(t, first, "", 10)
	if err := last.Trail().Drop(context.Background(), all[1].After, dropped(ends...)); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	appendEntries(t, first, "3")
	appendEntries(t, first, "4")
	wantDetails(t, first, "dropped", "3", "4")
}

func testTrailWait(t *testing.T, b Backend) {
	handles := startAll(t, b)
	for _, s := range handles {
		beginChain(t, s)
	}
	reader, writer := handles[0], handles[len(handles)-1]
	ctx, cancel := context.WithCancel(context.Background())
	appendEntries(t, writer, "0")
	if err := reader.Trail().Wait(ctx, ""); err != nil {
		t.Fatalf("waiting for what is there: %v", err)
	}
	after := ""
	for i := range 3 {
		after = readBlocks(t, reader, after, 1)[0].After
		done := make(chan error)
		for range 3 {
			go func() { done <- reader.Trail().Wait(ctx, after) }()
		}
		select {
		case err := <-done:
			t.Fatalf("nothing was added, and the waiting ended with %v", err)
		default:
		}
		appendEntries(t, writer, fmt.Sprint(i))
		for range 3 {
			if err := <-done; err != nil {
				t.Fatalf("waiting: %v", err)
			}
		}
	}
	after = readBlocks(t, reader, after, 1)[0].After
	done := make(chan error)
	go func() { done <- reader.Trail().Wait(ctx, after) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting without patience: %v, want Canceled", err)
	}
}

func testTrailSize(t *testing.T, b Backend) {
	s, chain := begin(t, b)
	ctx := context.Background()
	if size, oldest, err := s.Trail().Size(ctx); size != 0 || !oldest.IsZero() || err != nil {
		t.Errorf("an empty trail: %d bytes, %v, error %v", size, oldest, err)
	}
	began := now()
	appendEntries(t, s, "1")
	upTo := heads(t, s)[chain]
	appendEntries(t, s, "2", "3")
	appendEntries(t, s, strings.Repeat("x", 200))
	check := func() {
		t.Helper()
		want := 0
		for _, block := range readBlocks(t, s, "", 10) {
			want += len(block.Data)
		}
		size, oldest, err := s.Trail().Size(ctx)
		// A store's clock may be its database's.
		if size != int64(want) || oldest.Before(began.Add(-lifetime)) || oldest.After(now().Add(lifetime)) || err != nil {
			t.Errorf("%d bytes since %v, error %v, want %d", size, oldest, err, want)
		}
	}
	check()
	if err := s.Trail().Drop(ctx, readBlocks(t, s, "", 1)[0].After, dropped(upTo)); err != nil {
		t.Fatal(err)
	}
	check()
}
