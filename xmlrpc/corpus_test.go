package xmlrpc

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// corpusCase is one line of testdata/xmlrpc-decode.jsonl.
type corpusCase struct {
	ID        string          `json:"id"`
	About     string          `json:"about"`
	Kind      string          `json:"kind"`
	Doc       []byte          `json:"xml_base64"`
	Expect    string          `json:"expect"`
	FaultCode int             `json:"fault_code"`
	FaultAlso []int           `json:"fault_code_also"`
	Method    string          `json:"method"`
	Value     json.RawMessage `json:"value"`
}

func corpus(t testing.TB) []corpusCase {
	t.Helper()
	file, err := os.Open("testdata/xmlrpc-decode.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []corpusCase
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c corpusCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("the corpus is empty")
	}
	return cases
}

func TestEveryCorpusCaseGivesItsValueOrItsFaultCode(t *testing.T) {
	for _, c := range corpus(t) {
		t.Run(c.ID, func(t *testing.T) {
			got, method, err := readCorpusCase(c)
			if c.Expect == "fault" {
				var coded FaultCoder
				if !errors.As(err, &coded) {
					t.Fatalf("%s: want fault %d, got %v, %v", c.About, c.FaultCode, got, err)
				}
				if code := coded.FaultCode(); code != c.FaultCode && !slices.Contains(c.FaultAlso, code) {
					t.Fatalf("%s: want fault %d or one of %v, got %v", c.About, c.FaultCode, c.FaultAlso, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", c.About, err)
			}
			if method != c.Method {
				t.Errorf("%s: method %q, want %q", c.About, method, c.Method)
			}
			var want any
			numbers := json.NewDecoder(bytes.NewReader(c.Value))
			numbers.UseNumber()
			if err := numbers.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if c.Kind == "call" {
				want = map[string]any{"array": want}
			}
			if diff := tagDifference(got, want); diff != "" {
				t.Errorf("%s: %s", c.About, diff)
			}
		})
	}
}

// readCorpusCase returns the params of a call as one []any, or the value of a
// response, or its fault.
func readCorpusCase(c corpusCase) (value any, method string, err error) {
	if c.Kind == "call" {
		call, err := ParseCall(c.Doc)
		if err != nil {
			return nil, "", err
		}
		return call.Params(), call.Method, nil
	}
	err = ParseResponse(c.Doc, &value)
	var fault *Fault
	if errors.As(err, &fault) {
		return fault, "", nil
	}
	return value, "", err
}

// tagDifference compares a value with its description in the corpus and says
// where they differ.
func tagDifference(got, want any) string {
	tagged, ok := want.(map[string]any)
	if !ok || len(tagged) != 1 {
		return fmt.Sprintf("a description that is none: %v", want)
	}
	for tag, value := range tagged {
		switch tag {
		case "array", "array_repeat":
			list := value.([]any)
			if tag == "array_repeat" {
				n, _ := list[1].(json.Number).Int64()
				list = slices.Repeat(list[:1], int(n))
			}
			values, ok := got.([]any)
			if !ok || len(values) != len(list) {
				return fmt.Sprintf("got %T %v, want an array of %d", got, got, len(list))
			}
			for i := range list {
				if diff := tagDifference(values[i], list[i]); diff != "" {
					return fmt.Sprintf("[%d]%s", i, diff)
				}
			}
			return ""
		case "struct":
			return structDifference(got, value.([]any))
		}
		if simple := untag(tag, value); !equalValue(got, simple) {
			return fmt.Sprintf(" got %T %v, want %T %v", got, got, simple, simple)
		}
	}
	return ""
}

func structDifference(got any, members []any) string {
	m, ok := got.(map[string]any)
	if !ok || len(m) != len(members) {
		return fmt.Sprintf(" got %T %v, want a struct of %d", got, got, len(members))
	}
	for _, member := range members {
		pair := member.([]any)
		name := pair[0].(string)
		value, ok := m[name]
		if !ok {
			return fmt.Sprintf(" member %q is missing", name)
		}
		if diff := tagDifference(value, pair[1]); diff != "" {
			return fmt.Sprintf(".%s%s", name, diff)
		}
	}
	return ""
}

// untag returns the Go value that a tagged scalar describes.
func untag(tag string, value any) any {
	switch tag {
	case "int":
		n, _ := value.(json.Number).Int64()
		return int(n)
	case "i8":
		n, _ := value.(json.Number).Int64()
		return n
	case "double":
		f, _ := value.(json.Number).Float64()
		return f
	case "dateTime":
		d, err := ParseDateTime(value.(string))
		if err != nil || d.Extended() != value.(string) {
			return fmt.Sprintf("a date that is none: %v", value)
		}
		return d
	case "base64":
		b, err := base64.StdEncoding.DecodeString(value.(string))
		if err != nil {
			return err
		}
		return b
	case "nil":
		return nil
	case "string_repeat":
		pair := value.([]any)
		n, _ := pair[1].(json.Number).Int64()
		return strings.Repeat(pair[0].(string), int(n))
	case "biginteger":
		n, _ := new(big.Int).SetString(fmt.Sprint(value), 10)
		return n
	case "bigdecimal":
		return BigDecimal(fmt.Sprint(value))
	case "fault":
		m := value.(map[string]any)
		f := &Fault{String: m["string"].(string)}
		switch code := m["code"].(type) {
		case json.Number:
			n, _ := code.Int64()
			f.Code = int(n)
		case string:
			f.CodeText = code
		}
		return f
	}
	return value
}

// equalValue compares decoded values: doubles as numbers, with -0 equal to 0.
func equalValue(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || math.IsNaN(a) && math.IsNaN(b))
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return reflect.DeepEqual(a, b)
}
