package integration

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var (
	curlFault   = regexp.MustCompile(`(?s)<name>faultCode</name><value><int>(-?\d+)</int></value>.*<name>faultString</name><value><string>(.*)</string>`)
	curlStrings = regexp.MustCompile(`<string>([^<]*)</string>`)
)

// curlCalls makes the calls of a stack with documents written by hand, whose values must be
// in the answer byte for byte: they are written in the one form that the gateway writes.
func curlCalls(t *testing.T, g *gatewayProcess) map[string][]string {
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	lines := map[string][]string{}
	for check, sent := range map[string][]string{
		"int": {"<int>-2147483648</int>"}, "i8": {"<i8>9007199254740993</i8>"},
		"boolean_true": {"<boolean>1</boolean>"}, "boolean_false": {"<boolean>0</boolean>"},
		"double": {"<double>-2.5</double>"}, "double_exact": {"<double>0.30000000000000004</double>"}, "double_small": {"<double>0.0000001</double>"},
		"string": {"<string>plain</string>"}, "string_empty": {"<string></string>"}, "string_markup": {`<string>&lt;&amp;&gt;"']]&gt;</string>`},
		"string_accents": {"<string>Žluťoučký café 日本</string>"}, "string_emoji": {"<string>🙂</string>"},
		"string_blanks": {"<string>  a  b </string>"}, "string_lines": {"<string>a\nb\tc</string>"}, "string_cr": {"<string>a&#13;\nb</string>"},
		"string_digits": {"<string>042</string>"}, "string_long": {"<string>" + strings.Repeat("x", 300000) + "</string>"},
		"datetime":    {"<dateTime.iso8601>20261121T19:35:03</dateTime.iso8601>"},
		"base64":      {"<base64>" + base64.StdEncoding.EncodeToString(bytes) + "</base64>"},
		"array":       {curlArray("<int>1</int>", "<string>two</string>", "<boolean>1</boolean>")},
		"array_empty": {curlArray()},
		"array_nested": {curlArray(
			curlArray("<int>1</int>", curlArray("<int>2</int>", curlArray())),
			curlArray(curlStruct("a", curlArray("<int>3</int>"))))},
		"struct": {curlStruct("id", "<int>7</int>", "title", "<string>x</string>")}, "struct_empty": {curlStruct()},
		"struct_nested": {curlStruct("a", curlStruct("b", curlStruct("c", curlArray("<int>1</int>", "<int>2</int>"))))},
		"struct_odd":    {curlStruct("&lt;k &amp; é&gt;", "<int>1</int>", "with space", "<int>2</int>")},
		"nil":           {"<nil/>"},
		"params":        {"<int>1</int>", "<string>two</string>", "<double>3.5</double>"},
		"no_params":     {},
	} {
		answer := postXML(t, g, "/RPC2", rpcDocument("bridge.echo", sent...))
		if strings.Contains(answer.Body, "<param><value>"+curlArray(sent...)+"</value></param>") {
			lines[check] = []string{"ok"}
		} else {
			lines[check] = []string{fmt.Sprintf("got %.400s", answer.Body)}
		}
	}
	for check, document := range map[string]string{
		"fault":   rpcDocument("trackers.getLink", "<string>nowhere</string>", "<string>1</string>"),
		"unknown": rpcDocument("no.such.method"),
	} {
		if found := curlFault.FindStringSubmatch(postXML(t, g, "/RPC2", document).Body); found != nil {
			lines[check] = found[1:]
		}
	}
	for check, method := range map[string]string{"token": "bugs.newBugTrackerToken", "methods": "system.listMethods"} {
		for _, found := range curlStrings.FindAllStringSubmatch(postXML(t, g, "/RPC2", rpcDocument(method)).Body, -1) {
			lines[check] = append(lines[check], found[1])
		}
	}
	return lines
}

func curlArray(values ...string) string {
	var b strings.Builder
	for _, value := range values {
		b.WriteString("<value>" + value + "</value>")
	}
	return "<array><data>" + b.String() + "</data></array>"
}

// curlStruct is a struct of names and values in turn.
func curlStruct(namesAndValues ...string) string {
	var b strings.Builder
	for i := 0; i < len(namesAndValues); i += 2 {
		b.WriteString("<member><name>" + namesAndValues[i] + "</name><value>" + namesAndValues[i+1] + "</value></member>")
	}
	return "<struct>" + b.String() + "</struct>"
}
