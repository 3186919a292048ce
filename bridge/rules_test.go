package bridge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestOnlyWhatIsAllowedIsCalled(t *testing.T) {
	many := make([]any, MaxProxiedCalls+1)
	for i := range many {
		many[i] = inner("Bug.get")
	}
	type members = map[string]any
	for _, tc := range []struct {
		name        string
		allow, deny []string
		document    string
		refused     string // how the fault begins; "" where the call goes through
		says        string
	}{
		{name: "a method of the dialect's", document: call("Bug.get")},
		{name: "another", document: call("Product.get"), refused: "FORBIDDEN", says: "tracker t"},
		{name: "a method with the same beginning", document: call("Bugs.get"), refused: "FORBIDDEN"},
		{name: "one of the operator's", allow: []string{"Product.*"}, document: call("Product.get")},
		{name: "the operator's list replaces the dialect's", allow: []string{"Product.*"}, document: call("Bug.get"), refused: "FORBIDDEN"},
		{name: "an empty list is the dialect's", allow: []string{}, document: call("Bug.get")},
		{name: "everything denied", deny: []string{"*"}, document: call("Bug.get"), refused: "FORBIDDEN", says: "denied"},
		{name: "deny wins", allow: []string{"*"}, deny: []string{"*.get"}, document: call("Bug.get"), refused: "FORBIDDEN", says: "denied"},
		{name: "what is not denied", allow: []string{"*"}, deny: []string{"*.get"}, document: call("Bug.search")},
		{name: "deny in another spelling", allow: []string{"*"}, deny: []string{"Bug.get"}, document: call("bug/get"), refused: "FORBIDDEN", says: "denied"},
		{name: "a log-in", document: call("User.login"), refused: "FORBIDDEN", says: "logs in"},
		{name: "a log-in that is allowed", allow: []string{"*", "User.login"}, document: call("User.login"), refused: "FORBIDDEN", says: "logs in"},
		{name: "a log-in in another spelling", allow: []string{"*"}, document: call("user:LOGIN"), refused: "FORBIDDEN", says: "logs in"},
		{name: "by a pattern", allow: []string{"*"}, document: call("User.offer_account_by_email"), refused: "FORBIDDEN", says: "logs in"},

		{name: "credentials", document: call("Bug.get", members{"ids": 1, "Bugzilla_login": "x"}), refused: "FORBIDDEN", says: "Bugzilla_login"},
		{name: "credentials with white space", document: call("Bug.get", members{"token ": "x"}), refused: "FORBIDDEN", says: "token"},
		{name: "the names elsewhere", document: call("Bug.get", members{"a": members{"token": "x"}}, members{"token": "x"}, "token")},

		{name: "many calls", document: call("system.multicall", []any{inner("Bug.get", 1), inner("Bug.create")})},
		{name: "no calls", document: call("system.multicall", []any{})},
		{name: "many calls, denied", deny: []string{"system.*"}, document: call("system.multicall", []any{inner("Bug.get")}), refused: "FORBIDDEN", says: "denied"},
		{name: "a forbidden one inside", document: call("system.multicall", []any{inner("Bug.get"), inner("Product.get")}), refused: "FORBIDDEN", says: "Call 2 "},
		{name: "a log-in inside", allow: []string{"*"}, document: call("system.multicall", []any{inner("User.login")}), refused: "FORBIDDEN", says: "Call 1 "},
		{name: "credentials inside", document: call("system.multicall", []any{inner("Bug.get", members{"token": "x"})}), refused: "FORBIDDEN", says: "token"},
		{name: "many calls inside", allow: []string{"*"}, document: call("system.multicall", []any{inner("system.multicall", []any{})}), refused: "FORBIDDEN", says: "within itself"},
		{name: "many calls inside, spelt otherwise", allow: []string{"*"}, document: call("system.multicall", []any{inner("SYSTEM/multicall", []any{})}), refused: "FORBIDDEN"},
		{name: "no method inside", document: call("system.multicall", []any{members{"params": []any{}}}), refused: "INVALID_DATA", says: "Call 1 "},
		{name: "no params inside", document: call("system.multicall", []any{members{"methodName": "Bug.get"}}), refused: "INVALID_DATA"},
		{name: "a method that is no string", document: call("system.multicall", []any{members{"methodName": 1, "params": []any{}}}), refused: "INVALID_DATA"},
		{name: "no struct inside", document: call("system.multicall", []any{1}), refused: "INVALID_DATA"},
		{name: "no array", document: call("system.multicall", "x"), refused: "INVALID_DATA"},
		{name: "two arrays", document: call("system.multicall", []any{}, []any{}), refused: "INVALID_DATA"},
		{name: "too many", document: call("system.multicall", many), refused: "REQUEST_TOO_LARGE", says: "100"},
		{name: "a method twice", document: strings.Replace(call("system.multicall", []any{inner("Bug.get")}),
			"<struct>", "<struct><member><name>method&#x4e;ame</name><value>Product.get</value></member>", 1), refused: "INVALID_DATA", says: "twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBehindProxy(t, Config{Allow: tc.allow, Deny: tc.deny}, xmlrpc.Limits{})
			_, body := b.post(tc.document)
			if tc.refused == "" {
				if body != trueAnswer || len(b.requests()) != 1 {
					t.Errorf("got %s after %d calls", body, len(b.requests()))
				}
				return
			}
			err := fmt.Sprint(xmlrpc.ParseResponse([]byte(body), nil))
			if !strings.Contains(err, tc.refused+": ") || !strings.Contains(err, tc.says) {
				t.Errorf("got %v, want %s and %q", err, tc.refused, tc.says)
			}
			if n := len(b.requests()); n != 0 || b.logins != 0 {
				t.Errorf("the tracker got %d calls and %d log-ins", n, b.logins)
			}
		})
	}
}

func TestASessionInTheParametersIsSplicedInAndNotTakenFromTheCaller(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.session = func(int) *Session { return &Session{Members: map[string]string{"Secret_key": "0123456789-key"}} }
	b.answer = func(w http.ResponseWriter, _ *http.Request, c seen) {
		parsed, err := xmlrpc.ParseCall([]byte(c.body))
		if err != nil {
			t.Error(err)
		}
		writeXML(w, response("<string>"+fmt.Sprint(parsed.Params())+"</string>"))
	}
	for document, want := range map[string]string{
		call("Bug.get"): "[map[Secret_key:xxxxxxxxxxxxxx]]",
		call("Bug.get", map[string]any{"ids": 1}, 2):                              "[map[Secret_key:xxxxxxxxxxxxxx ids:1] 2]",
		call("Bug.get", 1):                                                        "INVALID_DATA",
		call("Bug.get", map[string]any{"Secret_key": "mine"}):                     "FORBIDDEN",
		call("system.multicall", []any{inner("Bug.get")}):                         "NOT_SUPPORTED",
		"\xff\xfe" + utf16le(undeclared(call("Bug.get", map[string]any{"a": 1}))): "[map[Secret_key:xxxxxxxxxxxxxx a:1]]",
	} {
		if _, body := b.post(document); !strings.Contains(body, want) {
			t.Errorf("%q: got %s, want %s", document, body, want)
		}
	}
	got, err := b.bridge.Call(t.Context(), "t", "Bug.get", []any{map[string]any{"a": 1}})
	if err != nil || got != "[map[Secret_key:xxxxxxxxxxxxxx a:1]]" {
		t.Errorf("Call: %v, %v", got, err)
	}
}

func TestAMulticallIsAReadOnlyWhenAllOfItIs(t *testing.T) {
	rules := &callRules{ProxyRules: ProxyRules{Allow: []string{"*"}, Reads: []string{"Bug.get"}}}
	for _, tc := range []struct {
		calls []any
		want  Effect
	}{
		{[]any{}, Read}, {[]any{inner("Bug.get"), inner("Bug.get")}, Read}, {[]any{inner("Bug.get"), inner("Bug.update")}, Write},
		{[]any{inner("Bug.update"), inner("Bug.get")}, Write},
	} {
		if got, err := rules.checkValues(multicall, []any{tc.calls}); err != nil || got.effect != tc.want {
			t.Errorf("%v: %+v, %v, want %v", tc.calls, got, err, tc.want)
		}
	}
}

func TestPatternsOfMethodNames(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"Bug.get", "Bug.get", true}, {"Bug.get", "Bug.gets", false}, {"Bug.*", "Bug.get", true}, {"Bug.*", "Bug.", true}, {"Bug.*", "Bug", false},
		{"*", "", true}, {"*.get", "a.b.get", true}, {"*.get", "get", false}, {"a*b*c", "abc", true}, {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXcYb", false},
		{"a*bc", "abcbc", true}, {"a*a", "a", false}, {"", "", true}, {"", "a", false}, {"**", "x", true}, {"a**b", "ab", true},
	} {
		if got := matches(tc.pattern, tc.name); got != tc.want {
			t.Errorf("%q, %q: %v", tc.pattern, tc.name, got)
		}
	}
}

func TestADialectMayLookAtTheParametersOfACall(t *testing.T) {
	var seen []string
	rules := &callRules{ProxyRules: ProxyRules{Allow: []string{"*"}, Check: func(method string, params []any) error {
		seen = append(seen, method)
		if len(params) == 2 && params[1] == "password=x" {
			return apierror.New(apierror.Forbidden).WithDetail("No.")
		}
		return nil
	}}}
	if _, err := rules.checkValues("set", []any{"issue7", "title=x"}); err != nil {
		t.Errorf("an ordinary call: %v", err)
	}
	if _, err := rules.checkValues("set", []any{"user7", "password=x"}); !apierror.Is(err, apierror.Forbidden) {
		t.Errorf("a refused one: %v", err)
	}
	inner := []any{map[string]any{"methodName": "set", "params": []any{"user7", "password=x"}}}
	if _, err := rules.checkValues(multicall, []any{inner}); !apierror.Is(err, apierror.Forbidden) {
		t.Errorf("a refused one in a multicall: %v", err)
	}
	call, err := xmlrpc.ParseCall([]byte("<methodCall><methodName>set</methodName><params><param><value>user7</value></param>" +
		"<param><value>password=x</value></param></params></methodCall>"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rules.check(call, text{}); !apierror.Is(err, apierror.Forbidden) {
		t.Errorf("a refused one as it came: %v", err)
	}
	if len(seen) != 4 {
		t.Errorf("asked about %q", seen)
	}
}
