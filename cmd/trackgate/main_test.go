package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// result is what a finished command left.
type result struct {
	status         int
	stdout, stderr string
}

func command(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, environ: []string{"HOME=" + t.TempDir()}}
	status := p.run(t.Context(), args)
	return result{status, stdout.String(), stderr.String()}
}

var freePorts = []string{"--set", "private.listen=127.0.0.1:0", "--set", "public.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"}

// serving is a gateway that runs in this process.
type serving struct {
	Private, Public, Admin string
	stop                   func() result
}

func serve(t *testing.T, data string, args ...string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := filepath.Join(t.TempDir(), "ready.json")
	var stdout, stderr lockedBuffer
	p := &program{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	all := append([]string{"serve", "--data", data, "--ready-file", ready}, freePorts...)
	status := make(chan int, 1)
	go func() { status <- p.run(ctx, append(all, args...)) }()
	s := &serving{}
	s.stop = sync.OnceValue(func() result {
		cancel()
		return result{<-status, stdout.String(), stderr.String()}
	})
	t.Cleanup(func() { s.stop() })
	for deadline := time.Now().Add(time.Minute); ; {
		text, err := os.ReadFile(ready)
		if err == nil {
			if err := json.Unmarshal(text, s); err != nil {
				t.Fatalf("the ready file is not JSON: %s", text)
			}
			return s
		}
		select {
		case code := <-status:
			status <- code
			t.Fatalf("serve ended with %d: %s", code, stderr.String())
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("serve was not ready within a minute")
		}
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestWrongUsageIsExitStatus2AndSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "Usage:"},
		{[]string{"serv"}, `there is no command "serv"`},
		{[]string{"serve", "--nonsense"}, "nonsense"},
		{[]string{"serve", "extra"}, `"extra"`},
		{[]string{"demo", "extra"}, "takes no arguments"},
		{[]string{"version", "extra"}, "takes no arguments"},
		{[]string{"token"}, "mint, show, revoke"},
		{[]string{"token", "steal"}, `no command "steal"`},
		{[]string{"token", "mint", "extra"}, "takes no arguments"},
		{[]string{"token", "show"}, "name a token"},
		{[]string{"token", "show", "zz"}, "argument 1 is not a fingerprint"},
		{[]string{"limits"}, "show, reset"},
		{[]string{"limits", "raise"}, `no command "raise"`},
		{[]string{"limits", "reset"}, "needs a key"},
		{[]string{"limits", "show", "192.0.2.7", "192.0.2.8"}, `takes one key: "192.0.2.8"`},
		{[]string{"serve", "--set", "nonsense"}, "write it as section.key=value"},
	} {
		r := command(t, "", tc.args...)
		if r.status != exitUsage || !strings.Contains(r.stderr, tc.want) {
			t.Errorf("%q: status %d, %s", tc.args, r.status, r.stderr)
		}
	}
}

func TestATokenAsAnArgumentIsRefusedAndNotRepeated(t *testing.T) {
	token := "0TNr5kSa" + strings.Repeat("x", 24)
	r := command(t, "", "token", "revoke", token)
	if r.status != exitUsage || strings.Contains(r.stdout+r.stderr, token) || !strings.Contains(r.stderr, "standard input") {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}

func TestHelpAndVersion(t *testing.T) {
	if r := command(t, "", "help"); r.status != exitOK || !strings.Contains(r.stdout, "trackgate serve") {
		t.Errorf("help: %d %s", r.status, r.stdout)
	}
	if r := command(t, "", "version"); r.status != exitOK || !strings.HasPrefix(r.stdout, "trackgate ") {
		t.Errorf("version: %d %s", r.status, r.stdout)
	}
}

// failsInOneLine asserts exit status 1 and one line that has all wanted parts.
func failsInOneLine(t *testing.T, r result, want ...string) {
	t.Helper()
	if r.status != exitFailure || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("status %d, output %q; want 1 and one line", r.status, r.stderr)
	}
	for _, w := range want {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("%q does not say %q", r.stderr, w)
		}
	}
}

func TestAPortInUseIsNamedWithItsKey(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, key := range []string{"private.listen", "public.listen", "admin.listen"} {
		args := append([]string{"serve", "--data", t.TempDir()}, freePorts...)
		r := command(t, "", append(args, "--set", key+"="+taken.Addr().String())...)
		failsInOneLine(t, r, taken.Addr().String(), "in use", "--set "+key)
	}
}

func TestAnUnwritableDirectoryIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, "", append([]string{"serve", "--data", filepath.Join(file, "sub")}, freePorts...)...)
	failsInOneLine(t, r, filepath.Join(file, "sub"), "--data DIR")
}

func TestAStoreThatAnotherGatewayHasIsNamed(t *testing.T) {
	data := t.TempDir()
	first := serve(t, data)
	r := command(t, "", append([]string{"serve", "--data", data}, freePorts...)...)
	failsInOneLine(t, r, "trackgate.db", "another")
	if r := first.stop(); r.status != exitOK {
		t.Errorf("the first gateway ended with %d: %s", r.status, r.stderr)
	}
	serve(t, data)
}

func TestABrokenConfigurationIsExitStatus1(t *testing.T) {
	r := command(t, "", "serve", "--data", t.TempDir(), "--set", "private.lissen=x")
	failsInOneLine(t, r, "did you mean private.listen?")
	r = command(t, "", "serve", "--data", t.TempDir(), "--config", "/no/such/trackgate.toml")
	failsInOneLine(t, r, "/no/such/trackgate.toml")
}

func TestServePrintsWhereEverythingIs(t *testing.T) {
	data := t.TempDir()
	s := serve(t, data)
	r := s.stop()
	if r.status != exitOK {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
	for _, want := range []string{s.Private, s.Public, s.Admin, data, "newBugTrackerToken"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in\n%s", want, r.stdout)
		}
	}
}

func TestOperatorsReachARunningGateway(t *testing.T) {
	data := t.TempDir()
	s := serve(t, data)
	operatorRoundTrip(t, data, func(token string) int {
		res, err := http.Post("http://"+s.Public+"/token/"+token+"/+bugtracker-handshake", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	})
	info, err := os.Stat(filepath.Join(data, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
}

func TestOperatorsOpenTheStoreWhenNoGatewayRuns(t *testing.T) {
	operatorRoundTrip(t, t.TempDir(), nil)
}

// operatorRoundTrip mints, shows and revokes; callback, where there is one,
// presents a token and gives the status of the answer.
func operatorRoundTrip(t *testing.T, data string, callback func(token string) int) {
	t.Helper()
	r := command(t, "", "token", "mint", "--data", data)
	token := strings.TrimSpace(r.stdout)
	if r.status != exitOK || !regexp.MustCompile(`^[0-9A-Za-z]{36}$`).MatchString(token) {
		t.Fatalf("mint: status %d, %q, %s", r.status, r.stdout, r.stderr)
	}
	r = command(t, token+"\n", "token", "show", "--data", data)
	if r.status != exitOK || !strings.Contains(r.stdout, "live") || strings.Contains(r.stdout, token) {
		t.Fatalf("show: status %d, %s %s", r.status, r.stdout, r.stderr)
	}
	fingerprint := regexp.MustCompile(`\b[0-9a-f]{16}\b`).FindString(r.stdout)
	r = command(t, "", "token", "revoke", "--data", data, fingerprint)
	if r.status != exitOK || !strings.Contains(r.stdout, "revoked") {
		t.Fatalf("revoke: status %d, %s %s", r.status, r.stdout, r.stderr)
	}
	if callback != nil {
		if status := callback(token); status != http.StatusGone {
			t.Errorf("a revoked token was answered %d", status)
		}
	}
	r = command(t, "", "token", "show", "--data", data, "0123456789abcdef")
	if r.status != exitFailure || !strings.Contains(r.stdout, "unknown") {
		t.Errorf("an unknown fingerprint: status %d, %s", r.status, r.stdout)
	}
	r = command(t, "", "token", "mint", "--data", data, "--tracker", "nobody")
	failsInOneLine(t, r, "RESOURCE_NOT_FOUND")
}

func TestAdminShowsMetricsHealthAndReadiness(t *testing.T) {
	s := serve(t, t.TempDir())
	for path, want := range map[string]string{
		"/metrics":      "trackgate_tokens_refused_total{reason=\"used\"} 0",
		"/healthz":      "ok",
		"/readyz":       `"store":"ok"`,
		"/debug/pprof/": "goroutine",
	} {
		if status, body := get(t, "http://"+s.Admin+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, no %s", path, status, want)
		}
	}
}

func TestNothingOfOneListenerIsReachableThroughAnother(t *testing.T) {
	s := serve(t, t.TempDir())
	for _, url := range []string{
		s.Public + "/metrics", s.Public + "/healthz", s.Public + "/RPC2", s.Public + "/bugs", s.Public + "/debug/pprof/",
		s.Private + "/metrics", s.Private + "/readyz", s.Private + "/token/x/+bugtracker-handshake",
		s.Admin + "/RPC2", s.Admin + "/bugs", s.Admin + "/token/x/+bugtracker-handshake",
	} {
		if status, _ := get(t, "http://"+url); status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", url, status)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestTheDemonstrationShowsEveryStep(t *testing.T) {
	r := command(t, "", "demo")
	if r.status != exitOK {
		t.Fatalf("status %d: %s\n%s", r.status, r.stderr, r.stdout)
	}
	at := 0
	for _, want := range []string{
		"newBugTrackerToken", "GET /launchpad-auth/", "POST /token/", "HTTP/1.1 200 OK", "Handshake token validated.",
		"HTTP/1.1 410 Gone", "Token has already been used or is invalid.",
		"HTTP/1.1 405 Method Not Allowed", "Allow: POST", "trackers.getBugs", "Printer on fire",
		"trackers.addComment", "1-2", "trackers.getComments", "The fire is out.",
	} {
		i := strings.Index(r.stdout[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing, or not in its place, in\n%s", want, r.stdout)
		}
		at += i
	}
}

// Only the lock of the socket tells gateways apart that share a directory and no
// bolt file.
func TestASecondGatewayLeavesTheFirstOnesSocketAlone(t *testing.T) {
	data := t.TempDir()
	first := serve(t, data, "--set", "store.url=bolt:"+filepath.Join(data, "first.db"))
	second := serve(t, data, "--set", "store.url=bolt:"+filepath.Join(data, "second.db"))
	if r := second.stop(); r.status != exitOK || !strings.Contains(r.stderr, "operator commands will not reach this gateway") {
		t.Errorf("the second gateway: status %d, %s", r.status, r.stderr)
	}
	if r := command(t, "", "token", "mint", "--data", data); r.status != exitOK {
		t.Errorf("the first gateway is not reached any more: %s", r.stderr)
	}
	if r := first.stop(); !strings.Contains(r.stderr, "token minted") {
		t.Errorf("the first gateway minted nothing: %s", r.stderr)
	}
	if _, err := os.Stat(filepath.Join(data, "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestOptionsOfTheWholeServerPassNoGuard(t *testing.T) {
	s := serve(t, t.TempDir())
	for addr, want := range map[string]string{s.Private: "403", s.Admin: "403", s.Public: "404"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) {
			t.Errorf("%s: %.40q, %v; want %s", addr, answer, err, want)
		}
	}
}

func TestAnUntrustedProxyIsMentionedOnce(t *testing.T) {
	s := serve(t, t.TempDir())
	for range 2 {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.Public+"/token/x/+bugtracker-handshake", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "192.0.2.7")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if r := s.stop(); strings.Count(r.stderr, "public.trusted_proxies") != 1 {
		t.Errorf("it is said %d times: %s", strings.Count(r.stderr, "public.trusted_proxies"), r.stderr)
	}
}
