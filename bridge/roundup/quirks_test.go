package roundup_test

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/roundup"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func bug(t *testing.T, s *standIn, id string, level bridge.Level) bridge.Bug {
	t.Helper()
	got, err := open(t, s).GetBugs(t.Context(), "r", []string{id}, level)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 {
		t.Fatalf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
	return got.Bugs[0]
}

func TestEveryCallCarriesCredentialsUnaskedAndXRequestedWith(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	bug(t, s, "1", bridge.LevelFull)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("gateway:gateway"))
	with := 0
	for _, h := range s.heads {
		with++
		if h.Get("Authorization") != want || h.Get("X-Requested-With") != "XMLHttpRequest" {
			t.Errorf("a call carries %q and X-Requested-With %q", h.Get("Authorization"), h.Get("X-Requested-With"))
		}
	}
	if with < 2 {
		t.Errorf("%d calls carry credentials", with)
	}
}

func TestTheContentTypeIsTextXMLAloneAndTheLengthIsGiven(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	bug(t, s, "1", bridge.LevelMetadata)
	for _, h := range s.heads {
		if h.Get("Content-Type") != "text/xml" || h.Get("Content-Length") == "" || h.Get("Transfer-Encoding") != "" || h.Get("Cookie") != "" {
			t.Errorf("a request has the head %v", h)
		}
	}
}

func TestAWrongPasswordUnderHTTP200BeginsTheBackOff(t *testing.T) {
	for _, name := range []string{"076-auth-wrong-password", "077-auth-unknown-user", "078-auth-no-xmlrpc-access", "075-auth-anonymous"} {
		s := newStandIn(t)
		s.onCall = func(string, int) []byte { return capture(t, name, "response") }
		b := open(t, s)
		_, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata)
		if !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Errorf("%s: %v, want TRACKER_LOGIN_FAILED", name, err)
		}
		if status := b.List()[0]; status.Session != bridge.SessionBackoff || status.NextTry.IsZero() {
			t.Errorf("%s: the session is %s until %v, want back-off", name, status.Session, status.NextTry)
		}
		asked := s.requests()
		if _, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata); !apierror.Is(err, apierror.TrackerLoginFailed) || s.requests() != asked {
			t.Errorf("%s: during the back-off the tracker was asked again (%v)", name, err)
		}
	}
}

func TestAPasswordThatWasChangedMidwayBeginsTheBackOff(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	b := open(t, s)
	if _, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.onCall = func(string, int) []byte { return capture(t, "076-auth-wrong-password", "response") }
	s.mu.Unlock()
	if _, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Errorf("%v, want TRACKER_LOGIN_FAILED", err)
	}
	if status := b.List()[0]; status.Session != bridge.SessionBackoff {
		t.Errorf("the session is %s, want back-off", status.Session)
	}
}

func TestCredentialsThatRoundupCannotTakeAreRefusedBeforeAnyCall(t *testing.T) {
	for _, secrets := range []bridge.Secrets{{Token: "t"}, {APIKey: "k"}, {Password: "p"}, {User: "a:b", Password: "p"}} {
		s := newStandIn(t)
		_, err := openAs(t, s, secrets).Statuses(t.Context(), "r")
		if !apierror.Is(err, apierror.TrackerLoginFailed) || len(s.heads) != 0 {
			t.Errorf("%v after %d requests", err, len(s.heads))
		}
	}
}

func TestAPageThatNeverEndsEndsWithTheTimeLimit(t *testing.T) {
	s := newStandIn(t)
	s.onCall = func(string, int) []byte { return capture(t, "093-content-type-charset", "response") }
	_, err := open(t, s, bridge.WithTimeLimit(200*time.Millisecond)).Statuses(t.Context(), "r")
	if !apierror.Is(err, apierror.TrackerTimeout) {
		t.Errorf("%v, want TRACKER_TIMEOUT", err)
	}
}

func TestCompressedAnswersAreRead(t *testing.T) {
	s := newStandIn(t)
	s.onCall = func(string, int) []byte { return capture(t, "098-accept-encoding-gzip-small", "response") }
	got, err := open(t, s).Call(t.Context(), "r", "display", []any{"issue2"})
	if m, ok := got.(map[string]any); err != nil || !ok || m["title"] != "One message" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestADesignatorIsNeverMadeOfAnythingButDigits(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")[roundup.LinkProperty] = nil
	s.extra[roundup.LinkProperty] = "<roundup.hyperdb.String>"
	b := open(t, s)
	hostile := []string{"issue1", "1 ", "1,2", "-1", "+1", "1 title=x", "1\n", "٣", "0", "", "99999999999", "2147483648", "1=2"}
	got, err := b.GetBugs(t.Context(), "r", append([]string{"001"}, hostile...), bridge.LevelFull)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 1 || got.Bugs[0].ID != "1" {
		t.Errorf("bugs %v, want issue 1 alone, which is 001 and \"1 \" too", got.Bugs)
	}
	for _, id := range []string{"issue1", "1,2", "-1", "1 title=x", "", "99999999999"} {
		if _, err := b.AddComment(t.Context(), "r", bridge.NewComment{Bug: id, Text: "x"}); !apierror.Is(err, apierror.ResourceNotFound) {
			t.Errorf("a comment on %q: %v, want RESOURCE_NOT_FOUND", id, err)
		}
		if _, err := b.GetComments(t.Context(), "r", id, nil); !apierror.Is(err, apierror.ResourceNotFound) {
			t.Errorf("comments of %q: %v, want RESOURCE_NOT_FOUND", id, err)
		}
		if _, err := b.GetLink(t.Context(), "r", id); !apierror.Is(err, apierror.ResourceNotFound) {
			t.Errorf("link of %q: %v, want RESOURCE_NOT_FOUND", id, err)
		}
	}
	for _, c := range append(s.made("display"), s.made("set")...) {
		if c.text(0) != "issue1" && !strings.HasPrefix(c.text(0), "status") && !strings.HasPrefix(c.text(0), "priority") {
			t.Errorf("the designator %q was sent", c.text(0))
		}
	}
	if n := len(s.made("create")); n != 0 {
		t.Errorf("%d items were made", n)
	}
}

func TestIDsGoOutAsStrings(t *testing.T) {
	s := newStandIn(t)
	s.issue("2", "Two")
	if _, err := caller(t, open(t, s))("getBugs", "r", []any{2, "3"}, "ids"); err != nil {
		t.Fatal(err)
	}
	if got := s.made("filter")[0].params[1]; !reflect.DeepEqual(got, []any{"2", "3"}) {
		t.Errorf("the ids were sent as %#v", got)
	}
}

func TestAFaultWithinAMulticallLosesNoOtherBug(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	s.issue("3", "Three")
	s.over["filter"] = func(innerCall) any { return []any{"1", "2", "3"} } // 2 is destroyed meanwhile
	got, err := open(t, s).GetBugs(t.Context(), "r", []string{"1", "2", "3"}, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 2 || !reflect.DeepEqual(got.Missing, []string{"2"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestManyBugsAreReadInOneCall(t *testing.T) {
	s := newStandIn(t)
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint(i+1))
		s.issue(ids[i], "An issue")
	}
	b := open(t, s)
	for _, want := range []int{3, 1} { // schema, issues, names; then issues alone
		before := s.requests()
		if got, err := b.GetBugs(t.Context(), "r", ids, bridge.LevelMetadata); err != nil || len(got.Bugs) != 100 {
			t.Fatalf("%v", err)
		}
		if n := s.requests() - before; n != want {
			t.Errorf("%d calls, want %d", n, want)
		}
	}
}

func TestARetiredIssueIsMissingThoughItIsDisplayed(t *testing.T) {
	s := newStandIn(t)
	s.issue("12", "done-cbb")
	s.gone["12"] = true
	b := open(t, s)
	got, err := b.GetBugs(t.Context(), "r", []string{"12"}, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 0 || !reflect.DeepEqual(got.Missing, []string{"12"}) {
		t.Errorf("%+v, %v", got, err)
	}
	modified, err := b.GetModifiedBugs(t.Context(), "r", []string{"12"}, time.Unix(0, 0))
	if err != nil || !reflect.DeepEqual(modified.IDs, []string{"12"}) || !reflect.DeepEqual(modified.Missing, []string{"12"}) {
		t.Errorf("%+v, %v", modified, err)
	}
}

func TestNamesStandForIDsAndAHiddenUserKeepsHis(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")["assignedto"] = "5"
	got := bug(t, s, "1", bridge.LevelMetadata)
	if got.Status != "chatting" || got.Priority != "bug" || got.Assignee != "bob" {
		t.Errorf("%+v", got)
	}
	s.over["display user"] = func(innerCall) any {
		return fault{1, "<class 'roundup.exceptions.Unauthorised'>:Permission to view username of user5 denied"}
	}
	if got := bug(t, s, "1", bridge.LevelMetadata).Assignee; got != "5" {
		t.Errorf("assignee %q, want the id", got)
	}
}

func TestUnsetLinksAreNothing(t *testing.T) {
	s := newStandIn(t)
	m := s.issue("1", "One")
	m["status"], m["priority"], m["title"] = nil, nil, nil
	got := bug(t, s, "1", bridge.LevelMetadata)
	if got.Status != "" || got.Priority != "" || got.Title != "" || got.Assignee != "" || got.DuplicateOf != "" || got.State != bridge.StateUnknown {
		t.Errorf("%+v", got)
	}
}

func TestASupersederIsWhatTheBugIsADuplicateOf(t *testing.T) {
	s := newStandIn(t)
	s.issue("13", "Superseded")["superseder"] = []any{"2"}
	if got := bug(t, s, "13", bridge.LevelMetadata).DuplicateOf; got != "2" {
		t.Errorf("duplicate of %q, want 2", got)
	}
}

func TestDatesAreUTCWithMilliseconds(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	got := bug(t, s, "1", bridge.LevelMetadata)
	if want := time.Date(2024, 3, 2, 9, 0, 5, 250e6, time.UTC); !got.Created.Equal(want) {
		t.Errorf("created %v, want %v", got.Created, want)
	}
	if want := time.Date(2024, 4, 1, 10, 11, 12, 500e6, time.UTC); !got.Modified.Equal(want) {
		t.Errorf("modified %v, want %v", got.Modified, want)
	}
}

func TestStatusesStandInTheOrderOfTheirNumbersWhichAreDoubles(t *testing.T) {
	s := newStandIn(t)
	s.over["list"] = func(c innerCall) any {
		if c.text(1) == "order" {
			return []any{3.0, 1.0, 2.0}
		}
		return []any{"closed", "open", "waiting"}
	}
	got, err := open(t, s).Statuses(t.Context(), "r")
	if want := []string{"open", "waiting", "closed"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestTheStateIsTheStatuss(t *testing.T) {
	for word, want := range map[string]bridge.State{
		"unread": bridge.StateNew, "deferred": bridge.StateConfirmed, "chatting": bridge.StateIncomplete, "need-eg": bridge.StateIncomplete,
		"in-progress": bridge.StateInProgress, "Testing": bridge.StateInProgress, "done-cbb": bridge.StateFixCommitted,
		"RESOLVED": bridge.StateFixReleased, "strange": bridge.StateUnknown,
	} {
		s := newStandIn(t)
		s.issue("1", "One")
		s.names["status3"] = word
		if got := bug(t, s, "1", bridge.LevelMetadata); got.State != want || got.Status != word {
			t.Errorf("%q: state %s and status %q, want %s", word, got.State, got.Status, want)
		}
	}
}

func TestModifiedBugsAreToldByTheirDatesSinceAFilterLetsAllPass(t *testing.T) {
	s := newStandIn(t) // its filter ignores the date
	s.issue("1", "before")["activity"] = "<Date 2024-03-02.08:59:59.999>"
	s.issue("2", "at")["activity"] = "<Date 2024-03-02.09:00:00.000>"
	s.issue("3", "after")["activity"] = "<Date 2024-03-02.09:00:00.001>"
	s.issue("4", "strange")["activity"] = nil
	since := time.Date(2024, 3, 2, 9, 0, 0, 0, time.UTC)
	for _, ids := range [][]string{{"1", "2", "3", "4", "999"}, nil} {
		got, err := open(t, s).GetModifiedBugs(t.Context(), "r", ids, since)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"2", "3", "4"}
		if ids != nil {
			want = append(want, "999")
		}
		slices.Sort(got.IDs)
		if !reflect.DeepEqual(got.IDs, want) {
			t.Errorf("of %q: %q, want %q", ids, got.IDs, want)
		}
	}
	for _, c := range s.made("filter") {
		if spec := c.params[2].(map[string]any); spec["activity"] != nil && spec["activity"] != "from 2024-03-01.18:00:00" {
			t.Errorf("the filter was %v, want 15 hours earlier, for the account's time zone", spec)
		}
	}
}

func TestTheTimeOfAnAnswerIsBeforeTheTrackersClockAtTheStart(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	clock := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b := open(t, s, bridge.WithClock(func() time.Time {
		clock = clock.Add(100 * time.Millisecond) // each look takes a while
		return clock
	}))
	got, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelIDs)
	if err != nil {
		t.Fatal(err)
	}
	date := time.Date(2026, 11, 21, 20, 16, 31, 0, time.UTC) // of the captured refusal
	if got.Time.After(date.Add(time.Second)) || got.Time.Before(date.Add(-2*time.Second)) || got.Time.Location() != time.UTC {
		t.Errorf("time %v, want about %v", got.Time, date)
	}
}

func TestNothingIsAskedForTheClockAlone(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b := open(t, s, bridge.WithClock(func() time.Time { return now }))
	for range 3 {
		if got, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelIDs); err != nil || got.Time.IsZero() {
			t.Fatalf("%+v, %v", got, err)
		}
		now = now.Add(time.Hour)
	}
	if len(s.heads) != 4 {
		t.Errorf("%d requests, want one to log in and three questions", len(s.heads))
	}
}

func TestAProbeTellsTheClockAndNoVersion(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 14, 31, 0, time.UTC)
	got, err := open(t, newStandIn(t), bridge.WithClock(func() time.Time { return now })).Probe(t.Context(), "r")
	if err != nil || got.Dialect != "roundup" || len(got.Versions) != 0 || !got.ClockKnown || got.ClockSkew != 2*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFaultsAreToldApartByTheirClass(t *testing.T) {
	for text, want := range map[string]apierror.Name{
		"<class 'IndexError'>:no such issue 999":                                        apierror.ResourceNotFound,
		"<class 'roundup.exceptions.UsageError'>:no such issue 999":                     apierror.ResourceNotFound,
		"<type 'exceptions.IndexError'>:no such issue 999":                              apierror.ResourceNotFound,
		"<class 'IndexError'>:list index out of range":                                  apierror.TrackerFault,
		"<class 'roundup.exceptions.UsageError'>:property date: 'x' is an invalid date": apierror.InvalidData,
		"<class 'roundup.exceptions.Unauthorised'>:Permission to view x denied":         apierror.Forbidden,
		"<class 'roundup.exceptions.Unauthorised'>:Invalid HOST localhost:8917":         apierror.TrackerFault,
		"<class 'KeyError'>:'nosuch'":                                                   apierror.TrackerFault,
		"<class 'Exception'>:method \"x\" is not supported":                             apierror.TrackerFault,
		"no such issue 999": apierror.TrackerFault,
	} {
		s := newStandIn(t)
		s.over["schema"] = func(innerCall) any { return fault{1, text} }
		if err := open(t, s).Retry(t.Context(), "r"); !apierror.Is(err, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestAHostThatIsNotTheTrackersIsExplained(t *testing.T) {
	s := newStandIn(t)
	s.onCall = func(string, int) []byte { return capture(t, "088-csrf-host-mismatch", "response") }
	err := open(t, s).Retry(t.Context(), "r")
	if err == nil || !strings.Contains(err.Error(), "configure as url the address under which the tracker itself is configured") {
		t.Errorf("%v", err)
	}
}

func TestThePasswordsHashDoesNotReachACaller(t *testing.T) {
	s := newStandIn(t)
	s.over["display"] = func(innerCall) any { return map[string]any{"username": "gateway", "password": "{PBKDF2}x"} }
	got, err := open(t, s).Call(t.Context(), "r", "display", []any{"user7"})
	if err != nil || !reflect.DeepEqual(got, map[string]any{"username": "gateway"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDetectionTellsRoundupFromOtherServers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		raw   []byte
		found bool
	}{
		{"anonymous users are refused", capture(t, "075-auth-anonymous", "response"), true},
		{"anonymous users may call, with the header", capture(t, "081-csrf-no-x-requested-with", "response"), true},
		{"anonymous users may call", capture(t, "001-schema", "response"), true},
		{"a Python server of another sort", capture(t, "071-fault-unknown-method", "response"), false},
		{"no such page", capture(t, "097-trailing-slash", "response"), false},
		{"a schema of something else", httpAnswer(document(t, map[string]any{"table": []any{}})), false},
		{"a text", httpAnswer(document(t, "hello")), false},
	} {
		s := newStandIn(t)
		s.onCall = func(string, int) []byte { return tc.raw }
		b, err := bridge.New([]bridge.Config{{Name: "r", URL: s.url(), Dialect: bridge.Auto, AllowPrivate: true}},
			[]bridge.Named{{Name: roundup.Name, New: roundup.New}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.anonymous = tc.raw
		p, err := b.Probe(t.Context(), "r")
		b.Close()
		if tc.found && (err != nil && !apierror.Is(err, apierror.TrackerLoginFailed) && !apierror.Is(err, apierror.TrackerFault)) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err == nil && (p.Dialect == roundup.Name) != tc.found {
			t.Errorf("%s: %+v", tc.name, p)
		}
	}
}

func TestAnswersWithoutADateGiveNoTime(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	s.onCall = func(string, int) []byte {
		doc := document(t, []any{"1"})
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(doc), doc)
	}
	got, err := open(t, s).GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelIDs)
	if err != nil || len(got.Bugs) != 1 || !got.Time.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

// cannotSend answers each multicall with a fault in which a call is about an item.
func cannotSend(s *standIn, text string, designators ...string) {
	s.onCall = func(method string, _ int) []byte {
		if method != "system.multicall" {
			return nil
		}
		for _, v := range s.calls[len(s.calls)-1].Params()[0].([]any) {
			params := v.(map[string]any)["params"].([]any)
			if name, ok := params[0].(string); ok && (len(designators) == 0 || slices.Contains(designators, name)) {
				return httpAnswer(document(s.t, fault{1, text}))
			}
		}
		return nil
	}
}

const cannotMarshal = "<class 'TypeError'>:cannot marshal <class 'object'> objects"

func TestAMessageThatRoundupCannotSendCostsNoOther(t *testing.T) {
	s := newStandIn(t)
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprint(i+1))
		s.msg(ids[i], "4", "message", "2024-03-02.09:00:05.250")
	}
	s.issue("1", "One", ids...)
	for _, text := range []string{cannotMarshal, "<class 'OverflowError'>:int exceeds XML-RPC limits"} {
		cannotSend(s, text, "msg50")
		before := s.requests()
		got, err := open(t, s).GetComments(t.Context(), "r", "1", ids)
		if err != nil || len(got.Comments) != 99 || !reflect.DeepEqual(got.Missing, []string{"50"}) {
			t.Errorf("%s: %d comments, missing %q, %v", text, len(got.Comments), got.Missing, err)
		}
		if n := s.requests() - before; n > 20 {
			t.Errorf("%s: %d calls", text, n)
		}
	}
}

func TestAnIssueThatRoundupCannotSendIsNamedAndNotMissing(t *testing.T) {
	s := newStandIn(t)
	for _, id := range []string{"1", "2", "3"} {
		s.issue(id, "An issue")
	}
	cannotSend(s, cannotMarshal, "issue2")
	b := open(t, s)
	_, err := b.GetBugs(t.Context(), "r", []string{"1", "2", "3"}, bridge.LevelMetadata)
	if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "cannot send issue2") {
		t.Errorf("%v", err)
	}
	if got, err := b.GetBugs(t.Context(), "r", []string{"1", "3"}, bridge.LevelMetadata); err != nil || len(got.Bugs) != 2 {
		t.Errorf("without it: %+v, %v", got, err)
	}
}

func TestATrackerThatCanSendNothingIsNotAskedForEachItem(t *testing.T) {
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = fmt.Sprint(i + 1)
	}
	var all []string
	for _, id := range ids {
		all = append(all, "issue"+id)
	}
	for name, tc := range map[string]struct {
		answer []byte
		calls  int
	}{
		"a fault":                {httpAnswer(document(t, fault{1, cannotMarshal})), 12},
		"no XML":                 {httpAnswer([]byte("<html><body>Down</html>")), 12},
		"it can say which exist": {nil, 45},
	} {
		s := newStandIn(t)
		if cannotSend(s, cannotMarshal, all...); tc.answer != nil {
			s.onCall = func(method string, _ int) []byte {
				if method != "system.multicall" {
					return nil
				}
				return tc.answer
			}
		}
		if _, err := open(t, s).GetBugs(t.Context(), "r", ids, bridge.LevelMetadata); err == nil {
			t.Errorf("%s: no error", name)
		}
		if n := s.requests(); n > tc.calls {
			t.Errorf("%s: %d calls", name, n)
		}
	}
}
