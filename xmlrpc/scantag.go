package xmlrpc

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// name reads an XML name. Names with more than one colon are refused: they are
// names in XML 1.0, but not in a document with namespaces.
func (s *scanner) name() (span, bool) {
	start, i, colons := s.pos, s.pos, 0
	for {
		for i < len(s.doc) && classes[s.doc[i]]&className != 0 {
			if s.doc[i] == ':' {
				colons++
			}
			i++
		}
		if i == len(s.doc) || s.doc[i] < utf8.RuneSelf {
			break
		}
		r, size := utf8.DecodeRune(s.doc[i:])
		if i == start && !isNameStart(r) || !isNameRest(r) {
			break
		}
		i += size
	}
	if i == start || s.doc[start] < utf8.RuneSelf && classes[s.doc[start]]&classStart == 0 {
		return span{}, s.malformed(start, "a name was expected")
	}
	if i < len(s.doc) && s.doc[i] >= utf8.RuneSelf {
		return span{}, s.malformed(i, "a character that names cannot have")
	}
	if colons > 1 {
		return span{}, s.malformed(start, "a name with more than one colon")
	}
	if i-start > s.limits.NameLength {
		return span{}, s.beyond(start, "a name is longer than the limit of "+itoa(s.limits.NameLength)+" bytes")
	}
	s.pos = i
	return span{uint32(start), uint32(i)}, true
}

// startTag reads a start tag or an empty-element tag; pos is at its <.
func (s *scanner) startTag() (name span, empty, ok bool) {
	s.pos++
	name, ok = s.name()
	if !ok {
		return span{}, false, false
	}
	if s.at(s.pos) == '>' {
		s.pos++
		return name, false, true
	}
	empty, ok = s.attributes()
	return name, empty, ok
}

// attributes reads the rest of a start tag behind its name.
func (s *scanner) attributes() (empty, ok bool) {
	s.attrs = s.attrs[:0]
	for {
		before := s.pos
		s.skipSpace()
		switch s.at(s.pos) {
		case '>':
			s.pos++
			return false, true
		case '/':
			if s.at(s.pos+1) != '>' {
				return false, s.malformed(s.pos, "/ inside a tag")
			}
			s.pos += 2
			return true, true
		}
		if s.pos == len(s.doc) {
			return false, s.malformed(s.pos, "the document ends inside a tag")
		}
		if s.pos == before {
			return false, s.malformed(s.pos, "a character that cannot follow there in a tag")
		}
		if !s.attribute() {
			return false, false
		}
	}
}

func (s *scanner) attribute() bool {
	start := s.pos
	name, ok := s.name()
	if !ok {
		return false
	}
	for _, other := range s.attrs {
		if bytes.Equal(s.doc[other.start:other.end], s.doc[name.start:name.end]) {
			return s.malformed(start, "the same attribute twice in one tag")
		}
	}
	if len(s.attrs) == MaxAttributes {
		return s.beyond(start, "an element has more attributes than the limit of "+itoa(MaxAttributes))
	}
	s.attrs = append(s.attrs, name)
	s.skipSpace()
	if s.at(s.pos) != '=' {
		return s.malformed(s.pos, "an attribute without a value")
	}
	s.pos++
	s.skipSpace()
	quote := s.at(s.pos)
	if quote != '"' && quote != '\'' {
		return s.malformed(s.pos, "an attribute's value without quotes")
	}
	s.pos++
	for s.pos < len(s.doc) {
		switch c := s.doc[s.pos]; {
		case c == quote:
			s.pos++
			return true
		case c == '<':
			return s.malformed(s.pos, "< in an attribute's value")
		case c == '&':
			keep := len(s.arena)
			if !s.reference() {
				return false
			}
			s.arena = s.arena[:keep]
		case classes[c]&classValue == 0 && !s.repair && s.forbidden(s.pos) != 0:
			return s.refuseCharacter(s.pos)
		default:
			s.pos++
		}
	}
	return s.malformed(start, "an attribute's value without an end")
}

// endTag reads the end tag of the element with that name; pos is at its <.
func (s *scanner) endTag(name span) bool {
	n := int(name.end - name.start)
	from := s.pos + len("</")
	if len(s.doc)-from <= n || string(s.doc[from:from+n]) != string(s.doc[name.start:name.end]) {
		return s.malformed(s.pos, "an end tag that does not match its start tag")
	}
	s.pos = from + n
	if s.doc[s.pos] == '>' {
		s.pos++
		return true
	}
	s.skipSpace()
	if s.at(s.pos) != '>' {
		return s.malformed(s.pos, "an end tag that does not match its start tag")
	}
	s.pos++
	return true
}

// prolog reads up to the root element.
func (s *scanner) prolog() bool {
	if s.pos = quickDeclaration(s.doc); s.pos == 0 && s.follows(0, "<?xml") && classes[s.at(5)]&classSpace != 0 {
		if !s.declaration() {
			return false
		}
	}
	if !s.misc(inProlog) {
		return false
	}
	if s.at(s.pos) != '<' {
		return s.malformed(s.pos, "no root element")
	}
	return true
}

// epilog reads what may follow the root element.
func (s *scanner) epilog() bool {
	if !s.misc(inEpilog) {
		return false
	}
	if s.pos != len(s.doc) {
		return s.malformed(s.pos, "something follows the root element")
	}
	return true
}

// misc reads white space, comments and processing instructions.
func (s *scanner) misc(where place) bool {
	for {
		s.skipSpace()
		if s.at(s.pos) != '<' {
			return true
		}
		if next := s.at(s.pos + 1); next != '!' && next != '?' {
			return true
		}
		if !s.markup(where) {
			return false
		}
	}
}

// declaration reads the XML declaration. The encoding it names has been dealt
// with before.
func (s *scanner) declaration() bool {
	s.pos = len("<?xml")
	const (
		version = iota
		encoding
		standalone
		none
	)
	want := version
	for {
		before := s.pos
		s.skipSpace()
		if s.follows(s.pos, "?>") && want != version {
			s.pos += 2
			return true
		}
		at := s.pos
		if at == before {
			return s.malformed(at, "an XML declaration that is none")
		}
		name, value, ok := s.pseudoAttribute()
		if !ok {
			return false
		}
		switch {
		case want == version && name == "version":
			if !versionNumber(value) {
				return s.malformed(at, "a version of XML that is not 1.0")
			}
			want = encoding
		case want == encoding && name == "encoding":
			if !encodingName(value) {
				return s.fail(CodeUnsupportedEncoding, at, "an encoding name that is none")
			}
			want = standalone
		case (want == encoding || want == standalone) && name == "standalone" && (value == "yes" || value == "no"):
			want = none
		default:
			return s.malformed(at, "an XML declaration that is none")
		}
	}
}

func (s *scanner) pseudoAttribute() (name, value string, ok bool) {
	at := s.pos
	key, ok := s.name()
	if !ok {
		return "", "", false
	}
	s.skipSpace()
	if s.at(s.pos) != '=' {
		return "", "", s.malformed(at, "an XML declaration that is none")
	}
	s.pos++
	s.skipSpace()
	quote := s.at(s.pos)
	if quote != '"' && quote != '\'' {
		return "", "", s.malformed(at, "an XML declaration that is none")
	}
	from := s.pos + 1
	n := bytes.IndexByte(s.doc[from:], quote)
	if n < 0 || bytes.IndexByte(s.doc[from:from+n], '<') >= 0 {
		return "", "", s.malformed(at, "an XML declaration that is none")
	}
	s.pos = from + n + 1
	return string(s.doc[key.start:key.end]), string(s.doc[from : from+n]), true
}

// versionNumber takes every 1.x: "when an XML 1.0 processor encounters a document
// that specifies a 1.x version number other than '1.0', it will process it as a
// 1.0 document" (XML 1.0, fifth edition, section 2.8).
func versionNumber(value string) bool {
	minor, ok := strings.CutPrefix(value, "1.")
	return ok && minor != "" && strings.Trim(minor, "0123456789") == ""
}

// encodingName tells whether a name has the form of XML's EncName.
func encodingName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || classes[c]&className == 0 || c == ':') {
			return false
		}
	}
	return name != ""
}

// wellFormed reads a whole document as XML only. It decides between -32700 and
// -32600 for a document that has been found to be no XML-RPC. Its memory is
// eight bytes for each element that is open.
func (s *scanner) wellFormed() bool {
	s.pos, s.arena, s.err = 0, s.arena[:0], nil
	if !s.prolog() {
		return false
	}
	var open []span
	for {
		if s.at(s.pos+1) == '/' {
			if len(open) == 0 {
				return s.malformed(s.pos, "an end tag without a start tag")
			}
			if !s.endTag(open[len(open)-1]) {
				return false
			}
			open = open[:len(open)-1]
		} else {
			name, empty, ok := s.startTag()
			if !ok {
				return false
			}
			if !empty {
				open = append(open, name)
			}
		}
		if len(open) == 0 {
			return s.epilog()
		}
		s.arena = s.arena[:0]
		if !s.text() {
			return false
		}
	}
}
