package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// supervisorUser and supervisorPassword are those of servers/supervisord.conf. A password with
// a colon is one that Basic authorization has to split right.
const (
	supervisorUser     = "alice"
	supervisorPassword = "open:sesame"
)

// startSupervisor starts a supervisord in the test's directory and returns the URL of its
// XML-RPC interface.
func startSupervisor(tb testing.TB) string {
	tb.Helper()
	path := program(tb, "supervisord", "supervisor")
	config, err := filepath.Abs(filepath.Join("servers", "supervisord.conf"))
	if err != nil {
		tb.Fatal(err)
	}
	scene, port := tb.TempDir(), freePort(tb)
	output, err := os.Create(filepath.Join(scene, "output"))
	if err != nil {
		tb.Fatal(err)
	}
	defer output.Close()
	cmd := exec.Command(path, "--nodaemon", "--configuration", config)
	cmd.Env = append(os.Environ(), "SCENE="+scene, fmt.Sprintf("PORT=%d", port))
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	tb.Cleanup(func() {
		// At this signal it ends the programs that it started, too.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(startUpLimit):
			_ = cmd.Process.Kill()
			<-done
			tb.Error("supervisord did not end at SIGTERM")
		}
		if text, err := os.ReadFile(output.Name()); err == nil && tb.Failed() {
			tb.Logf("supervisord's output:\n%s", text)
		}
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/RPC2", port)
	limit := time.NewTimer(startUpLimit)
	defer limit.Stop()
	for {
		answer, err := http.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			return url
		}
		select {
		case <-done:
			text, _ := os.ReadFile(output.Name())
			tb.Fatalf("supervisord ended at start:\n%s", text)
		case <-limit.C:
			tb.Fatalf("supervisord does not answer: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSupervisorAndTheClientUnderstandEachOther(t *testing.T) {
	t.Parallel()
	url := startSupervisor(t)
	client := newServerClient(t, url, xmlrpc.WithBasicAuth(supervisorUser, supervisorPassword))
	t.Run("authorization", func(t *testing.T) { checkSupervisorAuthorization(t, url) })
	t.Run("values", func(t *testing.T) { checkSupervisorValues(t, client) })
	t.Run("faults and HTTP errors", func(t *testing.T) { checkSupervisorErrors(t, client, url) })
	t.Run("introspection", func(t *testing.T) { checkSupervisorIntrospection(t, client) })
	t.Run("keep-alive", func(t *testing.T) {
		hc, opened := countingDialer(t)
		kept := client.With(xmlrpc.WithHTTPClient(hc))
		for range 5 {
			if err := kept.Call(t.Context(), "supervisor.getState", nil); err != nil {
				t.Fatal(err)
			}
			wantServerFault(t, kept.Call(t.Context(), "supervisor.getProcessInfo", nil, "nobody"), 10, "BAD_NAME: nobody")
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("10 calls took %d connections", n)
		}
	})
	t.Run("an abandoned call", func(t *testing.T) { checkSupervisorAbandoned(t, client) })
}

func checkSupervisorAuthorization(t *testing.T, url string) {
	t.Helper()
	withUser := strings.Replace(url, "://", "://alice:open%3Asesame@", 1)
	for _, client := range []*xmlrpc.Client{
		newServerClient(t, url, xmlrpc.WithBasicAuth(supervisorUser, supervisorPassword)),
		newServerClient(t, withUser),
	} {
		var state struct {
			Code int    `xmlrpc:"statecode"`
			Name string `xmlrpc:"statename"`
		}
		if err := client.Call(t.Context(), "supervisor.getState", &state); err != nil || state.Code != 1 || state.Name != "RUNNING" {
			t.Errorf("the state is %+v, %v", state, err)
		}
	}
	for _, client := range []*xmlrpc.Client{
		newServerClient(t, url, ownConnection()),
		newServerClient(t, url, ownConnection(), xmlrpc.WithBasicAuth(supervisorUser, "wrong")),
		newServerClient(t, url, ownConnection(), xmlrpc.WithBearer(supervisorPassword)),
	} {
		err := client.Call(t.Context(), "supervisor.getState", nil)
		e := wantHTTPStatus(t, err, http.StatusUnauthorized)
		if !strings.HasPrefix(e.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("the header of the error is %v", e.Header)
		}
		if strings.Contains(err.Error(), supervisorPassword) || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error says too much: %v", err)
		}
	}
}

// checkSupervisorValues sends and receives what Supervisor's methods have: ints, booleans,
// strings, arrays and structs.
func checkSupervisorValues(t *testing.T, client *xmlrpc.Client) {
	t.Helper()
	call := func(result any, method string, params ...any) {
		t.Helper()
		if err := client.Call(t.Context(), method, result, params...); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	var version, identification string
	call(&version, "supervisor.getAPIVersion")
	call(&identification, "supervisor.getIdentification")
	if version != "3.0" || identification != "trackgate-test" {
		t.Errorf("version %q, identification %q", version, identification)
	}
	var pid int
	call(&pid, "supervisor.getPID")
	if pid <= 0 {
		t.Errorf("process %d", pid)
	}
	type process struct {
		Name  string `xmlrpc:"name"`
		Group string `xmlrpc:"group"`
		State string `xmlrpc:"statename"`
		Start int64  `xmlrpc:"start"`
		PID   int    `xmlrpc:"pid"`
		Exit  int    `xmlrpc:"exitstatus"`
	}
	var all []process
	call(&all, "supervisor.getAllProcessInfo")
	want := []process{{Name: "cat", Group: "cat", State: "STOPPED"}, {Name: "late", Group: "late", State: "STOPPED"}}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("the processes are %+v", all)
	}
	var done bool
	call(&done, "supervisor.startProcess", "cat", true)
	if !done {
		t.Error("startProcess did not say true")
	}
	const line = "Grüße & <日本語> 🐛\n"
	call(&done, "supervisor.sendProcessStdin", "cat", line)
	for text := ""; text != line; { // The log is written by another process.
		call(&text, "supervisor.readProcessStdoutLog", "cat", 0, 0)
	}
	var tail []any
	call(&tail, "supervisor.tailProcessStdoutLog", "cat", 0, 1000)
	if len(tail) != 3 || tail[0] != line || tail[1] != len(line) || tail[2] != false {
		t.Errorf("the log's tail is %#v", tail)
	}
	var info process
	call(&info, "supervisor.getProcessInfo", "cat")
	if info.State != "RUNNING" || info.PID <= 0 || info.Start < time.Now().Add(-time.Hour).Unix() {
		t.Errorf("the process is %+v", info)
	}
	call(&done, "supervisor.stopProcess", "cat", true)
}

func checkSupervisorErrors(t *testing.T, client *xmlrpc.Client, url string) {
	t.Helper()
	wantServerFault(t, client.Call(t.Context(), "supervisor.startProcess", nil, "nobody"), 10, "BAD_NAME: nobody")
	wantServerFault(t, client.Call(t.Context(), "supervisor.stopProcess", nil, "cat"), 70, "NOT_RUNNING: cat")
	wantServerFault(t, client.Call(t.Context(), "supervisor.noSuch", nil), 1, "UNKNOWN_METHOD")
	wantServerFault(t, client.Call(t.Context(), "supervisor.getState", nil, 1, 2), 2, "INCORRECT_PARAMETERS")
	elsewhere := newServerClient(t, strings.TrimSuffix(url, "/RPC2")+"/nowhere/at/all.html", ownConnection(),
		xmlrpc.WithBasicAuth(supervisorUser, supervisorPassword))
	// What serves Supervisor's pages knows no POST, wherever it goes.
	wantHTTPStatus(t, elsewhere.Call(t.Context(), "supervisor.getState", nil), http.StatusBadRequest)
}

func checkSupervisorIntrospection(t *testing.T, client *xmlrpc.Client) {
	t.Helper()
	var methods []string
	if err := client.Call(t.Context(), "system.listMethods", &methods); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"supervisor.getState", "system.multicall", "system.methodHelp"} {
		if !slices.Contains(methods, name) {
			t.Errorf("%q is not among the methods %q", name, methods)
		}
	}
	var help string
	if err := client.Call(t.Context(), "system.methodHelp", &help, "supervisor.getState"); err != nil || !strings.Contains(help, "Return current state") {
		t.Errorf("help: %q, %v", help, err)
	}
	var signature []string
	want := []string{"boolean", "string", "boolean"}
	if err := client.Call(t.Context(), "system.methodSignature", &signature, "supervisor.startProcess"); err != nil || !slices.Equal(signature, want) {
		t.Errorf("signature: %q, %v", signature, err)
	}
	var results []any
	err := client.Call(t.Context(), "system.multicall", &results, []map[string]any{
		{"methodName": "supervisor.getAPIVersion", "params": []any{}},
		{"methodName": "supervisor.startProcess", "params": []any{"nobody", true}},
	})
	wantResults := []any{"3.0", map[string]any{"faultCode": 10, "faultString": "BAD_NAME: nobody"}}
	if err != nil || !reflect.DeepEqual(results, wantResults) {
		t.Errorf("multicall: %v, %v", results, err)
	}
}

// checkSupervisorAbandoned gives up waiting for a program that takes an hour to count as started.
func checkSupervisorAbandoned(t *testing.T, client *xmlrpc.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Call(ctx, "supervisor.startProcess", nil, "late", true)
	}()
	for state := ""; state != "STARTING"; {
		var info struct {
			State string `xmlrpc:"statename"`
		}
		if err := client.Call(t.Context(), "supervisor.getProcessInfo", &info, "late"); err != nil {
			t.Fatal(err)
		}
		state = info.State
	}
	cancel()
	checkAbandoned(t, <-ended, context.Canceled)
	err := client.With(xmlrpc.WithTimeLimit(50*time.Millisecond)).Call(t.Context(), "supervisor.stopProcess", nil, "late", true)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the server is not well afterwards: %v", err)
	}
}
