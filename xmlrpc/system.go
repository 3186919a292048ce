package xmlrpc

import (
	"maps"
	"slices"
)

// capability is one entry of system.getCapabilities.
type capability struct {
	SpecURL     string `xmlrpc:"specUrl"`
	SpecVersion int    `xmlrpc:"specVersion"`
}

// capabilities are those that phpxmlrpc 4.11 states about itself, with its URLs
// and versions, as far as they are true here.
var capabilities = map[string]capability{
	"xmlrpc":           {"http://www.xmlrpc.com/spec", 1},
	"system.multicall": {"http://www.xmlrpc.com/discuss/msgReader$1208", 1},
	"introspection":    {"http://phpxmlrpc.sourceforge.net/doc-2/ch10.html", 2},
	"nil":              {"http://www.ontosys.com/xml-rpc/extensions.php", 1},
	"faults_interop":   {"http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php", 20010516},
}

// addSystemMethods adds the methods that callers expect of any server. Where
// phpxmlrpc, xmlrpc-c and Python's server differ: an unknown name is a fault, as
// in the first two, and a call of a multicall that is none of its own gets a
// fault in its own place, as in the first.
func (h *handler) addSystemMethods() {
	add := func(name string, fn any, help string, params ...string) {
		m, err := newMethod(name, fn, help, params)
		if err != nil {
			// The functions are those below, and do not depend on any input.
			panic(err)
		}
		h.methods[name] = m
	}
	add("system.listMethods", h.listMethods, "Lists the names of all methods.")
	add("system.methodHelp", h.methodHelp, "Tells what a method does.", "method")
	add("system.methodSignature", h.methodSignature,
		"Lists the ways to call a method: for each the type of the result and those of the parameters.", "method")
	add("system.getCapabilities", h.getCapabilities, "Lists the specifications that this server follows.")
	add(multicallName, multicallAsMethod,
		"Makes several calls, each {methodName, params}; for each the answer is an array with the result, or a fault.", "calls")
}

func (h *handler) listMethods() ([]string, error) {
	return slices.Sorted(maps.Keys(h.methods)), nil
}

func (h *handler) methodHelp(name string) (string, error) {
	m, err := h.find(name)
	if err != nil {
		return "", err
	}
	return m.help, nil
}

func (h *handler) methodSignature(name string) ([][]string, error) {
	m, err := h.find(name)
	if err != nil {
		return nil, err
	}
	return m.signatures(), nil
}

func (h *handler) getCapabilities() (map[string]capability, error) {
	return capabilities, nil
}

func (h *handler) find(name string) (*registeredMethod, error) {
	m, ok := h.methods[name]
	if !ok {
		return nil, &Fault{Code: CodeInvalidParams, String: "there is no method " + shortQuote(name) + " to describe"}
	}
	return m, nil
}

func (h *handler) sortedMethods() []*registeredMethod {
	sorted := make([]*registeredMethod, 0, len(h.methods))
	for _, name := range slices.Sorted(maps.Keys(h.methods)) {
		sorted = append(sorted, h.methods[name])
	}
	return sorted
}
