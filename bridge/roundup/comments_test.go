package roundup_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

func TestAControlCharacterCostsNoOtherMessage(t *testing.T) {
	s := newStandIn(t)
	s.issue("7", "Control characters", "1", "2", "3")
	for _, id := range []string{"1", "2", "3"} {
		s.msg(id, "4", "message "+id, "2024-03-0"+id+".09:00:05.250")
	}
	s.over["display msg"] = func(c innerCall) any {
		if c.text(0) == "msg2" {
			return captured(t, "021-display-msg-control-chars")
		}
		return nil
	}
	got := bug(t, s, "7", bridge.LevelFull)
	var texts []string
	for _, c := range got.Comments {
		texts = append(texts, c.Text)
	}
	if want := []string{"message 1", "before\ufffdafter \ufffd[31mred\ufffd[0m end", "message 3"}; !reflect.DeepEqual(texts, want) {
		t.Errorf("texts %q, want %q", texts, want)
	}
}

func TestAMessageThatMayNotBeReadIsLeftOut(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One", "1", "2")
	s.msg("1", "4", "open", "2024-03-02.09:00:05.250")
	s.over["display msg"] = func(c innerCall) any {
		if c.text(0) == "msg2" {
			return fault{1, "<class 'roundup.exceptions.Unauthorised'>:Permission to view author of msg2 denied"}
		}
		return nil
	}
	got, err := open(t, s).GetComments(t.Context(), "r", "1", []string{"2", "1", "99"})
	if err != nil || len(got.Comments) != 1 || !reflect.DeepEqual(got.Missing, []string{"2", "99"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMessagesOfOtherIssuesAreNotRead(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One", "1")
	s.issue("2", "Two", "2")
	s.msg("1", "4", "of one", "2024-03-02.09:00:05.250")
	s.msg("2", "4", "of two", "2024-03-02.09:00:05.250")
	got, err := open(t, s).GetComments(t.Context(), "r", "1", []string{"2"})
	if err != nil || len(got.Comments) != 0 || !reflect.DeepEqual(got.Missing, []string{"2"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range s.made("display") {
		if c.text(0) == "msg2" {
			t.Error("message 2 was asked for")
		}
	}
}

func TestTheFirstMessageIsTheDescriptionWhenItWasMadeWithTheIssue(t *testing.T) {
	for made, want := range map[string]string{
		"<Date 2024-03-02.09:00:05.249>": "It does not work.",
		"<Date 2024-03-02.09:00:05.250>": "It does not work.",
		"<Date 2024-03-02.09:00:05.251>": "", // a comment on an issue that began without a text
	} {
		s := newStandIn(t)
		s.issue("1", "One", "10", "9")
		s.msg("9", "4", "It does not work.", "2020-01-01.00:00:00.000")["creation"] = made
		s.msg("10", "5", "It does.", "2024-03-03.09:00:05.250")
		got := bug(t, s, "1", bridge.LevelFull)
		if got.Description != want {
			t.Errorf("made %s: description %q, want %q", made, got.Description, want)
		}
		if !reflect.DeepEqual(got.CommentIDs, []string{"9", "10"}) || len(got.Comments) != 2 {
			t.Fatalf("comments %v %+v, want both, in the order of their making", got.CommentIDs, got.Comments)
		}
		if c := got.Comments[1]; c.Number != 1 || c.Author != "bob" || c.Text != "It does." || c.Bug != "1" {
			t.Errorf("%+v", c)
		}
	}
}

func TestAMessageWithoutAuthorAndDateIsOfWhoMadeItAndWhen(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One", "1")
	m := s.msg("1", "7", "x", "2024-03-02.09:00:05.250")
	m["author"], m["date"] = nil, nil
	got := bug(t, s, "1", bridge.LevelFull).Comments[0]
	if got.Author != "gateway" || !got.Time.Equal(time.Date(2024, 3, 2, 9, 0, 5, 250e6, time.UTC)) {
		t.Errorf("%+v", got)
	}
}

func TestACommentIsMadeAndThenAddedWithAPlus(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	id, err := open(t, s).AddComment(t.Context(), "r", bridge.NewComment{Bug: "1", Text: "a=b, c\nd", Author: "Ann"})
	if err != nil || id != "28" {
		t.Fatalf("%q, %v", id, err)
	}
	if got, want := s.made("create")[0].params, []any{"msg", "content=Ann wrote:\n\na=b, c\nd", "date=.", "author=7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("created %q, want %q", got, want)
	}
	if got, want := s.made("set")[0].params, []any{"issue1", "messages=+28"}; !reflect.DeepEqual(got, want) {
		t.Errorf("set %q, want %q", got, want)
	}
}

func TestNoMessageIsMadeForAnIssueThatIsNotThere(t *testing.T) {
	s := newStandIn(t)
	_, err := open(t, s).AddComment(t.Context(), "r", bridge.NewComment{Bug: "999", Text: "x"})
	if !apierror.Is(err, apierror.ResourceNotFound) || len(s.made("create")) != 0 {
		t.Errorf("%v after %d messages", err, len(s.made("create")))
	}
}

func TestAnIssueThatVanishesBetweenTheTwoCallsIsNotFound(t *testing.T) {
	s := newStandIn(t).instead("set", "062-set-missing") // UsageError, where display says IndexError
	s.issue("1", "One")
	if _, err := open(t, s).AddComment(t.Context(), "r", bridge.NewComment{Bug: "1", Text: "x"}); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("%v, want RESOURCE_NOT_FOUND", err)
	}
}

// broken ends the connection in place of an answer to a method.
func broken(method string, after func()) func(string, int) []byte {
	return func(m string, _ int) []byte {
		if m != method {
			return nil
		}
		if after != nil {
			after()
		}
		return []byte{}
	}
}

func TestACommentWhoseMessageWasNotConfirmedIsNotRepeated(t *testing.T) {
	s := newStandIn(t)
	s.issue("1", "One")
	s.onCall = broken("create", nil)
	_, err := open(t, s).AddComment(t.Context(), "r", bridge.NewComment{Bug: "1", Text: "x"})
	if !apierror.Is(err, apierror.OutcomeUnknown) || len(s.made("set")) != 0 {
		t.Errorf("%v, want OUTCOME_UNKNOWN and nothing set", err)
	}
}

func TestACommentWhoseAdditionWasNotConfirmedIsLookedFor(t *testing.T) {
	for _, lands := range []bool{true, false} {
		s := newStandIn(t)
		m := s.issue("1", "One")
		sets := 0
		s.onCall = broken("set", func() {
			sets++
			if lands {
				m["messages"] = []any{"28"}
			}
		})
		id, err := open(t, s).AddComment(t.Context(), "r", bridge.NewComment{Bug: "1", Text: "x"})
		switch {
		case lands && (err != nil || id != "28"):
			t.Errorf("it landed: %q, %v", id, err)
		case !lands && (!apierror.Is(err, apierror.OutcomeUnknown) || !strings.Contains(err.Error(), "Message 28")):
			t.Errorf("it did not land: %q, %v", id, err)
		case sets != 1:
			t.Errorf("it was added %d times", sets)
		}
	}
}

func TestARepetitionUnderTheSameKeyFindsTheCommentThatLandedLate(t *testing.T) {
	s := newStandIn(t)
	m := s.issue("1", "One")
	s.msg("28", "7", "x", "2026-11-21.20:16:31.000")
	s.onCall = broken("set", nil)
	b := open(t, s)
	comment := bridge.NewComment{Bug: "1", Text: "x", Key: "k"}
	if _, err := b.AddComment(t.Context(), "r", comment); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Fatalf("%v, want OUTCOME_UNKNOWN", err)
	}
	s.mu.Lock()
	s.onCall = nil
	m["messages"] = []any{"28"}
	s.mu.Unlock()
	id, err := b.AddComment(t.Context(), "r", comment)
	if err != nil || id != "28" || len(s.made("create")) != 1 {
		t.Errorf("%q, %v, %d messages made", id, err, len(s.made("create")))
	}
}
