package integration

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// stackLimit bounds how long the program of a stack may take to compile, and to run.
const stackLimit = 2 * time.Minute

// echoChecks are the samples that a stack sends through bridge.echo. The program of each
// stack under clients/ has the same values, in its own types.
var echoChecks = []string{
	"int", "i8", "boolean_true", "boolean_false", "double", "double_exact", "double_small",
	"string", "string_empty", "string_markup", "string_accents", "string_emoji", "string_blanks",
	"string_lines", "string_cr", "string_digits", "string_long", "datetime", "base64",
	"array", "array_empty", "array_nested", "struct", "struct_empty", "struct_nested", "struct_odd",
	"nil", "params", "no_params",
}

// clientStack is an XML-RPC client that this project did not write, and a program of a few
// lines that makes the calls with it and prints a line for each check: its name, a tab, and
// "ok" when the value came back equal, or what happened instead.
type clientStack struct {
	name     string
	packages string // of Debian or npm, that bring it
	// The commands that compile and run the program, where {dir} is a new directory,
	// {url} is that of /RPC2, and {host}, {port} and {root} are parts of it.
	build []string
	run   string
	// calls makes the calls instead of a program, for stacks that are at hand in Go.
	calls   func(*testing.T, *gatewayProcess) map[string][]string
	differs map[string]difference
}

// difference is what happens in a check that does not end with "ok", and why. The outcome
// begins with what; an empty one is that the stack has no way to send such a value.
type difference struct{ what, why string }

func TestEveryClientStackGetsBackWhatItSends(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(unlimited, "--set", "private.echo=true")...)
	for _, stack := range clientStacks {
		t.Run(stack.name, func(t *testing.T) {
			t.Parallel()
			calls := stack.calls
			if calls == nil {
				calls = stack.runProgram
			}
			stack.check(t, g, calls(t, g))
		})
	}
}

// check compares the lines of a stack with what is known of it.
func (s clientStack) check(t *testing.T, g *gatewayProcess, lines map[string][]string) {
	for _, check := range echoChecks {
		outcome := strings.Join(lines[check], " ")
		want, differs := s.differs[check]
		switch {
		case !differs && outcome != "ok":
			t.Errorf("%s: %q, want ok", check, outcome)
		case differs && want.what == "" && outcome != "":
			t.Errorf("%s: %q, though %s", check, outcome, want.why)
		case differs && !strings.HasPrefix(outcome, want.what):
			t.Errorf("%s: %q, want %q, since %s", check, outcome, want.what, want.why)
		}
	}
	for check := range s.differs {
		if !slices.Contains(echoChecks, check) {
			t.Errorf("there is no check %q", check)
		}
	}
	checkFault(t, lines["fault"], "404", `RESOURCE_NOT_FOUND: `, `"nowhere"`)
	checkFault(t, lines["unknown"], "-32601", `there is no method "no.such.method"`)
	for _, method := range []string{"bridge.echo", "bugs.newBugTrackerToken", "system.listMethods", "trackers.getBugs"} {
		if !slices.Contains(lines["methods"], method) {
			t.Errorf("system.listMethods gave %q, without %s", lines["methods"], method)
		}
	}
	token := strings.Join(lines["token"], " ")
	if !tokenText.MatchString(token) {
		t.Fatalf("the token is %q", token)
	}
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
}

// checkFault checks a fault as a stack presents it: the code, then the text, which some
// stacks put words around.
func checkFault(t *testing.T, line []string, code string, words ...string) {
	t.Helper()
	if len(line) != 2 || line[0] != code {
		t.Errorf("the fault is %q, want code %s and a text", line, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(line[1], word) {
			t.Errorf("the fault %q does not say %q", line[1], word)
		}
	}
}

// runProgram compiles and runs the program of a stack and returns its lines by check.
func (s clientStack) runProgram(t *testing.T, g *gatewayProcess) map[string][]string {
	host, port, _ := strings.Cut(g.Private, ":")
	fill := strings.NewReplacer("{dir}", t.TempDir(), "{root}", "http://"+g.Private, "{url}", "http://"+g.Private+"/RPC2", "{host}", host, "{port}", port)
	for _, line := range s.build {
		s.command(t, fill.Replace(line))
	}
	lines := map[string][]string{}
	for line := range strings.Lines(s.command(t, fill.Replace(s.run))) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(parts) == 1 {
			continue // some stacks print words of their own when they fail
		}
		if lines[parts[0]] != nil {
			t.Errorf("%s was reported twice", parts[0])
		}
		lines[parts[0]] = parts[1:]
	}
	return lines
}

// command runs a command in clients/ and returns its standard output. The one that fails
// names the packages that may be missing.
func (s clientStack) command(t *testing.T, line string) string {
	t.Helper()
	args := strings.Fields(line)
	ctx, cancel := context.WithTimeout(t.Context(), stackLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, args[0], s.packages), args[1:]...)
	cmd.Dir = "clients"
	cmd.Env = stackEnviron()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s\nit needs what .ci/setup installs: %s", line, errors.Join(err, ctx.Err()), stdout.Bytes(), stderr.Bytes(), s.packages)
	}
	return stdout.String()
}

// stackEnviron is an environment in which no proxy stands between a client and the gateway,
// and a time without zone is the same everywhere.
func stackEnviron() []string {
	env := []string{"TZ=UTC", "LC_ALL=C.UTF-8"}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToLower(entry), "=")
		if !strings.HasSuffix(name, "_proxy") && name != "tz" && name != "lc_all" {
			env = append(env, entry)
		}
	}
	return env
}
