package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const twoTrackers = `
[[tracker]]
name = "bugs.example"
url = "https://bugs.example"
dialect = "bugzilla"
credentials_file = "CREDENTIALS"
states = { "RESOLVED FIXED" = "fix-committed" }
importances = { showstopper = "critical" }

[[tracker]]
name = "trac"
url = "https://trac.example"
dialect = "trac"
`

// loadWith loads a configuration file whose CREDENTIALS is a file of that text.
func loadWith(t *testing.T, text, credentials string, environ ...string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "credentials.toml")
	if err := os.WriteFile(secret, []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "trackgate.toml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "CREDENTIALS", secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Source{File: file, Environ: environ})
}

func TestCredentialsComeFromFilesAndTheEnvironment(t *testing.T) {
	c, err := loadWith(t, twoTrackers, "user = \"gateway\"\npassword = \"from the file\"\n",
		"TRACKGATE_TRACKER_BUGS_EXAMPLE_PASSWORD=from the environment",
		"TRACKGATE_TRACKER_TRAC_USER=alice", "TRACKGATE_TRACKER_TRAC_API_KEY=key", "TRACKGATE_TRACKER_TRAC_TOKEN=token",
		"TRACKGATE_TRACKER_SERVICE_HOST=192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Trackers[0].Secrets, (Credentials{User: "gateway", Password: "from the environment"}); got != want {
		t.Errorf("bugs.example: %q %q", got.User, got.Password.Reveal())
	}
	if got, want := c.Trackers[1].Secrets, (Credentials{User: "alice", APIKey: "key", Token: "token"}); got != want {
		t.Errorf("trac: %q %q %q", got.User, got.APIKey.Reveal(), got.Token.Reveal())
	}
	if c.Trackers[0].States["RESOLVED FIXED"] != "fix-committed" || c.Trackers[0].Importances["showstopper"] != "critical" {
		t.Errorf("words: %v %v", c.Trackers[0].States, c.Trackers[0].Importances)
	}
}

func TestATrackerMayBeNamedLikeAService(t *testing.T) {
	c, err := loadWith(t, strings.Replace(twoTrackers, `"trac"`, `"trac-service-port"`, 1), "", "TRACKGATE_TRACKER_TRAC_SERVICE_PORT_USER=alice")
	if err != nil || c.Trackers[1].Secrets.User != "alice" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWrongCredentialsAreErrorsThatDoNotShowThem(t *testing.T) {
	const secret = "hunter2-hunter2"
	for name, tc := range map[string]struct {
		text, credentials, env, says string
	}{
		"in the configuration's text": {strings.Replace(twoTrackers, "credentials_file", "password = \""+secret+"\"\ncredentials_file", 1), "", "", "unknown key tracker.password"},
		"an unknown key":              {twoTrackers, "pasword = \"" + secret + "\"", "", "line 1: the keys are user, password, api_key and token"},
		"no quotes":                   {twoTrackers, "user = \"u\"\npassword = " + secret, "", "line 2: write it as"},
		"no TOML":                     {twoTrackers, secret, "", "line 1"},
		"no file":                     {strings.Replace(twoTrackers, "CREDENTIALS", "/nonexistent/file", 1), "", "", `tracker "bugs.example": credentials_file`},
		"a variable of no tracker":    {twoTrackers, "", "TRACKGATE_TRACKER_OTHER_PASSWORD=" + secret, "TRACKGATE_TRACKER_OTHER_PASSWORD"},
		"two of one variable":         {strings.Replace(twoTrackers, `"trac"`, `"bugs-example"`, 1), "", "", "rename one"},
		"an unknown state":            {strings.Replace(twoTrackers, "fix-committed", "done", 1), "", "", `"done" is no state`},
		"an unknown importance":       {strings.Replace(twoTrackers, `"critical"`, `"vital"`, 1), "", "", `"vital" is no importance`},
		"a certificate without key":   {strings.Replace(twoTrackers, "credentials_file", "client_cert_file = \"x\"\ncredentials_file", 1), "", "", "give both or none"},
		"calls below zero":            {strings.Replace(twoTrackers, "credentials_file", "calls_per_second = -1.0\ncredentials_file", 1), "", "", "calls_per_second"},
		"calls without end":           {strings.Replace(twoTrackers, "credentials_file", "calls_per_second = inf\ncredentials_file", 1), "", "", "calls_per_second"},
		"nothing is allowed":          {strings.Replace(twoTrackers, "credentials_file", "allow = []\ncredentials_file", 1), "", "", "allow: it is empty"},
		"two methods in one":          {strings.Replace(twoTrackers, "credentials_file", "deny = [\"Bug.update,Bug.create\"]\ncredentials_file", 1), "", "", "is not the name of one method"},
		"too many connections":        {strings.Replace(twoTrackers, "credentials_file", "connections = 1001\ncredentials_file", 1), "", "", "connections"},
	} {
		var environ []string
		if tc.env != "" {
			environ = append(environ, tc.env)
		}
		_, err := loadWith(t, tc.text, tc.credentials, environ...)
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.says)
		}
	}
}
