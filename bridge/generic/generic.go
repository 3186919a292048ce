// Package generic speaks to any XML-RPC server.
//
// Its dialect "generic" knows nothing of bugs. It lets callers use the server's
// own methods, through the proxy and trackers.call, with the credentials that the
// operator configured. The tracker's url is that of the server itself: nothing is
// added to it.
package generic

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Name is the name of the dialect in the configuration. Whoever offers the dialect
// sets Undetectable in its [bridge.Named]: every tracker that speaks XML-RPC would
// be found to speak it.
const Name = "generic"

// introspection is what is asked to find out whether a server answers. Most have
// it; a fault says as much.
const introspection = "system.listMethods"

// dialect is the dialect at work for one server.
type dialect struct {
	remote *bridge.Remote
	rpc    *bridge.Endpoint
}

var (
	_ bridge.Constructor = New
	_ bridge.Dialect     = (*dialect)(nil)
	_ bridge.Proxied     = (*dialect)(nil)
)

// New makes the dialect for one server.
func New(remote *bridge.Remote) (bridge.Dialect, error) {
	rpc, err := remote.Endpoint()
	if err != nil {
		return nil, err
	}
	return &dialect{remote: remote, rpc: rpc}, nil
}

// Name is "generic".
func (d *dialect) Name() string { return Name }

// Detect finds every server that answers a call with a result or a fault. One that
// answers nobody without credentials is asked with those of the operator.
func (d *dialect) Detect(ctx context.Context) (bridge.Detection, error) {
	var answer any
	_, err := d.rpc.CallAlone(ctx, introspection, &answer, nil)
	if refused(err) {
		err = d.rpc.Call(ctx, bridge.Read, introspection, &answer)
		if apierror.Is(err, apierror.TrackerLoginFailed) {
			return bridge.Detection{Reason: "It answers nobody without credentials, and does not take those that are configured. " +
				apierror.From(err).FaultString()}, nil
		}
	}
	fault := new(xmlrpc.Fault)
	switch {
	case err == nil:
		return bridge.Detection{Found: true, Reason: "It answered " + introspection + "."}, nil
	case errors.As(err, &fault):
		return bridge.Detection{Found: true, Reason: fmt.Sprintf("It answered %s with fault %d, and so speaks XML-RPC.", introspection, fault.Code)}, nil
	case apierror.Is(err, apierror.TrackerFault):
		return bridge.Detection{Found: true, Reason: "It answered " + introspection + " with a fault, and so speaks XML-RPC."}, nil
	case apierror.Is(err, apierror.TrackerBadAnswer):
		return bridge.Detection{Reason: "It does not speak XML-RPC at the configured url. " + apierror.From(err).FaultString()}, nil
	}
	return bridge.Detection{}, err
}

// Login tries user and password as Basic authorization, or the token as a bearer
// token, with one call. Without either it calls nothing.
func (d *dialect) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	secrets := credentials.Configured()
	session, err := sessionOf(secrets)
	if err != nil || secrets == (bridge.Secrets{}) {
		return session, err
	}
	var answer any
	_, err = d.rpc.CallWith(ctx, session, introspection, &answer, nil)
	switch {
	case refused(err):
		return nil, &bridge.RefusedError{Reason: "It answered HTTP 401 to the configured credentials."}
	case err == nil, isFault(err), apierror.Is(err, apierror.TrackerBadAnswer):
		return session, nil // whatever it makes of this call, it did not say that it is about them
	}
	return nil, err
}

// sessionOf is what every call carries.
func sessionOf(secrets bridge.Secrets) (*bridge.Session, error) {
	switch {
	case secrets == (bridge.Secrets{}):
		return &bridge.Session{}, nil
	case secrets.APIKey != "":
		return nil, &bridge.RefusedError{Reason: "An API key is configured, for which no place is known: configure it as token if the server takes bearer tokens."}
	case secrets.Token == "":
		return bridge.Basic(secrets)
	case secrets.User != "" || secrets.Password != "":
		return nil, &bridge.RefusedError{Reason: "Both a token and a user or password are configured, and a call can carry one of them."}
	}
	return &bridge.Session{Header: map[string]string{"Authorization": "Bearer " + secrets.Token}}, nil
}

// refused tells whether the server answered HTTP 401.
func refused(err error) bool {
	var status *xmlrpc.HTTPError
	return errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized
}

func isFault(err error) bool {
	var fault *xmlrpc.Fault
	return errors.As(err, &fault)
}

// Expired is true for HTTP 401. What its faults mean only the server knows, and
// 403 may be meant for one method.
func (d *dialect) Expired(err error) bool { return refused(err) }

// About finds out whether a call with the session is answered, be it with a fault.
func (d *dialect) About(ctx context.Context) (bridge.About, error) {
	var answer any
	if err := d.rpc.Call(ctx, bridge.Read, introspection, &answer); err != nil && !apierror.Is(err, apierror.TrackerFault) {
		return bridge.About{}, err
	}
	about := bridge.About{Versions: map[string]string{}, At: d.remote.Now()}
	about.UTC, _ = d.remote.Clock(about.At)
	return about, nil
}

// ProxyRules allow everything, since nothing is known of the server's methods: an
// operator who wants less lists what is allowed. Refused are the usual names of
// what logs in and out, or ends a server. No method but those of introspection is
// known to change nothing, so that no other is ever repeated.
func (d *dialect) ProxyRules(context.Context) (bridge.ProxyRules, error) {
	return bridge.ProxyRules{
		Endpoint: d.rpc,
		Allow:    []string{"*"},
		Reads:    []string{introspection, "system.methodHelp", "system.methodSignature", "system.getCapabilities"},
		Refuse:   []string{"login", "logout", "*.login", "*.logout", "system.shutdown"},
	}, nil
}
