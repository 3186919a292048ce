package xmlrpc

import (
	"encoding"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

type encodeFunc = func(e *encoder, v reflect.Value) error

// encoderOf chooses how a type is written. Interfaces that a type implements
// come before its kind.
func encoderOf(p *plan) encodeFunc {
	typ := p.typ
	ptr := reflect.PointerTo(typ)
	switch {
	case typ == typeDateTime:
		return func(e *encoder, v reflect.Value) error { return e.dateTime(*addressOf[DateTime](v)) }
	case typ == typeTime:
		return func(e *encoder, v reflect.Value) error { return e.dateTime(DateTimeOf(*addressOf[time.Time](v))) }
	case typ == typeBigInt:
		return func(e *encoder, v reflect.Value) error {
			e.bigInteger(addressOf[big.Int](v))
			return nil
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
		return func(e *encoder, v reflect.Value) error {
			e.str(v.String())
			return e.checkRefused()
		}
	case reflect.Bool:
		return func(e *encoder, v reflect.Value) error {
			e.boolean(v.Bool())
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(e *encoder, v reflect.Value) error {
			e.integer(v.Int())
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return func(e *encoder, v reflect.Value) error {
			e.unsigned(v.Uint())
			return nil
		}
	case reflect.Float32, reflect.Float64:
		bits := typ.Bits()
		return func(e *encoder, v reflect.Value) error { return e.double(v.Float(), bits) }
	case reflect.Slice, reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return func(e *encoder, v reflect.Value) error {
				e.base64(v.Bytes())
				return nil
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
	return func(*encoder, reflect.Value) error {
		return &EncodeError{reason: "a value of type " + typ.String() + " cannot be written"}
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

// step counts pointers and marshalers inside each other, which a program can
// tie into a circle that holds no array and no struct.
func (e *encoder) step(body func() error) error {
	const most = 1000
	if e.steps == most {
		return &EncodeError{reason: "more than " + itoa(most) + " pointers behind each other, perhaps in a circle"}
	}
	e.steps++
	err := body()
	e.steps--
	return err
}

func encodeInterface(e *encoder, v reflect.Value) error {
	if v.IsNil() {
		e.null()
		return nil
	}
	return e.value(v.Elem().Interface())
}

func (p *plan) encodePointer(e *encoder, v reflect.Value) error {
	if v.IsNil() {
		e.null()
		return nil
	}
	return e.step(func() error { return p.elem.encode(e, v.Elem()) })
}

func encodeMarshaler(e *encoder, v reflect.Value) error {
	m, ok := v.Interface().(Marshaler)
	if !ok {
		m = address(v).Interface().(Marshaler)
	}
	value, err := m.MarshalXMLRPC()
	if err != nil {
		return &EncodeError{reason: "a " + v.Type().String() + " could not be written", cause: err}
	}
	return e.step(func() error { return e.value(value) })
}

func encodeText(e *encoder, v reflect.Value) error {
	m, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		m = address(v).Interface().(encoding.TextMarshaler)
	}
	text, err := m.MarshalText()
	if err != nil {
		return &EncodeError{reason: "a " + v.Type().String() + " could not be written", cause: err}
	}
	e.str(string(text))
	return e.checkRefused()
}

func (p *plan) encodeSequence(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.add("<value><array><data>")
	encode := p.elem.encode
	for i := range v.Len() {
		if err := encode(e, v.Index(i)); err != nil {
			return encodeErrorAt(err, "["+itoa(i)+"]")
		}
		e.standIn()
		if err := e.flush(streamBuffer); err != nil {
			return err
		}
	}
	e.add("</data></array></value>")
	e.depth--
	return nil
}

func (p *plan) encodeStruct(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.add("<value><struct>")
	for i := range p.fields {
		f := &p.fields[i]
		value, ok := f.of(v)
		if !ok || f.omitEmpty && f.plan.empty(value) {
			continue
		}
		start := len(e.buf)
		e.buf = append(e.buf, f.head...)
		if err := f.plan.encode(e, value); err != nil {
			return encodeErrorAt(err, quoteName(f.name))
		}
		if err := e.endMember(start); err != nil {
			return err
		}
	}
	e.add("</struct></value>")
	e.depth--
	return nil
}

// of returns the field of v, and false if it is in an embedded struct that is
// not there.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
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

// encodeMap writes the members sorted by name.
func (p *plan) encodeMap(e *encoder, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	type entry struct {
		name string
		key  reflect.Value
	}
	entries := make([]entry, 0, v.Len())
	for _, key := range v.MapKeys() {
		name := key.String()
		if m, ok := key.Interface().(encoding.TextMarshaler); ok {
			text, err := m.MarshalText()
			if err != nil {
				return &EncodeError{reason: "a " + key.Type().String() + " could not be written", cause: err}
			}
			name = string(text)
		}
		entries = append(entries, entry{name, key})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	e.add("<value><struct>")
	value := reflect.New(p.typ.Elem()).Elem()
	for _, entry := range entries {
		value.Set(v.MapIndex(entry.key))
		start := len(e.buf)
		e.add("<member><name>")
		e.text(entry.name)
		e.add("</name>")
		err := e.checkRefused()
		if err == nil {
			err = p.elem.encode(e, value)
		}
		if err != nil {
			return encodeErrorAt(err, quoteName(entry.name))
		}
		if err := e.endMember(start); err != nil {
			return err
		}
	}
	e.add("</struct></value>")
	e.depth--
	return nil
}
