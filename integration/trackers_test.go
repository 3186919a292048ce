package integration

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// trackerPlugin is one of the plugins in trackers/, as far as it runs without its tracker.
type trackerPlugin struct {
	name string
	// confirm runs the plugin's own callback function: with a callback root, a time limit in
	// seconds and a CA file as arguments, the token on standard input, and "confirmed", or why
	// not, as output.
	confirm func(tb testing.TB) *exec.Cmd
}

var trackerPlugins = []trackerPlugin{
	{"Trac", func(tb testing.TB) *exec.Cmd {
		tb.Helper()
		cmd := exec.Command(program(tb, "python3", "python3"), "-B", "-c", `
import sys
from trackgate_trac import gateway
try:
    gateway.confirm(sys.argv[1], sys.stdin.read(), float(sys.argv[2]), sys.argv[3])
    print("confirmed")
except gateway.NotConfirmed as reason:
    print(reason)`)
		cmd.Dir = filepath.Join("trackers", "trac")
		return cmd
	}},
	{"Bugzilla", func(tb testing.TB) *exec.Cmd {
		tb.Helper()
		// Bugzilla's own programs run with taint checks as well.
		cmd := exec.Command(program(tb, "perl", "perl"), "-T", "-w", "-CS", "-e", `
use strict;
require './Trackgate/lib/Gateway.pm';
my ($root, $limit, $ca) = @ARGV;
my $token = do { local $/; <STDIN> };
my ($verdict, $reason) = Bugzilla::Extension::Trackgate::Gateway::confirm($root, $token, timeout => $limit, ca_file => $ca);
print $verdict eq 'confirmed' ? $verdict : $reason;`)
		cmd.Dir = filepath.Join("trackers", "bugzilla")
		return cmd
	}},
}

// ask has the plugin present a token under a callback root, and returns what it made of it.
func (p trackerPlugin) ask(tb testing.TB, root, token, caFile string) string {
	tb.Helper()
	cmd := p.confirm(tb)
	cmd.Args = append(cmd.Args, root, "60", caFile)
	cmd.Stdin = strings.NewReader(token)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		tb.Fatalf("%s plugin: %v\n%s%s", p.name, err, out, stderr.String())
	}
	if len(token) > 5 && strings.Contains(string(out), token) {
		tb.Errorf("%s plugin: the reason holds the token: %s", p.name, out)
	}
	return strings.TrimSpace(string(out))
}

// startGatewayForPlugins starts a gateway with a tracker that has a callback root of its own and
// one that has not. Neither is ever called.
func startGatewayForPlugins(tb testing.TB) *gatewayProcess {
	tb.Helper()
	const nobody = "http://127.0.0.1:9/lp"
	return startGateway(tb, with(unlimited, "--config", writeConfig(tb, "",
		trackerEntry{name: "own", url: nobody, lines: "allow_private = true\ncallback = \"own\"\n"},
		trackerEntry{name: "common", url: nobody, lines: "allow_private = true\n"}))...)
}

func TestThePluginsCallbackConsumesATokenOfTheGatewayOnce(t *testing.T) {
	t.Parallel()
	g := startGatewayForPlugins(t)
	root := "http://" + g.Public
	const refused = "HTTP status 410"
	for _, plugin := range trackerPlugins {
		t.Run(plugin.name, func(t *testing.T) {
			for _, test := range []struct {
				name    string
				tracker []string // for which the token is minted
				roots   []string // under which it is presented, one after the other
				want    []string
			}{
				{"nobody's token", nil, []string{"", ""}, []string{"confirmed", refused}},
				{"a tracker's own root", []string{"own"}, []string{"/for/own", "/for/own"}, []string{"confirmed", refused}},
				{"a root with a slash at its end", []string{"own"}, []string{"/for/own/"}, []string{"confirmed"}},
				{"another tracker's root", []string{"own"}, []string{"/for/common", "", "/for/own"}, []string{refused, refused, "confirmed"}},
				{"the common root", []string{"common"}, []string{"/for/own", "", ""}, []string{refused, "confirmed", refused}},
			} {
				t.Run(test.name, func(t *testing.T) {
					token := mint(t, g, test.tracker...)
					for i, path := range test.roots {
						if got := plugin.ask(t, root+path, token, ""); got != test.want[i] {
							t.Errorf("under %q: %q, want %q", path, got, test.want[i])
						}
					}
				})
			}
			for _, token := range []string{"check", "../../for/own/token/x", "a?b#c%d e", "Grüße+&=", strings.Repeat("x", 256)} {
				if got := plugin.ask(t, root, token, ""); got != refused {
					t.Errorf("the token %q: %q, want %q", token, got, refused)
				}
			}
		})
	}
}

// TestTheGatewayWorksWithTheTracPlugin runs the plugin's component on a stub of Trac with three
// tickets (trackers/trac/tests/serve.py), behind the gateway's own bridge.
func TestTheGatewayWorksWithTheTracPlugin(t *testing.T) {
	t.Parallel()
	r := startRelay(t)
	cmd := exec.Command(program(t, "python3", "python3"), "-B", "-m", "tests.serve", r.URL+"/for/gnome")
	cmd.Dir = filepath.Join("trackers", "trac")
	tracker := startPrinting(t, cmd)
	g := startGateway(t, with(unlimited, "--set", "public.url="+r.URL, "--config", writeConfig(t, "",
		trackerEntry{name: "gnome", url: tracker, lines: "allow_private = true\ncallback = \"own\"\n"}))...)
	r.To(g.Public)

	type bug struct {
		ID         string
		Title      string
		CommentIDs []string `json:"comment_ids"`
	}
	var bugs struct {
		Bugs    []bug
		Missing []string
	}
	call(t, g, "trackers.getBugs", "gnome", []string{"1", "2", "999"}, "comment-ids").result(t, &bugs)
	want := []bug{{"1", "Ticket 1", []string{}}, {"2", "Ticket 2", []string{"2-1", "2-2"}}}
	if !reflect.DeepEqual(bugs.Bugs, want) || !slices.Equal(bugs.Missing, []string{"999"}) {
		t.Errorf("the bugs are %+v", bugs)
	}
	var modified struct{ IDs, Missing []string }
	since := moment{"20240319T09:37:00"}
	call(t, g, "trackers.getModifiedBugs", "gnome", []string{"1", "2"}, since).result(t, &modified)
	if !slices.Equal(modified.IDs, []string{"2"}) {
		t.Errorf("modified are %+v", modified)
	}
	var written string
	const text = "The fire is out. Grüße & <日本語> 🐛"
	call(t, g, "trackers.addComment", "gnome", "1", text, "Bob <bob@example.org>").result(t, &written)
	if written != "1-1" {
		t.Errorf("the comment has the id %q", written)
	}
	answer := call(t, g, "trackers.getComments", "gnome", "1", []string{written})
	if answer.Fault != nil || !strings.Contains(string(answer.Result), "The fire is out. Gr") {
		t.Errorf("the comment came back as %s", answer)
	}
	call(t, g, "trackers.addComment", "gnome", "999", text, "Bob").wantFault(t, 404, "RESOURCE_NOT_FOUND")
	var before, link struct{ ID string }
	call(t, g, "trackers.setLink", "gnome", "2", "501", "").result(t, &before)
	call(t, g, "trackers.getLink", "gnome", "2").result(t, &link)
	if before.ID != "" || link.ID != "501" {
		t.Errorf("the link was %+v, and is %+v", before, link)
	}
}

func TestThePluginsVerifyTheGatewaysCertificate(t *testing.T) {
	t.Parallel()
	g := startGatewayForPlugins(t)
	target := &url.URL{Scheme: "http", Host: g.Public}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are to fail
	front.StartTLS()
	t.Cleanup(front.Close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(caFile, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, plugin := range trackerPlugins {
		t.Run(plugin.name, func(t *testing.T) {
			token := mint(t, g, "own")
			const path = "/for/own"
			if got := plugin.ask(t, front.URL+path, token, ""); !strings.Contains(got, "could not be reached") {
				t.Errorf("a certificate that nobody vouches for: %q", got)
			}
			otherName := strings.Replace(front.URL, "127.0.0.1", "localhost", 1)
			if got := plugin.ask(t, otherName+path, token, caFile); !strings.Contains(got, "could not be reached") {
				t.Errorf("a certificate for another name: %q", got)
			}
			if got := plugin.ask(t, front.URL+path, token, caFile); got != "confirmed" {
				t.Errorf("the right certificate: %q", got)
			}
		})
	}
}

func TestThePluginsFollowNoRedirectToAnotherAnswer(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/yes/", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	mux.HandleFunc("/token/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/yes/", http.StatusFound)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, plugin := range trackerPlugins {
		if got := plugin.ask(t, server.URL, "token", ""); got != "HTTP status 302" {
			t.Errorf("%s: %q", plugin.name, got)
		}
	}
}

func TestTheTracPluginCompilesAndPassesItsTests(t *testing.T) {
	t.Parallel()
	python, dir := program(t, "python3", "python3"), filepath.Join("trackers", "trac")
	sources, err := filepath.Glob(filepath.Join(dir, "trackgate_trac", "*.py"))
	if err != nil || len(sources) < 4 {
		t.Fatalf("there are %d sources, %v", len(sources), err)
	}
	compiled := "PYTHONPYCACHEPREFIX=" + t.TempDir()
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command(python, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), compiled)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("python3 %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run(".", append([]string{"-W", "error", "-m", "py_compile", filepath.Join(dir, "setup.py")}, sources...)...)
	if out := run(dir, "-m", "unittest", "discover", "-t", ".", "-s", "tests"); strings.Contains(out, "Ran 0 tests") || strings.Contains(out, "skipped") {
		t.Errorf("not all tests ran:\n%s", out)
	}
}

func TestTheBugzillaExtensionCompilesAndPassesItsTests(t *testing.T) {
	t.Parallel()
	perl, dir := program(t, "perl", "perl"), filepath.Join("trackers", "bugzilla")
	for module, debianPackage := range map[string]string{
		"DateTime": "libdatetime-perl", "DBD::SQLite": "libdbd-sqlite3-perl", "IO::Socket::SSL": "libio-socket-ssl-perl",
	} {
		if err := exec.Command(perl, "-M"+module, "-e", "1").Run(); err != nil {
			t.Fatalf("Perl has no %s: apt-get install %s", module, debianPackage)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(perl, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("perl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, source := range []string{"Config.pm", "Extension.pm", "lib/Gateway.pm", "lib/Params.pm", "lib/WebService.pm"} {
		out := run("-w", "-It/stubs", "-MBugzilla", "-MBugzilla::Extension", "-c", filepath.Join("Trackgate", source))
		if want := filepath.Join("Trackgate", source) + " syntax OK\n"; out != want {
			t.Errorf("%s: %s", source, out)
		}
	}
	for _, script := range []string{"gateway.t", "webservice.t"} {
		out := run("-w", filepath.Join("t", script))
		if strings.Contains(out, "not ok") || !strings.Contains(out, "\n1..") {
			t.Errorf("%s:\n%s", script, out)
		}
	}
}
