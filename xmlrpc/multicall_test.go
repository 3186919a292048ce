package xmlrpc_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// multicallOf is a system.multicall document with one call, whose params are
// given as they are sent, from <value> on.
func multicallOf(method, params string) string {
	return "<methodCall><methodName>system.multicall</methodName><params><param><value><array><data><value><struct>" +
		"<member><name>methodName</name><value>" + method + "</value></member>" +
		"<member><name>params</name><value><array><data>" + params + "</data></array></value></member>" +
		"</struct></value></data></array></value></param></params></methodCall>"
}

func TestAStringIsTheTextThatWasSentInAMulticallToo(t *testing.T) {
	r := xmlrpc.NewRegistry()
	register(t, r, "texts", func(texts ...string) (string, error) { return strings.Join(texts, "|"), nil }, "")
	register(t, r, "text", func(text string) (string, error) { return text, nil }, "")
	h := xmlrpc.NewHandler(r)
	for sent, want := range map[string]string{
		"<int>042</int>":          "042",
		"<i8>+7</i8>":             "+7",
		"<double>1e3</double>":    "1e3",
		"<boolean>true</boolean>": "true",
		"<dateTime.iso8601>2026-11-21T19:35:03</dateTime.iso8601>": "2026-11-21T19:35:03",
		"<base64>w6k=</base64>":            "é",
		"<x:biginteger>007</x:biginteger>": "007",
		"plain":                            "plain",
	} {
		value := "<value>" + sent + "</value>"
		for _, method := range []string{"text", "texts"} {
			direct := fmt.Sprintf("<methodCall><methodName>%s</methodName><params><param>%s</param></params></methodCall>", method, value)
			if got := recordCall(t, h, direct).wantValue(t); got != want {
				t.Errorf("%s called directly: got %q, want %q", method, got, want)
			}
			if got := recordCall(t, h, multicallOf(method, value)).wantValue(t); !reflect.DeepEqual(got, any([]any{[]any{want}})) {
				t.Errorf("%s in a multicall: got %q, want %q", method, got, want)
			}
		}
	}
}

func TestADepthThatTheLimitsAllowIsAllowedInAMulticallToo(t *testing.T) {
	deep := strings.Repeat("<value><array><data>", 90) + strings.Repeat("</data></array></value>", 90)
	r := xmlrpc.NewRegistry()
	levels := func(value any) (n int, err error) {
		for list, ok := value.([]any); ok; list, ok = value.([]any) {
			n++
			if value = nil; len(list) > 0 {
				value = list[0]
			}
		}
		return n, nil
	}
	register(t, r, "levels", levels, "")
	register(t, r, "listed", func(values ...any) (int, error) { return levels(values[0]) }, "")
	h := xmlrpc.NewHandler(r, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Depth: 100}))
	for _, method := range []string{"levels", "listed"} {
		if got := recordCall(t, h, multicallOf(method, deep)).wantValue(t); !reflect.DeepEqual(got, any([]any{[]any{90}})) {
			t.Errorf("%s: got %v", method, got)
		}
	}
}

func TestAFaultOfAMulticallHasACodeThatClientsRead(t *testing.T) {
	r := xmlrpc.NewRegistry()
	register(t, r, "huge", func() (int, error) { return 0, &xmlrpc.Fault{Code: 1 << 40, String: "a\x01"} }, "")
	for _, policy := range []xmlrpc.Forbidden{xmlrpc.ReplaceForbidden, xmlrpc.DropForbidden, xmlrpc.RefuseForbidden} {
		h := xmlrpc.NewHandler(r, xmlrpc.WithEncoding(xmlrpc.WithForbidden(policy)))
		answer := recordCall(t, h, callOf(t, "system.multicall", []any{inner("huge")}))
		want := []any{map[string]any{"faultCode": xmlrpc.CodeApplicationError, "faultString": "a\ufffd"}}
		if got := answer.wantValue(t); !reflect.DeepEqual(got, any(want)) {
			t.Errorf("got %v, want %v", got, want)
		}
		if text := recordCall(t, h, callOf(t, "huge")).wantFault(t, xmlrpc.CodeApplicationError); text != "a\ufffd" {
			t.Errorf("called directly: %q", text)
		}
	}
}

func TestAMulticallWithoutCallsIsAskedForAndTold(t *testing.T) {
	k := &hooks{}
	h := xmlrpc.NewHandler(echoRegistry(t), k.options()...)
	recordCall(t, h, callOf(t, "system.multicall", []any{})).wantValue(t)
	k.want(t, "before system.multicall true", "after system.multicall <nil>")
	recordCall(t, h, callOf(t, "system.multicall", []any{1, inner("bridge.echo"), "x"})).wantValue(t)
	k.want(t, "before system.multicall true", "after system.multicall -32600",
		"before bridge.echo true", "after bridge.echo <nil>",
		"before system.multicall true", "after system.multicall -32600")
	recordCall(t, h, callOf(t, "system.multicall", make([]any, 101))).wantFault(t, xmlrpc.CodeInvalidRequest)
	k.want(t, "before system.multicall true", "after system.multicall -32600")

	k.refuse = "system.multicall"
	answer := recordCall(t, h, callOf(t, "system.multicall", []any{}))
	answer.wantFault(t, 429)
	k.want(t, "before system.multicall true", "after system.multicall 429")
	if answer.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After is %q", answer.header.Get("Retry-After"))
	}
	list, ok := recordCall(t, h, callOf(t, "system.multicall", []any{"x", inner("bridge.echo")})).wantValue(t).([]any)
	if !ok || len(list) != 2 || list[0].(map[string]any)["faultCode"] != 429 || !reflect.DeepEqual(list[1], []any{[]any{}}) {
		t.Errorf("got %v", list)
	}
	k.want(t, "before system.multicall true", "after system.multicall 429", "before bridge.echo true", "after bridge.echo <nil>")
}

// ascii tells whether a text has only printable ASCII.
func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// picky refuses every text, and repeats it.
type picky struct{}

func (*picky) UnmarshalText(text []byte) error { return fmt.Errorf("cannot use %s", text) }

func TestWhatAFaultQuotesIsShortAndASCII(t *testing.T) {
	r := echoRegistry(t)
	register(t, r, "pick", func(picky) (bool, error) { return true, nil }, "")
	h := xmlrpc.NewHandler(r)
	long := strings.Repeat("é\n", 5000)
	list, ok := recordCall(t, h, callOf(t, "system.multicall", []any{inner("né"), inner(long), inner("pick", long)})).wantValue(t).([]any)
	if !ok || len(list) != 3 {
		t.Fatalf("got %v", list)
	}
	texts := []string{
		recordCall(t, h, callOf(t, "pick", long)).wantFault(t, xmlrpc.CodeInvalidParams),
		recordCall(t, h, callOf(t, "system.methodHelp", "né")).wantFault(t, xmlrpc.CodeInvalidParams),
		recordCall(t, h, callOf(t, "system.methodHelp", long)).wantFault(t, xmlrpc.CodeInvalidParams),
	}
	for _, item := range list {
		texts = append(texts, item.(map[string]any)["faultString"].(string))
	}
	for _, text := range texts {
		if !ascii(text) || len(text) > 700 {
			t.Errorf("%d bytes: %.200s", len(text), text)
		}
	}
}

func TestAnEchoOfTheGreatestDepthCanBeWritten(t *testing.T) {
	deepest := func(levels int) string {
		return strings.Repeat("<value><array><data>", levels) + strings.Repeat("</data></array></value>", levels)
	}
	for _, limit := range []int{2, 64, 90} {
		h := xmlrpc.NewHandler(echoRegistry(t), xmlrpc.WithHandlerLimits(xmlrpc.Limits{Depth: limit}))
		doc := "<methodCall><methodName>bridge.echo</methodName><params><param>" + deepest(limit) + "</param></params></methodCall>"
		answers := map[string]rawAnswer{"direct": recordCall(t, h, doc)}
		if limit > 3 {
			answers["multicall"] = recordCall(t, h, multicallOf("bridge.echo", deepest(limit-3)))
		}
		for about, answer := range answers {
			var got any
			if err := xmlrpc.ParseResponse(answer.body, &got, xmlrpc.WithLimits(xmlrpc.Limits{Depth: limit + 3})); err != nil {
				t.Errorf("%s, limit %d: %v", about, limit, err)
			}
		}
	}
}

func TestAMulticallStopsWhenTheTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := echoRegistry(t)
	register(t, r, "cancel", func() (bool, error) { cancel(); return true, nil }, "")
	list, ok := recordCallIn(ctx, t, xmlrpc.NewHandler(r), callOf(t, "system.multicall", []any{
		inner("cancel"), inner("bridge.echo"), "x",
	})).wantValue(t).([]any)
	if !ok || len(list) != 3 || !reflect.DeepEqual(list[0], []any{true}) {
		t.Fatalf("got %v", list)
	}
	for _, item := range list[1:] {
		if fault, ok := item.(map[string]any); !ok || fault["faultCode"] != xmlrpc.CodeSystemError {
			t.Errorf("got %v", item)
		}
	}
}
