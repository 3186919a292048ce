package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
)

// proxiedCalls is a program of a tracker's user: it knows the tracker's methods, and of the
// gateway nothing. It prints what it was answered.
const proxiedCalls = `
import json, sys, xmlrpc.client

class Transport(xmlrpc.client.Transport):
    def send_headers(self, connection, headers):
        super().send_headers(connection, headers + [("X-Requested-With", "XMLHttpRequest")])

tracker = xmlrpc.client.ServerProxy(sys.argv[1], transport=Transport(), allow_none=True)
for name, params in json.loads(sys.argv[2]):
    method = tracker
    for part in name.split("."):
        method = getattr(method, part)
    try:
        print(name, json.dumps(method(*params), sort_keys=True, default=str))
    except xmlrpc.client.Fault as fault:
        print(name, fault.faultCode, fault.faultString)
`

// TestProxyIsTheTrackerItselfForPythonsClient runs the same program at each peer, as a visitor,
// and at the proxy before it, and compares what it printed. What only an account sees is not
// asked for.
func TestProxyIsTheTrackerItselfForPythonsClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dialect string
		peer    func(callbacks string) *tracPeer // that lets everybody read
		direct  string                           // where it is called, below its URL
		below   string                           // the same below the proxy's
		calls   string
	}{
		{bugzilla.NativeName, func(string) *tracPeer { return startBugzillaPeer(t, bugzillaPeerOptions{}).tracPeer }, "/xmlrpc.cgi", "/xmlrpc.cgi",
			`[["Bugzilla.version", []], ["Bug.get", [{"ids": [1, "crash-empty", 3], "include_fields": ["id", "alias", "summary", "creation_time", "cc"]}]], ["Bug.comments", [{"ids": [10]}]],
				["Bug.get", [{"ids": [99999]}]], ["Bug.nonsense", [{}]], ["Product.get", [{"names": ["Widgets"]}]]]`},
		{bugzilla.LaunchpadName, func(callbacks string) *tracPeer {
			return startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: callbacks}).tracPeer
		}, "/xmlrpc.cgi", "", `[["Bug.get", [{"ids": [1, 2], "include_fields": ["id", "summary"]}]], ["Launchpad.plugin_version", []], ["Bug.get", [{"ids": [99999]}]]]`},
		{trac.NativeName, func(string) *tracPeer { return startTracNativePeer(t, "--anonymous") }, "/xmlrpc", "/login/xmlrpc",
			`[["ticket.get", [1]], ["ticket.query", ["status=closed&order=id&max=3"]], ["ticket.get", [9999]], ["ticket.status.getAll", []],
				["system.getAPIVersion", []], ["system.multicall", [[{"methodName": "ticket.get", "params": [2]}, {"methodName": "ticket.get", "params": [9999]}]]]]`},
		{roundup.Name, func(string) *tracPeer { return startRoundupPeer(t, "--open") }, "/xmlrpc", "/xmlrpc",
			`[["schema", []], ["list", ["priority", "name"]], ["display", ["issue1", "title", "status"]], ["display", ["issue9999", "title"]]]`},
		{generic.Name, func(string) *tracPeer { return startGenericPeer(t) }, "", "/RPC2",
			`[["system.listMethods", []], ["sample.echo", [1, 1.5, "ä <&> 🐛", true, null, [1, []], {"a": {"b": "c"}}]], ["sample.fail", [77, "on purpose"]],
				["sample.nonsense", []], ["system.multicall", [[{"methodName": "sample.add", "params": [1, 2]}, {"methodName": "sample.fail", "params": [5, "no"]}]]]]`},
	} {
		t.Run(test.dialect, func(t *testing.T) {
			d := dialectNamed(test.dialect)
			relay := startRelay(t)
			peer := test.peer(relay.URL + "/for/x")
			g := startGateway(t, with(unlimited, "--set", "public.url="+relay.URL, "--config", writeFile(t, "trackgate.toml", d.entry(t, "x", d.name, peer, "")))...)
			relay.To(g.Public)
			direct := runPython(t, proxiedCalls, peer.URL+test.direct, test.calls)
			proxied := runPython(t, proxiedCalls, "http://"+g.Private+"/trackers/x"+test.below, test.calls)
			if proxied != direct {
				t.Errorf("through the proxy it printed\n%s\nand of the tracker itself\n%s", proxied, direct)
			}
			if !strings.Contains(direct, "\n") {
				t.Errorf("the program printed only %q", direct)
			}
			for _, args := range [][]string{{"--head"}, nil} {
				if answer := curl(t, append(args, "http://"+g.Private+"/trackers/x")...); answer.Status != http.StatusOK {
					t.Errorf("without a call: %s", answer)
				}
			}
		})
	}
}

// dialectNamed finds a dialect.
func dialectNamed(name string) *spokenDialect {
	for i := range spokenDialects {
		if spokenDialects[i].name == name {
			return &spokenDialects[i]
		}
	}
	return nil
}

// TestProxyWorksWithTheCommandOfBugzilla runs Debian's bugzilla at the proxy as it is run at a
// Bugzilla, however the gateway logs in to that. The command has no credentials.
func TestProxyWorksWithTheCommandOfBugzilla(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dialect, credentials string
		options              bugzillaPeerOptions
	}{
		"by password":       {bugzilla.NativeName, "user = \"rene@bugs.example\"\npassword = \"fake-rene-Pass1\"\n", bugzillaPeerOptions{RequireLogin: true}},
		"by API key":        {bugzilla.NativeName, "api_key = \"" + bugzillaKey + "\"\n", bugzillaPeerOptions{RequireLogin: true}},
		"by one-time token": {bugzilla.LaunchpadName, "", bugzillaPeerOptions{Launchpad: true}},
	} {
		t.Run(name, func(t *testing.T) {
			relay := startRelay(t)
			test.options.CallbackRoot = relay.URL + "/for/mozilla"
			peer := startBugzillaPeer(t, test.options)
			d := spokenDialect{name: test.dialect, credentials: test.credentials}
			g := startGateway(t, with(unlimited, "--set", "public.url="+relay.URL, "--config", writeFile(t, "trackgate.toml", d.entry(t, "mozilla", d.name, peer.tracPeer, "")))...)
			relay.To(g.Public)
			checkBugzillaCommand(t, newBugzillaCommand(t, "http://"+g.Private+"/trackers/mozilla/xmlrpc.cgi"), peer)
			if failures := peer.Stats().Failures; failures != 0 {
				t.Errorf("the peer failed %d times", failures)
			}
		})
	}
}
