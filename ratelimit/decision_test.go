package ratelimit_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

func TestHeadersTellOfThePolicyAndOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 0)
		mint := policy(t, "mint", "600/m", 200)
		slow := policy(t, "slow_1", "7/h", 2)
		fast := policy(t, "fast", "5/s", 1)
		for _, tc := range []struct {
			name              string
			decision          ratelimit.Decision
			policy, limit, in string
		}{
			{"a look at a full bucket", take(t, l, mint, "a", 0), `"mint";q=200;w=20`, `"mint";r=200;t=0`, ""},
			{"50 taken", take(t, l, mint, "a", 50), `"mint";q=200;w=20`, `"mint";r=150;t=1`, ""},
			{"all taken", take(t, l, mint, "a", 150), `"mint";q=200;w=20`, `"mint";r=0;t=1`, ""},
			{"one refused", take(t, l, mint, "a", 1), `"mint";q=200;w=20`, `"mint";r=0;t=1`, "1"},
			{"fifteen refused", take(t, l, mint, "a", 15), `"mint";q=200;w=20`, `"mint";r=0;t=2`, "2"},
			{"a slow one", take(t, l, slow, "a", 2), `"slow_1";q=2;w=1029`, `"slow_1";r=0;t=515`, ""},
			{"a slow one refused", take(t, l, slow, "a", 2), `"slow_1";q=2;w=1029`, `"slow_1";r=0;t=1029`, "1029"},
			{"less than a second", take(t, l, fast, "a", 1), `"fast";q=1;w=1`, `"fast";r=0;t=1`, ""},
		} {
			h := http.Header{}
			ratelimit.SetHeaders(h, tc.decision)
			if got := h.Get("RateLimit-Policy"); got != tc.policy {
				t.Errorf("%s: RateLimit-Policy: %s, want %s", tc.name, got, tc.policy)
			}
			if got := h.Get("RateLimit"); got != tc.limit {
				t.Errorf("%s: RateLimit: %s, want %s", tc.name, got, tc.limit)
			}
			if got := h.Get("Retry-After"); got != tc.in {
				t.Errorf("%s: Retry-After: %q, want %q", tc.name, got, tc.in)
			}
		}
	})
}

func TestHeadersOfSeveralPoliciesAreOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 0)
		a, b := policy(t, "a", "1/s", 1), policy(t, "b", "1/m", 1)
		take(t, l, a, "x", 1)
		take(t, l, b, "x", 1)
		off := take(t, l, ratelimit.Policy{Name: "off", Rate: ratelimit.Off}, "x", 1)
		h := http.Header{}
		ratelimit.SetHeaders(h, off)
		if len(h) != 0 {
			t.Errorf("a policy that is off sets %v", h)
		}
		ratelimit.SetHeaders(h, take(t, l, a, "y", 1))
		ratelimit.SetHeaders(h, take(t, l, b, "x", 1), off, take(t, l, a, "x", 1))
		for name, want := range map[string]string{
			"Ratelimit":        `"b";r=0;t=60, "a";r=0;t=1`,
			"Ratelimit-Policy": `"b";q=1;w=60, "a";q=1;w=1`,
			"Retry-After":      "60",
		} {
			if got := h[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
}

func TestARefusalIsTheCataloguesError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 0)
		p := policy(t, "mint", "7/m", 1)
		if err := take(t, l, p, "a", 1).Err(); err != nil {
			t.Errorf("allowed, and the error %v", err)
		}
		time.Sleep(time.Millisecond)
		err := take(t, l, p, "a", 1).Err()
		e := apierror.From(err)
		if e.Name() != apierror.TooManyRequests || e.FaultCode() != 429 || e.RetryAfter() != 8571*time.Millisecond {
			t.Fatalf("%v, retry after %v", err, e.RetryAfter())
		}
		const fault = `TOO_MANY_REQUESTS: Too many requests. Please try again later. The policy "mint" allows 7/m with bursts of 1: try again in 9 s.`
		if got := e.FaultString(); got != fault {
			t.Errorf("fault %q", got)
		}
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Extra struct {
				Policy     string `json:"policy"`
				RetryAfter int    `json:"retry_after"`
			} `json:"extra"`
		}
		if err := json.Unmarshal(body, &doc); err != nil || doc.Extra.Policy != "mint" || doc.Extra.RetryAfter != 9 {
			t.Errorf("%s: %v", body, err)
		}
	})
}

func TestTheLongestTimesDoNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, "p", "1/h", ratelimit.MaxBurst).Divided(3)
		p.Burst = ratelimit.MaxBurst
		l := newLocal(t, 0)
		take(t, l, p, "a", p.Burst)
		d := take(t, l, p, "a", p.Burst)
		if d.Allowed || d.RetryAfter <= 0 || d.ResetAfter <= 0 {
			t.Errorf("%+v", d)
		}
		h := http.Header{}
		ratelimit.SetHeaders(h, d)
		if got, want := h.Get("RateLimit"), `"p";r=0;t=9223372036`; got != want {
			t.Errorf("RateLimit: %s, want %s", got, want)
		}
		if d.Err() == nil {
			t.Error("no error")
		}
	})
}
