package feed_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/xmlrpc"
)

// noticed tells when somebody has begun to wait.
type noticed struct {
	feed.Store
	waits chan struct{}
}

func (n noticed) Wait(ctx context.Context, after string) error {
	n.waits <- struct{}{}
	return n.Store.Wait(ctx, after)
}

// gateway is a feed behind a server.
type gateway struct {
	*boltstore.Store
	noticed
	client *xmlrpc.Client
	stop   context.CancelFunc
}

func newGateway(t *testing.T, opts ...feed.ServiceOption) *gateway {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "tokens.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	g := &gateway{Store: store, noticed: noticed{store.Feed(), make(chan struct{}, 100)}}
	registry := xmlrpc.NewRegistry()
	if err := feed.RegisterService(registry, g.noticed, opts...); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	t.Cleanup(stop)
	server := httptest.NewUnstartedServer(xmlrpc.NewHandler(registry))
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(server.Close)
	if g.client, err = xmlrpc.NewClient(server.URL); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) add(t *testing.T, events ...feed.Event) []string {
	t.Helper()
	list := make([]feed.New, len(events))
	for i := range events {
		list[i].Event = events[i]
	}
	positions, err := g.Append(context.Background(), list...)
	if err != nil {
		t.Fatal(err)
	}
	return positions
}

// answer is what both methods return.
type answer struct {
	Events    []map[string]any `xmlrpc:"events"`
	After     string           `xmlrpc:"after"`
	Truncated bool             `xmlrpc:"truncated"`
}

func (g *gateway) call(t *testing.T, method string, params ...any) answer {
	t.Helper()
	var got answer
	if err := g.client.Call(t.Context(), method, &got, params...); err != nil {
		t.Fatalf("%s%v: %v", method, params, err)
	}
	return got
}

func (g *gateway) wantFault(t *testing.T, code int, name, method string, params ...any) {
	t.Helper()
	err := g.client.Call(t.Context(), method, nil, params...)
	var fault *xmlrpc.Fault
	if !errors.As(err, &fault) || fault.Code != code || !strings.HasPrefix(fault.String, name+": ") {
		t.Errorf("%s%v: %v, want fault %d %s", method, params, err, code, name)
	}
}

func TestEventsAreReadOverXMLRPC(t *testing.T) {
	g := newGateway(t)
	if got := g.call(t, "events", "", 0); len(got.Events) != 0 || got.After != "" || got.Truncated {
		t.Errorf("an empty feed gives %+v", got)
	}
	at := time.Date(2026, 11, 22, 3, 20, 0, 0, time.FixedZone("", 3600))
	positions := g.add(t,
		feed.Event{Time: at, Source: "hook:github", Kind: "issues", Tracker: "gnome", Bug: "12", Data: []byte(`{"a":{"b":[1,null,3000000000]},"c":null}`)},
		feed.Event{Source: "watch:kde", Kind: "bug.modified"},
	)
	got := g.call(t, "events", "", 0)
	if len(got.Events) != 2 || got.After != positions[1] || got.Truncated {
		t.Fatalf("%+v", got)
	}
	first, second := got.Events[0], got.Events[1]
	moment, _ := first["time"].(xmlrpc.DateTime)
	if first["after"] != positions[0] || first["source"] != "hook:github" || first["kind"] != "issues" || first["tracker"] != "gnome" ||
		first["bug"] != "12" || moment.String() != "20261122T02:20:00" {
		t.Errorf("the first event is %v, at %v", first, moment)
	}
	data, _ := first["data"].(map[string]any)
	inner, _ := data["a"].(map[string]any)
	list, _ := inner["b"].([]any)
	if len(data) != 1 || len(list) != 3 || list[0] != 1 || list[2] != "3000000000" {
		t.Errorf("its data are %v", first["data"])
	}
	if len(second) != 3 || second["source"] != "watch:kde" || second["kind"] != "bug.modified" || second["after"] != positions[1] {
		t.Errorf("members without a value are there: %v", second)
	}
	if got := g.call(t, "events", "", 1); len(got.Events) != 1 || got.After != positions[0] {
		t.Errorf("one event: %+v", got)
	}
	for _, method := range []string{"events", "wait"} {
		if got := g.call(t, method, positions[0], feed.MaxPage+1); len(got.Events) != 1 || got.After != positions[1] {
			t.Errorf("%s after the first: %+v", method, got)
		}
		if got := g.call(t, method); len(got.Events) != 2 {
			t.Errorf("%s without parameters: %+v", method, got)
		}
	}
}

func TestWhoWaitsBehindTheEndIsToldAtOnce(t *testing.T) {
	g := newGateway(t)
	last := g.add(t, feed.Event{Kind: "a"})[0]
	if got := g.call(t, "wait", "9007199254740991-7", 0, 20); len(got.Events) != 0 || got.After != last || !got.Truncated {
		t.Errorf("%+v, want to go on after %s", got, last)
	}
}

func TestALimitOfNoneIsAHundredEvents(t *testing.T) {
	g := newGateway(t)
	g.add(t, make([]feed.Event, feed.DefaultLimit+1)...)
	for limit, want := range map[int]int{0: feed.DefaultLimit, feed.MaxPage: feed.DefaultLimit + 1, 1 << 30: feed.DefaultLimit + 1} {
		if got := g.call(t, "events", "", limit); len(got.Events) != want {
			t.Errorf("a limit of %d gives %d events, want %d", limit, len(got.Events), want)
		}
	}
}

// An answer must not have more values than a reader takes.
func TestEventsOfManyValuesComeInSmallerPages(t *testing.T) {
	g := newGateway(t)
	data := []byte(`{"list":[` + strings.Repeat(`0,`, feed.MaxValues-4) + `0]}`)
	g.add(t, feed.Event{Data: data}, feed.Event{Data: data}, feed.Event{Data: data}, feed.Event{Bug: "last"})
	first := g.call(t, "events", "", 0)
	if len(first.Events) != 2 {
		t.Fatalf("the first page has %d events", len(first.Events))
	}
	if second := g.call(t, "events", first.After, 0); len(second.Events) != 2 || second.Events[1]["bug"] != "last" || second.Truncated {
		t.Errorf("the second page has %d events, truncated %v", len(second.Events), second.Truncated)
	}
}

func TestWaitReturnsTheNextEvent(t *testing.T) {
	g := newGateway(t)
	after := g.add(t, feed.Event{Bug: "1"})[0]
	if got := g.call(t, "wait", "", 0, 25); len(got.Events) != 1 {
		t.Errorf("what is there: %+v", got)
	}
	answers := make(chan answer)
	go func() { answers <- g.call(t, "wait", after, 0, 25) }()
	<-g.waits
	g.add(t, feed.Event{Bug: "2"})
	if got := <-answers; len(got.Events) != 1 || got.Events[0]["bug"] != "2" {
		t.Errorf("what came: %+v", got)
	}
}

func TestWaitEndsAfterItsSecondsOrTheMost(t *testing.T) {
	g := newGateway(t, feed.WithMaxWait(time.Millisecond))
	after := g.add(t, feed.Event{})[0]
	for _, seconds := range []int{0, 1, 25, 1<<31 - 1} {
		if got := g.call(t, "wait", after, 0, seconds); len(got.Events) != 0 || got.After != after || got.Truncated {
			t.Errorf("%d seconds: %+v", seconds, got)
		}
	}
	if got := g.call(t, "wait", after); len(got.Events) != 0 {
		t.Errorf("without seconds: %+v", got)
	}
}

func TestMoreCallsThanMayWaitAreRefusedUntilOneHasGone(t *testing.T) {
	g := newGateway(t, feed.WithMaxWaiting(1))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- g.client.Call(ctx, "wait", nil, "", 0, 25) }()
	<-g.waits
	g.wantFault(t, 429, "TOO_MANY_REQUESTS", "wait", "", 0, 25)
	if got := g.call(t, "events", "", 0); len(got.Events) != 0 {
		t.Errorf("reading: %+v", got)
	}
	g.call(t, "wait", "", 0, 0) // does not wait
	cancel()
	<-gone
	// That the client has gone ends its call; then there is room for another.
	answers := make(chan error)
	go func() {
		for {
			err := g.client.Call(t.Context(), "wait", nil, "", 0, 25)
			var fault *xmlrpc.Fault
			if !errors.As(err, &fault) || fault.Code != 429 {
				answers <- err
				return
			}
		}
	}()
	<-g.waits
	g.add(t, feed.Event{})
	if err := <-answers; err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestWaitEndsWhenTheGatewayStops(t *testing.T) {
	g := newGateway(t)
	after := g.add(t, feed.Event{})[0]
	answers := make(chan answer)
	go func() { answers <- g.call(t, "wait", after, 0, 25) }()
	<-g.waits
	g.stop()
	if got := <-answers; len(got.Events) != 0 || got.After != after {
		t.Errorf("the answer is %+v", got)
	}
}

func TestBadParametersAndAStoreThatFailsAreFaults(t *testing.T) {
	g := newGateway(t)
	after := g.add(t, feed.Event{})[0]
	for _, method := range []string{"events", "wait"} {
		g.wantFault(t, 400, "INVALID_DATA", method, "nowhere", 0)
		g.wantFault(t, 400, "INVALID_DATA", method, strings.Repeat("9", 1<<16)+"\x7f", 0)
		g.wantFault(t, 400, "INVALID_DATA", method, "", -1)
	}
	g.wantFault(t, 400, "INVALID_DATA", "wait", "", 0, -1)
	faults := make(chan error)
	go func() { faults <- g.client.Call(t.Context(), "wait", nil, after, 0, 25) }()
	<-g.waits
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	var fault *xmlrpc.Fault
	if err := <-faults; !errors.As(err, &fault) || fault.Code != 503 {
		t.Errorf("a call that waits while the store is closed: %v", err)
	}
	for _, method := range []string{"events", "wait"} {
		g.wantFault(t, 503, "STORE_UNAVAILABLE", method, "", 0)
	}
	for _, opt := range []feed.ServiceOption{feed.WithMaxWait(0), feed.WithMaxWaiting(0)} {
		if err := feed.RegisterService(xmlrpc.NewRegistry(), g.noticed, opt); err == nil {
			t.Error("calls that may not wait are registered")
		}
	}
}

func TestAHundredCallsWaitForOneEvent(t *testing.T) {
	g := newGateway(t)
	answers := make(chan answer)
	for range 100 {
		go func() { answers <- g.call(t, "wait", "", 0, 25) }()
	}
	for range 100 {
		<-g.waits
	}
	g.add(t, feed.Event{Bug: strconv.Itoa(7)})
	for range 100 {
		if got := <-answers; len(got.Events) != 1 || got.Events[0]["bug"] != "7" {
			t.Errorf("%+v", got)
		}
	}
}
