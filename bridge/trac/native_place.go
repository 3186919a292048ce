package trac

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// loginPath is where Trac looks at Basic authorization, and nowhere else.
const loginPath = "login"

// serviceNames are the names that the XML-RPC service has, in the order in which
// they are tried.
var serviceNames = []string{"xmlrpc", "rpc"}

// place is where a tracker's XML-RPC service is.
type place struct {
	name string // one of serviceNames
	rpc  *bridge.Endpoint
}

// candidate holds, in a context, the place that is being tried: the bridge may ask
// [native.About] in the middle of that, which must not wait for its end.
type candidate struct{}

// rpc returns the endpoint to call, and finds out which it is when that is not
// known.
func (n *native) rpc(ctx context.Context) (*bridge.Endpoint, error) {
	if p := n.place.Load(); p != nil {
		return p.rpc, nil
	}
	if p, ok := ctx.Value(candidate{}).(*place); ok {
		return p.rpc, nil
	}
	select {
	case <-n.surveying:
		defer func() { n.surveying <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p := n.place.Load(); p != nil {
		return p.rpc, nil
	}
	p, err := n.survey(ctx)
	if err != nil {
		return nil, err
	}
	n.place.Store(p)
	return p.rpc, nil
}

// begin returns the endpoint, and the tracker's time before whatever is asked
// next.
func (n *native) begin(ctx context.Context) (*bridge.Endpoint, time.Time, error) {
	rpc, err := n.rpc(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	if p := n.place.Load(); p != nil && n.clock.stale(ourTime(n.remote)) {
		if _, _, _, err := n.clock.time(n.remote, func() (*bridge.Page, error) { return n.remote.Get(ctx, p.name) }); err != nil {
			return nil, time.Time{}, err
		}
	}
	return rpc, n.clock.at(ourTime(n.remote)), nil
}

// survey finds the service, and tries the credentials, if there are any, with a
// GET. The service answers a GET with a refusal of its own, which is as good as
// any. That the password is wrong must be learned without a body: tracd does not
// read the body of a request that it answers with HTTP 401, and takes it for the
// next request on the same connection.
func (n *native) survey(ctx context.Context) (*place, error) {
	for _, name := range serviceNames {
		page, _, _, err := n.clock.time(n.remote, func() (*bridge.Page, error) { return n.remote.Get(ctx, name) })
		if err != nil {
			return nil, err
		}
		if page.StatusCode == http.StatusNotFound {
			continue
		}
		trying := context.WithValue(ctx, candidate{}, &place{name: name, rpc: n.endpoints[loginPath+"/"+name]})
		_, err = n.remote.Fetch(trying, nil, loginPath, name)
		if status := new(xmlrpc.HTTPError); errors.As(err, &status) {
			switch status.StatusCode {
			case http.StatusUnsupportedMediaType, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusForbidden:
				err = nil // the service is there, and it is no GET that it wants
			case http.StatusUnauthorized, http.StatusNotFound:
				if n.isAnonymous() {
					err = nil // visitors need no log-in, which may not even be there
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if n.isAnonymous() {
			return &place{name: name, rpc: n.endpoints[name]}, nil
		}
		return &place{name: name, rpc: n.endpoints[loginPath+"/"+name]}, nil
	}
	return nil, apierror.New(apierror.TrackerBadAnswer).
		WithDetail("xmlrpc and rpc answered HTTP 404: Trac's XML-RPC plugin is not installed there.")
}
