package bridge_test

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

func TestConfigurationsThatCannotWorkAreRefusedAtOnce(t *testing.T) {
	good := tracker("t", "http://tracker.test")
	for name, tc := range map[string]struct {
		trackers []bridge.Config
		opts     []bridge.Option
		says     string
	}{
		"unknown dialect": {[]bridge.Config{{Name: "t", URL: "http://h", Dialect: "track"}}, nil, `tracker t: unknown dialect "track": known are auto, trac-launchpad`},
		"two of a name":   {[]bridge.Config{good, good}, nil, `"t"`},
		"no name":         {[]bridge.Config{{URL: "http://h", Dialect: "trac-launchpad"}}, nil, "1 to 64"},
		"dots":            {[]bridge.Config{tracker("..", "http://h")}, nil, "not dots alone"},
		"an accent":       {[]bridge.Config{tracker("gnôme", "http://h")}, nil, "ASCII letters"},
		"a slash":         {[]bridge.Config{tracker("a/b", "http://h")}, nil, "ASCII letters"},
		"a long name":     {[]bridge.Config{tracker(strings.Repeat("n", 65), "http://h")}, nil, "1 to 64"},
		"a password":      {[]bridge.Config{tracker("t", "http://u:pw@h")}, nil, "no password"},
		"no URL":          {[]bridge.Config{tracker("t", "")}, nil, "http://"},
		"no time":         {nil, []bridge.Option{bridge.WithTimeLimit(0)}, "above zero"},
	} {
		_, err := bridge.New(tc.trackers, dialects, nil, nil, tc.opts...)
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.says)
		}
	}
	b, err := bridge.New([]bridge.Config{good}, dialects, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.AddComment(t.Context(), "t", bridge.NewComment{Bug: "1", Text: "x", Key: "k"}); !apierror.Is(err, apierror.ServerError) {
		t.Errorf("a key without a state store: %v", err)
	}
}

// counter counts what an Observer is told.
type counter struct {
	mu            sync.Mutex
	calls, logins map[bridge.Outcome]int
}

func (c *counter) TrackerCall(_ string, o bridge.Outcome, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[o]++
}

func (c *counter) TrackerLogin(_ string, o bridge.Outcome, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logins[o]++
}

func TestTheObserverIsToldOfEveryCallAndLogIn(t *testing.T) {
	c := &counter{calls: map[bridge.Outcome]int{}, logins: map[bridge.Outcome]int{}}
	p, call := service(t, bridge.WithObserver(c))
	_, _ = call("getLink", "t", 1) // ok
	p.Expire()
	_, _ = call("getLink", "t", 1) // expired, then ok
	_, _ = call("getLink", "t", 9) // a fault
	p.Expire()
	p.Validate(func(string) bool { return false })
	_, _ = call("getLink", "t", 1) // expired, then refused
	if want := map[bridge.Outcome]int{bridge.OutcomeOK: 2, bridge.OutcomeExpired: 2, bridge.OutcomeFault: 1}; !reflect.DeepEqual(c.calls, want) {
		t.Errorf("calls %v, want %v", c.calls, want)
	}
	if want := map[bridge.Outcome]int{bridge.OutcomeOK: 2, bridge.OutcomeLoginFailed: 1}; !reflect.DeepEqual(c.logins, want) {
		t.Errorf("log-ins %v, want %v", c.logins, want)
	}
}
