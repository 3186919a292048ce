package xmlrpc

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// registeredMethod is a function with all that is known about it beforehand. It
// is not changed once a handler has it.
type registeredMethod struct {
	name, help string
	fn         reflect.Value
	direct     directCall // calls fn without reflection, or nil
	wantsCtx   bool
	variadic   bool
	params     []parameter // without the context
	required   int         // how many of params a caller has to send
	result     string      // name of the result's type
}

type parameter struct {
	name     string
	kind     string       // name of its XML-RPC type
	declared reflect.Type // of a variadic parameter: the slice
}

func newMethod(name string, fn any, help string, names []string) (*registeredMethod, error) {
	if err := registrable(name); err != nil {
		return nil, err
	}
	v := reflect.ValueOf(fn)
	if !v.IsValid() || v.Kind() != reflect.Func || v.IsNil() {
		return nil, fmt.Errorf("xmlrpc: the method %q cannot be registered: it is %T, not a function", name, fn)
	}
	t := v.Type()
	if t.NumOut() != 2 || t.Out(1) != errorType || t.Out(0) == errorType {
		return nil, fmt.Errorf("xmlrpc: the method %q cannot be registered: %v does not return a result and an error", name, t)
	}
	m := &registeredMethod{name: name, help: help, fn: v, direct: directly(fn), variadic: t.IsVariadic(), result: typeName(t.Out(0))}
	first := 0
	if t.NumIn() > 0 && t.In(0) == contextType {
		m.wantsCtx, first = true, 1
	}
	if n := t.NumIn() - first; len(names) != 0 && len(names) != n {
		return nil, fmt.Errorf("xmlrpc: the method %q cannot be registered: it has %d parameters and %d names for them", name, n, len(names))
	}
	for i := first; i < t.NumIn(); i++ {
		p := parameter{name: "param" + strconv.Itoa(i-first+1), declared: t.In(i)}
		if len(names) > 0 {
			p.name = names[i-first]
		}
		optional := p.declared.Kind() == reflect.Pointer
		p.kind = typeName(p.declared)
		if m.variadic && i == t.NumIn()-1 {
			optional = true
			p.kind = typeName(p.declared.Elem())
		}
		if p.kind == "" {
			return nil, fmt.Errorf("xmlrpc: the method %q cannot be registered: its parameter %s is of type %v, which XML-RPC has none for", name, p.name, p.declared)
		}
		m.params = append(m.params, p)
		if !optional {
			m.required = len(m.params)
		}
	}
	if m.result == "" {
		return nil, fmt.Errorf("xmlrpc: the method %q cannot be registered: its result is of type %v, which XML-RPC has none for", name, t.Out(0))
	}
	return m, nil
}

// invoke decodes the parameters of the call, and calls the function.
func (m *registeredMethod) invoke(ctx context.Context, call *Call) (any, error) {
	n := call.NumParams()
	if n < m.required || (n > len(m.params) && !m.variadic) {
		return nil, m.wrongNumber(n)
	}
	if m.direct != nil {
		return m.direct(ctx, m, call)
	}
	return m.reflected(ctx, call)
}

// reflected is invoke for functions of any type.
func (m *registeredMethod) reflected(ctx context.Context, call *Call) (any, error) {
	n := call.NumParams()
	args := make([]reflect.Value, 0, len(m.params)+1)
	if m.wantsCtx {
		// A Value of the interface's own type spares reflect the conversion.
		args = append(args, reflect.ValueOf(&ctx).Elem())
	}
	fixed := len(m.params)
	if m.variadic {
		fixed--
	}
	for i := range fixed {
		arg := reflect.New(m.params[i].declared)
		if i < n {
			if err := m.decode(call, i, arg.Interface()); err != nil {
				return nil, err
			}
		}
		args = append(args, arg.Elem())
	}
	var out []reflect.Value
	if m.variadic {
		rest, err := m.decodeRest(call, fixed)
		if err != nil {
			return nil, err
		}
		out = m.fn.CallSlice(append(args, rest))
	} else {
		out = m.fn.Call(args)
	}
	if err, failed := out[1].Interface().(error); failed {
		return nil, err
	}
	return out[0].Interface(), nil
}

// decodeRest makes the slice of a variadic parameter from all parameters of the
// call from the given one on.
func (m *registeredMethod) decodeRest(call *Call, from int) (reflect.Value, error) {
	slice := m.params[from].declared
	n := call.NumParams()
	if n <= from {
		return reflect.Zero(slice), nil
	}
	if slice == typeAnyList {
		return reflect.ValueOf(call.Params()[from:]), nil
	}
	// One by one: no room is made for what may not fit.
	rest := reflect.MakeSlice(slice, 0, 1)
	for i := from; i < n; i++ {
		value := reflect.New(slice.Elem())
		if err := m.decode(call, i, value.Interface()); err != nil {
			return reflect.Value{}, err
		}
		rest = reflect.Append(rest, value.Elem())
	}
	return rest, nil
}

// decode fills one argument, to which dst points.
func (m *registeredMethod) decode(call *Call, i int, dst any) error {
	err := call.DecodeParam(i, dst)
	if err == nil {
		return nil
	}
	return &Fault{
		Code:   CodeInvalidParams,
		String: fmt.Sprintf("%s does not take these parameters: %s; expected %s", m.name, faultText(err), m.usage()),
	}
}

func (m *registeredMethod) wrongNumber(n int) error {
	count := strconv.Itoa(m.required)
	switch {
	case m.variadic:
		count += " or more"
	case m.required != len(m.params):
		count += " to " + strconv.Itoa(len(m.params))
	}
	return &Fault{
		Code:   CodeInvalidParams,
		String: fmt.Sprintf("%s takes %s parameters, not %d; expected %s", m.name, count, n, m.usage()),
	}
}

// usage is how the method is called, as in
// "bugs.getBugs(string name, array ids[, string level])".
func (m *registeredMethod) usage() string {
	var b strings.Builder
	b.WriteString(m.name)
	b.WriteByte('(')
	for i, p := range m.params {
		if i >= m.required {
			b.WriteByte('[')
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.kind + " " + p.name)
		if m.variadic && i == len(m.params)-1 {
			b.WriteString("...")
		}
	}
	b.WriteString(strings.Repeat("]", len(m.params)-m.required))
	b.WriteByte(')')
	return b.String()
}

// signatures lists the type of the result and those of the parameters, once for
// each number of parameters that the method takes. A variadic parameter is shown
// left out and given once.
func (m *registeredMethod) signatures() [][]string {
	signature := []string{m.result}
	var all [][]string
	for i := 0; ; i++ {
		if i >= m.required {
			all = append(all, append([]string(nil), signature...))
		}
		if i == len(m.params) {
			return all
		}
		signature = append(signature, m.params[i].kind)
	}
}
