package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
	"github.com/trackgate/trackgate/xmlrpc"
)

// store is a StateStore in memory.
type store struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key], nil
}

func (s *store) CompareAndSwap(_ context.Context, key string, prev, next []byte, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.values[key], prev) {
		return false, nil
	}
	if s.values[key] = next; next == nil {
		delete(s.values, key)
	}
	return true, nil
}

// caller makes calls of the bridge's XML-RPC interface over the wire format.
func caller(t *testing.T, b *bridge.Bridge) func(method string, params ...any) (any, error) {
	t.Helper()
	registry := xmlrpc.NewRegistry()
	if err := b.Register(registry); err != nil {
		t.Fatal(err)
	}
	handler := xmlrpc.NewHandler(registry)
	return func(method string, params ...any) (any, error) {
		t.Helper()
		doc, err := xmlrpc.AppendCall(nil, method, params, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true, I8: true}))
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(doc))
		req.Header.Set("Content-Type", "text/xml")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		var result any
		return result, xmlrpc.ParseResponse(w.Body.Bytes(), &result)
	}
}

func faultCode(err error) int {
	var fault *xmlrpc.Fault
	if errors.As(err, &fault) {
		return fault.Code
	}
	return 0
}

// service opens a bridge to one peer with two tickets.
func service(t *testing.T, opts ...bridge.Option) (*tracpeer.Peer, func(string, ...any) (any, error)) {
	t.Helper()
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{
		Summary: "one", Status: "closed", Resolution: "fixed", Assignee: "bob", Modified: time.Unix(1710841020, 0),
		Comments: []tracpeer.Comment{{User: "Alice <alice@example.com>", Text: "first\r\nline", Time: time.Unix(1710841020, 0)}},
	})
	p.Put(2, tracpeer.Ticket{Summary: "two", Status: "new", Assignee: "< default >", Modified: time.Unix(1710842000, 0)})
	b, err := bridge.New([]bridge.Config{tracker("t", p.URL())}, dialects, newTokens(), &store{values: map[string][]byte{}}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return p, caller(t, b)
}

func dateTime(t *testing.T, seconds int64) xmlrpc.DateTime {
	t.Helper()
	return xmlrpc.DateTimeOf(time.Unix(seconds, 0).UTC()).WithoutZone()
}

func TestBugsHaveTheShapeOfTheInterface(t *testing.T) {
	p, call := service(t)
	got, err := call("getBugs", "t", []any{1, "2", int64(9), "009"}, "full")
	if err != nil {
		t.Fatal(err)
	}
	result := got.(map[string]any)
	if at, ok := result["time"].(xmlrpc.DateTime); !ok || at.HasZone() || time.Since(at.Time(nil)).Abs() > time.Hour {
		t.Errorf("time %v", result["time"])
	}
	delete(result, "time")
	comment := map[string]any{
		"id": "1-1", "bug": "1", "number": 1, "author": "Alice <alice@example.com>", "text": "first\nline", "time": dateTime(t, 1710841020),
	}
	want := map[string]any{
		"missing": []any{"9", "009"},
		"bugs": []any{
			map[string]any{
				"id": "1", "title": "one", "status": "closed", "resolution": "fixed", "state": "fix-released", "priority": "major",
				"importance": "unknown", "assignee": "bob", "component": "component1", "url": p.URL() + "/ticket/1",
				"created": dateTime(t, 1710061200), "modified": dateTime(t, 1710841020),
				"comment_ids": []any{"1-1"}, "comments": []any{comment},
			},
			map[string]any{
				"id": "2", "title": "two", "status": "new", "state": "new", "priority": "major",
				"importance": "unknown", "component": "component1", "url": p.URL() + "/ticket/2",
				"created": dateTime(t, 1710061200), "modified": dateTime(t, 1710842000),
				"comment_ids": []any{}, "comments": []any{},
			},
		},
	}
	if !reflect.DeepEqual(result, want) {
		t.Errorf("got\n%v\nwant\n%v", result, want)
	}
}

func TestTheLevelDecidesHowMuchOfABugComes(t *testing.T) {
	p, call := service(t)
	for level, want := range map[string]struct {
		members []string
		calls   int
	}{
		"ids":         {nil, 1},
		"metadata":    {[]string{"title"}, 1},
		"":            {[]string{"title"}, 1},
		"comment-ids": {[]string{"title", "comment_ids"}, 1},
		"full":        {[]string{"title", "comment_ids", "comments"}, 2},
	} {
		before := len(p.Calls())
		got, err := call("getBugs", "t", []any{1}, level)
		if err != nil {
			t.Fatal(err)
		}
		bug := got.(map[string]any)["bugs"].([]any)[0].(map[string]any)
		var has []string
		for _, member := range []string{"title", "comment_ids", "comments"} {
			if _, ok := bug[member]; ok {
				has = append(has, member)
			}
		}
		if !reflect.DeepEqual(has, want.members) || len(p.Calls())-before != want.calls {
			t.Errorf("level %q: %q after %d calls, want %q after %d", level, has, len(p.Calls())-before, want.members, want.calls)
		}
	}
	got, err := call("getBugs", "t", []any{1}) // left out
	if err != nil || got.(map[string]any)["bugs"].([]any)[0].(map[string]any)["title"] != "one" {
		t.Errorf("no level: %v, %v", got, err)
	}
}

func TestWhatACallerGetsWrongIsAFaultThatSaysWhat(t *testing.T) {
	p, call := service(t)
	many := make([]any, bridge.MaxIDs+1)
	for i := range many {
		many[i] = i
	}
	long := strings.Repeat("1", bridge.MaxIDLength+1)
	for _, tc := range []struct {
		method string
		params []any
		code   int
		says   string
	}{
		{"getBugs", []any{"nobody", []any{1}}, 404, `"nobody"`},
		{"probe", []any{"nobody"}, 404, "trackers.list"},
		{"retry", []any{strings.Repeat("n", 1000)}, 404, "..."},
		{"getBugs", []any{"t", []any{}}, 400, "ids is empty"},
		{"getBugs", []any{"t", []any{1, true}}, 400, "ids[1] must be an int or a string, not a boolean"},
		{"getBugs", []any{"t", []any{1.5}}, 400, "a double"},
		{"getBugs", []any{"t", []any{nil}}, 400, "nil"},
		{"getBugs", []any{"t", []any{[]any{1}}}, 400, "an array"},
		{"getBugs", []any{"t", "1"}, 400, "ids must be an array, not a string"},
		{"getBugs", []any{"t", map[string]any{}}, 400, "a struct"},
		{"getBugs", []any{"t", []any{1}, "most"}, 400, `level "most" is unknown: use ids, metadata, comment-ids, full`},
		{"getBugs", []any{"t", many}, 400, "5000"},
		{"getBugs", []any{"t", []any{1, long}}, 400, "id number 2"},
		{"getBugs", []any{"t"}, -32602, ""},
		{"getBugs", []any{[]any{}, []any{1}}, -32602, ""},
		{"getModifiedBugs", []any{"t", []any{}, "yesterday"}, 400, "since must be a dateTime.iso8601 or an int"},
		{"getModifiedBugs", []any{"t", []any{}, -1}, 400, "1970 to 2038"},
		{"getModifiedBugs", []any{"t", []any{}, int64(1) << 40}, 400, "1970 to 2038"},
		{"getComments", []any{"t", true, []any{}}, 400, "bug must be"},
		{"getComments", []any{"t", 1, []any{nil}}, 400, "ids[0]"},
		{"getComments", []any{"t", 9, []any{}}, 404, "no such bug"},
		{"addComment", []any{"t", 9, "text", ""}, 404, "no such bug"},
		{"addComment", []any{"t", 1, " \n\t", ""}, 400, "text is empty"},
		{"addComment", []any{"t", 1, "x", "two\nlines"}, 400, "author"},
		{"addComment", []any{"t", 1, "x", "  "}, 400, "blank"},
		{"addComment", []any{"t", 1, "x", strings.Repeat("a", bridge.MaxAuthorLength+1)}, 400, "author has 201 bytes"},
		{"addComment", []any{"t", 1, "x", "", strings.Repeat("k", bridge.MaxKeyLength+1)}, 400, "key has 201 bytes"},
		{"addComment", []any{"t", long, "x", ""}, 400, "limit of 200"},
		{"getLink", []any{"t", 9}, 404, "no such bug"},
		{"getLink", []any{"t", long}, 400, "Invalid request data: bug has 201 bytes, more than the limit of 200"},
		{"getComments", []any{"t", long, []any{"1-1"}}, 400, "bug has 201 bytes"},
		{"getComments", []any{"t", 1, []any{long}}, 400, "id number 1 has 201 bytes"},
		{"getComments", []any{"t", 1, many}, 400, "5001 ids are more than the 5000"},
		{"setLink", []any{"t", 1, "x", ""}, 400, "number"},
		{"setLink", []any{"t", 1, 0, ""}, 400, "number"},
		{"setLink", []any{"t", 1, 1.5, ""}, 400, "a double"},
		{"setLink", []any{"t", false, 1, ""}, 400, "bug must be"},
	} {
		_, err := call(tc.method, tc.params...)
		if faultCode(err) != tc.code || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s%.80v: %v, want %d with %q", tc.method, tc.params, err, tc.code, tc.says)
		}
	}
	if n := len(p.Ticket(1).Comments); n != 1 || p.Ticket(1).Link != 0 {
		t.Errorf("%d comments, link %d: something was written", n, p.Ticket(1).Link)
	}
}

func TestModifiedBugsComeByDateTimeAndByInt(t *testing.T) {
	_, call := service(t)
	for _, since := range []any{1710841021, dateTime(t, 1710841021), xmlrpc.DateTimeOf(time.Unix(1710841021, 0).In(time.FixedZone("", 3600)))} {
		got, err := call("getModifiedBugs", "t", []any{}, since)
		if err != nil || !reflect.DeepEqual(got.(map[string]any)["ids"], []any{"2"}) {
			t.Errorf("since %v: %v, %v", since, got, err)
		}
	}
	got, err := call("getModifiedBugs", "t", []any{1, "002", 7}, 1710841021)
	if err != nil {
		t.Fatal(err)
	}
	result := got.(map[string]any)
	if !reflect.DeepEqual(result["ids"], []any{"002", "7"}) || !reflect.DeepEqual(result["missing"], []any{"7"}) {
		t.Errorf("got %v, want 002 and the missing 7", result)
	}
}

func TestCommentsComeAllOrByID(t *testing.T) {
	_, call := service(t)
	for _, params := range [][]any{{"t", "1"}, {"t", 1, []any{}}, {"t", "01", []any{"1-1"}}} {
		got, err := call("getComments", params...)
		if err != nil {
			t.Fatal(err)
		}
		result := got.(map[string]any)
		if list := result["comments"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != "1-1" || len(result["missing"].([]any)) != 0 {
			t.Errorf("%v: %v", params, result)
		}
		if _, ok := result["time"].(xmlrpc.DateTime); !ok {
			t.Errorf("%v: time %v", params, result["time"])
		}
	}
}

func TestTheAuthorsNameStandsInTheFirstLineOfAComment(t *testing.T) {
	p, call := service(t)
	for _, tc := range []struct{ text, author, want string }{
		{"Hello\r\nyou", "Alice <a@x>", "Alice <a@x> wrote:\r\n\r\nHello\r\nyou"},
		{"Hello", "", "Hello"},
		{"Grüße <&>", "日本", "日本 wrote:\r\n\r\nGrüße <&>"},
	} {
		id, err := call("addComment", "t", 2, tc.text, tc.author)
		comments := p.Ticket(2).Comments
		if err != nil || id != fmt.Sprintf("2-%d", len(comments)) || comments[len(comments)-1].Text != tc.want {
			t.Errorf("%v, %v, stored %q, want %q", id, err, comments[len(comments)-1].Text, tc.want)
		}
	}
}

func TestAKeyedCommentIsWrittenOnceWhateverTheConnectionDoes(t *testing.T) {
	p, call := service(t)
	var broken atomic.Bool
	p.After(func(method string) bool { return method != "launchpad.add_comment" || broken.Swap(true) })
	if _, err := call("addComment", "t", 2, "Hello\n\nyou ", "Alice", "k1"); faultCode(err) != 2006 {
		t.Fatalf("the connection broke after sending: %v, want OUTCOME_UNKNOWN", err)
	}
	for range 2 {
		if id, err := call("addComment", "t", 2, "Hello\n\nyou ", "Alice", "k1"); err != nil || id != "2-1" {
			t.Errorf("%v, %v", id, err)
		}
	}
	if p.Count("launchpad.add_comment") != 1 {
		t.Errorf("%d writes", p.Count("launchpad.add_comment"))
	}
	if _, err := call("addComment", "t", 2, "other", "Alice", "k1"); faultCode(err) != 400 || !strings.Contains(err.Error(), "new key") {
		t.Errorf("the same key for another text: %v", err)
	}
	if id, err := call("addComment", "t", 2, "Hello\n\nyou ", "Alice", "k2"); err != nil || id != "2-2" {
		t.Errorf("another key: %v, %v", id, err)
	}
}

func TestALinkIsGivenBackAndReplaced(t *testing.T) {
	_, call := service(t)
	none, fifteen := map[string]any{}, map[string]any{"id": "15"}
	for _, step := range []struct {
		method string
		params []any
		want   any
	}{
		{"getLink", []any{"t", 2}, none},
		{"setLink", []any{"t", 2, 15, "https://example.org/15"}, none},
		{"getLink", []any{"t", "2"}, fifteen},
		{"setLink", []any{"t", 2, "16"}, fifteen},
		{"setLink", []any{"t", 2, "", ""}, map[string]any{"id": "16"}},
		{"getLink", []any{"t", 2}, none},
	} {
		got, err := call(step.method, step.params...)
		if err != nil || !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s%v: %v, %v, want %v", step.method, step.params, got, err, step.want)
		}
	}
}

func TestTheListTellsHowTheSessionStands(t *testing.T) {
	p, call := service(t)
	entry := func() map[string]any {
		got, err := call("list")
		if err != nil || len(got.([]any)) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		return got.([]any)[0].(map[string]any)
	}
	want := map[string]any{
		"name": "t", "url": p.URL(), "dialect": "trac-launchpad", "session": "none",
		"capabilities": []any{"read-bugs", "modified-since", "read-comments", "write-comments", "links"},
	}
	if got := entry(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if ok, err := call("retry", "t"); err != nil || ok != true {
		t.Errorf("retry: %v, %v", ok, err)
	}
	if got := entry()["session"]; got != "live" {
		t.Errorf("session %v", got)
	}
	p.Expire()
	p.Validate(func(string) bool { return false })
	if _, err := call("getLink", "t", 1); faultCode(err) != 2005 {
		t.Errorf("refused: %v", err)
	}
	got := entry()
	if next, ok := got["next_try"].(xmlrpc.DateTime); got["session"] != "backoff" || !ok || !next.Time(nil).After(time.Now()) {
		t.Errorf("session %v until %v", got["session"], got["next_try"])
	}
}

func TestTheProbeTellsDialectVersionsAndClock(t *testing.T) {
	p, call := service(t)
	p.SetClock(2 * time.Hour)
	for range 2 {
		got, err := call("probe", "t")
		if err != nil {
			t.Fatal(err)
		}
		result := got.(map[string]any)
		if result["dialect"] != "trac-launchpad" || !reflect.DeepEqual(result["versions"], map[string]any{"tracker": "1.6", "plugin": "1.0"}) {
			t.Errorf("got %v", result)
		}
		if skew, ok := result["clock_skew"].(float64); !ok || skew < 7100 || skew > 7300 {
			t.Errorf("clock skew %v, want about 7200", result["clock_skew"])
		}
	}
	if p.Count("launchpad.time_snapshot") != 2 {
		t.Error("the second probe did not ask anew")
	}
}

func TestTheClockIsComparedAroundTheQuestionForItAlone(t *testing.T) {
	var mu sync.Mutex
	var passed time.Duration // for both clocks alike
	p, call := service(t, bridge.WithClock(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(passed)
	}))
	p.Before(func(_ http.ResponseWriter, _ *http.Request, method string) bool {
		mu.Lock()
		defer mu.Unlock()
		if method != "launchpad.time_snapshot" { // a log-in and the other question take an hour each
			passed += time.Hour
			p.SetClock(passed)
		}
		return false
	})
	for _, expired := range []bool{false, true} {
		if expired {
			p.Expire()
		}
		got, err := call("probe", "t")
		if err != nil {
			t.Fatal(err)
		}
		if skew := got.(map[string]any)["clock_skew"].(float64); skew < -600 || skew > 600 {
			t.Errorf("expired %v: clock skew %v of two clocks that are the same", expired, skew)
		}
	}
}

func TestManyBugsGoInAsFewCallsAsPossible(t *testing.T) {
	p, call := service(t, bridge.WithBatchSize(100))
	ids := make([]any, 1000)
	for i := range ids {
		ids[i] = i + 1
		p.Put(i+1, tracpeer.Ticket{Summary: fmt.Sprint(i + 1), Status: "new"})
	}
	// The first answer to come is stamped with the latest time.
	var n atomic.Int32
	p.Before(func(http.ResponseWriter, *http.Request, string) bool {
		p.SetClock(-time.Duration(n.Add(1)) * time.Hour)
		return false
	})
	got, err := call("getBugs", "t", ids)
	if err != nil {
		t.Fatal(err)
	}
	result := got.(map[string]any)
	bugs := result["bugs"].([]any)
	for i, b := range bugs {
		if b.(map[string]any)["id"] != fmt.Sprint(i+1) {
			t.Fatalf("bug %d is %v: not in the order asked for", i, b.(map[string]any)["id"])
		}
	}
	if len(bugs) != 1000 || p.Count("launchpad.bug_info") != 10 {
		t.Errorf("%d bugs in %d calls", len(bugs), p.Count("launchpad.bug_info"))
	}
	if at := result["time"].(xmlrpc.DateTime).Time(nil); time.Since(at) < 9*time.Hour {
		t.Errorf("time %v is not that of the earliest answer", at)
	}
}

func TestATrackerWithMoreCommentsThanTheLimitIsABadAnswer(t *testing.T) {
	p, call := service(t)
	p.Before(func(w http.ResponseWriter, _ *http.Request, method string) bool {
		if method != "launchpad.bug_info" {
			return false
		}
		ids := make([]any, bridge.MaxComments+1)
		for i := range ids {
			ids[i] = fmt.Sprintf("1-%d", i)
		}
		doc, err := xmlrpc.AppendResponse(nil, []any{1795291396, []any{map[string]any{"id": "1", "status": "new", "comments": ids}}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(doc)
		return true
	})
	if _, err := call("getBugs", "t", []any{1}, "full"); faultCode(err) != 2003 || !strings.Contains(err.Error(), "50000 comments") {
		t.Errorf("got %v", err)
	}
	if p.Count("launchpad.get_comments") != 0 {
		t.Error("the comments were asked for")
	}
}
