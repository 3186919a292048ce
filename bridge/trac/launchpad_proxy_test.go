package trac_test

import (
	"testing"

	"github.com/trackgate/trackgate/apierror"
)

func TestThePluginsOwnMethodsCanBeCalled(t *testing.T) {
	r := newReplayer(t).answer("", "25-bug_info-missing")
	b := open(t, r.url())
	if value, err := b.Call(t.Context(), "lp", "launchpad.bug_info", []any{0, map[string]any{"bugs": []any{1}}}); err != nil || value == nil {
		t.Errorf("a method of the plugin: %v, %v", value, err)
	}
	for _, method := range []string{"ticket.delete", "ticket.milestone.create", "system.multicall2"} {
		if _, err := b.Call(t.Context(), "lp", method, nil); !apierror.Is(err, apierror.Forbidden) {
			t.Errorf("%s: %v", method, err)
		}
	}
}
