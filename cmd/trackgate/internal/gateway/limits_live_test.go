package gateway

import (
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
		mint := func(c ratelimit.Caller) (handshake.Account, bool) {
			t.Helper()
			if err := l.admit(t.Context(), c); err != nil {
				if !apierror.Is(err, apierror.TooManyTokens) {
					t.Error(err)
				}
				return "", false
			}
			a := l.account(c)
			l.minted(a, c)
			return a, true
		}
		var first handshake.Account
		for i := range most {
			a, ok := mint("a")
			if !ok {
				t.Fatalf("token %d", i+1)
			}
			if i == 0 {
				first = a
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
		l.ended("other") // an account that nobody knows, and none
		l.ended("")
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
		l.ended(first) // expired long ago, and not counted any more
		own := l.ledger.(*ownLedger)
		if len(own.counts) != 1 || own.counts["a"] != most || len(own.tallies) != 1 || len(own.byCaller) != 1 {
			t.Errorf("it holds %v, %v, %v", own.counts, own.tallies, own.byCaller)
		}
	})
}

func TestAnAccountIsOneCallersForOneSlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 80 * time.Second
		l := newLiveTokens(10, lifetime, nil, time.Now, slog.New(slog.DiscardHandler))
		defer l.close()
		made := []handshake.Account{"first", "first", "other"} // by chance, the second is there already
		own := l.ledger.(*ownLedger)
		own.newAccount = func() handshake.Account {
			if len(made) == 0 {
				return handshake.NewAccount()
			}
			a := made[0]
			made = made[1:]
			return a
		}
		if a, again, b := l.account("a"), l.account("a"), l.account("b"); a != "first" || again != a || b != "other" {
			t.Errorf("the accounts are %q, %q, and %q of another", a, again, b)
		}
		time.Sleep(lifetime / liveSlices)
		if a := l.account("a"); a == "first" || len(a) != handshake.AccountLength {
			t.Errorf("in the next slice it is %q", a)
		}
		l.minted("first", "a") // its minting began in the slice before
		l.ended("first")
		l.ended("first") // counted too little by a crash, it is no less than none
		if n, err := own.live(t.Context(), "a", 1); n != 0 || err != nil {
			t.Errorf("%d live tokens, error %v", n, err)
		}
	})
}

func TestWithoutALimitNoTokenIsCounted(t *testing.T) {
	l := newLiveTokens(0, time.Minute, nil, time.Now, slog.New(slog.DiscardHandler))
	if a := l.account("a"); a != "" {
		t.Errorf("the account is %q", a)
	}
	l.minted("12345", "a")
	l.ended("12345")
	if err := l.admit(t.Context(), "a"); err != nil || l.ledger != nil {
		t.Errorf("%v, %v", err, l.ledger)
	}
	l.close()
}
