package bugzilla_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestACommentThatIsTooLongIsRefusedBeforeItIsSent(t *testing.T) {
	r, b := native(t, account)
	r.answer("Bug.add_comment", "bugzilla/078-bug.add_comment-ok")
	long := strings.Repeat("ü", bugzilla.MaxCommentLength)
	if _, err := b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "10", Text: long + " \n"}); err != nil {
		t.Errorf("a comment of the longest length, blanks at its end not counted: %v", err)
	}
	_, err := b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "10", Text: long + "x"})
	if !apierror.Is(err, apierror.InvalidData) || !strings.Contains(err.Error(), "65535") || len(r.calls("Bug.add_comment")) != 1 {
		t.Errorf("%v after %d calls, want INVALID_DATA and none sent", err, len(r.calls("Bug.add_comment")))
	}
}

func TestControlCharactersAreNotSent(t *testing.T) {
	r, b := native(t, account)
	for _, text := range []string{"a\x1b[31m", "\x00", "a\uffffb"} {
		if _, err := b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "10", Text: text}); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%q: %v, want INVALID_DATA", text, err)
		}
	}
	if len(r.calls("")) != 0 {
		t.Error("the tracker was called")
	}
}

func TestTextGoesAsAStringAndNeverAsBase64(t *testing.T) {
	r, b := native(t, account)
	r.answer("Bug.add_comment", "bugzilla/078-bug.add_comment-ok")
	const text = "\n  naïve <b>&</b> 日本語 🐛\ttab ]]>\n"
	if _, err := b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "0010", Text: text}); err != nil {
		t.Fatal(err)
	}
	if sent := r.calls("Bug.add_comment")[0]; sent.params["comment"] != text || sent.params["id"] != 10 || strings.Contains(string(sent.body), "base64") {
		t.Errorf("sent %q to %v", sent.params["comment"], sent.params["id"])
	}
}

func TestACommentForABugThatDoesNotExistOrMayNotBeSeen(t *testing.T) {
	for place, want := range map[string]apierror.Name{
		"bugzilla/086-bug.add_comment-missing-bug":         apierror.ResourceNotFound,
		"bugzilla/179-bug.add_comment-access-denied":       apierror.Forbidden,
		"bugzilla/088-bug.add_comment-private-not-insider": apierror.Forbidden,
		"bugzilla/087-bug.add_comment-too-long":            apierror.InvalidData,
		"bugzilla/084-bug.add_comment-empty":               apierror.InvalidData,
		"bugzilla/167-bug.add_comment-control-character":   apierror.TrackerFault,
		"bugzilla/187-site-database-unreadable":            apierror.TrackerFault,
	} {
		r, b := native(t, account)
		r.answer("Bug.add_comment", place)
		_, err := comment(b, t)
		if !apierror.Is(err, want) {
			t.Errorf("%s: %v, want %s", place, err, want)
		}
		if said := apierror.From(err).FaultString(); len(said) > 400 || strings.Contains(said, "\n") {
			t.Errorf("%s: a text of %d bytes", place, len(said))
		}
	}
	_, b := native(t, account)
	if _, err := b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "0", Text: "x"}); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("bug 0: %v", err)
	}
}

func TestAWriteWhoseAnswerHasNoIDMayHaveBeenMade(t *testing.T) {
	r, b := native(t, account)
	r.value("Bug.add_comment", map[string]any{}).value("Bug.create", map[string]any{"id": ""})
	if _, err := comment(b, t); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Errorf("comment: %v", err)
	}
	if _, err := b.FileBug(t.Context(), "bz", bridge.NewBug{Title: "x", Product: "p", Component: "c"}); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Errorf("bug: %v", err)
	}
}

func TestALinkIsOneAddressOfSeeAlsoAndTheOthersStay(t *testing.T) {
	const lp, github, other = "https://launchpad.net/bugs/", "https://github.com/a/b/issues/1", "https://bugs.example.org/show_bug.cgi?id="
	for name, tc := range map[string]struct {
		seeAlso  []string
		set      bridge.Link
		previous bridge.Link
		add      any
		remove   any
	}{
		"first link":                    {nil, bridge.Link{ID: "5"}, bridge.Link{}, []any{lp + "5"}, nil},
		"replaced":                      {[]string{github, lp + "5"}, bridge.Link{ID: "6"}, bridge.Link{ID: "5", URL: lp + "5"}, []any{lp + "6"}, []any{lp + "5"}},
		"removed":                       {[]string{github, lp + "5"}, bridge.Link{}, bridge.Link{ID: "5", URL: lp + "5"}, nil, []any{lp + "5"}},
		"what people put there stays":   {[]string{github}, bridge.Link{ID: "6"}, bridge.Link{ID: github, URL: github}, []any{lp + "6"}, nil},
		"of another tracker":            {[]string{other + "1"}, bridge.Link{ID: "2", URL: other + "2"}, bridge.Link{ID: other + "1", URL: other + "1"}, []any{other + "2"}, []any{other + "1"}},
		"an address as the id":          {nil, bridge.Link{ID: other + "2"}, bridge.Link{}, []any{other + "2"}, nil},
		"there already, written longer": {[]string{lp + "5"}, bridge.Link{ID: "5", URL: "https://bugs.launchpad.net/ubuntu/+source/widgets/+bug/5"}, bridge.Link{ID: "5", URL: lp + "5"}, nil, nil},
		"nothing to remove":             {nil, bridge.Link{}, bridge.Link{}, nil, nil},
	} {
		r, b := native(t, account)
		r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 10, "see_also": tc.seeAlso}}}).
			answer("Bug.update_see_also", "bugzilla/093-bug.update_see_also-add")
		previous, err := b.SetLink(t.Context(), "bz", "10", tc.set)
		if err != nil || previous != tc.previous {
			t.Errorf("%s: previous %+v, %v, want %+v", name, previous, err, tc.previous)
		}
		sent := r.calls("Bug.update_see_also")
		if tc.add == nil && tc.remove == nil {
			if len(sent) != 0 {
				t.Errorf("%s: sent %v", name, sent[0].params)
			}
			continue
		}
		if len(sent) != 1 || !reflect.DeepEqual(sent[0].params["add"], tc.add) || !reflect.DeepEqual(sent[0].params["remove"], tc.remove) {
			t.Errorf("%s: sent %v", name, sent)
		}
	}
}

func TestLinksThatBugzillaCannotHoldAreRefused(t *testing.T) {
	r, b := native(t, account)
	for _, link := range []bridge.Link{{ID: "abc"}, {ID: "x", URL: "ftp://example.org/1"}, {ID: "1", URL: "not a url"}, {ID: "1", URL: "https://"},
		{ID: "5", URL: "https://launchpad.net/bugs/6"}, {ID: "1", URL: "https://example.org/" + strings.Repeat("x", bugzilla.MaxLinkLength)}} {
		if _, err := b.SetLink(t.Context(), "bz", "10", link); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%+v: %v, want INVALID_DATA", link, err)
		}
	}
	if len(r.calls("")) != 0 {
		t.Error("the tracker was called")
	}
	r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 10}}}).answer("Bug.update_see_also", "bugzilla/094-bug.update_see_also-bad-url")
	if _, err := b.SetLink(t.Context(), "bz", "10", bridge.Link{ID: "https://example.org/1"}); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("an address of no tracker that Bugzilla knows: %v, want INVALID_DATA", err)
	}
	r, b = native(t, account)
	r.answer("Bug.get", "bugzilla/047-bug.get-empty-ids")
	if _, err := b.GetLink(t.Context(), "bz", "99"); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("the link of no bug: %v", err)
	}
}

func TestAReferenceToABugOfTheSameTrackerIsNoLink(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": 10, "see_also": []string{r.url() + "/show_bug.cgi?id=4"}}}})
	if link, err := b.GetLink(t.Context(), "bz", "10"); err != nil || link != (bridge.Link{}) {
		t.Errorf("%+v, %v", link, err)
	}
}

func TestThePluginsLinkIsANumberAndZeroIsNone(t *testing.T) {
	r, b := plugin(t)
	r.value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": 12, "internals": map[string]any{"launchpad_id": 0}}}}).
		value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": 12, "internals": map[string]any{"launchpad_id": "502"}}}}).
		value("Launchpad.get_bugs", map[string]any{"bugs": []any{}}).
		answer("Launchpad.set_link", "bugzilla-launchpad/031-launchpad.set_link-first", "bugzilla-launchpad/070-launchpad.set_link-clear")
	if previous, err := b.SetLink(t.Context(), "bz", "12", bridge.Link{ID: "502"}); err != nil || previous != (bridge.Link{}) {
		t.Errorf("%+v, %v", previous, err)
	}
	if previous, err := b.SetLink(t.Context(), "bz", "12", bridge.Link{}); err != nil || previous != (bridge.Link{ID: "502"}) {
		t.Errorf("%+v, %v", previous, err)
	}
	if _, err := b.GetLink(t.Context(), "bz", "99"); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("no bug: %v", err)
	}
	for _, id := range []string{"lp:5", "0", "-1", "2147483648", "1.5"} {
		if _, err := b.SetLink(t.Context(), "bz", "12", bridge.Link{ID: id}); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%q: %v, want INVALID_DATA", id, err)
		}
	}
	var sent []any
	for _, call := range r.calls("Launchpad.set_link") {
		sent = append(sent, call.params["launchpad_id"])
	}
	if !reflect.DeepEqual(sent, []any{502, 0}) {
		t.Errorf("sent %v", sent)
	}
}

func TestABugIsFiledWithWhatTheSiteDemands(t *testing.T) {
	r, b := native(t, account)
	r.answer("Bug.create", "bugzilla/102-bug.create-ok")
	id, err := b.FileBug(t.Context(), "bz", bridge.NewBug{Title: "T", Description: "D", Product: "P", Component: "C",
		Fields: map[string]string{"version": "1.0", "severity": "normal"}})
	if err != nil || id != "26" {
		t.Fatalf("%q, %v", id, err)
	}
	got := r.calls("Bug.create")[0].params
	delete(got, "Bugzilla_token")
	want := map[string]any{"summary": "T", "description": "D", "product": "P", "component": "C", "version": "1.0",
		"severity": "normal", "op_sys": "All", "platform": "All"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	for name, bug := range map[string]bridge.NewBug{
		"no product":       {Title: "T", Component: "C"},
		"a credential":     {Title: "T", Product: "P", Component: "C", Fields: map[string]string{"Bugzilla_api_key": "x"}},
		"a second summary": {Title: "T", Product: "P", Component: "C", Fields: map[string]string{"summary": "x"}},
		"a long text":      {Title: "T", Product: "P", Component: "C", Description: strings.Repeat("x", bugzilla.MaxCommentLength+1)},
		"a control":        {Title: "T", Product: "P", Component: "C", Fields: map[string]string{"x": "\x01"}},
	} {
		if _, err := b.FileBug(t.Context(), "bz", bug); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%s: %v, want INVALID_DATA", name, err)
		}
	}
	if len(r.calls("Bug.create")) != 1 {
		t.Error("what cannot be filed was sent")
	}
	r2, b2 := plugin(t)
	r2.answer("Bug.create", "bugzilla/102-bug.create-ok")
	if id, err := b2.FileBug(t.Context(), "bz", bridge.NewBug{Title: "T", Product: "P", Component: "C"}); err != nil || id != "26" {
		t.Errorf("plugin: %q, %v: its cookies are good for Bugzilla's own methods", id, err)
	}
}

func TestAFiledBugIsFoundByTitleAndDescription(t *testing.T) {
	made, _ := xmlrpc.ParseDateTime("20261121T19:40:00")
	s := newStandIn(t)
	s.on("Bug.search", func(map[string]any, *http.Request) any {
		return map[string]any{"bugs": []any{
			map[string]any{"id": 5, "summary": "Crash on start and later", "creation_time": made},
			map[string]any{"id": 6, "summary": "Crash on start", "creation_time": made},
			map[string]any{"id": 7, "summary": "Crash on start", "creation_time": made},
		}}
	})
	s.on("Bug.comments", func(params map[string]any, _ *http.Request) any {
		if !reflect.DeepEqual(params["ids"], []any{6, 7}) {
			t.Errorf("comments of %v", params["ids"])
		}
		list := func(text string) map[string]any {
			return map[string]any{"comments": []any{map[string]any{"id": 1, "count": 0, "text": text}}}
		}
		return map[string]any{"bugs": map[string]any{"6": list("another"), "7": list("It crashes.\nAlways.")}}
	})
	var finder bridge.FiledFinder
	b, err := bridge.New([]bridge.Config{{Name: "bz", URL: s.URL, Dialect: "x", AllowPrivate: true}}, []bridge.Named{{Name: "x",
		New: func(remote *bridge.Remote) (bridge.Dialect, error) {
			d, err := bugzilla.NewNative(remote)
			finder = d.(bridge.FiledFinder)
			return d, err
		}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	bug := bridge.NewBug{Title: "Crash  on start", Description: "It crashes.\r\nAlways.\n", Product: "P", Component: "C"}
	got, err := finder.FindFiled(t.Context(), bug, made.Time(time.UTC).Add(-time.Minute))
	if err != nil || !reflect.DeepEqual(idsOf(got.Bugs), []string{"7"}) || !got.Bugs[0].Created.Equal(made.Time(time.UTC)) || got.Time.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = finder.FindFiled(t.Context(), bug, made.Time(time.UTC).Add(time.Minute))
	if err != nil || len(got.Bugs) != 0 {
		t.Errorf("made before: %+v, %v", got, err)
	}
}

func TestStatusesComeInTheSitesOrder(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.fields", "bugzilla/109-bug.fields-bug-status")
	want := []string{"UNCONFIRMED", "CONFIRMED", "IN_PROGRESS", "RESOLVED", "VERIFIED"}
	if got, err := b.Statuses(t.Context(), "bz"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	r, b = native(t, bridge.Secrets{})
	r.answer("Bug.fields", "bugzilla/114-fault-unknown-method-in-namespace").value("Bug.legal_values", map[string]any{"values": []any{"NEW", "CLOSED"}})
	if got, err := b.Statuses(t.Context(), "bz"); err != nil || !reflect.DeepEqual(got, []string{"NEW", "CLOSED"}) {
		t.Errorf("before 3.6: %q, %v", got, err)
	}
}
