package feed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake/feed"
)

func TestAPositionIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]feed.Position{
		"":                                  {},
		"1763781600000-1":                   {Millis: 1763781600000, Number: 1},
		"0-1":                               {Number: 1},
		"1-0":                               {Millis: 1},
		"9007199254740991-9007199254740991": {Millis: 1<<53 - 1, Number: 1<<53 - 1},
	} {
		if got, err := feed.ParsePosition(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, written %q, error %v", text, got, got.String(), err)
		}
	}
	for _, text := range []string{
		"0-0", "-", "1", "1-", "-1", "01-1", "1-01", "+1-1", "1--1", " 1-1", "1-1\n", "1_0-1", "0x1-1", "١-1",
		"9007199254740992-1", "1-9007199254740992", "99999999999999999999-1", strings.Repeat("9", 1000),
	} {
		if got, err := feed.ParsePosition(text); !errors.Is(err, feed.ErrPosition) || len(err.Error()) > 250 {
			t.Errorf("%q is %+v, error %v", text, got, err)
		}
	}
}

func TestPositionsAreInTheOrderOfTimesAndThenOfNumbers(t *testing.T) {
	inOrder := []feed.Position{{}, {Number: 7}, {Millis: 1, Number: 2}, {Millis: 1, Number: 3}, {Millis: 2, Number: 1}}
	for i, p := range inOrder {
		for j, q := range inOrder {
			if got := p.Compare(q); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%+v to %+v: %d", p, q, got)
			}
		}
	}
}

func TestAReaderBeyondTheEndIsSentBackToIt(t *testing.T) {
	last := feed.Position{Millis: 5, Number: 3}
	for _, test := range []struct {
		name    string
		at, to  feed.Position
		missing bool
	}{
		{"the beginning of a feed that has dropped all", feed.Position{}, feed.Position{}, true},
		{"before the end", feed.Position{Millis: 4, Number: 2}, feed.Position{Millis: 4, Number: 2}, true},
		{"the end", last, last, false},
		{"a later time", feed.Position{Millis: 6, Number: 3}, last, true},
		{"a later number", feed.Position{Millis: 5, Number: 4}, last, true},
	} {
		if to, missing := test.at.Behind(last); to != test.to || missing != test.missing {
			t.Errorf("%s: on from %v, missing %v", test.name, to, missing)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("")
	f.Add("1763781600000-1")
	f.Add("1-")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := feed.ParsePosition(text)
		if err == nil && p.String() != text {
			t.Errorf("%q is written %q", text, p.String())
		}
	})
}
