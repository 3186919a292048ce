package trac

import (
	"context"

	"github.com/trackgate/trackgate/bridge"
)

var _ bridge.Proxied = (*launchpad)(nil)

// ProxyRules allow the plugin's methods, and those of Trac's XML-RPC plugin, which
// serves the same address where it is installed.
func (l *launchpad) ProxyRules(context.Context) (bridge.ProxyRules, error) {
	return bridge.ProxyRules{
		Endpoint: l.rpc,
		Allow:    append([]string{"launchpad.*"}, allowed...),
		Reads: append([]string{"launchpad.bugtracker_version", "launchpad.time_snapshot", "launchpad.bug_info", "launchpad.get_comments",
			"launchpad.get_launchpad_bug"}, reads...),
	}, nil
}
