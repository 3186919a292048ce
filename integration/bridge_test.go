package integration

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// bugValue is a bug as trackers.getBugs gives it. Pointers tell what was left out.
type bugValue struct {
	ID, Title, Status, State, Priority, Importance, Component, URL string

	Resolution, Assignee, Description *string
	Created, Modified                 *moment
	CommentIDs                        *[]string       `json:"comment_ids"`
	Comments                          *[]commentValue `json:"comments"`
}

type commentValue struct {
	ID, Bug, Author, Text string
	Number                int
	Time                  *moment
}

// compact is how a dateTime stands on the wire.
func compact(unix int64) string { return time.Unix(unix, 0).UTC().Format("20060102T15:04:05") }

func TestBugsAreReadFromATracker(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	s.peer.StopClock(time.Unix(1_760_000_000, 0))
	var got struct {
		Time    moment
		Bugs    []bugValue
		Missing []string
	}
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []any{10, "3", 9999, "0010", "x-1"}, "metadata").result(t, &got)
	if got.Time.Text != compact(1_760_000_000) {
		t.Errorf("time is %s", got.Time.Text)
	}
	if !slices.Equal(got.Missing, []string{"9999", "x-1"}) {
		t.Errorf("missing is %q", got.Missing)
	}
	if len(got.Bugs) != 2 || got.Bugs[0].ID != "10" || got.Bugs[1].ID != "3" {
		t.Fatalf("bugs are %+v", got.Bugs)
	}
	closed, open := got.Bugs[0], got.Bugs[1]
	if closed.Status != "closed" || closed.Resolution == nil || *closed.Resolution != "fixed" || closed.State != "fix-released" ||
		closed.Created == nil || closed.Created.Text != compact(1717059600) || closed.Modified == nil || closed.Modified.Text != compact(1717061820) ||
		closed.URL != s.peer.URL+"/ticket/10" || closed.Priority != "major" {
		t.Errorf("bug 10 is %+v", closed)
	}
	if open.Title != "Närrisch naïve Ελληνικά 日本語 🐛" || open.State != "new" || open.Resolution != nil || open.Assignee != nil ||
		open.Description != nil || open.CommentIDs != nil || open.Comments != nil {
		t.Errorf("bug 3 is %+v", open)
	}
}

func TestTheLevelSaysHowMuchOfABugIsRead(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	read := func(params ...any) bugValue {
		var got struct{ Bugs []bugValue }
		call(t, s.gatewayProcess, "trackers.getBugs", append([]any{"gnome", []int{3}}, params...)...).result(t, &got)
		if len(got.Bugs) != 1 {
			t.Fatalf("%v: %+v", params, got)
		}
		return got.Bugs[0]
	}
	if bug := read("ids"); bug != (bugValue{ID: "3"}) {
		t.Errorf("ids: %+v", bug)
	}
	if byDefault, metadata := read(), read("metadata"); !reflect.DeepEqual(byDefault, metadata) || metadata.Title == "" {
		t.Errorf("the default is %+v, metadata %+v", byDefault, metadata)
	}
	if bug := read("comment-ids"); bug.CommentIDs == nil || !slices.Equal(*bug.CommentIDs, []string{"3-1", "3-2"}) || bug.Comments != nil {
		t.Errorf("comment-ids: %+v", bug)
	}
	bug := read("full")
	if bug.Comments == nil || len(*bug.Comments) != 2 || (*bug.Comments)[1].Author != "carol" || !strings.HasPrefix((*bug.Comments)[1].Text, "Привет, мир") {
		t.Errorf("full: %+v", bug)
	}
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{3}, "everything").wantFault(t, 400, "INVALID_DATA", "everything")
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{}).wantFault(t, 400, "INVALID_DATA", "ids")
}

func TestModifiedBugsAreFoundSinceATimeOfTheTracker(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	type answer struct {
		Time         moment
		IDs, Missing []string
	}
	ask := func(ids []any, since any) answer {
		var got answer
		call(t, s.gatewayProcess, "trackers.getModifiedBugs", "gnome", ids, since).result(t, &got)
		return got
	}
	// 24 was modified in 1999, 23 and 25 in 2024.
	if got := ask([]any{23, "24", 25, 77}, 1727170620); !slices.Equal(got.IDs, []string{"23", "25", "77"}) || !slices.Equal(got.Missing, []string{"77"}) {
		t.Errorf("since an int: %+v", got)
	}
	if got := ask([]any{23, 24, 25}, moment{compact(1727170621)}); !slices.Equal(got.IDs, []string{"25"}) || len(got.Missing) != 0 {
		t.Errorf("since a dateTime: %+v", got)
	}
	if got := ask([]any{}, 1727170620); !slices.Equal(got.IDs, []string{"23", "25"}) {
		t.Errorf("of all bugs: %+v", got)
	}
	first := ask([]any{}, 0)
	if len(first.IDs) != 25 {
		t.Errorf("since ever: %+v", first)
	}
	var id string
	call(t, s.gatewayProcess, "trackers.addComment", "gnome", 24, "New life.", "").result(t, &id)
	if got := ask([]any{}, first.Time); !slices.Equal(got.IDs, []string{"24"}) {
		t.Errorf("since the time of the last answer: %+v", got)
	}
	call(t, s.gatewayProcess, "trackers.getModifiedBugs", "gnome", []any{1}, "yesterday").wantFault(t, 400, "INVALID_DATA", "since")
}

func TestCommentsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	var before struct {
		Comments []commentValue
		Missing  []string
	}
	call(t, s.gatewayProcess, "trackers.getComments", "gnome", 4, []any{"4-2", "4-9", "5-1"}).result(t, &before)
	if len(before.Comments) != 1 || before.Comments[0].ID != "4-2" || before.Comments[0].Bug != "4" || before.Comments[0].Number != 2 ||
		before.Comments[0].Time == nil || !strings.HasPrefix(before.Comments[0].Text, "</string></value></param>") {
		t.Errorf("a comment full of tags is %+v", before.Comments)
	}
	if !slices.Equal(before.Missing, []string{"4-9", "5-1"}) {
		t.Errorf("missing is %q", before.Missing)
	}
	const text = "Grüße <b>&amp;</b> ]]> 日本語 🐛\nsecond line"
	var id string
	call(t, s.gatewayProcess, "trackers.addComment", "gnome", "4", text, "Bob <bob@example.org>").result(t, &id)
	if id != "4-3" {
		t.Errorf("the new comment's id is %q", id)
	}
	var after struct{ Comments []commentValue }
	call(t, s.gatewayProcess, "trackers.getComments", "gnome", 4, []any{}).result(t, &after)
	if len(after.Comments) != 3 {
		t.Fatalf("comments are %+v", after.Comments)
	}
	written := after.Comments[2]
	if written.ID != id || !strings.Contains(written.Text, text) || !strings.Contains(written.Text, "Bob <bob@example.org>") {
		t.Errorf("the comment came back as %+v", written)
	}
	for name, answer := range map[string]rpcAnswer{
		"getComments": call(t, s.gatewayProcess, "trackers.getComments", "gnome", 9999, []any{}),
		"addComment":  call(t, s.gatewayProcess, "trackers.addComment", "gnome", 9999, "Hello.", ""),
		"getLink":     call(t, s.gatewayProcess, "trackers.getLink", "gnome", 9999),
	} {
		t.Run(name+" of a bug that does not exist", func(t *testing.T) { answer.wantFault(t, 404, "RESOURCE_NOT_FOUND") })
	}
	call(t, s.gatewayProcess, "trackers.addComment", "gnome", 4, " \n", "").wantFault(t, 400, "INVALID_DATA", "text")
}

func TestALinkIsSetReadAndRemoved(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	link := func(method string, params ...any) string {
		var got map[string]string
		call(t, s.gatewayProcess, method, append([]any{"gnome", 7}, params...)...).result(t, &got)
		return got["id"]
	}
	for i, step := range []struct{ got, want string }{
		{link("trackers.getLink"), ""},
		{link("trackers.setLink", 1234, "https://bugs.example/1234"), ""},
		{link("trackers.getLink"), "1234"},
		{link("trackers.setLink", "77", ""), "1234"},
		{link("trackers.setLink", "", ""), "77"},
		{link("trackers.getLink"), ""},
	} {
		if step.got != step.want {
			t.Errorf("step %d gave %q, want %q", i+1, step.got, step.want)
		}
	}
}

func TestAProbeAsksTheTrackerAnew(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	s.peer.ShiftClock(90 * time.Second)
	var got struct {
		Dialect, Reason string
		Versions        map[string]string
		Skew            float64 `json:"clock_skew"`
	}
	call(t, s.gatewayProcess, "trackers.probe", "gnome").result(t, &got)
	if got.Dialect != "trac-launchpad" || got.Reason == "" || got.Skew < 60 || got.Skew > 120 {
		t.Errorf("the probe says %+v", got)
	}
	if text := fmt.Sprint(got.Versions); !strings.Contains(text, "1.6") || !strings.Contains(text, "1.0") {
		t.Errorf("versions are %s", text)
	}
	asked := s.peer.Stats().Calls["launchpad.bugtracker_version"]
	call(t, s.gatewayProcess, "trackers.probe", "gnome").result(t, &got)
	if now := s.peer.Stats().Calls["launchpad.bugtracker_version"]; now <= asked {
		t.Error("the second probe asked nobody")
	}
	var trackers []struct{ Session string }
	call(t, s.gatewayProcess, "trackers.list").result(t, &trackers)
	if len(trackers) != 1 || trackers[0].Session != "live" {
		t.Errorf("after the probe the tracker is %+v", trackers)
	}
	var done bool
	if call(t, s.gatewayProcess, "trackers.retry", "gnome").result(t, &done); !done {
		t.Error("trackers.retry is not true")
	}
}

func TestManyBugsGoInFewCalls(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	ids := make([]int, 500)
	for i := range ids {
		ids[i] = i + 1
	}
	var got struct {
		Bugs    []bugValue
		Missing []string
	}
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", ids, "full").result(t, &got)
	if len(got.Bugs) != 25 || len(got.Missing) != 475 {
		t.Errorf("%d bugs, %d missing", len(got.Bugs), len(got.Missing))
	}
	stats := s.peer.Stats()
	if n := stats.Requests["POST /lp/xmlrpc"]; n > 20 {
		t.Errorf("500 bugs took %d calls: %v", n, stats.Calls)
	}
}
