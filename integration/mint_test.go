package integration

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var mintedValue = regexp.MustCompile(`<params><param><value><string>([A-Za-z0-9]+)</string></value></param></params>`)

// squeezed takes the white space between tags out of a document.
func squeezed(document string) string {
	return regexp.MustCompile(`>\s+<`).ReplaceAllString(strings.TrimSpace(document), "><")
}

func TestATokenIsMintedAtBothEndpointsByPythonAndByCurl(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	tokens := map[string]string{
		"python at /bugs": runPython(t, "import sys, xmlrpc.client; print(xmlrpc.client.ServerProxy(sys.argv[1]).newBugTrackerToken())", "http://"+g.Private+"/bugs"),
		"python at /RPC2": runPython(t, "import sys, xmlrpc.client; print(xmlrpc.client.ServerProxy(sys.argv[1]).bugs.newBugTrackerToken())", "http://"+g.Private+"/RPC2"),
	}
	for name, answer := range map[string]httpAnswer{
		"curl at /bugs":                  postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken")),
		"curl at /RPC2":                  postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken")),
		"curl with no params element":    postXML(t, g, "/bugs", `<?xml version="1.0"?><methodCall><methodName>newBugTrackerToken</methodName></methodCall>`),
		"curl with curl's own type":      curlWith(t, rpcDocument("newBugTrackerToken"), "--data-binary", "@-", "http://"+g.Private+"/bugs"),
		"curl with no Content-Type":      postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"), "--header", "Content-Type:"),
		"curl in chunks":                 postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"), "--header", "Transfer-Encoding: chunked"),
		"curl with HTTP/1.0":             postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"), "--http1.0"),
		"curl with another Content-Type": postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"), "--header", "Content-Type: application/xml; charset=utf-8"),
	} {
		value := mintedValue.FindStringSubmatch(squeezed(answer.Body))
		if answer.Status != http.StatusOK || answer.Header.Get("Content-Type") != "text/xml" || value == nil {
			t.Errorf("%s: %s", name, answer)
			continue
		}
		tokens[name] = value[1]
	}
	seen := map[string]bool{}
	for name, token := range tokens {
		if !tokenText.MatchString(token) || seen[token] {
			t.Errorf("%s gave the token %q", name, token)
		}
		seen[token] = true
		if answer := present(t, g, token); answer.Status != http.StatusOK {
			t.Errorf("the token of %s: %s", name, answer)
		}
	}
}

func TestTheBareNameIsUnknownAtRPC2AndThePrefixedOneAtBugs(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	(<-beginCall(t, g, "/RPC2", "newBugTrackerToken")).wantFault(t, -32601, "")
	(<-beginCall(t, g, "/bugs", "bugs.newBugTrackerToken")).wantFault(t, -32601, "")
	(<-beginCall(t, g, "/trackers", "newBugTrackerToken")).wantFault(t, -32601, "")
	var trackers []any
	(<-beginCall(t, g, "/trackers", "list")).result(t, &trackers)
}

func TestSystemMethodsAreEverywhere(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	want := map[string][]string{
		"/bugs":     {"newBugTrackerToken"},
		"/trackers": {"list", "probe", "retry", "getBugs", "getModifiedBugs", "getComments", "addComment", "getLink", "setLink"},
		"/RPC2": {
			"bugs.newBugTrackerToken", "trackers.list", "trackers.probe", "trackers.retry", "trackers.getBugs", "trackers.getModifiedBugs",
			"trackers.getComments", "trackers.addComment", "trackers.getLink", "trackers.setLink",
		},
	}
	for path, names := range want {
		var methods []string
		(<-beginCall(t, g, path, "system.listMethods")).result(t, &methods)
		for _, name := range append(names, "system.listMethods", "system.methodHelp", "system.methodSignature", "system.multicall", "system.getCapabilities") {
			if !slices.Contains(methods, name) {
				t.Errorf("%s: %s is not among %v", path, name, methods)
			}
		}
		for _, name := range names {
			var help string
			(<-beginCall(t, g, path, "system.methodHelp", name)).result(t, &help)
			if help == "" {
				t.Errorf("%s: no help for %s", path, name)
			}
			(<-beginCall(t, g, path, "system.methodSignature", name)).result(t, new(any))
		}
	}
}

func TestAMulticallAnswersEachCallByItself(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	const program = `
import sys, xmlrpc.client
calls = xmlrpc.client.MultiCall(xmlrpc.client.ServerProxy(sys.argv[1]))
calls.bugs.newBugTrackerToken()
calls.no.suchMethod()
calls.trackers.probe("nobody")
calls.bugs.newBugTrackerToken()
results = calls()
print(results[0])
for i in (1, 2):
    try:
        results[i]
    except xmlrpc.client.Fault as fault:
        print(fault.faultCode)
print(results[3])
`
	lines := strings.Split(runPython(t, program, "http://"+g.Private+"/RPC2"), "\n")
	if len(lines) != 4 || lines[1] != "-32601" || lines[2] != "404" || lines[0] == lines[3] {
		t.Fatalf("the multicall printed %q", lines)
	}
	for _, token := range []string{lines[0], lines[3]} {
		if answer := present(t, g, token); answer.Status != http.StatusOK {
			t.Errorf("a token of the multicall: %s", answer)
		}
	}
}

func TestWhatIsNoCallIsAFaultUnderStatus200(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, test := range []struct {
		name, document string
		code           int
	}{
		{"a method that does not exist", rpcDocument("bugs.noSuchMethod"), -32601},
		{"a method without a name", rpcDocument(""), 0},
		{"no XML", "token please", -32700},
		{"JSON", `{"jsonrpc": "2.0", "method": "bugs.newBugTrackerToken", "id": 1}`, -32700},
		{"nothing", "", -32700},
		{"half a document", `<?xml version="1.0"?><methodCall><methodName>bugs.new`, -32700},
		{"a document type", `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><methodCall><methodName>bugs.newBugTrackerToken</methodName></methodCall>`, 0},
		{"another document", `<?xml version="1.0"?><html/>`, 0},
		{"too many parameters", rpcDocument("bugs.newBugTrackerToken", "<string>a</string>", "<string>b</string>"), -32602},
		{"a parameter of the wrong type", rpcDocument("bugs.newBugTrackerToken", "<array><data></data></array>"), -32602},
		{"an int that is none", rpcDocument("bugs.newBugTrackerToken", "<int>zz</int>"), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := postXML(t, g, "/RPC2", test.document)
			if test.code != 0 {
				answer.wantRawFault(t, test.code)
				return
			}
			// Which of the interoperability codes is a matter of the decoder's own tests.
			if answer.Status != http.StatusOK || !regexp.MustCompile(`<int>-32[3-7]\d\d</int>`).MatchString(answer.Body) {
				t.Errorf("got %s, want a fault with an interoperability code", answer)
			}
		})
	}
}

func TestATokenCanBeMintedForOneTracker(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--config", writeConfig(t, "", trackerEntry{"gnome", "https://gnome.example", "callback = \"own\"\n"}))
	if token := mint(t, g, "gnome"); !tokenText.MatchString(token) {
		t.Errorf("the token is %q", token)
	}
	(<-beginCall(t, g, "/bugs", "newBugTrackerToken", "nobody")).wantFault(t, 404, "RESOURCE_NOT_FOUND")
	call(t, g, "trackers.getBugs", "nobody", []int{1}).wantFault(t, 404, "RESOURCE_NOT_FOUND")
	postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken", "n\xc3\xa4rrisch &lt;b&gt;")).wantRawFault(t, 404, "RESOURCE_NOT_FOUND: ")
}

func TestTheMethodsAreShownAsAPage(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for path, method := range map[string]string{"/RPC2": "bugs.newBugTrackerToken", "/bugs": "newBugTrackerToken", "/trackers": "addComment"} {
		answer := curl(t, "http://"+g.Private+path)
		if answer.Status != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") || !strings.Contains(answer.Body, method) {
			t.Errorf("%s: %s", path, answer)
		}
	}
	if answer := curl(t, "--request", "PUT", "http://"+g.Private+"/RPC2"); answer.Status != http.StatusMethodNotAllowed || answer.Header.Get("Allow") == "" {
		t.Errorf("PUT: %s", answer)
	}
	answer := curl(t, "--header", "Accept: application/json", "http://"+g.Private+"/elsewhere")
	if e := answer.wantCatalogueJSON(t, http.StatusNotFound, "RESOURCE_NOT_FOUND"); len(*e.Extra) != 0 {
		extra, err := json.Marshal(e.Extra)
		t.Errorf("extra is %s, %v", extra, err)
	}
}
