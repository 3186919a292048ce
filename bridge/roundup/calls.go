package roundup

import (
	"context"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// call is one call of many that are made together.
type call struct {
	method string
	params []any
}

// reply is what came of it: a value, or a fault.
type reply struct {
	value any
	fault *xmlrpc.Fault
}

func display(designator string, properties ...string) call {
	params := []any{designator}
	for _, p := range properties {
		params = append(params, p)
	}
	return call{"display", params}
}

// filter finds those issues of some, or of all when ids is nil, that fit.
func filter(ids []string, spec map[string]any) call {
	var matches any // nil: all
	if ids != nil {
		matches = ids
	}
	return call{"filter", []any{issueClass, matches, spec}}
}

// one makes one call that changes nothing at the tracker.
func (d *dialect) one(ctx context.Context, c call) (any, error) {
	var value any
	err := d.send(ctx, bridge.Read, c, &value)
	return value, err
}

// find makes a call of filter by itself.
func (d *dialect) find(ctx context.Context, c call) ([]string, error) {
	value, err := d.one(ctx, c)
	if err != nil {
		return nil, err
	}
	return readFound(value)
}

// readFound reads the answer to filter.
func readFound(value any) ([]string, error) {
	if _, ok := value.([]any); !ok {
		return nil, badShape("filter", "it is no array")
	}
	return idsOf(value), nil
}

// together makes many calls in one, none of which may change anything. A fault of
// one is no failure of the others.
func (d *dialect) together(ctx context.Context, calls []call) ([]reply, error) {
	const method = "system.multicall"
	inner := make([]any, len(calls))
	for i, c := range calls {
		inner[i] = map[string]any{"methodName": c.method, "params": c.params}
	}
	var answer []any
	if err := d.send(ctx, bridge.Read, call{method, []any{inner}}, &answer); err != nil {
		return nil, err
	}
	if len(answer) != len(calls) {
		return nil, badShape(method, "%d results for %d calls", len(answer), len(calls))
	}
	replies := make([]reply, len(answer))
	for i, v := range answer {
		switch v := v.(type) {
		case []any:
			if len(v) != 1 {
				return nil, badShape(method, "result %d is an array of %d", i, len(v))
			}
			replies[i].value = v[0]
		case map[string]any:
			code, _ := v["faultCode"].(int)
			replies[i].fault = &xmlrpc.Fault{Code: code, String: textOf(v["faultString"])}
		default:
			return nil, badShape(method, "result %d is neither an array nor a fault", i)
		}
	}
	return replies, nil
}

// send makes a call with the extension nil, which Roundup both sends and takes.
func (d *dialect) send(ctx context.Context, effect bridge.Effect, c call, result any) error {
	document, err := xmlrpc.AppendCall(nil, c.method, c.params, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true}))
	if err != nil {
		return apierror.New(apierror.ServerError).WithCause(err)
	}
	return d.rpc.Send(ctx, effect, document, result)
}
