package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
)

// watchedDialect is a dialect whose peer can be changed by somebody else than the gateway.
type watchedDialect struct {
	name string
	bug  string
	// change gives the bug another title, and file makes a bug with a title and returns its id, both as
	// a user of the tracker would.
	change func(t *testing.T, peer *tracPeer, bug, title string)
	file   func(t *testing.T, peer *tracPeer, title string) string
}

// ask makes a call to a peer with Python's client.
func ask(t *testing.T, url, method string, params ...any) any {
	t.Helper()
	p, err := python()
	if err != nil {
		t.Fatal(err)
	}
	ended, err := p.begin(url, method, params)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	end(t, method, ended).result(t, &value)
	return value
}

func asAlice(url string) string { return strings.Replace(url, "http://", "http://alice:wonder@", 1) }

// byKey is a parameter of a call to Bugzilla.
func byKey(members map[string]any) map[string]any {
	members["Bugzilla_api_key"] = bugzillaKey
	return members
}

var watchedDialects = []watchedDialect{
	{
		name: trac.NativeName, bug: "3",
		change: func(t *testing.T, peer *tracPeer, bug, title string) {
			ask(t, asAlice(peer.URL)+"/login/xmlrpc", "ticket.update", number(t, bug), "As said.", map[string]any{"summary": title})
		},
		file: func(t *testing.T, peer *tracPeer, title string) string {
			return fmt.Sprint(ask(t, asAlice(peer.URL)+"/login/xmlrpc", "ticket.create", title, "As said.", map[string]any{}, false))
		},
	},
	{
		name: bugzilla.NativeName, bug: "3",
		change: func(t *testing.T, peer *tracPeer, bug, title string) {
			ask(t, peer.URL+"/xmlrpc.cgi", "Bug.update", byKey(map[string]any{"ids": []any{number(t, bug)}, "summary": title}))
		},
		file: func(t *testing.T, peer *tracPeer, title string) string {
			made := ask(t, peer.URL+"/xmlrpc.cgi", "Bug.create", byKey(map[string]any{
				"product": "Widgets", "component": "ui", "version": "1.0", "op_sys": "All", "platform": "All", "summary": title, "description": "As said.",
			}))
			return fmt.Sprint(made.(map[string]any)["id"])
		},
	},
	{
		name: roundup.Name, bug: "3",
		change: func(t *testing.T, peer *tracPeer, bug, title string) {
			askRoundup(t, peer, "set", "issue"+bug, "title="+title)
		},
		file: func(t *testing.T, peer *tracPeer, title string) string {
			answer := askRoundup(t, peer, "create", "issue", "title="+title)
			_, id, _ := strings.Cut(answer, "<string>")
			id, _, _ = strings.Cut(id, "</string>")
			return id
		},
	},
}

func askRoundup(t *testing.T, peer *tracPeer, method string, params ...string) string {
	t.Helper()
	status, body := roundupVisitor{t, peer.URL + "/xmlrpc", "gateway", "gateway"}.call(method, params...)
	if status != 200 || strings.Contains(body, "<fault>") {
		t.Fatalf("%s: %d %s", method, status, body)
	}
	return body
}

func number(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// watched are the peers of a configuration that watches them.
type watched struct {
	peers  map[string]*tracPeer
	config string // the file's path
}

// startWatched starts the peers of some dialects.
func startWatched(t *testing.T, dialects ...watchedDialect) *watched {
	t.Helper()
	w := &watched{peers: map[string]*tracPeer{}}
	var config strings.Builder
	for _, d := range dialects {
		spoken := dialectNamed(d.name)
		w.peers[d.name] = spoken.start(t, "", peerOptions{})
		config.WriteString(spoken.entry(t, d.name, d.name, w.peers[d.name], "") + "\n[[tracker.watch]]\ninterval = \"5s\"\n")
	}
	w.config = writeFile(t, "trackgate.toml", config.String())
	return w
}

// polls is how many polls of a tracker a gateway has made without an error.
func polls(t *testing.T, g *gatewayProcess, tracker string) int {
	t.Helper()
	return int(metric(t, scrape(t, g), fmt.Sprintf(`trackgate_watch_polls_total{outcome="ok",tracker="%s",watch="all"}`, tracker)))
}

// awaitPolls waits until a gateway has polled a tracker so many times more.
func awaitPolls(t *testing.T, g *gatewayProcess, tracker string, more int) {
	t.Helper()
	before := polls(t, g, tracker)
	g.await(t, func() bool { return polls(t, g, tracker) >= before+more })
}

// holds tells whether a gateway is the one that polls a tracker.
func holds(t *testing.T, g *gatewayProcess, tracker string) bool {
	t.Helper()
	return metric(t, scrape(t, g), fmt.Sprintf(`trackgate_watch_held{tracker="%s",watch="all"}`, tracker)) == 1
}

// waitFor reads the feed after a position, and waits, until it has so many events.
func waitFor(t *testing.T, g *gatewayProcess, after string, events int) ([]feedEvent, string) {
	t.Helper()
	var all []feedEvent
	for tries := 0; len(all) < events; tries++ {
		if tries > events+4 {
			t.Fatalf("only %d events came: %+v", len(all), all)
		}
		var page feedPage
		(<-beginCall(t, g, "/hooks", "wait", after, 100, longWait)).result(t, &page)
		all, after = append(all, page.Events...), page.After
	}
	return all, after
}
