package hook_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/hook"
)

func hubSpec(fields ...hook.Field) hook.Spec {
	return hook.Spec{Name: "hub", Fields: fields, Accept: []hook.Method{hook.MethodHub}, Secrets: []hook.Secret{hook.NewSecret([]byte(hubSecret))}}
}

func TestASignedBodyIsStoredOnceWithinTheReplayWindow(t *testing.T) {
	g := newRig(t, hubSpec(hook.Field{Name: "bug"}))
	const body = "bug=1"
	first := g.form("hub", body, signHub(hubSecret, body))
	first.want(t, "the first", 200, "")
	// The id is not signed: whoever has seen the request can send any.
	for _, extra := range []header{nil, {"webhook-id": "another"}} {
		again := g.form("hub", body, signHub(hubSecret, body), extra)
		again.want(t, "again", 200, "")
		if again.body != first.body {
			t.Errorf("again: %s, want %s", again.body, first.body)
		}
	}
	if last := g.events[len(g.events)-1]; last.Outcome != hook.Duplicate {
		t.Errorf("observed %+v", last)
	}
	g.form("hub", "bug=2", signHub(hubSecret, "bug=2")).want(t, "another body", 200, "")
	if n := len(g.stored()); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

func TestASignedBodyIsKnownForTheWholeReplayWindow(t *testing.T) {
	spec := hubSpec(hook.Field{Name: "bug"})
	spec.ReplayWindow = 10 * 24 * time.Hour // the feed forgets keys after three days
	g := newRig(t, spec)
	const body = "bug=1"
	for _, wait := range []time.Duration{0, 4 * 24 * time.Hour, 6*24*time.Hour - time.Second} {
		g.clock.advance(wait)
		g.form("hub", body, signHub(hubSecret, body)).want(t, fmt.Sprint("after ", wait), 200, "")
		if last := g.events[len(g.events)-1]; wait > 0 && last.Outcome != hook.Duplicate {
			t.Errorf("after %v: %s", wait, last.Outcome)
		}
	}
	g.clock.advance(time.Second)
	g.form("hub", body, signHub(hubSecret, body)).want(t, "after the window", 200, "")
	if last := g.events[len(g.events)-1]; last.Outcome != hook.Accepted {
		t.Errorf("after the window: %s", last.Outcome)
	}
}

func TestARequestThatWasRefusedCanComeAgain(t *testing.T) {
	g := newRig(t, hubSpec(hook.Field{Name: "bug"}))
	const body = "bug=1"
	whole := g.handler
	handler, err := hook.NewHandler(brokenFeed{g.store}, g.tokens, []*hook.Hook{must(t)(hook.Declare(hubSpec(hook.Field{Name: "bug"})))})
	if err != nil {
		t.Fatal(err)
	}
	g.handler = handler
	g.form("hub", body, signHub(hubSecret, body)).want(t, "the feed is broken", 503, "STORE_UNAVAILABLE")
	g.handler = whole
	g.form("hub", body, signHub(hubSecret, body)).want(t, "the feed is whole", 200, "")
	if n := len(g.stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestRetriesAreRecognisedByIDOrField(t *testing.T) {
	spec := bugHook()
	spec.DedupField = "text"
	g := newRig(t, spec, webhookSpec(publishedSecret))
	token := g.token("bugs")
	now := g.clock.now()
	for _, test := range []struct {
		name string
		send func() *answer
		want int // events after it
	}{
		{"an id", func() *answer { return g.json("signed", `{"test":1}`, sign(publishedSecret, "m1", now, `{"test":1}`)) }, 1},
		{"the id with a later time", func() *answer {
			return g.json("signed", `{"test":1}`, sign(publishedSecret, "m1", now.Add(time.Minute), `{"test":1}`))
		}, 1},
		{"another id", func() *answer { return g.json("signed", `{"test":1}`, sign(publishedSecret, "m2", now, `{"test":1}`)) }, 2},
		{"a field", func() *answer { return g.form("bugs", "bug=1&text=k1&token="+token) }, 3},
		{"the field in another request", func() *answer { return g.json("bugs", `{"issue":{"number":2},"text":"k1","token":"`+token+`"}`) }, 3},
		{"the field before the id", func() *answer { return g.form("bugs", "bug=1&text=k1&token="+token, header{"webhook-id": "m3"}) }, 3},
		{"another value", func() *answer { return g.form("bugs", "bug=1&text=k2&token="+token) }, 4},
		{"an id without the field", func() *answer { return g.form("bugs", "bug=1&token="+token, header{"webhook-id": "m3"}) }, 5},
		{"that id again", func() *answer { return g.form("bugs", "bug=1&token="+token, header{"webhook-id": "m3"}) }, 5},
		{"the id of another hook", func() *answer { return g.form("bugs", "bug=1&token="+token, header{"webhook-id": "m1"}) }, 6},
		{"the id that was a field", func() *answer { return g.form("bugs", "bug=1&token="+token, header{"webhook-id": "k1"}) }, 7},
		{"nothing", func() *answer { return g.form("bugs", "bug=1&token="+token) }, 8},
		{"nothing again", func() *answer { return g.form("bugs", "bug=1&token="+token) }, 9},
	} {
		a := test.send()
		a.want(t, test.name, 200, "")
		if n := len(g.stored()); n != test.want {
			t.Errorf("%s: %d events, want %d", test.name, n, test.want)
		}
		if a.After == "" {
			t.Errorf("%s: no position", test.name)
		}
	}
}

// The signature says nothing of the Content-Type, by which the same bytes are other
// fields.
func TestASignedRequestIsNotAnotherOneUnderAnotherContentType(t *testing.T) {
	spec := webhookSpec(publishedSecret)
	spec.Fields = []hook.Field{{Name: "delivery"}, {Name: "text"}}
	spec.DedupField = "delivery"
	g := newRig(t, spec)
	body := `{"delivery":"1","text":"&delivery=2&text=forged&x="}`
	signed := sign(publishedSecret, "m1", g.clock.now(), body)
	first := g.json("signed", body, signed)
	first.want(t, "the request", 200, "")
	g.clock.advance(hook.Tolerance)
	if again := g.form("signed", body, signed); again.status != 200 || again.After != first.After {
		t.Errorf("as a form: %d %s, want what the first one got", again.status, again.body)
	}
	if n := len(g.stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	// The sender's own retry has a new time, and may have a new id.
	g.json("signed", body, sign(publishedSecret, "m2", g.clock.now(), body)).want(t, "a retry", 200, "")
	if n := len(g.stored()); n != 1 {
		t.Errorf("%d events after a retry, want 1", n)
	}
}

func TestAStrangerDoesNotTakeUpAnID(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	g.form("bugs", "bug=1&token=wrong", header{"webhook-id": "m1"}).want(t, "a stranger", 403, "TOKEN_MISMATCH")
	g.form("bugs", "token="+token, header{"webhook-id": "m1"}).want(t, "an error", 400, "INVALID_DATA")
	g.form("bugs", "bug=1&token="+token, header{"webhook-id": "m1"}).want(t, "the sender", 200, "")
	if n := len(g.stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// reportCall is what a hook with a handler is told in these tests.
type reportCall struct {
	Token hook.AuthToken `hook:"token"`
	Bug   int            `hook:"bug,required"`
	Key   string         `hook:"key"`
}

func TestAHandlerGetsARequestUntilItSucceeds(t *testing.T) {
	var calls atomic.Int32
	results := []error{
		errors.New("the database of the caller is away"),
		apierror.New(apierror.Forbidden).WithDetail("Not on a Sunday."),
		fmt.Errorf("wrapped: %w", apierror.New(apierror.InvalidData).WithExtra("bug", []string{"No such bug."})),
		nil,
	}
	h, err := hook.New(hook.Spec{Name: "go", DedupField: "key"}, func(_ context.Context, c reportCall) error {
		if c.Bug != 7 || c.Token.Fingerprint().IsZero() {
			t.Errorf("%+v", c)
		}
		return results[calls.Add(1)-1]
	})
	g := newRigOf(t, []*hook.Hook{must(t)(h, err)})
	body := "bug=7&key=k&token=" + g.token("go")
	g.form("go", body).want(t, "a strange error", 500, "SERVER_ERROR")
	g.form("go", body).want(t, "an error of the catalogue", 403, "FORBIDDEN")
	invalid := g.form("go", body)
	invalid.want(t, "an error of a field", 400, "INVALID_DATA")
	if invalid.at("bug") != "No such bug." {
		t.Errorf("%s", invalid.body)
	}
	if last := g.events[len(g.events)-1]; last.Reason != hook.ReasonHandler {
		t.Errorf("observed %+v", last)
	}
	for range 3 {
		if a := g.form("go", body); a.body != `{"status":"ok","ignored":0}` {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if calls.Load() != 4 {
		t.Errorf("%d calls, want 4", calls.Load())
	}
	if len(g.stored()) != 0 || len(g.recorded()) != 0 {
		t.Error("what a handler took is in the feed, or its refusal in the trail")
	}
}

func TestAHandlerIsNotCalledTwiceAtTheSameTime(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	h, err := hook.New(hook.Spec{Name: "go"}, func(context.Context, reportCall) error {
		calls.Add(1)
		entered <- struct{}{}
		<-leave
		return nil
	})
	g := newRigOf(t, []*hook.Hook{must(t)(h, err)})
	body := "bug=7&token=" + g.token("go")
	id := header{"webhook-id": "m1"}
	var first sync.WaitGroup
	first.Go(func() { g.form("go", body, id).want(t, "the first", 200, "") })
	<-entered
	second := g.form("go", body, id)
	second.want(t, "the second", 429, "TOO_MANY_REQUESTS")
	if second.header.Get("Retry-After") == "" || !strings.Contains(second.detail(), "handled already") {
		t.Errorf("%s", second.body)
	}
	close(leave)
	first.Wait()
	g.form("go", body, id).want(t, "the third", 200, "")
	if calls.Load() != 1 {
		t.Errorf("%d calls, want 1", calls.Load())
	}
}

func TestARequestIsNotAcceptedBeforeItsSignatureIsRemembered(t *testing.T) {
	g := newRig(t)
	state := &forgetful{StateStore: g.store.State()}
	handler, err := hook.NewHandler(backend{g.store, state}, g.tokens, []*hook.Hook{must(t)(hook.Declare(hubSpec(hook.Field{Name: "bug"})))})
	if err != nil {
		t.Fatal(err)
	}
	g.handler = handler
	const body = "bug=1"
	g.form("hub", body, signHub(hubSecret, body)).want(t, "the store forgets", 503, "STORE_UNAVAILABLE")
	state.whole.Store(true)
	g.form("hub", body, signHub(hubSecret, body)).want(t, "the store is whole", 200, "")
	if n := len(g.stored()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// forgetful takes no changes until it is whole.
type forgetful struct {
	handshake.StateStore
	whole atomic.Bool
}

func (s *forgetful) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	if !s.whole.Load() {
		return false, errors.New("disk full")
	}
	return s.StateStore.CompareAndSwap(ctx, key, prev, next, ttl)
}
