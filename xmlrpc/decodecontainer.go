package xmlrpc

import (
	"encoding"
	"reflect"
)

func (p *plan) decodePointer(t *tape, i uint32, v reflect.Value) *DecodeError {
	if setNil(&t.nodes[i], v) {
		return nil
	}
	if v.IsNil() {
		v.Set(reflect.New(p.typ.Elem()))
	}
	return p.elem.decode(t, i, v.Elem())
}

// endless tells whether a pointer type points to itself, by whatever way, and
// so to no value.
func endless(t reflect.Type) bool {
	for range maxSteps {
		if t.Kind() != reflect.Pointer {
			return false
		}
		t = t.Elem()
	}
	return true
}

func decodeBytes64(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	if n.kind != kindBase64 {
		if setNil(n, v) {
			return nil
		}
		return mismatch(n, v.Type())
	}
	v.SetBytes([]byte(t.str(n)))
	return nil
}

func decodeByteArray(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	switch {
	case n.kind == kindBase64 && int(n.n) == v.Len():
		for k, b := range []byte(t.str(n)) {
			v.Index(k).SetUint(uint64(b))
		}
	case n.kind == kindBase64:
		return &DecodeError{code: CodeInvalidParams, reason: "base64 of " + itoa(int(n.n)) + " bytes does not fit " + v.Type().String()}
	case !setNil(n, v):
		return mismatch(n, v.Type())
	}
	return nil
}

func (p *plan) decodeSlice(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	if n.kind != kindArray {
		if setNil(n, v) {
			return nil
		}
		return mismatch(n, p.typ)
	}
	if p.typ == typeAnyList {
		v.Set(reflect.ValueOf(t.value(i)))
		return nil
	}
	whole := int(n.bits)
	size := min(whole, max(1, sliceStep/max(1, int(p.typ.Elem().Size()))))
	list := reflect.MakeSlice(p.typ, size, size)
	for at, have := i+1, 0; ; {
		var err *DecodeError
		if at, err = p.decodeElements(t, at, list, have); err != nil {
			return err
		}
		if size == whole {
			v.Set(list)
			return nil
		}
		have, size = size, min(whole, 2*size)
		larger := reflect.MakeSlice(p.typ, size, size)
		reflect.Copy(larger, list)
		list = larger
	}
}

// sliceStep is how many bytes of elements are made room for before the first is
// read. An element can be far larger than its <value/>, and the first may show
// that none fits.
const sliceStep = 256 << 10

// decodeArray wants exactly as many elements as the array has.
func (p *plan) decodeArray(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	switch {
	case n.kind == kindArray && int(n.bits) == v.Len():
		_, err := p.decodeElements(t, i+1, v, 0)
		return err
	case n.kind == kindArray:
		return &DecodeError{code: CodeInvalidParams, reason: "an array of " + itoa(int(n.bits)) + " does not fit " + p.typ.String()}
	case !setNil(n, v):
		return mismatch(n, p.typ)
	}
	return nil
}

// decodeElements fills the list from its element k on with the values at at and
// behind it, and returns where the next would be.
func (p *plan) decodeElements(t *tape, at uint32, list reflect.Value, k int) (next uint32, err *DecodeError) {
	decode := p.elem.decode
	for ; k < list.Len(); k++ {
		if err := decode(t, at, list.Index(k)); err != nil {
			return at, err.under("[" + itoa(k) + "]")
		}
		at = t.nodes[at].next
	}
	return at, nil
}

// isStruct tells whether a value can be read as a struct. An empty array can:
// php's xmlrpc extension sends that for an empty map.
func isStruct(n *node) bool {
	return n.kind == kindStruct || n.kind == kindArray && n.bits == 0
}

func (p *plan) decodeMap(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	if !isStruct(n) {
		if setNil(n, v) {
			return nil
		}
		return mismatch(n, p.typ)
	}
	if p.typ == typeAnyMap && n.kind == kindStruct {
		v.Set(reflect.ValueOf(t.value(i)))
		return nil
	}
	m := reflect.MakeMapWithSize(p.typ, int(n.bits))
	keyType := p.typ.Key()
	byText := reflect.PointerTo(keyType).Implements(typeTextUnmarshaler)
	key := reflect.New(keyType).Elem()
	value := reflect.New(p.typ.Elem()).Elem()
	for at := i + 1; at < n.next; at = t.nodes[at+1].next {
		name := t.str(&t.nodes[at])
		if byText {
			key.SetZero()
			if err := key.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(name)); err != nil {
				return refusedBy(key, err).under(quoteName(name))
			}
		} else {
			key.SetString(name)
		}
		value.SetZero()
		if err := p.elem.decode(t, at+1, value); err != nil {
			return err.under(quoteName(name))
		}
		m.SetMapIndex(key, value)
	}
	v.Set(m)
	return nil
}

// decodeStruct sets the fields that the value has members for and leaves the
// others as they are; members without a field are passed over, since trackers
// add members from release to release.
func (p *plan) decodeStruct(t *tape, i uint32, v reflect.Value) *DecodeError {
	n := &t.nodes[i]
	if !isStruct(n) {
		if setNil(n, v) {
			return nil
		}
		return mismatch(n, p.typ)
	}
	for at := i + 1; at < n.next; at = t.nodes[at+1].next {
		k, ok := p.byName[t.str(&t.nodes[at])]
		if !ok {
			continue
		}
		f := &p.fields[k]
		if err := f.plan.decode(t, at+1, f.in(v)); err != nil {
			return err.under(quoteName(f.name))
		}
	}
	return nil
}

// in returns the field of v, making the embedded structs on the way to it.
func (f *field) in(v reflect.Value) reflect.Value {
	if f.direct >= 0 {
		return v.Field(f.direct)
	}
	for depth, k := range f.index {
		if depth > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(k)
	}
	return v
}

// quoteName gives a member's name the form it has in paths of errors: itself
// if it is a plain word, else quoted and in brackets.
func quoteName(name string) string {
	for i := range len(name) {
		if c := name[i]; classes[c]&className == 0 || c == ':' || c == '.' {
			return "[" + shortQuote(name) + "]"
		}
	}
	if name == "" {
		return `[""]`
	}
	if len(name) > 80 {
		return "[" + shortQuote(name) + "]"
	}
	return name
}
