package xmlrpc

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

func seed(f *testing.F) {
	f.Helper()
	for _, c := range corpus(f) {
		if len(c.Doc) < 4096 {
			f.Add(c.Doc, "")
		}
	}
	files, err := filepath.Glob("testdata/clients/*/*nested*.request.http")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		if body, err := os.ReadFile(path); err == nil {
			_, doc, _ := bytes.Cut(body, []byte("\r\n\r\n"))
			f.Add(doc, "")
		}
	}
	f.Add(callWith("<value>\xef\xf0</value>"), "windows-1251")
	f.Add(encode16(string(callWith("<value>é</value>")), false, false), "utf-16")
}

// Whatever is sent, reading ends in a value or in an error with a fault code,
// and what is read keeps to the limits.
func FuzzDecodeNeverPanicsAndKeepsToItsLimits(f *testing.F) {
	seed(f)
	limits := Limits{Bytes: 4096, Depth: 4, Values: 20, NameLength: 30, StringLength: 60}
	f.Fuzz(func(t *testing.T, doc []byte, charset string) {
		for _, opts := range [][]DecodeOption{
			{WithCharset(charset)}, {WithCharset(charset), WithLimits(limits)}, {WithCharset(charset), WithRepair()},
		} {
			call, err := ParseCall(doc, opts...)
			checkDecodeError(t, err)
			if err == nil {
				var bugs benchBugs
				for i, v := range call.Params() {
					_ = v
					checkDecodeError(t, call.DecodeParam(i, &bugs))
				}
			}
			var v any
			checkDecodeError(t, ParseResponse(doc, &v, opts...))
			checkDecodeError(t, Unmarshal(doc, &v, opts...))
		}
		call, err := ParseCall(doc, WithCharset(charset), WithLimits(limits))
		if err != nil {
			return
		}
		values := 0
		for _, n := range call.tape.nodes {
			switch {
			case n.kind == kindName && int(n.n) > limits.NameLength:
				t.Errorf("a name of %d bytes", n.n)
			case n.kind != kindName && int(n.n) > limits.StringLength:
				t.Errorf("a text of %d bytes", n.n)
			}
			if n.kind != kindName {
				values++
			}
		}
		if values > limits.Values || len(doc) > limits.Bytes || len(call.Method) > limits.NameLength {
			t.Errorf("%d values, %d bytes, method of %d", values, len(doc), len(call.Method))
		}
		for _, v := range call.Params() {
			if d := depthOf(v); d > limits.Depth {
				t.Errorf("depth %d", d)
			}
		}
	})
}

func checkDecodeError(t *testing.T, err error) {
	t.Helper()
	var coded FaultCoder
	if err == nil {
		return
	}
	if !errors.As(err, &coded) {
		t.Fatalf("an error without a fault code: %v", err)
	}
	var bad *DecodeError
	if errors.As(err, &bad) && (bad.code > -32600 || bad.code < -32702) {
		t.Fatalf("code %d", bad.code)
	}
	if errors.As(err, &bad) && len(bad.FaultString()) > 2000 {
		t.Fatalf("a fault string of %d bytes", len(bad.FaultString()))
	}
}

func depthOf(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
		return deepest + 1
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depthOf(inner))
		}
		return deepest + 1
	}
	return 0
}

// A document that is read, written, read and written again is the same as when
// it was written first, and its values are the same but for what is never
// written: zones, fractions and numbers past 64 bits.
func FuzzDecodeEncodeDecodeIsStable(f *testing.F) {
	seed(f)
	all := WithFeatures(Features{Nil: true, I8: true})
	roomy := WithLimits(Limits{Bytes: 64 << 20})
	f.Fuzz(func(t *testing.T, doc []byte, charset string) {
		call, err := ParseCall(doc, WithCharset(charset))
		if err != nil {
			return
		}
		first, err := AppendCall(nil, call.Method, call.Params(), all)
		if err != nil {
			if strings.Contains(err.Error(), "four digits") {
				return
			}
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ParseCall(first, roomy)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, first)
		}
		second, err := AppendCall(nil, again.Method, again.Params(), all)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written differently the second time: %v\n%s\n%s", err, first, second)
		}
		if got, want := again.Params(), asWritten(call.Params()); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
		// A stream finds the end of each document, in whatever pieces it comes.
		alone, err := NewDecoder(iotest.OneByteReader(bytes.NewReader(doc)), WithCharset(charset)).Call()
		if err != nil || !reflect.DeepEqual(alone.Params(), call.Params()) {
			t.Fatalf("not read from a stream: %v", err)
		}
		stream := NewDecoder(iotest.HalfReader(bytes.NewReader(append(first, first...))), roomy)
		for range 2 {
			if one, err := stream.Call(); err != nil || !reflect.DeepEqual(one.Params(), again.Params()) {
				t.Fatalf("not read from a stream of two: %v", err)
			}
		}
		if _, err := stream.Call(); !errors.Is(err, io.EOF) {
			t.Fatalf("behind the end: %v", err)
		}
	})
}

// asWritten replaces what is written in another form by that form.
func asWritten(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = asWritten(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[name] = asWritten(inner)
		}
		return out
	case DateTime:
		return recordedTime(v.String())
	case BigDecimal:
		return string(v)
	case fmt.Stringer: // *big.Int
		var back any
		doc, err := Marshal(v, WithFeatures(Features{I8: true}))
		if err == nil && Unmarshal(doc, &back) == nil {
			return back
		}
	}
	return v
}

// surrogates finds references to halves of surrogate pairs, which encoding/xml
// turns into U+FFFD and we join or refuse.
var surrogates = regexp.MustCompile(`&#(0*5[567][0-9]{3}|x0*[dD][89a-fA-F][0-9a-fA-F]{2});`)

// What encoding/xml refuses as not well formed is refused here as that, and what
// is accepted here means the same there. Both read the document as UTF-8.
// Excepted are surrogate pairs as two references, and versions 1.x of XML, which
// encoding/xml does not process as 1.0.
func FuzzOursAgainstEncodingXML(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, doc []byte, charset string) {
		call, refused := ParseCall(doc, WithCharset(charset))
		var why *DecodeError
		if errors.As(refused, &why) && (why.code != CodeInvalidRequest || strings.Contains(why.reason, "limit")) {
			return
		}
		text, bad := utf8Document(doc, charset)
		if bad != nil {
			t.Fatal(bad)
		}
		root, err := readTree(text)
		if err != nil {
			// A DOCTYPE is refused unread, whatever follows it.
			if strings.Contains(err.Error(), "unsupported version") || refused != nil && strings.Contains(refused.Error(), "document type") {
				return
			}
			t.Fatalf("well formed here (%v), refused by encoding/xml: %v\n%q", refused, err, text)
		}
		if refused != nil || surrogates.Match(text) {
			return
		}
		theirs := strings.Trim(root.children[0].text, " \t\r\n") + "(" + meaningOf(root) + ")"
		ours := call.Method + "("
		for _, i := range call.params {
			ours += call.tape.meaning(i) + ";"
		}
		if ours += ")"; ours != theirs {
			t.Fatalf("%q\nours   %q\ntheirs %q", text, ours, theirs)
		}
	})
}

// element is an element as encoding/xml reads it.
type element struct {
	name     string
	text     string
	children []*element
}

func readTree(doc []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	top := &element{}
	open := []*element{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(top.children) == 0 {
				return nil, errors.New("no root element")
			}
			return top.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		last := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local}
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			last.text += string(token)
		}
	}
}

// meaningOf writes the params of a methodCall in one line.
func meaningOf(call *element) string {
	if len(call.children) < 2 {
		return ""
	}
	var b strings.Builder
	for _, param := range call.children[1].children {
		b.WriteString(param.children[0].meaning() + ";")
	}
	return b.String()
}

func (e *element) meaning() string {
	if len(e.children) == 0 {
		return fmt.Sprintf("text:%q", e.text)
	}
	switch inner := e.children[0]; inner.name {
	case "array":
		parts := "["
		for _, v := range inner.children[0].children {
			parts += v.meaning() + ";"
		}
		return parts + "]"
	case "struct":
		parts := "{"
		for _, m := range inner.children {
			parts += fmt.Sprintf("%q=%s;", m.children[0].text, m.children[1].meaning())
		}
		return parts + "}"
	case "string":
		return fmt.Sprintf("text:%q", inner.text)
	case "base64":
		data, _ := base64.StdEncoding.DecodeString(strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "").Replace(inner.text))
		return fmt.Sprintf("data:%q", data)
	default:
		return fmt.Sprintf("%s:%q", meaningNames[inner.name], strings.Trim(inner.text, " \t\r\n"))
	}
}

var meaningNames = map[string]string{
	"int": "number", "i4": "number", "i8": "number", "i1": "number", "i2": "number", "boolean": "boolean",
	"double": "double", "float": "double", "dateTime.iso8601": "date", "dateTime": "date", "nil": "nil",
	"biginteger": "biginteger", "bigdecimal": "bigdecimal",
}

func (t *tape) meaning(i uint32) string {
	n := &t.nodes[i]
	switch n.kind {
	case kindArray:
		parts := "["
		for at := i + 1; at < n.next; at = t.nodes[at].next {
			parts += t.meaning(at) + ";"
		}
		return parts + "]"
	case kindStruct:
		parts := "{"
		for at := i + 1; at < n.next; at = t.nodes[at+1].next {
			parts += fmt.Sprintf("%q=%s;", t.str(&t.nodes[at]), t.meaning(at+1))
		}
		return parts + "}"
	}
	names := map[kind]string{
		kindString: "text", kindInt: "number", kindI8: "number", kindBoolean: "boolean", kindDouble: "double",
		kindDateTime: "date", kindBase64: "data", kindNil: "nil", kindBigInteger: "biginteger", kindBigDecimal: "bigdecimal",
	}
	return fmt.Sprintf("%s:%q", names[n.kind], t.str(n))
}
