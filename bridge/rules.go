package bridge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// multicall is the method that holds other calls.
const multicall = "system.multicall"

// MaxProxiedCalls is how many calls one system.multicall to a tracker may hold.
const MaxProxiedCalls = xmlrpc.DefaultMulticallLimit

// callRules decide about calls of a tracker's own methods.
type callRules struct {
	tracker string
	ProxyRules
	refuse, deny []string // folded by sameMethod
}

// rulesOf joins what the dialect says with what the operator says.
func rulesOf(c *Config, r ProxyRules) *callRules {
	if len(c.Allow) > 0 {
		r.Allow = c.Allow
	}
	return &callRules{tracker: c.Name, ProxyRules: r, refuse: sameMethods(r.Refuse), deny: sameMethods(c.Deny)}
}

// allowedCall is a call that may be made.
type allowedCall struct {
	effect Effect
	// members are the names of the members of the first parameter, if that is a
	// struct.
	members map[string]any
	multi   bool
}

// check decides about one call. The document is looked at where more hangs on it
// than a decoded value tells.
func (r *callRules) check(call *xmlrpc.Call, t text) (*allowedCall, error) {
	if call.Method == multicall {
		if err := r.checkRepeated(t); err != nil {
			return nil, err
		}
		return r.checkMulticall(call.Params())
	}
	if r.Check != nil {
		return r.checkOne(call.Method, call.Params())
	}
	var first []any // the others say nothing, and may be long
	if call.NumParams() > 0 {
		first = make([]any, 1)
		if err := call.DecodeParam(0, &first[0]); err != nil {
			return nil, err
		}
	}
	return r.checkOne(call.Method, first)
}

// checkValues is check for a call of which there are values alone.
func (r *callRules) checkValues(method string, params []any) (*allowedCall, error) {
	if method == multicall {
		return r.checkMulticall(params)
	}
	return r.checkOne(method, params)
}

func (r *callRules) checkOne(method string, params []any) (*allowedCall, error) {
	if !isMethodName(method) {
		return nil, invalid("Method %s cannot be called: names are made of letters, digits and _ . : /.", quoted(method))
	}
	same := sameMethod(method)
	if same == multicall { // some trackers take it for that, and its calls would not be looked at
		return nil, r.forbidden("Method %s is not allowed for tracker %s: many calls in one are made by %s, in this spelling.", quoted(method), r.tracker, multicall)
	}
	if err := r.checkMethod(method, same); err != nil {
		return nil, err
	}
	if !matchesAny(r.Allow, method) {
		return nil, r.forbidden("Method %s is not among those that are allowed for tracker %s.", quoted(method), r.tracker)
	}
	if r.Check != nil {
		if err := r.Check(method, params); err != nil {
			return nil, err
		}
	}
	var members map[string]any
	if len(params) > 0 {
		members, _ = params[0].(map[string]any)
	}
	if err := r.checkCredentials(method, members, r.Credentials); err != nil {
		return nil, err
	}
	allowed := &allowedCall{effect: Write, members: members}
	if matchesAny(r.Reads, method) {
		allowed.effect = Read
	}
	return allowed, nil
}

// checkMethod refuses what is refused by name, or by another name of the same
// method. Names are compared folded, so that the lists take for the same whatever a
// tracker may take for the same.
func (r *callRules) checkMethod(method, folded string) error {
	for _, name := range r.namesOf(folded) {
		if matchesAny(r.refuse, name) {
			return r.forbidden("Method %s logs in or out, or hands out credentials: the gateway does that for tracker %s by itself.", quoted(method), r.tracker)
		}
		if matchesAny(r.deny, name) {
			return r.forbidden("Method %s is denied for tracker %s.", quoted(method), r.tracker)
		}
	}
	return nil
}

// namesOf returns all names of a method that are known, folded like the one given.
func (r *callRules) namesOf(folded string) []string {
	names := []string{folded}
	if len(r.Aliases) == 0 {
		return names
	}
	aliases := make(map[string]string, len(r.Aliases))
	for alias, name := range r.Aliases {
		aliases[sameMethod(alias)] = sameMethod(name)
	}
	meant := folded
	if name, ok := aliases[meant]; ok {
		meant = name
		names = append(names, meant)
	}
	for alias, name := range aliases {
		if name == meant && alias != folded {
			names = append(names, alias)
		}
	}
	return names
}

// checkCredentials refuses a struct that has one of the names as a member.
func (r *callRules) checkCredentials(method string, members map[string]any, names []string) error {
	if len(members) == 0 {
		return nil
	}
	for name := range members {
		if trimmed := strings.Trim(name, xmlSpace); slices.Contains(names, trimmed) {
			return r.forbidden("The first parameter of %s has a member %s: leave credentials out, the gateway has its own for tracker %s.",
				quoted(method), quoted(trimmed), r.tracker)
		}
	}
	return nil
}

// checkSession refuses what a session cannot be put into.
func (r *callRules) checkSession(call *allowedCall, s *Session) error {
	if len(s.Members) == 0 {
		return nil
	}
	if call.multi {
		return apierror.New(apierror.NotSupported).WithDetail(fmt.Sprintf(
			"Tracker %s takes its session in the parameters of each call: make the calls of a system.multicall one by one.", r.tracker))
	}
	names := make([]string, 0, len(s.Members))
	for name := range s.Members {
		names = append(names, name)
	}
	return r.checkCredentials("the call", call.members, names)
}

// checkMulticall decides about a system.multicall, which is no more than the calls
// in it: it need not be among the methods that are allowed.
func (r *callRules) checkMulticall(params []any) (*allowedCall, error) {
	if err := r.checkMethod(multicall, multicall); err != nil {
		return nil, err
	}
	var calls []any
	ok := len(params) == 1
	if ok {
		calls, ok = params[0].([]any)
	}
	if !ok {
		return nil, invalid("system.multicall takes one parameter, an array of structs.")
	}
	if len(calls) > MaxProxiedCalls {
		return nil, apierror.New(apierror.RequestTooLarge).
			WithDetail(fmt.Sprintf("A system.multicall to tracker %s may hold %d calls, and this one has %d.", r.tracker, MaxProxiedCalls, len(calls)))
	}
	allowed := &allowedCall{effect: Read, multi: true}
	for i, value := range calls {
		inner, err := r.checkInner(value)
		if err != nil {
			refusal := apierror.From(err)
			return nil, apierror.New(refusal.Name()).WithDetail(fmt.Sprintf("Call %d of the system.multicall, and so none of them: %s", i+1, detailOf(refusal)))
		}
		if inner.effect == Write {
			allowed.effect = Write
		}
	}
	return allowed, nil
}

func (r *callRules) checkInner(value any) (*allowedCall, error) {
	call, _ := value.(map[string]any)
	method, named := call["methodName"].(string)
	params, ok := call["params"].([]any)
	if !named || !ok {
		return nil, invalid("it must be a struct of methodName, a string, and params, an array.")
	}
	if sameMethod(method) == multicall {
		return nil, r.forbidden("system.multicall within itself is not allowed.")
	}
	return r.checkValues(method, params)
}

// checkRepeated refuses inner calls that have their method or their parameters
// twice: which of the two counts is for each reader to say.
func (r *callRules) checkRepeated(t text) error {
	type member struct {
		owner int
		name  string
	}
	seen, twice := map[member]bool{}, false
	_, _, _, err := walkMembers(t.units, func(owner int, name []byte) bool {
		if m := (member{owner, string(name)}); m.name == "methodName" || m.name == "params" {
			twice = twice || seen[m]
			seen[m] = true
		}
		return false
	})
	if err != nil || twice {
		return invalid("A call of the system.multicall has its methodName or its params twice.")
	}
	return nil
}

func (r *callRules) forbidden(format string, args ...any) error {
	return apierror.New(apierror.Forbidden).WithDetail(fmt.Sprintf(format, args...))
}

// detailOf is what an error says beside the words of the catalogue.
func detailOf(e *apierror.Error) string {
	return strings.TrimSpace(strings.TrimPrefix(e.FaultString(), string(e.Name())+": "+e.Message()))
}

// isMethodName tells whether a name has the form that the specification gives to
// names of methods: "identifier characters, upper and lower-case A-Z, the numeric
// characters, 0-9, underscore, dot, colon and slash". The methods of inner calls
// are strings, which could be anything, and servers take white space off, or match
// by the beginning.
func isMethodName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case !isSeparator(rune(c)):
			return false
		}
	}
	return name != ""
}

// isSeparator tells whether a character stands between a method and its class:
// SOAP::Lite takes any of three.
func isSeparator(r rune) bool { return r == '.' || r == ':' || r == '/' }

// sameMethod folds what servers are known to take, or may take, for the same name.
func sameMethod(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), isSeparator), ".")
}

func sameMethods(names []string) []string {
	folded := make([]string, len(names))
	for i, name := range names {
		folded[i] = sameMethod(name)
	}
	return folded
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches tells whether a name fits a pattern, in which * stands for any text.
func matches(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], next
	}
}
