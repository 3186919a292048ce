package hook

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
)

const (
	// claimTime is how long a request may keep others with its key away: longer than
	// any request may take.
	claimTime = time.Minute
	// retryClaim is what those are told to wait.
	retryClaim = 5 * time.Second

	memoryPrefix = "hook:seen:"
	markClaimed  = 'C'
	markDone     = 'D'
)

// memory knows what was accepted, in the state table: a mark, and the position of
// the event.
type memory struct{ state handshake.StateStore }

func memoryKey(hook, kind, key string) string {
	return memoryPrefix + hook + ":" + kind + ":" + digestOf([]byte(key))
}

// seen tells whether something was accepted, and where the event is.
func (m memory) seen(ctx context.Context, key string) (after string, seen bool, err error) {
	stored, err := m.state.Get(ctx, key)
	if err != nil || len(stored) == 0 || stored[0] != markDone {
		return "", false, unavailable(err)
	}
	return string(stored[1:]), true, nil
}

// claim keeps others away while a request is handled, or tells that it was
// handled already. What it returns ends the claim.
func (m memory) claim(ctx context.Context, key string) (claim []byte, seen bool, err error) {
	claim = append([]byte{markClaimed}, rand.Text()...)
	swapped, err := m.state.CompareAndSwap(ctx, key, nil, claim, claimTime)
	if err != nil || swapped {
		return claim, false, unavailable(err)
	}
	_, seen, err = m.seen(ctx, key)
	if err != nil || seen {
		return nil, seen, err
	}
	return nil, false, apierror.New(apierror.TooManyRequests).WithDetail("This request is being handled already.").WithRetryAfter(retryClaim)
}

// release lets others try. What cannot be released ends by itself.
func (m memory) release(ctx context.Context, key string, claim []byte) {
	_, _ = m.state.CompareAndSwap(context.WithoutCancel(ctx), key, claim, nil, 0)
}

// remember takes down that something was accepted, in the place of a claim or of
// nothing. Where somebody else has done so nothing changes.
func (m memory) remember(ctx context.Context, key string, claim []byte, after string, window time.Duration) error {
	done := append([]byte{markDone}, after...)
	_, err := m.state.CompareAndSwap(context.WithoutCancel(ctx), key, claim, done, window)
	return unavailable(err)
}
