package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pythonClient is a running clients/xmlrpc_calls.py, which makes any number of
// calls at the same time with Python's xmlrpc.client.
type pythonClient struct {
	mu      sync.Mutex
	stdin   io.Writer
	last    int
	waiting map[int]chan rpcAnswer
}

// rpcFault is a fault as Python's client saw it.
type rpcFault struct {
	Code   int    `json:"code"`
	String string `json:"string"`
}

// rpcAnswer is how a call ended: a result, a fault, or an error of the client.
type rpcAnswer struct {
	ID      int               `json:"id"`
	Result  json.RawMessage   `json:"result"`
	Fault   *rpcFault         `json:"fault"`
	Error   string            `json:"error"`
	Headers map[string]string `json:"headers"` // names in lower case
}

// moment is a dateTime in a result or a parameter.
type moment struct {
	Text string `json:"$time"`
}

// python starts the one process that makes the calls of all tests. It ends with
// its standard input, which is a pipe from this process.
var python = sync.OnceValues(func() (*pythonClient, error) {
	cmd := exec.Command("python3", filepath.Join("clients", "xmlrpc_calls.py"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the calls need python3: %w", err)
	}
	p := &pythonClient{stdin: stdin, waiting: map[int]chan rpcAnswer{}}
	go p.deliver(stdout)
	return p, nil
})

func (p *pythonClient) deliver(stdout io.Reader) {
	lines := json.NewDecoder(bufio.NewReader(stdout))
	for {
		var answer rpcAnswer
		if err := lines.Decode(&answer); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, waiting := range p.waiting {
				waiting <- rpcAnswer{Error: "python ended: " + err.Error()}
			}
			return
		}
		p.mu.Lock()
		waiting := p.waiting[answer.ID]
		delete(p.waiting, answer.ID)
		p.mu.Unlock()
		waiting <- answer
	}
}

// begin starts a call and returns where its end will arrive.
func (p *pythonClient) begin(url, method string, params []any) (<-chan rpcAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	line, err := json.Marshal(map[string]any{"id": p.last, "url": url, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	ended := make(chan rpcAnswer, 1)
	p.waiting[p.last] = ended
	_, err = p.stdin.Write(append(line, '\n'))
	return ended, err
}

// beginCall starts a call of a method at a path of a gateway's private side.
func beginCall(tb testing.TB, g *gatewayProcess, path, method string, params ...any) <-chan rpcAnswer {
	tb.Helper()
	p, err := python()
	if err != nil {
		tb.Fatal(err)
	}
	ended, err := p.begin("http://"+g.Private+path, method, params)
	if err != nil {
		tb.Fatal(err)
	}
	return ended
}

// call calls a method by its prefixed name at /RPC2.
func call(tb testing.TB, g *gatewayProcess, method string, params ...any) rpcAnswer {
	tb.Helper()
	return <-beginCall(tb, g, "/RPC2", method, params...)
}

// result decodes the result into the value that into points to; anything but a
// result fails the test.
func (a rpcAnswer) result(tb testing.TB, into any) {
	tb.Helper()
	if a.Fault != nil || a.Error != "" {
		tb.Fatalf("no result: %s", a)
	}
	if err := json.Unmarshal(a.Result, into); err != nil {
		tb.Fatalf("%v in %s", err, a.Result)
	}
}

// wantFault checks the code of a fault and that its text begins with the name of
// the catalogue and holds some words.
func (a rpcAnswer) wantFault(tb testing.TB, code int, name string, words ...string) {
	tb.Helper()
	if a.Fault == nil {
		tb.Errorf("got %s, want fault %d %s", a, code, name)
		return
	}
	if a.Fault.Code != code || name != "" && !strings.HasPrefix(a.Fault.String, name+": ") {
		tb.Errorf("got %s, want fault %d %s", a, code, name)
	}
	for _, word := range words {
		if !strings.Contains(a.Fault.String, word) {
			tb.Errorf("the fault %q does not say %q", a.Fault.String, word)
		}
	}
}

// String shows how the call ended.
func (a rpcAnswer) String() string {
	switch {
	case a.Error != "":
		return "error " + a.Error
	case a.Fault != nil:
		return fmt.Sprintf("fault %d %q", a.Fault.Code, a.Fault.String)
	}
	return "result " + string(a.Result)
}

// mint asks for a token over XML-RPC, with Python.
func mint(tb testing.TB, g *gatewayProcess, tracker ...string) string {
	tb.Helper()
	params := make([]any, len(tracker))
	for i, name := range tracker {
		params[i] = name
	}
	var token string
	(<-beginCall(tb, g, "/bugs", "newBugTrackerToken", params...)).result(tb, &token)
	return token
}

// runPython runs a program of a few lines as "python3 -c" does, and returns what
// it printed; a failing one fails the test.
func runPython(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	out, err := exec.Command("python3", append([]string{"-c", program}, args...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("python3: %v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
