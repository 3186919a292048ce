package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmeCommands are the shell commands of the README, and what each must print,
// as a regular expression.
var readmeCommands = map[string]string{
	`python3 -c "import xmlrpc.client; print(xmlrpc.client.ServerProxy('http://127.0.0.1:8087/RPC2').bugs.newBugTrackerToken())"`: `(?m)^[A-Za-z0-9]{20,}$`,

	`TOKEN=$(python3 -c "import xmlrpc.client; print(xmlrpc.client.ServerProxy('http://127.0.0.1:8087/bugs').newBugTrackerToken())")`: ``,
	`curl -i -X POST http://127.0.0.1:8080/token/$TOKEN/+bugtracker-handshake`:                                                        `HTTP/1.1 (200 OK\r[^{]*Handshake token validated\.|410 Gone\r[^{]*Token has already been used or is invalid\.)`,
	`curl -i http://127.0.0.1:8080/token/$TOKEN/+bugtracker-handshake`:                                                                `HTTP/1.1 405 Method Not Allowed\r[^{]*Allow: POST`,
	`curl -i -X POST -H 'Accept: application/json' http://127.0.0.1:8080/token/$TOKEN/+bugtracker-handshake`:                          `HTTP/1.1 410 Gone\r[^{]*\{"code":"TOKEN_INVALID"`,

	`curl -s http://127.0.0.1:8087/bugs -H 'Content-Type: text/xml' -d '<?xml version="1.0"?><methodCall><methodName>newBugTrackerToken</methodName></methodCall>'`: `<string>[A-Za-z0-9]{20,}</string>`,

	`curl -s http://127.0.0.1:8087/RPC2`:    `<html[^>]*>[\s\S]*bugs\.newBugTrackerToken`,
	`curl -s http://127.0.0.1:9087/metrics`: `trackgate_tokens_minted_total`,
	`curl -s http://127.0.0.1:9087/readyz`:  `"store":"ok"`,

	`go run ./cmd/trackgate serve --config trackgate.toml`: ``, // started by a test of its own

	`go run ./cmd/trackgate hook-token create`:                               `(?m)^[A-Za-z0-9]{32}$`,
	`curl -i http://127.0.0.1:8080/hooks/commits -d token=wrong -d bug=7`:    `HTTP/1.1 403 Forbidden\r[^{]*\{"code":"TOKEN_MISMATCH"`,
	`go run ./cmd/trackgate audit list --outcome refused --since 2026-11-01`: `(?m)^TIME +CHAIN[^\n]*$`,
	`go run ./cmd/trackgate audit checkpoint > checkpoint.txt`:               ``,
	`go run ./cmd/trackgate audit verify --from checkpoint.txt`:              `1 checkpoints are met[\s\S]*Nothing was changed`,
	`go run ./cmd/trackgate audit export --subsystem hook`:                   `"subsystem":"hook","code":1,"event":"authentication_failed"`,

	`go run ./cmd/trackgate token mint`:                    `(?m)^[A-Za-z0-9]{20,}$`,
	`echo "$TOKEN" | go run ./cmd/trackgate token show`:    `[0-9a-f]{16}\s+live`,
	`go run ./cmd/trackgate token revoke 0123456789abcdef`: `0123456789abcdef\s+unknown`,
	`go run ./cmd/trackgate version`:                       `(?m)^trackgate \S+$`,
}

var readmeBlock = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// readmeBlocks are the blocks of the README in one language.
func readmeBlocks(tb testing.TB, language string) []string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		tb.Fatal(err)
	}
	var blocks []string
	for _, match := range readmeBlock.FindAllStringSubmatch(string(text), -1) {
		if match[1] == language {
			blocks = append(blocks, match[2])
		}
	}
	if len(blocks) == 0 {
		tb.Fatalf("the README has no %s", language)
	}
	return blocks
}

// commandsOf are the commands of a block, without comments and line breaks.
func commandsOf(block string) []string {
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", "")) {
		command, _, _ := strings.Cut(line, "   # ")
		command = strings.Join(strings.Fields(command), " ")
		if command != "" && !strings.HasPrefix(command, "#") {
			commands = append(commands, command)
		}
	}
	return commands
}

// onTheseAddresses puts a gateway's addresses in the place of the default ones.
func onTheseAddresses(g *gatewayProcess, text string) string {
	return strings.NewReplacer("127.0.0.1:8087", g.Private, "127.0.0.1:8080", g.Public, "127.0.0.1:9087", g.Admin).Replace(text)
}

func TestEveryShellCommandOfTheREADMEIsKnownToThisTest(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, block := range readmeBlocks(t, "sh") {
		for _, command := range commandsOf(block) {
			found[command] = true
			if _, known := readmeCommands[command]; !known {
				t.Errorf("no test runs %s", command)
			}
		}
	}
	for command := range readmeCommands {
		if !found[command] {
			t.Errorf("the README does not have %s any more", command)
		}
	}
}

func TestTheShellCommandsOfTheREADMEWork(t *testing.T) {
	t.Parallel()
	binary := buildGateway(t)
	home := t.TempDir()
	hooks := filepath.Join(home, "hooks.toml")
	for _, block := range readmeBlocks(t, "toml") {
		if hook, _, _ := strings.Cut(block, "[[tracker]]"); strings.Contains(hook, "[[hook]]") { // what is watched is elsewhere
			if err := os.WriteFile(hooks, []byte(hook), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	g := startGatewayIn(t, filepath.Join(home, "trackgate"), "--config", hooks)
	for _, block := range readmeBlocks(t, "sh") {
		var script, want []string
		for _, command := range commandsOf(block) {
			if !strings.Contains(command, " serve ") {
				script = append(script, strings.ReplaceAll(onTheseAddresses(g, command), "go run ./cmd/trackgate", binary), "echo")
				want = append(want, readmeCommands[command])
			}
		}
		cmd := exec.Command("sh", "-c", strings.Join(script, "\n"))
		cmd.Dir = home
		cmd.Env = append(cleanEnviron(), "XDG_DATA_HOME="+home, "TOKEN="+mint(t, g))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v in\n%s\n%s", err, block, out)
		}
		rest := string(out)
		for i, pattern := range want {
			at := regexp.MustCompile(pattern).FindStringIndex(rest)
			if at == nil {
				t.Errorf("command %d of\n%s\ndid not print %s but\n%s", i+1, block, pattern, out)
				break
			}
			rest = rest[at[1]:]
		}
	}
}

func TestTheConfigurationOfTheREADMEIsAccepted(t *testing.T) {
	t.Parallel()
	for _, block := range readmeBlocks(t, "toml") {
		file := filepath.Join(t.TempDir(), "trackgate.toml")
		// Of an address that must not be called nobody asks a name server.
		block = strings.ReplaceAll(block, "https://bugs.example.org", "https://127.0.0.1:1")
		if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		g := startGateway(t, "--config", file)
		var trackers []struct{ Name string }
		call(t, g, "trackers.list").result(t, &trackers)
		if len(trackers) != strings.Count(block, "[[tracker]]") {
			t.Errorf("trackers.list gives %v", trackers)
		}
	}
}

func TestThePythonOfTheREADMEWorks(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	for _, block := range readmeBlocks(t, "python") {
		out := runPython(t, onTheseAddresses(s.gatewayProcess, block))
		if strings.Contains(block, "hooks.events") { // nothing has happened there yet
			if out != "" {
				t.Errorf("it printed\n%s", out)
			}
			continue
		}
		if lines := strings.Count(out, "\n") + 1; lines != strings.Count(block, "print(") || !strings.Contains(out, "1-1") {
			t.Errorf("it printed\n%s", out)
		}
	}
	if written := s.peer.Stats().Comments; len(written) != 1 || !strings.Contains(written[0].Text, "The fire is out.") {
		t.Errorf("written were %v", written)
	}
}

// TestEveryKeyOfTheREADMEIsAKey sets each key of the tables to nonsense, which
// an unknown key would be told apart from.
func TestEveryKeyOfTheREADMEIsAKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| key | default | meaning |")
	table, _, _ = strings.Cut(table, "| key |")
	keys := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \|`).FindAllStringSubmatch(table, -1) {
		section := ""
		for _, name := range regexp.MustCompile("`([a-z0-9_.]+)`").FindAllStringSubmatch(row[1], -1) {
			key := name[1]
			if short, ok := strings.CutPrefix(key, "."); ok {
				key = section + "." + short
			} else {
				section = key[:strings.LastIndex(key, ".")]
			}
			f := runGateway(t, "", nil, "serve", "--data", t.TempDir(), "--set", key+"=", "--set", "admin.listen=nowhere")
			if f.status != 1 || strings.Contains(f.stderr, "unknown key") {
				t.Errorf("%s: %+v", key, f)
			}
			keys++
		}
	}
	if keys < 25 {
		t.Errorf("only %d keys were found in the README", keys)
	}
}
