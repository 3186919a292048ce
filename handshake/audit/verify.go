package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// readChunk is how many blocks are read at once.
const readChunk = 256

// VerifyOptions changes what [Verify] looks for. The zero value is usable.
type VerifyOptions struct {
	// From are checkpoints that were kept elsewhere: the trail must have each.
	From []Head
	// AllowUnkeyed accepts chains without a key although there are keys, as a trail
	// has them from before its first key. They prove nothing. What they say excuses
	// nothing that is missing from a chain with a key, as long as there is something
	// left of that.
	AllowUnkeyed bool
}

// Verify reads a whole trail and finds entries that were changed, removed, put
// elsewhere or repeated, chains that were cut off or are gone, and checkpoints
// that the trail does not have. The error is the store's; what is wrong with the
// trail stands in the report.
//
// The trail may grow and make room meanwhile. What it grows by is verified as
// far as it was there when it was read.
//
// Without a key, or for who has it, a chain can be forged as a whole: only a
// checkpoint, or what the chain of another gateway saw of it, shows that. That the
// last entries and the store's head were taken back together shows in the same way
// alone.
func Verify(ctx context.Context, store Store, keys Keys, opts VerifyOptions) (Report, error) {
	v := newVerifier(keys, opts)
	// Heads are read before the blocks, which must have them all, and after, when
	// they must have all blocks that were read until then.
	before, err := store.Heads(ctx)
	if err != nil {
		return Report{}, err
	}
	for _, h := range before {
		if h.Seq > 0 {
			v.expect(&expectation{Head: h, source: fromStore})
		}
	}
	for _, h := range opts.From {
		v.expect(&expectation{Head: h, source: fromCheckpoint})
	}
	each := func(b Block) { v.block(b.Data) }
	end, err := eachBlock(ctx, store, "", each)
	if err != nil {
		return Report{}, err
	}
	v.settle()
	after, err := store.Heads(ctx)
	if err != nil {
		return Report{}, err
	}
	// A chain whose head was there no more may have made room just now.
	if _, err := eachBlock(ctx, store, end, each); err != nil {
		return Report{}, err
	}
	v.finish(after)
	return v.report, nil
}

var errStuck = errors.New("audit: the store gives the same position again")

// eachBlock calls a function for the blocks after a position, and returns the
// position behind the last.
func eachBlock(ctx context.Context, store Store, after string, each func(Block)) (string, error) {
	for {
		blocks, err := store.Read(ctx, after, readChunk)
		if err != nil || len(blocks) == 0 {
			return after, err
		}
		for _, b := range blocks {
			each(b)
		}
		last := blocks[len(blocks)-1].After
		if last == after {
			return after, errStuck
		}
		after = last
	}
}

// verifier takes the blocks of a trail in their order.
type verifier struct {
	opts   VerifyOptions
	keyed  bool // there are keys
	keys   map[KeyID]Key
	report Report
	chains map[ChainID]*chainState
	order  []*chainState
	// expected are the entries that the trail must have, by their place and in the
	// order in which that became known; witnessed has, by chain, the furthest that
	// other chains saw and that was not there when they said so.
	expected  map[place][]*expectation
	all       []*expectation
	witnessed map[ChainID]*expectation
	// strong are the ends up to which chains made room, as entries say that were
	// verified with a key; weak are those that others say.
	strong, weak map[ChainID]Head
	// heard, when it is set, is told of every entry that says what made room and
	// that can be relied on.
	heard func(Entry)
}

// place is that of an entry.
type place struct {
	chain ChainID
	seq   uint64
}

// expectation is an entry that the trail must have.
type expectation struct {
	Head
	source source
	// by and time are the entry that saw it, for fromWitness.
	by   ChainID
	time time.Time
	met  bool
}

type source int

const (
	fromStore source = iota
	fromCheckpoint
	fromWitness
)

func newVerifier(keys Keys, opts VerifyOptions) *verifier {
	v := &verifier{
		opts: opts, keyed: keys.Len() > 0, keys: map[KeyID]Key{},
		report: Report{Chains: []ChainReport{}, Problems: []Problem{}},
		chains: map[ChainID]*chainState{}, expected: map[place][]*expectation{}, witnessed: map[ChainID]*expectation{},
		strong: map[ChainID]Head{}, weak: map[ChainID]Head{},
	}
	for _, key := range keys.keys {
		v.keys[key.id] = key
	}
	return v
}

func (v *verifier) expect(x *expectation) {
	at := place{x.Chain, x.Seq}
	v.expected[at] = append(v.expected[at], x)
	v.all = append(v.all, x)
}

// block takes one block.
func (v *verifier) block(data []byte) {
	v.report.Blocks++
	h, entries, err := decodeBlock(data)
	if err != nil {
		p := Problem{Kind: ProblemBlock, Text: "a block cannot be decoded: " + err.Error()}
		if h, err := ReadHeader(data); err == nil {
			p.Chain, p.Seq, p.Time = h.Chain, h.First, h.Time
		}
		v.report.problem(p)
		return
	}
	v.report.Entries += len(entries)
	c := v.chain(h)
	v.sealedAlike(c, h)
	advances := v.place(c, h, entries)
	mac := h.Before
	for i, e := range entries {
		seq := h.First + uint64(i)
		genuine := true
		if c.digest != nil && c.alike(h) && c.digest.of(mac, seq, e.raw) != e.mac {
			genuine = false
			v.report.problem(Problem{Kind: ProblemChanged, Chain: h.Chain, Seq: seq, Time: e.Time,
				Text: "the entry, its MAC or the one before was changed"})
		}
		mac = e.mac
		v.meet(Head{Chain: h.Chain, Seq: seq, MAC: e.mac}, e.Time)
		if genuine && c.alike(h) {
			c.sure = max(c.sure, seq)
			v.heed(c, h, e.Entry)
		}
	}
	if advances {
		c.advance(h, entries)
	}
}

// chain returns the state of a block's chain.
func (v *verifier) chain(h Header) *chainState {
	c, ok := v.chains[h.Chain]
	if ok {
		return c
	}
	c = &chainState{id: h.Chain, keyed: h.Keyed, key: h.Key}
	v.chains[h.Chain] = c
	v.order = append(v.order, c)
	key, known := v.keys[h.Key]
	switch {
	case !h.Keyed && v.keyed && !v.opts.AllowUnkeyed:
		v.report.problem(Problem{Kind: ProblemUnkeyed, Chain: h.Chain, Seq: h.First, Time: h.Time,
			Text: "the chain has no key although there is one to verify with: whoever can write to the store can have forged it"})
		c.digest = newDigest(h.Chain, Key{})
	case !h.Keyed:
		c.digest = newDigest(h.Chain, Key{})
	case known:
		c.digest, c.strong = newDigest(h.Chain, key), true
	default:
		v.report.problem(Problem{Kind: ProblemNoKey, Chain: h.Chain, Seq: h.First, Time: h.Time,
			Text: fmt.Sprintf("the chain was signed with the key %v, which is not among those to verify with", h.Key)})
	}
	v.report.Forgeable = v.report.Forgeable || !h.Keyed
	return c
}

// sealedAlike reports a block that was sealed with another key than its chain's
// first: a gateway does not change its key while it runs.
func (v *verifier) sealedAlike(c *chainState, h Header) {
	if !c.alike(h) {
		v.report.problem(Problem{Kind: ProblemChanged, Chain: h.Chain, Seq: h.First, Time: h.Time,
			Text: "the entries were not signed with the key of the chain's first"})
	}
}

// meet looks whether an entry is one that was expected.
func (v *verifier) meet(at Head, when time.Time) {
	for _, x := range v.expected[place{at.Chain, at.Seq}] {
		switch {
		case x.met:
		case x.MAC != at.MAC:
			v.rewritten(x, when)
		case x.source == fromCheckpoint:
			v.report.Met++
		}
		x.met = true
	}
}

func (v *verifier) rewritten(x *expectation, when time.Time) {
	v.report.problem(Problem{Kind: ProblemRewritten, Chain: x.Chain, Seq: x.Seq, Time: when,
		Text: "the entry has another MAC than " + x.origin() + ": it was replaced, and so may be what stands around it"})
}

// heed takes what an entry says of chains.
func (v *verifier) heed(c *chainState, h Header, e Entry) {
	switch {
	case e.Subsystem == SubsystemGateway && e.Code == GatewayStarted:
		c.gateway, c.stopped = e.Name, false
	case e.Subsystem == SubsystemGateway && e.Code == GatewayStopped:
		c.stopped = true
	case e.Subsystem == SubsystemTrail && e.Code == TrailDropped:
		floors := v.weak
		if c.strong && e.Name != nameUnverified {
			floors = v.strong
		}
		if v.heard != nil && (c.strong || !v.keyed) {
			v.heard(e)
		}
		for _, head := range e.Heads.All() {
			if head.Seq > floors[head.Chain].Seq {
				floors[head.Chain] = head
			}
		}
	case e.Subsystem == SubsystemTrail && e.Code == TrailWitnessed:
		c.gateway = cmp.Or(c.gateway, e.Name) // the first entry may have made room
		for _, head := range e.Heads.All() {
			v.witness(h, e, head)
		}
	}
}

// witness looks whether the trail had by now what an entry saw.
func (v *verifier) witness(by Header, e Entry, head Head) {
	x := &expectation{Head: head, source: fromWitness, by: by.Chain, time: e.Time}
	if c, ok := v.chains[head.Chain]; ok && c.last >= head.Seq {
		if mac, known := c.recently(head.Seq); known && mac != head.MAC {
			v.rewritten(x, e.Time)
		}
		return
	}
	if pending, ok := v.witnessed[head.Chain]; !ok || pending.Seq < head.Seq {
		v.witnessed[head.Chain] = x
	}
}

// origin tells where an expectation comes from.
func (x *expectation) origin() string {
	switch x.source {
	case fromCheckpoint:
		return "the checkpoint"
	case fromWitness:
		return "the chain " + x.by.String() + " saw at " + x.time.UTC().Format(timeLayout)
	default:
		return "the head that the store keeps"
	}
}
