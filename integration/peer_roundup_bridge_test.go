package integration

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"go.uber.org/goleak"
)

// keptState is a state store in memory.
type keptState struct {
	mu     sync.Mutex
	values map[string]string
}

func (k *keptState) Get(_ context.Context, key string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.values[key]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (k *keptState) CompareAndSwap(_ context.Context, key string, prev, next []byte, _ time.Duration) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v, ok := k.values[key]; ok != (prev != nil) || v != string(prev) {
		return false, nil
	}
	if delete(k.values, key); next != nil {
		k.values[key] = string(next)
	}
	return true, nil
}

// roundupBridge is a bridge to one peer, that speaks the dialect. It is closed, and all that it
// began has ended, when the test ends.
func roundupBridge(t *testing.T, peer *tracPeer, dialect string, secrets bridge.Secrets, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	running := goleak.IgnoreCurrent()
	b, err := bridge.New([]bridge.Config{{Name: "peer", URL: peer.URL, Dialect: dialect, Secrets: secrets, AllowPrivate: true}},
		[]bridge.Named{{Name: roundup.Name, New: roundup.New}, {Name: generic.Name, New: generic.New, Undetectable: true}},
		nil, &keptState{values: map[string]string{}}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		if err := goleak.Find(running); err != nil {
			t.Error(err)
		}
	})
	return b
}

var roundupAccount = bridge.Secrets{User: "gateway", Password: "gateway"}

func TestRoundupBridgeReadsAllThatAnIssueHas(t *testing.T) {
	peer := startRoundupPeer(t)
	b := roundupBridge(t, peer, bridge.Auto, roundupAccount)
	probe, err := b.Probe(t.Context(), "peer")
	if err != nil || probe.Dialect != roundup.Name {
		t.Fatalf("%+v, %v", probe, err)
	}
	got, err := b.GetBugs(t.Context(), "peer", []string{"15", "13", "999", "5", "007"}, bridge.LevelFull)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Bugs) != 4 || !slices.Equal(got.Missing, []string{"999"}) {
		t.Fatalf("%d bugs, missing %q", len(got.Bugs), got.Missing)
	}
	assigned, superseded, lines, control := got.Bugs[0], got.Bugs[1], got.Bugs[2], got.Bugs[3]
	if assigned.Assignee != "bob" || assigned.Status != "in-progress" || assigned.State != bridge.StateInProgress || assigned.Priority != "urgent" {
		t.Errorf("%+v", assigned)
	}
	if superseded.DuplicateOf != "2" || superseded.State != bridge.StateFixReleased {
		t.Errorf("%+v", superseded)
	}
	if c := lines.Comments[0]; c.Text != "first\nsecond\n\n  indented\n\ttab" || c.Author != "alice" || !c.Time.Equal(time.Date(2024, 3, 5, 9, 0, 5, 250e6, time.UTC)) {
		t.Errorf("%+v", c)
	}
	if c := control.Comments[0]; c.Text != "before\ufffdafter \ufffd[31mred\ufffd[0m end" {
		t.Errorf("%+v", c)
	}
}

func TestRoundupBridgeWritesCommentsAndFilesBugs(t *testing.T) {
	peer := startRoundupPeer(t, "--link-property", roundup.LinkProperty)
	b := roundupBridge(t, peer, roundup.Name, roundupAccount)
	comment := bridge.NewComment{Bug: "1", Text: "Grüße — 日本語 <b>&amp;</b> ]]> a=b, +1\nSecond line.", Author: "Ann", Key: "one"}
	id, err := b.AddComment(t.Context(), "peer", comment)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.AddComment(t.Context(), "peer", comment); err != nil || again != id {
		t.Errorf("again %q, %v, want %q", again, err, id)
	}
	filed, err := b.FileBug(t.Context(), "peer", bridge.NewBug{Title: "It fails = badly", Description: "As said.", Fields: map[string]string{"priority": "wish", "assignedto": "bob"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetLink(t.Context(), "peer", filed, bridge.Link{ID: "77", URL: "https://bugs.example.com/77"}); err != nil {
		t.Fatal(err)
	}
	got, err := b.GetBugs(t.Context(), "peer", []string{"1", filed}, bridge.LevelFull)
	if err != nil || len(got.Bugs) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	one, two := got.Bugs[0], got.Bugs[1]
	if len(one.Comments) != 1 || one.Comments[0].ID != id || one.Comments[0].Author != "gateway" || one.Comments[0].Text != "Ann wrote:\n\n"+comment.Text {
		t.Errorf("%+v", one.Comments)
	}
	if one.Description != "" || one.Status != "chatting" {
		t.Errorf("description %q, status %q: a comment is no description, and begins the chatting", one.Description, one.Status)
	}
	if two.Title != "It fails = badly" || two.Description != "As said." || two.Priority != "wish" || two.Assignee != "bob" || two.Link != "77" {
		t.Errorf("%+v", two)
	}
	if n := len(peer.Stats().Comments); n != 1 {
		t.Errorf("%d comments were added, want 1", n)
	}
	statuses, err := b.Statuses(t.Context(), "peer")
	if err != nil || !slices.Equal(statuses, []string{"unread", "deferred", "chatting", "need-eg", "in-progress", "testing", "done-cbb", "resolved"}) {
		t.Errorf("%q, %v", statuses, err)
	}
}

// A tracker whose clock is hours off, with accounts in another time zone: what the gateway is
// told is good for the next question.
func TestRoundupBridgeLeavesNoGapBetweenTwoQuestions(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--clock-offset", "-10800"},
		{"--clock-offset", "10800", "--timezone-offset", "19800"},
		{"--timezone-offset", "-39600"},
	} {
		peer := startRoundupPeer(t, args...)
		b := roundupBridge(t, peer, roundup.Name, roundupAccount)
		first, err := b.GetBugs(t.Context(), "peer", []string{"2"}, bridge.LevelIDs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AddComment(t.Context(), "peer", bridge.NewComment{Bug: "2", Text: "x"}); err != nil {
			t.Fatal(err)
		}
		for _, ids := range [][]string{{"2", "3", "999"}, nil} {
			got, err := b.GetModifiedBugs(t.Context(), "peer", ids, first.Time)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(got.IDs, "2") {
				t.Errorf("%q: of %q, %q were modified, and 2 was", args, ids, got.IDs)
			}
			later, err := b.GetModifiedBugs(t.Context(), "peer", ids, got.Time.Add(time.Minute))
			if err != nil || len(later.IDs) != len(later.Missing) {
				t.Errorf("%q: a minute later %q were modified (%v)", args, later.IDs, err)
			}
		}
	}
}

func TestRoundupBridgeSurvivesARefusalAndBacksOffFromAChangedPassword(t *testing.T) {
	peer := startRoundupPeer(t)
	b := roundupBridge(t, peer, roundup.Name, roundupAccount)
	read := func() error {
		_, err := b.GetBugs(t.Context(), "peer", []string{"1"}, bridge.LevelMetadata)
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	peer.Expire("expired")
	if err := read(); err != nil {
		t.Errorf("after one refusal: %v", err)
	}
	before := peer.Stats().Refused
	peer.Expire("purged")
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if err := read(); !apierror.Is(err, apierror.TrackerLoginFailed) {
				t.Errorf("%v, want TRACKER_LOGIN_FAILED", err)
			}
		})
	}
	callers.Wait()
	if b.List()[0].Session != bridge.SessionBackoff {
		t.Errorf("the session is %s, want back-off", b.List()[0].Session)
	}
	refused := peer.Stats().Refused - before
	if err := read(); !apierror.Is(err, apierror.TrackerLoginFailed) || peer.Stats().Refused-before != refused {
		t.Errorf("during the back-off the tracker was asked: %v", err)
	}
	peer.mustPost("/password", map[string]string{"user": "gateway", "password": "gateway"})
	if err := b.Retry(t.Context(), "peer"); err != nil {
		t.Errorf("after the password was set back: %v", err)
	}
}

func TestRoundupBridgeEndsEveryMisbehaviourWithAResultOrAFault(t *testing.T) {
	peer := startRoundupPeer(t)
	for _, tc := range []struct {
		kind  string
		with  map[string]any
		read  apierror.Name // "" for a result
		write apierror.Name
	}{
		{"slow", map[string]any{"seconds": 0.01}, "", ""},
		{"stall", map[string]any{"after": 20}, apierror.TrackerTimeout, apierror.OutcomeUnknown},
		{"wrong_length", map[string]any{"delta": 9}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"wrong_length", map[string]any{"delta": -9}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"half", nil, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"html200", nil, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"html500", nil, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"endless", map[string]any{"limit": 64 << 20}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"gzip_bomb", map[string]any{"size": 64 << 20}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"redirect", map[string]any{"to": "http://192.0.2.1/"}, apierror.TrackerBadAnswer, apierror.TrackerBadAnswer},
		{"reset", nil, apierror.TrackerUnavailable, apierror.OutcomeUnknown},
		{"reset_after", nil, apierror.TrackerUnavailable, apierror.OutcomeUnknown},
		{"garbage", nil, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		{"garbage_body", nil, apierror.TrackerBadAnswer, apierror.OutcomeUnknown},
		// Where writes alone are refused it is not for the credentials.
		{"refuse", nil, apierror.TrackerLoginFailed, apierror.TrackerFault},
		{"fault", map[string]any{"code": 1, "text": "<class 'ValueError'>:no"}, apierror.TrackerFault, apierror.TrackerFault},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			// The limit is short of what a test can wait for, and long enough for the rest on a
			// busy machine.
			limit := 10 * time.Second
			if tc.kind == "stall" {
				limit = 2 * time.Second
			}
			b := roundupBridge(t, peer, roundup.Name, roundupAccount, bridge.WithTimeLimit(limit), bridge.WithMaxAnswer(1<<20))
			peer.Misbehave(misbehaviour{On: "write", Kind: tc.kind, With: tc.with})
			_, err := b.AddComment(t.Context(), "peer", bridge.NewComment{Bug: "1", Text: "x"})
			checkName(t, "a comment", err, tc.write)
			peer.Reset()
			peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: tc.kind, With: tc.with})
			_, err = b.GetBugs(t.Context(), "peer", []string{"1"}, bridge.LevelFull)
			checkName(t, "a reading", err, tc.read)
			peer.Reset()
		})
	}
}

func checkName(t *testing.T, what string, err error, want apierror.Name) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && !apierror.Is(err, want):
		t.Errorf("%s: %v, want %s", what, err, want)
	case err != nil && strings.Contains(err.Error(), "gateway:gateway"):
		t.Errorf("%s: the error holds the password", what)
	}
}
