// Package roundup speaks to Roundup.
//
// Its dialect "roundup" is Roundup's own XML-RPC service at {base}/xmlrpc, with
// Basic authorization on every call. What it sends and takes was learned from the
// captures in testdata/roundup, whose README lists the quirks.
//
// An issue is a bug, and each of its messages a comment, numbered from 0 in the
// order in which they were made. The message that was made with the issue is its
// description as well: it is the first, and older than the issue. Issues that are
// retired, and those that the gateway's account may not see, are missing.
//
// The tracker must be configured under the address at which its users know it:
// Roundup refuses calls for another host name or port.
package roundup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Name is the name of the dialect in the configuration.
const Name = "roundup"

// What Roundup answers under HTTP 200 to a call whose credentials it does not
// take: 401 to wrong ones, 403 to none and to an account without the permission
// "Xmlrpc Access". It does so before it looks at the call.
const (
	faultInvalidLogin = 401
	faultForbidden    = 403
)

// dialect is the dialect at work for one tracker.
type dialect struct {
	remote *bridge.Remote
	rpc    *bridge.Endpoint

	schemas *bridge.Kept[schema]
	own     *bridge.Kept[string]
	names   *names
}

var (
	_ bridge.Constructor    = New
	_ bridge.Dialect        = (*dialect)(nil)
	_ bridge.ModifiedReader = (*dialect)(nil)
	_ bridge.CommentReader  = (*dialect)(nil)
	_ bridge.CommentWriter  = (*dialect)(nil)
	_ bridge.Linker         = (*dialect)(nil)
	_ bridge.StatusLister   = (*dialect)(nil)
	_ bridge.FiledFinder    = (*dialect)(nil)
	_ bridge.FaultExplainer = (*dialect)(nil)
	_ bridge.Proxied        = (*dialect)(nil)
)

// New makes the dialect for one tracker.
func New(remote *bridge.Remote) (bridge.Dialect, error) {
	rpc, err := remote.Endpoint("xmlrpc")
	if err != nil {
		return nil, err
	}
	return &dialect{
		remote:  remote,
		rpc:     rpc,
		schemas: bridge.NewKept[schema](remote, schemaTime),
		own:     bridge.NewKept[string](remote, nameTime),
		names:   newNames(remote),
	}, nil
}

// Name is "roundup".
func (d *dialect) Name() string { return Name }

// Detect asks for the schema without credentials. Most trackers refuse that in a
// way of their own. A GET would tell more, in a page that never ends.
func (d *dialect) Detect(ctx context.Context) (bridge.Detection, error) {
	var answer any
	_, err := d.rpc.CallAlone(ctx, "schema", &answer, nil)
	fault := new(xmlrpc.Fault)
	switch {
	case errors.As(err, &fault):
		return detectFault(fault), nil
	case apierror.Is(err, apierror.TrackerBadAnswer):
		return bridge.Detection{Reason: "xmlrpc does not answer as Roundup does: " + apierror.From(err).FaultString()}, nil
	case err != nil:
		return bridge.Detection{}, err
	}
	if s, err := readSchema(answer); err == nil && s[issueClass] != nil {
		return bridge.Detection{Found: true, Reason: "xmlrpc told the schema of a Roundup tracker."}, nil
	}
	return bridge.Detection{Reason: "xmlrpc answered a call of schema with something that is no schema of Roundup's."}, nil
}

// detectFault goes by the texts: of a call without credentials the class of a
// fault, which looks like a tag, does not come through.
func detectFault(fault *xmlrpc.Fault) bridge.Detection {
	switch {
	case fault.Code == faultForbidden && fault.String == "Forbidden":
		return bridge.Detection{Found: true, Reason: "xmlrpc refused a visitor with fault 403 under HTTP 200, as Roundup does."}
	case fault.Code == faultOther && strings.HasSuffix(fault.String, headerMissing):
		return bridge.Detection{Found: true, Reason: "xmlrpc wants a header X-Requested-With, as Roundup does."}
	}
	return bridge.Detection{Reason: fmt.Sprintf("xmlrpc answered a call of schema with fault %d, not as Roundup does.", fault.Code)}
}

// Login makes what every call carries, for Roundup has no sessions, and tries it
// with the one call that every account may make.
func (d *dialect) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	session := &bridge.Session{Header: map[string]string{}}
	if secrets := credentials.Configured(); secrets != (bridge.Secrets{}) {
		var err error
		if session, err = bridge.Basic(secrets); err != nil {
			return nil, err
		}
	}
	session.Header["X-Requested-With"] = "XMLHttpRequest"
	var answer any
	_, err := d.rpc.CallWith(ctx, session, "schema", &answer, nil)
	fault, status := new(xmlrpc.Fault), new(xmlrpc.HTTPError)
	switch {
	case errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized: // of a proxy before the tracker
		return nil, &bridge.RefusedError{Reason: "It answered HTTP 401."}
	case err != nil && !errors.As(err, &fault):
		return nil, err
	case fault.Code == faultInvalidLogin:
		return nil, &bridge.RefusedError{Reason: "It does not take the user's name and password (fault 401)."}
	case fault.Code == faultForbidden && d.remote.Account() == "":
		return nil, &bridge.RefusedError{Reason: "It lets no visitor call its methods (fault 403): configure a user and password."}
	case fault.Code == faultForbidden:
		return nil, &bridge.RefusedError{Reason: "The account lacks the permission \"Xmlrpc Access\" there (fault 403)."}
	}
	return session, nil // another fault is about the call, which the next one tells better
}

// Expired is true where the credentials were not taken, as after a change of the
// password. Fault 403 tells of a permission.
func (d *dialect) Expired(err error) bool {
	fault, status := new(xmlrpc.Fault), new(xmlrpc.HTTPError)
	return errors.As(err, &fault) && fault.Code == faultInvalidLogin ||
		errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized // of a proxy before the tracker
}

// About asks for the schema. Roundup does not tell its version over XML-RPC.
func (d *dialect) About(ctx context.Context) (bridge.About, error) {
	if _, err := d.fetchSchema(ctx); err != nil {
		return bridge.About{}, err
	}
	about := bridge.About{Versions: map[string]string{}, At: d.remote.Now()}
	about.UTC, _ = d.remote.Clock(about.At)
	return about, nil
}

// ProxyRules allow all of Roundup's methods, but for what changes accounts: the
// gateway's own may change its password. Otherwise the account's permissions bound
// what they do. A member "password" in an answer is the hash of one.
func (d *dialect) ProxyRules(context.Context) (bridge.ProxyRules, error) {
	return bridge.ProxyRules{
		Endpoint: d.rpc,
		Allow:    []string{"schema", "list", "lookup", "display", "create", "set", "filter", "action"},
		Reads:    []string{"schema", "list", "lookup", "display", "filter"},
		Check:    keepAccounts,
		Hide:     []string{"password"},
	}, nil
}

// keepAccounts refuses what changes accounts: create of the class, and set and
// action of one of its items.
func keepAccounts(method string, params []any) error {
	item := -1 // of the parameters
	switch method {
	case "create", "set":
		item = 0
	case "action":
		item = 1
	}
	if item < 0 {
		return nil
	}
	for _, param := range params[min(item, len(params)):] {
		name, ok := param.(string)
		if !ok { // Roundup takes nothing else there, and bytes only in some versions
			if _, bytes := param.([]byte); !bytes {
				continue
			}
			name = string(param.([]byte))
		}
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(name)), userClass) && !strings.Contains(name, "=") {
			return apierror.New(apierror.Forbidden).WithDetail("What changes accounts of the tracker is not for its callers.")
		}
		if item == 0 {
			break // what follows are properties
		}
	}
	return nil
}
