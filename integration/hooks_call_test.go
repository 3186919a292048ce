package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAHookTakesFormsMultipartAndJSON(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		after := ""
		for _, test := range []struct {
			name string
			args []string
		}{
			{"a form", []string{"--data-urlencode", "token=" + token, "--data-urlencode", "bug=7", "--data-urlencode", "message=Grüße & <b>=\n"}},
			{"a form in Latin-1", []string{"--header", "Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1", "--data", "token=" + token + "&bug=7&message=Gr%FC%DFe+%26+%3Cb%3E%3D%0A"}},
			{"multipart", []string{"--form-string", "token=" + token, "--form-string", "bug=7", "--form-string", "message=Grüße & <b>=\n"}},
			{"JSON", []string{"--header", "Content-Type: application/json", "--data", `{"token": "` + token + `", "issue": {"number": 7}, "message": "Gr\u00fc\u00dfe & <b>=\n"}`}},
			{"JSON of a kind", []string{"--header", "Content-Type: application/vnd.example+json", "--data", `{"message":"Grüße & <b>=\n","issue":{"number":"7"},"token":"` + token + `"}`}},
		} {
			position := callHook(t, g, "commits", test.args...).wantAccepted(t)
			events := readFeed(t, g, after)
			if len(events) != 1 || events[0].After != position || position == after {
				t.Fatalf("%s: the event at %s is %+v", test.name, position, events)
			}
			after = position
			e := events[0]
			if e.Source != "hook:commits" || e.Kind != "commits" || e.Bug != "7" || e.Tracker != "" || e.Time.Text == "" ||
				fmt.Sprint(e.Data) != fmt.Sprint(map[string]any{"bug": 7, "message": "Grüße & <b>=\n"}) {
				t.Errorf("%s: %+v", test.name, e)
			}
		}
	})
}

// TestTheAnswersOfAHookAreTheContractsByteForByte is for those who parse them with less than a JSON parser.
func TestTheAnswersOfAHookAreTheContractsByteForByte(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--config", writeConfig(t, commitsHook+buildsHook))
	token := createHookToken(t, g.Data)
	accepted := callHook(t, g, "commits", "--data", "bug=7&x=1&y=2&token="+token)
	if body := hookAccepted.ReplaceAllString(accepted.Body, "AFTER $1"); !strings.HasPrefix(body, "AFTER ") || !strings.HasSuffix(accepted.Body, `,"ignored":2}`) {
		t.Errorf("accepted: %s", accepted)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Vary": "Accept", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json; charset=utf-8",
	} {
		if got := accepted.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	const mismatch, missing = "The token does not match.", "This is required: the request does not prove who sent it."
	twice := func(code, message, extra, normalised string) string {
		return `{"code":"` + code + `","message":"` + message + `","extra":` + extra + `,"error_list":[{"code":"` + normalised + `","message":"` + message + `","extra":` + extra + `}]}`
	}
	invalid := func(extra string) string { return twice("INVALID_DATA", "Invalid request data", extra, "invalid-data") }
	for _, test := range []struct {
		name, hook, form string
		status           int
		body             string
	}{
		{"a wrong token", "commits", "bug=7&token=wrong", 403, twice("TOKEN_MISMATCH", mismatch, `{"token":["`+mismatch+`"]}`, "invalid-credentials")},
		{"one that differs in the last character", "commits", "bug=7&token=" + otherEnd(token), 403,
			twice("TOKEN_MISMATCH", mismatch, `{"token":["`+mismatch+`"]}`, "invalid-credentials")},
		{"a wrong token and other errors", "commits", "bug=x&token=wrong&message=" + strings.Repeat("m", 41), 403, twice("TOKEN_MISMATCH", mismatch,
			`{"bug":["This must be a whole number of 64 bits."],"message":["This is longer than 40 characters."],"token":["`+mismatch+`"]}`, "invalid-credentials")},
		{"no token", "commits", "bug=7", 400, invalid(`{"token":["` + missing + `"]}`)},
		{"nothing", "commits", "", 400, invalid(`{"bug":["This field is required."],"token":["` + missing + `"]}`)},
		{"a field twice", "commits", "bug=7&bug=8&token=" + token, 400, invalid(`{"bug":["This field was given more than once."]}`)},
		{"no bearer", "builds", "token=" + token, 400, invalid(`{"Authorization":["` + missing + `"]}`)},
		{"no such hook", "nothing", "token=" + token, 404,
			twice("RESOURCE_NOT_FOUND", "The resource requested was not found.", `{"detail":"No hook has this name."}`, "resource-not-found")},
	} {
		answer := callHook(t, g, test.hook, "--data", test.form)
		if answer.Status != test.status || answer.Body != test.body {
			t.Errorf("%s:\ngot  %d %s\nwant %d %s", test.name, answer.Status, answer.Body, test.status, test.body)
		}
		if strings.Contains(answer.String(), token) {
			t.Errorf("%s: what was sent as a token comes back: %s", test.name, answer)
		}
	}
	get := callHook(t, g, "commits")
	if want := `{"code":"METHOD_NOT_ALLOWED","message":"Only POST requests are accepted by hooks.","extra":{},` +
		`"error_list":[{"code":"bad-request","message":"Only POST requests are accepted by hooks."}]}`; get.Status != 405 || get.Body != want || get.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %s", get)
	}
	if events := readFeed(t, g, ""); len(events) != 1 {
		t.Errorf("what was refused is among the events: %+v", events)
	}
}

// otherEnd is a token with another last character.
func otherEnd(token string) string {
	last := "a"
	if strings.HasSuffix(token, last) {
		last = "b"
	}
	return token[:len(token)-1] + last
}

func TestAHookTakesABearerTokenInsteadOfAField(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--config", writeConfig(t, commitsHook+buildsHook))
	token := createHookToken(t, g.Data)
	bearer := func(text string, more ...string) httpAnswer {
		return callHook(t, g, "builds", append([]string{"--header", "Authorization: " + text}, more...)...)
	}
	bearer("Bearer "+token, "--data", "state=broken").wantAccepted(t)
	bearer("bearer "+token, "--data", "").wantAccepted(t)
	bearer("Bearer "+otherEnd(token), "--data", "").wantMismatch(t, "Authorization")
	bearer("Bearer", "--data", "").wantInvalid(t, "Authorization")
	bearer("Basic "+token, "--data", "").wantInvalid(t, "Authorization")
	bearer("Bearer "+token, "--data", "", "--header", "Authorization: Bearer "+token).wantInvalid(t, "Authorization")
	// A hook that takes its token in a field does not look at the header.
	callHook(t, g, "commits", "--header", "Authorization: Bearer "+token, "--data", "bug=7").wantInvalid(t, "token")
	events := readFeed(t, g, "")
	if len(events) != 2 || events[0].Kind != "broken" || events[1].Kind != "build" || events[0].Source != "hook:builds" {
		t.Errorf("the events are %+v", events)
	}
}

func TestOnlyAWrongTokenIsAnEventOfTheAuditTrail(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		callHook(t, g, "commits", "--data", "bug=7")                 // a missing token
		callHook(t, g, "commits", "--data", "bug=x&token="+token)    // another field's error
		callHook(t, g, "commits", "--data", "bug=7&token="+token)    // none
		callHook(t, g, "nothing", "--data", "bug=7&token=wrong")     // no hook
		callHook(t, g, "commits", "--data", "bug=x&token=wrong+one") // the one
		var page struct {
			Events []map[string]any
		}
		call(t, g, "audit.events", "", 100, map[string]any{"subsystem": "hook", "event": "authentication_failed"}).result(t, &page)
		if len(page.Events) != 1 {
			t.Fatalf("%d entries: %v", len(page.Events), page.Events)
		}
		e := page.Events[0]
		for name, want := range map[string]any{
			"code": 1.0, "outcome": "refused", "reason": "mismatch", "caller": "127.0.0.1", "listener": "public", "route": "/hooks/{name}", "name": "commits",
		} {
			if e[name] != want {
				t.Errorf("%s is %v, want %v", name, e[name], want)
			}
		}
		if list := runGateway(t, "", nil, "hook-token", "list", "--data", g.Data); !strings.Contains(list.stdout, fmt.Sprint(e["subject"])) {
			t.Errorf("the subject %v is not the token's name in\n%s", e["subject"], list.stdout)
		}
		if answer := curl(t, "http://"+g.Admin+"/metrics"); answer.Status != http.StatusOK || !strings.Contains(answer.Body, `reason="mismatch"`) {
			t.Errorf("the metrics do not tell of it")
		}
	})
}

// TestEveryProofThatACallCarriesMustBeRight is for a hook that takes a token in a field and in a header.
func TestEveryProofThatACallCarriesMustBeRight(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "[[hook]]\nname = \"both\"\naccept = [\"field\", \"bearer\"]\n[[hook.field]]\nname = \"token\"\ntype = \"token\"\n")
	g := startGateway(t, "--config", config)
	right := createHookToken(t, g.Data)
	for _, test := range []struct {
		field, header string // "" for none
		mismatch      string
	}{
		{right, "", ""}, {"", right, ""}, {right, right, ""},
		{right, "wrong", "Authorization"}, {"wrong", right, "token"}, {"wrong", "", "token"}, {"", "wrong", "Authorization"},
	} {
		args := []string{"--data", "token=" + test.field}
		if test.header != "" {
			args = append(args, "--header", "Authorization: Bearer "+test.header)
		}
		answer := callHook(t, g, "both", args...)
		if test.mismatch == "" {
			answer.wantAccepted(t)
		} else {
			answer.wantMismatch(t, test.mismatch)
		}
	}
	callHook(t, g, "both", "--data", "").wantInvalid(t, "token")
}

// TestAHookWithoutAStoreIsAnswered503 takes Redis away while the gateway runs.
func TestAHookWithoutAStoreIsAnswered503(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{dir: t.TempDir(), port: freePort(t)})
	args := with(unlimited, "--set", "store.url="+redis.URL, "--config", writeConfig(t, commitsHook))
	g := startGateway(t, args...)
	token := createHookToken(t, g.Data)
	first := callHook(t, g, "commits", "--data", "bug=7&token="+token).wantAccepted(t)
	redis.Kill()
	for _, form := range []string{"bug=7&token=" + token, "bug=7&token=wrong"} { // which cannot be told apart now
		answer := callHook(t, g, "commits", "--data", form)
		answer.wantCatalogueJSON(t, http.StatusServiceUnavailable, "STORE_UNAVAILABLE")
		if answer.Header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %s", answer)
		}
	}
	callHook(t, g, "commits", "--data", "bug=7").wantInvalid(t, "token") // for which the store is not needed
	call(t, g, "hooks.events", "", 10).wantFault(t, 503, "STORE_UNAVAILABLE")
	if f := runGateway(t, "", nil, "hook-token", "create", "--data", g.Data); f.status != 2 || f.stdout != "" || !strings.Contains(f.stderr, "STORE_UNAVAILABLE") {
		t.Errorf("hook-token create: %+v", f)
	}
	startRedis(t, redis.opts)
	awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusOK)
	second := callHook(t, g, "commits", "--data", "bug=8&token="+token).wantAccepted(t)
	if events := readFeed(t, g, ""); len(events) != 2 || events[0].After != first || events[1].After != second {
		t.Errorf("the events are %+v", events)
	}
}
