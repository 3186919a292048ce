package trac

import (
	"context"

	"github.com/trackgate/trackgate/bridge"
)

// titleMissing is what Trac calls the failure of a call for a ticket that does
// not exist, in English.
const titleMissing = "Invalid ticket number"

// inner is one call within system.multicall.
type inner struct {
	method string
	params []any
}

// outcome is what came of an inner call: a value, or a failure.
type outcome struct {
	value   any
	failed  bool
	missing bool // it failed because there is no such ticket
}

// multicall makes several calls in one.
func multicall(ctx context.Context, rpc *bridge.Endpoint, calls []inner) ([]outcome, error) {
	const method = "system.multicall"
	structs := make([]any, len(calls))
	for i, c := range calls {
		structs[i] = map[string]any{"methodName": c.method, "params": c.params}
	}
	var answer []any
	if err := rpc.Call(ctx, bridge.Read, method, &answer, structs); err != nil {
		return nil, err
	}
	return readMulticall(answer, len(calls))
}

// readMulticall reads the answers to so many calls. A value stands in an array of
// one. A failure is not a struct of faultCode and faultString, as elsewhere, but
// one of what Trac's exception holds: _message, title and show_traceback (capture
// 005). Both are understood.
func readMulticall(answer []any, calls int) ([]outcome, error) {
	const method = "system.multicall"
	if len(answer) != calls {
		return nil, badShape(method, "%d answers to %d calls", len(answer), calls)
	}
	outcomes := make([]outcome, calls)
	for i, v := range answer {
		switch v := v.(type) {
		case []any:
			if len(v) != 1 {
				return nil, badShape(method, "member %d is an array of %d, not of one", i, len(v))
			}
			outcomes[i].value = v[0]
		case map[string]any:
			code, _ := intOf(v["faultCode"])
			outcomes[i].failed = true
			outcomes[i].missing = code == faultMissing || text(v, "title") == titleMissing
		default:
			return nil, badShape(method, "member %d is neither an array nor a struct", i)
		}
	}
	return outcomes, nil
}
