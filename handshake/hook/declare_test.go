package hook_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/hook"
)

func TestMistakesOfASpecAreErrorsWhenItIsDeclared(t *testing.T) {
	token := hook.Field{Name: "token", Type: hook.TypeToken}
	many := make([]hook.Field, hook.MaxDeclared+1)
	for _, test := range []struct {
		name, want string
		spec       hook.Spec
	}{
		{"no name", "needs a name", hook.Spec{}},
		{"a bad name", "begins with a letter", hook.Spec{Name: "a/b"}},
		{"no token", "no field is the token", hook.Spec{Name: "x"}},
		{"two tokens", "both token and other are tokens", hook.Spec{Fields: []hook.Field{token, {Name: "other", Type: hook.TypeToken}}}},
		{"a token for nothing", "does not accept as a field", hook.Spec{Fields: []hook.Field{token}, Accept: []hook.Method{hook.MethodBearer}}},
		{"a field twice", "declared twice", hook.Spec{Fields: []hook.Field{token, {Name: "a"}, {Name: "a"}}}},
		{"a field without a name", "a field needs a name", hook.Spec{Fields: []hook.Field{token, {}}}},
		{"a field with a bad name", "begins with a letter or '_'", hook.Spec{Fields: []hook.Field{token, {Name: "a b"}}}},
		{"an endless name", "longer than 64 bytes", hook.Spec{Fields: []hook.Field{token, {Name: strings.Repeat("x", 65)}}}},
		{"an unknown type", `the type "float"`, hook.Spec{Fields: []hook.Field{token, {Name: "a", Type: "float"}}}},
		{"a length below 0", "below 0", hook.Spec{Fields: []hook.Field{token, {Name: "a", MaxLength: -1}}}},
		{"an endless title", "title", hook.Spec{Fields: []hook.Field{token, {Name: "a", Title: strings.Repeat("x", 1001)}}}},
		{"a bad place", "joined by '.'", hook.Spec{Fields: []hook.Field{token, {Name: "a", From: "b..c"}}}},
		{"too deep a place", "at most 16 names", hook.Spec{Fields: []hook.Field{token, {Name: "a", From: strings.Repeat("b.", 16) + "b"}}}},
		{"a field in the place of the token", "both stand at", hook.Spec{Fields: []hook.Field{token, {Name: "copy", From: "token"}}}},
		{"a field around the token", "both stand at", hook.Spec{Fields: []hook.Field{{Name: "sender", Type: hook.TypeJSON}, {Name: "token", Type: hook.TypeToken, From: "sender.token"}}}},
		{"a token that is too short for one", "at least 32", hook.Spec{Fields: []hook.Field{{Name: "token", Type: hook.TypeToken, MaxLength: 31}}}},
		{"too many fields", "at most 100", hook.Spec{Fields: many}},
		{"an unknown method", `no method "basic"`, hook.Spec{Fields: []hook.Field{token}, Accept: []hook.Method{"basic"}}},
		{"a method twice", "stands twice", hook.Spec{Fields: []hook.Field{token}, Accept: []hook.Method{hook.MethodField, hook.MethodField}}},
		{"no secret", "there is no secret", hook.Spec{Accept: []hook.Method{hook.MethodHub}}},
		{"a secret for nothing", "no method that needs them", hook.Spec{Fields: []hook.Field{token}, Secrets: []hook.Secret{hook.NewSecret([]byte(hubSecret))}}},
		{"an unknown role", "not declared", hook.Spec{Fields: []hook.Field{token}, BugField: "bug"}},
		{"a token as a role", "type token", hook.Spec{Fields: []hook.Field{token}, DedupField: "token"}},
		{"too short a replay window", "replay window", hook.Spec{Fields: []hook.Field{token}, ReplayWindow: time.Minute}},
		{"a bad kind", "one line", hook.Spec{Fields: []hook.Field{token}, Kind: "a\nb"}},
	} {
		if test.spec.Name == "" && test.name != "no name" {
			test.spec.Name = "x"
		}
		_, err := hook.Declare(test.spec)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	h := must(t)(hook.Declare(hook.Spec{Name: "x", Fields: []hook.Field{token}}))
	f := h.Fields()[0]
	if f.Title != "token" || f.MaxLength != hook.DefaultTokenLength || h.Title() != "x" || h.Accept()[0] != hook.MethodField {
		t.Errorf("%+v", h)
	}
	if _, err := hook.NewHandler(newRig(t).store, nil, []*hook.Hook{h, h}); err == nil {
		t.Error("two hooks of one name were taken")
	}
}

func declared[T any]() error {
	_, err := hook.New(hook.Spec{Name: "x"}, func(context.Context, T) error { return nil })
	return err
}

func TestMistakesOfAStructAreErrorsWhenItIsDeclared(t *testing.T) {
	type embedded struct{ A string }
	for want, err := range map[string]error{
		"not a struct":          declared[string](),
		"no field is the token": declared[struct{}](),
		"both a and b are token": declared[struct {
			A hook.AuthToken `hook:"a"`
			B hook.AuthToken `hook:"b"`
		}](),
		`the word "requird"`: declared[struct {
			A hook.AuthToken `hook:"a,requird"`
		}](),
		`the word "from="`: declared[struct {
			A hook.AuthToken `hook:"a,from="`
		}](),
		"max=0": declared[struct {
			A hook.AuthToken `hook:"a,max=0"`
		}](),
		"has no tag": declared[struct {
			A hook.AuthToken `hook:"a"`
			B string
		}](),
		"embedded has a tag and is not exported": declared[struct {
			embedded `hook:"e"`
		}](),
		"is not exported": declared[struct {
			a hook.AuthToken `hook:"a"`
		}](),
		"no field can have the type float64": declared[struct {
			A float64 `hook:"a"`
		}](),
		"no field can have the type map": declared[struct {
			A map[string]string `hook:"a"`
		}](),
		"only a string can be a url": declared[struct {
			A int `hook:"a,url"`
		}](),
		"a field needs a name": declared[struct {
			A hook.AuthToken `hook:",required"`
		}](),
		"declared twice": declared[struct {
			A hook.AuthToken `hook:"a"`
			B string         `hook:"a"`
		}](),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the hook x: ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	type token struct {
		A hook.AuthToken `hook:"a"`
	}
	if _, err := hook.New(hook.Spec{Name: "x", Fields: []hook.Field{{Name: "b"}}}, func(context.Context, token) error { return nil }); err == nil {
		t.Error("fields beside the struct's were taken")
	}
	if _, err := hook.New[token](hook.Spec{Name: "x"}, nil); err == nil {
		t.Error("no handler was taken")
	}
}

func TestAStructGetsWhatWasSent(t *testing.T) {
	type everything struct {
		Token  *hook.AuthToken `hook:"token" title:"Token" description:"What proves the sender."`
		Text   string          `hook:"text"`
		Small  int8            `hook:"small"`
		Count  *uint16         `hook:"count"`
		Open   bool            `hook:"open"`
		Closed *bool           `hook:"closed"`
		When   time.Time       `hook:"when"`
		Until  *time.Time      `hook:"until"`
		More   json.RawMessage `hook:"more"`
		Link   string          `hook:"link,url,max=40"`
		Login  string          `hook:"login,from=sender.login,required"`
		Own    string          `hook:"-"`
		own    string
	}
	var got everything
	h, err := hook.New(hook.Spec{Name: "x"}, func(_ context.Context, e everything) error {
		got = e
		return nil
	})
	g := newRigOf(t, []*hook.Hook{must(t)(h, err)})
	if f := h.Fields()[0]; f.Title != "Token" || f.Description != "What proves the sender." {
		t.Errorf("%+v", f)
	}
	token, name, err := g.tokens.Create(context.Background(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	g.json("x", `{"token":"`+token+`","text":"t","small":-128,"count":65535,"open":true,"closed":false,"when":0,`+
		`"more":[1],"link":"https://example.org","sender":{"login":"bob"},"Own":"x","own":"x"}`).want(t, "all", 200, "")
	if got.Token == nil || got.Token.Fingerprint() != name {
		t.Errorf("token %+v", got.Token)
	}
	if got.Text != "t" || got.Small != -128 || got.Count == nil || *got.Count != 65535 || !got.Open || got.Closed == nil || *got.Closed ||
		!got.When.Equal(time.Unix(0, 0)) || got.Until != nil || string(got.More) != "[1]" || got.Link != "https://example.org" || got.Login != "bob" || got.Own+got.own != "" {
		t.Errorf("%+v", got)
	}
	a := g.form("x", "token="+token+"&small=128&count=-1")
	a.want(t, "numbers that do not fit", 400, "INVALID_DATA")
	for field, want := range map[string]string{
		"small": "This number is too large or too small.", "count": "This number is too large or too small.", "login": "This field is required.",
	} {
		if a.at(field) != want {
			t.Errorf("%s is %q, want %q", field, a.at(field), want)
		}
	}
}
