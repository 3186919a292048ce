package trac

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

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
	remote    *bridge.Remote
	endpoints map[string]*bridge.Endpoint // by path below the base
	clock     clock

	place     atomic.Pointer[place] // nil while it is to be found out
	surveying chan struct{}         // holds one while nobody looks

	mu        sync.Mutex
	anonymous bool // the last log-in was without a user
	given     bool // the credentials were handed out and not refused since
	denied    bool // and then answered with HTTP 401
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
	n := &native{remote: remote, endpoints: map[string]*bridge.Endpoint{}, surveying: make(chan struct{}, 1)}
	n.surveying <- struct{}{}
	for _, name := range serviceNames {
		for _, segments := range [][]string{{name}, {loginPath, name}} {
			endpoint, err := remote.Endpoint(segments...)
			if err != nil {
				return nil, err
			}
			n.endpoints[strings.Join(segments, "/")] = endpoint
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
		_, err := n.endpoints[name].CallAlone(ctx, method, &version, nil)
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

// Login sends nothing: Basic authorization is its own session, which the first
// call tries. When the tracker has answered it with HTTP 401, the next log-in is
// refused here, so that a wrong password is tried once in each back-off.
func (n *native) Login(_ context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	secrets := credentials.Configured()
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case secrets == (bridge.Secrets{}):
		n.anonymous = true
		return &bridge.Session{}, nil
	case n.denied:
		n.denied, n.given = false, false
		n.place.Store(nil) // the next session is tried without a body first
		return nil, &bridge.RefusedError{Reason: "It answered HTTP 401 to the configured user and password."}
	}
	session, err := basic(secrets)
	if err != nil {
		return nil, err
	}
	n.anonymous, n.given = false, true
	return session, nil
}

// basic is a session of a user's name and password.
func basic(secrets bridge.Secrets) (*bridge.Session, error) {
	switch {
	case secrets.User == "":
		return nil, &bridge.RefusedError{Reason: "Trac knows nothing but a user and a password, and no user is configured."}
	case strings.Contains(secrets.User, ":"):
		return nil, &bridge.RefusedError{Reason: "The name of the configured user has a colon, which Basic authorization cannot carry."}
	}
	pair := base64.StdEncoding.EncodeToString([]byte(secrets.User + ":" + secrets.Password))
	return &bridge.Session{Header: map[string]string{"Authorization": "Basic " + pair}}, nil
}

// Expired is true for HTTP 401, which is answered before the call is looked at.
// Fault 403 tells of a permission that the account lacks.
func (n *native) Expired(err error) bool {
	var status *xmlrpc.HTTPError
	if !errors.As(err, &status) || status.StatusCode != http.StatusUnauthorized {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// A call that was under way when the credentials were refused says nothing
	// about those that are handed out after the back-off.
	n.denied = n.denied || n.given
	return !n.anonymous
}

// isAnonymous tells whether the calls are those of a visitor.
func (n *native) isAnonymous() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.anonymous
}

// ExplainFault knows the faults that have a code of their own.
func (n *native) ExplainFault(fault *xmlrpc.Fault) error {
	switch fault.Code {
	case faultMissing:
		return noSuchBug()
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

// About asks for the plugin's version, and for the time of the tracker's clock,
// which Trac's plugin does not tell: it is that of the Date of a page.
func (n *native) About(ctx context.Context) (bridge.About, error) {
	const method = "system.getAPIVersion"
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.About{}, err
	}
	var version []any
	if err := rpc.Call(ctx, bridge.Read, method, &version); err != nil {
		return bridge.About{}, err
	}
	about := bridge.About{Versions: map[string]string{}}
	if about.Versions["plugin"] = versionOf(version); about.Versions["plugin"] == "" {
		return bridge.About{}, badShape(method, "the version is not made of numbers")
	}
	p := n.place.Load()
	if p == nil {
		return about, nil
	}
	page, from, to, err := n.clock.time(n.remote, func() (*bridge.Page, error) { return n.remote.Get(ctx, p.name) })
	if err != nil {
		return bridge.About{}, err
	}
	if name, ok := strings.CutPrefix(page.Header.Get("Server"), "tracd/"); ok {
		about.Versions["tracker"], _, _ = strings.Cut(name, " ")
	}
	if about.UTC = dateOf(page); !about.UTC.IsZero() {
		about.At = from.Add(to.Sub(from) / 2)
	}
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
