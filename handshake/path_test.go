package handshake

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestACallbackPathIsReadAsItWasSent(t *testing.T) {
	for path, want := range map[string]target{
		"/token/abc/+bugtracker-handshake":                     {token: "abc"},
		"/tokens/abc/+bugtracker-handshake":                    {token: "abc"},
		"/token/abc/%2Bbugtracker-handshake":                   {token: "abc"},
		"/token/abc/%2bbugtracker%2Dhandshake":                 {token: "abc"},
		"/token/a%62c/+bugtracker-handshake":                   {token: "abc"},
		"/token/../+index/+bugtracker-handshake":               {token: "../+index"},
		"/token/..%2F%2Bindex/+bugtracker-handshake":           {token: "../+index"},
		"/token/%2e%2e%2f%2bindex/+bugtracker-handshake":       {token: "../+index"},
		"/token/..%252F%252Bindex/+bugtracker-handshake":       {token: "..%2F%2Bindex"},
		"/token/../../../etc/passwd/+bugtracker-handshake":     {token: "../../../etc/passwd"},
		"/token//+bugtracker-handshake":                        {},
		"/token/+bugtracker-handshake":                         {},
		"/tokens///+bugtracker-handshake":                      {token: "/"},
		"/token/a/+bugtracker-handshake/+bugtracker-handshake": {token: "a/+bugtracker-handshake"},
		"/token/%zz/+bugtracker-handshake":                     {token: "%zz"},
		"/for/gnome/token/abc/+bugtracker-handshake":           {owned: true, root: "gnome", token: "abc"},
		"/for/gnome/tokens/abc/+bugtracker-handshake":          {owned: true, root: "gnome", token: "abc"},
		"/for/a%20b/token/abc/+bugtracker-handshake":           {owned: true, root: "a b", token: "abc"},
		"/for/a%2Fb/token/abc/+bugtracker-handshake":           {owned: true, root: "a/b", token: "abc"},
		"/for//token/abc/+bugtracker-handshake":                {owned: true, token: "abc"},
		"/for/../token/abc/+bugtracker-handshake":              {owned: true, root: "..", token: "abc"},
		"/for/gnome/token/../+index/+bugtracker-handshake":     {owned: true, root: "gnome", token: "../+index"},
	} {
		if got, ok := parsePath(path); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", path, got, ok, want)
		}
	}
}

func TestOtherPathsAreNoCallbacks(t *testing.T) {
	for _, path := range []string{
		"", "/", "*", "/token", "/token/", "/token/abc", "/token/abc/", "/tokens/abc/+other", "/token/abc/+bugtracker-handshake/",
		"/token/abc/+bugtracker-handshakes", "/token/abc/x+bugtracker-handshake", "/Token/abc/+bugtracker-handshake",
		"/token/abc%2F+bugtracker-handshake", "//token/abc/+bugtracker-handshake", "/%74oken/abc/+bugtracker-handshake", "token/abc/+bugtracker-handshake",
		"/for", "/for/", "/for/gnome", "/for/gnome/", "/for/gnome/token", "/for/gnome/x/token/abc/+bugtracker-handshake",
		"/for/gnome/for/kde/token/abc/+bugtracker-handshake", "/x/token/abc/+bugtracker-handshake", "/hooks/token/abc/+bugtracker-handshake",
	} {
		if got, ok := parsePath(path); ok {
			t.Errorf("%s is a callback: %+v", path, got)
		}
	}
}

func TestACallbackPathComesBackAsItWasMade(t *testing.T) {
	if got, want := CallbackPath("", "abc"), "/token/abc/+bugtracker-handshake"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := CallbackPath("gnome", "abc"), "/for/gnome/token/abc/+bugtracker-handshake"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, tracker := range []string{"gnome", "a b", "a/b", "ä", "..", "%", "+"} {
		want := target{owned: true, root: tracker, token: "abc"}
		if got, ok := parsePath(CallbackPath(tracker, "abc")); !ok || got != want {
			t.Errorf("%q came back as %+v, %v", tracker, got, ok)
		}
	}
}

func FuzzCallbackPath(f *testing.F) {
	f.Add("/token/abc/+bugtracker-handshake")
	f.Add("/for/gnome/tokens/..%2F%2Bindex/%2Bbugtracker-handshake")
	f.Add("/for//token//+bugtracker-handshake")
	f.Add("/token/%zz/+bugtracker-handshake")
	f.Fuzz(func(t *testing.T, path string) {
		got, ok := parsePath(path)
		if !ok {
			return
		}
		if !strings.HasPrefix(path, "/token/") && !strings.HasPrefix(path, "/tokens/") && !strings.HasPrefix(path, "/for/") {
			t.Fatalf("%q is a callback", path)
		}
		if got.owned != strings.HasPrefix(path, "/for/") || (!got.owned && got.root != "") {
			t.Fatalf("%q has the root %q", path, got.root)
		}
		if len(got.token)+len(got.root) > len(path) {
			t.Fatalf("%q has the token %q", path, got.token)
		}
		if u, err := url.ParseRequestURI(path); err == nil && u.RawQuery == "" && u.EscapedPath() == path && !Match(&http.Request{URL: u}) {
			t.Fatalf("%q does not match as a request", path)
		}
	})
}
