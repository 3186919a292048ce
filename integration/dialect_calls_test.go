package integration

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
)

// dialectCall is one way to call a tracker.
type dialectCall struct {
	name       string
	capability string // that it needs; "own": methods of the tracker's own
	writes     bool
	begin      func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer
}

// dialectCalls are all methods of trackers.*, and the proxy.
var dialectCalls = []dialectCall{
	{"list", "", false, method("list", func(*spokenDialect) []any { return nil })},
	{"probe", "", false, method("probe", named())},
	{"retry", "", false, method("retry", named())},
	{"getBugs", "read-bugs", false, method("getBugs", named([]int{1, 2, 3}, "full"))},
	{"getModifiedBugs", "modified-since", false, method("getModifiedBugs", named([]int{1, 2}, 0))},
	{"getComments", "read-comments", false, method("getComments", named(1, []int{}))},
	{"getLink", "links", false, method("getLink", named(1))},
	{"statuses", "status-list", false, method("statuses", named())},
	{"call", "own", false, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(false)
		return beginCall(t, g, "/RPC2", "trackers.call", d.name, own.method, list(own.params))
	}},
	{"multicast", "own", false, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(false)
		return castAs(d.name, beginCall(t, g, "/RPC2", "trackers.multicast", []string{d.name}, own.method, list(own.params)))
	}},
	{"proxy", "own", false, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(false)
		return beginCall(t, g, "/trackers/"+d.name, own.method, own.params...)
	}},

	{"addComment", "write-comments", true, method("addComment", named(2, "Hello.", "Ann"))},
	{"fileBug", "file-bug", true, method("fileBug", func(d *spokenDialect) []any {
		bug := d.bug
		if bug == nil {
			bug = bugzillaBug
		}
		return []any{d.name, bug}
	})},
	{"setLink", "links", true, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		number := linkNumber.Add(1) // a link that is there already need not be written
		return beginCall(t, g, "/RPC2", "trackers.setLink", d.name, 3, number, fmt.Sprintf("https://bugs.launchpad.net/bugs/%d", number))
	}},
	{"call that writes", "own", true, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(true)
		return beginCall(t, g, "/RPC2", "trackers.call", d.name, own.method, list(own.params))
	}},
	{"multicast that writes", "own", true, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(true)
		return castAs(d.name, beginCall(t, g, "/RPC2", "trackers.multicast", []string{d.name}, own.method, list(own.params)))
	}},
	{"proxy that writes", "own", true, func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		own := d.own(true)
		return beginCall(t, g, "/trackers/"+d.name, own.method, own.params...)
	}},
}

var linkNumber atomic.Int64

// method makes the call of a method of trackers.* from its parameters.
func method(name string, params func(*spokenDialect) []any) func(testing.TB, *gatewayProcess, *spokenDialect) <-chan rpcAnswer {
	return func(t testing.TB, g *gatewayProcess, d *spokenDialect) <-chan rpcAnswer {
		return beginCall(t, g, "/RPC2", "trackers."+name, params(d)...)
	}
}

// named are parameters of which the first is the tracker's name.
func named(more ...any) func(*spokenDialect) []any {
	return func(d *spokenDialect) []any { return append([]any{d.name}, more...) }
}

// own is a method of the tracker's own, of a Bugzilla's where it has none.
func (d *spokenDialect) own(write bool) ownCall {
	switch {
	case d.ownRead.method == "":
		return ownCall{"Bug.get", []any{map[string]any{"ids": []int{1}}}}
	case write:
		return d.ownWrite
	}
	return d.ownRead
}

// list is never null.
func list(params []any) []any { return append([]any{}, params...) }

// castAs makes the answer of a multicast to one tracker that of a call.
func castAs(name string, ended <-chan rpcAnswer) <-chan rpcAnswer {
	out := make(chan rpcAnswer, 1)
	go func() {
		answer := <-ended
		var casts map[string]struct {
			Value json.RawMessage
			Fault *rpcFault
		}
		if answer.Fault == nil && answer.Error == "" {
			if err := json.Unmarshal(answer.Result, &casts); err != nil {
				answer.Error = err.Error()
			}
			answer.Result, answer.Fault = casts[name].Value, casts[name].Fault
		}
		out <- answer
	}()
	return out
}
