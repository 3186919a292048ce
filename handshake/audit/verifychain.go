package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// maxGaps is how many gaps of one chain wait for entries that stand further
	// behind; more are reported as missing at once.
	maxGaps = 1000
	// recentEnds is how many ends of blocks of a chain are known while the trail is
	// read: what an entry saw of a chain is a few blocks old at most.
	recentEnds = 64
)

// chainState is what the verifier knows of one chain.
type chainState struct {
	id    ChainID
	keyed bool
	key   KeyID
	// digest is nil when the key is not known; strong is whether it has one.
	digest *digest
	strong bool

	first, last  uint64
	mac          MAC
	sure         uint64 // the last entry that is what was sealed
	settled      Head   // the end when the store's heads were read again
	entries      int
	begins, ends time.Time
	gateway      string
	stopped      bool
	gaps         []gap
	recent       []Head // the youngest last
}

// gap is a run of entries that are not there, between an entry with the MAC before
// and one that was sealed behind the MAC after.
type gap struct {
	from, to      uint64
	before, after MAC
	time          time.Time // of the entry behind it
}

// alike tells whether a block was sealed as the chain's first.
func (c *chainState) alike(h Header) bool { return c.keyed == h.Keyed && c.key == h.Key }

// place looks where a block stands in its chain, and tells whether it is the new
// end.
func (v *verifier) place(c *chainState, h Header, entries []sealed) bool {
	c.entries += len(entries)
	switch next := c.last + 1; {
	case h.First == next:
		if h.Before != c.mac {
			v.unlinked(h.Chain, h.First, h.Time)
		}
		return true
	case h.First > next:
		g := gap{from: next, to: h.First - 1, before: c.mac, after: h.Before, time: h.Time}
		if len(c.gaps) < maxGaps {
			c.gaps = append(c.gaps, g)
		} else {
			v.missing(c, g)
		}
		return true
	}
	if i := slices.IndexFunc(c.gaps, func(g gap) bool { return g.from <= h.First && h.Last() <= g.to }); i >= 0 {
		v.report.problem(Problem{Kind: ProblemReordered, Chain: h.Chain, Seq: h.First, Time: h.Time,
			Text: fmt.Sprintf("%s stands behind later ones", run(h.First, h.Last()))})
		v.fillGap(c, i, h, entries)
		return false
	}
	v.report.problem(Problem{Kind: ProblemDuplicated, Chain: h.Chain, Seq: h.First, Time: h.Time,
		Text: fmt.Sprintf("%s stands there again", run(h.First, h.Last()))})
	c.entries -= len(entries)
	return h.Last() > c.last
}

// fillGap takes a block out of a gap, which leaves none, one or two.
func (v *verifier) fillGap(c *chainState, i int, h Header, entries []sealed) {
	g := c.gaps[i]
	end := entries[len(entries)-1].mac
	var left []gap
	if h.First > g.from {
		left = append(left, gap{from: g.from, to: h.First - 1, before: g.before, after: h.Before, time: h.Time})
	} else if h.Before != g.before {
		v.unlinked(h.Chain, h.First, h.Time)
	}
	if h.Last() < g.to {
		left = append(left, gap{from: h.Last() + 1, to: g.to, before: end, after: g.after, time: g.time})
	} else if end != g.after {
		v.unlinked(h.Chain, g.to+1, g.time)
	}
	c.gaps = slices.Replace(c.gaps, i, i+1, left...)
}

func (v *verifier) unlinked(chain ChainID, seq uint64, when time.Time) {
	v.report.problem(Problem{Kind: ProblemUnlinked, Chain: chain, Seq: seq, Time: when,
		Text: "the entry was not sealed behind the one before it: one of them was replaced"})
}

// advance makes a block the end of its chain.
func (c *chainState) advance(h Header, entries []sealed) {
	last := entries[len(entries)-1]
	if c.first == 0 {
		c.first, c.begins = h.First, h.Time
	}
	c.last, c.mac, c.ends = h.Last(), last.mac, last.Time
	if len(c.recent) == recentEnds {
		c.recent = slices.Delete(c.recent, 0, 1)
	}
	c.recent = append(c.recent, Head{Chain: c.id, Seq: c.last, MAC: c.mac})
}

// recently returns the MAC of an entry that ended a block a short time ago.
func (c *chainState) recently(seq uint64) (MAC, bool) {
	for _, h := range slices.Backward(c.recent) {
		if h.Seq == seq {
			return h.MAC, true
		}
	}
	return MAC{}, false
}

// made tells whether the trail says that a chain made room up to an entry. For a
// chain that was verified with a key only those count that were too.
func (v *verifier) made(chain ChainID, strong bool, upTo Head) bool {
	fits := func(floor Head) bool {
		return floor.Seq > upTo.Seq || floor.Seq == upTo.Seq && floor.Seq > 0 && (floor.MAC == upTo.MAC || upTo.MAC == MAC{})
	}
	return fits(v.strong[chain]) || !strong && fits(v.weak[chain])
}

// missing reports a gap.
func (v *verifier) missing(c *chainState, g gap) {
	p := Problem{Kind: ProblemMissing, Chain: c.id, Seq: g.from, Time: g.time, Text: run(g.from, g.to) + " is missing"}
	if g.from == 1 {
		p.Kind = ProblemCutBegin
		p.Text = run(g.from, g.to) + " is missing, and the trail does not say that it made room"
	}
	v.report.problem(p)
}

// finish looks at what shows at the end alone. heads are the store's after all
// blocks were read.
func (v *verifier) finish(heads []Head) {
	ends := map[ChainID]Head{}
	for _, h := range heads {
		ends[h.Chain] = h
	}
	for _, c := range v.order {
		for _, g := range c.gaps {
			if !v.made(c.id, c.strong, Head{Seq: g.to, MAC: g.after}) {
				v.missing(c, g)
			}
		}
		v.compare(c, ends[c.id])
		key := ""
		if c.keyed {
			key = c.key.String()
		}
		v.report.Chains = append(v.report.Chains, ChainReport{Chain: c.id, Gateway: c.gateway, First: c.first, Last: c.last,
			Entries: c.entries, Begins: c.begins, Ends: c.ends, Key: key, Stopped: c.stopped, MAC: c.mac})
	}
	v.unmet()
}

// settle remembers where the chains end, before the store's heads are read again.
func (v *verifier) settle() {
	for _, c := range v.order {
		c.settled = Head{Chain: c.id, Seq: c.last, MAC: c.mac}
	}
}

// compare looks whether a chain ended where the store says, or before: it may have
// grown meanwhile.
func (v *verifier) compare(c *chainState, head Head) {
	end := c.settled
	p := Problem{Kind: ProblemHead, Chain: c.id, Seq: end.Seq, Time: c.ends}
	switch {
	case head.Seq > end.Seq, head == end:
		return
	case head.Seq == end.Seq && end.Seq > 0:
		p.Text = "the entry has another MAC than the head that the store keeps"
		// Said already when the store had that head from the beginning.
		if slices.ContainsFunc(v.expected[place{c.id, head.Seq}], func(x *expectation) bool { return x.source == fromStore && x.Head == head }) {
			return
		}
	case v.made(c.id, c.strong, end):
		return
	case head.Seq == 0:
		p.Text = "the store keeps no head of the chain"
	default:
		p.Text = fmt.Sprintf("the chain goes on behind the head that the store keeps, which is at %d", head.Seq)
	}
	v.report.problem(p)
}

// unmet reports what was expected and is not there: every checkpoint, and one
// other expectation of a chain.
func (v *verifier) unmet() {
	for _, x := range v.witnessed {
		v.all = append(v.all, x)
	}
	slices.SortStableFunc(v.all, func(a, b *expectation) int {
		return cmp.Or(bytes.Compare(a.Chain[:], b.Chain[:]), cmp.Compare(a.source, b.source))
	})
	said := map[ChainID]bool{}
	for _, x := range v.all {
		c, there := v.chains[x.Chain]
		if !there {
			c = &chainState{strong: v.keyed && !v.opts.AllowUnkeyed}
		}
		switch {
		case x.met, x.source == fromWitness && c.last >= x.Seq:
		case v.made(x.Chain, c.strong, x.Head):
			if x.source == fromCheckpoint {
				v.report.Dropped++
			}
		case x.source == fromCheckpoint || !said[x.Chain]:
			said[x.Chain] = true
			v.report.problem(x.problem(c, there))
		}
	}
}

func (x *expectation) problem(c *chainState, there bool) Problem {
	p := Problem{Chain: x.Chain, Seq: x.Seq, Time: c.ends}
	if x.source == fromWitness {
		p.Time = x.time
	}
	switch {
	case !there:
		p.Kind = ProblemGone
		p.Text = "the chain is not there, and the trail does not say that it made room: " + x.known()
		if x.source == fromCheckpoint {
			p.Text += " (or the checkpoint is older than what the trail keeps)"
		}
	case x.Seq > c.last:
		p.Kind, p.Seq = ProblemCutEnd, c.last+1
		p.Text = run(c.last+1, x.Seq) + " is missing at the end of the chain: " + x.known()
	default:
		p.Kind = ProblemMissing
		p.Text = "the entry is missing: " + x.known()
	}
	return p
}

// known tells how it is known that an entry should be there.
func (x *expectation) known() string {
	switch x.source {
	case fromCheckpoint:
		return fmt.Sprintf("a checkpoint names its entry %d", x.Seq)
	case fromWitness:
		return fmt.Sprintf("the chain %v saw its entry %d", x.by, x.Seq)
	default:
		return fmt.Sprintf("the store keeps its head, entry %d", x.Seq)
	}
}

// run names entries.
func run(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("entry %d", from)
	}
	return fmt.Sprintf("the run of entries %d to %d", from, to)
}
