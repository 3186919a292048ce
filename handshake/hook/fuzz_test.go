package hook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/hook"
)

// newLightRig is a rig without a trail, whose commits would take most of the time,
// and without an observer.
func newLightRig(f *testing.F, spec hook.Spec) *rig {
	f.Helper()
	g := newRig(f)
	handler, err := hook.NewHandler(g.store, g.tokens, []*hook.Hook{must(f)(hook.Declare(spec))}, hook.WithClock(g.clock.now))
	if err != nil {
		f.Fatal(err)
	}
	g.handler = handler
	return g
}

// FuzzBody sends bodies of all types to a hook whose token they cannot know. None
// may be accepted, and every answer must be of the catalogue.
func FuzzBody(f *testing.F) {
	for _, seed := range []struct{ contentType, body string }{
		{formType, "token=x&bug=1&text=%C3%BC"},
		{formType + "; charset=latin1", "token=x&bug=%31&text=%FC+"},
		{formType, "%&;=&&a=%00"},
		{jsonType, `{"token":"x","issue":{"number":1},"more":[{"a":"\u0000\\"}]}`},
		{jsonType, `{"token":null,"token":"x","open":true,"when":-1e999}`},
		{"application/a+json", `[[[[[[[[[[[[[[[[[[[`},
		{"multipart/form-data; boundary=b", multipart("b", part("token", "x"), part("bug", "1"))},
		{"multipart/form-data; boundary=\"b b\"", "--b b\nContent-Disposition: form-data; name=token; filename=\"\"\n\n--b b--"},
		{"multipart/form-data; boundary=--", "------\r\n\r\n----"},
		{"", "token=x"},
	} {
		f.Add(seed.contentType, seed.body)
	}
	g := newLightRig(f, bugHook())
	token := g.token("bugs")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		if strings.Contains(body, token) {
			return // 190 bits were guessed
		}
		g.tb = t
		if a := g.do(g.request("bugs", contentType, body)); a.status == http.StatusOK || a.status >= 500 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// FuzzHeaders sends headers to a hook that accepts all methods, whose secrets they
// cannot know.
func FuzzHeaders(f *testing.F) {
	spec := bugHook()
	spec.Accept = []hook.Method{hook.MethodField, hook.MethodBearer, hook.MethodWebhook, hook.MethodHub}
	spec.Secrets = []hook.Secret{hook.NewSecret([]byte(otherSecret))}
	g := newLightRig(f, spec)
	g.token("bugs")
	now := g.clock.now()
	const body = "bug=1"
	signed := sign(publishedSecret, "m", now, body)
	f.Add("Bearer x", "m", signed["webhook-timestamp"], signed["webhook-signature"], signHub(hubSecret, body)["X-Hub-Signature-256"], body)
	f.Add("bearer", "a.b", "0x1", "v1, v1a,x v1,====", "sha256=", "bug=1&token=x")
	f.Add("", "", "-0", " ", "sha256", "")
	f.Fuzz(func(t *testing.T, authorization, id, timestamp, signature, hub, body string) {
		g.tb = t
		r := g.request("bugs", formType, body)
		for name, value := range map[string]string{
			"Authorization": authorization, "Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signature, "X-Hub-Signature-256": hub,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if a := g.do(r); a.status == http.StatusOK || a.status >= 500 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// FuzzSignedBody changes what was signed: only what was signed is accepted.
func FuzzSignedBody(f *testing.F) {
	const body = `{"test":1}`
	g := newRig(f, webhookSpec(publishedSecret), hubSpec(hook.Field{Name: "test"}))
	f.Add("m", int64(0), body)
	f.Add("m.1", int64(-300), "1."+body)
	f.Add("", int64(301), "")
	webhook, hub := sign(publishedSecret, "m", g.clock.now(), body), signHub(hubSecret, body)
	f.Fuzz(func(t *testing.T, id string, seconds int64, sent string) {
		g.tb = t
		at := g.clock.now().Add(time.Duration(seconds%1000) * time.Second)
		changed := sign(publishedSecret, id, at, sent)
		changed["webhook-signature"] = webhook["webhook-signature"]
		same := id == "m" && sent == body && seconds%1000 == 0
		if a := g.json("signed", sent, changed); (a.status == http.StatusOK) != same {
			t.Errorf("id %q, time %v, body %q: %d %s", id, at, sent, a.status, a.body)
		}
		if a := g.json("hub", sent, hub); (a.status == http.StatusOK) != (sent == body) {
			t.Errorf("body %q: %d %s", sent, a.status, a.body)
		}
	})
}

// FuzzPath asks for names: only the hook's own is answered otherwise than 404.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/hooks/bugs", "/hooks/bugs/", "/hooks/%62ugs", "/hooks//bugs", "/hooks/bugs?x", "/hooks/%00", "/", "*"} {
		f.Add(seed)
	}
	g := newRig(f, bugHook())
	f.Fuzz(func(t *testing.T, target string) {
		g.tb = t
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		u, err := r.URL.Parse(target)
		if err != nil {
			return
		}
		r.URL = u
		if a := g.do(r); (a.status == http.StatusNotFound) == (u.Path == "/hooks/bugs") {
			t.Errorf("%q: %d %s", target, a.status, a.body)
		}
	})
}
