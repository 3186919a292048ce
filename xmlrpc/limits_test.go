package xmlrpc

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// callWith is a call with one param, whose value is given from <value> on.
func callWith(value string) []byte {
	return []byte("<methodCall><methodName>m</methodName><params><param>" + value + "</param></params></methodCall>")
}

func wantCode(t *testing.T, err error, code int, words string) {
	t.Helper()
	var coded FaultCoder
	if !errors.As(err, &coded) || coded.FaultCode() != code {
		t.Fatalf("want fault %d, got %v", code, err)
	}
	if !strings.Contains(coded.FaultString(), words) {
		t.Errorf("the fault %q does not say %q", coded.FaultString(), words)
	}
}

func nested(depth int) string {
	return strings.Repeat("<value><array><data>", depth) + strings.Repeat("</data></array></value>", depth)
}

func TestEachLimitRefusesWhatIsOneBeyondIt(t *testing.T) {
	name := strings.Repeat("n", 10)
	for about, c := range map[string]struct {
		limits   Limits
		at, over string
		words    string
	}{
		"bytes": {Limits{Bytes: 120}, "", "", "longer than the limit of 120 bytes"},
		"depth": {Limits{Depth: 3}, nested(3), nested(4), "nested deeper than the limit of 3"},
		"depth of structs": {
			Limits{Depth: 1}, "<value><struct/></value>",
			"<value><array><data><value><struct/></value></data></array></value>", "deeper",
		},
		"values": {
			Limits{Values: 3}, "<value><array><data><value/><value/></data></array></value>",
			"<value><array><data><value/><value/><value/></data></array></value>", "more values than the limit of 3",
		},
		"name length of members": {
			Limits{NameLength: 10}, "<value><struct><member><name>" + name + "</name><value/></member></struct></value>",
			"<value><struct><member><name>" + name + "n</name><value/></member></struct></value>", "name is longer",
		},
		"name length of elements": {
			Limits{NameLength: 10}, "<value/>", "<value><nnnnnnnnnnn/></value>", "name is longer",
		},
		"name length of attributes": {
			Limits{NameLength: 10}, "<value a='1'/>", "<value nnnnnnnnnnn='1'/>", "name is longer",
		},
		"string length": {
			Limits{StringLength: 5}, "<value>12345</value>", "<value>123456</value>", "longer than the limit of 5 bytes",
		},
		"string length of typed strings": {
			Limits{StringLength: 5}, "<value><string>123é</string></value>",
			"<value><string>1234é</string></value>", "longer than the limit of 5 bytes",
		},
		"string length of base64": {
			Limits{StringLength: 4}, "<value><base64>YWJj</base64></value>",
			"<value><base64>YWJjYWJj</base64></value>", "longer than the limit of 4 bytes",
		},
		"attributes": {
			Limits{}, "<value " + attributes(MaxAttributes) + "/>", "<value " + attributes(MaxAttributes+1) + "/>", "more attributes",
		},
		"big digits": {
			Limits{}, "<value><ex:biginteger>" + strings.Repeat("9", MaxBigDigits) + "</ex:biginteger></value>",
			"<value><ex:biginteger>" + strings.Repeat("9", MaxBigDigits+1) + "</ex:biginteger></value>", "more digits than the limit",
		},
	} {
		t.Run(about, func(t *testing.T) {
			at, over := callWith(c.at), callWith(c.over)
			if about == "bytes" {
				shell := len(callWith("<value></value>"))
				at = callWith("<value>" + strings.Repeat("x", 120-shell) + "</value>")
				over = callWith("<value>" + strings.Repeat("x", 121-shell) + "</value>")
			}
			if _, err := ParseCall(at, WithLimits(c.limits)); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			_, err := ParseCall(over, WithLimits(c.limits))
			wantCode(t, err, CodeInvalidRequest, c.words)
			wantCode(t, err, CodeInvalidRequest, "REQUEST_TOO_LARGE: ")
		})
	}
}

func TestAMethodNameHasTheLimitOfNames(t *testing.T) {
	doc := []byte("<methodCall><methodName>" + strings.Repeat("m", 21) + "</methodName></methodCall>")
	if _, err := ParseCall(doc, WithLimits(Limits{NameLength: 21})); err != nil {
		t.Error(err)
	}
	_, err := ParseCall(doc, WithLimits(Limits{NameLength: 20}))
	wantCode(t, err, CodeInvalidRequest, "name is longer")
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d='' ", i)
	}
	return b.String()
}

func TestTheDefaultsAreThoseOfTheDesign(t *testing.T) {
	want := Limits{Bytes: 1 << 20, Depth: 64, Values: 100_000, NameLength: 64 << 10, StringLength: 3 << 20}
	if got := DefaultLimits(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err := ParseCall(callWith(nested(65)))
	wantCode(t, err, CodeInvalidRequest, "limit of 64")
	if _, err := ParseCall(callWith(nested(64))); err != nil {
		t.Error(err)
	}
	many := "<value><array><data>" + strings.Repeat("<value/>", 100_000) + "</data></array></value>"
	_, err = ParseCall(callWith(many))
	wantCode(t, err, CodeInvalidRequest, "limit of 100000")
	_, err = ParseCall(callWith("<value>" + strings.Repeat("x", 1<<20) + "</value>"))
	wantCode(t, err, CodeInvalidRequest, "limit of 1048576")
	long := strings.Repeat("n", 64<<10+1)
	_, err = ParseCall(callWith("<value><struct><member><name>" + long + "</name><value/></member></struct></value>"))
	wantCode(t, err, CodeInvalidRequest, "name is longer")
}

func TestALimitForBytesRaisesThatForStrings(t *testing.T) {
	doc := callWith("<value>" + strings.Repeat("x", 2<<20) + "</value>")
	if _, err := ParseCall(doc, WithLimits(Limits{Bytes: 3 << 20})); err != nil {
		t.Error(err)
	}
}

func TestAStringThatGrowsAsUTF8IsReadWhenTheDocumentKeepsToItsBytes(t *testing.T) {
	head, tail := "<methodCall><methodName>m</methodName><params><param><value>", "</value></param></params></methodCall>"
	doc := fill("<?xml version='1.0' encoding='windows-1252'?>"+head, "\x80", tail)
	call, err := ParseCall(doc)
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := call.Params()[0].(string); !ok || !strings.HasPrefix(text, "€€") || len(text) <= 1<<20 {
		t.Errorf("got a %T", call.Params()[0])
	}
	if _, err := ParseCall(fill(head, "\x01", tail), WithRepair()); err != nil {
		t.Error(err)
	}
}

// costOf returns how many bytes f allocates.
func costOf(f func()) uint64 {
	// Twice, so that no pool has the memory already.
	runtime.GC()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAnArrayThatDoesNotFitCostsLittleHoweverLargeTheElements(t *testing.T) {
	type large struct{ Texts [80]string } // 1,280 bytes
	const values = 99_000
	call, err := ParseCall(callWith("<value><array><data>" + strings.Repeat("<value/>", values) + "</data></array></value>"))
	if err != nil {
		t.Fatal(err)
	}
	cost := costOf(func() {
		wantCode(t, call.DecodeParam(0, new([]large)), CodeInvalidParams, "params[0][0]")
	})
	if cost > 1<<20 {
		t.Errorf("%d bytes for %d values", cost, values)
	}
	registered, err := newMethod("m", func(...large) (bool, error) { return true, nil }, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	many, err := ParseCall([]byte("<methodCall><methodName>m</methodName><params>" + strings.Repeat("<param><value/></param>", 40_000) + "</params></methodCall>"))
	if err != nil {
		t.Fatal(err)
	}
	cost = costOf(func() {
		if _, err := registered.invoke(t.Context(), many); err == nil {
			t.Error("strings were read as structs")
		}
	})
	if cost > 1<<20 {
		t.Errorf("%d bytes for 40000 params", cost)
	}
}

func TestLongArraysAreReadToTheirEnd(t *testing.T) {
	for _, n := range []int{0, 1, sliceStep / 8, sliceStep/8 + 1, 90_000} {
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		doc, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		if err := Unmarshal(doc, &got, WithLimits(Limits{Bytes: 8 << 20})); err != nil || got == nil || !slices.Equal(got, want) {
			t.Errorf("%d elements: got %d, %v", n, len(got), err)
		}
		var empty []struct{}
		if n == 90_000 {
			err = Unmarshal([]byte("<value><array><data>"+strings.Repeat("<value><struct/></value>", 1000)+"</data></array></value>"), &empty)
			if err != nil || len(empty) != 1000 {
				t.Error(len(empty), err)
			}
		}
	}
}

// fill repeats what stands between head and tail until the whole has 1 MiB.
func fill(head, body, tail string) []byte {
	n := (1<<20 - len(head) - len(tail)) / len(body)
	return []byte(head + strings.Repeat(body, n) + tail)
}

func TestAHostileMebibyteNeverCostsMoreThanThirtyTwo(t *testing.T) {
	const (
		arrayHead = "<methodCall><methodName>m</methodName><params><param><value><array><data>"
		arrayTail = "</data></array></value></param></params></methodCall>"
		structs   = "<methodCall><methodName>m</methodName><params><param><value><struct>"
		structEnd = "</struct></value></param></params></methodCall>"
	)
	var distinct strings.Builder
	distinct.WriteString(structs)
	for i := 0; distinct.Len() < 1<<20-200; i++ {
		fmt.Fprintf(&distinct, "<member><name>%x</name><value/></member>", i)
	}
	distinct.WriteString(structEnd)
	for about, doc := range map[string][]byte{
		"empty values":            fill(arrayHead, "<value/>", arrayTail),
		"values up to the limit":  fill(arrayHead, "<value/>  ", arrayTail),
		"empty structs":           fill(arrayHead, "<value><struct/></value>", arrayTail),
		"structs of one member":   fill(arrayHead, "<value><struct><member><name/><value/></member></struct></value>", arrayTail),
		"empty arrays":            fill(arrayHead, "<value><array><data/></array></value>", arrayTail),
		"small arrays":            fill(arrayHead, "<value><array><data><value/></data></array></value>", arrayTail),
		"big integers":            fill(arrayHead, "<value><x:biginteger>1</x:biginteger></value>", arrayTail),
		"ints":                    fill(arrayHead, "<value><i4>999</i4></value>", arrayTail),
		"dates":                   fill(arrayHead, "<value><x:dateTime>20261121T19:35:03</x:dateTime></value>", arrayTail),
		"distinct members":        []byte(distinct.String()),
		"one member again":        fill(structs, "<member><name>a</name><value/></member>", structEnd),
		"params":                  fill("<methodCall><methodName>m</methodName><params>", "<param><value/></param>", "</params></methodCall>"),
		"references":              fill(arrayHead+"<value>", "&#1114109;", "</value>"+arrayTail),
		"CDATA":                   fill(arrayHead+"<value>", "<![CDATA[]]>", "</value>"+arrayTail),
		"comments":                fill(arrayHead, "<!---->", arrayTail),
		"open elements":           fill("<methodCall>", "<a>", ""),
		"open arrays":             fill(arrayHead, "<value><array><data>", ""),
		"a tag without an end":    fill("<methodCall", " ", ""),
		"many attributes":         fill("<methodCall ", "a='' ", ">"),
		"control characters":      fill(arrayHead+"<value>", "\x01", "</value>"+arrayTail),
		"UTF-16":                  append([]byte{0xFE, 0xFF}, fill("", "\x30\x42", "")[2:]...),
		"Latin-1":                 fill("<?xml version='1.0' encoding='latin1'?>"+arrayHead+"<value>", "\xff", "</value>"+arrayTail),
		"one value in one array":  fill(arrayHead+"<value>", "x", "</value>"+arrayTail),
		"base64":                  fill(arrayHead+"<value><base64>", "AAAA", "</base64></value>"+arrayTail),
		"a number without an end": fill(arrayHead+"<value><double>", "9", "</double></value>"+arrayTail),
	} {
		t.Run(about, func(t *testing.T) {
			for _, opts := range [][]DecodeOption{nil, {WithRepair()}} {
				var err error
				cost := costOf(func() {
					var call *Call
					if call, err = ParseCall(doc, opts...); err == nil {
						_ = call.Params()
					}
				})
				if cost > 32<<20 {
					t.Errorf("%d bytes for a document of %d (%v)", cost, len(doc), err)
				} else {
					t.Logf("%.1f MiB, %v", float64(cost)/(1<<20), err)
				}
			}
		})
	}
}
