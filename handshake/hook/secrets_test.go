package hook_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/hook"
)

// TestNoSecretAppearsAnywhere sends right and wrong secrets in all the ways that
// there are, and looks for them in whatever comes out.
func TestNoSecretAppearsAnywhere(t *testing.T) {
	field := bugHook()
	field.Name = "field"
	signed := webhookSpec(publishedSecret)
	signed.Accept = append(signed.Accept, hook.MethodBearer)
	// A number: what a sender writes into a text is data, and is stored.
	hub := hubSpec(hook.Field{Name: "bug", Type: hook.TypeInteger})
	goHook, err := hook.New(hook.Spec{Name: "go", Accept: []hook.Method{hook.MethodField, hook.MethodBearer}}, func(_ context.Context, c reportCall) error {
		return fmt.Errorf("the handler was told %+v", c)
	})
	hooks := []*hook.Hook{must(t)(hook.Declare(field)), must(t)(hook.Declare(signed)), must(t)(hook.Declare(hub)), must(t)(goHook, err)}
	g := newRigOf(t, hooks)
	ctx := context.Background()

	secrets := map[string]string{"the secret of Standard Webhooks": strings.TrimPrefix(publishedSecret, "whsec_"), "the hub's secret": hubSecret}
	key, _ := base64.StdEncoding.DecodeString(secrets["the secret of Standard Webhooks"])
	secrets["the key of Standard Webhooks"] = string(key)
	for _, name := range []string{"", "field", "signed", "go"} {
		old := g.token(name)
		text, _, err := g.tokens.Create(ctx, name, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		secrets["the old token of "+name], secrets["the token of "+name] = old, text
	}
	right := secrets["the token of field"]
	changed := right[:31] + string(right[31]^1)
	secrets["a token that is nearly right"] = changed
	secrets["a guess"] = "Gu3ss3dT0k3nOfN0Hook"

	var out strings.Builder
	send := func(r *http.Request) {
		a := g.do(r)
		_, _ = fmt.Fprintf(&out, "%s %v\n", a.body, a.header)
	}
	for what, secret := range secrets {
		for _, name := range []string{"field", "signed", "hub", "go", "nobody"} {
			escaped := strings.NewReplacer(" ", "+", "'", "%27").Replace(fmt.Sprintf("%q", secret))
			escaped = strings.Trim(escaped, `"`)
			quoted, _ := json.Marshal(secret)
			form := "bug=1&token=" + escaped
			bearer := header{"Authorization": "Bearer " + secret}
			if what == "the key of Standard Webhooks" {
				bearer = header{}
			}
			for _, body := range []string{form, form + "&token=" + escaped, form + "%", "bug=" + escaped + "&when=" + escaped + "&more=" + escaped + "&token=" + escaped, escaped, escaped + "&" + escaped} {
				send(g.request(name, formType, body))
				send(g.request(name, formType, body, bearer))
				send(g.request(name, formType, body, bearer, bearer))
				send(g.request(name, formType, body, signHub(secret, body)))
			}
			for _, body := range []string{
				`{"token":` + string(quoted) + `,"issue":{"number":1},"bug":1,"test":1}`,
				`{"token":` + string(quoted), `{"token":[` + string(quoted) + `]}`, string(quoted), `{"token":{"a":` + string(quoted) + `}}`,
				`{"issue":` + string(quoted) + `,"when":` + string(quoted) + `,"token":` + string(quoted) + `}`, secret,
			} {
				send(g.request(name, jsonType, body))
				send(g.request(name, jsonType, body, bearer))
				send(g.request(name, jsonType, body, sign(publishedSecret, "m", g.clock.now(), body)))
				send(g.request(name, jsonType, body, sign(publishedSecret, "m", g.clock.now(), body).with("webhook-signature", "v1,"+secret)))
				send(g.request(name, jsonType, body, signHub(hubSecret, body)))
				send(g.request(name, jsonType, body, header{"X-Hub-Signature-256": secret, "X-Hub-Signature": secret}))
			}
			send(g.request(name, "multipart/form-data; boundary=b", multipart("b", part("token", secret), part("bug", "1"))))
			send(g.request(name, "multipart/form-data; boundary=b", strings.Trim(multipart("b", part("token", secret)), "-\r\n")))
			send(g.request(name, "multipart/form-data; boundary="+strings.ReplaceAll(secret, " ", ""), "--"+secret))
		}
	}
	statuses := map[hook.Outcome]int{}
	for _, e := range g.events {
		statuses[e.Outcome]++
		_, _ = fmt.Fprintf(&out, "%+v\n", e)
	}
	if statuses[hook.Accepted] == 0 || statuses[hook.Refused] == 0 || len(g.recorded()) == 0 {
		t.Fatalf("%v, %d entries: the test sends too little", statuses, len(g.recorded()))
	}

	list, err := g.tokens.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.tokens.Close()
	if err := g.trail.Close(ctx); err != nil {
		t.Fatal(err)
	}
	trail, err := audit.List(ctx, g.store.Trail(), audit.Filter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(g.path)
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{
		"the answers and the observed events": out.String(), "the log": g.logs.String(), "the list": fmt.Sprintf("%+v", list),
		"the trail": fmt.Sprintf("%+v", trail.Entries), "the store's file": string(file), "what is printed": fmt.Sprintf("%+v %#v %+v %#v %+v %#v", *hooks[1], *hooks[1], *hooks[2], *hooks[2], g.handler, g.tokens),
	}
	for what, secret := range secrets {
		sum := sha256.Sum256([]byte(secret))
		for place, text := range places {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), fmt.Sprintf("%d", []byte(secret))} {
				if strings.Contains(text, form) {
					t.Errorf("%s is in %s", what, place)
				}
			}
			if guess := strings.HasPrefix(what, "a "); guess && strings.Contains(text, hex.EncodeToString(sum[:8])) {
				t.Errorf("the fingerprint of %s is in %s", what, place)
			}
		}
	}
}
