package roundup_test

import (
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/roundup"
)

func TestAnswersOfAnotherShapeAreBadAnswers(t *testing.T) {
	read := func(b *bridge.Bridge) error {
		_, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelFull)
		return err
	}
	for what, calls := range map[string]func(*bridge.Bridge) error{
		"schema":        read,
		"filter":        read,
		"display issue": read,
		"display msg":   read,
		"filter ": func(b *bridge.Bridge) error {
			_, err := b.GetModifiedBugs(t.Context(), "r", nil, time.Unix(1e9, 0))
			return err
		},
		"list": func(b *bridge.Bridge) error { _, err := b.Statuses(t.Context(), "r"); return err },
	} {
		for _, strange := range []any{"text", 7, true, map[string]any{"a": 1}, []any{map[string]any{}}} {
			_, isStruct := strange.(map[string]any)
			_, isArray := strange.([]any)
			if isStruct && what[0] == 'd' || isArray && what != "schema" && what[0] != 'd' {
				continue // that is its shape
			}
			s := newStandIn(t)
			s.issue("1", "One", "1")
			s.msg("1", "4", "x", "2024-03-02.09:00:05.250")
			s.over[what] = func(innerCall) any { return strange }
			if what == "filter " {
				s.over["filter"] = s.over[what]
			}
			if err := calls(open(t, s)); !apierror.Is(err, apierror.TrackerBadAnswer) {
				t.Errorf("%s is %v: %v, want TRACKER_BAD_ANSWER", what, strange, err)
			}
		}
	}
}

func TestAMulticallThatIsAnsweredStrangelyIsABadAnswer(t *testing.T) {
	for _, answer := range []any{[]any{}, []any{[]any{}, []any{}}, []any{1, 2}, "x"} {
		s := newStandIn(t)
		s.issue("1", "One")
		s.onCall = func(method string, _ int) []byte {
			if method == "system.multicall" {
				return httpAnswer(document(t, answer))
			}
			return nil
		}
		if _, err := open(t, s).GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata); !apierror.Is(err, apierror.TrackerBadAnswer) {
			t.Errorf("%v: %v, want TRACKER_BAD_ANSWER", answer, err)
		}
	}
}

func TestAnItemThatWasMadeUnderNoIDIsOfUnknownOutcome(t *testing.T) {
	for _, answer := range []any{nil, "", "new", 0, []any{}, true} {
		s := newStandIn(t)
		s.over["create"] = func(innerCall) any { return rawValue(innerValue(document(t, answer))) }
		if _, err := open(t, s).FileBug(t.Context(), "r", bridge.NewBug{Title: "t"}); !apierror.Is(err, apierror.OutcomeUnknown) {
			t.Errorf("%v: %v, want OUTCOME_UNKNOWN", answer, err)
		}
	}
}

func TestAMessageThatCameAsBytesIsRead(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One", "1")
	s.msg("1", "4", "", "2024-03-02.09:00:05.250")["content"] = []byte("Gr\xc3\xbc\xc3\x9fe\xff\r\n")
	if got := bug(t, s, "1", bridge.LevelFull).Comments[0].Text; got != "Grüße\ufffd\n" {
		t.Errorf("%q", got)
	}
}

func TestTemplatesWithOtherPropertiesAreRead(t *testing.T) {
	s := newStandIn(t)
	m := s.issue("1", "One")
	m["resolution"], m["severity"] = "2", "1"
	s.extra["resolution"] = `<roundup.hyperdb.Link to "status">`
	s.extra["severity"] = `<roundup.hyperdb.Link to "priority">`
	got := bug(t, s, "1", bridge.LevelMetadata)
	if got.Resolution != "deferred" || got.Severity != "critical" || got.State != bridge.StateIncomplete {
		t.Errorf("%+v", got)
	}
}

func TestTheOperatorsWordsCountFirst(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	b, err := bridge.New([]bridge.Config{{Name: "r", URL: s.url(), Dialect: roundup.Name, Secrets: account, AllowPrivate: true,
		States: map[string]bridge.State{"Chatting": bridge.StateWontFix}, Importances: map[string]bridge.Importance{"bug": bridge.ImportanceHigh}}},
		[]bridge.Named{{Name: roundup.Name, New: roundup.New}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := b.GetBugs(t.Context(), "r", []string{"1"}, bridge.LevelMetadata)
	if err != nil || got.Bugs[0].State != bridge.StateWontFix || got.Bugs[0].Importance != bridge.ImportanceHigh {
		t.Errorf("%+v, %v", got, err)
	}
}
