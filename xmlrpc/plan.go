package xmlrpc

import (
	"cmp"
	"encoding"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Marshaler is a type that says itself how it is written: as the value that it
// returns, which may be of any type that can be written.
type Marshaler interface {
	MarshalXMLRPC() (any, error)
}

// Unmarshaler is a type that reads itself, from a value in the form that the
// package documentation gives for any. It must copy what it keeps of maps,
// slices and pointers.
type Unmarshaler interface {
	UnmarshalXMLRPC(value any) error
}

// plan is how one Go type is read and written. Plans are made once for each
// type and never change afterwards.
type plan struct {
	typ    reflect.Type
	decode decodeFunc
	encode encodeFunc
	// empty tells for omitempty whether a value is left out.
	empty func(v reflect.Value) bool

	elem   *plan            // of pointers, slices, arrays and maps
	fields []field          // of structs, in the order of the type
	byName map[string]int32 // index into fields
}

// field is a member of a struct, perhaps of one embedded in it.
type field struct {
	name      string
	index     []int
	direct    int // the one index, or -1 for a field of an embedded struct
	plan      *plan
	omitEmpty bool
	tagged    bool
	// head is all that is written before the value. It is nil for a name with a
	// character that XML forbids: the policy for those decides each time.
	head []byte
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	b := planner{made: map[reflect.Type]*plan{}}
	p := b.plan(t)
	for typ, made := range b.made {
		plans.LoadOrStore(typ, made)
	}
	return p
}

// planner makes the plans of a type and of all types inside it. A type that is
// inside itself finds its own unfinished plan in made.
type planner struct{ made map[reflect.Type]*plan }

var (
	typeTime            = reflect.TypeFor[time.Time]()
	typeDateTime        = reflect.TypeFor[DateTime]()
	typeBigInt          = reflect.TypeFor[big.Int]()
	typeInts            = reflect.TypeFor[[]int]()
	typeAnyList         = reflect.TypeFor[[]any]()
	typeAnyMap          = reflect.TypeFor[map[string]any]()
	typeMarshaler       = reflect.TypeFor[Marshaler]()
	typeUnmarshaler     = reflect.TypeFor[Unmarshaler]()
	typeTextMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	typeTextUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (b planner) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := b.made[t]; ok {
		return p
	}
	p := &plan{typ: t, empty: reflect.Value.IsZero}
	b.made[t] = p
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		p.elem = b.plan(t.Elem())
	case reflect.Struct:
		if t != typeTime && t != typeDateTime && t != typeBigInt {
			b.fields(p)
		}
	}
	if k := t.Kind(); k == reflect.Slice || k == reflect.Map {
		p.empty = func(v reflect.Value) bool { return v.Len() == 0 }
	}
	p.decode, p.encode = decoderOf(p), encoderOf(p)
	return p
}

// fields finds the members of a struct type: the exported fields, and those of
// embedded structs as if they were its own. Of several with one name the least
// deep counts, of those a tagged one; if that is not one alone, none does.
func (b planner) fields(p *plan) {
	all := b.collect(p.typ, nil, map[reflect.Type]bool{})
	byName := map[string][]field{}
	var names []string
	for _, f := range all {
		if _, ok := byName[f.name]; !ok {
			names = append(names, f.name)
		}
		byName[f.name] = append(byName[f.name], f)
	}
	for _, name := range names {
		if f, ok := dominant(byName[name]); ok {
			p.fields = append(p.fields, f)
		}
	}
	slices.SortStableFunc(p.fields, func(a, b field) int { return slices.Compare(a.index, b.index) })
	p.byName = make(map[string]int32, len(p.fields))
	for i := range p.fields {
		f := &p.fields[i]
		p.byName[f.name] = int32(i)
		f.plan = b.plan(p.typ.FieldByIndex(f.index).Type)
		f.direct = -1
		if len(f.index) == 1 {
			f.direct = f.index[0]
		}
		strict := encoder{options: encodeOptions{forbidden: RefuseForbidden}}
		if head, err := strict.memberHead(nil, f.name); err == nil {
			f.head = head
		}
	}
}

func dominant(same []field) (field, bool) {
	slices.SortStableFunc(same, func(a, b field) int {
		if n := cmp.Compare(len(a.index), len(b.index)); n != 0 {
			return n
		}
		switch {
		case a.tagged && !b.tagged:
			return -1
		case b.tagged && !a.tagged:
			return 1
		}
		return 0
	})
	if len(same) > 1 && len(same[0].index) == len(same[1].index) && same[0].tagged == same[1].tagged {
		return field{}, false
	}
	return same[0], true
}

// collect walks through embedded structs. The types on the way are remembered,
// since a type can embed a pointer to itself.
func (b planner) collect(t reflect.Type, prefix []int, onWay map[reflect.Type]bool) []field {
	if onWay[t] {
		return nil
	}
	onWay[t] = true
	defer delete(onWay, t)
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, hasTag := sf.Tag.Lookup("xmlrpc")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		index := append(slices.Clone(prefix), i)
		if sf.Anonymous && name == "" {
			inner := sf.Type
			if inner.Kind() == reflect.Pointer && sf.IsExported() {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && !ownForm(inner) {
				out = append(out, b.collect(inner, index, onWay)...)
				continue
			}
		}
		if !sf.IsExported() {
			continue
		}
		f := field{name: name, index: index, tagged: hasTag && name != "", omitEmpty: hasOption(options, "omitempty")}
		if name == "" {
			f.name = sf.Name
		}
		out = append(out, f)
	}
	return out
}

func hasOption(options, want string) bool {
	return slices.Contains(strings.Split(options, ","), want)
}

// ownForm tells whether a struct type is one value and not a bag of members.
func ownForm(t reflect.Type) bool {
	if t == typeTime || t == typeDateTime || t == typeBigInt {
		return true
	}
	p := reflect.PointerTo(t)
	return p.Implements(typeMarshaler) || p.Implements(typeUnmarshaler) ||
		p.Implements(typeTextMarshaler) || p.Implements(typeTextUnmarshaler)
}
