package integration

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	kolo "github.com/kolo/xmlrpc"
)

var koloFaultText = regexp.MustCompile(`(?s)^Fault\((-?\d+)\): (.*)$`)

var koloDiffers = map[string]difference{
	"i8":           {`got ["9007199254740993"]`, intTag},
	"string_empty": {"got [<nil>]", "it reads an empty string into an interface as nil"},
	"base64":       {`got ["AAECAwQF`, "it hands over the text of base64 as a string"},
	"struct_empty": {"got [map[]]", "it reads an empty struct as a nil map"},
	"struct_odd":   {"fault -32700 not well formed", unescapedKey},
	"nil":          {"fault -32600 ", "it writes an empty param for nil"},
}

// koloCalls makes the calls of a stack with kolo/xmlrpc, which reads into any: int64, float64,
// bool, string, time.Time, []any and map[string]any.
func koloCalls(t *testing.T, g *gatewayProcess) map[string][]string {
	client, err := kolo.NewClient("http://"+g.Private+"/RPC2", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	lines := map[string][]string{}
	for check, sent := range map[string][]any{
		"int": {int64(-2147483648)}, "i8": {int64(9007199254740993)}, "boolean_true": {true}, "boolean_false": {false},
		"double": {-2.5}, "double_exact": {0.30000000000000004}, "double_small": {1e-7},
		"string": {"plain"}, "string_empty": {""}, "string_markup": {`<&>"']]>`}, "string_accents": {"Žluťoučký café 日本"},
		"string_emoji": {"🙂"}, "string_blanks": {"  a  b "}, "string_lines": {"a\nb\tc"}, "string_cr": {"a\r\nb"},
		"string_digits": {"042"}, "string_long": {strings.Repeat("x", 300000)},
		"datetime": {time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC)}, "base64": {kolo.Base64(base64.StdEncoding.EncodeToString(bytes))},
		"array": {[]any{int64(1), "two", true}}, "array_empty": {[]any{}},
		"array_nested": {[]any{[]any{int64(1), []any{int64(2), []any{}}}, []any{map[string]any{"a": []any{int64(3)}}}}},
		"struct":       {map[string]any{"id": int64(7), "title": "x"}}, "struct_empty": {map[string]any{}},
		"struct_nested": {map[string]any{"a": map[string]any{"b": map[string]any{"c": []any{int64(1), int64(2)}}}}},
		"struct_odd":    {map[string]any{"<k & é>": int64(1), "with space": int64(2)}},
		"nil":           {nil}, "params": {int64(1), "two", 3.5}, "no_params": {},
	} {
		var got []any
		err := client.Call("bridge.echo", sent, &got)
		switch code, text, isFault := koloFault(err); {
		case isFault:
			lines[check] = []string{"fault " + code + " " + text}
		case err != nil:
			lines[check] = []string{"error " + err.Error()}
		case len(got) == len(sent) && (len(sent) == 0 || reflect.DeepEqual(got, sent)):
			lines[check] = []string{"ok"}
		default:
			lines[check] = []string{fmt.Sprintf("got %.200q", got)}
		}
	}
	for check, call := range map[string][]any{"fault": {"trackers.getLink", "nowhere", "1"}, "unknown": {"no.such.method"}} {
		code, text, _ := koloFault(client.Call(call[0].(string), call[1:], new(any)))
		lines[check] = []string{code, text}
	}
	var token string
	var methods []string
	if err := errors.Join(client.Call("bugs.newBugTrackerToken", nil, &token), client.Call("system.listMethods", nil, &methods)); err != nil {
		t.Error(err)
	}
	lines["token"], lines["methods"] = []string{token}, methods
	return lines
}

// koloFault takes a fault apart, of which net/rpc leaves the text.
func koloFault(err error) (code, text string, ok bool) {
	if err == nil {
		return "", "", false
	}
	found := koloFaultText.FindStringSubmatch(err.Error())
	if found == nil {
		return "", "", false
	}
	return found[1], found[2], true
}
