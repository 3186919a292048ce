// Package config reads the gateway's configuration: one TOML file, read
// strictly, then environment variables, then --set arguments, over defaults
// with which the gateway works as it is.
package config

import (
	"encoding"
	"net/netip"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/hook"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/ratelimit"
)

// Config is the whole configuration. Every field says its unit, its default
// and what zero means; [Default] gives one that is ready to use.
type Config struct {
	Gateway  Identity  `toml:"gateway"`
	Private  Private   `toml:"private"`
	Public   Public    `toml:"public"`
	Admin    Admin     `toml:"admin"`
	Store    Store     `toml:"store"`
	Token    Token     `toml:"token"`
	Limits   Limits    `toml:"limits"`
	Request  Request   `toml:"request"`
	Bridge   Bridge    `toml:"bridge"`
	Sessions Sessions  `toml:"sessions"`
	Events   Events    `toml:"events"`
	Audit    Audit     `toml:"audit"`
	Log      Log       `toml:"log"`
	Trackers []Tracker `toml:"tracker"`
	Hooks    []Hook    `toml:"hook"`
}

// Identity is which gateway this one is, among those that share a store.
type Identity struct {
	// ID names the gateway in the audit trail and in leases: up to 64 letters, digits, dots, dashes and underscores. Default: the host's name.
	ID string `toml:"id"`
}

// Private is the listener for XML-RPC clients of the private network.
type Private struct {
	// Listen is the address, host:port; port 0 takes any free one. Default 127.0.0.1:8087.
	// Whoever reaches it can mint tokens and write to trackers.
	Listen string `toml:"listen"`
	// Hosts are names that a Host header may carry besides IP addresses and localhost. Default none.
	Hosts []string `toml:"hosts"`
	// Allow are the networks whose addresses are answered. Default loopback and the private ranges; an empty list refuses everybody.
	Allow []Network `toml:"allow"`
	// Echo adds the method bridge.echo, for testing clients. Default false.
	Echo bool `toml:"echo"`
}

// Public is the listener that trackers on the Internet call back.
type Public struct {
	// Listen is the address, host:port. Default 127.0.0.1:8080, behind a reverse proxy.
	Listen string `toml:"listen"`
	// URL is the canonical root of callback URLs, as trackers see it. Default: http:// and the listener's address.
	URL string `toml:"url"`
	// TrustedProxies are the networks whose X-Forwarded-For is believed. Default none.
	// A network too many lets strangers choose the address under which they are counted.
	TrustedProxies []Network `toml:"trusted_proxies"`
}

// Admin is the listener for metrics, health and profiles.
type Admin struct {
	// Listen is the address, host:port. Default 127.0.0.1:9087.
	Listen string `toml:"listen"`
	// Hosts are names that a Host header may carry besides IP addresses and localhost. Default none.
	Hosts []string `toml:"hosts"`
}

// Store says where tokens are kept.
type Store struct {
	// URL is bolt:PATH, redis://HOST, redis+sentinel://HOST,HOST/NAME or redis+cluster://HOST,HOST, with rediss for TLS.
	// Default: a bolt file in the data directory. A password belongs into the environment: TRACKGATE_STORE_URL.
	URL Secret `toml:"url"`
	// Fence says whether tokens are refused that were minted before Redis restarted or another server took over: auto, always or
	// never. Default auto: wherever Redis can forget what it answered. All gateways of one Redis must have the same.
	// Without it a token that was used can be accepted once more after Redis has lost that.
	Fence string `toml:"fence"`
	// WaitReplicas is how many replicas must have a change before it is answered. Default 0.
	WaitReplicas int `toml:"wait_replicas"`
	// WaitLimit is how long a change waits for them; then it is answered 503. Default 300ms, at most 800ms.
	WaitLimit Duration `toml:"wait_limit"`
}

// Token says how long tokens live.
type Token struct {
	// Lifetime is how long a token can be used. Default 10m, at most 24h.
	Lifetime Duration `toml:"lifetime"`
	// Retention is how long a used token is remembered as used after it would have expired. Default 24h.
	Retention Duration `toml:"retention"`
	// MaxLive is how many tokens one address may have that are neither used nor expired, about. Default 10000; 0 means no limit.
	MaxLive int `toml:"max_live"`
}

// Limits are the policies of the throttle. Each has the section of its name.
type Limits struct {
	// Replicas is the number of gateways that share one Redis: what each allows alone when Redis is away is the policy divided by it. Default 1.
	Replicas int `toml:"replicas"`
	// Exempt are the networks whose addresses are neither counted nor refused. Default none.
	// A network too many lets whoever is in it do what he likes.
	Exempt []Network `toml:"exempt"`
	// Mint is asked for each new token of the private side. Default 600/m, burst 200.
	Mint Limit `toml:"mint"`
	// Handshake is asked for each callback. Default 60/m, burst 60.
	Handshake Limit `toml:"handshake"`
	// HandshakeFailures is looked at before a callback and charged for one that was refused. Its cost is 1. Default 10/m, burst 10.
	HandshakeFailures Limit `toml:"handshake_failures"`
	// TrackerCalls is asked for each call to a tracker, those of the proxy included. Default off, burst 200:
	// bridge.calls_per_second spares the trackers already, and makes callers wait instead of refusing them.
	TrackerCalls Limit `toml:"tracker_calls"`
	// Login is asked for each log-in to a tracker. Default 60/m, burst 30.
	Login Limit `toml:"login"`
	// Hooks is asked for each call of a web hook. Default 600/m, burst 200.
	Hooks Limit `toml:"hooks"`
	// HookFailures is looked at before a web hook's call and charged for one whose token or signature was wrong. Its cost is 1. Default 10/m, burst 10.
	HookFailures Limit `toml:"hook_failures"`
	// Also are more policies, which hold beside those above. Default none.
	Also []AlsoLimit `toml:"also"`
}

// Limit is one policy.
type Limit struct {
	// Rate is a number per second, minute or hour ("5/s", "60/m", "1000/h"), or "off" for no limit.
	Rate ratelimit.Rate `toml:"rate"`
	// Burst is how many may come at once, at least 1.
	Burst int `toml:"burst"`
	// Cost is how many of them one request is worth, at most the burst. Default 1, which zero stands for too.
	Cost int `toml:"cost"`
	// Enforce is false for a policy that counts, and logs what it would refuse, and refuses nothing. Default true.
	Enforce Switch `toml:"enforce"`
	// Per is what is counted by: address, user (the name of HTTP Basic authentication, unverified, at an address), tracker,
	// address+tracker or user+tracker. Default address, and tracker for limits.login.
	// A policy per user holds only for callers that name one: it can narrow what another policy gives to their address.
	Per string `toml:"per"`
	// IPv4Prefix and IPv6Prefix are the lengths of the networks that count as one address. Default 32 and 64.
	IPv4Prefix int `toml:"ipv4_prefix"`
	IPv6Prefix int `toml:"ipv6_prefix"`
}

// AlsoLimit is a policy beside those that have a section: for another rate, counted by something else.
type AlsoLimit struct {
	// Name names the policy in metrics, headers and Redis: lower-case letters, digits, _ and -.
	Name string `toml:"name"`
	// On is the policy beside which it holds: mint, handshake, handshake_failures, tracker_calls, login, hooks or hook_failures.
	On string `toml:"on"`
	Limit
}

// Request bounds what a request may be and how long it may take.
type Request struct {
	// MaxBody is the size of a request body in bytes, also after decompression. Default 1 MiB.
	MaxBody int `toml:"max_body"`
	// MaxHookBody is the size of the body of a web hook's call in bytes. Default 256 KiB.
	MaxHookBody int `toml:"max_hook_body"`
	// MaxDepth is how deep arrays and structs may nest. Default 64.
	MaxDepth int `toml:"max_depth"`
	// MaxValues is the number of values in one document. Default 100000.
	MaxValues int `toml:"max_values"`
	// MaxMulticall is the number of calls in one system.multicall. Default 100.
	MaxMulticall int `toml:"max_multicall"`
	// MaxHeader is the size of the request line and headers in bytes. Default 16 KiB.
	MaxHeader int `toml:"max_header"`
	// HeaderTimeout is the time for reading the headers. Default 5s.
	HeaderTimeout Duration `toml:"header_timeout"`
	// BodyTimeout is the time for reading the whole request. Default 30s.
	BodyTimeout Duration `toml:"body_timeout"`
	// HandlerTimeout is the time for answering. Default 35s.
	HandlerTimeout Duration `toml:"handler_timeout"`
}

// Bridge bounds calls to trackers.
type Bridge struct {
	// CallTimeout is the time for one call with its log-in and its repetition. Default 25s.
	CallTimeout Duration `toml:"call_timeout"`
	// MaxAnswer is the size of a tracker's answer in bytes, after decompression, and of all answers to one call together. Default 32 MiB.
	MaxAnswer int `toml:"max_answer"`
	// BatchSize is how many bugs one request asks a tracker for. Default 100.
	BatchSize int `toml:"batch_size"`
	// Connections is how many connections to one tracker are open at once. Default 4.
	Connections int `toml:"connections"`
	// CallsPerSecond is how many requests a second are sent to one tracker at most; more wait. Default 0: no limit.
	CallsPerSecond float64 `toml:"calls_per_second"`
	// BreakAfter is how many requests in a row must fail before a tracker is left alone. Default 5.
	BreakAfter int `toml:"break_after"`
	// BreakFor is how long it is left alone. Default 30s.
	BreakFor Duration `toml:"break_for"`
}

// Sessions is what is kept of the sessions with trackers.
type Sessions struct {
	// KeyFile holds keys of 32 bytes in base64, one a line: the first encrypts the sessions that are kept in the store, all decrypt.
	// Default none: sessions are not kept, and every start logs in anew.
	KeyFile string `toml:"key_file"`
}

// Log says how log lines look.
type Log struct {
	// Format is text or json. Default text.
	Format string `toml:"format"`
	// Level is debug, info, warn or error. Default info.
	Level string `toml:"level"`
}

// Tracker is one remote bug tracker.
type Tracker struct {
	// Name names the tracker for callers and in callback roots: letters, digits, dot, dash, underscore.
	Name string `toml:"name"`
	// URL is the root of the tracker, http or https, without user and password.
	URL string `toml:"url"`
	// Dialect is what the tracker speaks, or auto, to have it found out; the README lists them.
	Dialect string `toml:"dialect"`
	// CredentialsFile is a file of user, password, api_key and token, for dialects that log in with such. Default none.
	// The variables TRACKGATE_TRACKER_{NAME}_USER, _PASSWORD, _API_KEY and _TOKEN are read over it.
	CredentialsFile string `toml:"credentials_file"`
	// CAFile holds the certificates, in PEM, that the tracker's is checked against in place of the system's. Default none.
	CAFile string `toml:"ca_file"`
	// ClientCertFile and ClientKeyFile hold the certificate, in PEM, that the gateway shows to the tracker. Default none.
	ClientCertFile string `toml:"client_cert_file"`
	ClientKeyFile  string `toml:"client_key_file"`
	// Connections is how many connections to the tracker are open at once. Default 0, as bridge.connections says.
	Connections int `toml:"connections"`
	// CallsPerSecond is how many requests a second are sent to the tracker at most; more wait. Default 0, as bridge.calls_per_second says.
	CallsPerSecond float64 `toml:"calls_per_second"`
	// Allow are the tracker's own methods, such as "Bug.*", that callers may call. Default: the dialect's.
	// A method too many lets every program of the private network do to the tracker what the gateway's account may do.
	Allow []string `toml:"allow"`
	// Deny are methods that callers may not call whatever allow says. Default none.
	Deny []string `toml:"deny"`
	// States maps further words of the tracker, for status, resolution or both with a space between, to states of the gateway.
	States map[string]string `toml:"states"`
	// Importances maps further words of the tracker, for priority and severity, to importances of the gateway.
	Importances map[string]string `toml:"importances"`
	// Secrets are what credentials_file and the environment hold.
	Secrets Credentials `toml:"-"`
	// AllowPrivate lets the tracker be on a loopback, private or link-local address. Default false.
	AllowPrivate bool `toml:"allow_private"`
	// Callback is "own" where the tracker calls {public.url}/for/{name} and nothing else, else "common". Default "common".
	Callback string `toml:"callback"`
	// CallbackFrom are the networks from which the tracker's callbacks come. Default: any.
	CallbackFrom []Network `toml:"callback_from"`
	// Watch are polls of the tracker whose findings go into the feed of events. Default none.
	Watch []Watch `toml:"watch"`
}

// Watch is a poll of a tracker for what was modified.
type Watch struct {
	// Name tells watches of one tracker apart: letters, digits, dot, dash, underscore. Default "all".
	Name string `toml:"name"`
	// Interval is how long after one poll the next begins, give or take a tenth. Default 1m, at least 5s.
	Interval Duration `toml:"interval"`
	// Overlap is how much of the time before is asked for again, for trackers that tell of changes late. Default 2m.
	Overlap Duration `toml:"overlap"`
	// Bugs are the ids that are watched. Default none: all bugs of the tracker.
	Bugs []string `toml:"bugs"`
}

// Duration is a time.Duration that is written as in "10m" or "1h30m".
type Duration time.Duration

var _ encoding.TextUnmarshaler = (*Duration)(nil)

// UnmarshalText reads a duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errNotADuration
	}
	*d = Duration(v)
	return nil
}

// Network is a range of addresses: CIDR, or one address for itself alone.
type Network netip.Prefix

var _ encoding.TextUnmarshaler = (*Network)(nil)

// UnmarshalText reads "192.0.2.0/24", "2001:db8::/32" or "192.0.2.7".
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return errNotANetwork
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	// Addresses are compared without the IPv4-mapped form (RFC 4291, section 2.5.5.2).
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	*n = Network(p.Masked())
	return nil
}

// String writes the network as CIDR.
func (n Network) String() string { return netip.Prefix(n).String() }

// mappedBits is how many bits stand before the IPv4 address in a mapped one.
const mappedBits = 96

// Prefixes gives networks as the standard library's type.
func Prefixes(networks []Network) []netip.Prefix {
	out := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		out[i] = netip.Prefix(n)
	}
	return out
}

// Secret is a text that can hold a password: it prints as REDACTED.
type Secret string

// String hides the text.
func (Secret) String() string { return "REDACTED" }

// GoString hides the text from %#v.
func (Secret) GoString() string { return "REDACTED" }

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

// MarshalText hides the text from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

// Default gives the configuration of a gateway that was told nothing.
func Default() *Config {
	return &Config{
		Private: Private{
			Listen: "127.0.0.1:8087",
			Allow:  networks("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
		},
		Public: Public{Listen: "127.0.0.1:8080"},
		Admin:  Admin{Listen: "127.0.0.1:9087"},
		Store:  Store{Fence: redisstore.FenceAuto.String(), WaitLimit: Duration(redisstore.DefaultReplicaLimit)},
		Token:  Token{Lifetime: Duration(10 * time.Minute), Retention: Duration(24 * time.Hour), MaxLive: 10_000},
		Limits: Limits{
			Replicas:          1,
			Mint:              limit("600/m", 200, "address"),
			Handshake:         limit("60/m", 60, "address"),
			HandshakeFailures: limit("10/m", 10, "address"),
			TrackerCalls:      limit("off", 200, "address"),
			Login:             limit("60/m", 30, "tracker"),
			Hooks:             limit("600/m", 200, "address"),
			HookFailures:      limit("10/m", 10, "address"),
		},
		Request: Request{
			MaxBody: 1 << 20, MaxHookBody: hook.DefaultMaxBody, MaxDepth: 64, MaxValues: 100_000, MaxMulticall: 100, MaxHeader: 16 << 10,
			HeaderTimeout: Duration(5 * time.Second), BodyTimeout: Duration(30 * time.Second), HandlerTimeout: Duration(35 * time.Second),
		},
		Bridge: Bridge{CallTimeout: Duration(25 * time.Second), MaxAnswer: 32 << 20, BatchSize: 100, Connections: 4,
			BreakAfter: 5, BreakFor: Duration(30 * time.Second)},
		Events: Events{MaxEvents: feed.DefaultMaxEvents, MaxAge: Duration(feed.DefaultMaxAge), KeyAge: Duration(feed.DefaultKeyAge)},
		Audit:  Audit{Required: true, MaxAge: Duration(365 * 24 * time.Hour), MaxSize: 1 << 30},
		Log:    Log{Format: "text", Level: "info"},
	}
}

func networks(texts ...string) []Network {
	out := make([]Network, len(texts))
	for i, t := range texts {
		out[i] = Network(netip.MustParsePrefix(t))
	}
	return out
}

func limit(perTime string, burst int, per string) Limit {
	return Limit{Rate: rate(perTime), Burst: burst, Cost: 1, Per: per, IPv4Prefix: ratelimit.DefaultIPv4Bits, IPv6Prefix: ratelimit.DefaultIPv6Bits}
}

func rate(text string) ratelimit.Rate {
	var r ratelimit.Rate
	if err := r.UnmarshalText([]byte(text)); err != nil {
		panic(err) // a default that does not parse is a mistake in this file
	}
	return r
}
