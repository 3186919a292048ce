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
	code int
	text string
}

// multicallAsMethod has the signature of system.multicall. It runs when
// a multicall is inside another.
func multicallAsMethod([]any) ([]any, error) {
	return nil, &Fault{Code: CodeInvalidRequest, String: "system.multicall cannot be called inside a system.multicall"}
}

// runMulticall makes the answer of a system.multicall: an array with an item for
// each call, which is an array of one result, or a fault's struct.
func (x *exchange) runMulticall(ctx context.Context) {
	items, refused := x.multicallItems()
	if len(items) == 0 {
		// With no call inside, this is the call that is asked for and told of.
		info := x.info(multicallName)
		err := x.ask(ctx, info, multicallName)
		if err == nil {
			err = refused
		}
		x.tell(ctx, info, err, x.begun)
		if err != nil {
			x.fault(x.faultOf(ctx, multicallName, err))
			return
		}
	}
	results := make([]any, len(items))
	for i, item := range items {
		results[i] = x.runInner(ctx, item)
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

// multicallItems returns where the items of the one parameter begin, none with
// an error.
func (x *exchange) multicallItems() ([]uint32, error) {
	params, t := x.call.params, &x.call.tape
	if len(params) != 1 {
		return nil, x.methods[multicallName].wrongNumber(len(params))
	}
	list := &t.nodes[params[0]]
	if list.kind != kindArray {
		return nil, &Fault{Code: CodeInvalidParams, String: "the parameter of system.multicall is no array of calls"}
	}
	if list.bits > uint64(x.multicallLimit) {
		return nil, &Fault{
			Code: CodeInvalidRequest,
			String: fmt.Sprintf("REQUEST_TOO_LARGE: system.multicall holds %d calls, more than the limit MulticallLimit, which is %d",
				list.bits, x.multicallLimit),
		}
	}
	return t.elements(params[0]), nil
}

// runInner makes one call and returns its item of the answer. An item that is no
// call is asked for, and told of, as one of system.multicall.
func (x *exchange) runInner(ctx context.Context, item uint32) any {
	call, refused := x.innerCall(item)
	method := multicallName
	if refused == nil {
		method = call.Method
	}
	info, begun := x.info(method), time.Time{}
	if x.after != nil {
		begun = time.Now()
	}
	var result any
	// Once the time of the whole request is over no call begins.
	err := ctx.Err()
	if err == nil && refused == nil {
		result, err = x.one(ctx, info, call)
	} else if err == nil {
		if err = x.ask(ctx, info, method); err == nil {
			err = refused
		}
	}
	x.tell(ctx, info, err, begun)
	if err != nil {
		return inPlace(x.faultOf(ctx, method, err))
	}
	return []any{result}
}

// innerCall reads one {methodName, params}.
func (x *exchange) innerCall(item uint32) (*Call, error) {
	t := &x.call.tape
	if t.nodes[item].kind != kindStruct {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall is no struct"}
	}
	name, ok := t.member(item, "methodName")
	if !ok || t.nodes[name].kind != kindString {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall has no string methodName"}
	}
	params, ok := t.member(item, "params")
	if !ok || t.nodes[params].kind != kindArray {
		return nil, &Fault{Code: CodeInvalidRequest, String: "this call of the multicall has no array params"}
	}
	return &Call{Method: t.str(&t.nodes[name]), Features: x.call.Features, tape: *t, params: t.elements(params)}, nil
}

func inPlace(f *Fault) multicallFault { return multicallFault{code: f.Code, text: f.String} }
