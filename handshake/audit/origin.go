package audit

import (
	"context"
	"net/netip"
)

// Origin is where a request came from, for the entries about it.
type Origin struct {
	// Caller is the address that asked.
	Caller netip.Addr
	// Listener and Route are what [Entry] says of them.
	Listener, Route string
}

type originKey struct{}

// WithOrigin returns a context that tells where the request came from. What o
// leaves empty stays as it was, so that the listener can say one half and the
// route the other.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	before := OriginOf(ctx)
	if !o.Caller.IsValid() {
		o.Caller = before.Caller
	}
	if o.Listener == "" {
		o.Listener = before.Listener
	}
	if o.Route == "" {
		o.Route = before.Route
	}
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns what [WithOrigin] told; the zero value when nothing did.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// fill adds what an entry leaves empty.
func (o Origin) fill(e *Entry) {
	if !e.Caller.IsValid() {
		e.Caller = o.Caller
	}
	if e.Listener == "" {
		e.Listener = o.Listener
	}
	if e.Route == "" {
		e.Route = o.Route
	}
}
