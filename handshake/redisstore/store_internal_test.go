package redisstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/trackgate/trackgate/handshake"
)

// go-redis repeats a command whose answer was lost, and the repetition's dial
// may time out: the first delivery may have been executed all the same.
func TestADialThatTimesOutLeavesTheOutcomeOpen(t *testing.T) {
	err := changeError("change", fmt.Errorf("dial tcp: %w", context.DeadlineExceeded))
	if !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	err = changeError("change", &notSentError{context.Canceled})
	if errors.Is(err, handshake.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("nothing was sent, and the error says %v", err)
	}
}
