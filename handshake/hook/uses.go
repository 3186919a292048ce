package hook

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

const (
	// noteEvery is how often the use of a token is noted at most.
	noteEvery = time.Minute
	// noteLimit is how long writing such a note may take.
	noteLimit = 5 * time.Second
	// maxNoted is how many tokens are remembered for it. More can only be there when
	// tokens are replaced all the time; then all are forgotten.
	maxNoted = 1024

	useKey = "hook:used:"
)

// uses notes when tokens were last used. It neither slows nor fails a request: a
// note is written aside, and one that cannot be written is lost.
type uses struct {
	state handshake.StateStore

	mu     sync.Mutex
	noted  map[handshake.Fingerprint]time.Time
	closed bool
	under  sync.WaitGroup
}

func (u *uses) init(state handshake.StateStore) {
	u.state, u.noted = state, map[handshake.Fingerprint]time.Time{}
}

// note notes a use, at most once in a while.
func (u *uses) note(which handshake.Fingerprint, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if last, ok := u.noted[which]; u.closed || ok && at.Sub(last) < noteEvery {
		return
	}
	if len(u.noted) >= maxNoted {
		clear(u.noted)
	}
	u.noted[which] = at
	u.under.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), noteLimit)
		defer cancel()
		u.write(ctx, which, at)
	})
}

// write writes a use, unless a later one stands there already. Whoever comes
// before has noted one of the same minute.
func (u *uses) write(ctx context.Context, which handshake.Fingerprint, at time.Time) {
	key := useKey + which.String()
	before, err := u.state.Get(ctx, key)
	if err != nil || !at.After(useTime(before)) {
		return
	}
	after := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	_, _ = u.state.CompareAndSwap(ctx, key, before, after, keep) // a note may be lost
}

// last returns when a token was last used; zero for never.
func (u *uses) last(ctx context.Context, which handshake.Fingerprint) (time.Time, error) {
	stored, err := u.state.Get(ctx, useKey+which.String())
	if err != nil {
		return time.Time{}, unavailable(err)
	}
	return useTime(stored), nil
}

func useTime(stored []byte) time.Time {
	if len(stored) != 8 {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(stored))).UTC()
}

func (u *uses) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.under.Wait()
}
