package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

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

// A server is killed after it has put a consumption on disk and before it has
// answered. What comes up again has all of it: the caller must hear that it was
// the one who used the token, and not that somebody else did.
func TestAChangeThatOutlivedItsServerIsItsCallersOwn(t *testing.T) {
	const first, second, others = "attempt-number-1", "attempt-number-2", "attempt-number-9"
	keeps, loses := &stamp{reign: &reign{}}, &stamp{reign: &reign{forgetful: true}}
	for _, test := range []struct {
		name  string
		tried tries
		by    string
		made  bool
	}{
		{"at once", tries{{first, keeps}}, first, true},
		{"at once, without a fence", tries{{first, &stamp{}}}, first, true},
		{"by somebody else", tries{{first, keeps}}, others, false},
		{"before a restart that lost nothing", tries{{first, keeps}, {second, keeps}}, first, true},
		{"after it", tries{{first, keeps}, {second, keeps}}, second, true},
		{"before one that may have lost something", tries{{first, loses}, {second, keeps}}, first, false},
		{"before one after which something may be lost", tries{{first, keeps}, {second, loses}}, first, false},
		{"after one that may have lost something", tries{{first, loses}, {second, loses}}, second, true},
		{"by somebody else meanwhile", tries{{first, keeps}, {second, keeps}}, others, false},
	} {
		if got := test.tried.made(test.by); got != test.made {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// Redis keeps a value in place only when it is the text of a 64-bit integer as it
// would write it.
func TestALiveTokensValueIsAnIntegerWithALabelAndWithout(t *testing.T) {
	for _, kind := range []handshake.Kind{1, maxKind} {
		for _, label := range []string{"0000000000", "4294967295"} {
			for _, millis := range []int64{minMillis, maxMillis} {
				for _, lifetime := range []time.Duration{time.Second, handshake.MaxLifetime} {
					record := handshake.Record{ID: handshake.ID{Millis: millis}, Kind: kind}
					record.Expires = record.Minted().Add(lifetime)
					plain, _, err := encodeLive(record)
					if err != nil {
						t.Fatal(err)
					}
					for _, value := range []string{plain, labelled(label, plain)} {
						if n, err := strconv.ParseInt(value, 10, 64); err != nil || strconv.FormatInt(n, 10) != value {
							t.Errorf("%s is read as %d, error %v", value, n, err)
						}
					}
				}
			}
		}
	}
	if got, want := labelled("0123456789", "1176375940123400600gnome"), "-1012345678900600234gnome"; got != want {
		t.Errorf("with a label it is %s, want %s", got, want)
	}
}
