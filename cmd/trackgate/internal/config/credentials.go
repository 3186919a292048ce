package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// credentialPrefix begins the names of variables that hold credentials.
const credentialPrefix = EnvPrefix + "TRACKER_"

// Credentials are those of the gateway's account at one tracker, each empty when
// there is none.
type Credentials struct {
	User     string `toml:"user"`
	Password Secret `toml:"password"`
	APIKey   Secret `toml:"api_key"`
	Token    Secret `toml:"token"`
}

// readCredentials reads the files of credentials, and the variables over them.
func (c *Config) readCredentials(environ []string) error {
	type variable struct {
		tracker string
		set     func(value string)
	}
	variables := map[string]variable{}
	for i := range c.Trackers {
		t := &c.Trackers[i]
		if err := t.readCredentialsFile(); err != nil {
			return fmt.Errorf("tracker %q: credentials_file: %w", t.Name, err)
		}
		for name, set := range t.Secrets.variables(t.Name) {
			if other, twice := variables[name]; twice {
				return fmt.Errorf("trackers %q and %q: both would read their credentials from %s: rename one", other.tracker, t.Name, name)
			}
			variables[name] = variable{t.Name, set}
		}
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, credentialPrefix) {
			continue
		}
		v, known := variables[name]
		if !known && serviceLink.MatchString(name) {
			continue
		}
		if !known {
			return fmt.Errorf("environment: %s does not end in the name of a configured tracker and one of _USER, _PASSWORD, _API_KEY, _TOKEN", name)
		}
		v.set(value)
	}
	return nil
}

// variables are what sets the credentials of a tracker, by the names of
// environment variables.
func (c *Credentials) variables(tracker string) map[string]func(string) {
	prefix := credentialPrefix + variableName(tracker)
	return map[string]func(string){
		prefix + "_USER":     func(v string) { c.User = v },
		prefix + "_PASSWORD": func(v string) { c.Password = Secret(v) },
		prefix + "_API_KEY":  func(v string) { c.APIKey = Secret(v) },
		prefix + "_TOKEN":    func(v string) { c.Token = Secret(v) },
	}
}

func (t *Tracker) readCredentialsFile() error {
	if t.CredentialsFile == "" {
		return nil
	}
	text, err := readBounded(t.CredentialsFile)
	if err != nil {
		return err
	}
	if err := t.Secrets.parse(text); err != nil {
		return fmt.Errorf("%s: %w", t.CredentialsFile, err)
	}
	return nil
}

// parse reads a file of credentials. What is wrong with it is told without its
// text.
func (c *Credentials) parse(text string) error {
	err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		line, _ := unknown.Errors[0].Position()
		return fmt.Errorf("line %d: the keys are user, password, api_key and token", line)
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return fmt.Errorf(`line %d: write it as password = "..."`, line)
	case err != nil:
		return errors.New(`write it as password = "..."`)
	}
	return nil
}

// variableName is a tracker's name as it stands in variables: in upper case, with
// _ for what is neither letter nor digit.
func variableName(tracker string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, tracker)
}
