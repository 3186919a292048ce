package gateway

import (
	"encoding/binary"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
)

func TestACallerHasNoMoreLiveTokensThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, lifetime = 10, 80 * time.Second
		l := newLiveTokens(most, lifetime, nil, time.Now, slog.New(slog.DiscardHandler))
		defer l.close()
		time.Sleep(lifetime - time.Duration(time.Now().UnixNano())%lifetime) // to the beginning of a slice
		number := uint64(0)
		mint := func(c ratelimit.Caller) (handshake.Fingerprint, bool) {
			t.Helper()
			if err := l.admit(t.Context(), c); err != nil {
				if !apierror.Is(err, apierror.TooManyTokens) {
					t.Error(err)
				}
				return handshake.Fingerprint{}, false
			}
			number++
			var f handshake.Fingerprint
			binary.BigEndian.PutUint64(f[:], number)
			l.minted(f, c)
			return f, true
		}
		var first handshake.Fingerprint
		for i := range most {
			f, ok := mint("a")
			if !ok {
				t.Fatalf("token %d", i+1)
			}
			if i == 0 {
				first = f
			}
			time.Sleep(time.Second)
		}
		if _, ok := mint("a"); ok {
			t.Error("one more than it may")
		}
		if _, ok := mint("b"); !ok {
			t.Error("another caller is refused")
		}
		l.ended(first)
		l.ended(first) // of a token that is over already nothing is left to end
		l.ended(handshake.Fingerprint{0xff})
		if _, ok := mint("a"); !ok {
			t.Error("one was used, and another is refused")
		}
		if _, ok := mint("a"); ok {
			t.Error("one more than it may, again")
		}
		// By then all have expired, and a slice more.
		time.Sleep(lifetime + 2*lifetime/liveSlices)
		for range most {
			if _, ok := mint("a"); !ok {
				t.Error("expired tokens count")
			}
		}
		own := l.ledger.(*ownLedger)
		if len(own.counts) != 1 || len(own.tokens) != 1 {
			t.Errorf("it holds %v, %v", own.counts, own.tokens)
		}
	})
}

func TestWithoutALimitNoTokenIsCounted(t *testing.T) {
	l := newLiveTokens(0, time.Minute, nil, time.Now, slog.New(slog.DiscardHandler))
	l.minted(handshake.Fingerprint{1}, "a")
	l.ended(handshake.Fingerprint{1})
	if err := l.admit(t.Context(), "a"); err != nil || l.ledger != nil {
		t.Errorf("%v, %v", err, l.ledger)
	}
	l.close()
}
