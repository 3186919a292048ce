package integration

import (
	"net/http"
	"strings"
	"testing"
)

// The trackers of these tests; their URLs are never called.
var rootTrackers = []trackerEntry{
	{"own", "https://own.example", "callback = \"own\"\n"},
	{"kde", "https://kde.example", "callback = \"own\"\n"},
	{"common", "https://common.example", ""},
	{"elsewhere", "https://elsewhere.example", "callback_from = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"},
	{"here", "https://here.example", "callback_from = [\"127.0.0.0/8\"]\ncallback = \"own\"\n"},
}

func TestATokenBelongsToTheTrackerForWhichItWasMinted(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(unlimited, "--config", writeConfig(t, "", rootTrackers...))...)
	for _, test := range []struct {
		name    string
		tracker string   // for which the token is minted
		wrong   []string // roots under which it is invalid, and stays live
		right   string   // the root under which it is good then, once
	}{
		{"own root only", "own", []string{"", "/for/kde", "/for/common", "/for/nobody", "/for/Own", "/for/"}, "/for/own"},
		{"common root", "common", []string{"/for/own", "/for/kde", "/for/nobody"}, ""},
		{"own root of one that may use the common one", "common", []string{"/for/own"}, "/for/common"},
		{"own root with its name encoded", "own", []string{"", "/for/%6Fw", "/for/own%2F", "/for/own%00"}, "/for/%6Fw%6e"},
		{"own root and right address", "here", []string{"", "/for/own"}, "/for/here"},
		{"nobody's", "", []string{"/for/nobody", "/for/OWN"}, ""},
		{"nobody's under a tracker's root", "", []string{"/for/nobody"}, "/for/own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var owner []string
			if test.tracker != "" {
				owner = []string{test.tracker}
			}
			token := mint(t, g, owner...)
			send := func(root string, args ...string) httpAnswer {
				return curl(t, append([]string{"--request", "POST", "http://" + g.Public + callback(root, token)}, args...)...)
			}
			for _, root := range test.wrong {
				send(root).wantText(t, http.StatusGone, invalidBody)
				send(root, "--header", "Accept: application/json").wantCatalogueJSON(t, http.StatusGone, "TOKEN_INVALID")
				if t.Failed() {
					t.Fatalf("under the root %q", root)
				}
			}
			send(test.right).wantText(t, http.StatusOK, validatedBody)
			send(test.right).wantText(t, http.StatusGone, invalidBody)
		})
	}
}

func TestATokenIsInvalidFromAnAddressThatIsNotItsTrackers(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(unlimited, "--config", writeConfig(t, "", rootTrackers...), "--set", "public.trusted_proxies=127.0.0.0/8")...)
	token := mint(t, g, "elsewhere")
	for _, forwarded := range []string{"", "198.51.100.7", "192.0.2.7, 198.51.100.7", "2001:db9::1"} {
		args := []string{}
		if forwarded != "" {
			args = append(args, "--header", "X-Forwarded-For: "+forwarded)
		}
		present(t, g, token, args...).wantText(t, http.StatusGone, invalidBody)
		if t.Failed() {
			t.Fatalf("from %q", forwarded)
		}
	}
	present(t, g, token, "--header", "X-Forwarded-For: 198.51.100.7, 192.0.2.7").wantText(t, http.StatusOK, validatedBody)
	second := mint(t, g, "elsewhere")
	present(t, g, second, "--header", "X-Forwarded-For: 2001:db8::5").wantText(t, http.StatusOK, validatedBody)
	text := scrape(t, g)
	if n := metric(t, text, `trackgate_tokens_refused_total{reason="wrong_address"}`); n != 4 {
		t.Errorf("%v refusals for a wrong address were counted, want 4", n)
	}
}

func TestTheTokenOfOneTrackerIsNotMintedUnderAnUnknownName(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--config", writeConfig(t, "", rootTrackers...))
	for _, name := range []string{"nobody", "OWN", " own", "own/", strings.Repeat("n", 1000)} {
		(<-beginCall(t, g, "/bugs", "newBugTrackerToken", name)).wantFault(t, 404, "RESOURCE_NOT_FOUND")
	}
}
