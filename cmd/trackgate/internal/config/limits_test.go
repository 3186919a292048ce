package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/ratelimit"
)

func loadText(t *testing.T, text string, sets ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trackgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Source{File: path, Sets: sets, Environ: []string{"TRACKGATE_LIMITS_LOGIN_COST=3", "TRACKGATE_LIMITS_HANDSHAKE_ENFORCE=false"}})
}

func TestPoliciesAreReadFromAllSources(t *testing.T) {
	c, err := loadText(t, `
[limits]
exempt = ["10.0.0.0/8", "2001:db8::7"]
[limits.mint]
cost = 2
enforce = false
ipv4_prefix = 24
[limits.tracker_calls]
rate = "10/s"
per = "address+tracker"
[[limits.also]]
name = "mint_user"
on = "mint"
per = "user"
rate = "5/m"
burst = 3
[[limits.also]]
name = "all_calls"
on = "tracker_calls"
rate = "5/s"
burst = 9
cost = 3
enforce = false
ipv6_prefix = 48
`, "limits.mint.ipv6_prefix=56", "limits.handshake.burst=7", "token.max_live=0")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]ratelimit.Rule{}
	for _, p := range c.Limits.Policies() {
		rules[p.On+" "+p.Name] = p.Rule()
	}
	for name, want := range map[string]ratelimit.Rule{
		"mint mint": {Policy: ratelimit.Policy{Name: "mint", Rate: rate("600/m"), Burst: 200, Cost: 2, Trial: true},
			By: ratelimit.ByAddress, IPv4Bits: 24, IPv6Bits: 56},
		"mint mint_user": {Policy: ratelimit.Policy{Name: "mint_user", Rate: rate("5/m"), Burst: 3}, By: ratelimit.ByUser, IPv4Bits: 32, IPv6Bits: 64},
		"tracker_calls tracker_calls": {Policy: ratelimit.Policy{Name: "tracker_calls", Rate: rate("10/s"), Burst: 200, Cost: 1},
			By: ratelimit.ByAddress | ratelimit.ByTracker, IPv4Bits: 32, IPv6Bits: 64},
		"tracker_calls all_calls": {Policy: ratelimit.Policy{Name: "all_calls", Rate: rate("5/s"), Burst: 9, Cost: 3, Trial: true},
			By: ratelimit.ByAddress, IPv4Bits: 32, IPv6Bits: 48},
		"handshake handshake": {Policy: ratelimit.Policy{Name: "handshake", Rate: rate("60/m"), Burst: 7, Cost: 1, Trial: true},
			By: ratelimit.ByAddress, IPv4Bits: 32, IPv6Bits: 64},
		"login login": {Policy: ratelimit.Policy{Name: "login", Rate: rate("60/m"), Burst: 30, Cost: 3}, By: ratelimit.ByTracker, IPv4Bits: 32, IPv6Bits: 64},
	} {
		if rules[name] != want {
			t.Errorf("%s is %+v, want %+v", name, rules[name], want)
		}
	}
	exempt := Prefixes(c.Limits.Exempt)
	if len(exempt) != 2 || exempt[0] != netip.MustParsePrefix("10.0.0.0/8") || exempt[1] != netip.MustParsePrefix("2001:db8::7/128") || c.Token.MaxLive != 0 {
		t.Errorf("exempt %v, max_live %d", exempt, c.Token.MaxLive)
	}
}

func TestWrongPoliciesAreRefusedAtStart(t *testing.T) {
	also := func(lines string) string { return "[[limits.also]]\n" + lines }
	for _, tc := range []struct{ name, text, set, want string }{
		{"a cost over the burst", "[limits.mint]\nburst = 2\ncost = 3", "", "limits.mint: policy mint: one request costs 3, its burst is 2: no request would ever pass"},
		{"a cost over the burst beside", also(`name = "a"` + "\non = \"mint\"\nrate = \"1/s\"\nburst = 1\ncost = 2"), "", `limits.also "a": policy a: one request costs 2`},
		{"a negative cost", "", "limits.mint.cost=-1", "limits.mint.cost: -1 is less than 0"},
		{"a dear failure", "", "limits.handshake_failures.cost=2", "limits.handshake_failures.cost: a failure costs 1"},
		{"a switch that is none", "", "limits.mint.enforce=perhaps", `"perhaps" is neither true nor false`},
		{"a callback by tracker", "", "limits.handshake.per=tracker", `limits.handshake.per: "tracker" is none of address`},
		{"the one limit by user", "", "limits.mint.per=user", "leave this per address"},
		{"a log-in by address", "", "limits.login.per=address", `limits.login.per: "address" is none of tracker`},
		{"a long prefix", "", "limits.mint.ipv4_prefix=33", "limits.mint.ipv4_prefix: 33 is more than 32"},
		{"no prefix", "", "limits.mint.ipv6_prefix=0", "limits.mint.ipv6_prefix: 0 is less than 1"},
		{"an exempt network that is none", "", "limits.exempt=10.0.0.0/40", "not a network"},
		{"a negative number of tokens", "", "token.max_live=-1", "token.max_live: -1 is less than 0"},
		{"no name", also(`on = "mint"` + "\nrate = \"1/s\"\nburst = 1"), "", `limits.also "": `},
		{"a name that is taken", also(`name = "mint"` + "\non = \"mint\"\nrate = \"1/s\"\nburst = 1"), "", `limits.also "mint": there is a policy of that name already`},
		{"on nothing", also(`name = "a"` + "\nrate = \"1/s\"\nburst = 1"), "", `limits.also "a": on: "" is none of`},
		{"no rate", also(`name = "a"` + "\non = \"mint\"\nburst = 1"), "", "it has no rate"},
		{"no burst", also(`name = "a"` + "\non = \"mint\"\nrate = \"1/s\""), "", `limits.also "a".burst: 0 is less than 1`},
		{"an unknown key beside", also(`nme = "a"`), "", "did you mean limits.also.name?"},
		{"beside by --set", "", "limits.also.name=a", "more policies are configured in the file, under [[limits.also]]"},
		{"an unknown policy", "[limits.mnt]\nburst = 1", "", "did you mean limits.mint"},
	} {
		var sets []string
		if tc.set != "" {
			sets = append(sets, tc.set)
		}
		if _, err := loadText(t, tc.text, sets...); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}
