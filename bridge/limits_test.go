package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
)

func TestAsManyCommentsAsTheLimitSaysCanBeAskedFor(t *testing.T) {
	_, call := service(t, bridge.WithBatchSize(bridge.MaxIDs))
	ids := make([]any, bridge.MaxIDs)
	for i := range ids {
		ids[i] = fmt.Sprintf("1-%d", i+1)
	}
	got, err := call("getComments", "t", 1, ids)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.(map[string]any)["missing"].([]any)); n != bridge.MaxIDs-1 {
		t.Errorf("%d missing, want all but the one that there is", n)
	}
}

func TestAnswersThatAreTooLargeTogetherAreABadAnswer(t *testing.T) {
	const limit = 64 << 10
	p, call := service(t, bridge.WithMaxAnswer(limit), bridge.WithBatchSize(1))
	text := strings.Repeat("x", limit/4)
	ids := []any{}
	for n := 1; n <= 8; n++ {
		ids = append(ids, n)
		p.Put(n, tracpeer.Ticket{Summary: text, Status: "new", Modified: time.Unix(1, 0), Comments: []tracpeer.Comment{{Text: text}}})
	}
	var comments []tracpeer.Comment
	for range ids {
		comments = append(comments, tracpeer.Comment{Text: text})
	}
	p.Put(9, tracpeer.Ticket{Status: "new", Comments: comments})
	for _, tc := range []struct {
		method string
		params []any
		fits   bool
	}{
		{"getBugs", []any{"t", ids[:3]}, true},
		{"getBugs", []any{"t", ids}, false},
		{"getBugs", []any{"t", ids[:1], "full"}, true},
		{"getBugs", []any{"t", ids[:3], "full"}, false},
		{"getComments", []any{"t", 9, []any{"9-1", "9-2", "9-3"}}, true},
		{"getComments", []any{"t", 9}, false},
		{"getModifiedBugs", []any{"t", ids, 0}, true}, // ids alone
		{"getBugs", []any{"t", ids[:3]}, true},        // each call has the whole limit
	} {
		_, err := call(tc.method, tc.params...)
		switch {
		case tc.fits && err != nil:
			t.Errorf("%s%v: %v", tc.method, tc.params, err)
		case !tc.fits && (faultCode(err) != 2003 || !strings.Contains(err.Error(), "ask for fewer") || !strings.Contains(err.Error(), "65536 bytes")):
			t.Errorf("%s%v: %v, want TRACKER_BAD_ANSWER with the limit", tc.method, tc.params, err)
		}
	}
}

func TestAWriteThatWasMadeIsNotLostToTheSizeOfWhatWasReadBefore(t *testing.T) {
	const limit = 64 << 10
	p, call := service(t, bridge.WithMaxAnswer(limit))
	p.Before(nil)
	text := strings.Repeat("x", limit-2000)
	p.Put(9, tracpeer.Ticket{Status: "new", Comments: []tracpeer.Comment{{Text: text, Time: time.Unix(1, 0)}}})
	p.After(func(method string) bool { return method != "launchpad.add_comment" || p.Count(method) != 1 })
	if _, err := call("addComment", "t", 9, "Hello", "", "key"); faultCode(err) != 2006 {
		t.Fatal(err)
	}
	if id, err := call("addComment", "t", 9, "Hello", "", "key"); err != nil || id != "9-2" {
		t.Errorf("%v, %v", id, err)
	}
}
