package bridge

import (
	"context"
	"reflect"
	"sync/atomic"
)

// A caller's call may make hundreds of calls to the tracker, each with an answer
// of the largest size. The budget bounds what they hold together.

// valueWeight is what a value counts for beside its text. It is the length of
// "<value/>", the shortest that XML-RPC has, so that no document weighs more than
// it is long.
const valueWeight = 8

type budgetKey struct{}

// budget is what one call of a caller may still read.
type budget struct {
	whole int64
	left  atomic.Int64
}

// withBudget gives the calls that are made with the context so many bytes, unless
// a budget holds for them already.
func withBudget(ctx context.Context, bytes int64) context.Context {
	if _, given := ctx.Value(budgetKey{}).(*budget); given {
		return ctx
	}
	b := &budget{whole: bytes}
	b.left.Store(bytes)
	return context.WithValue(ctx, budgetKey{}, b)
}

// charge takes what an answer was decoded into off the caller's budget.
func charge(ctx context.Context, result any) error {
	b, ok := ctx.Value(budgetKey{}).(*budget)
	if !ok || b.left.Add(-weigh(reflect.ValueOf(result))) >= 0 {
		return nil
	}
	return badAnswer("All answers together hold more than %d bytes, the limit for one call: ask for fewer.", b.whole)
}

// weigh adds up the text in a decoded value, and valueWeight for each value and
// each name of a member.
func weigh(v reflect.Value) int64 {
	weight := int64(0)
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return weigh(v.Elem())
	case reflect.String:
		weight = int64(v.Len())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			weight = int64(v.Len())
			break
		}
		for i := range v.Len() {
			weight += weigh(v.Index(i))
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			weight += weigh(entry.Key()) + weigh(entry.Value())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // what is inside a time is no part of the answer
				weight += weigh(v.Field(i))
			}
		}
	}
	return weight + valueWeight
}
