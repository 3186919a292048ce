package trac

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

// service is what was found out about the XML-RPC service of a tracker.
type service struct {
	name string // one of serviceNames
	trac string // the version of Trac, "" unless its own server, tracd, answered
}

// serviceTime is how long that is taken for granted. A plugin of another version may
// change it.
const serviceTime = 24 * time.Hour

// service finds out where the service is: it answers a GET with a refusal of its
// own, which is as good as any.
func (n *native) service(ctx context.Context) (service, error) {
	return n.found.Get(ctx, func() (service, error) {
		for _, name := range serviceNames {
			page, err := n.remote.Get(ctx, name)
			if err != nil {
				return service{}, err
			}
			if page.StatusCode != http.StatusNotFound {
				return service{name: name, trac: versionOfTracd(page.Header)}, nil
			}
		}
		return service{}, apierror.New(apierror.TrackerBadAnswer).
			WithDetail("xmlrpc and rpc answered HTTP 404: Trac's XML-RPC plugin is not installed there.")
	})
}

func versionOfTracd(header http.Header) string {
	version, ok := strings.CutPrefix(header.Get("Server"), "tracd/")
	if !ok {
		return ""
	}
	version, _, _ = strings.Cut(version, " ")
	return version
}

// endpoint is what is called: with an account below the log-in's path.
func (n *native) endpoint(s service) *bridge.Endpoint {
	if n.anonymous() {
		return n.visitors[s.name]
	}
	return n.accounts[s.name]
}

// rpc returns the endpoint to call.
func (n *native) rpc(ctx context.Context) (*bridge.Endpoint, error) {
	s, err := n.service(ctx)
	if err != nil {
		return nil, err
	}
	return n.endpoint(s), nil
}

// Login tries the credentials, if there are any, with one GET. The service refuses
// that for what it is, once the credentials are taken. A call would have a body,
// which tracd does not read when it answers HTTP 401, and takes for the next
// request on the same connection.
func (n *native) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	secrets := credentials.Configured()
	if secrets == (bridge.Secrets{}) {
		return &bridge.Session{}, nil
	}
	session, err := bridge.Basic(secrets)
	if err != nil {
		return nil, err
	}
	s, err := n.service(ctx)
	if err != nil {
		return nil, err
	}
	page, err := n.remote.GetWith(ctx, session, loginPath, s.name)
	if err != nil {
		return nil, err
	}
	switch page.StatusCode {
	case http.StatusUnauthorized:
		return nil, refusedBasic(page)
	case http.StatusOK, http.StatusUnsupportedMediaType, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusForbidden:
		return session, nil // it is there, and it is no GET that it wants
	}
	return nil, &xmlrpc.HTTPError{StatusCode: page.StatusCode, Header: page.Header}
}

// refusedBasic is the refusal of a log-in by name and password.
func refusedBasic(page *bridge.Page) error {
	return &bridge.RefusedError{Reason: fmt.Sprintf("It answered HTTP %d to the configured user and password.", page.StatusCode)}
}
