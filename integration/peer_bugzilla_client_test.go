package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bugzillaCommand is the program of Debian's package bugzilla-cli, a client that was not written
// for Trackgate, with a home directory of its own: it keeps its token there, in
// .cache/python-bugzilla/bugzillatoken.
type bugzillaCommand struct {
	t       *testing.T
	address string
	home    string
}

// newBugzillaCommand makes the program talk to an address.
func newBugzillaCommand(t *testing.T, address string) *bugzillaCommand {
	t.Helper()
	return &bugzillaCommand{t, address, t.TempDir()}
}

// run runs a command and returns what it printed on standard output.
func (c *bugzillaCommand) run(arguments ...string) string {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), "bugzilla", append([]string{"--bugzilla", c.address}, arguments...)...)
	command.Env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"}
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		c.t.Fatalf("bugzilla %s (Debian's package bugzilla-cli): %v\n%s%s", strings.Join(arguments, " "), err, output, stderr.String())
	}
	return string(output)
}

// withKey writes an API key into the configuration that the program reads.
func (c *bugzillaCommand) withKey(key string) *bugzillaCommand {
	c.t.Helper()
	directory := filepath.Join(c.home, ".config", "python-bugzilla")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		c.t.Fatal(err)
	}
	text := "[" + tracHost(c.t, c.address) + "]\napi_key=" + key + "\n"
	if err := os.WriteFile(filepath.Join(directory, "bugzillarc"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// checkBugzillaCommand queries, gets and comments with the program, and looks in the peer that
// stands behind the address for what it did. Nothing in it knows whether the address is the
// peer's own or that of a proxy before it.
func checkBugzillaCommand(t *testing.T, command *bugzillaCommand, peer *bugzillaPeer) {
	t.Helper()
	found := command.run("query", "--product", "Widgets", "--component", "ui", "--status", "CONFIRMED",
		"--outputformat", "%{id} %{priority} %{summary}")
	if !strings.Contains(found, "2 High Größe wird falsch berechnet – naïve café\n") || strings.Contains(found, "Crash when") {
		t.Errorf("a query of one component found\n%s", found)
	}
	if found := command.run("query", "--id", "1,99999", "--ids"); found != "1\n" {
		t.Errorf("a query of a bug and of one that is not there found %q", found)
	}

	var got struct {
		Bugs []struct {
			ID      int
			Summary string
			Alias   []string
			Status  string
		}
	}
	text := command.run("query", "--id", "crash-empty", "--id", "1", "--json")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(got.Bugs) != 1 || got.Bugs[0].ID != 1 || got.Bugs[0].Summary != "Crash when opening an empty file" ||
		len(got.Bugs[0].Alias) != 1 || got.Bugs[0].Status != "CONFIRMED" {
		t.Errorf("bug 1 was got as %+v", got)
	}

	const comment = "From the command line: naïve & <odd> 🐛"
	before := len(peer.Stats().Comments)
	command.run("modify", "10", "--comment", comment)
	written := peer.Stats().Comments[before:]
	if len(written) != 1 || written[0].Bug != "10" || written[0].Text != comment {
		t.Errorf("the comments written are %v", written)
	}
}

func TestBugzillaCommandLineWorksWithAnAPIKey(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	for name, address := range map[string]string{
		"and the address of XML-RPC":             peer.Endpoint(),
		"and an address that it has to complete": peer.URL,
	} {
		t.Run(name, func(t *testing.T) {
			command := newBugzillaCommand(t, address).withKey("FAKEAPIKEY0000000000000000000000RENE0001")
			checkBugzillaCommand(t, command, peer)
			checkLastUpdate(t, peer, "api_key")
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func TestBugzillaCommandLineKeepsItsLogInBetweenCommands(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{RequireLogin: true})
	command := newBugzillaCommand(t, peer.Endpoint())
	command.run("login", "rene@bugs.example", "fake-rene-Pass1")
	checkBugzillaCommand(t, command, peer)
	checkLastUpdate(t, peer, "token")
	if products := command.run("info", "--products"); products != "Widgets\n" {
		t.Errorf("the products are %q", products)
	}
	filed := command.run("new", "--product", "Widgets", "--component", "core", "--version", "1.0",
		"--summary", "Filed by command", "--comment", "As it says.", "--os", "Linux", "--arch", "PC")
	if !strings.Contains(filed, "Filed by command") {
		t.Errorf("a bug was filed as %q", filed)
	}
}

// checkLastUpdate wants the last call of checkBugzillaCommand to have shown its session so.
func checkLastUpdate(t *testing.T, peer *bugzillaPeer, session string) {
	t.Helper()
	calls, _ := peer.Log()
	if want := (bugzillaCall{"Bug.update", 1, session, "rene@bugs.example"}); calls[len(calls)-1] != want {
		t.Errorf("the last call was %+v, want %+v", calls[len(calls)-1], want)
	}
}
