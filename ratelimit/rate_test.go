package ratelimit_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/ratelimit"
)

func mustRate(tb testing.TB, text string) ratelimit.Rate {
	tb.Helper()
	r, err := ratelimit.ParseRate(text)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestARateIsReadAndWrittenBack(t *testing.T) {
	for _, text := range []string{"60/m", "5/s", "1000/h", "1/h", "1000000/s", "off"} {
		var r ratelimit.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		back, err := r.MarshalText()
		if err != nil || string(back) != text || r.String() != text {
			t.Errorf("%s comes back as %q, %v", text, back, err)
		}
		if r.IsZero() || r.IsOff() != (text == "off") {
			t.Errorf("%s: zero %v, off %v", text, r.IsZero(), r.IsOff())
		}
	}
}

func TestAWrongRateSaysWhatToWrite(t *testing.T) {
	const form = `like "60/m"`
	for text, want := range map[string]string{
		"":                               form,
		"60":                             form,
		"/m":                             form,
		"60/":                            form,
		"60/d":                           form,
		"60/min":                         form,
		"60 /m":                          form,
		" 60/m":                          form,
		"60/m ":                          form,
		"+60/m":                          form,
		"-1/m":                           form,
		"1.5/s":                          form,
		"6_0/m":                          form,
		"٣/m":                            form,
		"60/m/s":                         form,
		"10/3m":                          form,
		"OFF":                            form,
		"0/m":                            `write "off"`,
		"1000001/s":                      "at most 1000000",
		"99999999999999999999/s":         "at most 1000000",
		strings.Repeat("9", 1000) + "/s": `9..."`,
	} {
		r := ratelimit.Off
		err := r.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one that says %s", text, err, want)
			continue
		}
		if r != ratelimit.Off {
			t.Errorf("%.20q: the rate changed to %v", text, r)
		}
		if len(err.Error()) > 200 {
			t.Errorf("%.20q: the error has %d bytes", text, len(err.Error()))
		}
	}
}

func TestARateInJSONIsItsText(t *testing.T) {
	var doc struct{ Rate ratelimit.Rate }
	if err := json.Unmarshal([]byte(`{"Rate":"5/s"}`), &doc); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(doc)
	if err != nil || string(out) != `{"Rate":"5/s"}` {
		t.Errorf("got %s, %v", out, err)
	}
	if _, err := json.Marshal(struct{ Rate ratelimit.Rate }{}); err == nil {
		t.Error("a rate that was never given has a text")
	}
}

func TestAPolicyThatCannotHoldIsRefused(t *testing.T) {
	rate := mustRate(t, "60/m")
	for name, tc := range map[string]struct {
		policy ratelimit.Policy
		want   string
	}{
		"no name":             {ratelimit.Policy{Rate: rate, Burst: 1}, "policy name"},
		"a name with a colon": {ratelimit.Policy{Name: "a:b", Rate: rate, Burst: 1}, "policy name"},
		"a capital":           {ratelimit.Policy{Name: "Mint", Rate: rate, Burst: 1}, "policy name"},
		"a digit first":       {ratelimit.Policy{Name: "1", Rate: rate, Burst: 1}, "policy name"},
		"a long name":         {ratelimit.Policy{Name: strings.Repeat("a", 65), Rate: rate, Burst: 1}, "policy name"},
		"no rate":             {ratelimit.Policy{Name: "mint", Burst: 1}, "no rate"},
		"no burst":            {ratelimit.Policy{Name: "mint", Rate: rate}, "its burst is 0"},
		"a burst below zero":  {ratelimit.Policy{Name: "mint", Rate: rate, Burst: -1}, "its burst is -1"},
		"a burst too large":   {ratelimit.Policy{Name: "mint", Rate: rate, Burst: ratelimit.MaxBurst + 1}, "1000000"},
		"a cost below zero":   {ratelimit.Policy{Name: "mint", Rate: rate, Burst: 1, Cost: -1}, "its cost is -1"},
		"a cost over burst":   {ratelimit.Policy{Name: "mint", Rate: rate, Burst: 2, Cost: 3}, "no request would ever pass"},
	} {
		if err := tc.policy.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, tc.want)
		}
	}
	for _, p := range []ratelimit.Policy{
		{Name: "handshake_failures", Rate: rate, Burst: 1},
		{Name: "a-1", Rate: rate, Burst: ratelimit.MaxBurst, Cost: ratelimit.MaxBurst},
		{Name: "off", Rate: ratelimit.Off},
	} {
		if err := p.Validate(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
	over := ratelimit.Policy{Name: "mint", Rate: rate, Burst: 2, Cost: 3}
	if !errors.Is(over.Validate(), ratelimit.ErrOverBurst) {
		t.Error("a cost over the burst is not told apart")
	}
}

func TestAPolicyIsDividedAndNeverBelowOneRequest(t *testing.T) {
	for _, tc := range []struct {
		rate        string
		burst, cost int
		replicas    int
		wantRate    string
		wantBurst   int
	}{
		{"60/m", 60, 0, 0, "60/m", 60},
		{"60/m", 60, 0, 1, "60/m", 60},
		{"60/m", 60, 0, 3, "20/m", 20},
		{"10/m", 10, 0, 3, "10/3m", 3},
		{"1/h", 1, 0, 20, "1/20h", 1},
		{"10/m", 10, 4, 5, "2/m", 4},
		{"1/h", 1_000_000, 0, ratelimit.MaxReplicas, "1/10000h", 100},
		{"off", 0, 0, 3, "off", 0},
	} {
		p := ratelimit.Policy{Name: "p", Rate: mustRate(t, tc.rate), Burst: tc.burst, Cost: tc.cost}
		d := p.Divided(tc.replicas)
		if d.Rate.String() != tc.wantRate || d.Burst != tc.wantBurst {
			t.Errorf("%s burst %d cost %d over %d: %s burst %d, want %s burst %d",
				tc.rate, tc.burst, tc.cost, tc.replicas, d.Rate, d.Burst, tc.wantRate, tc.wantBurst)
		}
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestAKeyNamesPolicyAndCaller(t *testing.T) {
	p := ratelimit.Policy{Name: "mint"}
	if got, want := p.Key("2001:db8::/64"), "trackgate:mint:2001:db8::/64"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
}

func FuzzParseRate(f *testing.F) {
	for _, seed := range []string{"60/m", "5/s", "1000/h", "off", "0/m", "1000001/s", "/", "1/mm", "-1/s", "\x00/s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ratelimit.ParseRate(text)
		if err != nil {
			if !r.IsZero() {
				t.Errorf("%q: a rate beside the error %v", text, err)
			}
			return
		}
		again, err := ratelimit.ParseRate(r.String())
		if err != nil || again != r {
			t.Errorf("%q: %v does not come back: %v, %v", text, r, again, err)
		}
		p := ratelimit.Policy{Name: "p", Rate: r, Burst: 1}
		if err := p.Validate(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
