package xmlrpc

import (
	"bytes"
	"slices"
	"sync"
)

// parser reads a document into nodes in one pass: XML, structure and types are
// all checked on the way. It follows the specification's own structure, so that
// its recursion is as deep as the values are, and no deeper than the limit.
type parser struct {
	scanner
	nodes    []node
	values   int
	features Features
	// names remembers where in the arena a member's name stands already: the
	// members of a thousand bugs have the same few names.
	names [256]span
	named bool // whether names holds any
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// Parsers that have grown past these sizes are left to the garbage collector,
// so that one large document does not hold its memory for ever.
const (
	keepNodes = 64 << 10
	keepArena = 2 << 20
)

func newParser(doc []byte, o decodeOptions) (*parser, *DecodeError) {
	if len(doc) > o.limits.Bytes {
		return nil, tooLong(o.limits)
	}
	doc, err := utf8Document(doc, o.charset)
	if err != nil {
		return nil, err
	}
	p := parsers.Get().(*parser)
	p.doc, p.pos, p.err = doc, 0, nil
	p.limits, p.repair = o.limits, o.repair
	p.arena, p.nodes = p.arena[:0], p.nodes[:0]
	p.values, p.features = 0, Features{}
	if p.named {
		clear(p.names[:])
		p.named = false
	}
	return p, nil
}

func tooLong(l Limits) *DecodeError {
	return &DecodeError{code: CodeInvalidRequest, limit: true, reason: "the document is longer than the limit of " + itoa(l.Bytes) + " bytes"}
}

func (p *parser) release() {
	p.doc = nil
	if cap(p.nodes) > keepNodes {
		p.nodes = nil
	}
	if cap(p.arena) > keepArena {
		p.arena = nil
	}
	parsers.Put(p)
}

// verdict is the error of a document that could not be read. What is no
// XML-RPC may be no XML either, further on: the callers that escape nothing must
// hear that (rule 14 of docs/clients.md).
func (p *parser) verdict() *DecodeError {
	first := p.err
	if first.code == CodeInvalidRequest && !p.wellFormed() {
		return p.err
	}
	return first
}

// tape takes the result out of the parser, which can then be released.
func (p *parser) tape() tape {
	return tape{nodes: slices.Clone(p.nodes), text: string(p.arena)}
}

// between reads what stands between two tags, where only white space may stand.
func (p *parser) between() bool {
	p.skipSpace()
	if p.at(p.pos) == '<' {
		if c := p.at(p.pos + 1); c != '!' && c != '?' {
			return true
		}
	}
	at, keep := p.pos, len(p.arena)
	if !p.text() {
		return false
	}
	blank := isBlank(p.arena[keep:])
	p.arena = p.arena[:keep]
	if !blank {
		return p.invalid(at, "text where only elements may stand")
	}
	return true
}

func isBlank(text []byte) bool {
	for _, c := range text {
		if classes[c]&classSpace == 0 {
			return false
		}
	}
	return true
}

// closing tells whether the next tag, at pos, is an end tag.
func (p *parser) closing() bool { return p.at(p.pos+1) == '/' }

// open reads the start tag of the one element that may stand at pos.
func (p *parser) open(want string) (tag span, empty, ok bool) {
	if tag, ok = p.quickTag(want); ok {
		return tag, false, true
	}
	at := p.pos
	if p.closing() {
		return tag, false, p.invalid(at, "the element "+want+" is missing")
	}
	tag, empty, ok = p.startTag()
	if ok && string(p.doc[tag.start:tag.end]) != want {
		ok = p.invalid(at, "an element that is not "+want)
	}
	return tag, empty, ok
}

// end reads up to the end tag of an element that may hold no more.
func (p *parser) end(tag span) bool {
	if p.at(p.pos) != '<' || !p.closing() {
		if !p.between() {
			return false
		}
		if !p.closing() {
			return p.invalid(p.pos, "one element too many")
		}
	}
	return p.endTag(tag)
}

// leaf reads the text of an element that has no elements inside, to its end tag.
func (p *parser) leaf(tag span, empty bool) bool {
	if empty {
		return true
	}
	if !p.text() {
		return false
	}
	if !p.closing() {
		return p.invalid(p.pos, "an element inside "+quoteName(string(p.doc[tag.start:tag.end])))
	}
	return p.endTag(tag)
}

// call reads a methodCall.
func (p *parser) call() (method string, params []uint32, ok bool) {
	if !p.prolog() {
		return "", nil, false
	}
	root, empty, ok := p.open("methodCall")
	if !ok {
		return "", nil, false
	}
	if empty {
		return "", nil, p.invalid(p.pos, "a call without a method name")
	}
	if !p.between() {
		return "", nil, false
	}
	at := p.pos
	tag, empty, ok := p.open("methodName")
	if !ok || !p.leaf(tag, empty) {
		return "", nil, false
	}
	name := bytes.Trim(p.arena, " \t\r\n")
	if reason := checkMethodName(name); reason != "" {
		return "", nil, p.invalid(at, reason)
	}
	if len(name) > p.limits.NameLength {
		return "", nil, p.beyond(at, "a name is longer than the limit of "+itoa(p.limits.NameLength)+" bytes")
	}
	method = string(name)
	p.arena = p.arena[:0]
	if !p.between() {
		return "", nil, false
	}
	if !p.closing() {
		if params, ok = p.params(); !ok {
			return "", nil, false
		}
	}
	return method, params, p.end(root) && p.epilog()
}

// checkMethodName holds a name to the specification: "the string may only
// contain identifier characters, upper and lower-case A-Z, the numeric
// characters, 0-9, underscore, dot, colon and slash". It returns what is wrong.
func checkMethodName[T string | []byte](name T) string {
	if len(name) == 0 {
		return "the method name is empty"
	}
	for i := range len(name) {
		if c := name[i]; classes[c]&className == 0 && c != '/' || c == '-' {
			return "a method name may only have A-Z, a-z, 0-9, underscore, dot, colon and slash"
		}
	}
	return ""
}

// params reads the params element and returns where its values begin.
func (p *parser) params() (params []uint32, ok bool) {
	outer, empty, ok := p.open("params")
	if !ok || empty {
		return nil, ok
	}
	for {
		if !p.between() {
			return nil, false
		}
		if p.closing() {
			return params, p.endTag(outer)
		}
		at := p.pos
		tag, empty, ok := p.open("param")
		if !ok {
			return nil, false
		}
		if empty {
			return nil, p.invalid(at, "a param without a value")
		}
		params = append(params, uint32(len(p.nodes)))
		if !p.between() || !p.value(0) || !p.end(tag) {
			return nil, false
		}
	}
}

// response reads a methodResponse; its one value is the first node.
func (p *parser) response() (fault, ok bool) {
	if !p.prolog() {
		return false, false
	}
	root, empty, ok := p.open("methodResponse")
	if !ok {
		return false, false
	}
	if empty {
		return false, p.invalid(p.pos, "a response without a value")
	}
	if !p.between() {
		return false, false
	}
	at := p.pos
	if p.follows(at, "<fault") {
		tag, empty, ok := p.open("fault")
		if ok && empty {
			ok = p.invalid(at, "a fault without a value")
		}
		return true, ok && p.between() && p.value(0) && p.end(tag) && p.end(root) && p.epilog()
	}
	params, ok := p.params()
	if ok && len(params) != 1 {
		ok = p.invalid(at, "a response has exactly one param")
	}
	return false, ok && p.end(root) && p.epilog()
}

// lone reads a document whose root is one value.
func (p *parser) lone() bool {
	return p.prolog() && p.value(0) && p.epilog()
}

// value reads one value inside depth arrays and structs.
func (p *parser) value(depth int) bool {
	at := p.pos
	tag, empty, ok := p.open("value")
	if !ok {
		return false
	}
	if p.values++; p.values > p.limits.Values {
		return p.beyond(at, "more values than the limit of "+itoa(p.limits.Values))
	}
	start := len(p.arena)
	if empty {
		return p.plain(at, start)
	}
	if p.at(p.pos) == '<' {
		if is, ok := p.quickScalar(); ok {
			return p.scalar(at, is, start)
		}
	}
	if next := p.at(p.pos + 1); p.at(p.pos) != '<' || next == '!' || next == '?' {
		if !p.text() {
			return false
		}
	}
	if p.closing() {
		return p.endTag(tag) && p.plain(at, start)
	}
	if !isBlank(p.arena[start:]) {
		return p.invalid(at, "text beside the type of a value")
	}
	p.arena = p.arena[:start]
	at = p.pos
	inner, empty, ok := p.startTag()
	return ok && p.typed(at, inner, empty, depth) && p.end(tag)
}

// typed reads the element inside a value.
func (p *parser) typed(at int, tag span, empty bool, depth int) bool {
	name := p.doc[tag.start:tag.end]
	switch string(name) {
	case "struct":
		return p.structure(at, tag, empty, depth)
	case "array":
		return p.array(at, tag, empty, depth)
	}
	is, ok := scalarTypes[string(name)]
	if !ok {
		is, ok = extensionType(name)
	}
	if !ok {
		return p.invalid(at, "a value of an unknown type")
	}
	start := len(p.arena)
	return p.leaf(tag, empty) && p.scalar(at, is, start)
}

func (p *parser) array(at int, tag span, empty bool, depth int) bool {
	if depth >= p.limits.Depth {
		return p.beyond(at, "values nested deeper than the limit of "+itoa(p.limits.Depth))
	}
	if empty {
		return p.invalid(at, "an array without data")
	}
	self := len(p.nodes)
	p.nodes = append(p.nodes, node{kind: kindArray})
	if !p.between() {
		return false
	}
	data, empty, ok := p.open("data")
	if !ok {
		return false
	}
	count := 0
	for !empty {
		if !p.between() {
			return false
		}
		if p.closing() {
			if !p.endTag(data) {
				return false
			}
			break
		}
		if !p.value(depth + 1) {
			return false
		}
		count++
	}
	p.nodes[self].bits, p.nodes[self].next = uint64(count), uint32(len(p.nodes))
	return p.end(tag)
}

func (p *parser) structure(at int, tag span, empty bool, depth int) bool {
	if depth >= p.limits.Depth {
		return p.beyond(at, "values nested deeper than the limit of "+itoa(p.limits.Depth))
	}
	self := len(p.nodes)
	p.nodes = append(p.nodes, node{kind: kindStruct})
	count := 0
	for !empty {
		if !p.between() {
			return false
		}
		if p.closing() {
			if !p.endTag(tag) {
				return false
			}
			break
		}
		at := p.pos
		member, none, ok := p.open("member")
		if !ok {
			return false
		}
		if none {
			return p.invalid(at, "a member without a name")
		}
		if !p.between() || !p.memberName() || !p.between() || !p.value(depth+1) || !p.end(member) {
			return false
		}
		count++
	}
	p.nodes[self].bits, p.nodes[self].next = uint64(count), uint32(len(p.nodes))
	return true
}

// memberName reads a name element. White space in it counts: it is the
// sender's name for the member.
func (p *parser) memberName() bool {
	at, start := p.pos, len(p.arena)
	if !p.quickName() {
		tag, empty, ok := p.open("name")
		if !ok || !p.leaf(tag, empty) {
			return false
		}
	}
	name := p.arena[start:]
	if len(name) > p.limits.NameLength {
		return p.beyond(at, "a name is longer than the limit of "+itoa(p.limits.NameLength)+" bytes")
	}
	where := span{uint32(start), uint32(len(p.arena))}
	slot := &p.names[nameSlot(name)]
	if bytes.Equal(p.arena[slot.start:slot.end], name) {
		where, p.arena = *slot, p.arena[:start]
	} else {
		*slot, p.named = where, true
	}
	p.nodes = append(p.nodes, node{
		kind: kindName, off: where.start, n: where.end - where.start, next: uint32(len(p.nodes) + 1),
	})
	return true
}

// nameSlot spreads names over the slots. Names that share one only cost a second
// copy in the arena, which is never larger than the document.
func nameSlot(name []byte) uint8 {
	n := len(name)
	if n == 0 {
		return 0
	}
	return uint8(n)*67 + name[0]*31 + name[n/2]*7 + name[n-1]
}
