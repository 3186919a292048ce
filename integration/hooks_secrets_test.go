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
)

// mayBeSeen is what proves that the search would find something.
const mayBeSeen = "A message that may be seen"

// TestNoSecretOfHooksTrailAndWatchesIsEverSeen lets everything happen that hooks, events, watches and the
// trail can do, at a gateway that logs all it can, and looks for each secret in each form in
// logs, answers, metrics, the trail, the process list and the bytes of the store.
func TestNoSecretOfHooksTrailAndWatchesIsEverSeen(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"on bolt", "on Redis"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := startSecretScene(t, store == "on Redis")
			s.presentTokens(t)
			s.presentSignatures(t)
			s.workAtTrackers(t)
			s.askAsOperator(t)
			from := s.readTheStore(t)
			s.keepSessions(t)
			s.check(t)
			s.checkThatTheSearchFinds(t, from)
		})
	}
}

// secretScene is a gateway with hooks of all kinds, a tracker that is watched and one that
// is logged in to by handshake, and the secrets of all of them.
type secretScene struct {
	secretKeeper
	*gatewayProcess
	redis             *redisProcess // nil on bolt
	env               []string
	config, auditKeys string // the configuration file, and the setting of the trail's
	hub, standard     string
	gnome, bugzilla   *tracPeer
	wires             []*relay
	exported          finished // the trail
}

const secretHooksTyped = "a-token-that-somebody-typed"

func startSecretScene(t *testing.T, onRedis bool) *secretScene {
	t.Helper()
	s := &secretScene{secretKeeper: secretKeeper{secrets: map[string]string{}}}
	keys := func(what string) string {
		key, line := randomKey(t)
		s.keep("the key of "+what, string(key))
		return writeFile(t, "keys", s.keep("the line of the key of "+what, line)+"\n")
	}
	s.hub = s.keep("the secret of push", "hush/secret+of=push & more")
	s.standard = s.keep("the secret of alerts", standardSecret("hushalerts"))
	s.keep("the key of alerts", strings.Repeat("hushalerts+", 32)[:32])
	s.keep("Bugzilla's password", "fake-rene-Pass1")
	s.keep("a token that somebody typed", secretHooksTyped)

	callbacks := startRelay(t)
	d := dialectNamed(bugzilla.NativeName)
	s.bugzilla = d.start(t, "", peerOptions{})
	s.gnome = startTracPeer(t, tracPeerOptions{CallbackRoot: callbacks.URL + "/for/gnome"})
	through := func(peer *tracPeer) *tracPeer {
		wire, relayed := startRelay(t), *peer
		host := tracHost(t, peer.URL)
		wire.To(host)
		s.wires = append(s.wires, wire)
		relayed.URL = strings.Replace(peer.URL, "http://"+host, wire.URL, 1)
		return &relayed
	}
	config := commitsHook + buildsHook + signedHook("alerts", "standard-webhooks", "") +
		signedHook("push", "x-hub-signature-256", fmt.Sprintf("secret_file = %q\n", writeFile(t, "push", s.hub+"\n"))) +
		fmt.Sprintf("\n[[tracker]]\nname = \"gnome\"\nurl = %q\ndialect = \"trac-launchpad\"\nallow_private = true\ncallback = \"own\"\n", through(s.gnome).URL) +
		d.entry(t, d.name, d.name, through(s.bugzilla), "") + "\n[[tracker.watch]]\ninterval = \"5s\"\n"
	s.wires = append(s.wires, callbacks)
	s.config, s.auditKeys = writeFile(t, "trackgate.toml", config), "audit.key_file="+keys("the trail")
	s.env = []string{"TRACKGATE_HOOK_ALERTS_SECRET=" + s.standard}
	if onRedis {
		password := s.keep("the password of Redis", "hush-password-of-redis")
		s.redis = startRedis(t, redisOptions{dir: t.TempDir(), args: []string{"--rdbcompression", "no", "--user", "gate", "on", ">" + password, "~*", "&*", "+@all"}})
		s.env = append(s.env, "TRACKGATE_STORE_URL="+strings.Replace(s.redis.URL, "//", "//gate:"+password+"@", 1))
	}
	s.gatewayProcess = startGatewayWith(t, t.TempDir(), s.env,
		"--config", s.config, "--set", "log.level=debug", "--set", "public.url="+callbacks.URL, "--set", "bridge.call_timeout=4s",
		"--set", "limits.hooks.rate=off", "--set", "limits.hook_failures.rate=1/h", "--set", "limits.hook_failures.burst=60",
		"--set", s.auditKeys, "--set", "sessions.key_file="+keys("the sessions"))
	callbacks.To(s.Public)
	return s
}

// command runs a command of two words on the scene's gateway or store.
func (s *secretScene) command(t *testing.T, words ...string) finished {
	t.Helper()
	return runGateway(t, "", s.env, append(append(words[:2:2], "--data", s.Data, "--config", s.config), words[2:]...)...)
}

func (s *secretScene) create(t *testing.T, what string, args ...string) string {
	t.Helper()
	f := s.command(t, append([]string{"hook-token", "create"}, args...)...)
	if !hookTokenLine.MatchString(f.stdout) {
		t.Fatalf("hook-token create: %+v", f)
	}
	s.hear(f.stderr)
	return s.keep(what, strings.TrimSpace(f.stdout))
}

// presentTokens shows tokens that are dead, in their grace time, live, another hook's, and none at all,
// wherever a caller may put them.
func (s *secretScene) presentTokens(t *testing.T) {
	t.Helper()
	g := s.gatewayProcess
	for _, token := range []string{
		s.create(t, "a dead token"), s.create(t, "a token in its grace time"), s.create(t, "a live token", "--grace", "1h"), s.create(t, "a token of builds", "--hook", "builds"), secretHooksTyped,
	} {
		const asJSON = "Content-Type: application/json"
		bearer := "Authorization: Bearer " + token
		s.hear(
			callHook(t, g, "commits", "--data", "bug=7&token="+token, "--data-urlencode", "message="+mayBeSeen),
			callHook(t, g, "commits", "--data", "bug="+token+"&token="+token+"&other="+token),
			callHook(t, g, "commits", "--data", "bug=7&token="+token+"&token="+token),
			callHook(t, g, "commits", "--data", "bug=7&token="+token+"%0A"),
			callHook(t, g, "commits?token="+token, "--data", "bug=7", "--user-agent", token, "--referer", "http://"+token+"/", "--cookie", "token="+token),
			callHook(t, g, token, "--data", "token="+token),
			callHook(t, g, "commits/"+token, "--request", "GET"),
			callHook(t, g, "commits", "--header", "Content-Type: "+token, "--data", token),
			callHook(t, g, "commits", "--header", asJSON, "--data", `{"bug": 7, "token": "`+token+`"`),
			callHook(t, g, "commits", "--header", asJSON, "--data", `{"bug": 7, "token": {"a": "`+token+`"}}`),
			callHook(t, g, "commits", "--header", "Content-Type: multipart/form-data; boundary=b", "--data", "--b\r\n"+token+": "+token+"\r\n\r\n"+token+"\r\n--b"),
			callHook(t, g, "commits", "--form-string", "token="+token, "--form-string", token+"="+token),
			callHook(t, g, "builds", "--header", bearer, "--data", "state=ok"),
			callHook(t, g, "builds", "--header", bearer, "--header", bearer, "--data", "state=ok"),
			callHook(t, g, "builds", "--header", bearer, "--header", "webhook-id: "+token, "--data", "state=fails"),
			callHook(t, g, "builds", "--header", bearer+" "+token, "--data", "state=ok"),
		)
		// Whose parameter is wrong may be told which; nobody else may.
		for _, ended := range []<-chan rpcAnswer{
			beginCall(t, g, "/hooks", "events", token, 1), beginCall(t, g, "/hooks", "wait", token, 1, 1), beginCall(t, g, "/audit", "events", token, 1),
			beginCall(t, g, "/audit", "events", "", 1, map[string]any{token: token}), beginCall(t, g, "/audit", "events", "", 1, map[string]any{"since": token}),
		} {
			end(t, "a call with a token in the wrong place", ended).wantFault(t, 400, "INVALID_DATA")
		}
	}
}

// presentSignatures shows signatures that are right, of something else, and old.
func (s *secretScene) presentSignatures(t *testing.T) {
	t.Helper()
	g, body, now := s.gatewayProcess, `{"text": "signed"}`, time.Now()
	for _, at := range []time.Time{now, now, now.Add(-time.Hour)} {
		signature := standardSignature(t, s.standard, "msg", at, body)
		s.keep("a signature of alerts", strings.TrimPrefix(signature, "v1,"))
		s.hear(callSigned(t, g, "alerts", "msg", at, signature, body), callSigned(t, g, "alerts", "other", at, signature, body), callSigned(t, g, "alerts", "msg", at, signature, body+" "))
	}
	signature := s.keep("a signature of push", strings.TrimPrefix(hubSignature(t, s.hub, body), "sha256="))
	for _, text := range []string{body, body, body + " "} {
		s.hear(callHook(t, g, "push", "--header", "Content-Type: application/json", "--header", "X-Hub-Signature-256: sha256="+signature, "--data-binary", text))
	}
}

// workAtTrackers uses one-time tokens, and has a watch find something, and then nobody to talk to.
func (s *secretScene) workAtTrackers(t *testing.T) {
	t.Helper()
	g := s.gatewayProcess
	minted := s.keep("a one-time token", mint(t, g))
	read := func(name string) rpcAnswer { return call(t, g, "trackers.getBugs", name, []int{1}) }
	s.hear(present(t, g, minted), present(t, g, minted), read("gnome"), read(bugzilla.NativeName))
	g.await(t, func() bool { return polls(t, g, bugzilla.NativeName) >= 1 })
	for _, d := range watchedDialects {
		if d.name == bugzilla.NativeName {
			d.change(t, s.bugzilla, d.bug, mayBeSeen)
		}
	}
	g.await(t, func() bool { return strings.Contains(fmt.Sprint(readFeed(t, g, "")), "watch:"+bugzilla.NativeName) })
	for _, kind := range []string{"refuse", "html200", "garbage"} {
		s.bugzilla.Misbehave(misbehaviour{On: "xmlrpc", Kind: kind})
		s.gnome.Misbehave(misbehaviour{On: "login", Kind: kind})
		s.gnome.Expire("purged")
		s.hear(read("gnome"), read(bugzilla.NativeName), call(t, g, "trackers.retry", "gnome"), call(t, g, "trackers.retry", bugzilla.NativeName))
		s.bugzilla.Reset()
		s.gnome.Reset()
	}
	g.await(t, func() bool { // until there have been too many
		answer := callHook(t, g, "commits", "--data", "bug=7&token="+secretHooksTyped)
		s.hear(answer)
		return answer.Status == 429
	})
}

// askAsOperator asks for all that the gateway tells on its private sides, and stops it.
func (s *secretScene) askAsOperator(t *testing.T) {
	t.Helper()
	g := s.gatewayProcess
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.cmd.Process.Pid), "cmdline"))
	if err != nil {
		t.Fatal(err)
	}
	s.hear(string(cmdline), readFeed(t, g, ""), call(t, g, "audit.events", "", 1000), scrape(t, g),
		curl(t, "http://"+g.Admin+"/debug/pprof/cmdline"), curl(t, "http://"+g.Admin+"/debug/pprof/goroutine?debug=2"), curl(t, "http://"+g.Admin+"/readyz"))
	for _, words := range [][]string{
		{"hook-token", "list"}, {"hook-token", "revoke", "--hook", "builds"}, {"hook-token", "create", secretHooksTyped}, {"hook-token", "revoke", "--grace", secretHooksTyped},
		{"audit", "list", "--limit", "1000"}, {"audit", "list", "--json"}, {"audit", "checkpoint"}, {"audit", "verify", "--json", "--set", s.auditKeys},
		{"limits", "show"}, {"limits", "show", "127.0.0.1"},
	} {
		s.hear(s.command(t, words...))
	}
	g.Stop()
	if verified := s.command(t, "audit", "verify", "--set", s.auditKeys); verified.status != 0 || !strings.Contains(verified.stdout, "Nothing was changed") {
		t.Errorf("the trail does not verify: %+v", verified)
	}
	s.exported = s.command(t, "audit", "export")
	s.hear(g.Output(), s.exported)
}

// readTheStore adds the bytes of the store, and returns where they begin.
func (s *secretScene) readTheStore(t *testing.T) int {
	t.Helper()
	from := s.said.Len()
	addFiles(t, &s.said, s.Data)
	if s.redis != nil {
		dump := filepath.Join(t.TempDir(), "dump.rdb")
		redisCLI(t, s.redis, "--rdb", dump)
		addFiles(t, &s.said, filepath.Dir(dump))
		addFiles(t, &s.said, s.redis.opts.dir) // the append-only file
	}
	return from
}

// keepSessions finds out the secrets that passed between gateway and trackers.
func (s *secretScene) keepSessions(t *testing.T) {
	t.Helper()
	for i, wire := range s.wires {
		found := 0
		for _, pattern := range sessionValues {
			for _, match := range pattern.FindAllStringSubmatch(wire.Passed(), -1) {
				s.keep("a secret of a session", match[1])
				found++
			}
		}
		if found == 0 {
			t.Errorf("no secret passed the relay %d", i)
		}
	}
}

// checkThatTheSearchFinds looks for what may be seen: the rest would have been found as well.
func (s *secretScene) checkThatTheSearchFinds(t *testing.T, store int) {
	t.Helper()
	output := s.said.String()
	if !strings.Contains(output[store:], mayBeSeen) {
		t.Error("the bytes of the store cannot be searched: a message is not seen in them")
	}
	for what, text := range map[string]string{
		"a refusal in the trail": `"authentication_failed"`, "a refusal in the log": "reason=mismatch", "a log-in in the trail": `"event":"login"`,
		"the throttle in the trail": "too_many_requests", "a watch in the metrics": "trackgate_watch_held{",
	} {
		if !strings.Contains(output, text) {
			t.Errorf("%s was not seen", what)
		}
	}
	if entries := strings.Count(s.exported.stdout, "\n"); s.exported.status != 0 || entries < 20 {
		t.Errorf("%d entries were exported, status %d: %s", entries, s.exported.status, s.exported.stderr)
	}
}
