// Package trac speaks to Trac, in three dialects.
//
// The dialect "trac-launchpad" is that of a Trac with the Launchpad plugin:
// XML-RPC at {base}/xmlrpc, logged in to with a one-time token at
// {base}/launchpad-auth/{token}. What it sends and takes was learned from the
// captures in testdata/trac-launchpad.
//
// The dialect "trac" is that of a Trac with the XML-RPC plugin: with a user and a
// password at {base}/login/xmlrpc, or {base}/login/rpc, and without at
// {base}/xmlrpc or {base}/rpc. The dialect "trac-csv" reads the tickets of any Trac
// that shows them to visitors, as comma-separated values. Both were learned from
// the captures in testdata/trac, to whose numbers comments refer.
//
// Neither tells the time but by the Date of its answers. The time of a result is
// the earliest that this can mean, so that the next "modified since" leaves no gap.
package trac

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"

	kolo "github.com/kolo/xmlrpc"
)

// LaunchpadName is the name of the dialect in the configuration.
const LaunchpadName = "trac-launchpad"

// authCookie is the session. The plugin sets a trac_session beside it, which
// means nothing.
const authCookie = "trac_auth"

// probeToken is no token: a tracker with the plugin refuses it, after asking the
// gateway about it.
const probeToken = "check"

// faultNoTicket is the plugin's fault for a ticket that does not exist.
const faultNoTicket = 1001

// launchpad is the dialect at work for one tracker.
type launchpad struct {
	remote *bridge.Remote
	rpc    *bridge.Endpoint

	// The calls that hold no value of a caller, as they are sent.
	versionCall []byte
	timeCall    []byte
}

var (
	_ bridge.Constructor    = NewLaunchpad
	_ bridge.Dialect        = (*launchpad)(nil)
	_ bridge.ModifiedReader = (*launchpad)(nil)
	_ bridge.CommentReader  = (*launchpad)(nil)
	_ bridge.CommentWriter  = (*launchpad)(nil)
	_ bridge.Linker         = (*launchpad)(nil)
	_ bridge.FaultExplainer = (*launchpad)(nil)
)

// NewLaunchpad makes the dialect for one tracker.
func NewLaunchpad(remote *bridge.Remote) (bridge.Dialect, error) {
	rpc, err := remote.Endpoint("xmlrpc")
	if err != nil {
		return nil, err
	}
	version, err := kolo.EncodeMethodCall("launchpad.bugtracker_version")
	if err != nil {
		return nil, err
	}
	snapshot, err := kolo.EncodeMethodCall("launchpad.time_snapshot")
	if err != nil {
		return nil, err
	}
	return &launchpad{remote: remote, rpc: rpc, versionCall: version, timeCall: snapshot}, nil
}

// Name is "trac-launchpad".
func (l *launchpad) Name() string { return LaunchpadName }

// Detect asks for the plugin's log-in page with a token that is none.
func (l *launchpad) Detect(ctx context.Context) (bridge.Detection, error) {
	page, err := l.remote.Get(ctx, "launchpad-auth", probeToken)
	if err != nil {
		return bridge.Detection{}, err
	}
	switch {
	case page.StatusCode == http.StatusUnauthorized && page.Header.Get("WWW-Authenticate") != "":
		// The plugin's own refusal has no challenge: another stands before the site.
		return bridge.Detection{Reason: "launchpad-auth/check is behind a password of the whole site, so that nothing can be said about a plugin."}, nil
	case page.StatusCode == http.StatusUnauthorized:
		return bridge.Detection{Found: true, Reason: "launchpad-auth/check answered HTTP 401: the Launchpad plugin is installed."}, nil
	case page.StatusCode == http.StatusOK && page.Cookie(authCookie) != "":
		return bridge.Detection{Found: true, Reason: "launchpad-auth/check answered HTTP 200 and set a " + authCookie +
			" cookie: the Launchpad plugin is installed, and accepts what is no token."}, nil
	case page.StatusCode == http.StatusOK:
		return bridge.Detection{Reason: "launchpad-auth/check answered HTTP 200 without a " + authCookie +
			" cookie: the installation answers every path and the Launchpad plugin is not at work."}, nil
	case page.StatusCode == http.StatusNotFound:
		return bridge.Detection{Reason: "launchpad-auth/check answered HTTP 404: the Launchpad plugin is not installed."}, nil
	}
	return bridge.Detection{Reason: "launchpad-auth/check does not answer as a Launchpad plugin does, but " + page.Status() + "."}, nil
}

// Login hands the tracker a token, which it brings back to the gateway before it
// answers.
func (l *launchpad) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	token, err := credentials.Token(ctx)
	if err != nil {
		return nil, err
	}
	page, err := l.remote.Get(ctx, "launchpad-auth", token)
	if err != nil {
		return nil, err
	}
	cookie := page.Cookie(authCookie)
	switch {
	case page.StatusCode == http.StatusOK && cookie != "":
		return &bridge.Session{Cookies: []*http.Cookie{{Name: authCookie, Value: cookie}}}, nil
	case page.StatusCode == http.StatusUnauthorized, page.StatusCode == http.StatusForbidden:
		return nil, &bridge.RefusedError{Reason: fmt.Sprintf(
			"It answered HTTP %d to the token: it could not reach the gateway's callback URL, or was told that the token is invalid.", page.StatusCode)}
	case page.StatusCode == http.StatusOK:
		return nil, badLogin("answered HTTP 200 without a " + authCookie + " cookie: the Launchpad plugin is not at work there")
	case page.StatusCode == http.StatusNotFound:
		return nil, badLogin("answered HTTP 404: the Launchpad plugin is not installed there")
	}
	return nil, badLogin("answered " + page.Status())
}

func badLogin(what string) error {
	return apierror.New(apierror.TrackerBadAnswer).WithDetail("The log-in page " + what + ".")
}

// Expired is true for HTTP 403, which the plugin answers, before it looks at the
// call, to a cookie that is missing, unknown or too old.
func (l *launchpad) Expired(err error) bool {
	var status *xmlrpc.HTTPError
	return errors.As(err, &status) && status.StatusCode == http.StatusForbidden
}

// ExplainFault knows the fault for a ticket that does not exist.
func (l *launchpad) ExplainFault(fault *xmlrpc.Fault) error {
	if fault.Code == faultNoTicket {
		return bridge.NoSuchBug()
	}
	return nil
}

// About asks for versions and time. The version answer is an array in which the
// plugin mixes types: of the tracker, of the plugin's interface, and a boolean
// that nothing is known about.
func (l *launchpad) About(ctx context.Context) (bridge.About, error) {
	var parts []any
	if err := l.rpc.Send(ctx, bridge.Read, l.versionCall, &parts); err != nil {
		return bridge.About{}, err
	}
	// There is a session now, so that no log-in blurs the clock.
	var clock []any
	at, err := l.remote.Midway(func() error { return l.rpc.Send(ctx, bridge.Read, l.timeCall, &clock) })
	if err != nil {
		return bridge.About{}, err
	}
	// [zone name, local time, UTC]: the local time counts from an epoch of its own.
	utc, err := timeAt("launchpad.time_snapshot", clock, 2)
	if err != nil {
		return bridge.About{}, err
	}
	versions := map[string]string{}
	for i, name := range []string{"tracker", "plugin"} {
		if i < len(parts) {
			if text := wordOf(parts[i]); text != "" {
				versions[name] = text
			}
		}
	}
	return bridge.About{Versions: versions, UTC: utc, At: at}, nil
}
