package xmlrpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// systemPrefix belongs to the methods that every handler has of its own.
const systemPrefix = "system."

// Registry is a set of methods with their public names. It is filled first and
// then given to [NewHandler]; it is not safe for concurrent use, and a handler
// does not see what is registered after it was made.
type Registry struct {
	methods map[string]*registeredMethod
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{methods: map[string]*registeredMethod{}}
}

// Register adds a method.
//
// The name is what callers write: any number of the letters A-Z and a-z, digits,
// and the characters _ . : / (specification, "Payload format"). Names that begin
// with "system." are taken.
//
// fn is a function of the form
//
//	func([ctx context.Context,] parameters...) (result, error)
//
// whose parameters and result are of types that [Unmarshal] and [Marshal] take.
// A parameter may be left out by the caller when it, and all after it, are
// pointers; it is nil then. A variadic parameter takes any number of values. The
// context is that of the request; see [RequestFromContext].
//
//	func(ctx context.Context, name string, ids []string, level *string) (Bugs, error)   // getBugs(name, ids[, level])
//	func(values ...any) ([]any, error)                                                  // echo([values...])
//
// help is one line that says what the method does, for system.methodHelp and the
// page of methods. params names the parameters, all of them in their order; when
// there are none they are called param1, param2 and so on.
//
// What a caller gets for the error of a method is described at [NewHandler].
func (r *Registry) Register(name string, fn any, help string, params ...string) error {
	if strings.HasPrefix(name, systemPrefix) {
		return fmt.Errorf("xmlrpc: the method %q cannot be registered: names in %q belong to every handler itself", name, systemPrefix)
	}
	m, err := newMethod(name, fn, help, params)
	if err != nil {
		return err
	}
	return r.add(map[string]*registeredMethod{name: m})
}

// Mount adds every method that sub has now, under the prefix and a dot: "bugs"
// makes "bugs.ping" of "ping". A prefix that ends with one of . : / gets no dot.
// When one of the names is taken none is added.
func (r *Registry) Mount(prefix string, sub *Registry) error {
	if prefix != "" && !strings.ContainsAny(prefix[len(prefix)-1:], ".:/") {
		prefix += "."
	}
	if prefix == systemPrefix {
		return fmt.Errorf("xmlrpc: nothing can be mounted at %q: its names belong to every handler itself", prefix)
	}
	mounted := make(map[string]*registeredMethod, len(sub.methods))
	for name, m := range sub.methods {
		if err := registrable(prefix + name); err != nil {
			return err
		}
		moved := *m
		moved.name = prefix + name
		mounted[moved.name] = &moved
	}
	return r.add(mounted)
}

// Names returns the names of the methods, sorted.
func (r *Registry) Names() []string {
	return slices.Sorted(maps.Keys(r.methods))
}

func (r *Registry) add(methods map[string]*registeredMethod) error {
	for name := range methods {
		if _, taken := r.methods[name]; taken {
			return fmt.Errorf("xmlrpc: a method named %q is registered already", name)
		}
	}
	maps.Copy(r.methods, methods)
	return nil
}

// registrable tells what is wrong with a name, if something is.
func registrable(name string) error {
	if reason := checkMethodName(name); reason != "" {
		return fmt.Errorf("xmlrpc: the method %q cannot be registered: %s", name, reason)
	}
	return nil
}
