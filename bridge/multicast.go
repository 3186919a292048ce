package bridge

import (
	"context"
	"slices"
	"sync"

	"github.com/trackgate/trackgate/apierror"
)

// MaxMulticast is how many trackers one multicast names.
const MaxMulticast = 100

// Cast is what came back from one tracker of a multicast: a value or an error.
type Cast struct {
	Value any
	Err   error
}

// Multicast calls one method of several trackers at the same time, as
// [Bridge.Call] calls that of one, with one time limit for all. What one of them
// answers, or that it does not, is no business of the others.
func (b *Bridge) Multicast(ctx context.Context, names []string, method string, params []any) (map[string]Cast, error) {
	if len(names) == 0 {
		return nil, invalid("names is empty: name at least one tracker")
	}
	if len(names) > MaxMulticast {
		return nil, invalid("%d names are more than the %d that one multicast may have", len(names), MaxMulticast)
	}
	ctx, cancel := b.bounded(ctx) // the answers of all share one budget
	defer cancel()
	var mu sync.Mutex
	var calls sync.WaitGroup
	all := make(map[string]Cast, len(names))
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		calls.Go(func() {
			value, err := b.castTo(ctx, name, method, params)
			mu.Lock()
			defer mu.Unlock()
			all[name] = Cast{Value: value, Err: err}
		})
	}
	calls.Wait()
	return all, nil
}

// castTo is one call of a multicast.
func (b *Bridge) castTo(ctx context.Context, name, method string, params []any) (value any, err error) {
	defer caught(b.options.logger, name, &err)
	return b.Call(ctx, name, method, params)
}

// castValue is the struct that a tracker of a multicast has in the result.
func castValue(c Cast) map[string]any {
	if c.Err == nil {
		return map[string]any{"value": c.Value}
	}
	known := apierror.From(c.Err)
	return map[string]any{"fault": map[string]any{"code": known.FaultCode(), "string": known.FaultString()}}
}
