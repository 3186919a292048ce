package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/trackgate/trackgate/handshake/feed"
)

func testSameKey(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	first := add(t, f, keyed("hook:a", "1"), keyed("hook:a", "2"), keyed("hook:a", "1"), keyed("hook:b", "1"), keyed("hook:a", ""), keyed("hook:a", ""))
	if first[2] != first[0] {
		t.Errorf("a repetition in the same call is at %q, the first at %q", first[2], first[0])
	}
	again := add(t, f, keyed("hook:a", "3"), keyed("hook:a", "2"), keyed("hook:a", "1"), keyed("hook:a", ""), keyed("hook:b", "1"))
	for i, want := range map[int]string{1: first[1], 2: first[0], 4: first[3]} {
		if again[i] != want {
			t.Errorf("repetition %d is at %q, the first at %q", i, again[i], want)
		}
	}
	// A source and a key are two things and not one text.
	add(t, f, keyed("hook:a1", ""), keyed("hook:", "a1"), keyed("hook:a", "11"))
	if page := read(t, f, "", 100); len(page.Events) != 5+2+3 {
		t.Errorf("%d events are stored, want 10", len(page.Events))
	}
	// A call that only repeats changes nothing.
	if got := add(t, f, keyed("hook:a", "1")); got[0] != first[0] || len(read(t, f, "", 100).Events) != 10 {
		t.Errorf("a repetition alone is at %q", got[0])
	}
}

func testSameKeyAtOnce(t *testing.T, b Backend) {
	const senders, events = 8, 40
	handles := startAll(t, b)
	told := make([][]string, senders)
	together(senders, func(sender int) {
		f := handles[sender%len(handles)].Feed()
		for i := range events {
			got, err := f.Append(context.Background(), keyed("hook:a", fmt.Sprint(i)))
			if err != nil {
				t.Errorf("adding: %v", err)
				return
			}
			told[sender] = append(told[sender], got[0])
		}
	})
	if t.Failed() {
		return
	}
	for sender := range told {
		for i, position := range told[sender] {
			if position != told[0][i] {
				t.Errorf("event %d is at %q for one sender and at %q for another", i, position, told[0][i])
			}
		}
	}
	page := read(t, handles[0].Feed(), "", feed.MaxPage)
	if len(page.Events) != events {
		t.Errorf("%d events are stored, want %d", len(page.Events), events)
	}
}

func testKeyAge(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	first := add(t, f, keyed("hook:a", "1"))[0]
	again := first
	for again == first {
		again = add(t, f, keyed("hook:a", "1"))[0]
	}
	for range 3 {
		add(t, f, keyed("hook:a", "2"), keyed("hook:a", "1"))
	}
	if page := read(t, f, "", 1); page.Events[0].After != first {
		t.Errorf("the first event is gone with its key")
	}
}

func testKeyCount(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	var positions []string
	for i := range 30 {
		positions = append(positions, add(t, f, keyed("hook:a", fmt.Sprint(i)))...)
	}
	for _, i := range []int{29, 25, 20} {
		if got := add(t, f, keyed("hook:a", fmt.Sprint(i)))[0]; got != positions[i] {
			t.Errorf("key %d is not recognised", i)
		}
	}
	if got := add(t, f, keyed("hook:a", "0"))[0]; got == positions[0] {
		t.Error("the oldest of 30 keys is recognised, and 10 are kept")
	}
}

func testSameKeyDropped(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	add(t, f, keyed("hook:a", "1"))
	add(t, f, numbered(1, 5)...)
	if got := add(t, f, keyed("hook:a", "1"))[0]; got != "" {
		t.Errorf("an event that is gone is at %q", got)
	}
	wantBugs(t, read(t, f, "", 10), 1, 5, true)
}
