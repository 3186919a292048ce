// Package generic speaks to any XML-RPC server.
//
// Its dialect "generic" knows nothing of bugs. It lets callers use the server's
// own methods, through the proxy and trackers.call, with the credentials that the
// operator configured. The tracker's url is that of the server itself: nothing is
// added to it.
package generic

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

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
	if status := new(xmlrpc.HTTPError); errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized {
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

// Login makes what every call carries, and calls nothing: user and password as
// Basic authorization, or the token as a bearer token, or nothing.
func (d *dialect) Login(_ context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	secrets := credentials.Configured()
	switch {
	case secrets.User != "" && secrets.Token != "":
		return nil, &bridge.RefusedError{Reason: "Both a user and a token are configured, and a call can carry one of them."}
	case secrets.User == "" && secrets.Password != "":
		return nil, &bridge.RefusedError{Reason: "A password is configured, and no user."}
	case secrets.APIKey != "":
		return nil, &bridge.RefusedError{Reason: "An API key is configured, for which no place is known: configure it as token if the server takes bearer tokens."}
	case strings.Contains(secrets.User, ":"):
		return nil, &bridge.RefusedError{Reason: "A user's name with a colon cannot be sent with Basic authorization."}
	case secrets.User != "":
		return authorized("Basic " + base64.StdEncoding.EncodeToString([]byte(secrets.User+":"+secrets.Password))), nil
	case secrets.Token != "":
		return authorized("Bearer " + secrets.Token), nil
	}
	return &bridge.Session{}, nil
}

func authorized(value string) *bridge.Session {
	return &bridge.Session{Header: map[string]string{"Authorization": value}}
}

// Expired is true for HTTP 401. What its faults mean only the server knows, and
// 403 may be meant for one method.
func (d *dialect) Expired(err error) bool {
	var status *xmlrpc.HTTPError
	return errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized
}

// About finds out whether a call with the session is answered, be it with a fault.
// The clock is that of the Date header, in whole seconds, where there is one.
func (d *dialect) About(ctx context.Context) (bridge.About, error) {
	var answer any
	if err := d.rpc.Call(ctx, bridge.Read, introspection, &answer); err != nil && !apierror.Is(err, apierror.TrackerFault) {
		return bridge.About{}, err
	}
	var header http.Header
	at, err := d.remote.Midway(func() (err error) {
		header, err = d.rpc.CallAlone(ctx, introspection, &answer, nil)
		return err
	})
	about := bridge.About{Versions: map[string]string{}}
	if fault := new(xmlrpc.Fault); err != nil && !errors.As(err, &fault) && !apierror.Is(err, apierror.TrackerBadAnswer) {
		return bridge.About{}, err
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		about.UTC, about.At = date.In(time.UTC), at
	}
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
