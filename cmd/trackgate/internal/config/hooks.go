package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/handshake/hook"
)

// Events is what the feed of events keeps.
type Events struct {
	// MaxEvents is how many events are kept, about. Default 100000.
	MaxEvents int `toml:"max_events"`
	// MaxAge is how long an event is kept. Default 168h, which is a week.
	MaxAge Duration `toml:"max_age"`
	// KeyAge is for how long an event that comes again is recognised. Default 72h.
	KeyAge Duration `toml:"key_age"`
}

// Audit is the audit trail.
type Audit struct {
	// KeyFile holds keys of 32 bytes in base64, one a line: the first signs the trail, all verify it.
	// Default none: whoever can write to the store can then forge the trail.
	KeyFile string `toml:"key_file"`
	// Required refuses, with 503, what cannot be recorded. Default true.
	// Without it the gateway goes on when the trail cannot be written, and says so in its log.
	Required bool `toml:"required"`
	// MaxAge is how long entries are kept. Default 8760h, which is a year.
	MaxAge Duration `toml:"max_age"`
	// MaxSize is how many bytes of entries are kept, about. Default 1 GiB.
	MaxSize int `toml:"max_size"`
}

// Hook is a web hook: POST {public.url}/hooks/{name}.
type Hook struct {
	// Name is the last part of the hook's path: letters, digits, dot, dash, underscore.
	Name string `toml:"name"`
	// Title says what the hook is for. Default: its name.
	Title string `toml:"title"`
	// Accept are the ways in which callers can prove themselves: field (the hook's token in its field), bearer, standard-webhooks,
	// x-hub-signature-256. One is enough, and what a call has of them must be right. Default: field, where a field is a token, else bearer.
	Accept []string `toml:"accept"`
	// SecretFile holds the secrets of signatures, one a line, the newest first. Default none.
	// The variable TRACKGATE_HOOK_{NAME}_SECRET is read over it, with commas between several.
	SecretFile string `toml:"secret_file"`
	// ReplayWindow is how long a signature without a timestamp is remembered, so that a repetition is known as one. Default 24h, from 10m to 720h.
	ReplayWindow Duration `toml:"replay_window"`
	// KeyField is the field by which a call that comes again is recognised. Default none; webhook-id is always used.
	KeyField string `toml:"key_field"`
	// Kind is the kind of the hook's events. Default: the hook's name. KindField is a field that says it in its place.
	Kind      string `toml:"kind"`
	KindField string `toml:"kind_field"`
	// Tracker is the tracker that the events are about. Default none. TrackerField is a field that says it in its place.
	Tracker      string `toml:"tracker"`
	TrackerField string `toml:"tracker_field"`
	// BugField is the field that names the bug. Default none.
	BugField string `toml:"bug_field"`
	// Fields are the hook's parameters. Others are left out of the event.
	Fields []HookField `toml:"field"`
	// Secrets are what secret_file and the environment hold.
	Secrets []Secret `toml:"-"`
}

// HookField is a parameter of a web hook.
type HookField struct {
	// Name is the parameter's name in the form or in the JSON object.
	Name string `toml:"name"`
	// From is where it stands in a JSON object, when not under its name: names joined by dots, as in "issue.number". Default none.
	From string `toml:"from"`
	// Title is how it is called in errors. Default: its name.
	Title string `toml:"title"`
	// Description says more to people. Default none.
	Description string `toml:"description"`
	// Required refuses calls without it. Default true.
	Required Switch `toml:"required"`
	// Type is text, token, integer, boolean, datetime, url or json. Default text.
	Type string `toml:"type"`
	// MaxLength is how many characters it may have. Default: what the type allows, 65536 for text.
	MaxLength int `toml:"max_length"`
}

// hookPrefix begins the names of variables that hold secrets of hooks.
const hookPrefix = EnvPrefix + "HOOK_"

// maxReplayWindow is the longest time for which signatures are remembered.
const maxReplayWindow = 30 * 24 * time.Hour

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// validateHooks fills in what hooks leave out, and checks them. What only the
// hook itself knows to be wrong is found when it is made.
func (c *Config) validateHooks() error {
	seen := map[string]bool{}
	for i := range c.Hooks {
		h := &c.Hooks[i]
		at := fmt.Sprintf("hook %q", h.Name)
		switch {
		case h.Name == "":
			return fmt.Errorf("[[hook]] number %d: name is missing", i+1)
		case len(h.Name) > maxName || !plainName.MatchString(h.Name):
			return fmt.Errorf("%s: a name is up to %d letters, digits, dots, dashes and underscores", at, maxName)
		case seen[h.Name]:
			return fmt.Errorf("%s: there are two of that name", at)
		case h.Tracker != "" && !slices.ContainsFunc(c.Trackers, func(t Tracker) bool { return t.Name == h.Tracker }):
			return fmt.Errorf("%s: tracker: no tracker is called %q", at, h.Tracker)
		}
		seen[h.Name] = true
		if err := h.complete(); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// complete fills in what depends on other keys.
func (h *Hook) complete() error {
	if h.ReplayWindow == 0 {
		h.ReplayWindow = Duration(hook.DefaultReplayWindow)
	}
	if err := between(h.ReplayWindow, hook.MinReplayWindow, maxReplayWindow); err != nil {
		return fmt.Errorf("replay_window: %w", err)
	}
	if len(h.Accept) == 0 {
		h.Accept = []string{string(hook.MethodBearer)}
		if slices.ContainsFunc(h.Fields, func(f HookField) bool { return f.Type == string(hook.TypeToken) }) {
			h.Accept = []string{string(hook.MethodField)}
		}
	}
	return nil
}

// Spec is the hook as package hook declares it.
func (h *Hook) Spec() hook.Spec {
	s := hook.Spec{
		Name: h.Name, Title: h.Title, DedupField: h.KeyField, KindField: h.KindField, TrackerField: h.TrackerField, BugField: h.BugField,
		Kind: h.Kind, Tracker: h.Tracker, ReplayWindow: time.Duration(h.ReplayWindow),
	}
	if s.Kind == "" {
		s.Kind = h.Name
	}
	for _, way := range h.Accept {
		s.Accept = append(s.Accept, hook.Method(way))
	}
	for _, secret := range h.Secrets {
		s.Secrets = append(s.Secrets, hook.NewSecret([]byte(secret.Reveal())))
	}
	for _, f := range h.Fields {
		s.Fields = append(s.Fields, hook.Field{
			Name: f.Name, From: f.From, Title: f.Title, Description: f.Description, Required: f.Required.On(), Type: hook.Type(f.Type), MaxLength: f.MaxLength,
		})
	}
	return s
}

// readHookSecrets reads the files of secrets, and the variables over them. What is
// wrong with one is told without its text.
func (c *Config) readHookSecrets(environ []string, mayLack bool) error {
	hooks := map[string]*Hook{}
	for i := range c.Hooks {
		h := &c.Hooks[i]
		name := hookPrefix + variableName(h.Name) + "_SECRET"
		if other := hooks[name]; other != nil {
			return fmt.Errorf("hooks %q and %q: both would read their secret from %s: rename one", other.Name, h.Name, name)
		}
		hooks[name] = h
		if h.SecretFile == "" {
			continue
		}
		text, err := readBounded(h.SecretFile)
		if err != nil {
			return fmt.Errorf("hook %q: secret_file: %w", h.Name, err)
		}
		h.Secrets = secrets(strings.Split(text, "\n"))
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, hookPrefix) || hooks[name] == nil && serviceLink.MatchString(name) {
			continue
		}
		h := hooks[name]
		if h == nil {
			return fmt.Errorf("environment: %s does not end in the name of a configured hook and _SECRET", name)
		}
		h.Secrets = secrets(strings.Split(value, ","))
	}
	for i := range c.Hooks {
		h := &c.Hooks[i]
		if mayLack && len(h.Secrets) == 0 && h.signed() {
			continue
		}
		if _, err := hook.Declare(h.Spec()); err != nil {
			return err
		}
	}
	return nil
}

// signed is whether callers may prove themselves by a signature.
func (h *Hook) signed() bool {
	return slices.Contains(h.Accept, string(hook.MethodWebhook)) || slices.Contains(h.Accept, string(hook.MethodHub))
}

func secrets(texts []string) []Secret {
	var found []Secret
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" && !strings.HasPrefix(text, "#") {
			found = append(found, Secret(text))
		}
	}
	return found
}

// validateWatches fills in what watches leave out, and checks them.
func (t *Tracker) validateWatches() error {
	seen := map[string]bool{}
	for i := range t.Watch {
		w := &t.Watch[i]
		if w.Name == "" {
			w.Name = "all"
		}
		if w.Interval == 0 {
			w.Interval = Duration(bridge.DefaultWatchInterval)
		}
		if w.Overlap == 0 {
			w.Overlap = Duration(bridge.DefaultWatchOverlap)
		}
		at := fmt.Sprintf("watch %q", w.Name)
		switch {
		case len(w.Name) > maxName || !plainName.MatchString(w.Name):
			return fmt.Errorf("%s: a name is up to %d letters, digits, dots, dashes and underscores", at, maxName)
		case seen[w.Name]:
			return fmt.Errorf("%s: there are two of that name", at)
		}
		seen[w.Name] = true
		if err := between(w.Interval, bridge.MinWatchInterval, bridge.MaxWatchInterval); err != nil {
			return fmt.Errorf("%s: interval: %w", at, err)
		}
		if err := between(w.Overlap, bridge.MinWatchOverlap, bridge.MaxWatchOverlap); err != nil {
			return fmt.Errorf("%s: overlap: %w", at, err)
		}
	}
	return nil
}

// GatewayID is the configured name of this gateway, or one made of the host's.
func (c *Config) GatewayID() string {
	if c.Gateway.ID != "" {
		return c.Gateway.ID
	}
	host, err := os.Hostname()
	if err != nil || identity(host) != nil || host == "" {
		return "gateway"
	}
	return host
}
