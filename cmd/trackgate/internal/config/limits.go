package config

import (
	"encoding"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trackgate/trackgate/ratelimit"
)

// Switch is a bool that is true until it is told otherwise.
type Switch struct{ off bool }

var _ encoding.TextUnmarshaler = (*Switch)(nil)

// UnmarshalText reads "true" or "false".
func (s *Switch) UnmarshalText(text []byte) error {
	switch string(text) {
	case "true":
		s.off = false
	case "false":
		s.off = true
	default:
		return fmt.Errorf("%.40q is neither true nor false", text)
	}
	return nil
}

// On tells which it is.
func (s Switch) On() bool { return !s.off }

// What policies can be asked for, with what each can count by. A token and a
// callback are counted before it is known which tracker they are for, and a
// log-in is nobody's in particular.
const (
	OnMint              = "mint"
	OnHandshake         = "handshake"
	OnHandshakeFailures = "handshake_failures"
	OnTrackerCalls      = "tracker_calls"
	OnLogin             = "login"
	OnHooks             = "hooks"
	OnHookFailures      = "hook_failures"
)

var countable = map[string][]string{
	OnMint:              {"address", "user"},
	OnHandshake:         {"address"},
	OnHandshakeFailures: {"address"},
	OnTrackerCalls:      {"address", "user", "tracker", "address+tracker", "user+tracker"},
	OnLogin:             {"tracker"},
	OnHooks:             {"address"},
	OnHookFailures:      {"address"},
}

// Policies are all policies, with the names that the configuration gives them.
func (l *Limits) Policies() []AlsoLimit {
	return append([]AlsoLimit{
		{Name: OnMint, On: OnMint, Limit: l.Mint},
		{Name: OnHandshake, On: OnHandshake, Limit: l.Handshake},
		{Name: OnHandshakeFailures, On: OnHandshakeFailures, Limit: l.HandshakeFailures},
		{Name: OnTrackerCalls, On: OnTrackerCalls, Limit: l.TrackerCalls},
		{Name: OnLogin, On: OnLogin, Limit: l.Login},
		{Name: OnHooks, On: OnHooks, Limit: l.Hooks},
		{Name: OnHookFailures, On: OnHookFailures, Limit: l.HookFailures},
	}, l.Also...)
}

// Rule is the policy as the throttle takes it. It must be valid.
func (a AlsoLimit) Rule() ratelimit.Rule {
	by, _ := ratelimit.ParseBy(a.Per) // the configuration was checked
	return ratelimit.Rule{
		Policy: ratelimit.Policy{Name: a.Name, Rate: a.Rate, Burst: a.Burst, Cost: a.Cost, Trial: !a.Enforce.On()},
		By:     by, IPv4Bits: a.IPv4Prefix, IPv6Bits: a.IPv6Prefix,
	}
}

// validate fills in what the policies of [[limits.also]] leave out, and checks
// all of them.
func (l *Limits) validate() error {
	seen := map[string]bool{}
	for i := range l.Also {
		a := &l.Also[i]
		if countable[a.On] == nil {
			return fmt.Errorf(`limits.also %q: on: %q is none of mint, handshake, handshake_failures, tracker_calls, login, hooks, hook_failures`, a.Name, a.On)
		}
		if a.Per == "" {
			a.Per = countable[a.On][0]
		}
		if a.IPv4Prefix == 0 {
			a.IPv4Prefix = ratelimit.DefaultIPv4Bits
		}
		if a.IPv6Prefix == 0 {
			a.IPv6Prefix = ratelimit.DefaultIPv6Bits
		}
	}
	for i, p := range l.Policies() {
		at := "limits." + p.Name
		if i >= len(countable) {
			at = fmt.Sprintf("limits.also %q", p.Name)
		}
		if seen[p.Name] {
			return fmt.Errorf("%s: there is a policy of that name already", at)
		}
		seen[p.Name] = true
		if err := p.check(); err != nil {
			return fmt.Errorf("%s%w", at, err)
		}
	}
	return nil
}

// check gives an error that continues the name of the policy.
func (a AlsoLimit) check() error {
	for _, field := range []struct {
		key string
		err error
	}{
		{"burst", within(a.Burst, 1, ratelimit.MaxBurst)},
		{"cost", within(a.Cost, 0, ratelimit.MaxBurst)},
		{"per", oneOf(a.Per, countable[a.On]...)},
		{"ipv4_prefix", within(a.IPv4Prefix, 1, 32)},
		{"ipv6_prefix", within(a.IPv6Prefix, 1, 128)},
	} {
		if field.err != nil {
			return fmt.Errorf(".%s: %w", field.key, field.err)
		}
	}
	if (a.On == OnHandshakeFailures || a.On == OnHookFailures) && a.Cost > 1 {
		return errors.New(".cost: a failure costs 1")
	}
	if err := a.Rule().Validate(); err != nil {
		return errors.New(": " + strings.TrimPrefix(err.Error(), "ratelimit: "))
	}
	if slices.Contains([]string{"user", "user+tracker"}, a.Per) && a.Name == a.On {
		return errors.New(`.per: whoever names another user would get another limit: leave this per address, and add one per user under [[limits.also]]`)
	}
	return nil
}
