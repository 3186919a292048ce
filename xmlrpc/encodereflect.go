package xmlrpc

import (
	"encoding"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

type encodeFunc = func(e *encoder, b []byte, v reflect.Value) ([]byte, error)

// encoderOf chooses how a type is written. Interfaces that a type implements
// come before its kind.
func encoderOf(p *plan) encodeFunc {
	typ := p.typ
	ptr := reflect.PointerTo(typ)
	switch {
	case typ == typeDateTime:
		return func(_ *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendDateTime(b, *addressOf[DateTime](v))
		}
	case typ == typeTime:
		return func(_ *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendDateTime(b, DateTimeOf(*addressOf[time.Time](v)))
		}
	case typ == typeBigInt:
		return func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return e.bigInteger(b, addressOf[big.Int](v)), nil
		}
	case typ.Kind() == reflect.Interface:
		return encodeInterface
	case typ.Kind() == reflect.Pointer:
		// A pointer to a type that marshals itself finds that at its element.
		return p.encodePointer
	case typ.Implements(typeMarshaler) || ptr.Implements(typeMarshaler):
		return encodeMarshaler
	case typ.Implements(typeTextMarshaler) || ptr.Implements(typeTextMarshaler):
		return encodeText
	}
	switch typ.Kind() {
	case reflect.String:
		return func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return e.checked(e.str(b, v.String()))
		}
	case reflect.Bool:
		return func(_ *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendBoolean(b, v.Bool()), nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return e.integer(b, v.Int()), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return e.unsigned(b, v.Uint()), nil
		}
	case reflect.Float32, reflect.Float64:
		bits := typ.Bits()
		return func(_ *encoder, b []byte, v reflect.Value) ([]byte, error) {
			return appendDouble(b, v.Float(), bits)
		}
	case reflect.Slice, reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return func(_ *encoder, b []byte, v reflect.Value) ([]byte, error) {
				if v.Kind() == reflect.Array {
					v = address(v).Elem()
				}
				return appendBase64(b, v.Bytes()), nil
			}
		}
		if typ == typeInts {
			return func(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
				return e.ints(b, *addressOf[[]int](v))
			}
		}
		return p.encodeSequence
	case reflect.Map:
		if k := typ.Key(); k.Kind() == reflect.String || k.Implements(typeTextMarshaler) {
			return p.encodeMap
		}
	case reflect.Struct:
		return p.encodeStruct
	}
	return func(_ *encoder, b []byte, _ reflect.Value) ([]byte, error) {
		return b, &EncodeError{reason: "a value of type " + typ.String() + " cannot be written"}
	}
}

// address returns v as something with an address, copied if need be.
func address(v reflect.Value) reflect.Value {
	if !v.CanAddr() {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		v = c
	}
	return v.Addr()
}

func addressOf[T any](v reflect.Value) *T { return address(v).Interface().(*T) }

// maxSteps bounds pointers and marshalers inside each other, which a program can
// tie into a circle that holds no array and no struct.
const maxSteps = 1000

func (e *encoder) step() error {
	if e.steps == maxSteps {
		return &EncodeError{reason: "more than " + itoa(maxSteps) + " pointers behind each other, perhaps in a circle"}
	}
	e.steps++
	return nil
}

func encodeInterface(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return e.null(b), nil
	}
	return e.value(b, v.Elem().Interface())
}

func (p *plan) encodePointer(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return e.null(b), nil
	}
	if err := e.step(); err != nil {
		return b, err
	}
	b, err := p.elem.encode(e, b, v.Elem())
	e.steps--
	return b, err
}

func encodeMarshaler(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	m, ok := v.Interface().(Marshaler)
	if !ok {
		m = address(v).Interface().(Marshaler)
	}
	value, err := m.MarshalXMLRPC()
	if err != nil {
		return b, &EncodeError{reason: "a " + v.Type().String() + " could not be written", cause: err}
	}
	if err := e.step(); err != nil {
		return b, err
	}
	b, err = e.value(b, value)
	e.steps--
	return b, err
}

func encodeText(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	m, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		m = address(v).Interface().(encoding.TextMarshaler)
	}
	text, err := m.MarshalText()
	if err != nil {
		return b, &EncodeError{reason: "a " + v.Type().String() + " could not be written", cause: err}
	}
	return e.checked(e.str(b, string(text)))
}

func (p *plan) encodeSequence(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	b = append(b, "<value><array><data>"...)
	encode := p.elem.encode
	for i := range v.Len() {
		if b, err = encode(e, b, v.Index(i)); err != nil {
			return b, encodeErrorAt(err, "["+itoa(i)+"]")
		}
		b = e.standIn(b)
		if b, err = e.flush(b, streamBuffer); err != nil {
			return b, err
		}
	}
	e.depth--
	return append(b, "</data></array></value>"...), nil
}

func (p *plan) encodeStruct(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	b = append(b, "<value><struct>"...)
	for i := range p.fields {
		f := &p.fields[i]
		value, ok := f.of(v)
		if !ok || f.omitEmpty && f.plan.empty(value) {
			continue
		}
		start := len(b)
		if f.head != nil {
			b = append(b, f.head...)
		} else {
			b, err = e.memberHead(b, f.name)
		}
		if err == nil {
			b, err = f.plan.encode(e, b, value)
		}
		if err != nil {
			return b, encodeErrorAt(err, quoteName(f.name))
		}
		if b, err = e.endMember(b, start); err != nil {
			return b, err
		}
	}
	e.depth--
	return append(b, "</struct></value>"...), nil
}

// of returns the field of v, and false if it is in an embedded struct that is
// not there.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
	if f.direct >= 0 {
		return v.Field(f.direct), true
	}
	for depth, k := range f.index {
		if depth > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(k)
	}
	return v, true
}

// entry is one member of a map of any type on the way to being sorted.
type entry struct {
	name string
	key  reflect.Value
}

func entriesOf(v reflect.Value) ([]entry, error) {
	entries := make([]entry, 0, v.Len())
	for _, key := range v.MapKeys() {
		name := key.String()
		if m, ok := key.Interface().(encoding.TextMarshaler); ok {
			text, err := m.MarshalText()
			if err != nil {
				return nil, &EncodeError{reason: "a " + key.Type().String() + " could not be written", cause: err}
			}
			name = string(text)
		}
		entries = append(entries, entry{name, key})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// encodeMap writes the members sorted by name.
func (p *plan) encodeMap(e *encoder, b []byte, v reflect.Value) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	entries, err := entriesOf(v)
	if err != nil {
		return b, err
	}
	b = append(b, "<value><struct>"...)
	value := reflect.New(p.typ.Elem()).Elem()
	for _, entry := range entries {
		value.Set(v.MapIndex(entry.key))
		start := len(b)
		b, err = e.memberHead(b, entry.name)
		if err == nil {
			b, err = p.elem.encode(e, b, value)
		}
		if err != nil {
			return b, encodeErrorAt(err, quoteName(entry.name))
		}
		if b, err = e.endMember(b, start); err != nil {
			return b, err
		}
	}
	e.depth--
	return append(b, "</struct></value>"...), nil
}
