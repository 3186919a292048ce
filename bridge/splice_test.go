package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/trackgate/trackgate/xmlrpc"
)

func utf16le(s string) string {
	var out bytes.Buffer
	for _, u := range utf16.Encode([]rune(s)) {
		out.WriteByte(byte(u))
		out.WriteByte(byte(u >> 8))
	}
	return out.String()
}

func utf16be(s string) string {
	var out bytes.Buffer
	for _, u := range utf16.Encode([]rune(s)) {
		out.WriteByte(byte(u >> 8))
		out.WriteByte(byte(u))
	}
	return out.String()
}

var sessionMembers = map[string]string{"key": "a<&>\"'é\U0001f600", "other": "0123456789"}

const splicedMembers = "<member><name>key</name><value><string>a&#60;&#38;&#62;&#34;&#39;&#233;&#128512;</string></value></member>" +
	"<member><name>other</name><value><string>0123456789</string></value></member>"

func TestMembersAreSplicedInWithoutAnyOtherChange(t *testing.T) {
	const before, after = "<methodCall><methodName>a</methodName>", "</methodCall>"
	for name, tc := range map[string]struct{ document, want string }{
		"a struct": {
			before + "<params><param><value><struct><member><name>x</name><value><struct></struct></value></member></struct></value></param></params>" + after,
			before + "<params><param><value><struct><member><name>x</name><value><struct></struct></value></member>MEMBERS</struct></value></param></params>" + after,
		},
		"the first of two": {
			before + "<params><param><value><struct></struct></value></param><param><value><struct></struct></value></param></params>" + after,
			before + "<params><param><value><struct>MEMBERS</struct></value></param><param><value><struct></struct></value></param></params>" + after,
		},
		"an empty struct": {
			before + "<params><param><value> <struct a='/>' /> </value></param></params>" + after,
			before + "<params><param><value> <struct a='/>' >MEMBERS</struct> </value></param></params>" + after,
		},
		"no parameters": {
			before + " " + after,
			before + " <params><param><value><struct>MEMBERS</struct></value></param></params>" + after,
		},
		"empty params": {
			before + "<params>\n</params >" + after,
			before + "<params>\n<param><value><struct>MEMBERS</struct></value></param></params >" + after,
		},
		"a params element that is empty": {
			before + "<params/>" + after,
			before + "<params><param><value><struct>MEMBERS</struct></value></param></params>" + after,
		},
		"what only looks like tags": {
			"<?xml version='1.0'?><?pi </struct> ?><!-- </struct> --><methodCall><methodName>a</methodName><params><param><value><struct><member><name><![CDATA[</struct>]]></name><value>&lt;/struct></value></member></struct></value></param></params></methodCall>",
			"<?xml version='1.0'?><?pi </struct> ?><!-- </struct> --><methodCall><methodName>a</methodName><params><param><value><struct><member><name><![CDATA[</struct>]]></name><value>&lt;/struct></value></member>MEMBERS</struct></value></param></params></methodCall>",
		},
	} {
		want := strings.Replace(tc.want, "MEMBERS", splicedMembers, 1)
		for form, encode := range map[string]func(string) string{
			"as it is":                   func(s string) string { return s },
			"with a mark":                func(s string) string { return "\xef\xbb\xbf" + s },
			"in UTF-16":                  func(s string) string { return "\xff\xfe" + utf16le(s) },
			"in UTF-16 the other way":    func(s string) string { return "\xfe\xff" + utf16be(s) },
			"in UTF-16 without a mark":   utf16le,
			"in UTF-16BE without a mark": utf16be,
		} {
			got, err := spliceMembers([]byte(encode(tc.document)), sessionMembers)
			if err != nil || string(got) != encode(want) {
				t.Errorf("%s %s: %q, %v, want %q", name, form, got, err, encode(want))
			}
		}
		if got, err := spliceMembers([]byte(tc.document), nil); err != nil || string(got) != tc.document {
			t.Errorf("%s: without members it became %q, %v", name, got, err)
		}
	}
}

func TestMembersAreSplicedIntoNothingButAStruct(t *testing.T) {
	for _, value := range []string{"<int>1</int>", "x", "", "<array><data><value><struct></struct></value></data></array>"} {
		document := "<methodCall><methodName>a</methodName><params><param><value>" + value + "</value></param></params></methodCall>"
		if got, err := spliceMembers([]byte(document), sessionMembers); err == nil {
			t.Errorf("%q became %q", value, got)
		}
	}
	for _, document := range []string{"", "<methodCall>", "<!DOCTYPE a><methodCall/>", "x", "<a><b></a></b>"} {
		if got, err := spliceMembers([]byte(document), sessionMembers); err == nil {
			t.Errorf("%q became %q", document, got)
		}
	}
}

func TestHiddenMembersAreCutOutAndNothingElse(t *testing.T) {
	const hidden = "<member><name>token</name><value>x</value></member>"
	for name, tc := range map[string]struct{ members, want string }{
		"none":                 {"<member><name>tokens</name><value>token</value></member>", ""},
		"one":                  {"a" + hidden + "b", "ab"},
		"all":                  {hidden + " " + hidden, " "},
		"after its value":      {"<member><value>x</value><name>token</name></member>", "-"},
		"with white space":     {"<member >\n<name >\r\n token\t</name >\n<value>x</value ></member >", "-"},
		"by references":        {"<member><name>&#116;&#x6f;k&#101;n</name><value/></member>", "-"},
		"in CDATA":             {"<member><name>to<![CDATA[ke]]>n</name><value/></member>", "-"},
		"around a comment":     {"<member><name>to<!-- -->ken</name><value/></member>", "-"},
		"with a prefix":        {"<x:member><x:name>token</x:name><value/></x:member>", "-"},
		"of two names":         {"<member><name>a</name><name>token</name><value/></member>", "-"},
		"inside another":       {"<member><name>a</name><value><struct>" + hidden + "</struct></value></member>", "<member><name>a</name><value><struct></struct></value></member>"},
		"with one inside":      {"<member><name>token</name><value><struct>" + hidden + "<member><name>a</name><value/></member></struct></value></member>", "-"},
		"with one before":      {hidden + "<member><name>token</name><value><struct>" + hidden + "</struct></value></member>c", "c"},
		"with attributes":      {"<member a='</member>'><name b=\">\">token</name><value/></member>", "-"},
		"not escaped twice":    {"<member><name>t&amp;#111;ken</name><value/></member>", ""},
		"not of an entity":     {"<member><name>to&ken;</name><value/></member>", ""},
		"not in another case":  {"<member><name>Token</name><value/></member>", ""},
		"not outside a member": {"<name>token</name>", ""},
	} {
		want := tc.want
		switch want {
		case "":
			want = tc.members
		case "-":
			want = ""
		}
		for form, encode := range map[string]func(string) string{
			"as it is":  func(s string) string { return s },
			"in UTF-16": func(s string) string { return "\xff\xfe" + utf16le(s) },
		} {
			document := textOf([]byte(encode(response("<struct>"+tc.members+"</struct>"))), "")
			_, spans, err := inspectAnswer(document, []string{"token"})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got, want := string(document.cut(spans)), encode(response("<struct>"+want+"</struct>")); got != want {
				t.Errorf("%s, %s: %q, want %q", name, form, got, want)
			}
		}
	}
}

func TestWhatIsNoAnswerIsFoundOutByItsTags(t *testing.T) {
	deep := strings.Repeat("<a>", maxElementDepth) + strings.Repeat("</a>", maxElementDepth)
	for _, document := range []string{
		"", " ", "x", "<html><body/></html>", "<methodResponse/>", "<methodResponse></methodResponse>", "<methodResponse><other/></methodResponse>",
		"<methodCall><params/></methodCall>", "<methodResponse><params>", "<methodResponse><params></fault></methodResponse>",
		trueAnswer + trueAnswer, trueAnswer + "</a>", "<!DOCTYPE x>" + trueAnswer, trueAnswer[:100], "<methodResponse><params><!-- </params></methodResponse>",
		"<methodResponse><params><![CDATA[</params></methodResponse>", "<methodResponse><params><?</params></methodResponse>",
		"<methodResponse><params a='></params></methodResponse>", "<methodResponse><!----><params>< a></params></methodResponse>",
		"<methodResponse><!----><params><></params></methodResponse>", "<methodResponse><params>token</a></params></methodResponse>",
		"<methodResponse><!----><params>" + deep + "</params></methodResponse>", "+ADw-methodResponse+AD4-", "<methodResponse><!x></methodResponse>",
	} {
		if _, _, err := inspectAnswer(textOf([]byte(document), ""), []string{"token"}); err == nil {
			t.Errorf("%.100q was taken for an answer", document)
		}
	}
}

func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		"<methodCall><methodName>a</methodName></methodCall>",
		"<methodCall><methodName>a</methodName><params/></methodCall>",
		"<methodCall><methodName>a</methodName><params><param><value><struct/></value></param></params></methodCall>",
		"<?xml version='1.0' encoding='iso-8859-1'?><!--x--><methodCall><methodName>a</methodName><params><param><value><struct><member><name>\xe9</name><value><![CDATA[</struct>]]></value></member></struct></value></param></params></methodCall>",
		"<methodCall><methodName>a</methodName><params><param><value><int>1</int></value></param></params></methodCall>",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte("\xff\xfe"+utf16le(seed)), "utf-16")
		f.Add([]byte(utf16be(seed)), "")
	}
	f.Fuzz(func(t *testing.T, document []byte, charset string) {
		spliced, err := spliceCall(document, charset, sessionMembers)
		before, parseErr := xmlrpc.ParseCall(document, xmlrpc.WithCharset(charset))
		if parseErr != nil {
			return // it must not panic, and what it makes of this is not sent
		}
		params := before.Params()
		var first any
		if len(params) > 0 {
			first = params[0]
		}
		members, isStruct := first.(map[string]any)
		if err != nil {
			if isStruct || len(params) == 0 {
				t.Fatalf("%q: %v", document, err)
			}
			return
		}
		if len(params) > 0 && !isStruct {
			t.Fatalf("%q was spliced into", document)
		}
		after, err := xmlrpc.ParseCall(spliced, xmlrpc.WithCharset(charset))
		if err != nil {
			t.Fatalf("%q became %q: %v", document, spliced, err)
		}
		want := maps.Clone(members)
		if want == nil {
			want = map[string]any{}
		}
		for name, value := range sessionMembers {
			want[name] = value
		}
		got := after.Params()
		if after.Method != before.Method || !reflect.DeepEqual(got[0], any(want)) || len(params) > 1 && !reflect.DeepEqual(got[1:], params[1:]) {
			t.Fatalf("%q became %q: %v", document, spliced, got)
		}
		head := 0
		for head < len(document) && document[head] == spliced[head] {
			head++
		}
		// What was taken out is at most the /> of an empty element.
		if tail := len(document) - head; tail > 0 {
			width := 1
			if textOf(document, charset).order != nil {
				width = 2
			}
			if same := max(0, tail-2*width); !bytes.HasSuffix(spliced, document[len(document)-same:]) {
				t.Fatalf("%q became %q", document, spliced)
			}
		}
	})
}

func FuzzHide(f *testing.F) {
	for _, seed := range []string{
		trueAnswer,
		response("<struct><member><name>token</name><value>x</value></member><member><name>a</name><value><struct><member><name>tok&#101;n</name><value/></member></struct></value></member></struct>"),
		response("<struct><member><name>to<![CDATA[ken]]></name><value><struct><member><name>token</name><value/></member></struct></value></member></struct>"),
		"<methodResponse><fault><value><struct><member><value>x</value><name>token</name></member></struct></value></fault></methodResponse>",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte("\xff\xfe"+utf16le(seed)), "")
	}
	f.Fuzz(func(t *testing.T, document []byte, charset string) {
		hide := []string{"token"}
		original := bytes.Clone(document)
		t1 := textOf(document, charset)
		fault, spans, err := inspectAnswer(t1, hide)
		if err != nil {
			return
		}
		// Everything outside the spans stays, in its order.
		var want []byte
		at := 0
		for _, s := range spans {
			if t1.at(s.from) < at || s.to <= s.from {
				t.Fatalf("%q: spans %v", original, spans)
			}
			want = append(want, original[at:t1.at(s.from)]...)
			at = t1.at(s.to)
		}
		want = append(want, original[at:]...)
		left := t1.cut(spans)
		if !bytes.Equal(left, want) {
			t.Fatalf("%q became %q, want %q", original, left, want)
		}
		again, more, err := inspectAnswer(textOf(left, charset), hide)
		if err != nil || again != fault || len(more) != 0 {
			t.Fatalf("%q became %q: %v, %v", original, left, more, err)
		}
		// What our decoder reads it reads as before, without the members.
		var before, after any
		opts := []xmlrpc.DecodeOption{xmlrpc.WithCharset(charset)}
		if xmlrpc.ParseResponse(original, &before, opts...) != nil {
			return
		}
		if err := xmlrpc.ParseResponse(left, &after, opts...); err != nil {
			t.Fatalf("%q became %q: %v", original, left, err)
		}
		if want := without(before, "token"); !reflect.DeepEqual(after, want) {
			t.Fatalf("%q became %v, want %v", original, after, want)
		}
	})
}

func FuzzWhatOurDecoderReadsIsInspected(f *testing.F) {
	for _, seed := range []string{
		trueAnswer,
		"<?xml version='1.0' encoding='iso-8859-1'?>\n<!-- a --><methodResponse a='>'><params ><param>\n<value>caf\xe9<![CDATA[</value>]]></value></param></params></methodResponse>\n<?x y?>",
		string(xmlrpc.AppendFault(nil, 51, "a < b")),
		response("<x:struct><member><name>tok&#101;n</name><value/></member></x:struct>"),
		response("a\x01&#1;b"),
	} {
		for _, charset := range []string{"", "utf-8", "UTF-16", "utf-16le", "'utf-16be'", "latin1"} {
			f.Add([]byte(seed), charset)
			f.Add([]byte("\xef\xbb\xbf"+seed), charset)
			f.Add([]byte("\xff\xfe"+utf16le(seed)), charset)
			f.Add([]byte("\xfe\xff"+utf16be(seed)), charset)
			f.Add([]byte(utf16le(seed)), charset)
			f.Add([]byte(utf16be(seed)), charset)
		}
	}
	f.Fuzz(func(t *testing.T, document []byte, charset string) {
		var value any
		err := xmlrpc.ParseResponse(document, &value, xmlrpc.WithRepair(), xmlrpc.WithCharset(charset))
		refusal := new(xmlrpc.Fault)
		if err != nil && !errors.As(err, &refusal) {
			return
		}
		looked := textOf(document, charset)
		fault, hidden, inspected := inspectAnswer(looked, []string{"token"})
		if inspected != nil || fault != (err != nil) {
			t.Fatalf("%q, charset %q: read as %v, %v, and inspected as fault %v, %v", document, charset, value, err, fault, inspected)
		}
		if fault {
			return
		}
		var left any
		if err := xmlrpc.ParseResponse(looked.cut(hidden), &left, xmlrpc.WithRepair(), xmlrpc.WithCharset(charset)); err != nil {
			t.Fatalf("%q, charset %q: without hidden members it cannot be read: %v", document, charset, err)
		}
		if want := without(value, "token"); fmt.Sprint(left) != fmt.Sprint(want) { // which has NaN for the same as NaN
			t.Fatalf("%q, charset %q: %v, want %v", document, charset, left, want)
		}
	})
}

// without is a decoded value without members of a name.
func without(value any, name string) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, inner := range v {
			if strings.Trim(k, xmlSpace) != name {
				out[k] = without(inner, name)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = without(v[i], name)
		}
		return out
	}
	return value
}
