package integration

import (
	"strconv"
	"testing"
	"time"
)

// bugzillaPeerOptions says how a Bugzilla peer starts. The zero value is the Bugzilla of
// testdata/bugzilla, with its 25 bugs.
type bugzillaPeerOptions struct {
	// Launchpad installs the Launchpad extension, which asks the gateway under CallbackRoot.
	Launchpad    bool
	CallbackRoot string
	// Base is the tracker's path; empty means none.
	Base string
	// Bugs is how many generated bugs come on top of the 25 of the captures.
	Bugs int
	// Delay is how long every answer to a call takes.
	Delay time.Duration
	// ClockOffset is how far the tracker's clock is ahead of this machine's.
	ClockOffset time.Duration
	// TimeZone is how far the server's local time is ahead of UTC, in whole minutes.
	TimeZone time.Duration
	// RequireLogin closes everything but the log-in to anonymous callers.
	RequireLogin bool
	// Version is what Bugzilla.version says; empty means "5.2+".
	Version string
	// AliasString, CommentAuthor and LocalTime are the shapes of older versions: alias is a
	// string, a comment has author in place of creator, Bugzilla.time is local time.
	AliasString, CommentAuthor, LocalTime bool
}

func (o bugzillaPeerOptions) arguments() []string {
	args := []string{"--callback-root", o.CallbackRoot, "--base", o.Base,
		"--bugs", strconv.Itoa(o.Bugs), "--timezone", strconv.Itoa(int(o.TimeZone.Minutes())),
		"--delay", strconv.FormatFloat(o.Delay.Seconds(), 'f', -1, 64),
		"--clock-offset", strconv.FormatFloat(o.ClockOffset.Seconds(), 'f', -1, 64)}
	if o.Version != "" {
		args = append(args, "--bugzilla-version", o.Version)
	}
	for name, set := range map[string]bool{"--launchpad": o.Launchpad, "--requirelogin": o.RequireLogin,
		"--alias-string": o.AliasString, "--comment-author": o.CommentAuthor, "--local-time": o.LocalTime} {
		if set {
			args = append(args, name)
		}
	}
	return args
}

// bugzillaPeer is a running peers/bugzilla_tracker.py. It is controlled as every peer is, and in
// the ways that peers/bugzilla_control.py adds.
type bugzillaPeer struct {
	*tracPeer
}

// startBugzillaPeer starts a Bugzilla peer and stops it when the test ends.
func startBugzillaPeer(t testing.TB, options bugzillaPeerOptions) *bugzillaPeer {
	t.Helper()
	return &bugzillaPeer{startPeer(t, "bugzilla_tracker.py", options.arguments()...)}
}

// Endpoint is the URL of the peer's XML-RPC.
func (p *bugzillaPeer) Endpoint() string {
	return p.URL + "/xmlrpc.cgi"
}

// siteSettings are what changes about the site: the attributes of Settings in
// peers/bugzilla_site.py.
type siteSettings map[string]any

// Change changes settings of the site while it runs.
func (p *bugzillaPeer) Change(settings siteSettings) {
	p.t.Helper()
	p.mustPost("/site", settings)
}

// SetDelay makes every answer to a call take so long from now on.
func (p *bugzillaPeer) SetDelay(delay time.Duration) {
	p.t.Helper()
	p.mustPost("/delay", map[string]float64{"seconds": delay.Seconds()})
}

// bugzillaCall is one call as the peer received it: how many bugs or comments it named, how a
// session was shown ("cookies", "token", "api_key", "password" or "") and whose it was.
type bugzillaCall struct {
	Method  string
	IDs     int
	Session string
	User    string
}

// Log returns the calls received so far, in order, and the largest number of calls that were
// being answered at the same time.
func (p *bugzillaPeer) Log() (calls []bugzillaCall, busiest int) {
	p.t.Helper()
	response, err := p.client.Get(p.Control + "/stats")
	if err != nil {
		p.t.Fatal(err)
	}
	var stats struct {
		Log     []bugzillaCall
		Busiest int
	}
	if err := readControlAnswer(response, &stats); err != nil {
		p.t.Fatal(err)
	}
	return stats.Log, stats.Busiest
}
