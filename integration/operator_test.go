package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fingerprintText = regexp.MustCompile(`\b[0-9a-f]{16}\b`)

func TestTheDemonstrationShowsTheRoundTripWithItsRealMessages(t *testing.T) {
	t.Parallel()
	f := runGateway(t, "", []string{"HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir()}, "demo")
	if f.status != 0 || f.stderr != "" {
		t.Fatalf("%+v", f)
	}
	rest := f.stdout
	for _, step := range []string{
		"newBugTrackerToken", "launchpad-auth/", "POST /token/", "200 OK", validatedBody, "410 Gone", invalidBody,
		"GET /token/", "405 Method Not Allowed", "Allow: POST", methodBody, "trackers.getBugs", "trackers.addComment", "trackers.getComments",
	} {
		_, after, found := strings.Cut(rest, step)
		if !found {
			t.Fatalf("%q is missing, or not in its place, in\n%s", step, f.stdout)
		}
		rest = after
	}
}

func TestOperatorsMintShowAndRevoke(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "", trackerEntry{"gnome", "https://gnome.example", "callback = \"own\"\n"})
	for _, running := range []bool{true, false} {
		name := "while the gateway is stopped"
		if running {
			name = "through the running gateway"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if running {
				startGatewayIn(t, data, "--config", config)
			}
			token := func(stdin string, args ...string) finished {
				t.Helper()
				command := append([]string{"token", args[0], "--data", data, "--config", config}, args[1:]...)
				return runGateway(t, stdin, nil, command...)
			}
			first := strings.TrimSpace(token("", "mint").stdout)
			second := strings.TrimSpace(token("", "mint", "--tracker", "gnome").stdout)
			if !tokenText.MatchString(first) || !tokenText.MatchString(second) || first == second {
				t.Fatalf("minted %q and %q", first, second)
			}
			token("", "mint", "--tracker", "nobody").wantOneLine(t, "RESOURCE_NOT_FOUND")

			shown := token(first+"\n"+second+"\n", "show")
			lines := strings.Split(strings.TrimSpace(shown.stdout), "\n")
			if shown.status != 0 || len(lines) != 3 || strings.Count(shown.stdout, "live") != 2 || !strings.Contains(lines[2], "gnome") || !strings.Contains(lines[1], "BUGTRACKER") {
				t.Fatalf("show: %+v", shown)
			}
			if strings.Contains(shown.stdout, first) || strings.Contains(shown.stdout, second) {
				t.Error("show prints a token")
			}
			fingerprint := fingerprintText.FindString(lines[1])
			if revoked := token("", "revoke", fingerprint); revoked.status != 0 || !strings.Contains(revoked.stdout, "revoked") {
				t.Errorf("revoke by fingerprint: %+v", revoked)
			}
			if revoked := token(second+"\n", "revoke"); revoked.status != 0 || !strings.Contains(revoked.stdout, "revoked") {
				t.Errorf("revoke by token: %+v", revoked)
			}
			if shown := token(fingerprint+"\n", "show"); !strings.Contains(shown.stdout, "revoked") {
				t.Errorf("show after revoking: %+v", shown)
			}
			if unknown := token("", "show", "0123456789abcdef"); unknown.status != 1 || !strings.Contains(unknown.stdout, "unknown") {
				t.Errorf("show of an unknown one: %+v", unknown)
			}
			for _, stdin := range []string{"", "\n\n", "no token\n", "0123\n"} {
				if f := token(stdin, "show"); f.status == 0 {
					t.Errorf("show with %q on standard input: %+v", stdin, f)
				}
			}
		})
	}
}

func TestWhatAnOperatorDoesHoldsAtTheCallback(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	minted := strings.TrimSpace(runGateway(t, "", nil, "token", "mint", "--data", g.Data).stdout)
	present(t, g, minted).wantText(t, http.StatusOK, validatedBody)
	if f := runGateway(t, minted, nil, "token", "show", "--data", g.Data); !strings.Contains(f.stdout, "used") {
		t.Errorf("show after the callback: %+v", f)
	}
	token := mint(t, g)
	if f := runGateway(t, token, nil, "token", "revoke", "--data", g.Data); f.status != 0 {
		t.Fatalf("revoke: %+v", f)
	}
	present(t, g, token).wantText(t, http.StatusGone, invalidBody)
	if f := runGateway(t, minted, nil, "token", "revoke", "--data", g.Data); !strings.Contains(f.stdout, "used") {
		t.Errorf("revoking a used token says %+v", f)
	}
	info, err := os.Stat(filepath.Join(g.Data, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the operators' socket: %v, %v", info, err)
	}
	if g.Stop() != 0 {
		t.Error("the gateway did not end well")
	}
	if f := runGateway(t, minted+"\n"+token+"\n", nil, "token", "show", "--data", g.Data); f.status != 0 || !strings.Contains(f.stdout, "used") || !strings.Contains(f.stdout, "revoked") {
		t.Errorf("show after the gateway stopped: %+v", f)
	}
}

func TestATokenOnTheCommandLineIsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	token := mint(t, g)
	for _, command := range []string{"show", "revoke"} {
		f := runGateway(t, "", nil, "token", command, "--data", g.Data, token)
		if f.status != 2 || strings.Contains(f.stdout+f.stderr, token) || !strings.Contains(f.stderr, "standard input") {
			t.Errorf("%s: %+v", command, f)
		}
	}
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
}

func TestVersionAndHelpArePrinted(t *testing.T) {
	t.Parallel()
	if f := runGateway(t, "", nil, "version"); f.status != 0 || !regexp.MustCompile(`^trackgate \S+\n$`).MatchString(f.stdout) {
		t.Errorf("version: %+v", f)
	}
	help := runGateway(t, "", nil, "help")
	for _, command := range []string{"serve", "demo", "token mint", "token show", "token revoke", "version", "--config", "--data", "--set", "--ready-file"} {
		if help.status != 0 || !strings.Contains(help.stdout, command) {
			t.Errorf("help does not tell of %s: %+v", command, help)
		}
	}
}

func TestMakeHelpListsTheTargets(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("make", "--no-print-directory", "-C", "..", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, target := range []string{"help", "setup", "build", "test", "lint", "bench", "fuzz", "run"} {
		if !regexp.MustCompile(`(?m)^\s*` + target + `\s+\S`).Match(out) {
			t.Errorf("%s is not among\n%s", target, out)
		}
	}
}
