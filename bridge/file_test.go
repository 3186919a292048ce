package bridge

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// filing is a dialect whose tracker files bugs, and may lose the answer.
type filing struct {
	bare
	mu    sync.Mutex
	lose  bool // the answer to the next filing
	bugs  []Bug
	filed []NewBug
	now   func() time.Time
}

func (d *filing) FileBug(_ context.Context, bug NewBug) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filed = append(d.filed, bug)
	d.bugs = append(d.bugs, Bug{ID: "7", Title: bug.Title, Created: d.now()})
	if d.lose {
		d.lose = false
		return "", outcomeUnknown(apierror.New(apierror.TrackerTimeout))
	}
	return "7", nil
}

func (d *filing) FindFiled(context.Context, NewBug, time.Time) (BugBatch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return BugBatch{Time: d.now(), Bugs: slices.Clone(d.bugs)}, nil
}

func (d *filing) Statuses(context.Context) ([]string, error) { return []string{"NEW", "DONE"}, nil }

func newFiling(t *testing.T) (*Bridge, *filing) {
	t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := &filing{now: func() time.Time { return now }}
	b, err := New([]Config{{Name: "t", URL: "http://tracker.test", Dialect: "filing"}},
		[]Named{{Name: "filing", New: func(r *Remote) (Dialect, error) { d.remote = r; return d, nil }}},
		nil, &keeper{values: map[string][]byte{}}, WithClock(d.now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, d
}

func TestABugIsFiledOnceUnderAKeyAlthoughTheAnswerIsLost(t *testing.T) {
	b, d := newFiling(t)
	d.bugs = []Bug{
		{ID: "1", Title: "It breaks", Created: d.now().Add(-time.Hour)}, // older than the first attempt
		{ID: "2", Title: "Another one", Created: d.now()},
	}
	d.lose = true
	bug := NewBug{Title: "It breaks", Description: "a\r\nb", Key: "k"}
	if _, err := b.FileBug(t.Context(), "t", bug); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Fatalf("the answer was lost: %v", err)
	}
	for range 2 {
		id, err := b.FileBug(t.Context(), "t", bug)
		if err != nil || id != "7" {
			t.Fatalf("repeated: %q, %v", id, err)
		}
	}
	if len(d.filed) != 1 || d.filed[0].Description != "a\nb" {
		t.Errorf("filed %+v", d.filed)
	}
	bug.Title = "It breaks again"
	if _, err := b.FileBug(t.Context(), "t", bug); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("another bug under the same key: %v", err)
	}
	bug.Key = ""
	if id, err := b.FileBug(t.Context(), "t", bug); err != nil || id != "7" || len(d.filed) != 2 {
		t.Errorf("without a key: %q, %v, %d filed", id, err, len(d.filed))
	}
}

func TestWhatABugIsFiledWithIsBounded(t *testing.T) {
	b, d := newFiling(t)
	many := map[string]string{}
	for i := range MaxFields + 1 {
		many[strings.Repeat("f", i+1)] = ""
	}
	for name, bug := range map[string]NewBug{
		"title is empty":             {},
		"bytes, more than":           {Title: strings.Repeat("t", MaxTitleLength+1)},
		"one line":                   {Title: "a\nb"},
		"101 members":                {Title: "t", Fields: many},
		"have 1 to 10000 bytes":      {Title: "t", Fields: map[string]string{"f": strings.Repeat("v", MaxFieldLength+1)}},
		"member \"\"":                {Title: "t", Fields: map[string]string{"": "v"}},
		"must be UTF-8":              {Title: "t", Description: "\xff"},
		"more than the limit of 200": {Title: "t", Key: strings.Repeat("k", MaxKeyLength+1)},
	} {
		if _, err := b.FileBug(t.Context(), "t", bug); !apierror.Is(err, apierror.InvalidData) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.filed) != 0 {
		t.Errorf("filed %+v", d.filed)
	}
}

func TestFilingAndStatusesHaveTheShapeOfTheInterface(t *testing.T) {
	b, d := newFiling(t)
	registry := xmlrpc.NewRegistry()
	if err := b.Register(registry); err != nil {
		t.Fatal(err)
	}
	s := service{b}
	id, err := s.fileBug(t.Context(), "t", map[string]any{
		"title": "T", "description": "D", "product": "P", "component": "C", "cc": "x@example.com", "rank": 4, "weight": 1.5, "urgent": true,
	}, nil)
	if err != nil || id != "7" {
		t.Fatal(id, err)
	}
	got := d.filed[0]
	if got.Title != "T" || got.Description != "D" || got.Product != "P" || got.Component != "C" ||
		got.Fields["cc"] != "x@example.com" || got.Fields["rank"] != "4" || got.Fields["weight"] != "1.5" || got.Fields["urgent"] != "true" {
		t.Errorf("filed %+v", got)
	}
	if _, err := s.fileBug(t.Context(), "t", map[string]any{"title": "T", "cc": []any{"x"}}, nil); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("a member that is an array: %v", err)
	}
	if words, err := s.statuses(t.Context(), "t"); err != nil || !slices.Equal(words, []string{"NEW", "DONE"}) {
		t.Errorf("statuses %v, %v", words, err)
	}
	// What the dialect lacks is said clearly.
	lacking, _ := newBare(t, Config{URL: "http://tracker.test"})
	if _, err := lacking.Statuses(t.Context(), "t"); !apierror.Is(err, apierror.NotSupported) || !strings.Contains(err.Error(), "lacks status-list") {
		t.Errorf("statuses of one that has none: %v", err)
	}
	if _, err := lacking.FileBug(t.Context(), "t", NewBug{Title: "t"}); !apierror.Is(err, apierror.NotSupported) || !strings.Contains(err.Error(), "lacks file-bug") {
		t.Errorf("filing at one that cannot: %v", err)
	}
}

func TestAMulticastHasEachTrackersValueOrFaultByItself(t *testing.T) {
	b, _ := newFiling(t)
	s := service{b}
	got, err := s.multicast(t.Context(), []string{"t", "other", "t"}, "any.method", nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for name, code := range map[string]int{
		"t":     apierror.New(apierror.NotSupported).FaultCode(),
		"other": apierror.New(apierror.ResourceNotFound).FaultCode(),
	} { // it speaks no XML-RPC; there is none of that name
		fault, _ := got[name].(map[string]any)["fault"].(map[string]any)
		if fault["code"] != code || fault["string"] == "" {
			t.Errorf("%s: %v", name, got[name])
		}
	}
	if _, err := s.multicast(t.Context(), nil, "m", nil); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("no names: %v", err)
	}
	if _, err := s.multicast(t.Context(), make([]string, MaxMulticast+1), "m", nil); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("too many names: %v", err)
	}
	value := castValue(Cast{Value: 3})
	if value["value"] != 3 {
		t.Errorf("a value: %v", value)
	}
}
