package xmlrpc

// Nearly all of a document is written in the one plain form: no attributes, no
// white space inside tags, no reference in the text. Those forms are read here
// by comparing bytes; whatever looks different is left, untouched, to the
// scanner, which knows all of XML.

// quickForm is a scalar from behind <value> to </value>.
type quickForm struct {
	open, close string
	is          scalarType
}

var (
	quickString   = quickForm{"<string>", "</string></value>", scalarString}
	quickInt      = quickForm{"<int>", "</int></value>", scalarInt}
	quickI4       = quickForm{"<i4>", "</i4></value>", scalarInt}
	quickI8       = quickForm{"<i8>", "</i8></value>", scalarI8}
	quickBoolean  = quickForm{"<boolean>", "</boolean></value>", scalarBoolean}
	quickDouble   = quickForm{"<double>", "</double></value>", scalarDouble}
	quickDateTime = quickForm{"<dateTime.iso8601>", "</dateTime.iso8601></value>", scalarDateTime}
)

// quickScalar collects the text of a scalar and reads over </value>.
func (p *parser) quickScalar() (scalarType, bool) {
	doc, i := p.doc, p.pos
	if len(doc)-i < len("<i4></i4></value>") {
		return 0, false
	}
	var q *quickForm
	switch doc[i+1] {
	case 's':
		q = &quickString
	case 'i':
		switch doc[i+2] {
		case 'n':
			q = &quickInt
		case '4':
			q = &quickI4
		default:
			q = &quickI8
		}
	case 'b':
		q = &quickBoolean
	case 'd':
		if q = &quickDouble; doc[i+2] == 'a' {
			q = &quickDateTime
		}
	default:
		return 0, false
	}
	if !p.follows(i, q.open) {
		return 0, false
	}
	from := i + len(q.open)
	end := p.plainEnd(from)
	if !p.follows(end, q.close) {
		return 0, false
	}
	p.arena = append(p.arena, doc[from:end]...)
	p.pos = end + len(q.close)
	return q.is, true
}

// plainEnd returns the end of the text from i on that stands for itself.
func (p *parser) plainEnd(i int) int {
	doc := p.doc
	for i < len(doc) && classes[doc[i]]&classText != 0 {
		i++
	}
	return i
}

// quickName collects a member's name and reads over </name>.
func (p *parser) quickName() bool {
	if !p.follows(p.pos, "<name>") {
		return false
	}
	from := p.pos + len("<name>")
	end := p.plainEnd(from)
	if !p.follows(end, "</name>") {
		return false
	}
	p.arena = append(p.arena, p.doc[from:end]...)
	p.pos = end + len("</name>")
	return true
}

// quickTag reads over a start tag that is its name and no more.
func (p *parser) quickTag(name string) (span, bool) {
	from := p.pos + 1
	end := from + len(name)
	if end >= len(p.doc) || p.doc[end] != '>' || string(p.doc[from:end]) != name {
		return span{}, false
	}
	p.pos = end + 1
	return span{uint32(from), uint32(end)}, true
}

// quickDeclarations are the XML declarations that nearly all recorded clients
// write. All mean UTF-8.
var quickDeclarations = [...]string{
	`<?xml version="1.0"?>`,
	`<?xml version='1.0'?>`,
	`<?xml version="1.0" encoding="UTF-8"?>`,
	`<?xml version='1.0' encoding='UTF-8'?>`,
	`<?xml version="1.0" encoding="utf-8"?>`,
	`<?xml version='1.0' encoding='utf-8'?>`,
}

// quickDeclaration returns the length of the declaration with which doc begins if
// it is one of quickDeclarations, else 0.
func quickDeclaration(doc []byte) int {
	for _, d := range quickDeclarations {
		if len(doc) >= len(d) && string(doc[:len(d)]) == d {
			return len(d)
		}
	}
	return 0
}
