package trac_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/xmlrpc"
)

func openNative(t *testing.T, r *replayer, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	return openAs(t, bridge.Config{URL: r.url(), Dialect: trac.NativeName, Secrets: alice}, opts...)
}

// calls are the calls that were received: their methods and parameters.
func (r *replayer) calls(t *testing.T) (methods []string, params [][]any) {
	t.Helper()
	for _, got := range r.requests() {
		if call, err := xmlrpc.ParseCall(got.body); err == nil {
			methods, params = append(methods, call.Method), append(params, call.Params())
		}
	}
	return methods, params
}

func wantFault(t *testing.T, err error, name apierror.Name, text string) {
	t.Helper()
	if !apierror.Is(err, name) || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want %s with %q", err, name, text)
	}
}

func TestBasicAuthorizationGoesToTheLoginPathAlone(t *testing.T) {
	r := newNativeReplayer(t).multi("016")
	if _, err := openNative(t, r).GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	for _, sent := range r.requests() {
		authorized := sent.header.Get("Authorization") == "Basic YWxpY2U6d29uZGVy"
		if login := strings.Contains(sent.line, "/lp/login/"); login != authorized {
			t.Errorf("%s with %q", sent.line, sent.header.Get("Authorization"))
		}
		if strings.HasPrefix(sent.line, "POST") && (sent.header.Get("Content-Type") != "text/xml" || sent.header.Get("Content-Length") == "") {
			t.Errorf("a call with the header %v", sent.header)
		}
	}
}

func TestTheServiceIsFoundUnderItsOtherName(t *testing.T) {
	r := newReplayer(t).multi("016")
	r.page("/lp/xmlrpc", nativeCapture(t, "109", "response"))
	r.page("/lp/rpc", nativeCapture(t, "097", "response"))
	r.page("/lp/login/rpc", nativeCapture(t, "097", "response"))
	if _, err := openNative(t, r).GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	if sent := r.requests(); sent[len(sent)-1].line != "POST /lp/login/rpc" {
		t.Errorf("called %s", sent[len(sent)-1].line)
	}
}

func TestATracWithoutThePluginSaysSo(t *testing.T) {
	r := newReplayer(t)
	r.page("/lp/xmlrpc", nativeCapture(t, "109", "response"))
	r.page("/lp/rpc", nativeCapture(t, "109", "response"))
	_, err := openNative(t, r).GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata)
	wantFault(t, err, apierror.TrackerBadAnswer, "plugin is not installed")
}

func TestALackingPermissionIsNoExpiredSession(t *testing.T) {
	r := newNativeReplayer(t).native("system.multicall", "077")
	_, err := openNative(t, r).GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata)
	wantFault(t, err, apierror.Forbidden, "lacks the permission XML_RPC")
	if methods, _ := r.calls(t); len(methods) != 1 {
		t.Errorf("called %q", methods)
	}
}

func TestCredentialsThatTracHasNoUseForAreRefused(t *testing.T) {
	for _, secrets := range []bridge.Secrets{{Password: "p"}, {APIKey: "k"}, {Token: "t"}, {User: "a:b", Password: "p"}} {
		b := openAs(t, bridge.Config{URL: newNativeReplayer(t).url(), Dialect: trac.NativeName, Secrets: secrets})
		wantFault(t, b.Retry(t.Context(), "lp"), apierror.TrackerLoginFailed, "")
	}
}

// What tracd makes of the unread body of a call that it refuses comes as a second
// answer on the same connection.
func TestTheAnswerToAnUnreadBodyIsNoAnswerToTheNextCall(t *testing.T) {
	r := newNativeReplayer(t).multi("016")
	b := openNative(t, r)
	if _, err := b.GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	r.native("ticket.status.getAll", "079", "049")
	r.page("/lp/login/xmlrpc", unauthorized(t, "079"))
	_, err := b.Statuses(t.Context(), "lp")
	wantFault(t, err, apierror.TrackerLoginFailed, "HTTP 401")
	r.native("system.getAPIVersion", "001").page("/lp/login/xmlrpc", nativeCapture(t, "101", "response"))
	if err := b.Retry(t.Context(), "lp"); err != nil {
		t.Fatal(err)
	}
	if words, err := b.Statuses(t.Context(), "lp"); err != nil || len(words) != 5 {
		t.Errorf("%q (%v)", words, err)
	}
}

// One attempt is made, with no body that tracd could take for another request.
func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	r := newNativeReplayer(t).page("/lp/login/xmlrpc", unauthorized(t, "080"))
	b := openNative(t, r)
	for range 2 {
		_, err := b.GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata)
		wantFault(t, err, apierror.TrackerLoginFailed, "It answered HTTP 401 to the configured user and password.")
	}
	var lines []string
	for _, sent := range r.requests() {
		lines = append(lines, sent.line)
	}
	if want := []string{"GET /lp/xmlrpc", "GET /lp/login/xmlrpc"}; !reflect.DeepEqual(lines, want) {
		t.Errorf("sent %q, want %q", lines, want)
	}
	if status := b.List()[0]; status.Session != bridge.SessionBackoff {
		t.Errorf("the session is %s", status.Session)
	}
}

func TestALogInThatIsNotThereIsNoRefusal(t *testing.T) {
	r := newNativeReplayer(t).page("/lp/login/xmlrpc", nativeCapture(t, "109", "response"))
	b := openNative(t, r)
	wantFault(t, b.Retry(t.Context(), "lp"), apierror.TrackerBadAnswer, "HTTP 404")
	if status := b.List()[0]; status.Session == bridge.SessionBackoff {
		t.Errorf("the session is %s", status.Session)
	}
}

func TestIDsThatAreNoNumbersAreNotAskedFor(t *testing.T) {
	r := newNativeReplayer(t)
	b := openNative(t, r)
	ids := []string{"abc", "-1", "", "0", "99999999999", "1.5"}
	read, err := b.GetBugs(t.Context(), "lp", ids, bridge.LevelFull)
	if err != nil || !reflect.DeepEqual(read.Missing, ids) || read.Time.IsZero() {
		t.Errorf("%+v (%v)", read, err)
	}
	modified, err := b.GetModifiedBugs(t.Context(), "lp", ids, time.Unix(0, 0))
	if err != nil || !reflect.DeepEqual(modified.Missing, ids) {
		t.Errorf("%+v (%v)", modified, err)
	}
	_, err = b.GetComments(t.Context(), "lp", "abc", nil)
	wantFault(t, err, apierror.ResourceNotFound, "no such bug")
	if methods, _ := r.calls(t); len(methods) != 0 {
		t.Errorf("called %q", methods)
	}
}

func TestTicketsThatCannotBeReadAreAskedForAgainWithoutThem(t *testing.T) {
	for name, test := range map[string]struct {
		answers func(*replayer)
		found   int
		fault   apierror.Name
		calls   []string
	}{
		"one is hidden": {func(r *replayer) {
			r.answerBytes("system.multicall", document("<value><array><data>"+innerAnswer(t, "016")+failure("TICKET_VIEW ...", "Forbidden")+"</data></array></value>"))
			r.values("ticket.query", []any{})
		}, 1, "", []string{"system.multicall", "ticket.query"}},
		"one that is hidden breaks the whole answer": {func(r *replayer) {
			r.native("system.multicall", "045").multi("016")
			r.values("ticket.query", []any{2})
		}, 1, "", []string{"system.multicall", "ticket.query", "system.multicall"}},
		"one does not exist, in another language": {func(r *replayer) {
			r.answerBytes("system.multicall", document("<value><array><data>"+innerAnswer(t, "016")+failure("Le ticket 3 n'existe pas.", "Numéro de ticket invalide")+"</data></array></value>"))
			r.values("ticket.query", []any{})
		}, 1, "", []string{"system.multicall", "ticket.query"}},
		"all are hidden": {func(r *replayer) {
			r.answerBytes("system.multicall", document("<value><array><data>"+failure("a", "Forbidden")+failure("b", "Forbidden")+"</data></array></value>"))
			r.values("ticket.query", []any{}).native("ticket.get", "078")
		}, 0, apierror.Forbidden, []string{"system.multicall", "ticket.query", "ticket.get"}},
		"none exists, in another language": {func(r *replayer) {
			r.answerBytes("system.multicall", document("<value><array><data>"+failure("a", "Numéro")+failure("b", "Numéro")+"</data></array></value>"))
			r.values("ticket.query", []any{}).native("ticket.get", "024")
		}, 0, "", []string{"system.multicall", "ticket.query", "ticket.get"}},
		"one is there and fails": {func(r *replayer) {
			r.answerBytes("system.multicall", document("<value><array><data>"+innerAnswer(t, "016")+failure("a", "Trac Error")+"</data></array></value>"))
			r.answerBytes("system.multicall", document("<value><array><data>"+failure("a", "Trac Error")+"</data></array></value>"))
			r.values("ticket.query", []any{3}).native("ticket.get", "027")
		}, 0, apierror.TrackerFault, []string{"system.multicall", "ticket.query", "system.multicall", "ticket.get"}},
		"the service itself is forbidden": {func(r *replayer) { r.native("system.multicall", "077") },
			0, apierror.Forbidden, []string{"system.multicall"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newNativeReplayer(t)
			test.answers(r)
			read, err := openNative(t, r).GetBugs(t.Context(), "lp", []string{"2", "3"}, bridge.LevelMetadata)
			if test.fault != "" {
				wantFault(t, err, test.fault, "")
			} else if err != nil || len(read.Bugs) != test.found {
				t.Errorf("%+v (%v)", read, err)
			}
			if methods, _ := r.calls(t); !reflect.DeepEqual(methods, test.calls) {
				t.Errorf("called %q, want %q", methods, test.calls)
			}
		})
	}
}

func TestAnAccountThatMaySeeNothingIsNotToldThatAllIsGone(t *testing.T) {
	r := newNativeReplayer(t).multi("012", "012").native("ticket.get", "078").values("ticket.query", []any{})
	b := openNative(t, r)
	_, err := b.GetBugs(t.Context(), "lp", []string{"1", "2"}, bridge.LevelIDs)
	wantFault(t, err, apierror.Forbidden, "permission")
	_, err = b.GetModifiedBugs(t.Context(), "lp", []string{"1", "2"}, time.Unix(0, 0))
	wantFault(t, err, apierror.Forbidden, "permission")

	empty := []byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nid\r\n")
	r = newReplayer(t).page("/lp/query", empty).page("/lp/ticket/1", []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
	_, err = openAs(t, bridge.Config{URL: r.url(), Dialect: trac.CSVName}).GetBugs(t.Context(), "lp", []string{"1", "2"}, bridge.LevelMetadata)
	wantFault(t, err, apierror.Forbidden, "ticket 1")
}

func TestQueriesAreWholeAndInUTC(t *testing.T) {
	r := newNativeReplayer(t).multi("009", "009")
	since := time.Date(2024, 8, 1, 2, 30, 0, 0, time.FixedZone("", 9000))
	modified, err := openNative(t, r).GetModifiedBugs(t.Context(), "lp", []string{"1", "2", "999"}, since)
	if err != nil || !reflect.DeepEqual(modified.IDs, []string{"1", "2", "999"}) || !reflect.DeepEqual(modified.Missing, []string{"999"}) {
		t.Errorf("%+v (%v)", modified, err)
	}
	_, params := r.calls(t)
	var asked []any
	for _, call := range params[0][0].([]any) {
		asked = append(asked, call.(map[string]any)["params"].([]any)[0])
	}
	if want := []any{"id=1&id=2&id=999&max=0", "id=1&id=2&id=999&max=0&modified=2024-08-01T00:00:00Z.."}; !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// A dateTime with dashes is HTTP 500 (capture 045).
func TestDatesAreSentInTracsOwnLayout(t *testing.T) {
	r := newNativeReplayer(t).native("ticket.getRecentChanges", "041")
	if _, err := openNative(t, r).GetModifiedBugs(t.Context(), "lp", nil, time.Date(2024, 8, 1, 0, 0, 0, 5, time.UTC)); err != nil {
		t.Fatal(err)
	}
	sent := r.requests()
	if body := string(sent[len(sent)-1].body); !strings.Contains(body, "<dateTime.iso8601>20240801T00:00:00</dateTime.iso8601>") {
		t.Errorf("sent %s", body)
	}
}

func TestAnUpdateThatCameTooLateIsMadeAgainABoundedNumberOfTimes(t *testing.T) {
	seen := func(stamp string) []byte {
		return document("<value><array><data>" + strings.Replace(innerAnswer(t, "016"), "1710841020125458", stamp, 1) + innerAnswer(t, "028") + "</data></array></value>")
	}
	t.Run("once", func(t *testing.T) {
		r := newNativeReplayer(t).native("ticket.update", "061", "064").native("ticket.changeLog", "066")
		r.answerBytes("system.multicall", seen("1"))
		r.answerBytes("system.multicall", seen("2"))
		id, err := openNative(t, r).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "2", Text: "As somebody else?"})
		if err != nil || id != "2-2" {
			t.Errorf("%q (%v)", id, err)
		}
		_, params := r.calls(t)
		for i, want := range map[int]string{1: "1", 3: "2"} {
			if sent := params[i][2]; !reflect.DeepEqual(sent, map[string]any{"action": "leave", "_ts": want}) {
				t.Errorf("call %d was sent %v, want the stamp %s", i, sent, want)
			}
		}
	})
	t.Run("for ever", func(t *testing.T) {
		r := newNativeReplayer(t).native("ticket.update", "061")
		for i := range 9 {
			r.answerBytes("system.multicall", seen(fmt.Sprint(i)))
		}
		_, err := openNative(t, r).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "2", Text: "Never."})
		wantFault(t, err, apierror.TrackerFault, "modified since you started")
		methods, _ := r.calls(t)
		if updates := strings.Count(strings.Join(methods, " "), "ticket.update"); updates != 5 {
			t.Errorf("%d updates, want 5", updates)
		}
	})
	t.Run("not when the fault came after the comment", func(t *testing.T) {
		r := newNativeReplayer(t).native("ticket.update", "027").native("ticket.changeLog", "066")
		r.answerBytes("system.multicall", seen("1"))
		r.answerBytes("system.multicall", document("<value><array><data>"+strings.Replace(innerAnswer(t, "016"), "1710841020125458", "2", 1)+innerAnswer(t, "066")+"</data></array></value>"))
		id, err := openNative(t, r).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "2", Text: "As somebody else?"})
		methods, _ := r.calls(t)
		if err != nil || id != "2-2" || strings.Count(strings.Join(methods, " "), "ticket.update") != 1 {
			t.Errorf("%q (%v), called %q", id, err, methods)
		}
	})
}

func TestAWorkflowThatCannotLeaveATicketIsWrittenToInTheOldWay(t *testing.T) {
	r := newNativeReplayer(t).multi("016", "028").native("ticket.update", "063", "064").native("ticket.changeLog", "066")
	id, err := openNative(t, r).AddComment(t.Context(), "lp", bridge.NewComment{Bug: "2", Text: "As somebody else?"})
	if _, params := r.calls(t); err != nil || id != "2-2" || len(params[2][2].(map[string]any)) != 0 {
		t.Errorf("%q (%v), sent %v", id, err, params)
	}
}

func TestALinkNeedsAFieldAndSaysWhich(t *testing.T) {
	r := newNativeReplayer(t).native("ticket.get", "016").native("ticket.getTicketFields", "056")
	_, err := openNative(t, r).GetLink(t.Context(), "lp", "2")
	wantFault(t, err, apierror.NotSupported, `"launchpad_bug = text" to the section [ticket-custom]`)
	for _, link := range []bridge.Link{{URL: "https://x.example/1"}, {ID: "1 2"}, {ID: "1", URL: "a b"}, {ID: "https://x.example/1"}} {
		_, err := openNative(t, r).SetLink(t.Context(), "lp", "2", link)
		wantFault(t, err, apierror.InvalidData, "one word each")
	}
}

func TestWhatATicketHasNoPlaceForIsRefused(t *testing.T) {
	for text, bug := range map[string]bridge.NewBug{
		"no products":              {Title: "t", Product: "p"},
		"no field nosuch":          {Title: "t", Fields: map[string]string{"nosuch": "x"}},
		"component cannot be":      {Title: "t", Component: "none such"},
		"priority cannot be \"\"":  {Title: "t", Fields: map[string]string{"priority": ""}},
		"set by Trac itself":       {Title: "t", Fields: map[string]string{"status": "closed"}},
		"summary is given twice":   {Title: "t", Fields: map[string]string{"summary": "u"}},
		"component is given twice": {Title: "t", Component: "component1", Fields: map[string]string{"component": "component2"}},
	} {
		r := newNativeReplayer(t).native("ticket.getTicketFields", "056")
		_, err := openNative(t, r).FileBug(t.Context(), "lp", bug)
		wantFault(t, err, apierror.InvalidData, text)
	}
	r := newNativeReplayer(t).native("ticket.getTicketFields", "056").native("ticket.create", "070")
	if id, err := openNative(t, r).FileBug(t.Context(), "lp", bridge.NewBug{Title: "t", Fields: map[string]string{"milestone": "", "keywords": "any words"}}); err != nil || id != "26" {
		t.Errorf("%q (%v)", id, err)
	}
}

func TestABugThatWasFiledIsFound(t *testing.T) {
	var dialect bridge.Dialect
	named := bridge.Named{Name: trac.NativeName, New: func(r *bridge.Remote) (d bridge.Dialect, err error) {
		d, err = trac.NewNative(r)
		dialect = d
		return d, err
	}}
	r := newNativeReplayer(t).multi("071", "016").values("ticket.query", []any{26, 2})
	b, err := bridge.New([]bridge.Config{{Name: "lp", URL: r.url(), Dialect: trac.NativeName, Secrets: alice, AllowPrivate: true}}, []bridge.Named{named}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	filed := bridge.NewBug{Title: "Created over XML-RPC", Description: "Description\nline 2"}
	batch, err := dialect.(bridge.FiledFinder).FindFiled(t.Context(), filed, time.Date(2026, 11, 21, 19, 58, 10, 9, time.UTC))
	if err != nil || len(batch.Bugs) != 1 || batch.Bugs[0].ID != "26" {
		t.Errorf("%+v (%v)", batch, err)
	}
	if _, params := r.calls(t); params[0][0] != "summary=Created over XML-RPC&created=2026-11-21T19:58:10Z..&max=0" {
		t.Errorf("asked for %q", params[0][0])
	}
}

// The time is never later than the tracker's clock was when the question began:
// the Date of the answer, less the time that it took.
func TestTheTimeOfAnAnswerIsTheEarliestThatTheDateCanMean(t *testing.T) {
	date := time.Date(2026, 11, 21, 19, 58, 14, 0, time.UTC) // of every answer
	for name, test := range map[string]struct {
		step time.Duration // that our clock goes on each time it is looked at
		late time.Duration // at most so far before the truth
	}{"our clock stands": {0, 0}, "our clock goes": {300 * time.Millisecond, 4 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
			clock := func() time.Time { now = now.Add(test.step); return now }
			r := newNativeReplayer(t).multi("016").native("system.getAPIVersion", "001")
			b := openNative(t, r, bridge.WithClock(clock))
			if err := b.Retry(t.Context(), "lp"); err != nil { // which logs in
				t.Fatal(err)
			}
			for range 3 {
				before := len(r.requests())
				read, err := b.GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata)
				if err != nil {
					t.Fatal(err)
				}
				if read.Time.After(date) || read.Time.Before(date.Add(-test.late)) {
					t.Errorf("the time is %v, the tracker's %v", read.Time, date)
				}
				if n := len(r.requests()) - before; n != 1 {
					t.Errorf("%d requests in place of the question alone", n)
				}
				now = now.Add(time.Hour)
			}
		})
	}
}

func TestAPageInPlaceOfATableIsABadAnswer(t *testing.T) {
	page := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
	r := newReplayer(t).page("/lp/query", []byte(page)).page("/lp/ticket/1", []byte(page))
	b := openAs(t, bridge.Config{URL: r.url(), Dialect: trac.CSVName})
	for _, ids := range [][]string{{"1"}, {"1", "2"}} {
		_, err := b.GetBugs(t.Context(), "lp", ids, bridge.LevelMetadata)
		wantFault(t, err, apierror.TrackerBadAnswer, "it is a page")
	}
	probe, err := b.Probe(t.Context(), "lp")
	if err != nil || probe.Dialect != "" {
		t.Errorf("%+v (%v)", probe, err)
	}
}

func TestAHiddenTicketIsForbiddenToVisitors(t *testing.T) {
	r := newReplayer(t).page("/lp/ticket/1", []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
	_, err := openAs(t, bridge.Config{URL: r.url(), Dialect: trac.CSVName}).GetBugs(t.Context(), "lp", []string{"1"}, bridge.LevelMetadata)
	wantFault(t, err, apierror.Forbidden, "ticket 1")
}

func TestTheCapabilitiesOfTheDialects(t *testing.T) {
	for name, want := range map[string][]string{
		trac.NativeName: {"read-bugs", "modified-since", "read-comments", "write-comments", "links", "status-list", "file-bug"},
		trac.CSVName:    {"read-bugs"},
	} {
		b := openAs(t, bridge.Config{URL: "http://127.0.0.1:1/trac", Dialect: name})
		if got := b.List()[0].Capabilities; !reflect.DeepEqual(got, want) {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}

func TestTheProxyGoesWhereTheCallsGo(t *testing.T) {
	r := newNativeReplayer(t).multi("016").native("ticket.priority.getAll", "052")
	b := openNative(t, r)
	if _, err := b.GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Call(t.Context(), "lp", "ticket.priority.getAll", nil); err != nil {
		t.Error(err)
	}
	if sent := r.requests(); sent[len(sent)-1].line != http.MethodPost+" /lp/login/xmlrpc" {
		t.Errorf("called %s", sent[len(sent)-1].line)
	}
	_, err := b.Call(t.Context(), "lp", "wiki.deletePage", []any{"WikiStart"})
	wantFault(t, err, apierror.Forbidden, "wiki.deletePage")
}
