package xmlrpc

import (
	"math/big"
	"reflect"
	"time"
)

// typeNames are the XML-RPC types of Go types that do not follow from their kind.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[DateTime]():  "dateTime.iso8601",
	reflect.TypeFor[time.Time](): "dateTime.iso8601",
	reflect.TypeFor[[]byte]():    "base64",
	reflect.TypeFor[big.Int]():   "int",
}

// typeName names the XML-RPC type of a Go type, as signatures show it. A type
// that can be several is "any". It is empty for what has none, such as a channel.
func typeName(t reflect.Type) string {
	if endless(t) {
		return ""
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name, ok := typeNames[t]; ok {
		return name
	}
	pointer := reflect.PointerTo(t)
	switch {
	case pointer.Implements(typeMarshaler), pointer.Implements(typeUnmarshaler):
		return "any"
	case pointer.Implements(typeTextMarshaler), pointer.Implements(typeTextUnmarshaler):
		return "string"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "int"
	case reflect.Float32, reflect.Float64:
		return "double"
	case reflect.String:
		return "string"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "base64"
		}
		return "array"
	case reflect.Map, reflect.Struct:
		return "struct"
	case reflect.Interface:
		return "any"
	}
	return ""
}
