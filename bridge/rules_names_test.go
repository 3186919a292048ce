package bridge

import (
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestAMulticallInAnotherSpellingCarriesNoRefusedCallsThrough(t *testing.T) {
	for _, name := range []string{"System.multicall", "system/multicall", "SYSTEM:multicall", "system.multiCall", "system..multicall", ".system.multicall"} {
		b := newBehindProxy(t, Config{Allow: []string{"*"}, Deny: []string{"Bug.delete"}}, xmlrpc.Limits{})
		calls := []any{inner("User.login", "u", "p"), inner("Bug.delete"), inner("Bug.get", map[string]any{"token": "x"})}
		if fault := b.fault(call(name, calls)); fault.Code != 403 || !strings.Contains(fault.String, "system.multicall") {
			t.Errorf("%s: %v", name, fault)
		}
		if _, err := b.bridge.Call(t.Context(), "t", name, []any{calls}); !apierror.Is(err, apierror.Forbidden) {
			t.Errorf("%s, Call: %v", name, err)
		}
		if n := len(b.requests()); n != 0 {
			t.Errorf("%s: %d calls reached the tracker", name, n)
		}
	}
}

func TestAMethodInsideAMulticallIsNothingButAName(t *testing.T) {
	for _, name := range []string{
		" User.login", "User.login\n", "Bug.delete ", "Bug.de\u2060lete", "Bug.delete\x00", "\u212aill", "Bug::delete;", "", "Bug-delete", "Bug.de*",
	} {
		b := newBehindProxy(t, Config{Allow: []string{"*"}, Deny: []string{"Bug.delete"}}, xmlrpc.Limits{})
		rules := &callRules{ProxyRules: ProxyRules{Allow: []string{"*"}}}
		if _, err := rules.checkValues(multicall, []any{[]any{inner(name)}}); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := rules.checkValues(name, nil); !apierror.Is(err, apierror.InvalidData) {
			t.Errorf("%q by itself: %v", name, err)
		}
		b.post(strings.ReplaceAll(call("system.multicall", []any{inner("NAME")}), "NAME", name))
		if n := len(b.requests()); n != 0 {
			t.Errorf("%q reached the tracker", name)
		}
	}
}

func TestNoSpellingGoesRoundAListThatRefuses(t *testing.T) {
	config := Config{Allow: []string{"*"}, Deny: []string{"Bug.delete", "Product/*"}}
	rules := rulesOf(&config, ProxyRules{Refuse: []string{"User.login"}})
	for method, refused := range map[string]bool{
		"Bug.delete": true, "bug.DELETE": true, "Bug:delete": true, "Bug::delete": true, "/Bug.delete": true, "Bug.delete.": true,
		"Product.get": true, "product:get": true, "USER.Login": true, "User//login": true,
		"Bug.deleted": false, "Products.get": false, "User.logins": false,
	} {
		if _, err := rules.checkValues(method, nil); apierror.Is(err, apierror.Forbidden) != refused {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestAMethodThatIsDeniedIsDeniedUnderAllItsNames(t *testing.T) {
	aliases := map[string]string{"Bug.get_bugs": "Bug.get", "Bug.find": "Bug.get", "Bug.get_history": "Bug.history"}
	for denied, refuses := range map[string][]string{
		"Bug.get":      {"Bug.get", "Bug.get_bugs", "bug/GET_BUGS", "Bug.find"},
		"Bug.get_bugs": {"Bug.get", "Bug.get_bugs", "Bug.find"},
		"bug:history":  {"Bug.history", "Bug.get_history"},
		"Bug.get_*":    {"Bug.get", "Bug.get_bugs", "Bug.find", "Bug.history", "Bug.get_history"},
	} {
		rules := rulesOf(&Config{Allow: []string{"*"}, Deny: []string{denied}}, ProxyRules{Aliases: aliases})
		for _, method := range []string{"Bug.get", "Bug.get_bugs", "bug/GET_BUGS", "Bug.find", "Bug.history", "Bug.get_history", "Bug.update"} {
			want := false
			for _, name := range refuses {
				want = want || sameMethod(name) == sameMethod(method)
			}
			if _, err := rules.checkValues(method, nil); apierror.Is(err, apierror.Forbidden) != want {
				t.Errorf("%s denied, %s called: %v", denied, method, err)
			}
		}
	}
	rules := rulesOf(&Config{Allow: []string{"Bug.get"}}, ProxyRules{Aliases: aliases})
	if _, err := rules.checkValues("Bug.get_bugs", nil); !apierror.Is(err, apierror.Forbidden) {
		t.Errorf("what is allowed under one name is allowed under another: %v", err)
	}
}

func TestWhatIsCheckedOfACallIsWhatIsSent(t *testing.T) {
	type ids struct {
		IDs   int    `xmlrpc:"ids"`
		Token string `xmlrpc:"token"`
	}
	type request struct {
		Method string `xmlrpc:"methodName"`
		Params []int  `xmlrpc:"params"`
	}
	b := newBehindProxy(t, Config{Allow: []string{"*"}}, xmlrpc.Limits{})
	for name, tc := range map[string]struct {
		method string
		params []any
	}{
		"credentials in a map of strings":   {"Bug.get", []any{map[string]string{"token": "x"}}},
		"in a struct":                       {"Bug.get", []any{ids{Token: "x"}}},
		"behind a pointer":                  {"Bug.get", []any{&ids{Token: "x"}}},
		"in a map within an array of these": {multicall, []any{[]map[string]any{inner("Bug.get", map[string]string{"token": "x"})}}},
		"a refused call in a struct":        {multicall, []any{[]request{{Method: "User.login"}}}},
	} {
		if _, err := b.bridge.Call(t.Context(), "t", tc.method, tc.params); !apierror.Is(err, apierror.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(b.requests()); n != 0 {
		t.Errorf("%d calls reached the tracker", n)
	}
	if _, err := b.bridge.Call(t.Context(), "t", multicall, []any{[]request{{Method: "Bug.get", Params: []int{1}}}}); err != nil {
		t.Errorf("an array of structs: %v", err)
	}
	long := strings.Repeat("x", 3*xmlrpc.DefaultBytes)
	if _, err := b.bridge.Call(t.Context(), "t", "Bug.get", []any{map[string]any{"text": long}}); err != nil {
		t.Errorf("a parameter of %d bytes: %v", len(long), err)
	}
}
