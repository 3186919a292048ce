// Package bugzilla speaks to Bugzilla.
//
// Its dialect "bugzilla" is that of any Bugzilla from 3.4 on: the tracker's own
// XML-RPC at {base}/xmlrpc.cgi, with an API key, a user's name and password, or
// as an anonymous reader. Its dialect "bugzilla-launchpad" is that of a Bugzilla
// with the Launchpad plugin, logged in to with a one-time token. What they send
// and take was learned from the captures in testdata, whose READMEs list the
// quirks.
package bugzilla

import (
	"context"
	"strconv"
	"sync/atomic"

	"github.com/trackgate/trackgate/bridge"
)

// Names of the dialects in the configuration.
const (
	// LaunchpadName is that of a Bugzilla with the Launchpad plugin.
	LaunchpadName = "bugzilla-launchpad"
	// NativeName is that of any Bugzilla.
	NativeName = "bugzilla"
)

// site is what the two dialects have in common, at work for one tracker.
type site struct {
	remote *bridge.Remote
	rpc    *bridge.Endpoint
	wire   wire
	clock  *bridge.Kept[instant]
	// anonymous is set when there is nothing to log in with, so that no log-in
	// can help.
	anonymous atomic.Bool
}

// wire is what the two dialects do by different methods.
type wire interface {
	askTime(ctx context.Context) (instant, error)
	// askBugs asks for bugs, with those members at least. Bugs that do not exist,
	// or that the session may not see, are left out.
	askBugs(ctx context.Context, ids []any, fields []string) ([]map[string]any, error)
	// askComments asks for all comments of bugs, with those members at least, by
	// the bugs' numbers. One bug that does not exist fails all.
	askComments(ctx context.Context, ids []any, fields []string) (map[string][]bridge.Comment, error)
}

var (
	_ bridge.BugReader    = (*site)(nil)
	_ bridge.BugFiler     = (*site)(nil)
	_ bridge.FiledFinder  = (*site)(nil)
	_ bridge.StatusLister = (*site)(nil)
)

// open makes the site, whose wire is still to be set.
func open(remote *bridge.Remote) (*site, error) {
	rpc, err := remote.Endpoint("xmlrpc.cgi")
	if err != nil {
		return nil, err
	}
	return &site{remote: remote, rpc: rpc, clock: bridge.NewKept[instant](remote, clockFor)}, nil
}

// read calls a method that changes nothing and answers with a struct.
func (s *site) read(ctx context.Context, method string, params map[string]any) (map[string]any, error) {
	var answer map[string]any
	if err := s.rpc.Call(ctx, bridge.Read, method, &answer, params); err != nil {
		return nil, err
	}
	return answer, nil
}

// bugURL is the page of a bug for people.
func (s *site) bugURL(number string) string {
	if _, err := strconv.Atoi(number); err != nil {
		return ""
	}
	return s.remote.URL("show_bug.cgi") + "?id=" + number
}
