package audit

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func at(seconds int) time.Time { return time.Date(2026, 11, 21, 19, 35, seconds, 0, time.UTC) }

func mintEntry() Entry {
	return Entry{Time: at(3), Subsystem: SubsystemToken, Code: TokenMinted, Outcome: Done, Caller: netip.MustParseAddr("192.0.2.7"),
		Listener: "private", Route: "newBugTrackerToken", Subject: "0123456789abcdef", Name: "gnome"}
}

func TestEntriesComeBackAsTheyWereSealed(t *testing.T) {
	chain := NewChain(NewChainID(), testKeys(t).Signing())
	for _, tc := range []struct {
		name string
		e    Entry
	}{
		{"an empty one", Entry{Time: time.UnixMilli(0).UTC()}},
		{"of a minted token", mintEntry()},
		{"an IPv6 caller", Entry{Time: at(1), Caller: netip.MustParseAddr("2001:db8::1")}},
		{"words that are not known", Entry{Time: at(1), Subsystem: "new", Code: 65535, Outcome: "odd", Listener: "fifth"}},
		{"a subject that is no fingerprint", Entry{Time: at(1), Subject: "0123456789ABCDEF"}},
		{"every field", Entry{Time: at(1), Subsystem: SubsystemTrail, Code: TrailDropped, Outcome: Done, Reason: "age", Caller: netip.MustParseAddr("::1"),
			Listener: "admin", Route: "/a", Subject: "s", Name: "ü", Detail: strings.Repeat("d", MaxDetail), Heads: PackHeads(Head{Seq: 3}, Head{Seq: 4})}},
		{"the longest text", Entry{Time: at(1), Route: strings.Repeat("é", MaxText/2)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, next := chain.Seal(Head{Chain: chain.ID(), Seq: 41, MAC: MAC{1}}, []Entry{tc.e})
			h, entries, err := decodeBlock(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := entries[0].Entry; got != tc.e {
				t.Errorf("sealed %+v\nread   %+v", tc.e, got)
			}
			if h.Chain != chain.ID() || h.First != 42 || h.Last() != 42 || h.Before != (MAC{1}) || !h.Keyed || !h.Time.Equal(tc.e.Time) {
				t.Errorf("the header is %+v", h)
			}
			if next.Chain != chain.ID() || next.Seq != 42 || next.MAC != entries[0].mac {
				t.Errorf("the head is %+v", next)
			}
			short, err := ReadHeader(data)
			if err != nil || short != h {
				t.Errorf("ReadHeader gives %+v, %v; the whole block %+v", short, err, h)
			}
		})
	}
}

func TestSealingTheSameHeadAgainMakesTheSameBlock(t *testing.T) {
	chain := NewChain(NewChainID(), testKeys(t).Signing())
	one, first := chain.Seal(Head{}, []Entry{mintEntry()})
	two, second := chain.Seal(Head{}, []Entry{mintEntry()})
	if !bytes.Equal(one, two) || first != second {
		t.Error("two sealings of one head differ")
	}
	if block, head := chain.Seal(first, nil); block != nil || head != first {
		t.Errorf("no entries made a block of %d bytes and the head %+v", len(block), head)
	}
}

func TestTimesBeyondWhatCanBeShownAreHeldBack(t *testing.T) {
	for _, when := range []time.Time{{}, time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)} {
		data, _ := NewChain(ChainID{}, Key{}).Seal(Head{}, []Entry{{Time: when}})
		if _, entries, err := decodeBlock(data); err != nil || entries[0].Time.Year() < 1970 || entries[0].Time.Year() > 9999 {
			t.Errorf("%v became %v, %v", when, entries, err)
		}
	}
}

func TestTextsAreMadeHarmless(t *testing.T) {
	long := strings.Repeat("x", MaxText)
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"plain", "GET /a b", "GET /a b"},
		{"letters of the world", "Zürich 東京", "Zürich 東京"},
		{"a new line", "a\r\nb", "a\uFFFD\uFFFDb"},
		{"NUL and DEL", "a\x00b\x7f", "a\uFFFDb\uFFFD"},
		{"an escape sequence", "\x1b[31mred", "\uFFFD[31mred"},
		{"a C1 control", "a\u009bb", "a\uFFFDb"},
		{"a line separator", "a\u2028b\u2029", "a\uFFFDb\uFFFD"},
		{"a change of direction", "a\u202Eb\u2066", "a\uFFFDb\uFFFD"},
		{"nothing to see", "a\u200b\ufeffb", "a\uFFFD\uFFFDb"},
		{"a space that is none", "a\u00a0b", "a\uFFFDb"},
		{"no UTF-8", "a\xffb\xc0\xaf", "a\uFFFDb\uFFFD\uFFFD"},
		{"just as long as allowed", long, long},
		{"a byte more", long + "y", long[:MaxText-len(cutMark)] + cutMark},
		{"cut within a character", strings.Repeat("x", MaxText-4) + "ééé", strings.Repeat("x", MaxText-4) + cutMark},
		{"growing by replacement", strings.Repeat("\x00", MaxText), strings.Repeat("\uFFFD", MaxText/3-1) + cutMark},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := clean(tc.text, MaxText)
			if got != tc.want {
				t.Errorf("%q became %q, want %q", tc.text, got, tc.want)
			}
			if len(got) > MaxText || !utf8.ValidString(got) || clean(got, MaxText) != got {
				t.Errorf("%q is not clean", got)
			}
		})
	}
}

func TestEveryByteThatIsMissingIsNoticed(t *testing.T) {
	data := sampleBlock(t)
	for n := range data {
		if _, _, err := decodeBlock(data[:n]); !errors.Is(err, ErrBlock) {
			t.Fatalf("the first %d of %d bytes gave %v", n, len(data), err)
		}
	}
	if _, _, err := decodeBlock(append(data, 0)); !errors.Is(err, ErrBlock) {
		t.Errorf("a byte more gave %v", err)
	}
}

func TestAMintEntryTakesLittleRoom(t *testing.T) {
	chain := NewChain(NewChainID(), testKeys(t).Signing())
	one, head := chain.Seal(Head{Chain: chain.ID(), Seq: 1_000_000}, []Entry{mintEntry()})
	two, _ := chain.Seal(head, []Entry{mintEntry(), mintEntry()})
	t.Logf("a block of one entry has %d bytes, a further entry %d", len(one), len(two)-len(one))
	if len(one) > 150 {
		t.Errorf("a block of one entry has %d bytes", len(one))
	}
}

func TestHeadsBeyondTheLimitAreLeftOut(t *testing.T) {
	many := make([]Head, MaxHeads+5)
	if n := PackHeads(many...).Len(); n != MaxHeads {
		t.Errorf("%d heads are packed as %d", len(many), n)
	}
	if all := (Heads("short")).All(); len(all) != 0 {
		t.Errorf("what is no head gave %v", all)
	}
}

func sampleBlock(t testing.TB) []byte {
	chain := NewChain(ChainID{7}, testKeys(t).Signing())
	data, _ := chain.Seal(Head{Chain: chain.ID(), Seq: 300, MAC: MAC{9}}, []Entry{mintEntry(), {
		Time: at(4), Subsystem: "odd", Outcome: "odd", Listener: "odd", Subject: "odd", Reason: "why", Detail: "more",
		Caller: netip.MustParseAddr("2001:db8::1"), Heads: PackHeads(Head{Seq: 1}),
	}})
	return data
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(sampleBlock(f))
	plain, _ := NewChain(ChainID{1}, Key{}).Seal(Head{}, []Entry{{}, mintEntry()})
	f.Add(plain)
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, entries, err := decodeBlock(data)
		if err != nil {
			if !errors.Is(err, ErrBlock) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if len(entries) != h.Count || h.Count == 0 {
			t.Fatalf("%d entries of %d", len(entries), h.Count)
		}
		if short, err := ReadHeader(data); err != nil || short != h {
			t.Errorf("ReadHeader gives %+v, %v; the whole block %+v", short, err, h)
		}
		for i, e := range entries {
			if e.Entry != cleaned(e.Entry) {
				t.Errorf("an entry is not clean: %+v", e.Entry)
			}
			listed := Listed{Entry: e.Entry, Chain: h.Chain, Seq: h.First + uint64(i), MAC: e.mac}
			checkHarmless(t, listed)
			again, _ := NewChain(h.Chain, Key{}).Seal(Head{}, []Entry{e.Entry})
			if _, back, err := decodeBlock(again); err != nil || back[0].Detail != e.Detail {
				t.Errorf("it cannot be sealed again: %v", err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	keys := testKeys(b)
	for _, bc := range []struct {
		name    string
		key     Key
		entries int
	}{{"keyed", keys.Signing(), 1}, {"plain", Key{}, 1}, {"keyed batch of 64", keys.Signing(), 64}} {
		b.Run(bc.name, func(b *testing.B) {
			chain := NewChain(NewChainID(), bc.key)
			entries := make([]Entry, bc.entries)
			for i := range entries {
				entries[i] = mintEntry()
			}
			head := Head{Chain: chain.ID(), Seq: 1}
			b.ReportAllocs()
			for b.Loop() {
				_, head = chain.Seal(head, entries)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bc.entries), "ns/entry")
		})
	}
}
