package bridge

import (
	"reflect"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

func TestAnAnswerWeighsItsTextAndNoMoreThanItIsLong(t *testing.T) {
	at := time.Unix(1710841020, 0)
	for _, tc := range []struct {
		value any
		least int
	}{
		{"twelve bytes", 12},
		{"", 0},
		{[]byte("four"), 4},
		{[]any{}, 0},
		{[]any{1, true, 2.5, "text", []any{"more"}}, 8},
		{map[string]any{"name": "value", "n": map[string]any{}}, 10},
		{xmlrpc.DateTimeOf(at), 0},
	} {
		doc, err := xmlrpc.AppendResponse(nil, tc.value)
		if err != nil {
			t.Fatal(err)
		}
		var decoded any
		if err := xmlrpc.ParseResponse(doc, &decoded); err != nil {
			t.Fatal(err)
		}
		if weight := weigh(reflect.ValueOf(&decoded)); weight < int64(tc.least) || weight > int64(len(doc)) {
			t.Errorf("%v weighs %d, want from %d to %d", tc.value, weight, tc.least, len(doc))
		}
	}
	type record struct {
		Text string
		At   time.Time // which holds all that is known about a zone
		None *string
		Any  any
	}
	if weight := weigh(reflect.ValueOf(&record{Text: "text", At: at})); weight != 4+5*valueWeight {
		t.Errorf("a struct weighs %d", weight)
	}
	if weight := weigh(reflect.ValueOf(nil)); weight != valueWeight {
		t.Errorf("nothing weighs %d", weight)
	}
}
