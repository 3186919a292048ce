package bugzilla_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// ownURL is the replayer's URL, whose port changes.
var ownURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// replayed is one line of the golden file.
type replayed struct {
	Capture string `json:"capture"`
	// Same tells that the dialect sent the captured call, as far as it has a
	// meaning: see meaning.
	Same   bool   `json:"same,omitempty"`
	Result any    `json:"result,omitempty"`
	Fault  string `json:"fault,omitempty"`
}

// Every captured answer is read by the call of a caller that it would be an answer to,
// and the calls that the dialects make are those that were captured.
func TestEveryCaptureOfBugzillaIsReadAsTheGoldenFileSays(t *testing.T) {
	golden(t, nativeCaptures, 199, "testdata/bugzilla.golden.jsonl", replayNative)
}

// The handshake captures are Bugzilla's calls to the gateway, which are no part of a
// dialect: they are left out.
func TestEveryCaptureOfThePluginIsReadAsTheGoldenFileSays(t *testing.T) {
	golden(t, pluginCaptures, 78, "testdata/bugzilla-launchpad.golden.jsonl", replayPlugin)
}

func golden(t *testing.T, dir string, count int, file string, replay func(*testing.T, string) (any, bool, error)) {
	var out bytes.Buffer
	for _, place := range placesOf(t, dir, count) {
		if strings.Contains(place, "-handshake-") {
			continue
		}
		result, same, err := replay(t, place)
		line := replayed{Capture: place, Same: same, Result: result}
		if err != nil {
			line.Result = nil
			line.Fault, _, _ = strings.Cut(err.Error(), " No new log-in") // it tells a time
		}
		doc, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(ownURL.ReplaceAll(doc, []byte("http://tracker/")), '\n'))
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("line %d differs (go test -update rewrites the file)\ngot  %s\nwant %s", i+1, at(gotLines, i), at(wantLines, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// meaning are the members of a call that say what it is about. Others say how the
// answer is to look, or carry the session.
var meaning = []string{"ids", "id", "comment_ids", "bug_ids", "comment", "login", "password", "token", "launchpad_id",
	"changed_since", "last_change_time", "add", "product", "component", "version", "summary", "description", "op_sys",
	"platform", "severity", "priority", "names"}

// sameMeaning compares a call with the captured one.
func sameMeaning(sent received, captured *xmlrpc.Call) bool {
	if sent.method != captured.Method {
		return false
	}
	var want map[string]any
	if captured.NumParams() > 0 {
		want, _ = captured.Params()[0].(map[string]any)
	}
	for _, name := range meaning {
		if value, given := want[name]; given && !reflect.DeepEqual(asList(value), asList(sent.params[name])) {
			return false
		}
	}
	return true
}

// asList is a value as an array, since a lone value is taken for one, with numbers as
// texts.
func asList(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = fmt.Sprint(list[i])
	}
	return texts
}

// whether any of the calls that were sent is the captured one.
func sentAlike(r *replayer, captured *xmlrpc.Call) bool {
	return captured != nil && slices.ContainsFunc(r.calls(captured.Method), func(sent received) bool { return sameMeaning(sent, captured) })
}

// secretsLike are those with which the dialect carries a session as the captured call
// does.
func secretsLike(header http.Header, params map[string]any) bridge.Secrets {
	for _, name := range []string{"Bugzilla_token", "token", "Bugzilla_login", "login"} {
		if _, ok := params[name]; ok {
			return account
		}
	}
	if key, ok := params["Bugzilla_api_key"].(string); ok {
		return bridge.Secrets{APIKey: key}
	}
	if header != nil && header.Get("Cookie") != "" {
		return account
	}
	return bridge.Secrets{}
}

func paramsOf(call *xmlrpc.Call) map[string]any {
	if call == nil || call.NumParams() == 0 {
		return map[string]any{}
	}
	params, _ := call.Params()[0].(map[string]any)
	if params == nil {
		params = map[string]any{}
	}
	return params
}

// idsIn are ids of a captured call, as a caller would write them.
func idsIn(params map[string]any, name string) []any {
	var ids []any
	for _, id := range asList(params[name]) {
		if id != "<nil>" {
			ids = append(ids, id)
		}
	}
	return ids
}

func word(params map[string]any, name, otherwise string) string {
	if s, ok := params[name].(string); ok && strings.TrimSpace(s) != "" {
		return s
	}
	return otherwise
}

// replayNative makes the call of a caller that a capture belongs to. What belongs to
// no call of the dialect is answered to the question for a bug: its failure must be a
// clear one.
func replayNative(t *testing.T, place string) (result any, same bool, err error) {
	header, captured := capturedCall(t, place)
	params := paramsOf(captured)
	method := ""
	if captured != nil {
		method = captured.Method
	}
	secrets := secretsLike(header, params)
	if method == "User.login" {
		secrets = bridge.Secrets{User: word(params, "login", account.User), Password: word(params, "password", account.Password)}
	}
	r, b := native(t, secrets)
	call := caller(t, b)
	raw := capture(t, place, "response")
	_, raw, continued := bytes.Cut(raw, []byte("HTTP/1.1 100 Continue\r\n\r\n"))
	if !continued {
		raw = capture(t, place, "response")
	}
	switch method {
	case "Bugzilla.version", "Bugzilla.time":
		r.first(method, raw)
		result, err = call("probe", "bz")
		withoutSkew(result)
	case "User.login":
		r.first(method, raw)
		result, err = call("retry", "bz")
	case "Bug.get":
		r.first(method, raw)
		ids := idsIn(params, "ids")
		if len(ids) == 0 {
			ids = []any{"1"}
		}
		result, err = call("getBugs", "bz", ids, "metadata")
	case "Bug.search":
		r.first(method, raw)
		since, ok := params["last_change_time"].(xmlrpc.DateTime)
		if !ok {
			since, _ = xmlrpc.ParseDateTime("19700101T00:00:00")
		}
		result, err = call("getModifiedBugs", "bz", []any{}, since)
	case "Bug.comments":
		result, err = replayComments(r, call, raw, params)
	case "Bug.add_comment":
		r.first(method, raw)
		result, err = call("addComment", "bz", params["id"], word(params, "comment", "not blank"))
	case "Bug.update", "Bug.update_see_also":
		result, err = replayLink(r, call, raw, params)
	case "Bug.create":
		r.first(method, raw)
		result, err = call("fileBug", "bz", newBugLike(params))
	case "Bug.fields", "Bug.legal_values":
		if method == "Bug.legal_values" {
			r.fault("Bug.fields", -32601, "none")
		}
		r.first(method, raw)
		result, err = call("statuses", "bz")
	default:
		r.first("Bug.get", raw)
		result, err = call("getBugs", "bz", []any{"1"})
	}
	return result, sentAlike(r, captured), err
}

func withoutSkew(probe any) {
	if m, ok := probe.(map[string]any); ok {
		delete(m, "clock_skew") // from the day of the capture to today
	}
}

func replayComments(r *replayer, call func(string, ...any) (any, error), raw []byte, params map[string]any) (any, error) {
	const method = "Bug.comments"
	bugs, chosen := idsIn(params, "ids"), idsIn(params, "comment_ids")
	r.first(method, raw)
	if len(chosen) > 0 {
		r.answer(method, "bugzilla/065-bug.comments-by-alias-key-is-number")
		return call("getComments", "bz", "1", chosen)
	}
	if len(bugs) < 2 {
		bug := any("1")
		if len(bugs) == 1 {
			bug = bugs[0]
		}
		return call("getComments", "bz", bug)
	}
	var found []any
	for _, id := range bugs {
		found = append(found, map[string]any{"id": id})
	}
	r.value("Bug.get", map[string]any{"bugs": found})
	if bytes.Contains(raw, []byte("<fault>")) { // and what is left of them
		r.value("Bug.get", map[string]any{"bugs": found[:1]})
		r.answer(method, "bugzilla/065-bug.comments-by-alias-key-is-number")
	}
	return call("getBugs", "bz", bugs, "full")
}

func replayLink(r *replayer, call func(string, ...any) (any, error), raw []byte, params map[string]any) (any, error) {
	change, ok := params["see_also"].(map[string]any)
	if !ok {
		change = params
	}
	bug := idsIn(params, "ids")[0]
	current := []any{}
	id, url := "1", "https://launchpad.net/bugs/1"
	if added := idsIn(change, "add"); len(added) > 0 {
		id, url = "x", added[0].(string)
	} else if removed := idsIn(change, "remove"); len(removed) > 0 {
		id, url, current = "", "", removed
	}
	if !strings.HasPrefix(url, "http") && id != "" {
		url = "http://127.0.0.1/" // what is no address is never sent
	}
	r.value("Bug.get", map[string]any{"bugs": []any{map[string]any{"id": bug, "see_also": current}}})
	r.first("Bug.update_see_also", raw)
	return call("setLink", "bz", bug, id, url)
}

func newBugLike(params map[string]any) map[string]any {
	bug := map[string]any{}
	for name, v := range params {
		switch name {
		case "Bugzilla_token":
		case "summary":
			bug["title"] = v
		default:
			bug[name] = v
		}
	}
	if bug["title"] == nil {
		bug["title"] = "not empty"
	}
	return bug
}

// replayPlugin is replayNative for the plugin's captures.
func replayPlugin(t *testing.T, place string) (result any, same bool, err error) {
	_, captured := capturedCall(t, place)
	if captured == nil {
		t.Fatalf("%s is no call", place)
	}
	params := paramsOf(captured)
	r, b := plugin(t)
	call := caller(t, b)
	raw := capture(t, place, "response")
	switch method := captured.Method; method {
	case "Launchpad.plugin_version", "Launchpad.time":
		r.first(method, raw)
		r.answer("Launchpad.get_bugs", "bugzilla-launchpad/048-launchpad.get_bugs-changed-since-future")
		result, err = call("probe", "bz")
		withoutSkew(result)
	case "Launchpad.login":
		r.first(method, raw)
		r.answer("Launchpad.get_bugs", "bugzilla-launchpad/048-launchpad.get_bugs-changed-since-future")
		result, err = call("retry", "bz")
	case "Launchpad.get_bugs":
		r.first(method, raw)
		since, modified := params["changed_since"]
		if _, ok := since.(xmlrpc.DateTime); modified && !ok {
			since = 0 // what is no date is never sent
		}
		ids := idsIn(params, "ids")
		r.answer(method, "bugzilla-launchpad/041-launchpad.get_bugs-ids") // where it is asked what is missing
		switch {
		case modified:
			result, err = call("getModifiedBugs", "bz", append([]any{}, ids...), since)
		case len(ids) == 0:
			result, err = call("getModifiedBugs", "bz", []any{}, 0)
		default:
			result, err = call("getBugs", "bz", ids, "metadata")
		}
	case "Launchpad.comments":
		r.first(method, raw)
		bugs := idsIn(params, "bug_ids")
		if len(bugs) > 1 {
			r.value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": bugs[0]}, map[string]any{"id": bugs[1]}}})
			result, err = call("getBugs", "bz", bugs, "full")
			break
		}
		result, err = call("getComments", "bz", bugs[0], append([]any{}, idsIn(params, "ids")...))
	case "Launchpad.add_comment":
		r.first(method, raw)
		r.answer("Launchpad.get_bugs", "bugzilla-launchpad/048-launchpad.get_bugs-changed-since-future")
		result, err = call("addComment", "bz", params["id"], word(params, "comment", "not blank"))
	case "Launchpad.set_link":
		r.first(method, raw)
		r.value("Launchpad.get_bugs", map[string]any{"bugs": []any{map[string]any{"id": params["id"]}}})
		id := fmt.Sprint(params["launchpad_id"])
		switch id {
		case "0":
			id = ""
		case "lp:5":
			id = "5" // what is no number is never sent
		}
		result, err = call("setLink", "bz", params["id"], id)
	default:
		r.first("Launchpad.get_bugs", raw)
		result, err = call("getBugs", "bz", []any{"1"})
	}
	return result, sentAlike(r, captured), err
}
