package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/ratelimit"
)

// maxName bounds the length of a tracker's, watch's, hook's and gateway's name, in bytes.
const maxName = 64

// validate checks what a single value's type cannot say.
func (c *Config) validate() error {
	checks := []struct {
		key string
		err error
	}{
		{"gateway.id", identity(c.Gateway.ID)},
		{"private.listen", address(c.Private.Listen)},
		{"public.listen", address(c.Public.Listen)},
		{"admin.listen", address(c.Admin.Listen)},
		{"public.url", publicURL(c.Public.URL)},
		{"store.url", storeURL(c.Store.URL.Reveal())},
		{"store.fence", fence(c.Store.Fence)},
		{"store.wait_replicas", within(c.Store.WaitReplicas, 0, 100)},
		{"store.wait_limit", between(c.Store.WaitLimit, time.Millisecond, redisstore.MaxReplicaLimit)},
		{"token.lifetime", lifetime(c.Token.Lifetime)},
		{"token.max_live", within(c.Token.MaxLive, 0, 100_000_000)},
		{"token.retention", between(c.Token.Retention, time.Second, 366*24*time.Hour)},
		{"limits.replicas", within(c.Limits.Replicas, 1, ratelimit.MaxReplicas)},
		{"request.max_body", atLeast(c.Request.MaxBody, 1024)},
		{"request.max_hook_body", within(c.Request.MaxHookBody, 1024, feed.MaxData)},
		{"request.max_depth", atLeast(c.Request.MaxDepth, 4)},
		{"request.max_values", atLeast(c.Request.MaxValues, 16)},
		{"request.max_multicall", atLeast(c.Request.MaxMulticall, 1)},
		{"request.max_header", atLeast(c.Request.MaxHeader, 1024)},
		{"request.header_timeout", between(c.Request.HeaderTimeout, time.Millisecond, time.Hour)},
		{"request.body_timeout", between(c.Request.BodyTimeout, time.Millisecond, time.Hour)},
		{"request.handler_timeout", between(c.Request.HandlerTimeout, time.Millisecond, time.Hour)},
		{"bridge.call_timeout", between(c.Bridge.CallTimeout, time.Millisecond, time.Hour)},
		{"bridge.max_answer", atLeast(c.Bridge.MaxAnswer, 1024)},
		{"bridge.batch_size", within(c.Bridge.BatchSize, 1, 1000)},
		{"bridge.connections", within(c.Bridge.Connections, 1, 1000)},
		{"bridge.calls_per_second", pace(c.Bridge.CallsPerSecond)},
		{"bridge.break_after", within(c.Bridge.BreakAfter, 1, 1_000_000)},
		{"bridge.break_for", between(c.Bridge.BreakFor, time.Millisecond, time.Hour)},
		{"events.max_events", within(c.Events.MaxEvents, 1, 100_000_000)},
		{"events.max_age", between(c.Events.MaxAge, time.Minute, 10*366*24*time.Hour)},
		{"events.key_age", between(c.Events.KeyAge, time.Minute, 366*24*time.Hour)},
		{"audit.max_age", between(c.Audit.MaxAge, time.Hour, 100*366*24*time.Hour)},
		{"audit.max_size", atLeast(c.Audit.MaxSize, 1<<20)},
		{"log.format", oneOf(c.Log.Format, "text", "json")},
		{"log.level", oneOf(c.Log.Level, "debug", "info", "warn", "error")},
		{"private.hosts", hosts(c.Private.Hosts)},
		{"admin.hosts", hosts(c.Admin.Hosts)},
	}
	for _, check := range checks {
		if check.err != nil {
			return fmt.Errorf("%s: %w", check.key, check.err)
		}
	}
	if err := c.Limits.validate(); err != nil {
		return err
	}
	if err := c.validateTrackers(); err != nil {
		return err
	}
	return c.validateHooks()
}

// identity checks the name of a gateway.
func identity(id string) error {
	if id != "" && (len(id) > maxName || !plainName.MatchString(id)) {
		return fmt.Errorf("%q: write up to %d letters, digits, dots, dashes and underscores", id, maxName)
	}
	return nil
}

func (c *Config) validateTrackers() error {
	seen := map[string]bool{}
	for i, t := range c.Trackers {
		at := fmt.Sprintf("tracker %q", t.Name)
		switch {
		case t.Name == "":
			return fmt.Errorf("[[tracker]] number %d: name is missing", i+1)
		case len(t.Name) > maxName || !plainName.MatchString(t.Name):
			return fmt.Errorf("%s: a name is up to %d letters, digits, dots, dashes and underscores", at, maxName)
		case seen[t.Name]:
			return fmt.Errorf("%s: there are two of that name", at)
		case t.Dialect == "":
			return fmt.Errorf("%s: dialect is missing", at)
		}
		seen[t.Name] = true
		if err := oneOf(t.Callback, "", "common", "own"); err != nil {
			return fmt.Errorf("%s: callback: %w", at, err)
		}
		if err := t.validateCalls(); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if t.URL == "" {
			return fmt.Errorf("%s: url is missing", at)
		}
		if err := rootURL(t.URL); err != nil {
			return fmt.Errorf("%s: url: %w", at, err)
		}
		if err := c.Trackers[i].validateWatches(); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

// validateCalls checks how a tracker is called and understood.
func (t *Tracker) validateCalls() error {
	if t.Connections < 0 || t.Connections > 1000 {
		return errors.New("connections: not within 0 and 1000")
	}
	if err := pace(t.CallsPerSecond); err != nil {
		return fmt.Errorf("calls_per_second: %w", err)
	}
	if t.Allow != nil && len(t.Allow) == 0 {
		return errors.New(`allow: it is empty: leave it out for the dialect's own list, or set deny = ["*"] to allow nothing`)
	}
	for _, pattern := range slices.Concat(t.Allow, t.Deny) {
		if !methodPattern.MatchString(pattern) {
			return fmt.Errorf(`allow and deny: %q is not the name of one method: names are of letters, digits and _ . : /, and * stands for any text`, pattern)
		}
	}
	if (t.ClientCertFile == "") != (t.ClientKeyFile == "") {
		return errors.New("client_cert_file and client_key_file: give both or none")
	}
	for word, state := range t.States {
		if !slices.Contains(bridge.States(), bridge.State(state)) {
			return fmt.Errorf("states.%s: %q is no state: they are %v", word, state, bridge.States())
		}
	}
	for word, importance := range t.Importances {
		if !slices.Contains(bridge.Importances(), bridge.Importance(importance)) {
			return fmt.Errorf("importances.%s: %q is no importance: they are %v", word, importance, bridge.Importances())
		}
	}
	return nil
}

// methodPattern is a method's name in which * stands for any text.
var methodPattern = regexp.MustCompile(`^[A-Za-z0-9_.:/*]+$`)

func pace(perSecond float64) error {
	if !(perSecond >= 0 && perSecond <= bridge.MaxCallsPerSecond) {
		return fmt.Errorf("not within 0 and %d", bridge.MaxCallsPerSecond)
	}
	return nil
}

func address(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not host:port", s)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("%q: %q is not a port", s, port)
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q: %q is not a host", s, host)
	}
	return nil
}

func publicURL(s string) error {
	if s == "" {
		return nil
	}
	return rootURL(s)
}

// rootURL checks an absolute http or https URL that paths can be added to.
// It does not repeat the URL, which may hold what should not be seen.
func rootURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with http:// or https://")
	case u.Host == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("must not have a query or fragment")
	}
	return nil
}

// redisSchemes are those that package redisstore knows.
var redisSchemes = map[string]bool{
	"redis": true, "redis+sentinel": true, "redis+cluster": true, "rediss": true, "rediss+sentinel": true, "rediss+cluster": true,
}

func fence(text string) error {
	_, err := redisstore.ParseFence(text)
	return err
}

func storeURL(s string) error {
	if s == "" {
		return nil
	}
	scheme, rest, _ := strings.Cut(s, ":")
	switch {
	case scheme == "bolt" && strings.TrimPrefix(rest, "//") == "":
		return errors.New("bolt: needs a path, as in bolt:/var/lib/trackgate/trackgate.db")
	case scheme == "bolt", redisSchemes[scheme]:
		return nil
	}
	return errors.New("must be bolt:PATH, redis://HOST, redis+sentinel://HOST,HOST/NAME or redis+cluster://HOST,HOST, with rediss for TLS")
}

func between(d Duration, low, high time.Duration) error {
	if v := time.Duration(d); v < low || v > high {
		return fmt.Errorf("%s is not between %s and %s", v, low, high)
	}
	return nil
}

func lifetime(d Duration) error {
	if v := time.Duration(d); v%time.Second != 0 {
		return fmt.Errorf("%s: write whole seconds", v)
	}
	return between(d, handshake.MinLifetime, handshake.MaxLifetime)
}

func within(n, low, high int) error {
	if n > high {
		return fmt.Errorf("%d is more than %d", n, high)
	}
	return atLeast(n, low)
}

func atLeast(n, low int) error {
	if n < low {
		return fmt.Errorf("%d is less than %d", n, low)
	}
	return nil
}

func oneOf(s string, allowed ...string) error {
	for _, a := range allowed {
		if s == a {
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", s, strings.TrimLeft(strings.Join(allowed, ", "), ", "))
}

func hosts(names []string) error {
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, "/: *") {
			return fmt.Errorf("%q is not a host name (no port, no wildcard)", n)
		}
	}
	return nil
}
