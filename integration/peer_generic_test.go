package integration

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/generic"
)

// startGenericPeer starts peers/generic_server.py, whose options are described there.
func startGenericPeer(t testing.TB, args ...string) *tracPeer {
	t.Helper()
	return startPeer(t, "generic_server.py", args...)
}

func TestGenericBridgeCallsAnyServerWithTheOperatorsCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		secrets bridge.Secrets
	}{
		"nobody is asked":      {nil, bridge.Secrets{}},
		"user and password":    {[]string{"--user", "gateway", "--password", "s:ecret"}, bridge.Secrets{User: "gateway", Password: "s:ecret"}},
		"a bearer token":       {[]string{"--token", "secret-token"}, bridge.Secrets{Token: "secret-token"}},
		"the root of a host":   {[]string{"--path", ""}, bridge.Secrets{}},
		"a path of some depth": {[]string{"--path", "/a/b/rpc.cgi"}, bridge.Secrets{}},
	} {
		t.Run(name, func(t *testing.T) {
			peer := startGenericPeer(t, tc.args...)
			b := roundupBridge(t, peer, generic.Name, tc.secrets)
			want := []any{1, "ä", true, 1.5, []any{"x"}, map[string]any{"a": "b"}}
			got, err := b.Call(t.Context(), "peer", "sample.echo", want)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v, %v", got, err)
			}
			if _, err := b.Call(t.Context(), "peer", "sample.fail", []any{77, "on purpose"}); !apierror.Is(err, apierror.TrackerFault) || !strings.Contains(err.Error(), "77") {
				t.Errorf("a fault: %v", err)
			}
			if _, err := b.Call(t.Context(), "peer", "sample.login", []any{"a", "b"}); !apierror.Is(err, apierror.Forbidden) {
				t.Errorf("a log-in: %v, want FORBIDDEN", err)
			}
			if p, err := b.Probe(t.Context(), "peer"); err != nil || p.Dialect != generic.Name {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

func TestGenericBridgeSurvivesARefusalAndBacksOffFromAChangedPassword(t *testing.T) {
	peer := startGenericPeer(t, "--token", "secret-token")
	b := roundupBridge(t, peer, generic.Name, bridge.Secrets{Token: "secret-token"})
	call := func() error {
		_, err := b.Call(t.Context(), "peer", "sample.add", []any{1, 2})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	peer.Expire("expired")
	if err := call(); err != nil {
		t.Errorf("after one refusal: %v", err)
	}
	peer.Expire("purged")
	if err := call(); !apierror.Is(err, apierror.TrackerLoginFailed) || b.List()[0].Session != bridge.SessionBackoff {
		t.Errorf("%v, session %s", err, b.List()[0].Session)
	}
}

func TestGenericBridgeTellsHowFarTheClockIsOff(t *testing.T) {
	peer := startGenericPeer(t, "--clock-offset", "-7200")
	p, err := roundupBridge(t, peer, generic.Name, bridge.Secrets{}).Probe(t.Context(), "peer")
	if err != nil || !p.ClockKnown || p.ClockSkew.Round(time.Minute) != -2*time.Hour {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestGenericBridgeNeverMakesACallTwice(t *testing.T) {
	peer := startGenericPeer(t)
	for _, tc := range []struct {
		kind string
		with map[string]any
		want apierror.Name
	}{
		{"stall", map[string]any{"after": 20}, apierror.OutcomeUnknown},
		{"wrong_length", map[string]any{"delta": 9}, apierror.OutcomeUnknown},
		{"half", nil, apierror.OutcomeUnknown},
		{"html200", nil, apierror.OutcomeUnknown},
		{"html500", nil, apierror.OutcomeUnknown},
		{"endless", map[string]any{"limit": 64 << 20}, apierror.OutcomeUnknown},
		{"gzip_bomb", map[string]any{"size": 64 << 20}, apierror.OutcomeUnknown},
		{"redirect", map[string]any{"to": "http://192.0.2.1/"}, apierror.TrackerBadAnswer},
		{"reset_after", nil, apierror.OutcomeUnknown},
		{"garbage", nil, apierror.OutcomeUnknown},
		{"refuse", nil, apierror.TrackerLoginFailed},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			limit := 10 * time.Second
			if tc.kind == "stall" {
				limit = 2 * time.Second
			}
			b := roundupBridge(t, peer, generic.Name, bridge.Secrets{}, bridge.WithTimeLimit(limit), bridge.WithMaxAnswer(1<<20))
			before := peer.Stats().Calls["sample.keep"]
			peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: tc.kind, With: tc.with})
			_, err := b.Call(t.Context(), "peer", "sample.keep", []any{tc.kind})
			checkName(t, "a call", err, tc.want)
			peer.Reset()
			if n := peer.Stats().Calls["sample.keep"] - before; n > 1 {
				t.Errorf("the call was made %d times", n)
			}
		})
	}
}
