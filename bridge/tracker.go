package bridge

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Auto is the dialect of a tracker about which it is to be found out what it
// speaks.
const Auto = "auto"

// Named is a dialect that trackers can be configured to speak.
type Named struct {
	Name string
	New  Constructor
	// Undetectable keeps the dialect out of those that [Auto] tries.
	Undetectable bool
}

// tracker is one configured tracker at work.
type tracker struct {
	config  Config
	options *options
	base    context.Context // of what no caller's end may cancel
	running *sync.WaitGroup // what goes on when its caller has gone
	http    *http.Client
	polite  *politeTransport
	finding finding
	// candidates are what the tracker may speak: one, or for Auto all that can be
	// detected, in the order in which they are tried.
	candidates []*spoken
	active     atomic.Pointer[spoken] // nil while it is not known which
}

// spoken is one dialect at work for a tracker, with the session that it made.
type spoken struct {
	remote  *Remote
	dialect Dialect
	session *session
}

func newTracker(ctx context.Context, b *Bridge, c Config, dialects []Named) (*tracker, error) {
	if err := checkName(c.Name); err != nil {
		return nil, err
	}
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, fmt.Errorf("bridge: tracker %s: %w", c.Name, err)
	}
	c.URL = base.String()
	if c.Connections < 0 || !validPace(c.CallsPerSecond) {
		return nil, fmt.Errorf("bridge: tracker %s: connections must not be below zero, and calls per second from 0 to %d", c.Name, MaxCallsPerSecond)
	}
	t := &tracker{config: c, options: &b.options, base: ctx, running: &b.logins}
	t.http, t.polite = newHTTPClient(c, base, &b.options)
	for _, named := range dialects {
		if c.Dialect != named.Name && (c.Dialect != Auto || named.Undetectable) {
			continue
		}
		remote := &Remote{config: t.config, base: base, options: &b.options, http: t.http,
			states: folded(c.States), importances: folded(c.Importances)}
		dialect, err := named.New(remote)
		if err != nil {
			return nil, fmt.Errorf("bridge: tracker %s: %w", c.Name, err)
		}
		session := newSession(ctx, &b.logins, &b.options, &t.config, dialect.Name(), dialect.Login)
		remote.dialect, remote.session = dialect, session
		t.candidates = append(t.candidates, &spoken{remote: remote, dialect: dialect, session: session})
	}
	if len(t.candidates) == 0 {
		return nil, fmt.Errorf("bridge: tracker %s: unknown dialect %q: known are %s", c.Name, c.Dialect, known(dialects))
	}
	if c.Dialect != Auto {
		t.active.Store(t.candidates[0])
	}
	return t, nil
}

// validPace tells whether a number of calls per second can be kept. Zero is none.
func validPace(n float64) bool { return n >= 0 && n <= MaxCallsPerSecond }

// known lists the names that a tracker's dialect can have.
func known(dialects []Named) string {
	names := []string{Auto}
	for _, d := range dialects {
		names = append(names, d.Name)
	}
	return strings.Join(names, ", ")
}

// checkName bounds the name of a tracker, which stands in paths and logs.
func checkName(name string) error {
	ok := name != "" && len(name) <= MaxNameLength && strings.Trim(name, ".") != ""
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if !ok {
		return fmt.Errorf("bridge: tracker name %q: use 1 to %d ASCII letters, digits, '.', '_' and '-', not dots alone", name, MaxNameLength)
	}
	return nil
}

// quoted shows a caller's text in an error, shortened.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}
