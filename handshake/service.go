package handshake

import (
	"context"

	"github.com/trackgate/trackgate/xmlrpc"
)

// RegisterService adds the XML-RPC methods of the endpoint /bugs:
//
//	newBugTrackerToken([tracker]) -> string
//
// returns a new token of the kind BugTracker. With a tracker's name it is bound
// to that tracker; a name that is not configured is the fault
// RESOURCE_NOT_FOUND, an empty one binds it to nobody, like none. Nobody's token
// is valid under every callback root.
func RegisterService(registry *xmlrpc.Registry, authority *Authority) error {
	mint := func(ctx context.Context, tracker *string) (string, error) {
		name := ""
		if tracker != nil {
			name = *tracker
		}
		token, _, err := authority.Mint(ctx, BugTracker, name)
		return token, err
	}
	return registry.Register("newBugTrackerToken", mint,
		"Returns a new one-time token with which the gateway proves itself to a bug tracker, bound to the named tracker if one is given.", "tracker")
}
