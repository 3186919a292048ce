package xmlrpc

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestValuesAreWrittenInTheFormsThatEveryClientReads(t *testing.T) {
	type tagged struct {
		A string `xmlrpc:"a&b"`
		B *int   `xmlrpc:"b"`
		C any    `xmlrpc:"c"`
		D string `xmlrpc:"d,omitempty"`
		E []int  `xmlrpc:"e,omitempty"`
	}
	type word string
	for _, c := range []struct {
		value any
		want  string
	}{
		{"", "<string></string>"},
		{"a<b>&\"'\r\n\t]]>é😀", "<string>a&lt;b&gt;&amp;\"'&#13;\n\t]]&gt;é😀</string>"},
		{word("w"), "<string>w</string>"},
		{0, "<int>0</int>"},
		{int8(-128), "<int>-128</int>"},
		{math.MaxInt32, "<int>2147483647</int>"},
		{math.MinInt32, "<int>-2147483648</int>"},
		{math.MaxInt32 + 1, "<string>2147483648</string>"},
		{int64(5), "<int>5</int>"},
		{uint64(math.MaxUint64), "<string>18446744073709551615</string>"},
		{uint8(7), "<int>7</int>"},
		{big.NewInt(5), "<int>5</int>"},
		{mustBig("123456789012345678901234567890"), "<string>123456789012345678901234567890</string>"},
		{BigDecimal("1.50"), "<string>1.50</string>"},
		{true, "<boolean>1</boolean>"},
		{false, "<boolean>0</boolean>"},
		{1.0, "<double>1.0</double>"},
		{1e-7, "<double>0.0000001</double>"},
		{1e21, "<double>1000000000000000000000.0</double>"},
		{float32(0.1), "<double>0.1</double>"},
		{math.Copysign(0, -1), "<double>-0.0</double>"},
		{recordedTime("20261121T19:35:03"), "<dateTime.iso8601>20261121T19:35:03</dateTime.iso8601>"},
		{recordedTime("20261121T19:35:03.5+0200"), "<dateTime.iso8601>20261121T17:35:03</dateTime.iso8601>"},
		{time.Date(2026, 11, 21, 19, 35, 3, 9, time.FixedZone("", -3600)), "<dateTime.iso8601>20261121T20:35:03</dateTime.iso8601>"},
		{[]byte{}, "<base64></base64>"},
		{[]byte("hi"), "<base64>aGk=</base64>"},
		{[2]byte{'h', 'i'}, "<base64>aGk=</base64>"},
		{[]any{}, "<array><data></data></array>"},
		{[]int(nil), "<array><data></data></array>"},
		{[]any{1, nil}, "<array><data><value><int>1</int></value><value><string></string></value></data></array>"},
		{[2]string{"a", ""}, "<array><data><value><string>a</string></value><value><string></string></value></data></array>"},
		{[]*int{nil}, "<array><data><value><string></string></value></data></array>"},
		{map[string]any{}, "<struct></struct>"},
		{map[string]any{"b": 1, "a<": "x", "n": nil}, "<struct><member><name>a&lt;</name><value><string>x</string></value></member>" +
			"<member><name>b</name><value><int>1</int></value></member></struct>"},
		{map[netip.Addr]bool{netip.MustParseAddr("::1"): true}, "<struct><member><name>::1</name><value><boolean>1</boolean></value></member></struct>"},
		{tagged{}, "<struct><member><name>a&amp;b</name><value><string></string></value></member></struct>"},
		{&tagged{B: ptr(1), C: 2, D: "d", E: []int{3}}, "<struct><member><name>a&amp;b</name><value><string></string></value></member>" +
			"<member><name>b</name><value><int>1</int></value></member><member><name>c</name><value><int>2</int></value></member>" +
			"<member><name>d</name><value><string>d</string></value></member>" +
			"<member><name>e</name><value><array><data><value><int>3</int></value></data></array></value></member></struct>"},
		{struct {
			*Pointed
			X int
		}{}, "<struct><member><name>X</name><value><int>0</int></value></member></struct>"},
		{struct {
			Pointed
			L level `xmlrpc:"l"`
		}{}, "<struct><member><name>far</name><value><string></string></value></member></struct>"},
		{level(2), "<string>**</string>"},
		{[]level{0, 1}, "<array><data><value><string></string></value><value><string>*</string></value></data></array>"},
		{netip.MustParseAddr("192.0.2.7"), "<string>192.0.2.7</string>"},
		{nil, "<string></string>"},
		{(*int)(nil), "<string></string>"},
		{ptr(ptr("p")), "<string>p</string>"},
		{ptr[any](nil), "<string></string>"},
	} {
		got, err := Marshal(c.value)
		if want := "<value>" + c.want + "</value>"; err != nil || string(got) != want {
			t.Errorf("%#v: %s, %v, want %s", c.value, got, err, want)
		}
	}
}

func TestMapsOfChangingNamesAreEachWrittenInOrder(t *testing.T) {
	maps := []any{
		map[string]any{"a": 1, "b": map[string]any{"x": 1}}, map[string]any{"b": map[string]any{"y": 1}, "a": 1},
		map[string]any{"b": 2, "c": 3}, map[string]any{"a": nil, "b": 2}, map[string]any{"a": 1}, map[string]any{},
		map[string]any{"a": 1, "b": 2}, map[string]any{"\x01": 1, "b": 2},
	}
	doc, err := Marshal(maps)
	if err != nil {
		t.Fatal(err)
	}
	var back []map[string]any
	if err := Unmarshal(doc, &back); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"a": 1, "b": map[string]any{"x": 1}}, {"a": 1, "b": map[string]any{"y": 1}}, {"b": 2, "c": 3}, {"b": 2}, {"a": 1}, {},
		{"a": 1, "b": 2}, {"\ufffd": 1, "b": 2},
	}
	if !reflect.DeepEqual(back, want) {
		t.Errorf("got %v, want %v", back, want)
	}
	again, err := Marshal(maps)
	if err != nil || !bytes.Equal(doc, again) {
		t.Error("the same maps were written differently", err)
	}
	names := regexp.MustCompile("<name>([a-c])</name>").FindAllStringSubmatch(string(doc), -1)
	got := ""
	for _, n := range names {
		got += n[1]
	}
	if got != "ababbcbaabb" {
		t.Errorf("names in the order %s", got)
	}
}

func TestNilAndI8AreWrittenOnlyToWhoUnderstandsThem(t *testing.T) {
	value := map[string]any{"big": int64(1) << 40, "none": nil, "small": int64(5), "int": 5, "list": []any{nil}, "huge": uint64(math.MaxUint64)}
	all, err := Marshal(value, WithFeatures(Features{Nil: true, I8: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"<i8>1099511627776</i8>", "<name>none</name><value><nil/></value>", "<i8>5</i8>", "<int>5</int>",
		"<data><value><nil/></value></data>", "<string>18446744073709551615</string>",
	} {
		if !strings.Contains(string(all), part) {
			t.Errorf("%s is not in %s", part, all)
		}
	}
	none, err := Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(none), "nil") || strings.Contains(string(none), "i8") || strings.Contains(string(none), "none") {
		t.Errorf("%s", none)
	}
}

func TestWhatXMLForbidsNeverBreaksTheDocument(t *testing.T) {
	const text = "a\x00b\x1fc\ufffed\xffe\xed\xa0\x80f\xc3"
	for policy, want := range map[Forbidden]string{
		ReplaceForbidden: "a\ufffdb\ufffdc\ufffdd\ufffde\ufffd\ufffd\ufffdf\ufffd",
		DropForbidden:    "abcdef",
	} {
		for _, value := range []any{text, map[string]any{text: text}, map[string]string{text: text}} {
			doc, err := AppendResponse(nil, value, WithForbidden(policy))
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := ParseResponse(doc, &got); err != nil {
				t.Fatal(err)
			}
			if m, ok := got.(map[string]any); ok {
				got = m[want]
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	for _, value := range []any{text, map[string]any{text: 1}, map[string]int{text: 1}, map[string]any{"a": text}, []any{text}, []string{text}} {
		_, err := AppendResponse(nil, value, WithForbidden(RefuseForbidden))
		var bad *EncodeError
		if !errors.As(err, &bad) {
			t.Errorf("%#v: %v", value, err)
		}
	}
	fault := AppendFault(nil, 4, text+"<&>")
	var got *Fault
	if err := ParseResponse(fault, nil); !errors.As(err, &got) || !strings.HasSuffix(got.String, "\ufffd<&>") {
		t.Error(err)
	}
}

func TestDoublesComeBackTheSame(t *testing.T) {
	for _, f := range []float64{
		0, 1, -1, 0.1, 1.0 / 3, 1e300, -1e300, 1e-300, 5e-324, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi,
		1 << 53, 1<<53 + 2, 123456789.123456789, 1e15, 1e16, 1e22,
	} {
		doc, err := Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(doc, "E") || bytes.Contains(doc, []byte("e+")) || bytes.Contains(doc, []byte("e-")) {
			t.Errorf("an exponent in %s", doc)
		}
		var back float64
		if err := Unmarshal(doc, &back); err != nil || back != f {
			t.Errorf("%v came back as %v, %v", f, back, err)
		}
	}
}

type circle struct {
	Next *circle `xmlrpc:"next"`
}

type selfMarshaler struct{}

func (s selfMarshaler) MarshalXMLRPC() (any, error) { return s, nil }

func TestAMembersNameFromATagFollowsThePolicyToo(t *testing.T) {
	type odd struct {
		A int "xmlrpc:\"a\x01b\""
	}
	for policy, want := range map[Forbidden]string{ReplaceForbidden: "<name>a\ufffdb</name>", DropForbidden: "<name>ab</name>"} {
		doc, err := Marshal(odd{1}, WithForbidden(policy))
		if err != nil || !strings.Contains(string(doc), want) {
			t.Errorf("%s, %v", doc, err)
		}
	}
	_, err := Marshal([]odd{{1}}, WithForbidden(RefuseForbidden))
	if err == nil || !strings.Contains(err.Error(), "a character that XML forbids") {
		t.Errorf("got error %v", err)
	}
}

func TestTheDepthThatIsWrittenCanBeSet(t *testing.T) {
	deep := func(levels int) any {
		var v any = "x"
		for range levels {
			v = []any{v}
		}
		return v
	}
	for depth, opts := range map[int][]EncodeOption{64: nil, 3: {WithDepth(3)}, 500: {WithDepth(500)}} {
		if _, err := Marshal(deep(depth), opts...); err != nil {
			t.Errorf("depth %d: %v", depth, err)
		}
		_, err := Marshal(deep(depth+1), opts...)
		if err == nil || !strings.Contains(err.Error(), "nested deeper than "+itoa(depth)) {
			t.Errorf("depth %d: got error %v", depth+1, err)
		}
	}
	if _, err := Marshal(deep(65), WithDepth(0)); err == nil {
		t.Error("no depth is not the default")
	}
}

type panics struct{}

func (panics) MarshalXMLRPC() (any, error) { panic("while writing") }

// A kept encoder must not keep what it wrote: names are parts of whole documents,
// and a map's values can be anything.
func TestAnEncoderForgetsWhatItWrote(t *testing.T) {
	wide := func(n int, value any) map[string]any {
		m := map[string]any{}
		for i := range n {
			m[strings.Repeat("k", i+1)] = value
		}
		return m
	}
	for about, values := range map[string][]any{
		"maps inside a map":      {wide(3, wide(50, wide(300, "x")))},
		"a small map at last":    {wide(40, 1), wide(2, 1)},
		"what cannot be written": {wide(3, wide(5, make(chan int)))},
		"what panics":            {wide(3, wide(5, panics{}))},
		"very many names":        {wide(5000, 1)},
	} {
		e := &encoder{}
		e.begin(nil)
		for _, v := range values {
			func() {
				defer func() { _ = recover() }()
				_, _ = e.value(nil, v)
			}()
		}
		e.forget()
		for _, p := range e.pairs[:cap(e.pairs)] {
			if p != (pair{}) {
				t.Errorf("%s: the pair %.10q is kept", about, p.name)
				break
			}
		}
		for _, shape := range e.shapes {
			names := shape.names[:cap(shape.names)]
			if i := slices.IndexFunc(names, func(s string) bool { return s != "" }); i >= 0 {
				t.Errorf("%s: the name %.10q is kept", about, names[i])
			}
		}
	}
}

type textFails struct{}

func (textFails) MarshalText() ([]byte, error) { return nil, io.ErrUnexpectedEOF }

func TestWhatCannotBeWrittenSaysWhere(t *testing.T) {
	loop := &circle{}
	loop.Next = loop
	var self any
	self = &self
	list := make([]any, 1)
	list[0] = list
	for about, c := range map[string]struct {
		value any
		words string
	}{
		"NaN":                 {[]any{math.NaN()}, "result[0]: XML-RPC has no number NaN"},
		"infinity":            {map[string]any{"a": math.Inf(-1)}, "result.a: XML-RPC has no number -Inf"},
		"a channel":           {struct{ C chan int }{}, "result.C: a value of type chan int cannot be written"},
		"a map with ints":     {map[int]int{}, "map[int]int"},
		"year 10000":          {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "four digits"},
		"a circle of structs": {loop, "nested deeper than 64"},
		"a circle of lists":   {list, "nested deeper than 64"},
		"a circle pointers":   {self, "in a circle"},
		"a self marshaler":    {selfMarshaler{}, "in a circle"},
		"a marshaler's error": {map[string]any{"x": level(-1)}, "result.x: a xmlrpc.level could not be written: below zero"},
		"a text's error":      {map[string]textFails{"t": {}}, "result.t: a xmlrpc.textFails could not be written: unexpected EOF"},
		"a key's error":       {map[textFails]int{{}: 1}, "unexpected EOF"},
	} {
		t.Run(about, func(t *testing.T) {
			out, err := AppendResponse([]byte("before"), c.value)
			if string(out) != "before" {
				t.Errorf("dst became %q", out)
			}
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v, want %q", err, c.words)
			}
			var coded FaultCoder
			if !errors.As(err, &coded) || coded.FaultCode() != CodeInternalError || strings.Contains(coded.FaultString(), "circle") {
				t.Errorf("as a fault: %v", coded)
			}
		})
	}
	if _, err := AppendResponse(nil, textFails{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cause is not in %v", err)
	}
	_, err := AppendCall(nil, "m", []any{1, math.NaN()})
	var bad *EncodeError
	if !errors.As(err, &bad) || bad.Path() != "params[1]" {
		t.Error(err)
	}
}

func TestMethodNamesCannotInjectMarkup(t *testing.T) {
	for _, name := range []string{"", "a b", "a-b", "a<b", "m</methodName>", "é", "a\n"} {
		if _, err := AppendCall(nil, name, nil); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	for _, name := range []string{"a", "a.b.c", "weblogUpdates.ping", "ns:group/item_1.get", "9lives"} {
		doc, err := AppendCall(nil, name, []any{"x"})
		if err != nil {
			t.Error(err)
			continue
		}
		if call, err := ParseCall(doc); err != nil || call.Method != name {
			t.Error(call, err)
		}
	}
}

func TestWholeDocumentsLookAsTheRulesSay(t *testing.T) {
	response, err := AppendResponse([]byte("kept "), "x")
	if want := "kept " + `<?xml version="1.0" encoding="UTF-8"?>` + "\n<methodResponse><params><param><value><string>x</string></value></param></params></methodResponse>\n"; err != nil || string(response) != want {
		t.Errorf("%s, %v", response, err)
	}
	fault := AppendFault(nil, -32601, "no such method")
	if want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n<methodResponse><fault><value><struct>" +
		"<member><name>faultCode</name><value><int>-32601</int></value></member>" +
		"<member><name>faultString</name><value><string>no such method</string></value></member>" +
		"</struct></value></fault></methodResponse>\n"; string(fault) != want {
		t.Errorf("%s", fault)
	}
	if huge := string(AppendFault(nil, 1<<40, "")); !strings.Contains(huge, "<int>-32500</int>") {
		t.Error(huge)
	}
}
