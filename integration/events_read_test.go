package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// longWait is how long a call of hooks.wait waits at most, in seconds.
const longWait = 25

// awaitWaiting waits until so many calls of hooks.wait wait at a gateway.
func awaitWaiting(tb testing.TB, g *gatewayProcess, calls int) {
	tb.Helper()
	g.await(tb, func() bool {
		stacks := curl(tb, "http://"+g.Admin+"/debug/pprof/goroutine?debug=2")
		return stacks.Status == http.StatusOK && strings.Count(stacks.Body, "feed.(*service).wait(") >= calls
	})
}

func TestAWaitingClientIsWokenByAHook(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--config", writeConfig(t, commitsHook))...)
		token, after := createHookToken(t, g.Data), ""
		for bug := range 5 {
			waiting := beginCall(t, g, "/hooks", "wait", after, 100, longWait)
			prefixed := beginCall(t, g, "/RPC2", "hooks.wait", after, 100, longWait)
			awaitWaiting(t, g, 2)
			position := callHook(t, g, "commits", "--data", fmt.Sprintf("bug=%d&token=%s", bug, token)).wantAccepted(t)
			for _, ended := range []<-chan rpcAnswer{waiting, prefixed} {
				var page feedPage
				end(t, "hooks.wait", ended).result(t, &page)
				if len(page.Events) != 1 || page.Events[0].Bug != fmt.Sprint(bug) || page.After != position || page.Truncated {
					t.Fatalf("woken with %+v, want the event at %s", page, position)
				}
			}
			after = position
		}
	})
}

func TestAWaitingClientOnOneGatewayIsWokenByAHookOnAnother(t *testing.T) {
	t.Parallel()
	args := []string{"--set", "store.url=" + startRedis(t, redisOptions{}).URL, "--config", writeConfig(t, commitsHook)}
	a, b := startGateway(t, args...), startGateway(t, args...)
	token, after := createHookToken(t, a.Data, args...), ""
	for bug, pair := range [][2]*gatewayProcess{{a, b}, {b, a}, {a, b}, {b, a}} {
		waiting := beginCall(t, pair[0], "/hooks", "wait", after, 100, longWait)
		awaitWaiting(t, pair[0], 1)
		after = callHook(t, pair[1], "commits", "--data", fmt.Sprintf("bug=%d&token=%s", bug, token)).wantAccepted(t)
		var page feedPage
		end(t, "hooks.wait", waiting).result(t, &page)
		if len(page.Events) != 1 || page.After != after || page.Events[0].Bug != fmt.Sprint(bug) {
			t.Fatalf("woken with %+v, want the event at %s", page, after)
		}
	}
	if one, other := readFeed(t, a, ""), readFeed(t, b, ""); fmt.Sprint(one) != fmt.Sprint(other) || len(one) != 4 {
		t.Errorf("one gateway tells\n%v\nthe other\n%v", one, other)
	}
}

// TestAWaitingClientDoesNotHoldUpTheEnd stops a gateway at which clients wait: they get an empty
// answer, and it ends before the time that they asked for is over.
func TestAWaitingClientDoesNotHoldUpTheEnd(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		after := callHook(t, g, "commits", "--data", "bug=7&token="+token).wantAccepted(t)
		asked := time.NewTimer(longWait * time.Second)
		defer asked.Stop()
		waiting := []<-chan rpcAnswer{beginCall(t, g, "/hooks", "wait", after, 100, longWait), beginCall(t, g, "/RPC2", "hooks.wait", after, 100, longWait)}
		awaitWaiting(t, g, len(waiting))
		if status := g.Stop(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		select {
		case <-asked.C:
			t.Error("the gateway ended only when nobody waited any more")
		default:
		}
		for _, ended := range waiting {
			var page feedPage
			end(t, "hooks.wait", ended).result(t, &page)
			if len(page.Events) != 0 || page.After != after {
				t.Errorf("at the end there was %+v", page)
			}
		}
	})
}

func TestTheMethodsOfTheFeedAreListedAndExplained(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for path, names := range map[string][]string{"/hooks": {"events", "wait"}, "/RPC2": {"hooks.events", "hooks.wait"}} {
		var methods []string
		(<-beginCall(t, g, path, "system.listMethods")).result(t, &methods)
		for _, name := range names {
			var help string
			(<-beginCall(t, g, path, "system.methodHelp", name)).result(t, &help)
			if !slices.Contains(methods, name) || help == "" {
				t.Errorf("%s: %s is not among %v, or not explained", path, name, methods)
			}
		}
	}
	(<-beginCall(t, g, "/hooks", "hooks.events")).wantFault(t, -32601, "")
	(<-beginCall(t, g, "/RPC2", "events")).wantFault(t, -32601, "")
	if answer := curl(t, "http://"+g.Public+"/hooks", "--data", rpcDocument("events")); answer.Status != http.StatusNotFound {
		t.Errorf("the feed on the public side: %s", answer)
	}
}

func TestEventsAreReadInPages(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(with(unlimited, store...), "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		var page feedPage
		call(t, g, "hooks.events", "", 10).result(t, &page)
		if len(page.Events) != 0 || page.After != "" || page.Truncated {
			t.Errorf("of an empty feed: %+v", page)
		}
		for bug := range 5 {
			callHook(t, g, "commits", "--data", fmt.Sprintf("bug=%d&token=%s", bug, token)).wantAccepted(t)
		}
		after, bugs := "", ""
		for _, want := range []int{2, 2, 1, 0} {
			call(t, g, "hooks.events", after, 2).result(t, &page)
			if len(page.Events) != want || page.Truncated {
				t.Fatalf("%+v, want %d events", page, want)
			}
			for _, e := range page.Events {
				bugs += e.Bug
			}
			if want > 0 && page.After != page.Events[want-1].After || want == 0 && page.After != after {
				t.Errorf("after %s of %+v", page.After, page.Events)
			}
			after = page.After
		}
		if bugs != "01234" {
			t.Errorf("the bugs came as %s", bugs)
		}
		call(t, g, "hooks.wait", after, 10, 1).result(t, &page)
		if len(page.Events) != 0 || page.After != after {
			t.Errorf("after a second without events: %+v", page)
		}
		call(t, g, "hooks.events", "nonsense", 10).wantFault(t, 400, "INVALID_DATA")
		call(t, g, "hooks.events", "", -1).wantFault(t, 400, "INVALID_DATA", "limit")
		call(t, g, "hooks.wait", "", 10, -1).wantFault(t, 400, "INVALID_DATA", "seconds")
	})
}

// TestTheFeedKeepsAsManyEventsAsIsConfigured sends far more than that.
func TestTheFeedKeepsAsManyEventsAsIsConfigured(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		const kept, sent = 10, 400
		g := startGateway(t, with(with(unlimited, store...), "--config", writeConfig(t, commitsHook), "--set", fmt.Sprintf("events.max_events=%d", kept))...)
		token, load := createHookToken(t, g.Data), newLoader()
		var first string
		for n := range sent {
			answer := load.hook(g, "commits", fmt.Sprintf("bug=%d&token=%s", n, token))
			if answer.Status != http.StatusOK {
				t.Fatal(answer)
			}
			if n == 0 {
				first = answer.wantAccepted(t)
			}
		}
		var page feedPage
		g.await(t, func() bool { // what is too much is taken away aside
			call(t, g, "hooks.events", first, 1000).result(t, &page)
			return len(page.Events) < sent/2
		})
		if !page.Truncated || len(page.Events) < kept || page.Events[len(page.Events)-1].Bug != fmt.Sprint(sent-1) {
			t.Errorf("truncated %t, %d events up to that of bug %s", page.Truncated, len(page.Events), page.Events[len(page.Events)-1].Bug)
		}
	})
}

// TestEventsCanBeReadWhateverStandsInThem sends what XML cannot carry and what XML-RPC has no type for.
func TestEventsCanBeReadWhateverStandsInThem(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		config := "[[hook]]\nname = \"any\"\n"
		for _, kind := range []string{"text", "json", "integer", "datetime"} {
			config += fmt.Sprintf("[[hook.field]]\nname = %q\ntype = %q\nrequired = false\n", "a_"+kind, kind)
		}
		g := startGateway(t, with(store, "--config", writeConfig(t, config))...)
		token, after := createHookToken(t, g.Data), ""
		for _, test := range []struct{ kind, body, data string }{
			{"application/x-www-form-urlencoded", "a_text=a%01b%0Bc%EF%BF%BEd%0D%0Ae%5D%5D%3E%3C", `{"a_text":"a\ufffdb\ufffdc\ufffdd\r\ne]]><"}`},
			{"application/json", `{"a_text": "\ud800 \u0001 \ud83d\ude00"}`, `{"a_text":"\ufffd \ufffd 😀"}`},
			{"application/json", `{"a_integer": 9223372036854775807, "a_datetime": 0, "a_text": 12345678901234567890}`,
				`{"a_datetime":"1970-01-01T00:00:00Z","a_integer":"9223372036854775807","a_text":"12345678901234567890"}`},
			{"application/json", `{"a_json": {"big": 123456789012345678901234567890, "f": 1e400, "half": 0.5, "": [true, "x", [], {}], "\u0001": "ctl"}}`,
				`{"a_json":{"":[true,"x",[],{}],"big":"123456789012345678901234567890","f":"1e400","half":0.5,"\ufffd":"ctl"}}`},
			{"application/x-www-form-urlencoded", "", `{}`},
		} {
			position := callHook(t, g, "any", "--header", "Authorization: Bearer "+token, "--header", "Content-Type: "+test.kind, "--data-binary", test.body).wantAccepted(t)
			events := readFeed(t, g, after)
			after = position
			if len(events) != 1 {
				t.Fatalf("%s: %+v", test.body, events)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(test.data), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(events[0].Data, want) {
				t.Errorf("%s is told as %q, want %q", test.body, events[0].Data, want)
			}
		}
	})
}

// TestAWaitingClientGetsAnAnswerBeforeTheLimitOfTheHandler is for operators who set that lower.
func TestAWaitingClientGetsAnAnswerBeforeTheLimitOfTheHandler(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--set", "request.handler_timeout=1s")...)
		var page feedPage
		end(t, "hooks.wait", beginCall(t, g, "/hooks", "wait", "", 10, longWait)).result(t, &page)
		if len(page.Events) != 0 || page.After != "" {
			t.Errorf("%+v", page)
		}
	})
}
