package xmlrpc

// Call is one methodCall whose document, or whose values, have been found to be
// right. It is safe for use by several goroutines.
type Call struct {
	// Method is the name of the method, without white space around it.
	Method string
	// Features are the extensions that the caller has used, and so understands.
	Features Features

	tape   tape
	params []uint32
}

// ParseCall reads a methodCall. The whole document is checked here, XML,
// structure, types and limits, so that nothing is done for a caller whose
// document breaks further on; errors are of type *[DecodeError]. The Call keeps
// nothing of doc.
func ParseCall(doc []byte, opts ...DecodeOption) (*Call, error) {
	c := &Call{}
	if err := c.read(doc, newDecodeOptions(opts)); err != nil {
		return nil, err
	}
	return c, nil
}

// read makes c the call of a document.
func (c *Call) read(doc []byte, o decodeOptions) error {
	p, err := newParser(doc, o)
	if err != nil {
		return err
	}
	defer p.release()
	method, params, ok := p.call()
	if !ok {
		return p.verdict()
	}
	*c = Call{Method: method, Features: p.features, tape: p.tape(), params: params}
	return nil
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
	root := "params[" + itoa(i) + "]"
	if i < 0 || i >= len(c.params) {
		return &DecodeError{code: CodeInvalidParams, path: root, reason: "the call has only " + itoa(len(c.params)) + " params"}
	}
	return c.tape.decode(c.params[i], dst, root)
}
