package bridge

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestTheBudgetHoldsForMethodsThatAreNotKnownToRead(t *testing.T) {
	const limit = 64 << 10
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithMaxAnswer(limit))
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		writeXML(w, response(strings.Repeat("x", limit*3/4)))
	}
	for method, says := range map[string]string{"Bug.get": "ask for fewer", "Bug.export": "was executed"} {
		ctx, cancel := b.bridge.bounded(t.Context())
		defer cancel()
		if _, err := b.bridge.Call(ctx, "t", method, nil); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		_, err := b.bridge.Call(ctx, "t", method, nil)
		if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(apierror.From(err).FaultString(), says) {
			t.Errorf("%s, the second: %v", method, err)
		}
	}
}

func TestWhatAnAnswerCostsIsItsLengthAndNotWhatItHolds(t *testing.T) {
	const limit = 64 << 10
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithMaxAnswer(limit))
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		writeXML(w, response("<int>1</int>"+strings.Repeat("<!-- nothing -->", limit*3/4/16)))
	}
	ctx, cancel := b.bridge.bounded(t.Context())
	defer cancel()
	if _, err := b.bridge.Call(ctx, "t", "Bug.get", nil); err != nil {
		t.Error(err)
	}
	if _, err := b.bridge.Call(ctx, "t", "Bug.get", nil); !apierror.Is(err, apierror.TrackerBadAnswer) {
		t.Error(err)
	}
}

func TestAWriteThatWasAnsweredIsNotUnknown(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	for name, value := range map[string]string{
		"an empty date":         "<struct><member><name>at</name><value><dateTime.iso8601></dateTime.iso8601></value></member></struct>",
		"a value of no type":    "<ex:what/>",
		"the session in a date": "<dateTime.iso8601>" + sessionCookie + "</dateTime.iso8601>",
	} {
		b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) { writeXML(w, response(value)) }
		for method, says := range map[string]string{"Bug.create": "was executed", "Bug.get": "not as the dialect expects"} {
			_, err := b.bridge.Call(t.Context(), "t", method, nil)
			if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(apierror.From(err).FaultString(), says) || strings.Contains(err.Error(), sessionCookie) {
				t.Errorf("%s, %s: %v", name, method, err)
			}
		}
	}
}

func TestAWriteThatWasRefusedInAFaultThatCannotBeReadWasNotExecuted(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		writeXML(w, "<methodResponse><fault><value><odd/></value></fault></methodResponse>")
	}
	_, err := b.bridge.Call(t.Context(), "t", "Bug.create", nil)
	if !apierror.Is(err, apierror.TrackerBadAnswer) || strings.Contains(apierror.From(err).FaultString(), "was executed") {
		t.Error(err)
	}
}

func TestNobodyIsToldOfAKeyWhereThereIsNone(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.answer = raw("")
	fault := b.fault(call("Bug.create"))
	if !strings.HasPrefix(fault.String, "OUTCOME_UNKNOWN: ") || strings.Contains(fault.String, "key") {
		t.Error(fault)
	}
	_, err := b.bridge.Call(t.Context(), "t", "Bug.create", nil)
	if text := apierror.From(err).FaultString(); !apierror.Is(err, apierror.OutcomeUnknown) || strings.Contains(text, "key") {
		t.Error(text)
	}
}

// answered tells when a tracker has answered for the first time.
type answered struct {
	unobserved
	name string
	once sync.Once
	done chan struct{}
}

func (a *answered) TrackerCall(name string, _ Outcome, _ time.Duration) {
	if name == a.name {
		a.once.Do(func() { close(a.done) })
	}
}

func TestATrackerThatIsSlowCostsNoneOfAMulticastItsValue(t *testing.T) {
	const limit = 64 << 10
	fast := &answered{name: "fast", done: make(chan struct{})}
	var configs []Config
	for name, wait := range map[string]func(*http.Request){
		"fast": func(*http.Request) {},
		"slow": func(r *http.Request) {
			select {
			case <-fast.done:
			case <-r.Context().Done():
			}
		},
		"stuck": func(r *http.Request) { <-r.Context().Done() },
	} {
		peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that the other side has gone
			wait(r)
			writeXML(w, response(name+strings.Repeat("x", limit*3/4)))
		}))
		t.Cleanup(peer.Close)
		configs = append(configs, Config{Name: name, URL: peer.URL, Dialect: "stand-in", AllowPrivate: true})
	}
	b, err := New(configs, []Named{{Name: "stand-in", New: func(r *Remote) (Dialect, error) {
		endpoint, err := r.Endpoint("xmlrpc.cgi")
		d := &proxyDialect{test: &behindProxy{rules: ProxyRules{Endpoint: endpoint, Allow: []string{"*"}, Reads: []string{"*"}}}}
		d.login = func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil }
		return d, err
	}}}, nil, nil, WithMaxAnswer(limit), WithTimeLimit(2*time.Second), WithObserver(fast))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	all, err := b.Multicast(t.Context(), []string{"slow", "fast", "stuck"}, "Bug.get", nil)
	if err != nil {
		t.Fatal(err)
	}
	if value, ok := all["fast"].Value.(string); !ok || !strings.HasPrefix(value, "fastx") {
		t.Errorf("the fast one: %.40v, %v", all["fast"].Value, all["fast"].Err)
	}
	if err := all["slow"].Err; !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(apierror.From(err).FaultString(), "ask for fewer") {
		t.Errorf("the slow one, for which there was no budget left: %v", err)
	}
	if err := all["stuck"].Err; !apierror.Is(err, apierror.TrackerTimeout) {
		t.Errorf("the one that does not answer: %v", err)
	}
}
