package xmlrpc

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// alone writes each value by itself, where nothing is known of the one before.
func alone(t *testing.T, values []any, opts ...EncodeOption) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("<value><array><data>")
	for _, v := range values {
		doc, err := Marshal(v, opts...)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(doc)
	}
	b.WriteString("</data></array></value>")
	return b.String()
}

func TestMapsAreWrittenInAListAsTheyAreAlone(t *testing.T) {
	big := strings.Repeat("<&>\r\x01 long text ", 4000)
	for about, values := range map[string][]any{
		"the same names": {
			map[string]any{"b": "x", "a": 1}, map[string]any{"a": "1", "b": true}, map[string]any{"a": 2.5, "b": "<"},
		},
		"members without a value": {
			map[string]any{"a": 1, "b": 2}, map[string]any{"a": nil, "b": "x"}, map[string]any{"a": "x", "b": nil},
			map[string]any{"a": nil, "b": nil}, map[string]any{"a": 1, "b": 2},
		},
		"names to be escaped": {
			map[string]any{"<\x01>": 1, "": "x"}, map[string]any{"<\x01>": "&", "": "y"}, map[string]any{"<\x01>": "&", "": "z"},
		},
		"maps inside maps": {
			map[string]any{"a": map[string]any{"x": 1}, "b": map[string]any{"y": 1}},
			map[string]any{"a": map[string]any{"x": "1"}, "b": map[string]any{"x": 1}},
			map[string]any{"a": map[string]any{"x": map[string]any{"x": 2}}, "b": map[string]any{}},
			map[string]any{"a": map[string]any{"x": map[string]any{"x": "2"}}, "b": map[string]any{"x": "y"}},
		},
		"more than one buffer": {
			map[string]any{"a": big, "b": 1}, map[string]any{"a": big, "b": nil}, map[string]any{"a": nil, "b": big},
		},
	} {
		for _, policy := range []Forbidden{ReplaceForbidden, DropForbidden} {
			want := alone(t, values, WithForbidden(policy))
			doc, err := Marshal(values, WithForbidden(policy))
			if err != nil || string(doc) != want {
				t.Errorf("%s: got %.300q, %v\nwant %.300q", about, doc, err, want)
			}
			var stream bytes.Buffer
			if err := NewEncoder(&stream, WithForbidden(policy)).Value(values); err != nil || stream.String() != want {
				t.Errorf("%s, streamed: got %.300q, %v\nwant %.300q", about, stream.String(), err, want)
			}
		}
	}
}

func TestAnErrorInALaterMapOfTheSameNamesSaysWhere(t *testing.T) {
	for about, c := range map[string]struct {
		last map[string]any
		want string
	}{
		"a value": {map[string]any{"a": "x", "b": make(chan int)}, "[2].b: a value of type chan int cannot be written"},
		"a text":  {map[string]any{"a": "x", "b": "\x01"}, "[2].b: the text holds a character that XML forbids"},
	} {
		_, err := Marshal([]any{map[string]any{"a": 1, "b": 1}, map[string]any{"a": 1, "b": 1}, c.last}, WithForbidden(RefuseForbidden))
		if err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: got error %v", about, err)
		}
	}
	// A name is refused in the first map already, even of a member without a value.
	odd := map[string]any{"b\x01": nil}
	if _, err := Marshal([]any{odd, odd}, WithForbidden(RefuseForbidden)); err == nil || !strings.Contains(err.Error(), `[0]["b\x01"]`) {
		t.Errorf("got error %v", err)
	}
}

func TestIntsAreWrittenAsInAnyOtherList(t *testing.T) {
	ints := []int{0, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt64}
	list := make([]any, len(ints))
	for i, n := range ints {
		list[i] = n
	}
	for _, f := range []Features{{}, {I8: true}} {
		want := alone(t, list, WithFeatures(f))
		for about, v := range map[string]any{"a list": ints, "a pointer to one": &ints} {
			if doc, err := Marshal(v, WithFeatures(f)); err != nil || string(doc) != want {
				t.Errorf("%s: got %s, %v\nwant %s", about, doc, err, want)
			}
		}
		type held struct {
			Ints []int
		}
		if doc, err := Marshal(held{ints}, WithFeatures(f)); err != nil || !strings.Contains(string(doc), want) {
			t.Errorf("in a struct: got %s, %v\nwant %s", doc, err, want)
		}
	}
	if _, err := Marshal([]any{ints}, WithDepth(1)); err == nil {
		t.Error("a list of ints inside a list does not count as a level")
	}
}
