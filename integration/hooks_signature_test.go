package integration

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// signer signs as the specification of Standard Webhooks says, with Python's own hmac: its
// arguments are the secret, the id and the time, and the body is its standard input.
const signer = `
import base64, hashlib, hmac, sys
secret, ident, at = sys.argv[1:]
key = base64.b64decode(secret.removeprefix("whsec_"))
signed = ("%s.%s." % (ident, at)).encode() + sys.stdin.buffer.read()
print("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
`

// standardSignature signs a call by Standard Webhooks.
func standardSignature(tb testing.TB, secret, id string, at time.Time, body string) string {
	tb.Helper()
	return printed(tb, body, "python3", "-c", signer, secret, id, strconv.FormatInt(at.Unix(), 10))
}

// hubSigner signs a body alone, which is its standard input.
const hubSigner = `
import hmac, sys
print("sha256=" + hmac.new(sys.argv[1].encode(), sys.stdin.buffer.read(), "sha256").hexdigest())
`

// hubSignature signs a body as GitHub and others do.
func hubSignature(tb testing.TB, secret, body string) string {
	tb.Helper()
	return printed(tb, body, "python3", "-c", hubSigner, secret)
}

// printed runs a program with a standard input and returns what it printed.
func printed(tb testing.TB, stdin, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// standardSecret is a secret of Standard Webhooks, another for each text.
func standardSecret(text string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text+"+", 32)[:32]))
}

// callSigned calls a hook by Standard Webhooks.
func callSigned(tb testing.TB, g *gatewayProcess, hook, id string, at time.Time, signature, body string) httpAnswer {
	tb.Helper()
	return callHook(tb, g, hook, "--header", "Content-Type: application/json", "--header", "Webhook-Id: "+id,
		"--header", "webhook-timestamp: "+strconv.FormatInt(at.Unix(), 10), "--header", "webhook-signature: "+signature, "--data-binary", body)
}

func TestAHookTakesStandardWebhooks(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		old, next := standardSecret("old"), standardSecret("next")
		secrets := writeFile(t, "secrets", "# the newest first\n"+next+"\n\n"+old+"\n")
		g := startGateway(t, with(store, "--config", writeConfig(t, signedHook("alerts", "standard-webhooks", fmt.Sprintf("secret_file = %q\n", secrets))))...)
		now := time.Now()
		body := `{"text": "It burns — Grüße"}`
		good := standardSignature(t, next, "msg_1", now, body)
		first := callSigned(t, g, "alerts", "msg_1", now, good, body).wantAccepted(t)
		// A sender that tries again signs anew.
		again := now.Add(-time.Second)
		if at := callSigned(t, g, "alerts", "msg_1", again, standardSignature(t, next, "msg_1", again, body), body).wantAccepted(t); at != first {
			t.Errorf("the second try is at %s, the first at %s", at, first)
		}
		callSigned(t, g, "alerts", "msg_2", now, standardSignature(t, old, "msg_2", now, body), body).wantAccepted(t)
		both := "v1a,AAAA " + standardSignature(t, standardSecret("other"), "msg_3", now, body) + " " + standardSignature(t, next, "msg_3", now, body)
		callSigned(t, g, "alerts", "msg_3", now, both, body).wantAccepted(t)

		callSigned(t, g, "alerts", "msg_4", now, good, body).wantMismatch(t, "Webhook-Signature")                  // another id
		callSigned(t, g, "alerts", "msg_1", now, good, body+" ").wantMismatch(t, "Webhook-Signature")              // another body
		callSigned(t, g, "alerts", "msg_1", now.Add(time.Second), good, body).wantMismatch(t, "Webhook-Signature") // another time
		callSigned(t, g, "alerts", "msg_1", now, "v2"+good[2:], body).wantMismatch(t, "Webhook-Signature")         // another version
		for _, away := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
			at := now.Add(away)
			callSigned(t, g, "alerts", "msg_5", at, standardSignature(t, next, "msg_5", at, body), body).wantMismatch(t, "Webhook-Timestamp")
		}
		callHook(t, g, "alerts", "--header", "Content-Type: application/json", "--header", "webhook-signature: "+good, "--data-binary", body).wantInvalid(t, "Webhook-Id")
		callHook(t, g, "alerts", "--header", "Content-Type: application/json", "--data-binary", body).wantInvalid(t, "Webhook-Signature")
		if events := readFeed(t, g, ""); len(events) != 3 || events[0].Data["text"] != "It burns — Grüße" {
			t.Errorf("the events are %+v", events)
		}
	})
}

func TestAHookTakesHubSignatures(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		const secret = "a shared secret with blanks"
		config := writeConfig(t, signedHook("push", "x-hub-signature-256", "")+signedHook("pull", "x-hub-signature-256", ""))
		g := startGatewayWith(t, t.TempDir(), []string{"TRACKGATE_HOOK_PUSH_SECRET=" + secret, "TRACKGATE_HOOK_PULL_SECRET=" + secret}, with(store, "--config", config)...)
		send := func(hook, signature, body string, more ...string) httpAnswer {
			return callHook(t, g, hook, append(more, "--header", "Content-Type: application/json", "--header", "X-Hub-Signature-256: "+signature, "--data-binary", body)...)
		}
		body := `{"text": "Grüße"}`
		signature := hubSignature(t, secret, body)
		first := send("push", signature, body).wantAccepted(t)
		// Who has seen it can send it again, under whatever id: it is known.
		if at := send("push", signature, body).wantAccepted(t); at != first {
			t.Errorf("the repetition is at %s, the first at %s", at, first)
		}
		if at := send("push", signature, body, "--header", "webhook-id: another").wantAccepted(t); at != first {
			t.Errorf("the repetition under another id is at %s, the first at %s", at, first)
		}
		other := `{"text": "Another"}`
		send("push", hubSignature(t, secret, other), other).wantAccepted(t)
		send("push", signature, other).wantMismatch(t, "X-Hub-Signature-256")
		send("push", hubSignature(t, secret+" ", body), body).wantMismatch(t, "X-Hub-Signature-256")
		send("push", strings.ToUpper(signature), body).wantMismatch(t, "X-Hub-Signature-256")
		send("push", strings.TrimPrefix(signature, "sha256="), body).wantMismatch(t, "X-Hub-Signature-256")
		callHook(t, g, "push", "--header", "Content-Type: application/json", "--data-binary", body).wantInvalid(t, "X-Hub-Signature-256")
		send("pull", signature, body).wantAccepted(t) // another hook's memory is its own
		if events := readFeed(t, g, ""); len(events) != 3 || events[0].Data["text"] != "Grüße" || events[2].Source != "hook:pull" {
			t.Errorf("the events are %+v", events)
		}
	})
}

// TestWhatComesAtTheSameTimeOnTwoGatewaysIsStoredOnce has one call played again and again by somebody
// who has seen it, at both gateways of a Redis.
func TestWhatComesAtTheSameTimeOnTwoGatewaysIsStoredOnce(t *testing.T) {
	t.Parallel()
	const secret = "a shared secret of some length"
	args := with(unlimited, "--set", "store.url="+startRedis(t, redisOptions{}).URL, "--config", writeConfig(t, signedHook("push", "x-hub-signature-256", "")))
	var gateways []*gatewayProcess
	for range 2 {
		gateways = append(gateways, startGatewayWith(t, t.TempDir(), []string{"TRACKGATE_HOOK_PUSH_SECRET=" + secret}, args...))
	}
	body := `{"text": "once"}`
	signature, load := hubSignature(t, secret, body), newLoader()
	defer load.client.CloseIdleConnections()
	answers := make([]string, 40)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+gateways[i%2].Public+"/hooks/push", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("X-Hub-Signature-256", signature)
			request.Header.Set("Webhook-Id", strconv.Itoa(i))
			response, err := load.client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("%s %s, %v", response.Status, text, err)
			}
			answers[i] = string(text)
		})
	}
	wg.Wait()
	if distinct := slices.Compact(answers); len(distinct) != 1 {
		t.Errorf("the answers are %q", distinct)
	}
	if events := readFeed(t, gateways[0], ""); len(events) != 1 {
		t.Errorf("the events are %+v", events)
	}
}

// TestASignatureIsRememberedForTheReplayWindow looks at how long Redis will keep it.
func TestASignatureIsRememberedForTheReplayWindow(t *testing.T) {
	t.Parallel()
	const secret = "a shared secret of some length"
	redis := startRedis(t, redisOptions{})
	config := writeConfig(t, signedHook("push", "x-hub-signature-256", "replay_window = \"2h\"\n"))
	g := startGatewayWith(t, t.TempDir(), []string{"TRACKGATE_HOOK_PUSH_SECRET=" + secret}, "--set", "store.url="+redis.URL, "--config", config)
	body := `{"text": "once"}`
	callHook(t, g, "push", "--header", "Content-Type: application/json", "--header", "X-Hub-Signature-256: "+hubSignature(t, secret, body), "--data-binary", body).wantAccepted(t)
	keys := redisKeys(t, redis.Addr, "*hook:seen:push:*")
	if len(keys) != 1 {
		t.Fatalf("the signatures are remembered under %q", keys)
	}
	left, err := strconv.Atoi(redisCLI(t, redis, "PTTL", keys[0]))
	if kept := time.Duration(left) * time.Millisecond; err != nil || kept > 2*time.Hour || kept < time.Hour {
		t.Errorf("it is kept for %v, %v, want 2h", kept, err)
	}
}

func TestSecretsOfSignaturesAreRefusedInTheConfigurationsText(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-hunter2-hunter2"
	for _, test := range []struct {
		name, config string
		env          []string
		set, says    string
	}{
		{"in the file", signedHook("push", "x-hub-signature-256", "secret = \""+secret+"\"\n"), nil, "", "hook.secret"},
		{"as an argument", signedHook("push", "x-hub-signature-256", ""), nil, "hook.push.secret=" + secret, "web hooks are configured in the file"},
		{"nowhere", signedHook("push", "x-hub-signature-256", ""), nil, "", "no secret to check them with"},
		{"for no hook", signedHook("push", "x-hub-signature-256", ""), []string{"TRACKGATE_HOOK_PULL_SECRET=" + secret}, "", "TRACKGATE_HOOK_PULL_SECRET"},
		{"for a hook with tokens", buildsHook, []string{"TRACKGATE_HOOK_BUILDS_SECRET=" + secret}, "", "tokens are not configured but created"},
		{"too short", signedHook("push", "x-hub-signature-256", ""), []string{"TRACKGATE_HOOK_PUSH_SECRET=" + secret[:7]}, "", "16 to 1024 bytes"},
		{"of another kind", signedHook("push", "standard-webhooks", ""), []string{"TRACKGATE_HOOK_PUSH_SECRET=" + secret}, "", "begins with whsec_"},
	} {
		args := with([]string{"serve", "--data", t.TempDir(), "--config", writeConfig(t, test.config)}, freeListeners...)
		if test.set != "" {
			args = append(args, "--set", test.set)
		}
		f := runGateway(t, "", test.env, args...)
		f.wantOneLine(t, test.says)
		if strings.Contains(f.stdout+f.stderr, secret[:7]) {
			t.Errorf("%s: the secret is printed: %+v", test.name, f)
		}
	}
}
