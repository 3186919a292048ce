package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/xmlrpc"
)

var (
	nativeAccount  = bridge.Secrets{User: "alice", Password: "wonder"}
	nativeDialects = []bridge.Named{
		{Name: trac.LaunchpadName, New: trac.NewLaunchpad},
		{Name: trac.NativeName, New: trac.NewNative},
		{Name: trac.CSVName, New: trac.NewCSV},
	}
)

// openTracNative opens a bridge to one tracker, which is named lp.
func openTracNative(t *testing.T, peer *tracPeer, dialect string, secrets bridge.Secrets, options ...bridge.Option) *bridge.Bridge {
	t.Helper()
	config := bridge.Config{Name: "lp", URL: peer.URL, Dialect: dialect, Secrets: secrets, AllowPrivate: true}
	b, err := bridge.New([]bridge.Config{config}, nativeDialects, nil, nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func wantError(t *testing.T, err error, name apierror.Name, text string) {
	t.Helper()
	if !apierror.Is(err, name) || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want %s with %q", err, name, text)
	}
}

func TestTracNativeReadsWritesAndFiles(t *testing.T) {
	peer := startTracNativePeer(t, "--link-field", trac.LinkField)
	b := openTracNative(t, peer, trac.NativeName, nativeAccount)
	ctx := t.Context()

	read, err := b.GetBugs(ctx, "lp", []string{"2", "17", "9999", "abc", "-1", "007", "99999999999"}, bridge.LevelFull)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"9999", "abc", "-1", "99999999999"}; len(read.Bugs) != 3 || !reflect.DeepEqual(read.Missing, want) {
		t.Errorf("%d bugs, missing %q", len(read.Bugs), read.Missing)
	}
	if comments := read.Bugs[1].Comments; len(comments) != 2 || comments[0].ID != "17-1" || comments[1].ID != "17-2" || comments[1].Author != "bob" {
		t.Errorf("the comments are %+v", comments)
	}

	written, err := b.AddComment(ctx, "lp", bridge.NewComment{Bug: "17", Text: "First line.\nSecond line.", Author: "Zoë"})
	if err != nil || written != "17-3" {
		t.Errorf("the comment is %q (%v)", written, err)
	}
	comments, err := b.GetComments(ctx, "lp", "17", []string{written, "17-9", "2-1"})
	if err != nil || len(comments.Comments) != 1 || comments.Comments[0].Text != "Zoë wrote:\n\nFirst line.\nSecond line." || len(comments.Missing) != 2 {
		t.Errorf("the comment reads %+v (%v)", comments, err)
	}
	modified, err := b.GetModifiedBugs(ctx, "lp", []string{"2", "17", "9999"}, read.Time)
	if err != nil || !reflect.DeepEqual(modified.IDs, []string{"17", "9999"}) || !reflect.DeepEqual(modified.Missing, []string{"9999"}) {
		t.Errorf("modified are %+v (%v)", modified, err)
	}
	if modified, err = b.GetModifiedBugs(ctx, "lp", nil, read.Time); err != nil || !reflect.DeepEqual(modified.IDs, []string{"17"}) {
		t.Errorf("of all, modified are %+v (%v)", modified, err)
	}

	filed, err := b.FileBug(ctx, "lp", bridge.NewBug{Title: "New & odd | title", Description: "d\ne", Component: "component2"})
	if err != nil || filed != "26" {
		t.Errorf("filed %q (%v)", filed, err)
	}
	link := bridge.Link{ID: "1234", URL: "https://launchpad.example/bugs/1234"}
	if before, err := b.SetLink(ctx, "lp", filed, link); err != nil || before != (bridge.Link{}) {
		t.Errorf("the link before is %v (%v)", before, err)
	}
	if after, err := b.GetLink(ctx, "lp", filed); err != nil || after != link {
		t.Errorf("the link is %v (%v)", after, err)
	}
	if _, err := b.SetLink(ctx, "lp", filed, bridge.Link{}); err != nil {
		t.Error(err)
	}
	if after, err := b.GetLink(ctx, "lp", filed); err != nil || after != (bridge.Link{}) {
		t.Errorf("the link that was taken away is %v (%v)", after, err)
	}
	if statuses, err := b.Statuses(ctx, "lp"); err != nil || !slices.Contains(statuses, "reopened") {
		t.Errorf("the statuses are %q (%v)", statuses, err)
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func TestTracNativeReadsAThousandTicketsInTenCalls(t *testing.T) {
	peer := startTracNativePeer(t, "--tickets", "975")
	b := openTracNative(t, peer, trac.NativeName, nativeAccount)
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = strconv.Itoa(i + 1)
	}
	read, err := b.GetBugs(t.Context(), "lp", ids, bridge.LevelFull)
	if err != nil || len(read.Bugs) != 1000 {
		t.Fatalf("%v bugs (%v)", read, err)
	}
	if calls := peer.Stats().Requests["POST /native/login/xmlrpc"]; calls != 10 {
		t.Errorf("%d calls, want 10", calls)
	}
}

// A time that is handed out is never later than the tracker's clock was when the question
// was begun, however far that is from ours.
func TestTracNativeTimeLeavesNoGap(t *testing.T) {
	for _, dialect := range []string{trac.NativeName, trac.CSVName} {
		for _, ahead := range []time.Duration{0, 9 * time.Hour, -30 * time.Hour} {
			t.Run(fmt.Sprint(dialect, ahead), func(t *testing.T) {
				peer := startTracNativePeer(t, "--clock-offset", strconv.Itoa(int(ahead.Seconds())))
				secrets := nativeAccount
				if dialect == trac.CSVName {
					secrets = bridge.Secrets{}
				}
				b := openTracNative(t, peer, dialect, secrets)
				begun := time.Now().Add(ahead)
				read, err := b.GetBugs(t.Context(), "lp", []string{"1", "2"}, bridge.LevelMetadata)
				if err != nil {
					t.Fatal(err)
				}
				// The clock is learned in the call itself, so that it cannot be told before.
				if read.Time.After(time.Now().Add(ahead)) || read.Time.Before(begun.Add(-30*time.Second)) {
					t.Errorf("the time is %v, the tracker's was %v", read.Time, begun)
				}
				probe, err := b.Probe(t.Context(), "lp")
				if err != nil || !probe.ClockKnown || (probe.ClockSkew-ahead).Abs() > 30*time.Second {
					t.Errorf("the probe says %+v (%v)", probe, err)
				}
			})
		}
	}
}

// Several gateways, or people, write to one ticket at once: each update that comes too late
// is refused by the tracker and made again.
func TestTracNativeWritesAgainWhenSomebodyElseWasFaster(t *testing.T) {
	peer := startTracNativePeer(t)
	b := openTracNative(t, peer, trac.NativeName, nativeAccount)
	const writers = 3
	ids := make([]string, writers)
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			ids[i], errs[i] = b.AddComment(t.Context(), "lp", bridge.NewComment{Bug: "1", Text: fmt.Sprintf("Comment of writer %d.", i)})
		})
	}
	all.Wait()
	slices.Sort(ids)
	if err := errors.Join(errs...); err != nil || !reflect.DeepEqual(ids, []string{"1-1", "1-2", "1-3"}) {
		t.Errorf("the comments are %q (%v)", ids, err)
	}
	if written := len(peer.Stats().Comments); written != writers {
		t.Errorf("%d comments were written, want %d", written, writers)
	}
}

func TestTracNativeTriesAWrongPasswordOnceInEachBackOff(t *testing.T) {
	peer := startTracNativePeer(t, "--lock-after", "3")
	b := openTracNative(t, peer, trac.NativeName, bridge.Secrets{User: "alice", Password: "wrong"})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := b.GetBugs(t.Context(), "lp", []string{"1"}, bridge.LevelMetadata)
			wantError(t, err, apierror.TrackerLoginFailed, "HTTP 401 to the configured user and password")
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
	all.Wait()
	if stats := peer.Stats(); stats.Refused != 1 || stats.Requests["POST /native/login/xmlrpc"] != 0 {
		t.Errorf("the password was tried %d times, the requests are %v", stats.Refused, stats.Requests)
	}
	if list := b.List(); list[0].Session != bridge.SessionBackoff {
		t.Errorf("the session is %q", list[0].Session)
	}
	wantError(t, b.Retry(t.Context(), "lp"), apierror.TrackerLoginFailed, "401")
	if refused := peer.Stats().Refused; refused != 2 {
		t.Errorf("the password was tried %d times, want 2", refused)
	}
}

// tracd takes the body of a call that it answers with HTTP 401 for the next request on the
// same connection.
func TestTracNativeSurvivesAPasswordThatIsChangedInTheMiddle(t *testing.T) {
	peer := startTracNativePeer(t)
	b := openTracNative(t, peer, trac.NativeName, nativeAccount)
	if _, err := b.GetBugs(t.Context(), "lp", []string{"1"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	peer.mustPost("/password", map[string]string{"user": "alice", "password": "other"})
	_, err := b.AddComment(t.Context(), "lp", bridge.NewComment{Bug: "1", Text: "Not written."})
	wantError(t, err, apierror.TrackerLoginFailed, "401")
	peer.mustPost("/password", map[string]string{"user": "alice", "password": "wonder"})
	if err := b.Retry(t.Context(), "lp"); err != nil {
		t.Error(err)
	}
	if id, err := b.AddComment(t.Context(), "lp", bridge.NewComment{Bug: "1", Text: "Written."}); err != nil || id != "1-1" {
		t.Errorf("%q (%v)", id, err)
	}
}

func TestTracNativeIsDetected(t *testing.T) {
	for _, test := range []struct {
		name    string
		flags   []string
		secrets bridge.Secrets
		dialect string
		reason  string
	}{
		{"where visitors may call", []string{"--anonymous"}, bridge.Secrets{}, trac.NativeName, "the XML-RPC plugin 1.2.0 is installed"},
		{"where visitors may not", nil, nativeAccount, trac.NativeName, "asked for the permission XML_RPC"},
		{"where there is no plugin", []string{"--no-plugin"}, bridge.Secrets{}, trac.CSVName, "A query answered with CSV"},
		{"where there is no plugin but an account", []string{"--no-plugin"}, nativeAccount, trac.CSVName, "A query answered with CSV"},
	} {
		t.Run(test.name, func(t *testing.T) {
			peer := startTracNativePeer(t, test.flags...)
			probe, err := openTracNative(t, peer, bridge.Auto, test.secrets).Probe(t.Context(), "lp")
			if err != nil || probe.Dialect != test.dialect || !strings.Contains(probe.Reason, test.reason) {
				t.Errorf("the probe says %+v (%v)", probe, err)
			}
		})
	}
}

func TestTracNativeReadsAsAVisitorWhereThatIsAllowed(t *testing.T) {
	peer := startTracNativePeer(t, "--anonymous")
	b := openTracNative(t, peer, trac.NativeName, bridge.Secrets{})
	if read, err := b.GetBugs(t.Context(), "lp", []string{"2"}, bridge.LevelFull); err != nil || len(read.Bugs) != 1 {
		t.Errorf("%+v (%v)", read, err)
	}
	if requests := peer.Stats().Requests; requests["POST /native/xmlrpc"] != 1 || requests["POST /native/login/xmlrpc"] != 0 {
		t.Errorf("the requests are %v", requests)
	}
}

func TestTracNativeReadsCSV(t *testing.T) {
	peer := startTracNativePeer(t, "--no-plugin")
	b := openTracNative(t, peer, trac.CSVName, bridge.Secrets{})
	read, err := b.GetBugs(t.Context(), "lp", []string{"10", "4", "9999", "abc"}, bridge.LevelFull)
	if err != nil || len(read.Bugs) != 2 || !reflect.DeepEqual(read.Missing, []string{"9999", "abc"}) {
		t.Fatalf("%+v (%v)", read, err)
	}
	if bug := read.Bugs[0]; bug.ID != "10" || bug.State != bridge.StateFixReleased || bug.Resolution != "fixed" || bug.Description != "d" {
		t.Errorf("%+v", bug)
	}
	if read, err = b.GetBugs(t.Context(), "lp", []string{"9999"}, bridge.LevelMetadata); err != nil || len(read.Missing) != 1 || read.Time.IsZero() {
		t.Errorf("%+v (%v)", read, err)
	}
	_, err = b.GetModifiedBugs(t.Context(), "lp", []string{"1"}, time.Now())
	wantError(t, err, apierror.NotSupported, "modified-since")
}

// Every misbehaviour of an answer ends in a result or in an error of the catalogue, within
// the time limit, and the next call finds everything as it was.
func TestTracNativeMisbehaviours(t *testing.T) {
	peer := startTracNativePeer(t)
	rules := []misbehaviour{
		{Kind: "slow", With: map[string]any{"seconds": 3600}}, {Kind: "stall"}, {Kind: "stall", With: map[string]any{"after": 30}},
		{Kind: "wrong_length", With: map[string]any{"delta": 7}}, {Kind: "wrong_length", With: map[string]any{"delta": -7}},
		{Kind: "half"}, {Kind: "html200"}, {Kind: "html500"}, {Kind: "status"}, {Kind: "endless", With: map[string]any{"limit": 4 << 20}},
		{Kind: "gzip_bomb", With: map[string]any{"size": 8 << 20}}, {Kind: "redirect"},
		{Kind: "redirect", With: map[string]any{"to": "http://127.0.0.1:1/", "status": 307}},
		{Kind: "fault"}, {Kind: "fault", With: map[string]any{"code": 404, "text": "Ticket 1 does not exist."}},
		{Kind: "fault", With: map[string]any{"code": 403, "text": "XML_RPC privileges are required"}},
		{Kind: "fault", With: map[string]any{"code": "Client"}}, {Kind: "document", With: map[string]any{"body": "<methodResponse/>"}},
		{Kind: "garbage"}, {Kind: "garbage_body"}, {Kind: "reset"}, {Kind: "reset_after"}, {Kind: "refuse"},
	}
	limits := []bridge.Option{bridge.WithTimeLimit(2 * time.Second), bridge.WithMaxAnswer(1 << 20)}
	native := openTracNative(t, peer, trac.NativeName, nativeAccount, limits...)
	csv := openTracNative(t, peer, trac.CSVName, bridge.Secrets{}, limits...)
	calls := []struct {
		name string
		on   string
		b    *bridge.Bridge
		call func(context.Context, *bridge.Bridge) error
	}{
		{"getBugs", "xmlrpc", native, func(ctx context.Context, b *bridge.Bridge) error {
			_, err := b.GetBugs(ctx, "lp", []string{"1", "2"}, bridge.LevelFull)
			return err
		}},
		{"addComment", "xmlrpc", native, func(ctx context.Context, b *bridge.Bridge) error {
			_, err := b.AddComment(ctx, "lp", bridge.NewComment{Bug: "1", Text: "Text."})
			return err
		}},
		{"getBugs by CSV", "other", csv, func(ctx context.Context, b *bridge.Bridge) error {
			_, err := b.GetBugs(ctx, "lp", []string{"1", "2"}, bridge.LevelFull)
			return err
		}},
	}
	for _, c := range calls {
		for _, rule := range rules {
			t.Run(fmt.Sprint(c.name, " ", rule.Kind, rule.With), func(t *testing.T) {
				if err := c.b.Retry(t.Context(), "lp"); err != nil {
					t.Fatal(err)
				}
				rule.On, rule.Times = c.on, 1
				peer.Misbehave(rule)
				err := c.call(t.Context(), c.b)
				if known := new(apierror.Error); err != nil && (!errors.As(err, &known) || known.Name() == apierror.ServerError) {
					t.Errorf("the error is not of the catalogue: %v", err)
				}
				peer.Reset()
				if err := c.b.Retry(t.Context(), "lp"); err != nil {
					t.Fatalf("after the reset: %v", err)
				}
				if err := c.call(t.Context(), c.b); err != nil {
					t.Errorf("the call after the misbehaviour: %v", err)
				}
			})
		}
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func TestTracNativePeerSpeaksToPlainClients(t *testing.T) {
	peer := startTracNativePeer(t)
	client, err := xmlrpc.NewClient(peer.URL+"/login/rpc", xmlrpc.WithHTTPClient(http.DefaultClient), xmlrpc.WithBasicAuth("alice", "wonder"))
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	if err := client.Call(t.Context(), "ticket.query", &found, "status=closed&order=id&max=2"); err != nil || !reflect.DeepEqual(found, []int{10, 11}) {
		t.Errorf("%v (%v)", found, err)
	}
}
