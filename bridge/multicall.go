package bridge

import (
	"context"

	"github.com/trackgate/trackgate/xmlrpc"
)

// InnerCall is one call within system.multicall. A parameter that is nil goes out
// as the extension nil.
type InnerCall struct {
	Method string
	Params []any
}

// InnerAnswer is what came of it: a value, or the struct that says why there is
// none, which is nil otherwise.
type InnerAnswer struct {
	Value  any
	Failed map[string]any
}

// Multicall makes several calls in one, by system.multicall, none of which may
// change anything at the tracker. There are as many answers as calls.
func (e *Endpoint) Multicall(ctx context.Context, calls []InnerCall) ([]InnerAnswer, error) {
	const method = "system.multicall"
	structs := make([]any, len(calls))
	for i, c := range calls {
		structs[i] = map[string]any{"methodName": c.Method, "params": c.Params}
	}
	document, err := xmlrpc.AppendCall(nil, method, []any{structs}, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true}))
	if err != nil {
		return nil, classify(err, nil)
	}
	var list []any
	if err := e.Send(ctx, Read, document, &list); err != nil {
		return nil, err
	}
	if len(list) != len(calls) {
		return nil, BadShape(method, "%d answers to %d calls", len(list), len(calls))
	}
	answers := make([]InnerAnswer, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case []any:
			if len(v) != 1 {
				return nil, BadShape(method, "member %d is an array of %d, not of one", i, len(v))
			}
			answers[i].Value = v[0]
		case map[string]any:
			answers[i].Failed = v
		default:
			return nil, BadShape(method, "member %d is neither an array nor a struct", i)
		}
	}
	return answers, nil
}
