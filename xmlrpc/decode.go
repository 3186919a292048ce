package xmlrpc

import (
	"encoding"
	"errors"
	"math"
	"math/big"
	"reflect"
	"time"
	"unicode/utf8"
)

// decode reads the value at i into what dst points to. root names the value in errors.
func (t *tape) decode(i uint32, dst any, root string) error {
	switch p := dst.(type) {
	case nil:
		return nil
	case *any:
		if p != nil {
			*p = t.value(i)
			return nil
		}
	case *string:
		if p != nil && t.nodes[i].kind == kindString {
			*p = t.str(&t.nodes[i])
			return nil
		}
	}
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &DecodeError{code: CodeInternalError, path: root, reason: "the destination is no pointer but " + v.Type().String()}
	}
	v = v.Elem()
	if err := planOf(v.Type()).decode(t, i, v); err != nil {
		return err.under(root)
	}
	return nil
}

func mismatch(n *node, t reflect.Type) *DecodeError {
	return &DecodeError{code: CodeInvalidParams, reason: "a value of type " + n.kind.String() + " does not go into " + t.String()}
}

func misfit(t *tape, n *node, typ reflect.Type) *DecodeError {
	text := t.str(n)
	if len(text) > 40 {
		text = text[:40] + "..."
	}
	return &DecodeError{code: CodeInvalidParams, reason: n.kind.String() + " " + text + " does not fit " + typ.String()}
}

type decodeFunc = func(t *tape, i uint32, v reflect.Value) *DecodeError

// decoderOf chooses how a type is read. Interfaces that a type implements come
// before its kind.
func decoderOf(p *plan) decodeFunc {
	typ := p.typ
	if typ.Kind() != reflect.Pointer && typ.Kind() != reflect.Interface {
		ptr := reflect.PointerTo(typ)
		switch {
		case ptr.Implements(typeUnmarshaler):
			return decodeUnmarshaler
		case typ == typeDateTime:
			return decodeDateTime
		case typ == typeTime:
			return decodeTime
		case typ == typeBigInt:
			return decodeBigInt
		case ptr.Implements(typeTextUnmarshaler):
			return decodeText
		}
	}
	switch typ.Kind() {
	case reflect.String:
		return decodeString
	case reflect.Bool:
		return decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return decodeUint
	case reflect.Float32, reflect.Float64:
		return decodeFloat
	case reflect.Interface:
		return decodeInterface
	case reflect.Pointer:
		if !endless(typ) {
			return p.decodePointer
		}
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return decodeBytes64
		}
		return p.decodeSlice
	case reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return decodeByteArray
		}
		return p.decodeArray
	case reflect.Map:
		if k := typ.Key(); k.Kind() == reflect.String || reflect.PointerTo(k).Implements(typeTextUnmarshaler) {
			return p.decodeMap
		}
	case reflect.Struct:
		return p.decodeStruct
	}
	return func(*tape, uint32, reflect.Value) *DecodeError {
		return &DecodeError{code: CodeInternalError, reason: "no value can be read into " + typ.String()}
	}
}

// nilOrMismatch sets v for nil, and refuses every other value that v's type does
// not take.
func nilOrMismatch(n *node, v reflect.Value) *DecodeError {
	if setNil(n, v) {
		return nil
	}
	return mismatch(n, v.Type())
}

// setNil gives v its zero value if the value at i is nil, and tells so.
func setNil(n *node, v reflect.Value) bool {
	if n.kind != kindNil {
		return false
	}
	v.SetZero()
	return true
}

// decodeString reads text, and every scalar as the text that was sent: Perl's
// clients type a value by its looks, so that "042" arrives as an int, "1e3" as a
// double, a date as a dateTime, and XMLRPC::Lite sends letters past ASCII
// as base64.
func decodeString(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	text, ok := t.textOf(n)
	if !ok {
		return nilOrMismatch(n, v)
	}
	v.SetString(text)
	return nil
}

// textOf returns a scalar as the text that was sent.
func (t *tape) textOf(n *node) (string, bool) {
	switch n.kind {
	case kindString, kindInt, kindI8, kindDouble, kindBoolean, kindDateTime, kindBigInteger, kindBigDecimal:
		return t.str(n), true
	case kindBase64:
		text := t.str(n)
		return text, utf8.ValidString(text)
	}
	return "", false
}

// decodeBool reads booleans, and the ints 0 and 1 that clients send who have no booleans.
func decodeBool(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	switch {
	case n.kind == kindBoolean, n.kind == kindInt && n.bits <= 1:
		v.SetBool(n.bits != 0)
	case n.kind == kindInt:
		return misfit(t, n, v.Type())
	case !setNil(n, v):
		return mismatch(n, v.Type())
	}
	return nil
}

// decodeInt reads integers, and strings of digits: large numbers are sent so to
// whom i8 is unknown (rule 8 of docs/clients.md).
func decodeInt(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	number, ok := int64(n.bits), true
	switch n.kind {
	case kindInt, kindI8:
	case kindString, kindBigInteger:
		number, ok = parseInteger(t.str(n))
	default:
		return nilOrMismatch(n, v)
	}
	if !ok || v.OverflowInt(number) {
		return noInteger(t, n, v)
	}
	v.SetInt(number)
	return nil
}

// decodeUint is decodeInt for unsigned integers.
func decodeUint(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	number := n.bits
	var ok bool
	switch n.kind {
	case kindInt, kindI8:
		ok = int64(n.bits) >= 0
	case kindString, kindBigInteger:
		number, ok = parseUnsigned(t.str(n))
	default:
		return nilOrMismatch(n, v)
	}
	if !ok || v.OverflowUint(number) {
		return noInteger(t, n, v)
	}
	v.SetUint(number)
	return nil
}

// noInteger says why a value is no integer of v's type: a string may be no number
// at all.
func noInteger(t *tape, n *node, v reflect.Value) *DecodeError {
	if n.kind == kindString && !decimal(t.str(n), false) {
		return mismatch(n, v.Type())
	}
	return misfit(t, n, v.Type())
}

func parseUnsigned(s string) (uint64, bool) {
	if len(s) > 0 && s[0] == '+' {
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	v := uint64(0)
	for i := range len(s) {
		d := uint64(s[i] - '0')
		if d > 9 || v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// decodeFloat reads doubles and integers: languages with one kind of number
// send 1.0 as an int.
func decodeFloat(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	var number float64
	switch n.kind {
	case kindDouble:
		number = math.Float64frombits(n.bits)
	case kindInt, kindI8:
		number = float64(int64(n.bits))
	case kindBigInteger, kindBigDecimal:
		var ok bool
		if number, ok = parseDouble(t.str(n)); !ok {
			return misfit(t, n, v.Type())
		}
	default:
		return nilOrMismatch(n, v)
	}
	if v.OverflowFloat(number) {
		return misfit(t, n, v.Type())
	}
	v.SetFloat(number)
	return nil
}

func decodeInterface(t *tape, i uint32, v reflect.Value) *DecodeError {
	if v.NumMethod() != 0 {
		return &DecodeError{code: CodeInternalError, reason: "no value can be read into " + v.Type().String()}
	}
	if value := t.value(i); value != nil {
		v.Set(reflect.ValueOf(value))
	} else {
		v.SetZero()
	}
	return nil
}

func (t *tape) dateTimeOf(n *node) (DateTime, bool) {
	if n.kind != kindDateTime && n.kind != kindString {
		return DateTime{}, false
	}
	d, err := ParseDateTime(t.str(n))
	return d, err == nil
}

// decodeDateTime reads a dateTime, and a string in one of its layouts: "where
// one format must reach everybody, send a string" (rule 10 of docs/clients.md).
func decodeDateTime(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	d, ok := t.dateTimeOf(n)
	if !ok {
		return nilOrMismatch(n, v)
	}
	*(v.Addr().Interface().(*DateTime)) = d
	return nil
}

// decodeTime is decodeDateTime for time.Time; what has no zone is read as UTC.
func decodeTime(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	d, ok := t.dateTimeOf(n)
	if !ok {
		return nilOrMismatch(n, v)
	}
	*(v.Addr().Interface().(*time.Time)) = d.Time(time.UTC)
	return nil
}

func decodeBigInt(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	switch n.kind {
	case kindInt, kindI8, kindBigInteger, kindString:
		text := t.str(n)
		if len(text) <= MaxBigDigits && decimal(text, false) {
			if _, ok := v.Addr().Interface().(*big.Int).SetString(text, 10); ok {
				return nil
			}
		}
	}
	if setNil(n, v) {
		return nil
	}
	return mismatch(n, v.Type())
}

func decodeText(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	text, ok := t.textOf(n)
	if !ok {
		return nilOrMismatch(n, v)
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return refusedBy(v, err)
	}
	return nil
}

func decodeUnmarshaler(t *tape, i uint32, v reflect.Value) *DecodeError {
	if err := v.Addr().Interface().(Unmarshaler).UnmarshalXMLRPC(t.value(i)); err != nil {
		return refusedBy(v, err)
	}
	return nil
}

// refusedBy is the error of a value that its own type refused. What the type
// says about it is for its caller: the type reads only what the caller sent. It
// is cut short, since types like to repeat what they have read.
func refusedBy(v reflect.Value, err error) *DecodeError {
	var inner *DecodeError
	if errors.As(err, &inner) {
		return &DecodeError{code: inner.code, path: inner.path, reason: inner.reason}
	}
	return &DecodeError{code: CodeInvalidParams, reason: "no " + v.Type().String() + ": " + shortQuote(err.Error())}
}
