package bugzilla_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
)

// dialectAt makes a dialect at work for a URL.
func dialectAt(t *testing.T, constructor bridge.Constructor, url string) bridge.Dialect {
	t.Helper()
	var made bridge.Dialect
	b, err := bridge.New([]bridge.Config{{Name: "bz", URL: url, Dialect: "x", AllowPrivate: true}}, []bridge.Named{{Name: "x",
		New: func(remote *bridge.Remote) (d bridge.Dialect, err error) {
			made, err = constructor(remote)
			return made, err
		}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return made
}

func TestThePluginIsDetectedByItsVersionAlone(t *testing.T) {
	page := func(status int) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>Oops.\n", status, http.StatusText(status))
	}
	for name, tc := range map[string]struct {
		raw   []byte
		found bool
		says  string
	}{
		"installed":            {capture(t, "bugzilla-launchpad/003-launchpad.plugin_version-ok", "response"), true, "1.0"},
		"unknown method":       {capture(t, "bugzilla-launchpad/060-launchpad.no-such-method", "response"), false, "-32601"},
		"string code":          {capture(t, "bugzilla/115-fault-unknown-namespace", "response"), false, `"Client"`},
		"404":                  {capture(t, "bugzilla/135-http-wrong-path-404", "response"), false, "HTTP 404"},
		"500":                  {capture(t, "bugzilla/189-site-script-fails-500", "response"), false, "HTTP 500"},
		"a page":               {page(200), false, "no XML-RPC"},
		"a redirect":           {page(302), false, "HTTP 302"},
		"another fault":        {capture(t, "bugzilla/187-site-database-unreadable", "response"), false, "fault -32000"},
		"a value of no struct": {capture(t, "bugzilla/014-user.valid_login-token", "response"), false, "no XML-RPC, or not of this method"},
		"no version":           {capture(t, "bugzilla/006-bugzilla.extensions-none", "response"), false, "without a version"},
	} {
		r := newReplayer(t)
		r.raw("Launchpad.plugin_version", tc.raw)
		got, err := dialectAt(t, bugzilla.NewLaunchpad, r.url()).Detect(t.Context())
		if err != nil || got.Found != tc.found || !strings.Contains(got.Reason, tc.says) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if strings.Count(got.Reason, ". ") != 0 || !strings.HasSuffix(got.Reason, ".") {
			t.Errorf("%s: %q is not one sentence", name, got.Reason)
		}
	}
}

func TestATrackerThatCannotBeAskedIsAnErrorOfDetection(t *testing.T) {
	r := newReplayer(t).answer("", "bugzilla/176-site-shutdown-version")
	for name, constructor := range map[string]bridge.Constructor{"plugin": bugzilla.NewLaunchpad, "native": bugzilla.NewNative} {
		if got, err := dialectAt(t, constructor, r.url()).Detect(t.Context()); err == nil || got.Found {
			t.Errorf("%s, closed for maintenance: %+v", name, got)
		}
		s := newStandIn(t)
		s.Close()
		if _, err := dialectAt(t, constructor, s.URL).Detect(t.Context()); !apierror.Is(err, apierror.TrackerUnavailable) {
			t.Errorf("%s, unreachable: %v", name, err)
		}
	}
}

func TestBugzillaIsDetectedFrom34On(t *testing.T) {
	for version, found := range map[string]bool{"5.2+": true, "3.4": true, "3.4.1": true, "4.4rc1": true, "20200101.1": true, "3.2.10": false, "2.22": false, "unheard of": true} {
		r := newReplayer(t).value("Bugzilla.version", map[string]any{"version": version})
		got, err := dialectAt(t, bugzilla.NewNative, r.url()).Detect(t.Context())
		if err != nil || got.Found != found || !strings.Contains(got.Reason, version) {
			t.Errorf("%s: %+v, %v", version, got, err)
		}
	}
	r := newReplayer(t).answer("Bugzilla.version", "bugzilla/115-fault-unknown-namespace")
	if got, err := dialectAt(t, bugzilla.NewNative, r.url()).Detect(t.Context()); err != nil || got.Found {
		t.Errorf("no Bugzilla: %+v, %v", got, err)
	}
}

func TestAnAboutOfASessionThatIsOverFails(t *testing.T) {
	r, b := plugin(t)
	r.answer("Launchpad.get_bugs", "bugzilla-launchpad/063-launchpad.add_comment-after-logout")
	if err := b.Retry(t.Context(), "bz"); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Errorf("%v: version and time are told to everybody, a bug is not", err)
	}
}

func TestTheDialectsHaveAllCapabilities(t *testing.T) {
	for name, constructor := range map[string]bridge.Constructor{bugzilla.LaunchpadName: bugzilla.NewLaunchpad, bugzilla.NativeName: bugzilla.NewNative} {
		d := dialectAt(t, constructor, "http://127.0.0.1:1")
		want := []string{"read-bugs", "modified-since", "read-comments", "write-comments", "links", "status-list", "file-bug"}
		if got := bridge.Capabilities(d); d.Name() != name || !slices.Equal(got, want) {
			t.Errorf("%s has %q", d.Name(), got)
		}
	}
}

func TestWhatLogsInIsRefusedByTheProxy(t *testing.T) {
	for _, constructor := range []bridge.Constructor{bugzilla.NewLaunchpad, bugzilla.NewNative} {
		rules, err := dialectAt(t, constructor, "http://127.0.0.1:1").(bridge.Proxied).ProxyRules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"User.login", "User.logout", "User.create"} {
			if !slices.Contains(rules.Refuse, method) {
				t.Errorf("%s is not refused", method)
			}
		}
		for _, member := range []string{"Bugzilla_login", "Bugzilla_password", "Bugzilla_token", "Bugzilla_api_key", "token", "api_key", "login", "password"} {
			if !slices.Contains(rules.Credentials, member) {
				t.Errorf("%s acts as somebody else and is let through", member)
			}
		}
		for _, member := range []string{"token", "update_token"} {
			if !slices.Contains(rules.Hide, member) {
				t.Errorf("%s is not hidden", member)
			}
		}
		if rules.Endpoint == nil || slices.Contains(rules.Reads, "Bug.update") || !slices.Contains(rules.Reads, "Bug.search") {
			t.Errorf("%+v", rules)
		}
	}
}
