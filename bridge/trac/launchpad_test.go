package trac_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
	"github.com/trackgate/trackgate/xmlrpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// values answers a method with values.
func (r *replayer) values(method string, value any) *replayer {
	doc, err := xmlrpc.AppendResponse(nil, value)
	if err != nil {
		r.t.Fatal(err)
	}
	r.answerBytes(method, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(doc), doc))
	return r
}

func bug(t *testing.T, r *replayer, id string, level bridge.Level) bridge.Bug {
	t.Helper()
	got, err := open(t, r.url()).GetBugs(t.Context(), "lp", []string{id}, level)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 {
		t.Fatalf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
	return got.Bugs[0]
}

func TestAnIDWithLeadingZerosIsTheSameBug(t *testing.T) {
	r := newReplayer(t).answer("", "25-bug_info-missing")
	ids := []string{"1", "999", "2", "nonsense", "-1", "99999999999999999999", "", "007"}
	got, err := open(t, r.url()).GetBugs(t.Context(), "lp", ids, bridge.LevelCommentIDs)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, b := range got.Bugs {
		found = append(found, b.ID)
	}
	if want := []string{"1", "2", "7"}; !reflect.DeepEqual(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
	if want := []string{"999", "nonsense", "-1", "99999999999999999999", ""}; !reflect.DeepEqual(got.Missing, want) {
		t.Errorf("missing %q, want %q: as they were written", got.Missing, want)
	}
}

func TestABugThatWasAskedForThreeTimesComesOnce(t *testing.T) {
	r := newReplayer(t).answer("", "32-bug_info-duplicate-ids")
	got, err := open(t, r.url()).GetBugs(t.Context(), "lp", []string{"2", "2", "0002", "888", "888", "0888"}, bridge.LevelIDs)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 || !reflect.DeepEqual(got.Missing, []string{"888", "0888"}) {
		t.Errorf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
}

func TestABugThatTheTrackerLeavesOutIsMissing(t *testing.T) {
	r := newReplayer(t).values("", []any{1795291397, []any{map[string]any{"id": "1", "status": "new"}}})
	got, err := open(t, r.url()).GetBugs(t.Context(), "lp", []string{"2", "1", "+1"}, bridge.LevelMetadata)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 || !reflect.DeepEqual(got.Missing, []string{"2", "+1"}) {
		t.Errorf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
}

func TestAMissingBugIsAmongTheModifiedOnes(t *testing.T) {
	r := newReplayer(t).answer("", "27-bug_info-modified_since")
	got, err := open(t, r.url()).GetModifiedBugs(t.Context(), "lp", []string{"1", "2", "17", "18", "19", "25", "0999"}, time.Unix(1721000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"17", "18", "19", "25", "0999"}; !reflect.DeepEqual(got.IDs, want) {
		t.Errorf("modified %q, want %q", got.IDs, want)
	}
	if want := []string{"0999"}; !reflect.DeepEqual(got.Missing, want) {
		t.Errorf("missing %q, want %q", got.Missing, want)
	}
}

func TestTimesAreSecondsSince1970(t *testing.T) {
	got := bug(t, newReplayer(t).answer("", "20-bug_info-level2"), "16", bridge.LevelCommentIDs)
	if want := time.Date(2024, 7, 23, 9, 0, 0, 0, time.UTC); !got.Created.Equal(want) {
		t.Errorf("created %v, want %v", got.Created, want)
	}
	if want := time.Date(2024, 7, 23, 10, 51, 0, 0, time.UTC); !got.Modified.Equal(want) {
		t.Errorf("modified %v, want %v", got.Modified, want)
	}
}

func TestTheTimeOfAnAnswerIsItsFirstMember(t *testing.T) {
	r := newReplayer(t).answer("", "20-bug_info-level2")
	got, err := open(t, r.url()).GetBugs(t.Context(), "lp", []string{"1"}, bridge.LevelCommentIDs)
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Unix(1795291397, 0); !got.Time.Equal(want) || got.Time.Location() != time.UTC {
		t.Errorf("time %v, want %v", got.Time, want.UTC())
	}
}

func TestTheClockIsTheThirdMemberOfTheSnapshot(t *testing.T) {
	// The snapshot of a tracker in Berlin: its second member is an hour ahead.
	now := time.Unix(1795291396, 0).Add(-90 * time.Second)
	r := newReplayer(t).loginWith("01-auth-probe-check", "04-auth-accepted").
		answer("launchpad.time_snapshot", "17-time_snapshot").
		answer("launchpad.bugtracker_version", "16-bugtracker_version")
	got, err := open(t, r.url(), bridge.WithClock(func() time.Time { return now })).Probe(t.Context(), "lp")
	if err != nil {
		t.Fatal(err)
	}
	if !got.ClockKnown || got.ClockSkew != 90*time.Second {
		t.Errorf("clock skew %v, want 90s", got.ClockSkew)
	}
	if want := map[string]string{"tracker": "1.6", "plugin": "1.0"}; !reflect.DeepEqual(got.Versions, want) {
		t.Errorf("versions %v, want %v: the boolean beside them is none", got.Versions, want)
	}
}

func TestATicketThatNobodyTookHasNoAssignee(t *testing.T) {
	r := newReplayer(t).answer("", "19-bug_info-level1")
	for id, want := range map[string]string{"1": "", "8": "bob"} {
		if got := bug(t, r, id, bridge.LevelMetadata).Assignee; got != want {
			t.Errorf("assignee of %s: %q, want %q", id, got, want)
		}
	}
}

func TestTheStateIsTheResolutionsOrElseTheStatuss(t *testing.T) {
	for _, tc := range []struct {
		status, resolution string
		want               bridge.State
	}{
		{"new", "", bridge.StateNew},
		{"open", "--", bridge.StateNew},
		{"reopened", "", bridge.StateNew},
		{"Accepted", "", bridge.StateConfirmed},
		{"assigned", "", bridge.StateConfirmed},
		{"closed", "duplicate", bridge.StateConfirmed},
		{"closed", "fixed", bridge.StateFixReleased},
		{"closed", "", bridge.StateFixReleased},
		{"closed", "FixVerified", bridge.StateFixReleased},
		{"closed", "invalid", bridge.StateInvalid},
		{"closed", "worksforme", bridge.StateInvalid},
		{"closed", "WONTFIX", bridge.StateWontFix},
		{"closed", "wishful", bridge.StateUnknown},
		{"new", "wishful", bridge.StateUnknown},
		{"testing", "", bridge.StateUnknown},
		{"", "", bridge.StateUnknown},
	} {
		r := newReplayer(t).values("", []any{1795291397, []any{
			map[string]any{"id": "1", "status": tc.status, "resolution": tc.resolution},
		}})
		got := bug(t, r, "1", bridge.LevelMetadata)
		if got.State != tc.want || got.Importance != bridge.ImportanceUnknown {
			t.Errorf("%q %q: state %s and importance %s, want %s and unknown", tc.status, tc.resolution, got.State, got.Importance, tc.want)
		}
		if got.Status != tc.status || got.Resolution != tc.resolution {
			t.Errorf("the remote words %q %q were changed to %q %q", tc.status, tc.resolution, got.Status, got.Resolution)
		}
	}
}

func TestFieldChangesWithoutTextLeaveGapsInTheNumbersOfComments(t *testing.T) {
	r := newReplayer(t).answer("", "20-bug_info-level2")
	if got := bug(t, r, "16", bridge.LevelCommentIDs).CommentIDs; !reflect.DeepEqual(got, []string{"16-2"}) {
		t.Errorf("comment ids %q, want 16-2 alone", got)
	}
	if got := bug(t, r, "1", bridge.LevelCommentIDs).CommentIDs; got == nil || len(got) != 0 {
		t.Errorf("comment ids of a bug without comments: %#v, want an empty list", got)
	}
}

func TestFullBugsHaveTheAuthorsThatOnlyGetCommentsTells(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Summary: "one", Status: "new", Comments: []tracpeer.Comment{
		{User: "Alice <alice@example.com>", Text: "first\r\nline", Time: time.Unix(1710841020, 0)},
		{User: "anonymous", Text: "second", Time: time.Unix(1710841021, 0)},
	}})
	p.Put(10, tracpeer.Ticket{Summary: "ten", Status: "new"})
	got, err := open(t, p.URL()).GetBugs(t.Context(), "lp", []string{"10", "1"}, bridge.LevelFull)
	if err != nil {
		t.Fatal(err)
	}
	want := []bridge.Comment{
		{ID: "1-1", Bug: "1", Number: 1, Author: "Alice <alice@example.com>", Text: "first\nline", Time: time.Unix(1710841020, 0).UTC()},
		{ID: "1-2", Bug: "1", Number: 2, Author: "anonymous", Text: "second", Time: time.Unix(1710841021, 0).UTC()},
	}
	if len(got.Bugs) != 2 || !reflect.DeepEqual(got.Bugs[1].Comments, want) {
		t.Errorf("got %+v, want %+v", got.Bugs, want)
	}
	if got.Bugs[0].Comments == nil || len(got.Bugs[0].Comments) != 0 {
		t.Errorf("comments of a bug without any: %#v, want an empty list", got.Bugs[0].Comments)
	}
	if want := []string{"launchpad.bug_info", "launchpad.get_comments"}; !reflect.DeepEqual(p.Calls(), want) {
		t.Errorf("calls %q, want %q: no call per bug", p.Calls(), want)
	}
}

func TestTheThreeFormsOfAnAuthorStayAsTheyAre(t *testing.T) {
	r := newReplayer(t).answer("", "37-get_comments")
	got, err := open(t, r.url()).GetComments(t.Context(), "lp", "18", []string{"18-3", "18-1", "18-2"})
	if err != nil {
		t.Fatal(err)
	}
	var authors []string
	for _, c := range got.Comments {
		authors = append(authors, c.Author)
	}
	want := []string{"erin@example.net", "Dave Example <dave@example.net>", "anonymous"}
	if !reflect.DeepEqual(authors, want) {
		t.Errorf("authors %q, want %q, in the order asked for", authors, want)
	}
}

func TestTextHasLineEndsOfOneLFAndKeepsItsSpaces(t *testing.T) {
	r := newReplayer(t).answer("", "39-get_comments-multiline")
	got, err := open(t, r.url()).GetComments(t.Context(), "lp", "5", []string{"5-1", "5-3"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "first line\nsecond line\n\n  indented\n\ttabbed\n\n{{{\ncode block\n}}}\n"; got.Comments[0].Text != want {
		t.Errorf("text %q, want %q", got.Comments[0].Text, want)
	}
	if want := "   leading and trailing spaces   "; got.Comments[1].Text != want {
		t.Errorf("text %q, want %q", got.Comments[1].Text, want)
	}
}

func TestCommentsOfAnotherBugAreNotThisOnes(t *testing.T) {
	p := tracpeer.New(t)
	for n := 1; n <= 2; n++ {
		p.Put(n, tracpeer.Ticket{Status: "new", Comments: []tracpeer.Comment{{User: "bob", Text: "x", Time: time.Unix(1710841020, 0)}}})
	}
	b := open(t, p.URL())
	got, err := b.GetComments(t.Context(), "lp", "1", []string{"2-1", "01-01", "1-1", "1-2", "nonsense", "-"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Comments) != 1 || got.Comments[0].ID != "1-1" {
		t.Errorf("comments %+v, want 1-1 alone", got.Comments)
	}
	if want := []string{"2-1", "1-2", "nonsense", "-"}; !reflect.DeepEqual(got.Missing, want) {
		t.Errorf("missing %q, want %q", got.Missing, want)
	}
	got, err = b.GetComments(t.Context(), "lp", "1", []string{"2-1"})
	if err != nil || len(got.Comments) != 0 || !reflect.DeepEqual(got.Missing, []string{"2-1"}) || got.Time.IsZero() {
		t.Errorf("only another bug's comment: %+v, %v", got, err)
	}
}

func TestCommentsOfABugThatDoesNotExistAreNotFound(t *testing.T) {
	b := open(t, tracpeer.New(t).URL())
	for _, ids := range [][]string{nil, {"9-1"}, {"1-1"}} {
		if _, err := b.GetComments(t.Context(), "lp", "9", ids); !apierror.Is(err, apierror.ResourceNotFound) {
			t.Errorf("ids %q: %v, want RESOURCE_NOT_FOUND", ids, err)
		}
	}
}

func TestFault1001IsABugThatDoesNotExist(t *testing.T) {
	b := open(t, tracpeer.New(t).URL())
	_, err := b.AddComment(t.Context(), "lp", bridge.NewComment{Bug: "9", Text: "x"})
	if !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("addComment: %v, want RESOURCE_NOT_FOUND", err)
	}
	if _, err = b.GetLink(t.Context(), "lp", "9"); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("getLink: %v, want RESOURCE_NOT_FOUND", err)
	}
	if _, err = b.SetLink(t.Context(), "lp", "9", bridge.Link{ID: "1"}); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("setLink: %v, want RESOURCE_NOT_FOUND", err)
	}
}

func TestALinkIsANumberAndZeroIsNone(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(3, tracpeer.Ticket{Status: "new"})
	b := open(t, p.URL())
	for i, step := range []struct{ set, previous string }{{"15", ""}, {"16", "15"}, {"", "16"}, {"", ""}} {
		previous, err := b.SetLink(t.Context(), "lp", "3", bridge.Link{ID: step.set, URL: "https://example.org/1"})
		if err != nil || previous != (bridge.Link{ID: step.previous}) {
			t.Errorf("step %d: previous link %+v, %v, want %q", i, previous, err, step.previous)
		}
		if now, err := b.GetLink(t.Context(), "lp", "3"); err != nil || now != (bridge.Link{ID: step.set}) {
			t.Errorf("step %d: link %+v, %v, want %q", i, now, err, step.set)
		}
	}
	called := len(p.Calls())
	for _, id := range []string{"abc", "0", "-1", "2147483648", "1.5", " 7"} {
		if _, err := b.SetLink(t.Context(), "lp", "3", bridge.Link{ID: id}); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("id %q: %v, want INVALID_DATA", id, err)
		}
	}
	if len(p.Calls()) != called {
		t.Error("the tracker was called for a link that it cannot hold")
	}
}

func TestA403WithAndWithoutAClearedCookieIsAnExpiredSession(t *testing.T) {
	for _, name := range []string{"71-xmlrpc-expired-login", "72-xmlrpc-purged-cookie", "02-xmlrpc-no-cookie", "03-xmlrpc-bogus-cookie"} {
		r := newReplayer(t).loginWith("04-auth-accepted", "73-auth-again").answer("", name, "45-add_comment")
		id, err := open(t, r.url()).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "1", Text: "x"})
		if err != nil || id != "1-1" {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		var cookies []string
		for _, req := range r.requests() {
			cookies = append(cookies, req.header.Get("Cookie"))
		}
		want := []string{"", "trac_auth=644eb573c958f1db18e05dcc7de27af5", "", "trac_auth=2be15bc25e29ac5f4b868bd3e657a04b"}
		if !reflect.DeepEqual(cookies, want) {
			t.Errorf("%s: cookies %q, want %q: trac_auth alone, and the new one after the second log-in", name, cookies, want)
		}
	}
}

func TestCallsAreSentAsTracCanReadThem(t *testing.T) {
	r := newReplayer(t).answer("", "53-get_launchpad_bug-none")
	if _, err := open(t, r.url()).GetLink(t.Context(), "lp", "3"); err != nil {
		t.Fatal(err)
	}
	sent := r.requests()[1]
	if sent.line != "POST /lp/xmlrpc" || sent.header.Get("Content-Type") != "text/xml" {
		t.Errorf("%s with Content-Type %q", sent.line, sent.header.Get("Content-Type"))
	}
	if sent.header.Get("Content-Length") != fmt.Sprint(len(sent.body)) {
		t.Errorf("Content-Length %q for %d bytes: tracd cannot read chunked requests", sent.header.Get("Content-Length"), len(sent.body))
	}
}

func TestTheProbeTellsTheThreeKindsOfInstallationApart(t *testing.T) {
	page := func(status int, header string) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sContent-Length: 2\r\n\r\nOK", status, http.StatusText(status), header)
	}
	for _, tc := range []struct {
		name    string
		raw     []byte
		dialect string
		reason  string
	}{
		{"plugin", capture(t, "01-auth-probe-check", "response"), "trac-launchpad", "401"},
		{"no plugin", capture(t, "../trac/116-launchpad-auth-without-plugin", "response"), "", "404: the Launchpad plugin is not installed"},
		{"answers everything", page(200, "Set-Cookie: trac_session=1; Path=/lp\r\n"), "", "200 without a trac_auth cookie"},
		{"answers everything and clears", page(200, "Set-Cookie: trac_auth=\"\"; expires=Sat, 21 Nov 2020 17:16:36 GMT; Path=/lp\r\n"), "", "200 without"},
		{"accepts anything", page(200, "Set-Cookie: trac_auth=abcd1234; Path=/lp\r\n"), "trac-launchpad", "accepts what is no token"},
		{"broken", page(500, ""), "", "HTTP 500"},
	} {
		r := newReplayer(t).
			answer("launchpad.time_snapshot", "17-time_snapshot").
			answer("launchpad.bugtracker_version", "16-bugtracker_version")
		r.auth = [][]byte{tc.raw, capture(t, "04-auth-accepted", "response")}
		got, err := open(t, r.url()).Probe(t.Context(), "lp")
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got.Dialect != tc.dialect || !strings.Contains(got.Reason, tc.reason) {
			t.Errorf("%s: dialect %q because %q, want %q because of %q", tc.name, got.Dialect, got.Reason, tc.dialect, tc.reason)
		}
	}
}

func TestAProbeOfATrackerThatRefusesUsStillTellsTheDialect(t *testing.T) {
	p := tracpeer.New(t)
	p.Validate(func(string) bool { return false })
	got, err := open(t, p.URL()).Probe(t.Context(), "lp")
	if err != nil {
		t.Fatal(err)
	}
	if got.Dialect != "trac-launchpad" || got.ClockKnown || !strings.Contains(got.Reason, "TRACKER_LOGIN_FAILED") {
		t.Errorf("got %+v", got)
	}
}

func TestALogInPageThatGivesNoSessionIsNoRefusal(t *testing.T) {
	for name, tc := range map[string]struct{ raw, says string }{
		"200 without cookie": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "200 without a trac_auth cookie"},
		"a cookie that is over": {"HTTP/1.1 200 OK\r\nSet-Cookie: trac_auth=deleted; Expires=Thu, 01-Jan-1970 00:00:00 GMT; Path=/lp\r\nContent-Length: 2\r\n\r\nOK",
			"200 without a trac_auth cookie"},
		"404": {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404: the Launchpad plugin is not installed"},
		"500": {"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP 500 Internal Server Error."},
		"redirect elsewhere": {"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\nContent-Length: 0\r\n\r\n",
			"HTTP 302 Found: a redirect away from the tracker's url, which is not followed; if the tracker has moved, configure its new url."},
	} {
		r := newReplayer(t)
		r.auth = [][]byte{[]byte(tc.raw)}
		b := open(t, r.url())
		_, err := b.GetLink(t.Context(), "lp", "1")
		if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want TRACKER_BAD_ANSWER with %q", name, err, tc.says)
		}
		if s := b.List()[0]; s.Session != bridge.SessionNone {
			t.Errorf("%s: session %s", name, s.Session)
		}
	}
}

func TestAnswersOfOtherShapesAreBadAnswers(t *testing.T) {
	read := func(b *bridge.Bridge) error {
		_, err := b.GetBugs(context.Background(), "lp", []string{"1"}, bridge.LevelFull)
		return err
	}
	comments := func(b *bridge.Bridge) error {
		_, err := b.GetComments(context.Background(), "lp", "1", []string{"1-1"})
		return err
	}
	link := func(b *bridge.Bridge) error { _, err := b.GetLink(context.Background(), "lp", "1"); return err }
	versions := func(b *bridge.Bridge) error { return b.Retry(context.Background(), "lp") }
	comment := map[string]any{"id": "1", "type": "comment"}
	for name, tc := range map[string]struct {
		answer any
		call   func(*bridge.Bridge) error
	}{
		"no array":             {"text", read},
		"an empty array":       {[]any{}, read},
		"no time":              {[]any{"x", []any{}}, read},
		"a time past the end":  {[]any{1e18, []any{}}, read},
		"half a second":        {[]any{1795291397.5, []any{}}, read},
		"bugs no array":        {[]any{1795291397, 7}, read},
		"bugs no structs":      {[]any{1795291397, []any{7}}, read},
		"comments no array":    {[]any{1795291397, []any{map[string]any{"id": "1", "comments": 1}}}, read},
		"comment id no string": {[]any{1795291397, []any{map[string]any{"id": "1", "comments": []any{1}}}}, read},
		"comment without bug":  {[]any{1795291397, []any{comment}}, comments},
		"a link no number":     {[]any{1795291397, "x"}, link},
		"no link":              {[]any{1795291397}, link},
		"no third member":      {[]any{"CET", 1}, versions},
	} {
		r := newReplayer(t)
		r.values("", tc.answer)
		err := tc.call(open(t, r.url()))
		if !apierror.Is(err, apierror.TrackerBadAnswer) {
			t.Errorf("%s: %v, want TRACKER_BAD_ANSWER", name, err)
		}
	}
}

func TestAWriteWhoseAnswerHasNoIDMayHaveBeenMade(t *testing.T) {
	for name, answer := range map[string]any{"time alone": []any{1795291397}, "no text": []any{1795291397, []any{}}} {
		r := newReplayer(t).values("", answer)
		_, err := open(t, r.url()).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "1", Text: "x"})
		if !apierror.Is(err, apierror.OutcomeUnknown) {
			t.Errorf("%s: %v, want OUTCOME_UNKNOWN", name, err)
		}
	}
}
