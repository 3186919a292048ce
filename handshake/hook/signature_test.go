package hook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/hook"
)

// The secret, id, time, body and signature of the libraries that the authors of
// Standard Webhooks publish.
const (
	publishedSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	publishedID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	publishedTime      = 1614265330
	publishedBody      = `{"test": 2432232314}`
	publishedSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

	otherSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	hubSecret   = "It's a Secret to Everybody"
)

func webhookSpec(secrets ...string) hook.Spec {
	s := hook.Spec{Name: "signed", Fields: []hook.Field{{Name: "test", Type: hook.TypeInteger}}, Accept: []hook.Method{hook.MethodWebhook}}
	for _, secret := range secrets {
		s.Secrets = append(s.Secrets, hook.NewSecret([]byte(secret+"\n")))
	}
	return s
}

func sign(secret, id string, at time.Time, body string) header {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	seconds := strconv.FormatInt(at.Unix(), 10)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, seconds, body)
	return header{"webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

func signHub(secret, body string) header {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return header{"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil))}
}

func (h header) with(name, value string) header {
	changed := header{}
	for k, v := range h {
		changed[k] = v
	}
	changed[name] = value
	return changed
}

func TestAPublishedSignatureIsAccepted(t *testing.T) {
	g := newRig(t, webhookSpec(otherSecret, publishedSecret))
	g.clock.at = time.Unix(publishedTime, 0)
	a := g.json("signed", publishedBody, header{
		"webhook-id": publishedID, "webhook-timestamp": fmt.Sprint(publishedTime),
		"webhook-signature": "v1,AAAA v1a,x== nonsense " + publishedSignature + " v2,x",
	})
	a.want(t, "the published signature among others", 200, "")
	// GitHub's documentation, "Validating webhook deliveries", has this one.
	hub := newRig(t, hook.Spec{Name: "hub", Fields: []hook.Field{{Name: "x"}}, Accept: []hook.Method{hook.MethodHub}, Secrets: []hook.Secret{hook.NewSecret([]byte(hubSecret))}})
	a = hub.json("hub", "Hello, World!", header{"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"})
	a.want(t, "the signature is right, the body is not JSON", 400, "INVALID_DATA")
	if !strings.HasPrefix(a.detail(), "The body is not JSON") {
		t.Errorf("%s", a.body)
	}
}

func TestASignatureThatIsNotRightIsRefused(t *testing.T) {
	g := newRig(t, webhookSpec(publishedSecret))
	now := g.clock.now()
	const body = `{"test":1}`
	good := sign(publishedSecret, "msg_1", now, body)
	signature := good["webhook-signature"]
	// Another text of the same 32 bytes, with one of the two bits that they leave over.
	loose := []byte(signature)
	loose[len(loose)-2]++
	for _, test := range []struct {
		name    string
		headers header
		status  int
		at      string
	}{
		{"another secret", sign(otherSecret, "msg_1", now, body), 403, "Webhook-Signature"},
		{"another body", sign(publishedSecret, "msg_1", now, body+" "), 403, "Webhook-Signature"},
		{"another id", good.with("webhook-id", "msg_2"), 403, "Webhook-Signature"},
		{"another time", good.with("webhook-timestamp", fmt.Sprint(now.Unix()+1)), 403, "Webhook-Signature"},
		{"another version", good.with("webhook-signature", "v2"+signature[2:]), 403, "Webhook-Signature"},
		{"a signature without a version", good.with("webhook-signature", signature[3:]), 403, "Webhook-Signature"},
		{"a last bit of base64 that means nothing", good.with("webhook-signature", string(loose)), 403, "Webhook-Signature"},
		{"half a signature", good.with("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 16))), 403, "Webhook-Signature"},
		{"an empty signature", good.with("webhook-signature", "v1,"), 403, "Webhook-Signature"},
		{"an old time", sign(publishedSecret, "msg_1", now.Add(-hook.Tolerance-time.Second), body), 403, "Webhook-Timestamp"},
		{"a time to come", sign(publishedSecret, "msg_1", now.Add(hook.Tolerance+time.Second), body), 403, "Webhook-Timestamp"},
		{"a time that overflows", good.with("webhook-timestamp", "9223372036854775808"), 400, "Webhook-Timestamp"},
		{"a time with a sign", good.with("webhook-timestamp", "+"+good["webhook-timestamp"]), 400, "Webhook-Timestamp"},
		{"a time below 0", good.with("webhook-timestamp", "-1"), 400, "Webhook-Timestamp"},
		{"a time with a fraction", good.with("webhook-timestamp", "1.5"), 400, "Webhook-Timestamp"},
		{"no time", good.with("webhook-timestamp", ""), 400, "Webhook-Timestamp"},
		{"no id", good.with("webhook-id", ""), 400, "Webhook-Id"},
		{"an id with a full stop", good.with("webhook-id", "msg_1."+good["webhook-timestamp"]), 400, "Webhook-Id"},
		{"an id with a space", good.with("webhook-id", "msg 1"), 400, "Webhook-Id"},
		{"an id with a new line", good.with("webhook-id", "msg_1\nx"), 400, "Webhook-Id"},
		{"an endless id", good.with("webhook-id", strings.Repeat("x", hook.MaxID+1)), 400, "Webhook-Id"},
		{"too many signatures", good.with("webhook-signature", strings.Repeat(signature+" ", hook.MaxSignatures)), 400, "Webhook-Signature"},
		{"no signature", good.with("webhook-signature", ""), 400, "Webhook-Signature"},
		{"nothing", nil, 400, "Webhook-Signature"},
	} {
		before := len(g.recorded())
		a := g.json("signed", body, test.headers)
		if a.status != test.status || a.at(test.at) == "" || len(a.Extra) != 1 {
			t.Errorf("%s: %d %s, want %d and %s", test.name, a.status, a.body, test.status, test.at)
		}
		if recorded := len(g.recorded()) - before; (recorded == 1) != (test.status == 403) {
			t.Errorf("%s: %d entries in the trail", test.name, recorded)
		}
	}
	if n := len(g.stored()); n != 0 {
		t.Errorf("%d events", n)
	}
	for name, at := range map[string]time.Time{"the oldest": now.Add(-hook.Tolerance), "the newest": now.Add(hook.Tolerance)} {
		g.json("signed", body, sign(publishedSecret, "msg_1", at, body)).want(t, name, 200, "")
	}
}

func TestASignatureCannotBeMovedToAnotherBody(t *testing.T) {
	g := newRig(t, webhookSpec(publishedSecret))
	now := g.clock.now().Unix()
	signed := sign(publishedSecret, "msg", g.clock.now(), fmt.Sprintf("%d.test=2", now))
	a := g.form("signed", "test=2", header{
		"webhook-id": fmt.Sprintf("msg.%d", now), "webhook-timestamp": fmt.Sprint(now), "webhook-signature": signed["webhook-signature"],
	})
	a.want(t, "an id that takes up the time", 400, "INVALID_DATA")
}

func TestAHeaderThatStandsTwiceIsRefused(t *testing.T) {
	spec := bugHook()
	spec.Accept = append(spec.Accept, hook.MethodWebhook, hook.MethodHub)
	spec.Secrets = []hook.Secret{hook.NewSecret([]byte(publishedSecret))}
	g := newRig(t, spec)
	token := g.token("bugs")
	const body = "bug=1"
	signed, hub := sign(publishedSecret, "msg_1", g.clock.now(), body), signHub(publishedSecret, body)
	all := []header{signed, hub, {"Authorization": "Bearer " + token}}
	g.form("bugs", body, all...).want(t, "all that are right", 200, "")
	for name, value := range map[string]string{
		"Webhook-Id": "msg_1", "Webhook-Timestamp": signed["webhook-timestamp"], "Webhook-Signature": signed["webhook-signature"],
		"X-Hub-Signature-256": hub["X-Hub-Signature-256"], "Authorization": "Bearer " + token,
	} {
		a := g.form("bugs", body, append(all, header{name: value})...)
		a.want(t, name, 400, "INVALID_DATA")
		if a.at(name) != "This header was given more than once." {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

func TestEverythingThatARequestCarriesMustBeRight(t *testing.T) {
	spec := bugHook()
	spec.Accept = append(spec.Accept, hook.MethodHub)
	spec.Secrets = []hook.Secret{hook.NewSecret([]byte(hubSecret))}
	g := newRig(t, spec)
	token := g.token("bugs")
	field, wrongField := "bug=1&token="+token, "bug=1&token=x"
	bearer, wrongBearer := header{"Authorization": "bearer  " + token}, header{"Authorization": "Bearer x"}
	for _, test := range []struct {
		name, body string
		headers    []header
		status     int
	}{
		{"the field", field, nil, 200},
		{"the header", "bug=2", []header{bearer}, 200},
		{"both", field, []header{bearer}, 200},
		{"a wrong header beside a right field", field, []header{wrongBearer}, 403},
		{"a wrong field beside a right header", wrongField, []header{bearer}, 403},
		{"a wrong signature beside a right field", field, []header{signHub("another secret of the sort", field)}, 403},
		{"a right signature beside a wrong field", wrongField, []header{signHub(hubSecret, wrongField)}, 403},
		{"a right signature of an empty field", "bug=3&token=", []header{signHub(hubSecret, "bug=3&token=")}, 200},
		{"another scheme beside a right field", field, []header{{"Authorization": "Basic " + token}}, 200},
		{"another scheme alone", "bug=1", []header{{"Authorization": "Basic " + token}}, 400},
		{"no token in the header", "bug=1", []header{{"Authorization": "Bearer "}}, 400},
		{"a header that is not ASCII", "bug=1", []header{{"Authorization": "Bearer \xfc"}}, 400},
		{"an endless header", "bug=1", []header{{"Authorization": "Bearer " + strings.Repeat("x", 257)}}, 400},
		{"a method that the hook does not accept", "bug=1", []header{sign(publishedSecret, "x", g.clock.now(), "bug=1")}, 400},
		{"a token in the query", "bug=1", nil, 400},
	} {
		r := g.request("bugs", formType, test.body, test.headers...)
		r.URL.RawQuery = "token=" + token
		if a := g.do(r); a.status != test.status {
			t.Errorf("%s: %d %s, want %d", test.name, a.status, a.body, test.status)
		}
	}
}

func TestSecretsAreTakenOnlyWhenTheyCanProtect(t *testing.T) {
	for _, test := range []struct {
		secret string
		method hook.Method
		ok     bool
	}{
		{publishedSecret, hook.MethodWebhook, true},
		{strings.TrimPrefix(publishedSecret, "whsec_"), hook.MethodWebhook, false},
		{"whsec_", hook.MethodWebhook, false},
		{"whsec_AAAA", hook.MethodWebhook, false},
		{"whsec_%", hook.MethodWebhook, false},
		{"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), hook.MethodWebhook, false},
		{hubSecret, hook.MethodHub, true},
		{"", hook.MethodHub, false},
		{" \n", hook.MethodHub, false},
		{"short", hook.MethodHub, false},
		{strings.Repeat("x", hook.MaxSecret+1), hook.MethodHub, false},
	} {
		secret := hook.NewSecret([]byte(test.secret))
		_, err := hook.Declare(hook.Spec{Name: "x", Accept: []hook.Method{test.method}, Secrets: []hook.Secret{secret}})
		if (err == nil) != test.ok {
			t.Errorf("%s %q: %v", test.method, test.secret, err)
		}
		if trimmed := strings.TrimSpace(test.secret); err != nil && len(trimmed) > 6 && strings.Contains(err.Error(), trimmed) {
			t.Errorf("the error tells the secret: %v", err)
		}
		for _, text := range []string{fmt.Sprint(secret), fmt.Sprintf("%#v", secret), fmt.Sprintf("%+v", struct{ s hook.Secret }{secret}), fmt.Sprintf("%x", secret)} {
			if len(test.secret) > 6 && (strings.Contains(text, test.secret) || strings.Contains(text, hex.EncodeToString([]byte(test.secret)))) {
				t.Errorf("a secret prints as %s", text)
			}
		}
	}
}
