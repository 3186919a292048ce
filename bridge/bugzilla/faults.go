package bugzilla

import (
	"errors"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Fault codes of Bugzilla's web service, as listed in Bugzilla/WebService/Constants.pm
// and seen in the captures.
const (
	faultParamFirst       = 50 // a parameter is missing or no legal value
	faultParamLast        = 59
	faultBadBugID         = 100 // neither a number nor an alias
	faultNoBug            = 101
	faultBugDenied        = 102
	faultBugFieldFirst    = 103 // a member of a bug is missing, unknown or taken
	faultBugFieldLast     = 108
	faultCommentPrivate   = 110
	faultNoComment        = 111
	faultBadSeeAlso       = 112
	faultNoInsider        = 113
	faultCommentTooLong   = 114
	faultChangeDenied     = 115
	faultWorkflowFirst    = 116 // loops, duplicates, groups, resolutions, milestones, flags
	faultWorkflowLast     = 129
	faultLoginFirst       = 300 // name or password is wrong, the account is closed
	faultLoginLast        = 399
	faultAPIKey           = 306
	faultLoginRequired    = 410
	faultUser             = 32000 // any user error without a code of its own
	faultCodeBeforeMethod = "Client"
)

// longestText is how much of a fault's text is quoted.
const longestText = 160

// faultOf finds the fault in an error, nil when there is none.
func faultOf(err error) *xmlrpc.Fault {
	var fault *xmlrpc.Fault
	if errors.As(err, &fault) {
		return fault
	}
	return nil
}

// Expired is true where the tracker refused the session before it looked at the
// call: no session was shown where one is needed (410), cookies or token are not
// valid any more (32000 whose text names them; a lock-out has the same code), or
// the API key was revoked (306).
func (s *site) Expired(err error) bool {
	fault := faultOf(err)
	if fault == nil || fault.CodeText != "" || s.anonymous.Load() {
		return false
	}
	switch fault.Code {
	case faultLoginRequired, faultAPIKey:
		return true
	case faultUser:
		said := strings.ToLower(fault.String)
		return !lockedOut(said) && (strings.Contains(said, "cookie") || strings.Contains(said, "token"))
	}
	return false
}

// lockedOut recognises the lock-out that five refused log-ins cause.
func lockedOut(said string) bool {
	return strings.Contains(said, "locked out") || strings.Contains(said, "login attempts")
}

// ExplainFault knows the faults that are about what the caller asked for.
func (s *site) ExplainFault(fault *xmlrpc.Fault) error {
	if fault.CodeText != "" {
		return nil
	}
	name := apierror.InvalidData
	switch code := fault.Code; {
	case code == faultBadBugID, code == faultNoBug:
		return bridge.NoSuchBug()
	case code == faultNoComment:
		name = apierror.ResourceNotFound
	case code == faultBugDenied, code == faultCommentPrivate, code == faultNoInsider, code == faultChangeDenied:
		name = apierror.Forbidden
	case code == faultLoginRequired && s.anonymous.Load():
		return apierror.New(apierror.TrackerLoginFailed).
			WithDetail("It demands a log-in, and no user and password and no API key are configured for it.")
	case code == xmlrpc.CodeMethodNotFound:
		name = apierror.NotSupported
	case code >= faultParamFirst && code <= faultParamLast,
		code >= faultBugFieldFirst && code <= faultBugFieldLast,
		code == faultBadSeeAlso, code == faultCommentTooLong,
		code >= faultWorkflowFirst && code <= faultWorkflowLast:
	default:
		return nil
	}
	return apierror.New(name).WithDetail("The tracker says: " + quoted(fault.String))
}

// quoted makes one short line of a fault's text.
func quoted(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if runes := []rune(said); len(runes) > longestText {
		said = string(runes[:longestText]) + "..."
	}
	return said
}

// gone tells whether a question failed because something that it named does not
// exist or is out of sight.
func gone(err error) bool {
	return apierror.Is(err, apierror.ResourceNotFound) || apierror.Is(err, apierror.Forbidden)
}

func invalid(text string) error { return apierror.New(apierror.InvalidData).WithDetail(text) }
