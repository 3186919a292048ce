package xmlrpc

// ParseResponse reads a methodResponse and its value into what result points
// to; nil means that only the document is checked. A fault document is an
// error of type *[Fault], a document that cannot be read and a value that does not
// fit are one of type *[DecodeError]. Nothing is set unless the whole document is
// right as XML-RPC; when one of its values does not fit, those before it may have
// been set.
func ParseResponse(doc []byte, result any, opts ...DecodeOption) error {
	p, err := newParser(doc, newDecodeOptions(opts))
	if err != nil {
		return err
	}
	defer p.release()
	fault, ok := p.response()
	if !ok {
		return p.verdict()
	}
	t := tape{nodes: p.nodes, text: string(p.arena)}
	if fault {
		return t.fault()
	}
	return t.decode(0, result, "result")
}

// Unmarshal reads a document whose root is one <value>, as [Marshal] writes it.
func Unmarshal(doc []byte, v any, opts ...DecodeOption) error {
	p, err := newParser(doc, newDecodeOptions(opts))
	if err != nil {
		return err
	}
	defer p.release()
	if !p.lone() {
		return p.verdict()
	}
	t := tape{nodes: p.nodes, text: string(p.arena)}
	return t.decode(0, v, "value")
}

// fault reads the fault struct. Servers in use send the code as a string, with
// digits or words, and add members; faultCode and faultString must be there.
func (t *tape) fault() error {
	if t.nodes[0].kind != kindStruct {
		return &DecodeError{code: CodeInvalidRequest, reason: "a fault that is no struct"}
	}
	codeAt, hasCode := t.member(0, "faultCode")
	textAt, hasText := t.member(0, "faultString")
	if !hasCode || !hasText {
		return &DecodeError{code: CodeInvalidRequest, reason: "a fault without faultCode or without faultString"}
	}
	f := &Fault{}
	code, text := &t.nodes[codeAt], &t.nodes[textAt]
	if code.kind != kindInt && code.kind != kindI8 && code.kind != kindString {
		return &DecodeError{code: CodeInvalidRequest, reason: "a faultCode of type " + code.kind.String()}
	}
	words := t.str(code)
	if n, isNumber := parseInteger(words); isNumber && int64(int(n)) == n {
		f.Code = int(n)
	} else {
		f.CodeText = words
	}
	ok := false
	if f.String, ok = t.textOf(text); !ok && text.kind != kindNil {
		return &DecodeError{code: CodeInvalidRequest, reason: "a faultString of type " + text.kind.String()}
	}
	return f
}
