package handshake

import (
	"context"

	"github.com/trackgate/trackgate/xmlrpc"
)

// RegisterService adds the XML-RPC method newBugTrackerToken to a registry:
//
//	newBugTrackerToken([tracker]) -> string
//
// Without a parameter the token belongs to nobody and is valid under the common
// callback root only. With the name of a configured tracker it is bound to that
// one. Errors are those of [Authority.Mint].
func RegisterService(r *xmlrpc.Registry, a *Authority) error {
	mint := func(ctx context.Context, tracker *string) (string, error) {
		name := ""
		if tracker != nil {
			name = *tracker
		}
		token, _, err := a.Mint(ctx, BugTracker, name)
		return token, err
	}
	return r.Register("newBugTrackerToken", mint,
		"Returns a new one-time token for logging in to a bug tracker, bound to one tracker when it is named.", "tracker")
}
