package roundup_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/roundup"
)

func TestABugIsFiledWithItsDescriptionAsTheFirstMessage(t *testing.T) {
	s := newStandIn(t)
	s.over["create"] = func(c innerCall) any { return map[string]string{"msg": "28", "issue": "16"}[c.text(0)] }
	id, err := open(t, s).FileBug(t.Context(), "r", bridge.NewBug{Title: "a=b <c>", Description: "x=1\ny=2",
		Fields: map[string]string{"priority": "bug", "nosy": "alice", "assignedto": ""}})
	if err != nil || id != "16" {
		t.Fatalf("%q, %v", id, err)
	}
	made := s.made("create")
	if want := []any{"msg", "content=x=1\ny=2", "date=.", "author=7"}; !reflect.DeepEqual(made[0].params, want) {
		t.Errorf("the message is %q, want %q", made[0].params, want)
	}
	if want := []any{"issue", "title=a=b <c>", "assignedto=", "nosy=alice", "priority=bug", "messages=28"}; !reflect.DeepEqual(made[1].params, want) {
		t.Errorf("the issue is %q, want %q", made[1].params, want)
	}
}

func TestABugWithoutADescriptionHasNoMessage(t *testing.T) {
	s := newStandIn(t)
	if _, err := open(t, s).FileBug(t.Context(), "r", bridge.NewBug{Title: "t"}); err != nil {
		t.Fatal(err)
	}
	if made := s.made("create"); len(made) != 1 || !reflect.DeepEqual(made[0].params, []any{"issue", "title=t"}) {
		t.Errorf("%q", made)
	}
}

func TestWhatABugCannotBeFiledWithIsRefusedAndNothingMade(t *testing.T) {
	for name, bug := range map[string]bridge.NewBug{
		"no title, which Roundup would take":  {Title: " "},
		"a product":                           {Title: "t", Product: "p"},
		"a component":                         {Title: "t", Component: "c"},
		"a property that issues have not":     {Title: "t", Fields: map[string]string{"severity": "x"}},
		"a name that is a value as well":      {Title: "t", Fields: map[string]string{"title=x": "y"}},
		"messages of others":                  {Title: "t", Fields: map[string]string{"messages": "1"}},
		"the title a second time":             {Title: "t", Fields: map[string]string{"title ": "x"}},
		"several items with commas":           {Title: "t", Fields: map[string]string{"nosy": "alice,bob"}},
		"an item to be taken off":             {Title: "t", Fields: map[string]string{"nosy": "-alice"}},
		"a link of several lines":             {Title: "t", Fields: map[string]string{"priority": "bug\nx"}},
		"a property that all items have":      {Title: "t", Fields: map[string]string{"creator": "1"}},
		"a designator in place of a property": {Title: "t", Fields: map[string]string{"issue1": "1"}},
	} {
		s := newStandIn(t)
		bug.Description = "d"
		_, err := open(t, s).FileBug(t.Context(), "r", bug)
		if !apierror.Is(err, apierror.InvalidData) || len(s.made("create")) != 0 {
			t.Errorf("%s: %v, %d items made", name, err, len(s.made("create")))
		}
	}
}

func TestARepetitionUnderTheSameKeyFindsTheBugThatWasFiled(t *testing.T) {
	const now = "2026-11-21.20:16:31.000"
	description := "It does not work."
	for name, tc := range map[string]struct {
		change func(s *standIn)
		found  bool
	}{
		"it is there":             {func(*standIn) {}, true},
		"another made it":         {func(s *standIn) { s.issues["16"]["creator"] = "5" }, false},
		"its title is longer":     {func(s *standIn) { s.issues["16"]["title"] = "A title, and more" }, false},
		"its description differs": {func(s *standIn) { s.msgs["28"]["content"] = "Else." }, false},
		"its message came later":  {func(s *standIn) { s.msgs["28"]["creation"] = "<Date 2026-11-21.20:16:32.000>" }, false},
		"it was made long ago":    {func(s *standIn) { s.issues["16"]["creation"] = "<Date 2020-11-21.20:16:31.000>" }, false},
		"it has no message":       {func(s *standIn) { s.issues["16"]["messages"] = []any{} }, false},
		"it has a comment since":  {func(s *standIn) { s.issues["16"]["messages"] = []any{"28", "29"} }, true},
		"it is not displayed to us": {func(s *standIn) {
			delete(s.issues, "16")
			s.over["filter"] = func(innerCall) any { return []any{"16"} }
		}, false},
	} {
		s := newStandIn(t)
		creates := 0
		s.onCall = func(method string, _ int) []byte {
			if method == "create" {
				if creates++; creates == 2 { // the issue, after its message
					return []byte{}
				}
			}
			return nil
		}
		clock := time.Date(2026, 11, 21, 20, 16, 31, 0, time.UTC)
		b := open(t, s, bridge.WithClock(func() time.Time { return clock }))
		bug := bridge.NewBug{Title: "A title", Description: description, Key: "k"}
		if _, err := b.FileBug(t.Context(), "r", bug); !apierror.Is(err, apierror.OutcomeUnknown) {
			t.Fatalf("%s: %v, want OUTCOME_UNKNOWN", name, err)
		}
		s.mu.Lock()
		s.onCall = nil
		s.issue("16", "A title", "28")["creation"] = "<Date " + now + ">"
		s.msg("28", "7", description, now)
		s.msg("29", "5", "A comment.", now)
		tc.change(s)
		s.over["create issue"] = func(innerCall) any { return "17" }
		s.mu.Unlock()
		id, err := b.FileBug(t.Context(), "r", bug)
		want := "17"
		if tc.found {
			want = "16"
		}
		if err != nil || id != want {
			t.Errorf("%s: %q, %v, want %q", name, id, err, want)
		}
	}
}

func TestLinksNeedAPropertyThatNoTemplateHas(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	b := open(t, s)
	_, err := b.GetLink(t.Context(), "r", "1")
	if !apierror.Is(err, apierror.NotSupported) || !strings.Contains(err.Error(), "launchpad=String()") {
		t.Errorf("%v, want NOT_SUPPORTED that says what to add", err)
	}
	if _, err := b.SetLink(t.Context(), "r", "1", bridge.Link{ID: "5"}); !apierror.Is(err, apierror.NotSupported) || len(s.made("set")) != 0 {
		t.Errorf("%v, want NOT_SUPPORTED", err)
	}
}

func TestALinkIsKeptInTheProperty(t *testing.T) {
	s := newStandIn(t)
	m := s.issue("1", "One")
	s.extra[roundup.LinkProperty] = "<roundup.hyperdb.String>"
	m[roundup.LinkProperty] = nil
	s.over["set"] = func(c innerCall) any {
		_, m[roundup.LinkProperty], _ = strings.Cut(c.text(1), "=")
		return map[string]any{}
	}
	b := open(t, s)
	for _, tc := range []struct {
		link bridge.Link
		sent string
	}{
		{bridge.Link{ID: "5", URL: "https://bugs.example.com/5?a=b"}, "launchpad=5 https://bugs.example.com/5?a=b"},
		{bridge.Link{ID: "7"}, "launchpad=7"},
		{bridge.Link{}, "launchpad="},
	} {
		if _, err := b.SetLink(t.Context(), "r", "1", tc.link); err != nil {
			t.Fatal(err)
		}
		sets := s.made("set")
		if got := sets[len(sets)-1].text(1); got != tc.sent {
			t.Errorf("sent %q, want %q", got, tc.sent)
		}
		if got, err := b.GetLink(t.Context(), "r", "1"); err != nil || got != tc.link {
			t.Errorf("read %+v, %v, want %+v", got, err, tc.link)
		}
	}
	m[roundup.LinkProperty] = "9 https://bugs.example.com/9"
	if got := bug(t, s, "1", bridge.LevelMetadata).Link; got != "9" {
		t.Errorf("the bug's link is %q, want 9", got)
	}
}

func TestALinkThatThePropertyCannotHoldIsRefused(t *testing.T) {
	for _, link := range []bridge.Link{
		{ID: "a b"}, {ID: "a\n"}, {ID: strings.Repeat("x", 201)},
		{ID: "1", URL: "ftp://x/"}, {ID: "1", URL: "https://x/ y"}, {ID: "1", URL: "https://"}, {ID: "1", URL: "/1"},
	} {
		s := newStandIn(t)
		if _, err := open(t, s).SetLink(t.Context(), "r", "1", link); !apierror.Is(err, apierror.InvalidData) || s.requests() != 0 {
			t.Errorf("%+v: %v after %d calls", link, err, s.requests())
		}
	}
}

func TestAFilterThatGivesTooManyIsABadAnswer(t *testing.T) {
	s := newStandIn(t)
	ids := make([]any, 50_001)
	for i := range ids {
		ids[i] = "1"
	}
	s.over["filter"] = func(innerCall) any { return ids }
	_, err := open(t, s).GetModifiedBugs(t.Context(), "r", nil, time.Unix(1700000000, 0))
	if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "50000") {
		t.Errorf("%v", err)
	}
}
