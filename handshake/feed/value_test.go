package feed_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestDataBecomeAStruct(t *testing.T) {
	deep := strings.Repeat(`{"a":`, feed.MaxDepth) + `[1, {"b" : [2]}]` + strings.Repeat(`}`, feed.MaxDepth)
	for _, test := range []struct {
		name, data string
		want       any
		values     int
	}{
		{"nothing", ``, nil, 0},
		{"an empty object", `{}`, map[string]any{}, 1},
		{"texts", `{"a":"x","":"ж\n\u0000"}`, map[string]any{"a": "x", "": "ж\n\x00"}, 3},
		{"whole numbers", `{"a":0,"b":-2147483648,"c":2147483648,"d":9223372036854775807}`,
			map[string]any{"a": 0, "b": -2147483648, "c": 2147483648, "d": 9223372036854775807}, 5},
		{"a number beyond 64 bits", `[9223372036854775808,-99999999999999999999]`, []any{"9223372036854775808", "-99999999999999999999"}, 3},
		{"other numbers", `[1.5,1e3,-0,1e400]`, []any{1.5, 1000.0, math.Copysign(0, -1), "1e400"}, 5},
		{"the rest", `{"a":[true,false,null],"b":null}`, map[string]any{"a": []any{true, false, nil}, "b": nil}, 6},
		{"the last of the same names", `{"a":1,"a":2}`, map[string]any{"a": 2}, 3},
		{"what is no object", ` "x" `, "x", 1},
		{"what is no JSON", `{"a":`, `{"a":`, 1},
		{"what is more than JSON", `{} {}`, `{} {}`, 1},
		{"what is too deep", deep, nested(`[1, {"b" : [2]}]`), feed.MaxDepth + 1},
		{"what is too much", `[` + strings.Repeat(`0,`, feed.MaxValues) + `0]`, `[` + strings.Repeat(`0,`, feed.MaxValues) + `0]`, 1},
	} {
		got, values := feed.Value([]byte(test.data))
		if !reflect.DeepEqual(got, test.want) || values != test.values {
			t.Errorf("%s: %#.200v of %d values, want %#.200v of %d", test.name, got, values, test.want, test.values)
		}
	}
}

func nested(inner any) any {
	for range feed.MaxDepth {
		inner = map[string]any{"a": inner}
	}
	return inner
}

func TestNumbersAndNullsGoOutAsTheReceiverReadsThem(t *testing.T) {
	value, _ := feed.Value([]byte(`{"small":1,"large":2147483648,"null":null}`))
	got, err := xmlrpc.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]bool{"<int>1</int>": true, "<string>2147483648</string>": true, "null": false, "<i8>": false} {
		if strings.Contains(string(got), part) != want {
			t.Errorf("%s: %v in %s", part, !want, got)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x",null,true]}`, `[[[[]]]]`, `{"a":1e400}`, `-0`, `{`, strings.Repeat("[", 40) + strings.Repeat("]", 40)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		value, values := feed.Value(data)
		if (value == nil) != (len(data) == 0 || strings.TrimSpace(string(data)) == "null") || values > feed.MaxValues {
			t.Errorf("%q is %#v of %d values", data, value, values)
		}
		if _, err := xmlrpc.Marshal([]any{value}); err != nil {
			t.Errorf("%q cannot be written: %v", data, err)
		}
	})
}
