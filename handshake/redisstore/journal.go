package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

const (
	// chainTries is how often a block is sealed anew when Redis has another head.
	chainTries = 3
	// maxBlock is how many entries one block has at most.
	maxBlock = 2048
	// rideWait is how long what nobody waits for waits for a pipeline.
	rideWait = 5 * time.Millisecond
	// journalRetry is how long a journal waits before it tries again to write what
	// nobody waits for.
	journalRetry = 250 * time.Millisecond
)

// journal writes the chain of one gateway, one block at a time. What comes while a
// block is under way becomes the next one.
//
// On one server the next shared pipeline takes the block along, before its own
// commands: what has come until it is sent rides with it, so that requests and
// their notes share round trips. What finds no pipeline, or whose ride fails, is
// sent by a goroutine that runs only then, as is everything on a cluster.
//
// It knows the head of its chain, since nobody else writes it, and Redis compares:
// a block is added behind the head for which it was sealed, or not at all. When the
// answer to a block is lost, the block is sent again before the next one.
type journal struct {
	s     *Store
	limit int

	// using is held for reading by those who will add something yet.
	using   sync.RWMutex
	closing chan struct{}

	mu      sync.Mutex
	sealer  audit.Sealer
	closed  bool
	groups  []*group // what waits, in order; entries are added to the last
	waiting int      // entries in groups that somebody waits for
	usual   int      // how many entries the last block had, for which the next one gets room
	// backlog are entries that nobody waits for and that failed before.
	backlog []audit.Entry
	lost    int           // entries for which the backlog had no room
	running bool          // whether the goroutine runs
	delayed bool          // whether it will soon
	writing bool          // whether somebody writes, the goroutine or a pipeline
	wake    chan struct{} // has a value when something was added
	changed sync.Cond     // signalled when running or writing ends

	// The writer's: the chain, and a block of which it is not known whether it was
	// added. It is sent again, the very same, before any other.
	chain  chain
	unsure *sealing
}

// group is what becomes one block.
type group struct {
	entries []audit.Entry
	quiet   []int // which of entries nobody waits for, in order
	drop    streamID
	head    audit.Head // behind the block, once it is sealed

	finished sync.Once
	done     chan struct{}
	err      error
}

// intended is the argument of a command that relies on a group's being in the
// trail, made when the command is written: the chain and its head behind the group,
// and nothing while the group is not sealed.
type intended struct {
	journal *journal
	group   *group
}

// MarshalBinary gives the argument.
func (i intended) MarshalBinary() ([]byte, error) {
	i.journal.mu.Lock()
	defer i.journal.mu.Unlock()
	head := i.group.head
	if head.Seq == 0 {
		return nil, nil
	}
	return append(head.Chain[:], encodeHead(head)...), nil
}

// isDone tells whether those who wait have been told.
func (g *group) isDone() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// precede puts entries before all others that nobody waits for.
func (g *group) precede(entries []audit.Entry) {
	quiet := make([]int, 0, len(entries)+len(g.quiet))
	for i := range entries {
		quiet = append(quiet, i)
	}
	for _, i := range g.quiet {
		quiet = append(quiet, len(entries)+i)
	}
	g.entries, g.quiet = append(entries, g.entries...), quiet
}

// unawaited are the entries that nobody waits for.
func (g *group) unawaited() []audit.Entry {
	entries := make([]audit.Entry, len(g.quiet))
	for i, at := range g.quiet {
		entries[i] = g.entries[at]
	}
	return entries
}

// finish tells those who wait what became of the block.
func (g *group) finish(err error) {
	g.finished.Do(func() {
		g.err = err
		close(g.done)
	})
}

func newJournal(s *Store) *journal {
	j := &journal{s: s, limit: s.queue, closing: make(chan struct{}), wake: make(chan struct{}, 1)}
	j.changed.L = &j.mu
	return j
}

func (j *journal) begin(sealer audit.Sealer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return handshake.ErrClosed
	case j.sealer != nil:
		// The chain is the writer's from then on.
		return fmt.Errorf("redisstore: %w", audit.ErrBegun)
	}
	j.sealer = sealer
	j.chain = chain{head: audit.Head{Chain: sealer.ID()}, want: audit.Head{Chain: sealer.ID()}}
	return nil
}

// enter tells that entries will be added until leave is called, before which the
// journal does not close.
func (j *journal) enter() (leave func()) {
	j.using.RLock()
	return j.using.RUnlock
}

// add lets entries wait for a pipeline, and returns the group for [journal.wait].
func (j *journal) add(ctx context.Context, entries []audit.Entry) (*group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return nil, handshake.ErrClosed
	case j.sealer == nil:
		return nil, audit.ErrNoChain
	case j.waiting+len(entries) > j.limit:
		return nil, handshake.ErrBusy
	}
	j.waiting += len(entries)
	g := j.last()
	g.entries = append(g.entries, entries...)
	if !j.rides() {
		j.start()
	}
	return g, nil
}

// rides tells whether pipelines take blocks along.
func (j *journal) rides() bool { return j.s.batches.journal != nil }

// wait returns when a group is durable, or how it failed. What has found no
// pipeline yet is sent now.
func (j *journal) wait(g *group) error {
	j.hurry(g)
	<-g.done
	return g.err
}

// hurry has a group sent that waits for a pipeline.
func (j *journal) hurry(g *group) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if slices.Contains(j.groups, g) {
		j.start()
	}
}

// follow has an entry written for which nobody waits. It is tried again until it
// is written or the journal closes.
func (j *journal) follow(e audit.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed || j.sealer == nil {
		return
	}
	g := j.last()
	g.quiet = append(g.quiet, len(g.entries))
	g.entries = append(g.entries, e)
	if j.delayed {
		return
	}
	j.delayed = true
	time.AfterFunc(rideWait, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.delayed = false
		if len(j.groups) > 0 {
			j.start()
		}
	})
}

// drop has blocks removed, and entries written in the same step.
func (j *journal) drop(ctx context.Context, upTo streamID, entries []audit.Entry) (*group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return nil, handshake.ErrClosed
	case j.sealer == nil:
		return nil, audit.ErrNoChain
	}
	j.waiting += len(entries)
	g := &group{entries: entries, drop: upTo.next(), done: make(chan struct{})}
	j.groups = append(j.groups, g)
	j.start()
	return g, nil
}

// last returns the group that takes more entries.
func (j *journal) last() *group {
	if n := len(j.groups); n > 0 {
		if g := j.groups[n-1]; len(g.entries) < maxBlock && g.drop == (streamID{}) {
			return g
		}
	}
	g := &group{entries: make([]audit.Entry, 0, j.usual), done: make(chan struct{})}
	j.groups = append(j.groups, g)
	return g
}

func (j *journal) start() {
	if !j.running {
		j.running = true
		go j.run()
		return
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be the next block, with what failed before in front.
func (j *journal) take() *group {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := &group{done: make(chan struct{})}
	if len(j.groups) > 0 {
		g = j.groups[0]
		j.groups = slices.Delete(j.groups, 0, 1)
	}
	j.waiting -= len(g.entries) - len(g.quiet)
	before := j.backlog
	j.backlog = nil
	if j.lost > 0 {
		before = append(before, audit.Entry{
			Time: time.Now(), Subsystem: audit.SubsystemTrail, Code: audit.TrailSuppressed, Outcome: audit.Failed,
			Reason: "store_unavailable", Detail: fmt.Sprintf("%d outcomes of consumptions could not be written in time", j.lost),
		})
		j.lost = 0
	}
	if len(before) > 0 {
		g.precede(before)
	}
	j.usual = len(g.entries)
	return g
}

// again puts entries that nobody waits for into the backlog.
func (j *journal) again(entries []audit.Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(entries)
}

func (j *journal) keep(entries []audit.Entry) {
	room := max(min(len(entries), j.limit-len(j.backlog)), 0)
	j.backlog = append(j.backlog, entries[:room]...)
	j.lost += len(entries) - room
}

// idle tells whether nothing is left to write, and then ends the run.
func (j *journal) idle() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	// Whoever writes now starts the goroutine again when it must.
	if len(j.groups) > 0 || !j.writing && j.owes() {
		return false
	}
	j.stop()
	return true
}

// abandon ends the run of a journal that closes while Redis takes nothing.
func (j *journal) abandon() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed || len(j.groups) > 0 {
		return false
	}
	j.stop()
	return true
}

// owes tells whether something is left for which nobody waits.
func (j *journal) owes() bool {
	return len(j.backlog) > 0 || j.unsure != nil && (len(j.unsure.group.quiet) > 0 || !j.unsure.group.isDone())
}

func (j *journal) stop() {
	j.running = false
	j.changed.Broadcast()
}

// run writes until nothing is left.
func (j *journal) run() {
	for !j.idle() {
		if j.write() {
			continue
		}
		if j.abandon() {
			return
		}
		pause := time.NewTimer(journalRetry)
		select {
		case <-pause.C:
		case <-j.wake:
		case <-j.closing:
		}
		pause.Stop()
	}
}

// close writes what waits, and returns when no call is under way.
func (j *journal) close() {
	j.using.Lock()
	defer j.using.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.closed = true
		close(j.closing)
	}
	for j.writing {
		j.changed.Wait()
	}
	if len(j.groups) > 0 || j.owes() {
		j.start()
	}
	for j.running {
		j.changed.Wait()
	}
}
