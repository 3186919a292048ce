package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/trackgate/trackgate/handshake"
)

// write writes what is still in doubt, or else the next block, and tells whether
// Redis took it.
func (j *journal) write() bool {
	j.mu.Lock()
	for j.writing {
		j.changed.Wait()
	}
	if j.unsure == nil && len(j.groups) == 0 && len(j.backlog) == 0 {
		j.mu.Unlock()
		return true // it found a pipeline
	}
	if j.rides() && j.unsure == nil && (len(j.groups) == 0 || j.groups[0].drop == (streamID{})) {
		j.last() // what failed before rides as well
		j.mu.Unlock()
		return j.drive()
	}
	j.writing = true
	j.mu.Unlock()
	b := j.unsure
	again := b != nil
	if !again {
		b = j.seal(j.take())
	}
	b, err := j.transmit(b)
	j.release(b, err)
	b.group.finish(changeError("audit trail", err))
	if again && err != nil {
		j.refuse(err)
	}
	return err == nil
}

// drive sends a pipeline with nothing but what takes a ride, and fails those for
// whom it came to no ride.
func (j *journal) drive() bool {
	err := j.s.inReign(context.Background(), func(ctx context.Context, st *stamp) error {
		_, err := j.s.runKeys(ctx, sealScript, []string{trailHeads, trailBlocks}, st, emptySeal...)
		return err
	})
	if err != nil {
		j.refuse(err)
	}
	return err == nil
}

// release ends the writing of a block, and keeps in mind what came of it.
func (j *journal) release(b *sealing, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unsure, j.writing = nil, false
	switch {
	case err == nil:
	case b.sent && len(b.group.entries) > 0:
		j.unsure = b
	default:
		j.keep(b.group.unawaited())
	}
	j.changed.Broadcast()
}

// refuse fails all whose entries were not sent.
func (j *journal) refuse(err error) {
	err = fmt.Errorf("redisstore: the audit trail cannot be written: %w", err)
	j.mu.Lock()
	groups := j.groups
	j.groups, j.waiting = nil, 0
	j.mu.Unlock()
	for _, g := range groups {
		j.again(g.unawaited())
		g.finish(err)
	}
}

// errChain is that of a chain whose head is never where it was a moment ago.
var errChain = errors.New("redisstore: somebody else writes this gateway's chain of the audit trail")

// transmit sends a block until it stands in Redis, behind the head that Redis
// turns out to have, and returns what was sent last.
func (j *journal) transmit(b *sealing) (*sealing, error) {
	for range chainTries {
		there, err := j.send(b)
		if err != nil {
			return b, err
		}
		if len(b.block) == 0 {
			return b, nil
		}
		if there.head == b.next {
			j.chain.confirm(there)
			return b, nil
		}
		j.chain.settle(there)
		b = j.seal(b.group)
	}
	return b, errChain
}

// send sends a block and returns what is in Redis after it.
func (j *journal) send(b *sealing) (there sealed, err error) {
	var reply any
	err = j.s.inReign(context.Background(), func(ctx context.Context, st *stamp) (err error) {
		reply, err = j.s.runKeys(ctx, sealScript, []string{trailHeads, trailBlocks}, st, b.arguments...)
		return err
	})
	var unsent *notSentError
	if err == nil || !errors.Is(err, handshake.ErrBusy) && !errors.Is(err, handshake.ErrClosed) && !errors.As(err, &unsent) {
		b.sent = true
	}
	late := errors.Is(err, errReplicas) && reply != nil
	if err != nil && !late {
		return sealed{}, err
	}
	there, parseErr := parseSealed(j.chain.head.Chain, reply)
	switch {
	case parseErr != nil:
		return sealed{}, parseErr
	case late && (len(b.block) == 0 || there.head == b.next):
		return sealed{}, err
	default:
		return there, nil // where nothing was changed, replicas have missed nothing
	}
}
