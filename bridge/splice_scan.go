package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// maxElementDepth bounds how many elements of a document may be open at once.
// Each array or struct of XML-RPC opens at most four.
const maxElementDepth = 1024

// errMarkup says that a document's tags could not be read. It quotes nothing of
// the document.
var errMarkup = errors.New("its tags do not fit together")

// errDoctype says that a document has a DOCTYPE, in which entities could be made
// that hide names.
var errDoctype = errors.New("it has a DOCTYPE")

// text is a document as far as its markup goes, which is ASCII in every encoding
// that is read here. Tags are found, and bytes put in or cut out, without anything
// being decoded, so that all else can stay as it came.
type text struct {
	doc   []byte
	units []byte // one for each character of markup; any other is above 0x7f
	order binary.ByteOrder
}

// textOf looks at a document. A byte order mark tells UTF-16 from what has ASCII in
// it, then the charset of the Content-Type, then the form of the first bytes, as
// package xmlrpc has it.
func textOf(doc []byte, charset string) text {
	name := strings.ToLower(strings.Trim(charset, " \t\"'"))
	starts := func(prefix string) bool { return bytes.HasPrefix(doc, []byte(prefix)) }
	var order binary.ByteOrder
	switch {
	case starts("\xef\xbb\xbf"):
	case starts("\xff\xfe"):
		order = binary.LittleEndian
	case starts("\xfe\xff"):
		order = binary.BigEndian
	case name == "utf-16le":
		order = binary.LittleEndian
	case name == "utf-16be":
		order = binary.BigEndian
	case name != "" && name != "utf-16" && name != "utf16":
	case starts("<\x00"):
		order = binary.LittleEndian
	case starts("\x00<"), name != "":
		order = binary.BigEndian
	}
	if order == nil {
		return text{doc: doc, units: doc}
	}
	units := make([]byte, len(doc)/2)
	for i := range units {
		if units[i] = 0xff; order.Uint16(doc[2*i:]) < 0x80 {
			units[i] = byte(order.Uint16(doc[2*i:]))
		}
	}
	return text{doc: doc, units: units, order: order}
}

// at returns where in the document a unit begins.
func (t text) at(unit int) int {
	if t.order == nil {
		return unit
	}
	return 2 * unit
}

// encoded returns ASCII in the encoding of the document.
func (t text) encoded(ascii string) []byte {
	if t.order == nil {
		return []byte(ascii)
	}
	out := make([]byte, 2*len(ascii))
	for i := range len(ascii) {
		t.order.PutUint16(out[2*i:], uint16(ascii[i]))
	}
	return out
}

// tokenKind is what a piece of a document is.
type tokenKind int

const (
	tokenEnd      tokenKind = iota // of the document
	tokenOpen                      // a start tag
	tokenClose                     // an end tag
	tokenEmpty                     // both in one
	tokenText                      // with references in it
	tokenVerbatim                  // CDATA, without its brackets
	tokenOther                     // a comment or a processing instruction
)

// token is one piece of a document, the units from..to.
type token struct {
	kind     tokenKind
	from, to int
	name     []byte // of a tag
}

// markup reads a document's tags, and finds out whether they fit together. It
// takes more than XML does: what is between the tags is not looked at.
type markup struct {
	units []byte
	next  int
	open  [][]byte // names of the elements around next
	roots int
}

// read returns the next piece. At its end tag, an element is no longer open; an
// empty one never is.
func (m *markup) read() (token, error) {
	t, err := m.piece()
	if err != nil {
		return t, err
	}
	switch t.kind {
	case tokenOpen, tokenEmpty:
		if len(m.open) == 0 {
			m.roots++
		}
		if m.roots > 1 || len(m.open) == maxElementDepth {
			return t, errMarkup
		}
		if t.kind == tokenOpen {
			m.open = append(m.open, t.name)
		}
	case tokenClose:
		last := len(m.open) - 1
		if last < 0 || !bytes.Equal(m.open[last], t.name) {
			return t, errMarkup
		}
		m.open = m.open[:last]
	case tokenEnd:
		if len(m.open) > 0 || m.roots != 1 {
			return t, errMarkup
		}
	}
	return t, nil
}

// within tells whether exactly these elements are open.
func (m *markup) within(path ...string) bool {
	if len(path) != len(m.open) {
		return false
	}
	for i, name := range path {
		if string(m.open[i]) != name {
			return false
		}
	}
	return true
}

func (m *markup) piece() (token, error) {
	rest := m.units[m.next:]
	if len(rest) == 0 {
		return token{kind: tokenEnd, from: m.next, to: m.next}, nil
	}
	if rest[0] != '<' {
		n := bytes.IndexByte(rest, '<')
		if n < 0 {
			n = len(rest)
		}
		return m.take(tokenText, n, nil), nil
	}
	if len(rest) > 1 && (rest[1] == '!' || rest[1] == '?') {
		return m.declaration(rest)
	}
	n, ok := tagLength(rest)
	if !ok {
		return token{}, errMarkup
	}
	kind, inner := tokenOpen, rest[1:n-1]
	switch {
	case len(inner) > 0 && inner[0] == '/':
		kind, inner = tokenClose, inner[1:]
	case len(inner) > 0 && inner[len(inner)-1] == '/':
		kind, inner = tokenEmpty, inner[:len(inner)-1]
	}
	name := tagName(inner)
	if len(name) == 0 {
		return token{}, errMarkup
	}
	return m.take(kind, n, name), nil
}

// tagName is the name with which the inside of a tag begins, empty where it has a
// character that no name has.
func tagName(inner []byte) []byte {
	for i, u := range inner {
		switch u {
		case ' ', '\t', '\r', '\n':
			return inner[:i]
		case '<', '&', '"', '\'', '=', '/', '!', '?':
			return nil
		}
	}
	return inner
}

// declaration reads what begins with <! or <?.
func (m *markup) declaration(rest []byte) (token, error) {
	for _, form := range []struct {
		begin, end string
		kind       tokenKind
	}{{"<!--", "-->", tokenOther}, {"<![CDATA[", "]]>", tokenVerbatim}, {"<?", "?>", tokenOther}} {
		inner, ok := bytes.CutPrefix(rest, []byte(form.begin))
		if !ok {
			continue
		}
		n := bytes.Index(inner, []byte(form.end))
		if n < 0 {
			return token{}, errMarkup
		}
		t := m.take(form.kind, len(form.begin)+n+len(form.end), nil)
		if form.kind == tokenVerbatim {
			t.from, t.to = t.from+len(form.begin), t.to-len(form.end)
		}
		return t, nil
	}
	return token{}, errDoctype
}

func (m *markup) take(kind tokenKind, n int, name []byte) token {
	t := token{kind: kind, from: m.next, to: m.next + n, name: name}
	m.next += n
	return t
}

// tagLength finds the end of the tag with which the units begin. A > in the value
// of an attribute is none.
func tagLength(units []byte) (int, bool) {
	quote := byte(0)
	for i, u := range units {
		switch {
		case quote != 0:
			if u == quote {
				quote = 0
			}
		case u == '"' || u == '\'':
			quote = u
		case u == '>':
			return i + 1, true
		}
	}
	return 0, false
}

// localName is the name of an element without its prefix.
func localName(name []byte) []byte {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == ':' {
			return name[i+1:]
		}
	}
	return name
}
