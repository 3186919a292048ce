package bridge

import (
	"context"

	"github.com/trackgate/trackgate/xmlrpc"
)

// Call calls one of a tracker's own methods, by the rules of [Bridge.Proxy], and
// returns its value decoded, in the form that package xmlrpc gives for any. The
// members that say something about a session are not in it.
func (b *Bridge) Call(ctx context.Context, name, method string, params []any) (value any, err error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	s, rules, err := b.proxied(ctx, name)
	if err != nil {
		return nil, err
	}
	// The caller has these extensions, or the values would not be there.
	document, err := xmlrpc.AppendCall(nil, method, params, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true, I8: true}))
	if err != nil {
		return nil, invalid("The call cannot be written: method names are made of letters, digits and _ . : /, and parameters of the values that XML-RPC has.")
	}
	// What is checked is what is sent: values of other types than those that are
	// decoded are written in the same way.
	most := len(document)
	written, err := xmlrpc.ParseCall(document, xmlrpc.WithLimits(xmlrpc.Limits{Bytes: most, Depth: most, Values: most, NameLength: most}))
	if err != nil {
		return nil, invalid("The call cannot be read as it was written: its parameters are no values that XML-RPC has.")
	}
	allowed, err := rules.check(written, textOf(document, ""))
	if err != nil {
		return nil, err
	}
	f := &forwarding{spoken: s, rules: rules, call: allowed, document: document}
	if err := f.decode(ctx, new(spool), &value); err != nil {
		return nil, err
	}
	return value, nil
}
