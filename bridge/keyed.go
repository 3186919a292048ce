package bridge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// A write under an idempotency key leaves one record in the state store, which
// is claimed before the tracker is called and holds the id afterwards:
//
//	(none) --claim--> claimed --written--> done
//	                    |  \--refused, not sent--> (none)
//	                    \--answer lost--> unknown --found or written--> done
//
// What was unknown once is not forgotten when a repetition is refused: the first
// attempt may still land.
//
// A claim whose gateway died looks like one whose answer was lost, once it is
// certain that nobody is at work on it any more: when its deadline has passed or,
// where the store is ours alone, when it is of another process. Whoever takes
// over such a record looks at the tracker first and writes only what is not
// there.
const (
	stateClaimed = "claimed"
	stateUnknown = "unknown"
	stateDone    = "done"
)

const (
	// claimMargin is added to a claim's deadline for clocks that differ between
	// gateways.
	claimMargin = 2 * time.Second
	// claimPoll is how often a record that another gateway has claimed is read.
	claimPoll = 250 * time.Millisecond
	// recordLimit is the part of a caller's time, and a tenth of it at most, that
	// is kept for recording how the write ended.
	recordLimit = 2 * time.Second
	// recentMargin is how much older than its first attempt a comment may seem:
	// trackers tell time in whole seconds, and our idea of their clock is as
	// good as one exchange.
	recentMargin = 5 * time.Second
)

// keyedRecord is the record as stored, in JSON.
type keyedRecord struct {
	Version   int       `json:"v"`
	State     string    `json:"state"`
	Arguments string    `json:"arguments"` // fingerprint
	First     time.Time `json:"first"`     // our clock at the first attempt
	Owner     string    `json:"owner,omitempty"`
	Deadline  time.Time `json:"deadline,omitzero"`
	ID        string    `json:"id,omitempty"`
}

// keyedWrite is one write that a repetition is not to make again.
type keyedWrite struct {
	options   *options
	stateKey  string
	arguments string
	write     func(context.Context) (string, error)
	find      finder // nil: the tracker cannot be asked
}

// finder looks whether the write is at the tracker already, and returns its id
// or "".
type finder func(ctx context.Context, recent isRecent) (string, error)

// isRecent tells whether something that the tracker stamped at a time can be of
// the write in question; now is the tracker's present time.
type isRecent func(at, now time.Time) bool

// stateKey is where the record of a key stands. The key itself is the caller's
// and may be anything.
func stateKey(tracker, key string) string {
	sum := sha256.Sum256([]byte(key))
	return "bridge:write:" + tracker + ":" + hex.EncodeToString(sum[:])
}

// fingerprint tells apart writes of different content under one key.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// keyedWrites lets one call at a time work on a key within this process.
type keyedWrites struct {
	owner string // of this process's claims
	mu    sync.Mutex
	busy  map[string]chan struct{} // by state key; closed when free
}

func (k *keyedWrites) init() {
	k.owner = rand.Text()
	k.busy = map[string]chan struct{}{}
}

// enter waits until no other call works on the key.
func (k *keyedWrites) enter(ctx context.Context, key string) (leave func(), err error) {
	for {
		k.mu.Lock()
		other := k.busy[key]
		if other == nil {
			mine := make(chan struct{})
			k.busy[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.busy, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// once makes the write unless it was made, and returns its id.
func (k *keyedWrites) once(ctx context.Context, w *keyedWrite) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.options.timeLimit-w.options.recordTime())
	defer cancel()
	leave, err := k.enter(ctx, w.stateKey)
	if err != nil {
		return "", err
	}
	defer leave()
	waited := false // for another gateway
	for {
		stored, err := w.options.state.Get(ctx, w.stateKey)
		if err != nil && waited && ctx.Err() != nil {
			return "", claimedElsewhere()
		}
		if err != nil {
			return "", storeTrouble(ctx, err)
		}
		record, err := w.parse(stored)
		if err != nil {
			return "", err
		}
		if record.State == stateDone {
			return record.ID, nil
		}
		if record.State == stateClaimed && !k.abandoned(w, record) {
			if pause(ctx, claimPoll) != nil {
				return "", claimedElsewhere()
			}
			waited = true
			continue
		}
		claim, won, err := k.claim(ctx, w, stored, record)
		if err != nil {
			return "", err
		}
		if won {
			return k.settle(ctx, w, claim, record.State != "")
		}
	}
}

// parse reads a record. Of no record the State is empty.
func (w *keyedWrite) parse(stored []byte) (keyedRecord, error) {
	var record keyedRecord
	if stored == nil {
		return record, nil
	}
	err := json.Unmarshal(stored, &record)
	if err == nil && record.Version != 1 {
		err = fmt.Errorf("it is of version %d", record.Version)
	}
	if err != nil {
		return record, apierror.New(apierror.ServerError).
			WithCause(fmt.Errorf("bridge: the record %s in the state store cannot be read: %w", w.stateKey, err))
	}
	if record.Arguments != w.arguments {
		return record, invalid("the key was used before for something else: use a new key for each write")
	}
	return record, nil
}

// abandoned tells whether nobody is at work on a claimed record any more. That
// this process is not is known, since it has entered the key.
func (k *keyedWrites) abandoned(w *keyedWrite, record keyedRecord) bool {
	return record.Owner == k.owner || w.options.ownState || w.options.now().After(record.Deadline)
}

// claim makes the record ours, and tells whether it did.
func (k *keyedWrites) claim(ctx context.Context, w *keyedWrite, stored []byte, old keyedRecord) (keyedClaim, bool, error) {
	now := w.options.now()
	deadline := now.Add(w.options.timeLimit)
	record := keyedRecord{
		Version: 1, State: stateClaimed, Arguments: w.arguments,
		First: now.UTC(), Owner: k.owner, Deadline: deadline.Add(claimMargin).UTC(),
	}
	if old.State != "" {
		record.First = old.First
	}
	next, err := json.Marshal(record)
	if err != nil {
		return keyedClaim{}, false, err
	}
	won, err := w.options.state.CompareAndSwap(ctx, w.stateKey, stored, next, w.options.keyRetention)
	if err != nil {
		return keyedClaim{}, false, storeTrouble(ctx, err)
	}
	return keyedClaim{write: w, record: record, stored: next}, won, nil
}

// settle writes, or finds what an earlier attempt wrote, and records how it
// ended.
func (k *keyedWrites) settle(ctx context.Context, w *keyedWrite, claim keyedClaim, attempted bool) (string, error) {
	if attempted {
		id, err := claim.look(ctx)
		if apierror.Is(err, apierror.ResourceNotFound) { // there is no such bug to write to
			claim.drop(ctx)
			return "", err
		}
		if err != nil {
			claim.record.State = stateUnknown
			claim.save(ctx)
			return "", outcomeUnknown(classify(err, nil))
		}
		if id != "" {
			claim.done(ctx, id)
			return id, nil
		}
	}
	id, err := w.write(ctx)
	switch {
	case err == nil:
		claim.done(ctx, id)
	case attempted, apierror.Is(err, apierror.OutcomeUnknown):
		claim.record.State = stateUnknown
		claim.save(ctx)
	default:
		claim.drop(ctx)
	}
	return id, err
}

// keyedClaim is a record that is ours.
type keyedClaim struct {
	write  *keyedWrite
	record keyedRecord
	stored []byte
}

// look asks the tracker for what an earlier attempt may have written.
func (c *keyedClaim) look(ctx context.Context) (string, error) {
	if c.write.find == nil {
		return "", apierror.New(apierror.NotSupported).WithDetail("The dialect cannot look for what was written.")
	}
	timeless := false // something may be it, and nobody can tell whether it is new
	id, err := c.write.find(ctx, func(at, now time.Time) bool {
		if at.IsZero() || now.IsZero() {
			timeless = true
			return false
		}
		skew := now.Sub(c.write.options.now())
		return !at.Before(c.record.First.Add(skew - recentMargin))
	})
	if err == nil && id == "" && timeless {
		err = badAnswer("It does not tell when what it has was written.")
	}
	return id, err
}

func (c *keyedClaim) done(ctx context.Context, id string) {
	c.record.State, c.record.ID = stateDone, id
	c.record.Owner, c.record.Deadline = "", time.Time{}
	c.save(ctx)
}

func (c *keyedClaim) save(ctx context.Context) {
	next, err := json.Marshal(c.record)
	if err != nil {
		c.complain(err)
		return
	}
	c.swap(ctx, next)
}

func (c *keyedClaim) drop(ctx context.Context) { c.swap(ctx, nil) }

// swap replaces the claim. That this fails changes nothing of what the tracker
// did: the claim then stays, and a repetition looks at the tracker first.
func (c *keyedClaim) swap(ctx context.Context, next []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.write.options.recordTime())
	defer cancel()
	swapped, err := c.write.options.state.CompareAndSwap(ctx, c.write.stateKey, c.stored, next, c.write.options.keyRetention)
	if err == nil && !swapped {
		err = fmt.Errorf("another gateway has taken it over")
	}
	if err != nil {
		c.complain(err)
	}
}

func (c *keyedClaim) complain(err error) {
	c.write.options.logger.Warn("the outcome of a write was not recorded under its key",
		"record", c.write.stateKey, "error", err)
}

// recordTime is recordLimit, or less where calls have little time.
func (o *options) recordTime() time.Duration { return min(recordLimit, o.timeLimit/10) }

// claimedElsewhere is the error of a call whose time was over before another
// gateway had said how its write ended.
func claimedElsewhere() error {
	return outcomeUnknown(apierror.New(apierror.TrackerTimeout).
		WithDetail("Another gateway is writing under this key, or died doing so."))
}

// storeTrouble is the error of a state store that does not answer. That the
// caller's own time is over is no trouble of the store's.
func storeTrouble(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return apierror.New(apierror.StoreUnavailable).WithCause(err)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
