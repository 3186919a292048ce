package redisstore

import (
	"fmt"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
)

// chain is what a journal knows of its chain.
type chain struct {
	// head is the last that Redis has confirmed, behind which is sealed.
	head audit.Head
	// want is the head that Redis has: another one when it has lost something.
	want audit.Head
	// last is the chain's last block.
	last streamID
	// known is whether Redis has confirmed anything.
	known bool
	// dropped is whether want is none because all blocks were dropped.
	dropped bool
}

// confirm notes what Redis says after it took a block.
func (c *chain) confirm(there sealed) {
	*c = chain{head: there.head, want: there.head, last: there.last, known: true}
}

// settle notes that Redis has another head than was thought.
func (c *chain) settle(there sealed) {
	if !c.known {
		c.head = there.head
	}
	c.want = there.head
	c.dropped = there.head.Seq == 0 && c.last.before(there.floor)
}

// loss is what a block says first that stands behind a head that Redis has lost.
func (c *chain) loss() []audit.Entry {
	if c.want == c.head || c.dropped {
		return nil
	}
	return []audit.Entry{{
		Time: time.Now(), Subsystem: audit.SubsystemTrail, Code: audit.TrailWitnessed, Outcome: audit.Failed, Reason: "lost",
		Detail: fmt.Sprintf("Redis has lost entries %d to %d of this chain, which it had confirmed", c.want.Seq+1, c.head.Seq),
		Heads:  audit.PackHeads(c.head),
	}}
}

// sealing is a block on its way.
type sealing struct {
	group     *group
	next      audit.Head
	block     []byte // empty when there is nothing to write, but to drop
	arguments []any
	sent      bool // whether it may have arrived
}

// seal makes a block of a group. Whoever calls it is the one who writes.
func (j *journal) seal(g *group) *sealing {
	b := &sealing{group: g, next: j.chain.head}
	if entries := g.entries; len(entries) > 0 {
		if loss := j.chain.loss(); loss != nil {
			entries = append(loss, entries...)
		}
		b.block, b.next = j.sealer.Seal(j.chain.head, entries)
	}
	j.mu.Lock()
	g.head = b.next
	j.mu.Unlock()
	b.arguments = sealArguments(j.chain.want, b.next, g.drop, b.block)
	return b
}
