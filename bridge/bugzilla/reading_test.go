package bugzilla_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/xmlrpc"
)

func oneBug(t *testing.T, b *bridge.Bridge, id string, level bridge.Level) bridge.Bug {
	t.Helper()
	got, err := b.GetBugs(t.Context(), "bz", []string{id}, level)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 {
		t.Fatalf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
	return got.Bugs[0]
}

func idsOf(bugs []bridge.Bug) []string {
	ids := []string{}
	for _, b := range bugs {
		ids = append(ids, b.ID)
	}
	return ids
}

func TestEveryMemberOfABugIsRead(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/034-bug.get-anonymous-full")
	got := oneBug(t, b, "1", bridge.LevelMetadata)
	want := bridge.Bug{ID: "1", Title: "Crash when opening an empty file", Status: "CONFIRMED", State: bridge.StateConfirmed,
		Priority: "Highest", Severity: "blocker", Importance: bridge.ImportanceCritical, Assignee: "rene@bugs.example",
		Product: "Widgets", Component: "core", Created: time.Date(2025, 3, 1, 8, 1, 1, 0, time.UTC),
		Modified: time.Date(2025, 3, 5, 8, 15, 1, 0, time.UTC), URL: r.url() + "/show_bug.cgi?id=1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, asked := r.calls("Bug.get")[0].params["include_fields"]; !asked {
		t.Error("it asked for all members, half of which nobody reads")
	}
}

func TestADuplicateTellsOfWhich(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/037-bug.get-resolved-and-duplicate")
	got, err := b.GetBugs(t.Context(), "bz", []string{"5", "8"}, bridge.LevelMetadata)
	if err != nil {
		t.Fatal(err)
	}
	for _, bug := range got.Bugs {
		if isDuplicate := bug.Resolution == "DUPLICATE"; isDuplicate != (bug.DuplicateOf != "") {
			t.Errorf("bug %s with resolution %s is a duplicate of %q", bug.ID, bug.Resolution, bug.DuplicateOf)
		}
	}
}

func TestMissingBugsAndThoseOutOfSightAreLeftOut(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/042-bug.get-permissive-missing", "bugzilla/164-bug.get-permissive-access-denied")
	got, err := b.GetBugs(t.Context(), "bz", []string{"2", "no-such-alias", "0099999", "1"}, bridge.LevelMetadata)
	if err != nil || !reflect.DeepEqual(idsOf(got.Bugs), []string{"2", "1"}) || !reflect.DeepEqual(got.Missing, []string{"no-such-alias", "0099999"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if r.calls("Bug.get")[0].params["permissive"] != true {
		t.Error("one missing bug would have failed the question")
	}
	got, err = b.GetBugs(t.Context(), "bz", []string{"14", "1"}, bridge.LevelMetadata)
	if err != nil || !reflect.DeepEqual(got.Missing, []string{"14"}) {
		t.Errorf("%+v, %v", got, err)
	}
	rp, bp := plugin(t)
	rp.answer("Launchpad.get_bugs", "bugzilla-launchpad/043-launchpad.get_bugs-permissive-missing")
	got, err = bp.GetBugs(t.Context(), "bz", []string{"1", "99999", "no-such-alias", "14", "2"}, bridge.LevelMetadata)
	if err != nil || !reflect.DeepEqual(got.Missing, []string{"99999", "no-such-alias", "14"}) {
		t.Errorf("plugin: %+v, %v", got, err)
	}
}

func TestIdsThatNoBugCanHaveAreNotAskedFor(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	ids := []string{"0", "99999999999", "", "a b", "a,b"}
	got, err := b.GetBugs(t.Context(), "bz", ids, bridge.LevelFull)
	if err != nil || !reflect.DeepEqual(got.Missing, ids) || got.Time.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if len(r.calls("Bug.get")) != 0 {
		t.Error("the tracker was asked")
	}
}

func TestABugIsFoundByItsAliasWhetherThatIsAStringOrAnArray(t *testing.T) {
	for name, alias := range map[string]any{"string": "crash-empty", "array": []string{"other", "crash-empty"}} {
		r, b := native(t, bridge.Secrets{})
		r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 1, "alias": alias, "summary": "x"}}})
		got, err := b.GetBugs(t.Context(), "bz", []string{"Crash-Empty", "1", "nothing"}, bridge.LevelMetadata)
		if err != nil || !reflect.DeepEqual(idsOf(got.Bugs), []string{"Crash-Empty", "1"}) || !reflect.DeepEqual(got.Missing, []string{"nothing"}) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if !strings.HasSuffix(got.Bugs[0].URL, "id=1") {
			t.Errorf("%s: the page is %s", name, got.Bugs[0].URL)
		}
	}
	r, b := native(t, bridge.Secrets{})
	r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 1, "alias": ""}}})
	if got, err := b.GetBugs(t.Context(), "bz", []string{"1"}, bridge.LevelIDs); err != nil || len(got.Bugs) != 1 {
		t.Errorf("no alias: %+v, %v", got, err)
	}
}

func TestRepeatedBugsComeOnce(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/041-bug.get-duplicate-ids")
	got, err := b.GetBugs(t.Context(), "bz", []string{"2", "02", "2"}, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATrackerWithoutPermissiveIsAskedInHalvesAndNotForEver(t *testing.T) {
	s := newStandIn(t)
	missing := map[any]bool{7: true, 42: true}
	s.on("Bug.get", func(params map[string]any, r *http.Request) any {
		for _, id := range params["ids"].([]any) {
			if missing[id] {
				return fault(101, fmt.Sprintf("Bug #%v does not exist.", id))
			}
		}
		return manyBugs(params, r)
	})
	b := openAs(t, bugzilla.NativeName, s.URL, bridge.Secrets{})
	var ids []string
	for n := range 100 {
		ids = append(ids, fmt.Sprint(n+1))
	}
	got, err := b.GetBugs(t.Context(), "bz", ids, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 98 || !reflect.DeepEqual(got.Missing, []string{"7", "42"}) {
		t.Errorf("%d bugs, missing %q, %v", len(got.Bugs), got.Missing, err)
	}
	for n := range 100 {
		missing[n+1] = true
	}
	before := s.count("Bug.get")
	if _, err := b.GetBugs(t.Context(), "bz", ids, bridge.LevelMetadata); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("all missing: %v", err)
	}
	if n := s.count("Bug.get") - before; n > 40 {
		t.Errorf("%d questions about one batch, want 40 at most", n)
	}
}

func TestCommentsOfABatchAreOneQuestion(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 1}, map[string]any{"id": 2}}}).answer("Bug.comments", "bugzilla/062-bug.comments-ids")
	got, err := b.GetBugs(t.Context(), "bz", []string{"1", "2"}, bridge.LevelFull)
	if err != nil || len(got.Bugs) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	first := got.Bugs[0]
	if !reflect.DeepEqual(first.CommentIDs, []string{"1", "2", "3"}) || len(first.Comments) != 3 || first.Description != first.Comments[0].Text ||
		!strings.HasPrefix(first.Description, "Steps:\n1. open") {
		t.Errorf("%+v", first)
	}
	want := bridge.Comment{ID: "3", Bug: "1", Number: 2, Author: "rene@bugs.example", Time: time.Date(2025, 3, 5, 8, 15, 1, 0, time.UTC),
		Text: "I can reproduce this on 1.0.\nSecond line.\n\nFourth line after a blank."}
	if first.Comments[2] != want {
		t.Errorf("got  %+v\nwant %+v", first.Comments[2], want)
	}
	if len(r.calls("Bug.comments")) != 1 {
		t.Error("a question for each bug")
	}
}

func TestThePluginsCommentsHaveAuthorAndNumberAndOneStructLess(t *testing.T) {
	r, b := plugin(t)
	r.value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": 1}, map[string]any{"id": 12}}}).
		answer("Launchpad.comments", "bugzilla-launchpad/053-launchpad.comments-bug-ids")
	got, err := b.GetBugs(t.Context(), "bz", []string{"12", "1"}, bridge.LevelFull)
	if err != nil || len(got.Bugs) != 2 || len(got.Bugs[0].Comments) != 7 {
		t.Fatalf("%+v, %v", got, err)
	}
	if c := got.Bugs[0].Comments[1]; c.Number != 1 || c.Author != "admin@bugs.example" || c.ID != "50" || c.Bug != "12" {
		t.Errorf("%+v", c)
	}
}

func TestABugThatVanishesBetweenTheTwoQuestionsIsAskedAroundInBoundedRounds(t *testing.T) {
	s := newStandIn(t)
	gone := false
	s.on("Bug.get", func(params map[string]any, r *http.Request) any {
		answer := manyBugs(params, r).(map[string]any)
		if gone {
			answer["bugs"] = slices.DeleteFunc(answer["bugs"].([]any), func(b any) bool { return b.(map[string]any)["id"] == 2 })
		}
		return answer
	})
	s.on("Bug.comments", func(params map[string]any, _ *http.Request) any {
		bugs := map[string]any{}
		for _, id := range params["ids"].([]any) {
			if id == 2 {
				gone = true
				return fault(101, "Bug #2 does not exist.")
			}
			bugs[fmt.Sprint(id)] = map[string]any{"comments": []any{map[string]any{"id": 10, "text": "x"}}}
		}
		return map[string]any{"bugs": bugs, "comments": map[string]any{}}
	})
	b := openAs(t, bugzilla.NativeName, s.URL, bridge.Secrets{})
	got, err := b.GetBugs(t.Context(), "bz", []string{"1", "2", "3"}, bridge.LevelCommentIDs)
	if err != nil || !reflect.DeepEqual(idsOf(got.Bugs), []string{"1", "3"}) || !reflect.DeepEqual(got.Missing, []string{"2"}) {
		t.Errorf("%+v, %v", got, err)
	}
	s.on("Bug.comments", func(map[string]any, *http.Request) any { return fault(101, "Bug #9 does not exist.") })
	before := s.count("Bug.comments")
	if _, err := b.GetBugs(t.Context(), "bz", []string{"1", "3"}, bridge.LevelFull); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("a tracker that contradicts itself: %v", err)
	}
	if n := s.count("Bug.comments") - before; n != 3 {
		t.Errorf("%d questions, want 3", n)
	}
}

func TestControlCharactersInACommentDoNotCostTheBug(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/166-bug.comments-control-characters")
	got, err := b.GetComments(t.Context(), "bz", "24", nil)
	if err != nil || len(got.Comments) != 6 {
		t.Fatalf("%+v, %v", got, err)
	}
	if text := got.Comments[5].Text; !strings.Contains(text, "escape \ufffd[31mred") {
		t.Errorf("text %q", text)
	}
}

func TestPrivateCommentsLeaveGapsAndAreMissing(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/072-bug.comments-private-comment-id", "bugzilla/065-bug.comments-by-alias-key-is-number", "bugzilla/066-bug.comments-comment-ids")
	got, err := b.GetComments(t.Context(), "bz", "1", []string{"113", "1"})
	if err != nil || len(got.Comments) != 1 || got.Comments[0].ID != "1" || !reflect.DeepEqual(got.Missing, []string{"113"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if asked := r.calls("Bug.comments")[2].params["comment_ids"]; !reflect.DeepEqual(asked, []any{1}) {
		t.Errorf("asked again for %v, want 1 alone", asked)
	}
	r.value("Bug.comments", nil)
	r, b = native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/071-bug.comments-bug7-anonymous-private-hidden")
	if got, err := b.GetComments(t.Context(), "bz", "7", nil); err != nil || len(got.Comments) != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCommentsOfAnotherBugAreNotThisOnes(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/066-bug.comments-comment-ids")
	got, err := b.GetComments(t.Context(), "bz", "2", []string{"1", "05", "nonsense", "99999999999"})
	if err != nil || len(got.Comments) != 1 || got.Comments[0].ID != "5" || !reflect.DeepEqual(got.Missing, []string{"1", "nonsense", "99999999999"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCommentsOfABugThatIsNamedByItsAlias(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/065-bug.comments-by-alias-key-is-number")
	got, err := b.GetComments(t.Context(), "bz", "crash-empty", []string{"3", "4"})
	if err != nil || len(got.Comments) != 1 || got.Comments[0].Bug != "1" || !reflect.DeepEqual(got.Missing, []string{"4"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCommentsOfABugThatDoesNotExistAreNotFound(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.comments", "bugzilla/073-bug.comments-missing-bug")
	rp, bp := plugin(t)
	rp.answer("Launchpad.comments", "bugzilla-launchpad/058-launchpad.comments-missing-bug")
	for _, tracker := range []*bridge.Bridge{b, bp} {
		for _, ids := range [][]string{nil, {"7"}, {"nonsense"}} {
			if _, err := tracker.GetComments(t.Context(), "bz", "99999", ids); !apierror.Is(err, apierror.ResourceNotFound) {
				t.Errorf("ids %q: %v, want RESOURCE_NOT_FOUND", ids, err)
			}
		}
		if _, err := tracker.GetComments(t.Context(), "bz", "0", nil); !apierror.Is(err, apierror.ResourceNotFound) {
			t.Errorf("bug 0: %v, want RESOURCE_NOT_FOUND", err)
		}
	}
}

func TestCommentsOfOldVersionsHaveAnAuthorAndNoNumber(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	at, _ := xmlrpc.ParseDateTime("20100301T08:00:00")
	r.value("Bug.comments", map[string]any{"bugs": map[string]any{"4": map[string]any{"comments": []any{
		map[string]any{"id": 70, "author": "old@example.org", "text": "a\r\nb", "time": at},
		map[string]any{"id": 71, "author": "new@example.org", "text": "c", "creation_time": at},
	}}}, "comments": []any{}})
	got, err := b.GetComments(t.Context(), "bz", "4", nil)
	if err != nil || len(got.Comments) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := bridge.Comment{ID: "71", Bug: "4", Number: 1, Author: "new@example.org", Text: "c", Time: time.Date(2010, 3, 1, 8, 0, 0, 0, time.UTC)}
	if got.Comments[1] != want || got.Comments[0].Text != "a\nb" || got.Comments[0].Number != 0 {
		t.Errorf("%+v", got.Comments)
	}
}

func TestModifiedBugsAreInclusiveAndMissingOnesAmongThem(t *testing.T) {
	since := time.Date(2026, 6, 14, 8, 59, 24, 500e6, time.UTC) // half a second after a change that is told in whole ones
	at := func(s string) xmlrpc.DateTime { d, _ := xmlrpc.ParseDateTime(s); return d }
	r, b := native(t, bridge.Secrets{})
	r.value("Bug.get", map[string]any{"bugs": []any{
		map[string]any{"id": 24, "last_change_time": at("20260614T08:59:24")},
		map[string]any{"id": 23, "last_change_time": at("20260614T08:59:23")},
		map[string]any{"id": 25, "alias": []string{"x"}, "last_change_time": at("20260628T08:39:25")},
	}})
	got, err := b.GetModifiedBugs(t.Context(), "bz", []string{"23", "024", "x", "99"}, since)
	if err != nil || !reflect.DeepEqual(got.IDs, []string{"024", "x", "99"}) || !reflect.DeepEqual(got.Missing, []string{"99"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len(r.calls("Bug.get")) + len(r.calls("Bug.search")); n != 1 {
		t.Errorf("%d questions, want 1", n)
	}
}

func TestThePluginTellsMissingBugsInFaultsOrIsAskedForThem(t *testing.T) {
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, faults := range map[string]any{"with faults": []any{map[string]any{"id": "99", "faultCode": 101}}, "without": nil} {
		r, b := plugin(t)
		first := map[string]any{"bugs": []any{map[string]any{"id": 12}}}
		if faults != nil {
			first["faults"] = faults
		}
		r.value("Launchpad.get_bugs", first).value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": 1}}})
		got, err := b.GetModifiedBugs(t.Context(), "bz", []string{"1", "12", "99", "0"}, at)
		if err != nil || !reflect.DeepEqual(got.IDs, []string{"12", "99", "0"}) || !reflect.DeepEqual(got.Missing, []string{"99", "0"}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if n := len(r.calls("Launchpad.get_bugs")); faults != nil && n != 1 || faults == nil && n != 2 {
			t.Errorf("%s: %d questions", name, n)
		}
	}
}

func TestAQuestionAboutNoBugIsNeverOneAboutAll(t *testing.T) {
	r, b := plugin(t)
	if got, err := b.GetModifiedBugs(t.Context(), "bz", []string{"0", ""}, time.Unix(0, 0)); err != nil || len(got.Missing) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if len(r.calls("Launchpad.get_bugs")) != 0 {
		t.Error("a question without ids went out")
	}
	r, b = native(t, bridge.Secrets{})
	if got, err := b.GetModifiedBugs(t.Context(), "bz", []string{"0", ""}, time.Unix(0, 0)); err != nil || len(got.Missing) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	r.answer("Bug.search", "bugzilla/055-bug.search-no-match")
	if _, err := b.GetModifiedBugs(t.Context(), "bz", nil, time.Unix(0, 0)); err != nil {
		t.Error(err)
	}
	search := r.calls("Bug.search")[0]
	if _, ok := search.params["last_change_time"].(xmlrpc.DateTime); !ok || search.params["limit"] == 0 {
		t.Errorf("a search with %v finds every bug", search.params)
	}
	if !strings.Contains(string(search.body), "<dateTime.iso8601>19700101T00:00:00</dateTime.iso8601>") {
		t.Errorf("a date with dashes or a zone is refused:\n%s", search.body)
	}
}

func TestAllModifiedBugsComeInPagesUpToALimit(t *testing.T) {
	s := newStandIn(t)
	total := 2500
	s.on("Bug.search", func(params map[string]any, _ *http.Request) any {
		bugs := []any{}
		offset, limit := params["offset"].(int), params["limit"].(int)
		for n := offset; n < min(offset+limit, total); n++ {
			bugs = append(bugs, map[string]any{"id": n + 1})
		}
		return map[string]any{"bugs": bugs}
	})
	b := openAs(t, bugzilla.NativeName, s.URL, bridge.Secrets{})
	got, err := b.GetModifiedBugs(t.Context(), "bz", nil, time.Unix(0, 0))
	if err != nil || len(got.IDs) != total || s.count("Bug.search") != 3 {
		t.Errorf("%d bugs in %d pages, %v", len(got.IDs), s.count("Bug.search"), err)
	}
	total = 1 << 30
	if _, err := b.GetModifiedBugs(t.Context(), "bz", nil, time.Unix(0, 0)); !apierror.Is(err, apierror.TrackerBadAnswer) {
		t.Errorf("without end: %v", err)
	}
	s.on("Bug.search", func(map[string]any, *http.Request) any { // knows no offset
		return manyBugs(map[string]any{"ids": slices.Repeat([]any{1}, 1000)}, nil)
	})
	if got, err := b.GetModifiedBugs(t.Context(), "bz", nil, time.Unix(0, 0)); err != nil || len(got.IDs) != 1 {
		t.Errorf("the same page again and again: %+v, %v", got, err)
	}
}

func TestTimesAreThoseOfTheTrackerAndNeverTooLate(t *testing.T) {
	at := func(s string) xmlrpc.DateTime { d, _ := xmlrpc.ParseDateTime(s); return d }
	for name, tc := range map[string]struct {
		answer map[string]any
		want   time.Time
	}{
		"UTC":                 {map[string]any{"db_time": at("20261121T19:42:57")}, time.Date(2026, 11, 21, 19, 42, 57, 0, time.UTC)},
		"of a server in IST":  {map[string]any{"db_time": at("20261122T01:12:57"), "web_time": at("20261122T01:12:58"), "web_time_utc": at("20261121T19:42:58")}, time.Date(2026, 11, 21, 19, 42, 57, 0, time.UTC)},
		"a second in between": {map[string]any{"db_time": at("20261121T12:42:57"), "web_time": at("20261121T12:42:57"), "web_time_utc": at("20261121T19:42:58")}, time.Date(2026, 11, 21, 19, 42, 57, 0, time.UTC)},
	} {
		now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
		r := newReplayer(t).value("Bugzilla.time", tc.answer).answer("Bug.get", "bugzilla/047-bug.get-empty-ids")
		b := openAs(t, bugzilla.NativeName, r.url(), bridge.Secrets{}, bridge.WithClock(func() time.Time { return now }))
		ask := func() time.Time {
			got, err := b.GetBugs(t.Context(), "bz", []string{"1"}, bridge.LevelIDs)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return got.Time
		}
		if got := ask(); !got.Equal(tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		now = now.Add(30*time.Second + time.Millisecond)
		if got := ask(); !got.Equal(tc.want.Add(30 * time.Second)) {
			t.Errorf("%s: half a minute later %v", name, got)
		}
		if n := len(r.calls("Bugzilla.time")); n != 1 {
			t.Errorf("%s: asked for the time %d times within a minute", name, n)
		}
		now = now.Add(time.Minute)
		if ask(); len(r.calls("Bugzilla.time")) != 2 {
			t.Errorf("%s: the time was not asked for again", name)
		}
	}
}

func TestTheClockOfThePluginIsUTCTime(t *testing.T) {
	r := newReplayer(t).answer("Launchpad.login", "bugzilla-launchpad/008-launchpad.login-ok").
		answer("Launchpad.time", "bugzilla-launchpad/075-site-timezone-launchpad.time").
		answer("Launchpad.get_bugs", "bugzilla-launchpad/048-launchpad.get_bugs-changed-since-future").
		answer("Launchpad.plugin_version", "bugzilla-launchpad/003-launchpad.plugin_version-ok")
	now := time.Date(2026, 11, 21, 19, 50, 39, 0, time.UTC)
	got, err := openAs(t, bugzilla.LaunchpadName, r.url(), bridge.Secrets{}, bridge.WithClock(func() time.Time { return now })).Probe(t.Context(), "bz")
	if err != nil || got.ClockSkew != time.Minute {
		t.Errorf("%+v, %v: want a skew of a minute, not of the server's five and a half hours", got, err)
	}
}

func TestAThousandBugsTakeFewCalls(t *testing.T) {
	s := newStandIn(t)
	s.on("Bug.get", manyBugs)
	b := openAs(t, bugzilla.NativeName, s.URL, bridge.Secrets{})
	var ids []string
	for n := range 1000 {
		ids = append(ids, fmt.Sprint(n+1))
	}
	got, err := b.GetBugs(t.Context(), "bz", ids, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 1000 || s.count("Bug.get") != 10 || s.count("Bugzilla.time") > 4 {
		t.Errorf("%d bugs, %d questions, %d for the time, %v", len(got.Bugs), s.count("Bug.get"), s.count("Bugzilla.time"), err)
	}
}

func TestIfNoneMatchIsNeverSent(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/140-bug.get-for-etag")
	for range 2 {
		oneBug(t, b, "3", bridge.LevelIDs)
	}
	for _, sent := range r.calls("") {
		if sent.header.Get("If-None-Match") != "" || sent.header.Get("Content-Type") != "text/xml" || sent.header.Get("Content-Length") == "" ||
			!strings.HasPrefix(string(sent.body), "<?xml") {
			t.Errorf("sent %v\n%s", sent.header, sent.body)
		}
	}
}

func TestAnswersOfOtherShapesAreBadAnswers(t *testing.T) {
	bugs := func(b *bridge.Bridge) error {
		_, err := b.GetBugs(context.Background(), "bz", []string{"1"}, bridge.LevelFull)
		return err
	}
	modified := func(b *bridge.Bridge) error {
		_, err := b.GetModifiedBugs(context.Background(), "bz", nil, time.Unix(0, 0))
		return err
	}
	comments := func(b *bridge.Bridge) error {
		_, err := b.GetComments(context.Background(), "bz", "1", []string{"1"})
		return err
	}
	statuses := func(b *bridge.Bridge) error { _, err := b.Statuses(context.Background(), "bz"); return err }
	one := map[string]any{"bugs": []any{map[string]any{"id": 1}}}
	for name, tc := range map[string]struct {
		method string
		answer any
		call   func(*bridge.Bridge) error
	}{
		"no struct":           {"Bug.get", 1, bugs},
		"no bugs":             {"Bug.get", map[string]any{}, bugs},
		"bugs no structs":     {"Bug.get", map[string]any{"bugs": []any{1}}, bugs},
		"search no structs":   {"Bug.search", map[string]any{"bugs": []any{1}}, modified},
		"comments no struct":  {"Bug.comments", map[string]any{"bugs": []any{1}, "comments": 1}, comments},
		"one comment no more": {"Bug.comments", map[string]any{"comments": map[string]any{"1": 1}}, comments},
		"no comment id":       {"Bug.comments", map[string]any{"comments": map[string]any{"1": map[string]any{}}}, comments},
		"of bug no struct":    {"Bug.comments", map[string]any{"bugs": map[string]any{"1": 1}}, bugs},
		"of bug no list":      {"Bug.comments", map[string]any{"bugs": map[string]any{"1": map[string]any{"comments": 1}}}, bugs},
		"no fields":           {"Bug.fields", map[string]any{"fields": []any{}}, statuses},
		"no time":             {"Bugzilla.time", map[string]any{"db_time": "x"}, bugs},
	} {
		r := newReplayer(t).value(tc.method, tc.answer)
		if tc.method != "Bug.get" {
			r.value("Bug.get", one)
		}
		if tc.method != "Bugzilla.time" {
			r.answer("Bugzilla.time", "bugzilla/004-bugzilla.time-ok")
		}
		if err := tc.call(openAs(t, bugzilla.NativeName, r.url(), bridge.Secrets{})); !apierror.Is(err, apierror.TrackerBadAnswer) {
			t.Errorf("%s: %v, want TRACKER_BAD_ANSWER", name, err)
		}
	}
}
