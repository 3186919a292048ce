package bugzilla

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Cookies and members of parameters that carry a session. Any other cookie, such as
// the Bugzilla_login_request_cookie that comes with refusals, means nothing.
const (
	userCookie   = "Bugzilla_login"
	secretCookie = "Bugzilla_logincookie"
	tokenMember  = "Bugzilla_token"
	keyMember    = "Bugzilla_api_key"
)

// A Bugzilla locks an account for lockoutTime to an address that was refused five
// times within it. The gateway stays below that, whoever asks it to try again.
const (
	maxRefusals = 4
	lockoutTime = 30 * time.Minute
)

// guard counts the refusals of the password.
type guard struct {
	mu       sync.Mutex
	refusals []time.Time // within lockoutTime
}

// until returns when the password may be tried, zero when at once.
func (g *guard) until(now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.refusals) > 0 && now.Sub(g.refusals[0]) >= lockoutTime {
		g.refusals = g.refusals[1:]
	}
	if len(g.refusals) < maxRefusals {
		return time.Time{}
	}
	return g.refusals[0].Add(lockoutTime)
}

func (g *guard) refused(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals = append(g.refusals, now)
}

func (g *guard) accepted() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals = nil
}

// Login uses the API key, or else name and password, or else nothing: an anonymous
// reader has a session too.
func (n *native) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	configured := credentials.Configured()
	n.anonymous.Store(configured.APIKey == "" && configured.User == "" && configured.Password == "")
	switch {
	case configured.APIKey != "":
		return n.loginByKey(ctx, configured.APIKey)
	case n.anonymous.Load():
		return &bridge.Session{}, nil
	case configured.User == "" || configured.Password == "":
		return nil, &bridge.RefusedError{Reason: "Only one of user and password is configured for it: both are needed."}
	}
	return n.loginByPassword(ctx, configured)
}

// loginByKey tries the key. It needs no log-in, and a wrong one fails every call;
// Bugzilla.time is one that every Bugzilla has.
func (n *native) loginByKey(ctx context.Context, key string) (*bridge.Session, error) {
	var answer map[string]any
	_, err := n.rpc.CallAlone(ctx, "Bugzilla.time", &answer, []string{key}, map[string]any{keyMember: key})
	if err != nil {
		return nil, loginFailure("Bugzilla.time", err)
	}
	return &bridge.Session{Members: map[string]string{keyMember: key}}, nil
}

// loginByPassword tries name and password once. The answer has a token, which goes
// with the parameters of each call, or sets the two login cookies, in versions
// before there were tokens. Never both: cookies that are over beat a good token.
func (n *native) loginByPassword(ctx context.Context, configured bridge.Secrets) (*bridge.Session, error) {
	const method = "User.login"
	if until := n.guard.until(n.remote.Now()); !until.IsZero() {
		return nil, &bridge.RefusedError{Reason: fmt.Sprintf(
			"It refused the password %d times and would lock the account at the next: the password is not tried before %s UTC.",
			maxRefusals, until.UTC().Format("2006-01-02 15:04:05"))}
	}
	var answer map[string]any
	header, err := n.rpc.CallAlone(ctx, method, &answer, []string{configured.Password},
		map[string]any{"login": configured.User, "password": configured.Password})
	if err != nil {
		err = loginFailure(method, err)
		if refused := new(bridge.RefusedError); errors.As(err, &refused) {
			n.guard.refused(n.remote.Now())
		}
		return nil, err
	}
	n.guard.accepted()
	if token := text(answer, "token"); token != "" {
		if id, secret, ok := strings.Cut(token, "-"); !ok || id == "" || secret == "" {
			// Bugzilla ignores such a token, and calls would be an anonymous reader's.
			return nil, badLogin(method, "a token that is not of the form number-secret")
		}
		return &bridge.Session{Members: map[string]string{tokenMember: token}}, nil
	}
	return cookieSession(method, header)
}

// cookieSession makes a session of the two login cookies. One alone is ignored by
// Bugzilla.
func cookieSession(method string, header http.Header) (*bridge.Session, error) {
	page := bridge.Page{Header: header}
	user, secret := page.Cookie(userCookie), page.Cookie(secretCookie)
	if user == "" || secret == "" {
		return nil, badLogin(method, "neither a token nor the two cookies "+userCookie+" and "+secretCookie)
	}
	return &bridge.Session{Cookies: []*http.Cookie{{Name: userCookie, Value: user}, {Name: secretCookie, Value: secret}}}, nil
}

func badLogin(method, what string) error {
	return apierror.New(apierror.TrackerBadAnswer).WithDetail("It accepted the log-in by " + method + " and gave " + what + ".")
}

// loginFailure tells refusals, of which there must not be too many, from other
// failures of a log-in. What has no code of its own (32000) is a lock-out, most
// often, or an account that cannot be used for another reason.
func loginFailure(method string, err error) error {
	fault := faultOf(err)
	if fault == nil {
		return err
	}
	switch {
	case fault.CodeText != "", fault.Code == xmlrpc.CodeMethodNotFound:
		return apierror.New(apierror.TrackerBadAnswer).WithDetail(describeFault(method, fault))
	case fault.Code >= faultLoginFirst && fault.Code <= faultLoginLast, fault.Code == faultLoginRequired, fault.Code == faultUser:
		return &bridge.RefusedError{Reason: fmt.Sprintf("It answered %s with fault %d: %s", method, fault.Code, sentence(fault.String))}
	}
	return apierror.New(apierror.TrackerBadAnswer).
		WithDetail(fmt.Sprintf("It answered %s with fault %d: %s", method, fault.Code, sentence(fault.String)))
}

// sentence ends a quoted text with one full stop.
func sentence(said string) string { return strings.TrimRight(quoted(said), ".") + "." }
