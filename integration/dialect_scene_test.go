package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
)

// spokenDialect is a dialect with a peer that speaks it, and what is called there.
type spokenDialect struct {
	name string // also that of the tracker in the tests
	// start starts the peer. callbacks is the root of the gateway's callback URLs for it.
	start func(t testing.TB, callbacks string, o peerOptions) *tracPeer
	// credentials is the text of the credentials file; empty: there is none.
	credentials  string
	capabilities string // as trackers.list shows them, with blanks between
	// reason stands in what trackers.probe says about why the tracker is taken for it.
	reason string
	// calls is the place of the peer's rules at which reads arrive.
	calls string
	// logins counts the log-ins so far; nil: the tracker has no sessions.
	logins func(tracStats) int

	bug      map[string]any // what a bug is filed with
	ownRead  ownCall        // methods of the tracker's own; empty: it has none that can be called
	ownWrite ownCall
}

// peerOptions are those that all peers have.
type peerOptions struct {
	ahead time.Duration // of its clock to this machine's
}

func (o peerOptions) seconds() string { return strconv.FormatFloat(o.ahead.Seconds(), 'f', -1, 64) }

type ownCall struct {
	method string
	params []any
}

const (
	everyCapability = "read-bugs modified-since read-comments write-comments links status-list file-bug"
	bugzillaKey     = "FAKEAPIKEY0000000000000000000000RENE0001"
)

var bugzillaBug = map[string]any{"title": "It fails", "description": "As said.", "product": "Widgets", "component": "ui", "version": "1.0"}

// spokenDialects are all dialects. The secrets in them are those of the peers.
var spokenDialects = []spokenDialect{
	{
		name: trac.LaunchpadName, capabilities: "read-bugs modified-since read-comments write-comments links",
		reason: "Launchpad plugin", calls: "xmlrpc", logins: func(s tracStats) (n int) {
			for _, callback := range s.Callbacks {
				if !strings.Contains(callback.URL, "/token/check/") { // which is none: it finds out what is there
					n++
				}
			}
			return n
		},
		start: func(t testing.TB, callbacks string, o peerOptions) *tracPeer {
			return startTracPeer(t, tracPeerOptions{CallbackRoot: callbacks, ClockOffset: o.ahead})
		},
		ownRead:  ownCall{"launchpad.bug_info", []any{0, map[string]any{"bugs": []string{"1"}}}},
		ownWrite: ownCall{"launchpad.add_comment", []any{"2", "Its own."}},
	},
	{
		name: bugzilla.LaunchpadName, capabilities: everyCapability,
		reason: "Launchpad", calls: "xmlrpc", logins: func(s tracStats) int { return s.Calls["Launchpad.login"] },
		start: func(t testing.TB, callbacks string, o peerOptions) *tracPeer {
			return startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: callbacks, ClockOffset: o.ahead}).tracPeer
		},
		bug:      bugzillaBug,
		ownRead:  ownCall{"Bug.get", []any{map[string]any{"ids": []int{1}}}},
		ownWrite: ownCall{"Bug.add_comment", []any{map[string]any{"id": 2, "comment": "Its own."}}},
	},
	{
		name: bugzilla.NativeName, capabilities: everyCapability, credentials: "user = \"rene@bugs.example\"\npassword = \"fake-rene-Pass1\"\n",
		reason: "Bugzilla", calls: "xmlrpc", logins: func(s tracStats) int { return s.Calls["User.login"] },
		start: func(t testing.TB, _ string, o peerOptions) *tracPeer {
			return startBugzillaPeer(t, bugzillaPeerOptions{RequireLogin: true, ClockOffset: o.ahead}).tracPeer
		},
		bug:      bugzillaBug,
		ownRead:  ownCall{"Bug.get", []any{map[string]any{"ids": []int{1}}}},
		ownWrite: ownCall{"Bug.add_comment", []any{map[string]any{"id": 2, "comment": "Its own."}}},
	},
	{
		name: trac.NativeName, capabilities: everyCapability, credentials: "user = \"alice\"\npassword = \"wonder\"\n",
		reason: "XML-RPC plugin", calls: "xmlrpc",
		start: func(t testing.TB, _ string, o peerOptions) *tracPeer {
			return startTracNativePeer(t, "--link-field", trac.LinkField, "--lock-after", "5", "--clock-offset", o.seconds())
		},
		bug:      map[string]any{"title": "It fails", "description": "As said.", "component": "component2"},
		ownRead:  ownCall{"ticket.get", []any{1}},
		ownWrite: ownCall{"ticket.create", []any{"Its own", "As said.", map[string]any{}, false}},
	},
	{
		name: trac.CSVName, capabilities: "read-bugs", credentials: "user = \"alice\"\npassword = \"wonder\"\n",
		reason: "CSV", calls: "other", logins: func(s tracStats) int { return s.Requests["GET /native/login"] },
		start: func(t testing.TB, _ string, o peerOptions) *tracPeer {
			return startTracNativePeer(t, "--no-plugin", "--clock-offset", o.seconds())
		},
	},
	{
		name: roundup.Name, capabilities: everyCapability, credentials: "user = \"gateway\"\npassword = \"gateway\"\n",
		reason: "Roundup", calls: "xmlrpc",
		start: func(t testing.TB, _ string, o peerOptions) *tracPeer {
			return startRoundupPeer(t, "--link-property", roundup.LinkProperty, "--clock-offset", o.seconds())
		},
		bug:      map[string]any{"title": "It fails", "description": "As said."},
		ownRead:  ownCall{"display", []any{"issue1", "title"}},
		ownWrite: ownCall{"create", []any{"issue", "title=Its own"}},
	},
	{
		name: generic.Name, credentials: "token = \"fake-bearer-token\"\n",
		reason: "system.listMethods", calls: "xmlrpc",
		start: func(t testing.TB, _ string, o peerOptions) *tracPeer {
			return startGenericPeer(t, "--token", "fake-bearer-token", "--clock-offset", o.seconds())
		},
		ownRead:  ownCall{"system.listMethods", nil},
		ownWrite: ownCall{"sample.keep", []any{"Its own."}},
	},
}

// can tells whether the dialect has a capability; "own" stands for methods of the tracker's own,
// and none for what every dialect can do.
func (d *spokenDialect) can(capability string) bool {
	switch capability {
	case "":
		return true
	case "own":
		return d.ownRead.method != ""
	}
	return strings.Contains(" "+d.capabilities+" ", " "+capability+" ")
}

// entry is the section of a configuration file for a peer of the dialect.
func (d *spokenDialect) entry(t testing.TB, name, dialect string, peer *tracPeer, lines string) string {
	t.Helper()
	entry := fmt.Sprintf("\n[[tracker]]\nname = %q\nurl = %q\ndialect = %q\nallow_private = true\ncallback = \"own\"\n%s", name, peer.URL, dialect, lines)
	if d.credentials != "" {
		entry += fmt.Sprintf("credentials_file = %q\n", writeFile(t, "credentials", d.credentials))
	}
	return entry
}

// writeFile writes a file that only its owner can read, and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// dialectScene is a gateway with one tracker of each dialect, under its name.
type dialectScene struct {
	*gatewayProcess
	relay *relay
	peers map[string]*tracPeer
	args  []string // of the gateway, to start it again
}

// dialectOptions say how a scene starts.
type dialectOptions struct {
	peers   peerOptions
	dialect string   // of the entries, but for that of the generic one; empty: each peer's own
	lines   string   // added to each entry
	args    []string // of the gateway
}

// startDialects starts all peers and the gateway.
func startDialects(t testing.TB, o dialectOptions) *dialectScene {
	t.Helper()
	s := &dialectScene{relay: startRelay(t), peers: map[string]*tracPeer{}}
	var config strings.Builder
	for i := range spokenDialects {
		d := &spokenDialects[i]
		s.peers[d.name] = d.start(t, s.relay.URL+"/for/"+d.name, o.peers)
		named := d.name
		if o.dialect != "" && d.name != generic.Name { // which nobody can detect
			named = o.dialect
		}
		config.WriteString(d.entry(t, d.name, named, s.peers[d.name], o.lines))
	}
	s.args = with(unlimited, "--set", "limits.login.rate=off", "--set", "public.url="+s.relay.URL,
		"--config", writeFile(t, "trackgate.toml", config.String()))
	s.args = with(s.args, o.args...)
	s.start(t, t.TempDir())
	return s
}

func (s *dialectScene) start(t testing.TB, data string) {
	t.Helper()
	s.gatewayProcess = startGatewayIn(t, data, s.args...)
	s.relay.To(s.Public)
}

// hangLimit bounds the wait for an answer that has a limit of its own, far above that one: who
// waits longer waits for ever.
const hangLimit = 60 * time.Second

// end waits for the end of a call.
func end(t testing.TB, what string, ended <-chan rpcAnswer) rpcAnswer {
	t.Helper()
	limit := time.NewTimer(hangLimit)
	defer limit.Stop()
	select {
	case answer := <-ended:
		return answer
	case <-limit.C:
		t.Fatalf("%s has not ended in %s", what, hangLimit)
		return rpcAnswer{}
	}
}
