package integration

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/trac"
)

// sessionValues find, in what passes between gateway and trackers, what is good for a session.
var sessionValues = []*regexp.Regexp{
	regexp.MustCompile(`trac_auth=([A-Za-z0-9]{8,})`),
	regexp.MustCompile(`Bugzilla_logincookie=([A-Za-z0-9]{8,})`),
	regexp.MustCompile(`<name>Bugzilla_token</name>\s*<value>(?:<string>)?\d+-([A-Za-z0-9]{8,})`),
	regexp.MustCompile(`/token/([A-Za-z0-9]{20,})/`),
}

// TestDialectsShowNoSecret lets calls of all kinds succeed and fail at a gateway that logs all
// it can and keeps its sessions, and looks for every secret in all that it printed, answered,
// counted and stored.
func TestDialectsShowNoSecret(t *testing.T) {
	t.Parallel()
	callbacks := startRelay(t)
	var config strings.Builder
	peers, wires := map[string]*tracPeer{}, map[string]*relay{"callbacks": callbacks}
	add := func(d spokenDialect, name string) {
		peers[name] = d.start(t, callbacks.URL+"/for/"+name, peerOptions{})
		peer := *peers[name]
		if d.logins != nil { // the others have no session, and Roundup minds a relay
			wires[name] = startRelay(t)
			wires[name].To(tracHost(t, peer.URL))
			peer.URL = strings.Replace(peer.URL, "http://"+tracHost(t, peer.URL), wires[name].URL, 1)
		}
		config.WriteString(d.entry(t, name, d.name, &peer, ""))
	}
	for _, d := range spokenDialects {
		add(d, d.name)
	}
	byKey := *dialectNamed(bugzilla.NativeName)
	byKey.credentials = "api_key = \"" + bugzillaKey + "\"\n"
	add(byKey, "by-key")
	g := startGateway(t, with(unlimited, "--set", "log.level=debug", "--set", "bridge.call_timeout=4s", "--set", "limits.login.rate=off", "--set", "bridge.break_after=1000000",
		"--set", "public.url="+callbacks.URL, "--set", "sessions.key_file="+writeFile(t, "session.keys", newSessionKey()),
		"--config", writeFile(t, "trackgate.toml", config.String()))...)
	callbacks.To(g.Public)

	var said strings.Builder
	for name, peer := range peers {
		d := *dialectNamed(strings.Replace(name, "by-key", bugzilla.NativeName, 1))
		d.name = name
		everything := func() {
			for i := range dialectCalls {
				fmt.Fprintln(&said, end(t, dialectCalls[i].name, dialectCalls[i].begin(t, g, &d)))
			}
		}
		everything()
		place := dialectNamed(strings.Replace(name, "by-key", bugzilla.NativeName, 1)).calls
		for _, kind := range []string{"html200", "half", "garbage", "refuse"} {
			peer.Misbehave(misbehaviour{On: place, Kind: kind})
			everything()
			peer.Reset()
			fmt.Fprintln(&said, call(t, g, "trackers.retry", name))
		}
		peer.Expire("expired")
		everything()
		fmt.Fprintln(&said, postXML(t, g, "/trackers/"+name, rpcDocument("User.login")))
		peer.Shutdown()
		everything()
	}
	said.WriteString(scrape(t, g))
	g.Stop()
	said.WriteString(g.Output())
	addFiles(t, &said, g.Data)

	secrets := map[string]string{}
	hide := func(what, secret string) {
		secrets[secret] = what
		secrets[base64.StdEncoding.EncodeToString([]byte(secret))] = what + " in base64"
	}
	hide("Bugzilla's password", "fake-rene-Pass1")
	hide("the API key", bugzillaKey)
	hide("Trac's password", "wonder")
	hide("Trac's user and password", "alice:wonder")
	hide("Roundup's user and password", "gateway:gateway")
	hide("the bearer token", "fake-bearer-token")
	for _, name := range []string{trac.LaunchpadName, bugzilla.LaunchpadName, bugzilla.NativeName, trac.CSVName, "callbacks"} {
		found := 0
		for _, pattern := range sessionValues {
			for _, match := range pattern.FindAllStringSubmatch(wires[name].Passed(), -1) {
				hide("a session of "+name, match[1])
				found++
			}
		}
		if found == 0 {
			t.Errorf("no secret of %s passed", name)
		}
	}
	output := said.String()
	for secret, what := range secrets {
		if at := strings.Index(output, secret); at >= 0 {
			t.Errorf("%s was seen in …%q…", what, output[max(0, at-200):min(len(output), at+len(secret)+50)])
		}
	}
}

// addFiles adds what is in all files below a directory.
func addFiles(t *testing.T, to *strings.Builder, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		to.Write(text)
		files++
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files in %s: %v", files, dir, err)
	}
}
