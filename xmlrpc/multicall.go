package xmlrpc

import (
	"context"
	"fmt"
	"time"
)

// multicallName is the one method that does not run like the others: each of its
// calls does.
const multicallName = "system.multicall"

// multicallFault is a fault in the place of a result.
type multicallFault struct {
	Code   int    `xmlrpc:"faultCode"`
	String string `xmlrpc:"faultString"`
}

// multicallAsMethod has the signature of system.multicall. It runs when
// a multicall is inside another.
func multicallAsMethod([]any) ([]any, error) {
	return nil, &Fault{Code: CodeInvalidRequest, String: "system.multicall cannot be called inside a system.multicall"}
}

// runMulticall makes the answer of a system.multicall: an array with an item for
// each call, which is an array of one result, or a fault's struct.
func (x *exchange) runMulticall(ctx context.Context) {
	calls, err := x.multicallCalls()
	if err != nil {
		info := x.info(multicallName)
		x.tell(ctx, info, err, x.begun)
		x.fault(x.faultOf(ctx, multicallName, err))
		return
	}
	results := make([]any, len(calls))
	for i, call := range calls {
		results[i] = x.runInner(ctx, call)
	}
	if x.encode(ctx, multicallName, results) == nil {
		return
	}
	// One result that cannot be written must not spoil the others.
	for i, result := range results {
		if err := x.encode(ctx, multicallName, result); err != nil {
			results[i] = inPlace(x.faultOf(ctx, multicallName, err))
		}
	}
	if err := x.encode(ctx, multicallName, results); err != nil {
		x.fault(x.faultOf(ctx, multicallName, err))
	}
}

// multicallCalls returns the items of the one parameter.
func (x *exchange) multicallCalls() ([]any, error) {
	params := x.call.Params()
	if len(params) != 1 {
		return nil, x.methods[multicallName].wrongNumber(len(params))
	}
	calls, ok := params[0].([]any)
	if !ok {
		return nil, &Fault{Code: CodeInvalidParams, String: "the parameter of system.multicall is no array of calls"}
	}
	if len(calls) > x.multicallLimit {
		return nil, &Fault{
			Code: CodeInvalidRequest,
			String: fmt.Sprintf("REQUEST_TOO_LARGE: system.multicall holds %d calls, more than the limit MulticallLimit, which is %d",
				len(calls), x.multicallLimit),
		}
	}
	return calls, nil
}

// runInner makes one call and returns its item of the answer.
func (x *exchange) runInner(ctx context.Context, item any) any {
	call, err := innerCall(item)
	if err != nil {
		return inPlace(err)
	}
	info, begun := x.info(call.Method), time.Time{}
	if x.after != nil {
		begun = time.Now()
	}
	result, failed := x.callInner(ctx, info, call)
	x.tell(ctx, info, failed, begun)
	if failed != nil {
		return inPlace(x.faultOf(ctx, call.Method, failed))
	}
	return []any{result}
}

// callInner makes one call, unless the time of the whole request is over.
func (x *exchange) callInner(ctx context.Context, info *CallInfo, call *Call) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return x.one(ctx, info, call)
}

// innerCall reads one {methodName, params}.
func innerCall(item any) (*Call, *Fault) {
	members, ok := item.(map[string]any)
	if !ok {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall is no struct"}
	}
	name, ok := members["methodName"].(string)
	if !ok {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall has no string methodName"}
	}
	params, ok := members["params"].([]any)
	if !ok {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall has no array params"}
	}
	return NewCall(name, params), nil
}

func inPlace(f *Fault) multicallFault {
	return multicallFault{Code: f.Code, String: f.String}
}
