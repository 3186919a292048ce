package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// numbered is a store with a chain of entries in blocks of 1, 2, 3 and so on.
func numbered(t testing.TB, blocks int) ledger {
	t.Helper()
	l := ledger{newMemory(), NewChain(ChainID{0xaa}, Key{}), nil}
	n := 0
	for size := range blocks {
		var entries []Entry
		for range size + 1 {
			n++
			entries = append(entries, Entry{Time: at(n), Subsystem: SubsystemToken, Code: TokenMinted, Outcome: Done, Name: fmt.Sprint(n % 3)})
		}
		l.add(t, l.a, entries...)
	}
	return l
}

func TestPagesOfAnySizeShowEveryEntryOnce(t *testing.T) {
	store := numbered(t, 5)
	for limit := range 17 {
		for _, name := range []string{"", "0", "2"} {
			var seqs []uint64
			after := ""
			for {
				page, err := List(t.Context(), store, Filter{Name: name}, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entries {
					seqs = append(seqs, e.Seq)
					// Going on from behind the entry shows the next one.
					next, err := List(t.Context(), store, Filter{}, e.After, 1)
					if err != nil || len(next.Entries) == 1 && next.Entries[0].Seq != e.Seq+1 || len(next.Entries) == 0 && e.Seq != 15 {
						t.Fatalf("behind %d (%q): %+v, %v", e.Seq, e.After, next, err)
					}
				}
				if page.After == after {
					break
				}
				after = page.After
			}
			want := 15
			if name != "" {
				want = 5
			}
			if len(seqs) != want || !slices.IsSorted(seqs) || len(slices.Compact(seqs)) != want {
				t.Errorf("limit %d, name %q: %v", limit, name, seqs)
			}
		}
	}
}

func TestAPositionWithinABlockThatMadeRoomMissesNothing(t *testing.T) {
	store := numbered(t, 5)
	page, err := List(t.Context(), store, Filter{}, "", 2) // the first of the second block
	if err != nil {
		t.Fatal(err)
	}
	store.blocks = store.blocks[2:]
	if page, err = List(t.Context(), store, Filter{}, page.After, 1); err != nil || page.Entries[0].Seq != 4 {
		t.Errorf("it goes on with %+v, %v", page.Entries, err)
	}
}

func TestWhatIsNoPositionIsSaid(t *testing.T) {
	store := numbered(t, 2)
	for _, text := range []string{"x", "1~", "1~aa", "1~aa~0", "1~aa~x", "x~aa~1", "1~a~2~3", "\x1b"} {
		if _, err := List(t.Context(), store, Filter{}, text, 1); !errors.Is(err, ErrPosition) {
			t.Errorf("%q gave %v", text, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("12-0~aa000000~7")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(text)
		if err != nil {
			return
		}
		if again, err := parsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, then %+v, %v", text, p, again, err)
		}
	})
}

func TestBlocksThatCannotBeReadArePassedOverAndCounted(t *testing.T) {
	store := numbered(t, 4)
	store.blocks[1].Data = []byte("noise")
	page, err := List(t.Context(), store, Filter{}, "", MaxPage)
	if err != nil || page.Unreadable != 1 || len(page.Entries) != 8 {
		t.Errorf("%d entries, %d unreadable, %v", len(page.Entries), page.Unreadable, err)
	}
	if last, err := Last(t.Context(), store, Filter{}, 3); err != nil || last.Unreadable != 1 || last.Entries[0].Seq != 8 || last.After != "4" {
		t.Errorf("the last are %+v, %v", last, err)
	}
}

func TestOnePageScansABoundedPartOfTheTrail(t *testing.T) {
	store := newMemory()
	chain := NewChain(ChainID{0xaa}, Key{})
	var data []byte
	head := Head{}
	for i := range maxScan + readChunk + 1 {
		data, head = chain.Seal(head, []Entry{{}})
		store.blocks = append(store.blocks, Block{After: fmt.Sprint(i + 1), Data: data})
	}
	quick := &sliced{store}
	page, err := List(t.Context(), quick, Filter{Name: "nobody"}, "", 1)
	if err != nil || page.After != fmt.Sprint(maxScan) || len(page.Entries) != 0 {
		t.Errorf("it ends at %q, %v", page.After, err)
	}
}

// sliced reads blocks whose positions are their places.
type sliced struct{ *memory }

func (s *sliced) Read(_ context.Context, after string, limit int) ([]Block, error) {
	n := 0
	_, _ = fmt.Sscan(after, &n)
	return s.blocks[n:min(n+limit, len(s.blocks))], nil
}

func TestFollowingShowsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := numbered(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		var seqs []uint64
		ended := make(chan error)
		go func() {
			ended <- Follow(ctx, store, Filter{Name: "0"}, "", func(e Listed) error { seqs = append(seqs, e.Seq); return nil })
		}()
		synctest.Wait()
		store.add(t, store.a, Entry{Name: "1"}, Entry{Name: "0"})
		synctest.Wait()
		store.add(t, store.a, Entry{Name: "0"})
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !slices.Equal(seqs, []uint64{3, 5, 6}) {
			t.Errorf("it showed %v and ended with %v", seqs, err)
		}
		enough := errors.New("enough")
		if err := Follow(t.Context(), store, Filter{}, "", func(Listed) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestFiltersChooseEntries(t *testing.T) {
	chain := ChainID{0xab}
	e := Entry{Time: at(30), Subsystem: SubsystemHook, Code: HookAuthentication, Outcome: Failed, Reason: "mismatch",
		Caller: netip.MustParseAddr("192.0.2.7"), Listener: "public", Route: "/hooks/{name}", Subject: "0123456789abcdef", Name: "ci"}
	for _, tc := range []struct {
		filter map[string]string
		want   bool
	}{
		{nil, true},
		{map[string]string{"name": "", "since": ""}, true},
		{map[string]string{"since": "2026-11-21T19:35:30Z"}, true},
		{map[string]string{"since": "2026-11-21T20:35:30+01:00"}, true},
		{map[string]string{"since": "2026-11-21T19:35:31"}, false},
		{map[string]string{"since": "2026-11-21"}, true},
		{map[string]string{"until": "2026-11-21T19:35:30Z"}, false},
		{map[string]string{"until": "2026-11-22"}, true},
		{map[string]string{"since": fmt.Sprint(at(31).Unix())}, false},
		{map[string]string{"subsystem": "hook", "event": "authentication_failed", "code": "1"}, true},
		{map[string]string{"subsystem": "token"}, false},
		{map[string]string{"event": "minted"}, false},
		{map[string]string{"code": "0"}, false},
		{map[string]string{"outcome": "failed"}, true},
		{map[string]string{"outcome": "done"}, false},
		{map[string]string{"caller": "192.0.2.0/24"}, true},
		{map[string]string{"caller": "::ffff:192.0.2.7"}, true},
		{map[string]string{"caller": "192.0.2.8"}, false},
		{map[string]string{"caller": "2001:db8::/32"}, false},
		{map[string]string{"listener": "public", "route": "/hooks/{name}", "name": "ci", "reason": "mismatch"}, true},
		{map[string]string{"route": "/other"}, false},
		{map[string]string{"name": "c"}, false},
		{map[string]string{"reason": "used"}, false},
		{map[string]string{"subject": "0123456789ABCDEF"}, true},
		{map[string]string{"subject": "0123"}, false},
		{map[string]string{"listener": "private"}, false},
		{map[string]string{"chain": "AB0"}, true},
		{map[string]string{"chain": "ac"}, false},
	} {
		f, err := ParseFilter(tc.filter)
		if err != nil {
			t.Errorf("%v: %v", tc.filter, err)
			continue
		}
		if got := f.matches(chain, &e); got != tc.want {
			t.Errorf("%v chooses it: %v", tc.filter, got)
		}
	}
}

func TestWhatIsNoFilterIsNamed(t *testing.T) {
	for key, text := range map[string]string{
		"nam": "x", "since": "yesterday", "until": "-5", "subsystem": "tokens", "code": "70000", "outcome": "good", "caller": "example.org",
		"chain": "xyz", "evil\x1b": "",
	} {
		_, err := ParseFilter(map[string]string{key: text})
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(key, "\x1b")) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s=%s gave %v", key, text, err)
		}
	}
	if !slices.Equal(FilterKeys(), slices.Sorted(maps.Keys(filterKeys))) {
		t.Error("not all keys are told")
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, key := range FilterKeys() {
		f.Add(key, "2026-11-21")
	}
	e := mintEntry()
	f.Fuzz(func(_ *testing.T, key, text string) {
		if filter, err := ParseFilter(map[string]string{key: text}); err == nil {
			filter.matches(ChainID{}, &e)
		}
	})
}

func TestEveryCodeHasAName(t *testing.T) {
	for subsystem, codes := range events {
		seen := map[string]bool{}
		for code, name := range codes {
			if seen[name] || code == Unknown && name != "unknown" {
				t.Errorf("%s has the name %s twice", subsystem, name)
			}
			seen[name] = true
		}
	}
	if SubsystemToken.Event(Unknown) != "unknown" || Subsystem("x").Event(9) != "code_9" {
		t.Error("codes without a name are named wrongly")
	}
}

func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	type ids struct {
		Chain ChainID
		MAC   MAC
	}
	want := ids{ChainID{1, 0xfe}, MAC{2, 0xab}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got ids
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%s became %v, %v", text, got, err)
	}
	if json.Unmarshal([]byte(`{"Chain":"zz"}`), &got) == nil || json.Unmarshal([]byte(`{"MAC":"`+strings.Repeat("x", 64)+`"}`), &got) == nil {
		t.Error("what is none was read")
	}
}
