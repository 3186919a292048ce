package xmlrpc

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// into reads the one param of a call into a new T.
func into[T any](t *testing.T, value string) (T, error) {
	t.Helper()
	call, err := ParseCall(callWith(value))
	if err != nil {
		t.Fatal(err)
	}
	var dst T
	err = call.DecodeParam(0, &dst)
	return dst, err
}

func wantInto[T any](t *testing.T, value string, want T) {
	t.Helper()
	got, err := into[T](t, value)
	if err != nil {
		t.Errorf("%s: %v", value, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %#v, want %#v", value, got, want)
	}
}

func wantNotInto[T any](t *testing.T, value, words string) {
	t.Helper()
	got, err := into[T](t, value)
	var bad *DecodeError
	switch {
	case err == nil:
		t.Errorf("%s: read as %#v", value, got)
	case !errors.As(err, &bad) || bad.FaultCode() != CodeInvalidParams:
		t.Errorf("%s: %v", value, err)
	case !strings.Contains(err.Error(), words):
		t.Errorf("%s: %q does not say %q", value, err, words)
	}
}

func TestScalarsGoIntoTheGoTypesThatHoldThem(t *testing.T) {
	wantInto(t, "<value><int>127</int></value>", int8(127))
	wantInto(t, "<value><int>-128</int></value>", int8(-128))
	wantInto(t, "<value><i8>9223372036854775807</i8></value>", int64(9223372036854775807))
	wantInto(t, "<value><i8>9223372036854775807</i8></value>", uint64(9223372036854775807))
	wantInto(t, "<value><string>18446744073709551615</string></value>", uint64(18446744073709551615))
	wantInto(t, "<value>-42</value>", int64(-42))
	wantInto(t, "<value>042</value>", 42)
	wantInto(t, "<value><ex:biginteger>42</ex:biginteger></value>", 42)
	wantInto(t, "<value><boolean>1</boolean></value>", true)
	wantInto(t, "<value><int>0</int></value>", false)
	wantInto(t, "<value><double>1.5</double></value>", float32(1.5))
	wantInto(t, "<value><int>3</int></value>", 3.0)
	wantInto(t, "<value><ex:bigdecimal>1.25</ex:bigdecimal></value>", 1.25)
	wantInto(t, "<value><double>1e3</double></value>", "1e3")
	wantInto(t, "<value><int>+05</int></value>", "+05")
	wantInto(t, "<value><boolean>1</boolean></value>", "1")
	wantInto(t, "<value><base64>w6k=</base64></value>", "é")
	wantInto(t, "<value><base64>aGk=</base64></value>", []byte("hi"))
	wantInto(t, "<value><base64>aGk=</base64></value>", [2]byte{'h', 'i'})
	wantInto(t, "<value><dateTime.iso8601>20261121T19:35:03</dateTime.iso8601></value>", recordedTime("20261121T19:35:03"))
	wantInto(t, "<value>2026-11-21T19:35:03Z</value>", recordedTime("20261121T19:35:03Z"))
	wantInto(t, "<value><dateTime.iso8601>20261121T19:35:03+0100</dateTime.iso8601></value>",
		time.Date(2026, 11, 21, 18, 35, 3, 0, time.UTC))
	wantInto(t, "<value><ex:biginteger>123456789012345678901234567890</ex:biginteger></value>",
		*mustBig("123456789012345678901234567890"))
	wantInto(t, "<value><ex:biginteger>-5</ex:biginteger></value>", mustBig("-5"))
	wantInto[any](t, "<value><ex:biginteger>123456789012345678901234567890</ex:biginteger></value>",
		mustBig("123456789012345678901234567890"))
	wantInto[any](t, "<value><ex:bigdecimal>1E+400</ex:bigdecimal></value>", BigDecimal("1E+400"))
	wantInto(t, "<value>192.0.2.7</value>", netip.MustParseAddr("192.0.2.7"))
}

func mustBig(text string) *big.Int {
	n, _ := new(big.Int).SetString(text, 10)
	return n
}

func TestNilIsTheZeroValue(t *testing.T) {
	const null = "<value><nil/></value>"
	one, word := 1, "x"
	for _, dst := range []any{
		&one, &word, &[]int{1}, &map[string]int{"a": 1}, &struct{ A int }{1}, ptr(true), ptr(1.5), ptr(uint8(1)),
		&[]byte{1}, &[1]int{1}, &[1]byte{1}, ptr(recordedTime("20261121T19:35:03")), ptr(time.Now()), ptr(ptr(1)),
		ptr[any](1), ptr(netip.MustParseAddr("192.0.2.7")), mustBig("7"),
	} {
		call, err := ParseCall(callWith(null))
		if err != nil {
			t.Fatal(err)
		}
		if err := call.DecodeParam(0, dst); err != nil {
			t.Errorf("%T: %v", dst, err)
		}
		if v := reflect.ValueOf(dst).Elem(); !v.IsZero() {
			t.Errorf("%T: %v", dst, v)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestWhatDoesNotFitSaysWhatAndWhere(t *testing.T) {
	wantNotInto[int8](t, "<value><int>128</int></value>", "params[0]: int 128 does not fit int8")
	wantNotInto[int32](t, "<value><int>9999999999</int></value>", "params[0]: i8 9999999999 does not fit int32")
	wantNotInto[uint](t, "<value><int>-1</int></value>", "int -1 does not fit uint")
	wantNotInto[int64](t, "<value>9223372036854775808</value>", "string 9223372036854775808 does not fit int64")
	wantNotInto[uint64](t, "<value>-1</value>", "string -1 does not fit uint64")
	wantNotInto[int](t, "<value>seven</value>", "string does not go into int")
	wantNotInto[int](t, "<value></value>", "string does not go into int")
	wantNotInto[int](t, "<value><double>1.5</double></value>", "double does not go into int")
	wantNotInto[uint8](t, "<value><double>1.5</double></value>", "double does not go into uint8")
	wantNotInto[float32](t, "<value><double>1e300</double></value>", "does not fit float32")
	wantNotInto[float64](t, "<value>1.5</value>", "string does not go into float64")
	wantNotInto[bool](t, "<value><int>2</int></value>", "int 2 does not fit bool")
	wantNotInto[bool](t, "<value>true</value>", "string does not go into bool")
	wantNotInto[string](t, "<value><array><data/></array></value>", "array does not go into string")
	wantNotInto[string](t, "<value><base64>/w==</base64></value>", "base64 does not go into string")
	wantNotInto[[]byte](t, "<value>abc</value>", "string does not go into []uint8")
	wantNotInto[[3]byte](t, "<value><base64>aGk=</base64></value>", "base64 of 2 bytes does not fit [3]uint8")
	wantNotInto[[3]byte](t, "<value>abc</value>", "string does not go into [3]uint8")
	wantNotInto[[2]int](t, "<value><array><data><value><int>1</int></value></data></array></value>", "array of 1 does not fit [2]int")
	wantNotInto[[2]int](t, "<value/>", "string does not go into [2]int")
	wantNotInto[[]int](t, "<value>x</value>", "string does not go into []int")
	wantNotInto[map[string]int](t, "<value>x</value>", "string does not go into map[string]int")
	wantNotInto[struct{}](t, "<value><array><data><value/></data></array></value>", "array does not go into struct")
	wantNotInto[DateTime](t, "<value>soon</value>", "string does not go into xmlrpc.DateTime")
	wantNotInto[time.Time](t, "<value><int>5</int></value>", "int does not go into time.Time")
	wantNotInto[big.Int](t, "<value>x</value>", "string does not go into big.Int")
	wantNotInto[netip.Addr](t, "<value>x</value>", "no netip.Addr")
	wantNotInto[netip.Addr](t, "<value><struct/></value>", "struct does not go into netip.Addr")
	long := strings.Repeat("9", 300)
	wantNotInto[int](t, "<value>"+long+"</value>", "string "+long[:40]+"... does not fit int")
}

func TestErrorsSayThePathToTheValue(t *testing.T) {
	type bug struct {
		ID int32 `xmlrpc:"id"`
	}
	type answer struct {
		Bugs []bug `xmlrpc:"bugs"`
	}
	bugs := strings.Repeat("<value><struct><member><name>id</name><value><int>1</int></value></member></struct></value>", 3) +
		"<value><struct><member><name>id</name><value><i8>9999999999</i8></value></member></struct></value>"
	wantNotInto[answer](t, "<value><struct><member><name>bugs</name><value><array><data>"+bugs+"</data></array></value></member></struct></value>",
		"xmlrpc: params[0].bugs[3].id: i8 9999999999 does not fit int32")
	wantNotInto[[][]int](t, "<value><array><data><value><array><data><value>x</value></data></array></value></data></array></value>",
		"params[0][0][0]: ")
	wantNotInto[map[string]map[string]int](t,
		"<value><struct><member><name>a b</name><value><struct><member><name>c</name><value>x</value></member></struct></value></member></struct></value>",
		`params[0]["a b"].c: `)
	err := ParseResponse([]byte("<methodResponse><params><param><value>x</value></param></params></methodResponse>"), new(int))
	wantCode(t, err, CodeInvalidParams, "result: ")
	err = Unmarshal([]byte("<value>x</value>"), new(int))
	wantCode(t, err, CodeInvalidParams, "value: ")
}

func TestAParamThatIsNotThereIsInvalidParams(t *testing.T) {
	call, err := ParseCall(callWith("<value/>"))
	if err != nil {
		t.Fatal(err)
	}
	if call.NumParams() != 1 {
		t.Error(call.NumParams())
	}
	wantCode(t, call.DecodeParam(1, new(string)), CodeInvalidParams, "params[1]: the call has only 1 params")
	wantCode(t, call.DecodeParam(-1, new(string)), CodeInvalidParams, "params[-1]")
	wantCode(t, call.DecodeParam(0, "no pointer"), CodeInternalError, "no pointer but string")
	wantCode(t, call.DecodeParam(0, (*string)(nil)), CodeInternalError, "no pointer")
	wantCode(t, call.DecodeParam(0, new(chan int)), CodeInternalError, "chan int")
	wantCode(t, call.DecodeParam(0, new(fmt.Stringer)), CodeInternalError, "fmt.Stringer")
	if err := call.DecodeParam(0, nil); err != nil {
		t.Error(err)
	}
}

type inner struct {
	Shared string `xmlrpc:"shared"`
	Deep   int    `xmlrpc:"deep"`
	hidden int    //nolint:unused // it is there to stay unread
}

type Pointed struct {
	Far string `xmlrpc:"far"`
}

type rich struct {
	inner
	*Pointed
	Named   inner  `xmlrpc:"named"`
	Shared  string `xmlrpc:"shared"`
	Skipped string `xmlrpc:"-"`
	Plain   string
	Next    *rich          `xmlrpc:"next,omitempty"`
	Any     any            `xmlrpc:"any"`
	Map     map[string]int `xmlrpc:"map,omitempty"`
	secret  string         //nolint:unused // it is there to stay unread
}

func TestStructsAreReadByTagAndThroughEmbeddedStructs(t *testing.T) {
	member := func(name, value string) string {
		return "<member><name>" + name + "</name><value>" + value + "</value></member>"
	}
	doc := "<value><struct>" + member("shared", "outer") + member("deep", "<int>3</int>") + member("far", "f") +
		member("named", "<struct>"+member("deep", "<int>4</int>")+"</struct>") + member("Skipped", "no") + member("-", "no") +
		member("Plain", "p") + member("plain", "not this") + member("next", "<struct>"+member("Plain", "q")+"</struct>") +
		member("any", "<array><data/></array>") + member("map", "<array><data/></array>") + member("secret", "s") +
		member("hidden", "<int>1</int>") + member("unknown", "<struct/>") + "</struct></value>"
	wantInto(t, doc, rich{
		inner: inner{Deep: 3}, Pointed: &Pointed{Far: "f"}, Named: inner{Deep: 4}, Shared: "outer", Plain: "p",
		Next: &rich{Plain: "q"}, Any: []any{}, Map: map[string]int{},
	})
}

func TestTheLastOfTwoMembersCounts(t *testing.T) {
	const twice = "<value><struct><member><name>a</name><value>1</value></member><member><name>a</name><value>2</value></member></struct></value>"
	wantInto(t, twice, map[string]string{"a": "2"})
	wantInto[any](t, twice, map[string]any{"a": "2"})
	wantInto(t, twice, struct {
		A string `xmlrpc:"a"`
	}{"2"})
}

type ambiguousA struct {
	X int `xmlrpc:"x"`
}
type ambiguousB struct {
	X int `xmlrpc:"x"`
}

func TestTwoEmbeddedFieldsOfOneNameCancelEachOther(t *testing.T) {
	wantInto(t, "<value><struct><member><name>x</name><value><int>1</int></value></member></struct></value>", struct {
		ambiguousA
		ambiguousB
	}{})
}

type level int

func (l *level) UnmarshalXMLRPC(value any) error {
	switch v := value.(type) {
	case string:
		*l = level(len(v))
		return nil
	case []any:
		return &DecodeError{code: CodeInvalidParams, path: "[0]", reason: "no level"}
	}
	return fmt.Errorf("%v is no level", value)
}

func (l level) MarshalXMLRPC() (any, error) {
	if l < 0 {
		return nil, errors.New("below zero")
	}
	if l == 0 {
		return nil, nil
	}
	return strings.Repeat("*", int(l)), nil
}

func TestTypesThatReadThemselvesGetTheValue(t *testing.T) {
	wantInto(t, "<value>***</value>", level(3))
	wantInto(t, "<value><array><data><value>*</value></data></array></value>", []level{1})
	wantInto(t, "<value><struct><member><name>a</name><value>**</value></member></struct></value>", map[string]*level{"a": ptr(level(2))})
	wantNotInto[level](t, "<value><int>5</int></value>", `no xmlrpc.level: "5 is no level"`)
	wantNotInto[[]level](t, "<value><array><data><value><array><data/></array></value></data></array></value>", "params[0][0][0]: no level")
}

type endlessPointer *endlessPointer

type octet byte

func TestOddTypesAreReadOrRefusedWithoutAPanic(t *testing.T) {
	wantInto(t, "<value><base64>aGk=</base64></value>", [2]octet{'h', 'i'})
	wantInto(t, "<value><base64>aGk=</base64></value>", []octet("hi"))
	call, err := ParseCall(callWith("<value/>"))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, call.DecodeParam(0, new(endlessPointer)), CodeInternalError, "endlessPointer")
	doc, err := Marshal([]any{[2]octet{'h', 'i'}, []octet("hi"), endlessPointer(nil)})
	if err != nil || !strings.Contains(string(doc), "<base64>aGk=</base64></value><value><base64>aGk=</base64></value><value><string></string>") {
		t.Errorf("%s, %v", doc, err)
	}
}

func TestMapsTakeKeysOfTheirOwnType(t *testing.T) {
	type key string
	const doc = "<value><struct><member><name>192.0.2.7</name><value><int>1</int></value></member></struct></value>"
	wantInto(t, doc, map[key]int{"192.0.2.7": 1})
	wantInto(t, doc, map[netip.Addr]int{netip.MustParseAddr("192.0.2.7"): 1})
	wantNotInto[map[netip.Addr]int](t, "<value><struct><member><name>x</name><value/></member></struct></value>", "params[0].x: no netip.Addr")
}

func TestFaultsComeAsErrors(t *testing.T) {
	fault := func(members string) []byte {
		return []byte("<methodResponse><fault><value><struct>" + members + "</struct></value></fault></methodResponse>")
	}
	code := func(value string) string {
		return "<member><name>faultCode</name><value>" + value + "</value></member>"
	}
	text := func(value string) string {
		return "<member><name>faultString</name><value>" + value + "</value></member>"
	}
	for about, c := range map[string]struct {
		doc  []byte
		want Fault
	}{
		"an int":                    {fault(code("<int>-4</int>") + text("x")), Fault{Code: -4, String: "x"}},
		"an i8":                     {fault(code("<i8>4</i8>") + text("x")), Fault{Code: 4, String: "x"}},
		"digits in a string":        {fault(code("402") + text("x")), Fault{Code: 402, String: "x"}},
		"words":                     {fault(code("Client.Bad") + text("x")), Fault{CodeText: "Client.Bad", String: "x"}},
		"a third member":            {fault(code("<int>4</int>") + text("x") + "<member><name>a</name><value/></member>"), Fault{Code: 4, String: "x"}},
		"a string that is a number": {fault(code("<int>4</int>") + text("<int>5</int>")), Fault{Code: 4, String: "5"}},
		"a string that is nil":      {fault(code("<int>4</int>") + text("<nil/>")), Fault{Code: 4}},
	} {
		var got *Fault
		if err := ParseResponse(c.doc, nil); !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: got %v, want %+v", about, err, c.want)
		}
	}
	for about, doc := range map[string][]byte{
		"no faultCode":             fault(text("x")),
		"no faultString":           fault(code("<int>4</int>")),
		"a code that is a boolean": fault(code("<boolean>1</boolean>") + text("x")),
		"a code that is base64":    fault(code("<base64>NDI=</base64>") + text("x")),
		"a code that is a double":  fault(code("<double>1.5</double>") + text("x")),
		"a code that is a list":    fault(code("<array><data/></array>") + text("x")),
		"a string that is a map":   fault(code("<int>4</int>") + text("<struct/>")),
	} {
		if err := ParseResponse(doc, nil); err == nil {
			t.Errorf("%s: no error", about)
		} else {
			wantCode(t, err, CodeInvalidRequest, "fault")
		}
	}
	if got := (&Fault{CodeText: "Client", String: "x"}).Error(); got != "xmlrpc: fault Client: x" {
		t.Error(got)
	}
}
