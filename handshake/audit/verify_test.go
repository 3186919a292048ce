package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ledger is a store with two chains, of two gateways, and what is needed to tamper
// with it.
type ledger struct {
	*memory
	a, b *Chain
}

// newLedger returns a trail with the entries 1 to 6 of a chain a, in blocks of 1,
// 2, 1, 1 and 1, and, between, 1 to 3 of a chain b, whose second block tells of a.
func newLedger(t testing.TB, key Key) ledger {
	t.Helper()
	l := ledger{newMemory(), NewChain(ChainID{0xaa}, key), NewChain(ChainID{0xbb}, key)}
	l.add(t, l.a, started("gw-a"))
	l.add(t, l.a, mintEntry(), mintEntry())
	l.add(t, l.b, started("gw-b"))
	l.add(t, l.b, Entry{Time: at(5), Subsystem: SubsystemTrail, Code: TrailWitnessed, Heads: PackHeads(l.heads[l.a.id])})
	l.add(t, l.a, Entry{Time: at(6), Subsystem: SubsystemToken, Code: TokenConsumed, Outcome: Done})
	l.add(t, l.a, mintEntry())
	l.add(t, l.b, mintEntry())
	l.add(t, l.a, Entry{Time: at(9), Subsystem: SubsystemGateway, Code: GatewayStopped})
	return l
}

func started(gateway string) Entry {
	return Entry{Time: at(0), Subsystem: SubsystemGateway, Code: GatewayStarted, Name: gateway}
}

func (l ledger) add(t testing.TB, c *Chain, entries ...Entry) {
	t.Helper()
	if err := l.seal(t.Context(), c, entries...); err != nil {
		t.Fatal(err)
	}
}

// block is the index of the block of a chain in which an entry stands.
func (l ledger) block(c *Chain, seq uint64) int {
	return slices.IndexFunc(l.blocks, func(b Block) bool {
		h, err := ReadHeader(b.Data)
		return err == nil && h.Chain == c.id && h.First <= seq && seq <= h.Last()
	})
}

func (l ledger) remove(c *Chain, seqs ...uint64) {
	for _, seq := range seqs {
		if i := l.block(c, seq); i >= 0 {
			l.blocks = slices.Delete(l.blocks, i, i+1)
		}
	}
}

// headAt is the head of a chain as it was behind an entry that ends a block.
func (l ledger) headAt(t testing.TB, c *Chain, seq uint64) Head {
	t.Helper()
	_, entries, err := decodeBlock(l.blocks[l.block(c, seq)].Data)
	if err != nil {
		t.Fatal(err)
	}
	return Head{Chain: c.id, Seq: seq, MAC: entries[len(entries)-1].mac}
}

func verified(t testing.TB, store Store, keys Keys, opts VerifyOptions) Report {
	t.Helper()
	r, err := Verify(t.Context(), store, keys, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found returns the problems as kind, the chain's first two digits, and sequence.
func found(r Report) []string {
	list := []string{}
	for _, p := range r.Problems {
		list = append(list, fmt.Sprintf("%s %s %d", p.Kind, p.Chain.String()[:2], p.Seq))
	}
	return list
}

func TestAWholeTrailHasNoProblem(t *testing.T) {
	l := newLedger(t, testKeys(t).Signing())
	from := []Head{l.headAt(t, l.a, 3), l.heads[l.b.id]}
	r := verified(t, l, testKeys(t), VerifyOptions{From: from})
	if !r.OK() || r.Blocks != 8 || r.Entries != 9 || r.Met != 2 || r.Forgeable {
		t.Errorf("the report is %+v", r)
	}
	a, b := r.Chains[0], r.Chains[1]
	if a.Gateway != "gw-a" || a.First != 1 || a.Last != 6 || a.Entries != 6 || !a.Stopped || a.MAC != l.heads[l.a.id].MAC || a.Key != testKeys(t).Signing().ID().String() {
		t.Errorf("the chain a is %+v", a)
	}
	if b.Gateway != "gw-b" || b.Stopped || b.Last != 3 {
		t.Errorf("the chain b, which did not stop, is %+v", b)
	}
	text, err := json.Marshal(r)
	if err != nil || !bytes.Contains(text, []byte(`"problems":[]`)) || !bytes.Contains(text, []byte(`"chain":"aa0`)) {
		t.Errorf("as JSON it is %s, %v", text, err)
	}
}

func TestAnEmptyTrailHasNoProblemUnlessACheckpointKnowsMore(t *testing.T) {
	if r := verified(t, newMemory(), testKeys(t), VerifyOptions{}); !r.OK() {
		t.Errorf("problems of nothing: %v", r.Problems)
	}
	r := verified(t, newMemory(), testKeys(t), VerifyOptions{From: []Head{{Chain: ChainID{0xaa}, Seq: 4}}})
	if got := found(r); !slices.Equal(got, []string{"chain_gone aa 4"}) {
		t.Errorf("found %v", got)
	}
}

func TestTamperingIsFoundAndNamed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, l ledger)
		from   func(t *testing.T, l ledger) []Head // checkpoints from before
		want   []string
	}{
		{name: "a changed entry", want: []string{"changed aa 3"}, tamper: func(_ *testing.T, l ledger) {
			data := l.blocks[l.block(l.a, 3)].Data
			i := bytes.LastIndex(data, []byte("gnome"))
			copy(data[i:], "gnomf")
		}},
		{name: "a changed MAC", want: []string{"changed aa 4", "unlinked aa 5"}, tamper: func(_ *testing.T, l ledger) {
			data := l.blocks[l.block(l.a, 4)].Data
			data[len(data)-1] ^= 1
		}},
		{name: "an entry that was replaced with its MAC, by who has no key", want: []string{"changed aa 4", "unlinked aa 5"}, tamper: func(_ *testing.T, l ledger) {
			i := l.block(l.a, 4)
			h, _ := ReadHeader(l.blocks[i].Data)
			forged, _ := NewChain(l.a.id, NewKey([32]byte{1})).Seal(Head{Seq: 3, MAC: h.Before}, []Entry{mintEntry()})
			copy(forged[2:], l.blocks[i].Data[2:2+keyIDSize])
			l.blocks[i].Data = forged
		}},
		{name: "a missing block", want: []string{"missing aa 4"}, tamper: func(_ *testing.T, l ledger) { l.remove(l.a, 4) }},
		{name: "missing blocks", want: []string{"missing aa 2"}, tamper: func(_ *testing.T, l ledger) { l.remove(l.a, 2, 4) }},
		{name: "an entry taken out of its block", want: []string{"changed aa 2", "missing aa 3"}, tamper: func(t *testing.T, l ledger) {
			i := l.block(l.a, 2)
			h, entries, err := decodeBlock(l.blocks[i].Data)
			if err != nil {
				t.Fatal(err)
			}
			block := l.a.appendHeader(nil, Head{Seq: 1, MAC: h.Before}, 1)
			block = append(append(append(block, byte(len(entries[1].raw))), entries[1].raw...), entries[1].mac[:]...)
			l.blocks[i].Data = block
		}},
		{name: "reordered blocks", want: []string{"reordered aa 4"}, tamper: func(_ *testing.T, l ledger) {
			i, j := l.block(l.a, 4), l.block(l.a, 5)
			l.blocks[i].Data, l.blocks[j].Data = l.blocks[j].Data, l.blocks[i].Data
		}},
		{name: "a duplicated block", want: []string{"duplicated aa 2"}, tamper: func(_ *testing.T, l ledger) {
			l.blocks = append(l.blocks, Block{After: "100", Data: l.blocks[l.block(l.a, 2)].Data})
		}},
		{name: "the end cut off", want: []string{"cut_off_end aa 6"}, tamper: func(_ *testing.T, l ledger) { l.remove(l.a, 6) }},
		{name: "the end cut off, and the head taken back to it, with a checkpoint from before", want: []string{"cut_off_end aa 5"},
			from: func(_ *testing.T, l ledger) []Head { return []Head{l.heads[l.a.id]} },
			tamper: func(t *testing.T, l ledger) {
				l.heads[l.a.id] = l.headAt(t, l.a, 4)
				l.remove(l.a, 5, 6)
			}},
		{name: "the end cut off, and the head taken back to it, behind what another chain saw", want: []string{"cut_off_end aa 2"},
			tamper: func(t *testing.T, l ledger) {
				l.heads[l.a.id] = l.headAt(t, l.a, 1)
				l.remove(l.a, 2, 4, 5, 6)
			}},
		{name: "the beginning cut off", want: []string{"cut_off_beginning aa 1"}, tamper: func(_ *testing.T, l ledger) { l.remove(l.a, 1) }},
		{name: "a whole chain gone", want: []string{"chain_gone aa 6"}, tamper: func(_ *testing.T, l ledger) { l.remove(l.a, 1, 2, 4, 5, 6) }},
		{name: "a whole chain gone with its head, which another chain saw", want: []string{"chain_gone aa 3"}, tamper: func(_ *testing.T, l ledger) {
			l.remove(l.a, 1, 2, 4, 5, 6)
			delete(l.heads, l.a.id)
		}},
		{name: "a whole chain gone with its head, with a checkpoint", want: []string{"chain_gone bb 3"},
			from: func(_ *testing.T, l ledger) []Head { return []Head{l.heads[l.b.id]} },
			tamper: func(_ *testing.T, l ledger) {
				l.remove(l.b, 1, 2, 3)
				delete(l.heads, l.b.id)
			}},
		{name: "a chain rewritten by who has the key, with a checkpoint", want: []string{"rewritten aa 3", "rewritten aa 3"},
			from: func(t *testing.T, l ledger) []Head { return []Head{l.headAt(t, l.a, 3)} },
			tamper: func(_ *testing.T, l ledger) {
				head := Head{}
				for _, run := range [][]uint64{{1, 1}, {2, 3}, {4, 4}, {5, 5}, {6, 6}} {
					i := l.block(l.a, run[0])
					entries := make([]Entry, run[1]-run[0]+1)
					l.blocks[i].Data, head = l.a.Seal(head, entries)
				}
				l.heads[l.a.id] = head
			}},
		{name: "a head that was taken back alone", want: []string{"head aa 6"}, tamper: func(t *testing.T, l ledger) {
			l.heads[l.a.id] = l.headAt(t, l.a, 4)
		}},
		{name: "a head that was removed", want: []string{"head aa 6"}, tamper: func(_ *testing.T, l ledger) { delete(l.heads, l.a.id) }},
		{name: "a head with another MAC", want: []string{"rewritten aa 6"}, tamper: func(_ *testing.T, l ledger) {
			l.heads[l.a.id] = Head{Chain: l.a.id, Seq: 6, MAC: MAC{1}}
		}},
		{name: "a block that cannot be decoded", want: []string{"undecodable aa 4", "missing aa 4"}, tamper: func(_ *testing.T, l ledger) {
			b := &l.blocks[l.block(l.a, 4)]
			b.Data = append(b.Data, 0)
		}},
		{name: "a block of noise", want: []string{"undecodable 00 0", "missing aa 4"}, tamper: func(_ *testing.T, l ledger) {
			l.blocks[l.block(l.a, 4)].Data = []byte("noise")
		}},
		{name: "a block that was sealed without the key", want: []string{"changed aa 6", "rewritten aa 6"}, tamper: func(_ *testing.T, l ledger) {
			i := l.block(l.a, 6)
			h, _ := ReadHeader(l.blocks[i].Data)
			l.blocks[i].Data, _ = NewChain(l.a.id, Key{}).Seal(Head{Seq: 5, MAC: h.Before}, []Entry{mintEntry()})
		}},
		{name: "a chain that was added without the key", want: []string{"unkeyed cc 1"}, tamper: func(t *testing.T, l ledger) {
			l.add(t, NewChain(ChainID{0xcc}, Key{}), mintEntry())
		}},
		{name: "a chain without the key that says that another one made room", want: []string{"unkeyed cc 1", "cut_off_beginning aa 1"}, tamper: func(t *testing.T, l ledger) {
			l.add(t, NewChain(ChainID{0xcc}, Key{}), Entry{Subsystem: SubsystemTrail, Code: TrailDropped, Heads: PackHeads(l.headAt(t, l.a, 1))})
			l.remove(l.a, 1)
		}},
		{name: "a chain with a key that nobody knows", want: []string{"unknown_key cc 1"}, tamper: func(t *testing.T, l ledger) {
			l.add(t, NewChain(ChainID{0xcc}, NewKey([32]byte{9})), mintEntry())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLedger(t, testKeys(t).Signing())
			var from []Head
			if tc.from != nil {
				from = tc.from(t, l)
			}
			tc.tamper(t, l)
			r := verified(t, l, testKeys(t), VerifyOptions{From: from})
			if got := found(r); !slices.Equal(got, tc.want) {
				t.Errorf("found %q, want %q\n%v", got, tc.want, r.Problems)
			}
			for _, p := range r.Problems {
				if p.Seq != 0 && p.Kind != ProblemGone && !strings.Contains(p.String(), fmt.Sprintf("entry %d", p.Seq)) {
					t.Errorf("%q does not name the entry", p)
				}
			}
		})
	}
}

func TestAChainWithoutAKey(t *testing.T) {
	l := newLedger(t, Key{})
	if r := verified(t, l, Keys{}, VerifyOptions{}); !r.OK() || !r.Forgeable || r.Chains[0].Key != "" {
		t.Errorf("without keys the report is %+v", r)
	}
	if got := found(verified(t, l, testKeys(t), VerifyOptions{})); !slices.Equal(got, []string{"unkeyed aa 1", "unkeyed bb 1"}) {
		t.Errorf("with a key found %q", got)
	}
	if r := verified(t, l, testKeys(t), VerifyOptions{AllowUnkeyed: true}); !r.OK() || !r.Forgeable {
		t.Errorf("when that is allowed the report is %+v", r)
	}
	data := l.blocks[l.block(l.a, 3)].Data
	copy(data[bytes.LastIndex(data, []byte("gnome")):], "gnomf")
	if got := found(verified(t, l, Keys{}, VerifyOptions{})); !slices.Equal(got, []string{"changed aa 3"}) {
		t.Errorf("a change that its hash does not fit: %q", got)
	}
}

func TestWhatWasSignedWithAnOlderKeyIsVerified(t *testing.T) {
	old := testKeys(t)
	both := Keys{keys: []Key{NewKey([32]byte{1}), old.Signing()}}
	l := newLedger(t, old.Signing())
	l.add(t, NewChain(ChainID{0xcc}, both.Signing()), mintEntry())
	if r := verified(t, l, both, VerifyOptions{}); !r.OK() {
		t.Errorf("found %v", r.Problems)
	}
}

func TestWhatUnkeyedChainsSayExcusesNothingOfKeyedOnes(t *testing.T) {
	l := newLedger(t, testKeys(t).Signing())
	l.add(t, NewChain(ChainID{0xcc}, Key{}), Entry{Subsystem: SubsystemTrail, Code: TrailDropped, Heads: PackHeads(l.headAt(t, l.a, 1))})
	l.remove(l.a, 1)
	if got := found(verified(t, l, testKeys(t), VerifyOptions{AllowUnkeyed: true})); !slices.Equal(got, []string{"cut_off_beginning aa 1"}) {
		t.Errorf("found %q", got)
	}
}

func TestProblemsBeyondTheLimitAreCounted(t *testing.T) {
	store := newMemory()
	for range MaxProblems + 3 {
		store.blocks = append(store.blocks, Block{After: fmt.Sprint(len(store.blocks) + 1), Data: []byte("noise")})
	}
	if r := verified(t, store, Keys{}, VerifyOptions{}); len(r.Problems) != MaxProblems || r.MoreProblems != 3 || r.OK() {
		t.Errorf("%d problems and %d more", len(r.Problems), r.MoreProblems)
	}
}

func TestGapsBeyondTheLimitAreFoundAllTheSame(t *testing.T) {
	store := newMemory()
	chain := NewChain(ChainID{0xaa}, Key{})
	for range 2 * (maxGaps + 2) {
		if err := store.seal(t.Context(), chain, mintEntry()); err != nil {
			t.Fatal(err)
		}
	}
	var kept []Block
	for i, b := range store.blocks {
		if i%2 == 1 {
			kept = append(kept, b)
		}
	}
	store.blocks = kept
	if r := verified(t, store, Keys{}, VerifyOptions{}); len(r.Problems)+r.MoreProblems != maxGaps+2 {
		t.Errorf("%d problems", len(r.Problems)+r.MoreProblems)
	}
}

func TestATrailThatGrowsWhileItIsReadHasNoProblem(t *testing.T) {
	l := newLedger(t, testKeys(t).Signing())
	grows := &growing{ledger: l, t: t}
	if r := verified(t, grows, testKeys(t), VerifyOptions{}); !r.OK() || r.Entries < 9 {
		t.Errorf("the report is %+v", r)
	}
}

// growing is a trail that gets an entry at every reading of blocks, a few times.
type growing struct {
	ledger
	t testing.TB
	n int
}

func (g *growing) Read(ctx context.Context, after string, limit int) ([]Block, error) {
	blocks, err := g.ledger.Read(ctx, after, min(limit, 2))
	if g.n++; g.n < 10 {
		g.add(g.t, g.a, mintEntry())
		if g.n == 5 {
			g.add(g.t, NewChain(ChainID{0xdd}, testKeys(g.t).Signing()), mintEntry())
		}
	}
	return blocks, err
}

func TestAStoreThatFailsIsNoProblemOfTheTrail(t *testing.T) {
	store := newMemory()
	store.fail(errAway)
	if _, err := Verify(t.Context(), store, Keys{}, VerifyOptions{}); err == nil {
		t.Error("a trail that cannot be read was verified")
	}
}

func TestCheckpointsAreReadAsTheyAreWritten(t *testing.T) {
	l := newLedger(t, testKeys(t).Signing())
	heads, err := Checkpoints(t.Context(), l)
	if err != nil || len(heads) != 2 || heads[0].Chain != l.a.id {
		t.Fatalf("%v, %v", heads, err)
	}
	text := "# from the gateway\n\n"
	for _, h := range heads {
		text += "  " + FormatCheckpoint(h) + "\r\n"
	}
	back, err := ParseCheckpoints(text)
	if err != nil || !slices.Equal(back, heads) {
		t.Errorf("%q gave %v, %v", text, back, err)
	}
}

func TestWhatIsNoCheckpointIsNamedByItsLine(t *testing.T) {
	chain, mac := strings.Repeat("a", 32), strings.Repeat("b", 64)
	for _, tc := range []struct{ name, line string }{
		{"another version", "trackgate-checkpoint-2 " + chain + " 1 " + mac},
		{"a word too few", "trackgate-checkpoint-1 " + chain + " 1"},
		{"a word too many", "trackgate-checkpoint-1 " + chain + " 1 " + mac + " x"},
		{"a short chain", "trackgate-checkpoint-1 aa 1 " + mac},
		{"a chain that is not hexadecimal", "trackgate-checkpoint-1 " + strings.Repeat("g", 32) + " 1 " + mac},
		{"the number 0", "trackgate-checkpoint-1 " + chain + " 0 " + mac},
		{"a number that is none", "trackgate-checkpoint-1 " + chain + " x\x1b " + mac},
		{"a short MAC", "trackgate-checkpoint-1 " + chain + " 1 " + mac[1:]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseCheckpoints("\n" + tc.line + "\n")
			if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	line := FormatCheckpoint(Head{Seq: 1}) + "\n"
	if _, err := ParseCheckpoints(strings.Repeat(line, MaxCheckpoints+1)); err == nil {
		t.Error("more than the limit were read")
	}
}

func FuzzParseCheckpoints(f *testing.F) {
	f.Add(FormatCheckpoint(Head{Chain: ChainID{1}, Seq: 2, MAC: MAC{3}}))
	f.Add("# nothing\n")
	f.Fuzz(func(t *testing.T, text string) {
		heads, err := ParseCheckpoints(text)
		if err != nil {
			return
		}
		for _, h := range heads {
			if back, err := ParseCheckpoints(FormatCheckpoint(h)); err != nil || back[0] != h {
				t.Errorf("%v came back as %v, %v", h, back, err)
			}
		}
	})
}

// FuzzVerifyChangedBlock changes one byte of a block, or cuts it.
func FuzzVerifyChangedBlock(f *testing.F) {
	f.Add(0, 0, byte(2), false)
	f.Add(3, 40, byte(1), false)
	f.Add(7, 100, byte(128), true)
	keys := testKeys(f)
	whole := newLedger(f, keys.Signing())
	f.Fuzz(func(t *testing.T, block, offset int, change byte, cut bool) {
		l := ledger{whole.cloned(), whole.a, whole.b}
		if block < 0 || block >= len(l.blocks) || offset < 0 {
			return
		}
		data := l.blocks[block].Data
		if offset >= len(data) || change == 0 && !cut {
			return
		}
		data[offset] ^= change
		if cut {
			l.blocks[block].Data = data[:offset]
		}
		if r := verified(t, l, keys, VerifyOptions{}); r.OK() {
			t.Errorf("block %d, byte %d changed by %d, cut %v: not found", block, offset, change, cut)
		}
	})
}

func TestEveryChangedByteIsFound(t *testing.T) {
	keys := testKeys(t)
	whole := newLedger(t, keys.Signing())
	for i, b := range whole.blocks {
		for j := range b.Data {
			change := byte(1) << ((i + j) % 8)
			b.Data[j] ^= change
			if r := verified(t, whole, keys, VerifyOptions{AllowUnkeyed: true}); r.OK() {
				t.Errorf("block %d, byte %d changed by %d: not found", i, j, change)
			}
			b.Data[j] ^= change
		}
	}
}

func TestATrailThatMakesRoomWhileItIsReadHasNoProblem(t *testing.T) {
	for steps := range 8 {
		t.Run(fmt.Sprintf("at the reading %d", steps), func(t *testing.T) {
			l := newLedger(t, testKeys(t).Signing())
			if r := verified(t, &shrinking{ledger: l, t: t, at: steps}, testKeys(t), VerifyOptions{}); !r.OK() {
				t.Errorf("problems: %v", r.Problems)
			}
		})
	}
}

// shrinking is a trail in which, just before a reading, everything makes room for
// what another gateway says.
type shrinking struct {
	ledger
	t  testing.TB
	at int
}

func (s *shrinking) step(ctx context.Context) {
	if s.at--; s.at != -1 {
		return
	}
	own := NewChain(ChainID{0xee}, testKeys(s.t).Signing())
	e := Entry{Subsystem: SubsystemTrail, Code: TrailDropped, Heads: PackHeads(s.heads[s.a.id], s.heads[s.b.id])}
	if err := s.drop(ctx, own, s.blocks[len(s.blocks)-1].After, []Entry{e}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shrinking) Read(ctx context.Context, after string, limit int) ([]Block, error) {
	s.step(ctx)
	return s.ledger.Read(ctx, after, min(limit, 3))
}

func (s *shrinking) Heads(ctx context.Context) ([]Head, error) {
	s.step(ctx)
	return s.ledger.Heads(ctx)
}

func TestWhatAChainSawIsComparedAsLongAsItIsRecent(t *testing.T) {
	for name, behind := range map[string]int{"just now": 1, "a while ago": recentEnds + 1} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t, testKeys(t).Signing())
			seen := l.heads[l.a.id]
			seen.MAC[0] ^= 1
			for range behind {
				l.add(t, l.a, mintEntry())
			}
			l.add(t, l.b, Entry{Time: at(20), Subsystem: SubsystemTrail, Code: TrailWitnessed, Heads: PackHeads(seen)})
			want := []string{"rewritten aa 6"}
			if behind > recentEnds {
				want = []string{}
			}
			if got := found(verified(t, l, testKeys(t), VerifyOptions{})); !slices.Equal(got, want) {
				t.Errorf("found %q", got)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	keys := testKeys(b)
	store, chain := newMemory(), NewChain(NewChainID(), keys.Signing())
	const entries = 2000
	for range entries {
		if err := store.seal(b.Context(), chain, mintEntry()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := verified(b, store, keys, VerifyOptions{}); !r.OK() {
			b.Fatal(r.Problems)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
}
