package xmlrpc

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// scanner reads XML from valid UTF-8. Every method that can fail returns
// false and leaves the reason in err; after that the scanner is of no more use.
// Text is collected at the end of arena, references replaced and line ends
// made LF.
type scanner struct {
	doc    []byte
	pos    int
	arena  []byte
	limits Limits
	repair bool
	attrs  []span
	err    *DecodeError
}

// span is a part of the document: doc[start:end].
type span struct{ start, end uint32 }

// Classes of bytes.
const (
	classText  = 1 << iota // stands for itself in text
	classSpace             // white space between tags
	classStart             // begins a name
	className              // continues a name
	classValue             // stands for itself in an attribute's value or a comment
)

var classes = func() (t [256]uint8) {
	for c := range 256 {
		if c >= 0x20 || c == '\t' || c == '\n' {
			t[c] |= classText | classValue
		}
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':':
			t[c] |= classStart | className
		case c >= '0' && c <= '9', c == '-', c == '.':
			t[c] |= className
		case c == ' ', c == '\t', c == '\n', c == '\r':
			t[c] |= classSpace
		}
	}
	t['\r'] |= classValue
	for _, c := range "<&]" {
		t[c] &^= classText
	}
	// U+FFFE and U+FFFF begin with this byte.
	t[0xEF] &^= classText | classValue
	return t
}()

func (s *scanner) fail(code, at int, reason string) bool {
	s.err = &DecodeError{code: code, reason: reason}
	before := s.doc[:min(at, len(s.doc))]
	s.err.line = bytes.Count(before, []byte{'\n'}) + 1
	s.err.column = len(before) - bytes.LastIndexByte(before, '\n')
	return false
}

func (s *scanner) malformed(at int, reason string) bool {
	return s.fail(CodeNotWellFormed, at, reason)
}

func (s *scanner) invalid(at int, reason string) bool {
	return s.fail(CodeInvalidRequest, at, reason)
}

// beyond refuses a document for a limit, which the reason names.
func (s *scanner) beyond(at int, reason string) bool {
	s.fail(CodeInvalidRequest, at, reason)
	s.err.limit = true
	return false
}

// at returns the byte at i, and 0, which stands nowhere in XML, past the end.
func (s *scanner) at(i int) byte {
	if i < len(s.doc) {
		return s.doc[i]
	}
	return 0
}

func (s *scanner) follows(i int, text string) bool {
	return len(s.doc)-i >= len(text) && string(s.doc[i:i+len(text)]) == text
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.doc) && classes[s.doc[s.pos]]&classSpace != 0 {
		s.pos++
	}
}

// text collects character data up to the next start tag or end tag, through
// CDATA, comments and processing instructions.
func (s *scanner) text() bool {
	doc := s.doc
	for {
		i := s.pos
		for i < len(doc) && classes[doc[i]]&classText != 0 {
			i++
		}
		if i > s.pos {
			s.arena = append(s.arena, doc[s.pos:i]...)
			s.pos = i
		}
		if i == len(doc) {
			return s.malformed(i, "the document ends inside an element")
		}
		switch c := doc[i]; {
		case c == '<':
			next := s.at(i + 1)
			if next != '!' && next != '?' {
				return true
			}
			if !s.markup(inRoot) {
				return false
			}
		case c == '&':
			if !s.reference() {
				return false
			}
		case c == '\r':
			s.arena = append(s.arena, '\n')
			s.pos++
			if s.at(s.pos) == '\n' {
				s.pos++
			}
		case c == ']' && s.follows(i, "]]>"):
			return s.malformed(i, "]]> in text")
		case s.forbidden(i) == 0:
			s.arena = append(s.arena, c)
			s.pos++
		case !s.repair:
			return s.refuseCharacter(i)
		default:
			s.arena = append(s.arena, replacement...)
			s.pos += s.forbidden(i)
		}
	}
}

const replacement = "\uFFFD"

// forbidden returns the length of the character at i if XML forbids it, else 0.
func (s *scanner) forbidden(i int) int {
	switch c := s.doc[i]; {
	case c < 0x20:
		if c == '\t' || c == '\n' || c == '\r' {
			return 0
		}
		return 1
	case c == 0xEF && s.at(i+1) == 0xBF && s.at(i+2) >= 0xBE:
		return 3
	}
	return 0
}

func (s *scanner) refuseCharacter(i int) bool {
	r, _ := utf8.DecodeRune(s.doc[i:])
	return s.malformed(i, "the character U+"+hex4(r)+" is forbidden in XML")
}

func hex4(r rune) string {
	h := strconv.FormatInt(int64(r), 16)
	for len(h) < 4 {
		h = "0" + h
	}
	return string(bytes.ToUpper([]byte(h)))
}

// place is where in a document markup stands.
type place int

const (
	inProlog place = iota
	inRoot
	inEpilog
)

// markup reads what begins with <! or <?: a comment, a processing instruction
// and, inside the root element, CDATA. A document type is looked for only where
// there can be one.
func (s *scanner) markup(where place) bool {
	i := s.pos
	switch {
	case s.follows(i, "<!--"):
		return s.comment()
	case where == inRoot && s.follows(i, "<![CDATA["):
		return s.cdata()
	case s.doc[i+1] == '?':
		return s.instruction()
	case where == inProlog && s.follows(i, "<!DOCTYPE") && classes[s.at(i+len("<!DOCTYPE"))]&classSpace != 0:
		return s.invalid(i, "a document type is never read")
	}
	return s.malformed(i, "<! that begins neither a comment nor CDATA")
}

func (s *scanner) comment() bool {
	start := s.pos + len("<!--")
	n := bytes.Index(s.doc[start:], []byte("--"))
	if n < 0 {
		return s.malformed(s.pos, "a comment without an end")
	}
	end := start + n
	if s.at(end+2) != '>' {
		return s.malformed(end, "-- inside a comment")
	}
	s.pos = end + len("-->")
	return s.characters(start, end)
}

func (s *scanner) instruction() bool {
	start := s.pos + len("<?")
	s.pos = start
	target, ok := s.name()
	if !ok {
		return false
	}
	name := s.doc[target.start:target.end]
	if len(name) == 3 && name[0]|0x20 == 'x' && name[1]|0x20 == 'm' && name[2]|0x20 == 'l' {
		return s.malformed(start, "an XML declaration that is not at the very beginning")
	}
	n := bytes.Index(s.doc[s.pos:], []byte("?>"))
	if n < 0 {
		return s.malformed(start, "a processing instruction without an end")
	}
	if n > 0 && classes[s.doc[s.pos]]&classSpace == 0 {
		return s.malformed(s.pos, "no space after the target of a processing instruction")
	}
	from := s.pos
	s.pos += n + len("?>")
	return s.characters(from, from+n)
}

func (s *scanner) cdata() bool {
	start := s.pos + len("<![CDATA[")
	n := bytes.Index(s.doc[start:], []byte("]]>"))
	if n < 0 {
		return s.malformed(s.pos, "CDATA without an end")
	}
	end := start + n
	for i := start; i < end; {
		from := i
		for i < end && (classes[s.doc[i]]&classText != 0 || s.doc[i] == '<' || s.doc[i] == '&' || s.doc[i] == ']') {
			i++
		}
		s.arena = append(s.arena, s.doc[from:i]...)
		if i == end {
			break
		}
		switch bad := s.forbidden(i); {
		case s.doc[i] == '\r':
			s.arena = append(s.arena, '\n')
			i++
			if i < end && s.doc[i] == '\n' {
				i++
			}
		case bad == 0:
			s.arena = append(s.arena, s.doc[i])
			i++
		case !s.repair:
			return s.refuseCharacter(i)
		default:
			s.arena = append(s.arena, replacement...)
			i += bad
		}
	}
	s.pos = end + len("]]>")
	return true
}

// characters checks a part of the document that is read over.
func (s *scanner) characters(start, end int) bool {
	if s.repair {
		return true
	}
	for i := start; i < end; i++ {
		if classes[s.doc[i]]&classValue == 0 && s.forbidden(i) != 0 {
			return s.refuseCharacter(i)
		}
	}
	return true
}

// reference reads a reference to a character or to one of the five entities
// into the arena. Two references to the halves of a surrogate pair, as Apache
// XML-RPC sends them, are one character.
func (s *scanner) reference() bool {
	start := s.pos
	if s.at(start+1) != '#' {
		for _, e := range [...]struct {
			text string
			c    byte
		}{{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}} {
			if s.follows(start, e.text) {
				s.arena = append(s.arena, e.c)
				s.pos += len(e.text)
				return true
			}
		}
		return s.malformed(start, "& that begins none of the five entities")
	}
	r, ok := s.codePoint()
	if !ok {
		return false
	}
	if r >= 0xD800 && r < 0xDC00 && s.follows(s.pos, "&#") {
		after := s.pos
		low, ok := s.codePoint()
		if !ok {
			return false
		}
		if low >= 0xDC00 && low < 0xE000 {
			r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
		} else {
			s.pos = after
		}
	}
	if !xmlCharacter(r) {
		if !s.repair {
			return s.malformed(start, "a reference to U+"+hex4(r)+", which is forbidden in XML")
		}
		r = utf8.RuneError
	}
	s.arena = utf8.AppendRune(s.arena, r)
	return true
}

// codePoint reads the number of a character reference.
func (s *scanner) codePoint() (rune, bool) {
	start := s.pos
	i, base := start+len("&#"), 10
	if s.at(i) == 'x' {
		i, base = i+1, 16
	}
	r, first := 0, i
	for ; ; i++ {
		c, d := s.at(i), 0
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int(c|0x20-'a') + 10
		default:
			if c != ';' || i == first {
				return 0, s.malformed(start, "a character reference that is not &#number;")
			}
			s.pos = i + 1
			return rune(r), true
		}
		if r = r*base + d; r > utf8.MaxRune {
			return 0, s.malformed(start, "a reference to a character past U+10FFFF")
		}
	}
}

func xmlCharacter(r rune) bool {
	if r < 0x20 {
		return r == '\t' || r == '\n' || r == '\r'
	}
	return r < 0xD800 || r > 0xDFFF && r != 0xFFFE && r != 0xFFFF
}
