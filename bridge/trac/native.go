package trac

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// NativeName is the name of the dialect in the configuration.
const NativeName = "trac"

// Faults of the XML-RPC plugin that have a code of their own. All come with HTTP
// 200, and most with code 1.
const (
	faultForbidden = 403 // a permission is lacking
	faultMissing   = 404 // there is no such ticket, or its id is no number
)

// permissionXMLRPC is the permission that every call needs. The names of
// permissions are the same in every language of Trac.
const permissionXMLRPC = "XML_RPC"

// native is the dialect of a Trac with the XML-RPC plugin, at work for one
// tracker. With a user and a password it calls below {base}/login/, the only
// place where Trac looks at them, and without below {base}/.
//
// Basic authorization goes with every call in place of a cookie: of a cookie that
// is over Trac says nothing, but goes on as for an anonymous visitor, who may be
// shown less and whose comments bear another name.
type native struct {
	remote *bridge.Remote
	found  *bridge.Kept[service]
	// The endpoints of the service, by its name.
	visitors, accounts map[string]*bridge.Endpoint
}

var (
	_ bridge.Constructor    = NewNative
	_ bridge.Dialect        = (*native)(nil)
	_ bridge.ModifiedReader = (*native)(nil)
	_ bridge.CommentReader  = (*native)(nil)
	_ bridge.CommentWriter  = (*native)(nil)
	_ bridge.Linker         = (*native)(nil)
	_ bridge.StatusLister   = (*native)(nil)
	_ bridge.FiledFinder    = (*native)(nil)
	_ bridge.FaultExplainer = (*native)(nil)
	_ bridge.Proxied        = (*native)(nil)
)

// NewNative makes the dialect for one tracker.
func NewNative(remote *bridge.Remote) (bridge.Dialect, error) {
	n := &native{remote: remote, found: bridge.NewKept[service](remote, serviceTime),
		visitors: map[string]*bridge.Endpoint{}, accounts: map[string]*bridge.Endpoint{}}
	var err error
	for _, name := range serviceNames {
		if n.visitors[name], err = remote.Endpoint(name); err != nil {
			return nil, err
		}
		if n.accounts[name], err = remote.Endpoint(loginPath, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Name is "trac".
func (n *native) Name() string { return NativeName }

// Detect asks for the plugin's version as an anonymous visitor. That visitors
// may not call anything proves the plugin as well.
func (n *native) Detect(ctx context.Context) (bridge.Detection, error) {
	const method = "system.getAPIVersion"
	for _, name := range serviceNames {
		var version []any
		_, err := n.visitors[name].CallAlone(ctx, method, &version, nil)
		fault, status := new(xmlrpc.Fault), new(xmlrpc.HTTPError)
		switch {
		case err == nil && versionOf(version) != "":
			return bridge.Detection{Found: true, Reason: name + " answered " + method + ": the XML-RPC plugin " + versionOf(version) + " is installed."}, nil
		case errors.As(err, &fault) && fault.Code == faultForbidden && strings.Contains(fault.String, permissionXMLRPC):
			return bridge.Detection{Found: true, Reason: name + " asked for the permission " + permissionXMLRPC + ": the XML-RPC plugin is installed, and not for anonymous visitors."}, nil
		case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
			continue
		case errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized:
			return bridge.Detection{Reason: name + " answered HTTP 401: nothing can be found out there without a password."}, nil
		case err != nil && !errors.As(err, &fault) && !apierror.Is(err, apierror.TrackerBadAnswer):
			return bridge.Detection{}, err
		}
		return bridge.Detection{Reason: name + " does not answer " + method + " as Trac's XML-RPC plugin does."}, nil
	}
	return bridge.Detection{Reason: "xmlrpc and rpc answered HTTP 404: Trac's XML-RPC plugin is not installed."}, nil
}

// Expired is true for HTTP 401, which is answered before the call is looked at.
// Fault 403 tells of a permission that the account lacks.
func (n *native) Expired(err error) bool {
	var status *xmlrpc.HTTPError
	return errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized && !n.anonymous()
}

// anonymous tells whether the calls are those of a visitor, whom no log-in helps.
func (n *native) anonymous() bool { return n.remote.Account() == "" }

// ExplainFault knows the faults that have a code of their own.
func (n *native) ExplainFault(fault *xmlrpc.Fault) error {
	switch fault.Code {
	case faultMissing:
		return bridge.NoSuchBug()
	case faultForbidden:
		return apierror.New(apierror.Forbidden).
			WithDetail("The tracker's account lacks " + permissionIn(fault.String) + " there.")
	case xmlrpc.CodeMethodNotFound:
		return apierror.New(apierror.NotSupported).
			WithDetail("The tracker's XML-RPC plugin has no such method.")
	}
	return nil
}

// permissionIn finds the name of the permission in the text of a fault, in which
// it stands first: "XML_RPC privileges are required to perform this operation."
func permissionIn(text string) string {
	word, _, _ := strings.Cut(text, " ")
	const longest = 64
	if word == "" || len(word) > longest || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return "a permission that is needed"
	}
	return "the permission " + word
}

// About asks for the plugin's version. Trac's own is told by its own server alone.
func (n *native) About(ctx context.Context) (bridge.About, error) {
	const method = "system.getAPIVersion"
	s, err := n.service(ctx)
	if err != nil {
		return bridge.About{}, err
	}
	var version []any
	if err := n.endpoint(s).Call(ctx, bridge.Read, method, &version); err != nil {
		return bridge.About{}, err
	}
	plugin := versionOf(version)
	if plugin == "" {
		return bridge.About{}, bridge.BadShape(method, "the version is not made of numbers")
	}
	about := bridge.About{Versions: map[string]string{"plugin": plugin}, At: n.remote.Now()}
	if s.trac != "" {
		about.Versions["tracker"] = s.trac
	}
	about.UTC, _ = n.remote.Clock(about.At)
	return about, nil
}

// versionOf writes [1, 2, 0] as "1.2.0", and "" for what is no list of numbers.
func versionOf(parts []any) string {
	words := make([]string, 0, len(parts))
	for _, part := range parts {
		if _, ok := intOf(part); !ok {
			return ""
		}
		words = append(words, wordOf(part))
	}
	return strings.Join(words, ".")
}
