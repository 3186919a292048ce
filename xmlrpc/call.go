package xmlrpc

import (
	"math"
	"math/big"
	"slices"
	"strconv"
)

// Call is one methodCall whose document, or whose values, have been found to be
// right. It is safe for use by several goroutines.
type Call struct {
	// Method is the name of the method, without white space around it.
	Method string
	// Features are the extensions that the caller has used, and so understands.
	Features Features

	tape   *tape
	params []uint32
	err    error
}

// ParseCall reads a methodCall. The whole document is checked here, XML,
// structure, types and limits, so that nothing is done for a caller whose
// document breaks further on; errors are of type *[DecodeError]. The Call keeps
// nothing of doc.
func ParseCall(doc []byte, opts ...DecodeOption) (*Call, error) {
	p, err := newParser(doc, newDecodeOptions(opts))
	if err != nil {
		return nil, err
	}
	defer p.release()
	method, params, ok := p.call()
	if !ok {
		return nil, p.verdict()
	}
	return &Call{Method: method, Features: p.features, tape: p.tape(), params: params}, nil
}

// NewCall makes a call from values that have been decoded already, as those
// inside a system.multicall have. Values that cannot be written make
// [Call.DecodeParam] fail.
func NewCall(method string, params []any) *Call {
	c := &Call{Method: method}
	b := tapeBuilder{}
	for i, v := range params {
		c.params = append(c.params, uint32(len(b.nodes)))
		if err := b.value(v, 0); err != nil {
			c.err = encodeErrorAt(err, "params["+itoa(i)+"]")
			b.nodes = append(b.nodes[:c.params[i]], node{kind: kindNil, next: c.params[i] + 1})
		}
	}
	c.tape = &tape{nodes: b.nodes, text: string(b.text)}
	return c
}

// NumParams returns how many params the call has.
func (c *Call) NumParams() int { return len(c.params) }

// Params returns the params in the form that the package documentation gives
// for any. The values are made anew each time.
func (c *Call) Params() []any {
	list := make([]any, len(c.params))
	for k, i := range c.params {
		list[k] = c.tape.value(i)
	}
	return list
}

// DecodeParam reads param i, from 0, into what dst points to. A param that is
// not there and a value that does not fit are a *[DecodeError] with code -32602
// that says where: params[0].bugs[3].id: i8 9999999999 does not fit int32.
func (c *Call) DecodeParam(i int, dst any) error {
	if c.err != nil {
		return c.err
	}
	root := "params[" + itoa(i) + "]"
	if i < 0 || i >= len(c.params) {
		return &DecodeError{code: CodeInvalidParams, path: root, reason: "the call has only " + itoa(len(c.params)) + " params"}
	}
	return c.tape.decode(c.params[i], dst, root)
}

// tapeBuilder writes values the way a parser would have.
type tapeBuilder struct {
	nodes []node
	text  []byte
}

func (b *tapeBuilder) add(k kind, bits uint64, text string) {
	b.nodes = append(b.nodes, node{
		kind: k, bits: bits, off: uint32(len(b.text)), n: uint32(len(text)), next: uint32(len(b.nodes) + 1),
	})
	b.text = append(b.text, text...)
}

func (b *tapeBuilder) value(v any, depth int) error {
	if depth > DefaultDepth {
		return &EncodeError{reason: "values nested deeper than " + itoa(DefaultDepth)}
	}
	switch v := v.(type) {
	case nil:
		b.add(kindNil, 0, "")
	case string:
		b.add(kindString, 0, v)
	case int:
		b.integer(int64(v), kindInt)
	case int64:
		b.integer(v, kindI8)
	case bool:
		if v {
			b.add(kindBoolean, 1, "1")
		} else {
			b.add(kindBoolean, 0, "0")
		}
	case float64:
		b.add(kindDouble, math.Float64bits(v), strconv.FormatFloat(v, 'f', -1, 64))
	case DateTime:
		b.add(kindDateTime, 0, v.Extended())
	case []byte:
		b.add(kindBase64, 0, string(v))
	case *big.Int:
		b.add(kindBigInteger, 0, v.String())
	case BigDecimal:
		b.add(kindBigDecimal, 0, string(v))
	case []any:
		self := len(b.nodes)
		b.add(kindArray, uint64(len(v)), "")
		for i, inner := range v {
			if err := b.value(inner, depth+1); err != nil {
				return encodeErrorAt(err, "["+itoa(i)+"]")
			}
		}
		b.nodes[self].next = uint32(len(b.nodes))
	case map[string]any:
		self := len(b.nodes)
		b.add(kindStruct, uint64(len(v)), "")
		for name, inner := range v {
			b.add(kindName, 0, name)
			if err := b.value(inner, depth+1); err != nil {
				return encodeErrorAt(err, quoteName(name))
			}
		}
		b.nodes[self].next = uint32(len(b.nodes))
	default:
		return b.foreign(v)
	}
	return nil
}

func (b *tapeBuilder) integer(v int64, k kind) {
	if v != int64(int32(v)) {
		k = kindI8
	}
	b.add(k, uint64(v), strconv.FormatInt(v, 10))
}

// foreign adds a value of another Go type, by way of its document.
func (b *tapeBuilder) foreign(v any) error {
	doc, err := Marshal(v, WithFeatures(Features{Nil: true, I8: true}))
	if err != nil {
		return err
	}
	p, derr := newParser(doc, decodeOptions{limits: Limits{Bytes: maxBytes, Values: maxBytes}.withDefaults()})
	if derr != nil {
		return derr
	}
	defer p.release()
	if !p.lone() {
		return p.verdict()
	}
	shift, textShift := uint32(len(b.nodes)), uint32(len(b.text))
	b.text = append(b.text, p.arena...)
	b.nodes = slices.Grow(b.nodes, len(p.nodes))
	for _, n := range p.nodes {
		n.next += shift
		n.off += textShift
		b.nodes = append(b.nodes, n)
	}
	return nil
}
