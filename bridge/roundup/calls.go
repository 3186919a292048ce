package roundup

import (
	"context"
	"errors"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// reply is what came of one call of many that were made together: a value, or why
// there is none, which is a fault or an error of the catalogue.
type reply struct {
	value any
	err   error
}

func call(method string, params ...any) bridge.InnerCall {
	return bridge.InnerCall{Method: method, Params: params}
}

func display(designator string, properties ...string) bridge.InnerCall {
	c := call("display", designator)
	for _, p := range properties {
		c.Params = append(c.Params, p)
	}
	return c
}

// filter finds those issues of some, or of all when ids is nil, that fit.
func filter(ids []string, spec map[string]any) bridge.InnerCall {
	var matches any // nil: all
	if ids != nil {
		matches = ids
	}
	return call("filter", issueClass, matches, spec)
}

// one makes one call that changes nothing at the tracker.
func (d *dialect) one(ctx context.Context, c bridge.InnerCall) (any, error) {
	var value any
	err := d.send(ctx, bridge.Read, c, &value)
	return value, err
}

// find makes a call of filter by itself.
func (d *dialect) find(ctx context.Context, c bridge.InnerCall) ([]string, error) {
	value, err := d.one(ctx, c)
	if err != nil {
		return nil, err
	}
	return readFound(value)
}

// readFound reads the answer to filter.
func readFound(value any) ([]string, error) {
	if _, ok := value.([]any); !ok {
		return nil, bridge.BadShape("filter", "it is no array")
	}
	return idsOf(value), nil
}

// send makes a call with the extension nil, which Roundup both sends and takes.
func (d *dialect) send(ctx context.Context, effect bridge.Effect, c bridge.InnerCall, result any) error {
	document, err := xmlrpc.AppendCall(nil, c.Method, c.Params, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true}))
	if err != nil {
		return apierror.New(apierror.ServerError).WithCause(err)
	}
	return d.rpc.Send(ctx, effect, document, result)
}

// maxQuestions bounds the calls into which one multicall is taken apart.
const maxQuestions = 40

// together makes many calls in one, none of which may change anything. A fault of
// one is no failure of the others, and neither is a value that Roundup has no form
// for, which fails the whole answer: it is then asked for in halves.
func (d *dialect) together(ctx context.Context, calls []bridge.InnerCall) ([]reply, error) {
	return (&questions{rpc: d.rpc}).ask(ctx, calls)
}

// questions are the calls that are made for one multicall.
type questions struct {
	rpc      *bridge.Endpoint
	asked    int
	answered bool // one of them was
	alone    int  // calls that fail even alone
}

func (q *questions) ask(ctx context.Context, calls []bridge.InnerCall) ([]reply, error) {
	q.asked++
	answers, err := q.rpc.Multicall(ctx, calls)
	switch {
	case err == nil:
		q.answered = true
		replies := make([]reply, len(answers))
		for i, a := range answers {
			replies[i] = replyOf(a)
		}
		return replies, nil
	case !isUnreadable(err), q.asked >= maxQuestions:
		return nil, err
	case len(calls) == 1:
		if q.alone++; q.alone > 1 && !q.answered {
			return nil, err // it is not about any one of them
		}
		return []reply{{err: err}}, nil
	}
	half := len(calls) / 2
	first, err := q.ask(ctx, calls[:half])
	if err != nil {
		return nil, err
	}
	second, err := q.ask(ctx, calls[half:])
	return append(first, second...), err
}

func replyOf(a bridge.InnerAnswer) reply {
	if a.Failed == nil {
		return reply{value: a.Value}
	}
	code, _ := a.Failed["faultCode"].(int)
	return reply{err: &xmlrpc.Fault{Code: code, String: textOf(a.Failed["faultString"])}}
}

// isUnreadable tells whether a call failed because of what its answer holds. A fault
// inside a multicall is no such failure.
func isUnreadable(err error) bool {
	answer := new(xmlrpc.AnswerError)
	return errors.Is(err, errUnwritable) || errors.Is(err, xmlrpc.ErrAnswerTooLarge) || errors.As(err, &answer)
}
