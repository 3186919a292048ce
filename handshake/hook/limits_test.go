package hook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trackgate/trackgate/handshake/hook"
)

func TestTheLargestBodyCanBeSet(t *testing.T) {
	h := must(t)(hook.Declare(namedHook("a")))
	g := newRigOf(t, []*hook.Hook{h}, hook.WithMaxBody(64))
	token := g.token("a")
	g.form("a", pad("token="+token, 64)).want(t, "64 bytes", 200, "")
	a := g.form("a", pad("token="+token, 65))
	a.want(t, "65 bytes", 413, "REQUEST_TOO_LARGE")
	if a.detail() != "Bytes of the body: at most 64." || a.Extra["limit"] != 64.0 {
		t.Errorf("%s", a.body)
	}
	if _, err := hook.NewHandler(g.store, g.tokens, nil, hook.WithMaxBody(0)); err == nil {
		t.Error("a body of no bytes was taken for a limit")
	}
}

// What a server with a time limit for bodies gives a handler.
func TestABodyThatTakesTooLongIsSaidToHave(t *testing.T) {
	g := newRig(t, namedHook("a"))
	r := g.request("a", formType, "")
	r.ContentLength, r.Body = 100, io.NopCloser(iotest.ErrReader(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}))
	a := g.do(r)
	a.want(t, "a slow body", 400, "INVALID_DATA")
	if a.detail() != "The body did not come within the time limit." {
		t.Errorf("%s", a.body)
	}
}

func TestAHookHasAFewSecretsAtMost(t *testing.T) {
	secrets := make([]hook.Secret, hook.MaxSecrets+1)
	for i := range secrets {
		secrets[i] = hook.NewSecret([]byte(hubSecret))
	}
	spec := hook.Spec{Name: "x", Accept: []hook.Method{hook.MethodHub}, Secrets: secrets[1:]}
	must(t)(hook.Declare(spec))
	spec.Secrets = secrets
	if _, err := hook.Declare(spec); err == nil || !strings.Contains(err.Error(), "more than 8 secrets") {
		t.Errorf("%v", err)
	}
}

func TestTokensAreOfABoundedNumberOfHooks(t *testing.T) {
	g := newRig(t)
	ctx := context.Background()
	names := make([]string, hook.MaxHooks)
	for i := range names {
		names[i] = fmt.Sprintf("h%04d", i)
	}
	index, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.store.State().CompareAndSwap(ctx, "hook:tokens", nil, index, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.tokens.Create(ctx, "one-more", 0); err == nil || !strings.Contains(err.Error(), "4096 hooks have tokens already") {
		t.Errorf("%v", err)
	}
	g.token(names[7])
	if list, err := g.tokens.List(ctx); err != nil || len(list) != 1 || list[0].Hook != names[7] {
		t.Errorf("%v, %+v", err, list)
	}
}

func TestASenderThatIsGoneSaysNothingOfTheStore(t *testing.T) {
	g := newRig(t, bugHook())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.handler.ServeHTTP(httptest.NewRecorder(), g.request("bugs", formType, "bug=1&token=x").WithContext(ctx))
	if last := g.events[len(g.events)-1]; last.Reason != hook.ReasonGone {
		t.Errorf("observed %+v", last)
	}
	if strings.Contains(g.logs.String(), "level=ERROR") {
		t.Errorf("an error in the log:\n%s", g.logs)
	}
}
