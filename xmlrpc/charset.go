package xmlrpc

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// charset is an encoding that documents may have.
type charset int

const (
	charsetUnknown charset = iota
	charsetUTF8
	charsetASCII
	charsetLatin1
	charset1251
	charset1252
	charsetUTF16 // either byte order
	charsetUTF16LE
	charsetUTF16BE
)

var charsetNames = map[string]charset{
	"utf-8": charsetUTF8, "utf8": charsetUTF8,
	"us-ascii": charsetASCII, "ascii": charsetASCII, "ansi_x3.4-1968": charsetASCII, "iso646-us": charsetASCII,
	"iso-8859-1": charsetLatin1, "iso_8859-1": charsetLatin1, "iso8859-1": charsetLatin1, "latin1": charsetLatin1,
	"latin-1": charsetLatin1, "l1": charsetLatin1,
	"windows-1251": charset1251, "cp1251": charset1251, "cp-1251": charset1251, "x-cp1251": charset1251,
	"windows-1252": charset1252, "cp1252": charset1252, "cp-1252": charset1252, "x-cp1252": charset1252,
	"utf-16": charsetUTF16, "utf16": charsetUTF16, "utf-16le": charsetUTF16LE, "utf-16be": charsetUTF16BE,
}

// utf8Document returns the document as valid UTF-8 without a byte order mark;
// doc itself where it is that already. A byte order mark decides, then the
// charset of the Content-Type, then the form of the first bytes, then the
// document's declaration, then UTF-8 (RFC 7303, section 3; XML 1.0, appendix F).
// A declaration that contradicts the bytes is an error unless the charset of the
// Content-Type has overruled it.
func utf8Document(doc []byte, contentCharset string) ([]byte, *DecodeError) {
	enc, mark := markOf(doc)
	if enc == charsetUnknown && bytes.HasPrefix(doc, []byte{0x4C, 0x6F, 0xA7, 0x94}) {
		return nil, &DecodeError{code: CodeUnsupportedEncoding, reason: "EBCDIC"}
	}
	if enc == charsetUnknown && mark > 0 {
		return nil, &DecodeError{code: CodeUnsupportedEncoding, reason: "UTF-32"}
	}
	overruled := false
	if name := charsetName(contentCharset); name != "" && mark == 0 {
		named, ok := charsetNames[name]
		if !ok {
			return nil, &DecodeError{code: CodeUnsupportedEncoding, reason: "the charset of the Content-Type is not one that is read here"}
		}
		// UTF-16 without a mark: the first bytes tell the order, else it is
		// big endian (RFC 2781, section 4.3).
		if named == charsetUTF16 && enc == charsetUnknown {
			enc = charsetUTF16BE
		} else if named != charsetUTF16 {
			enc = named
		}
		overruled = true
	}
	body := doc[mark:]
	switch enc {
	case charsetUTF16LE:
		return decodeUTF16(body, binary.LittleEndian, overruled)
	case charsetUTF16BE:
		return decodeUTF16(body, binary.BigEndian, overruled)
	}
	if !overruled {
		declared, err := declaredIn(body)
		if err != nil {
			return nil, err
		}
		switch {
		case declared >= charsetUTF16, enc == charsetUTF8 && declared != charsetUTF8:
			return nil, contradiction()
		}
		enc = declared
	}
	return decodeBytes(body, enc)
}

// charsetName is the name that a charset parameter has in charsetNames.
func charsetName(parameter string) string {
	return strings.ToLower(strings.Trim(parameter, " \t\"'"))
}

func contradiction() *DecodeError {
	return &DecodeError{code: CodeUnsupportedEncoding, reason: "the declared encoding is not the one of the bytes"}
}

// markOf looks at the first bytes. With a byte order mark it returns its length;
// UTF-16 is recognised without one by the zero byte beside a leading <. UTF-32,
// which the three zero bytes beside a < show as well, is returned as unknown with
// a mark, in whichever order of its bytes (XML 1.0, appendix F.1).
func markOf(doc []byte) (charset, int) {
	if len(doc) > 1 && doc[0] == '<' && doc[1] != 0 {
		return charsetUnknown, 0
	}
	has := func(prefix ...byte) bool { return bytes.HasPrefix(doc, prefix) }
	switch {
	case has(0xEF, 0xBB, 0xBF):
		return charsetUTF8, 3
	case has(0xFF, 0xFE, 0, 0), has(0, 0, 0xFE, 0xFF), has(0, 0, 0xFF, 0xFE), has(0xFE, 0xFF, 0, 0),
		has('<', 0, 0, 0), has(0, 0, 0, '<'), has(0, 0, '<', 0), has(0, '<', 0, 0):
		return charsetUnknown, 4
	case has(0xFF, 0xFE):
		return charsetUTF16LE, 2
	case has(0xFE, 0xFF):
		return charsetUTF16BE, 2
	case has('<', 0) && len(doc) > 3 && doc[2] != 0 && doc[3] == 0:
		return charsetUTF16LE, 0
	case has(0, '<') && len(doc) > 3 && doc[2] == 0 && doc[3] != 0:
		return charsetUTF16BE, 0
	}
	return charsetUnknown, 0
}

// declaredIn returns the encoding that the XML declaration names, and UTF-8
// where there is none. A declaration that is malformed otherwise is left to
// the scanner.
func declaredIn(doc []byte) (charset, *DecodeError) {
	if quickDeclaration(doc) > 0 || !bytes.HasPrefix(doc, []byte("<?xml")) || len(doc) == 5 || classes[doc[5]]&classSpace == 0 {
		return charsetUTF8, nil
	}
	end := bytes.IndexByte(doc, '>')
	if end < 0 {
		return charsetUTF8, nil
	}
	rest := doc[:end]
	i := bytes.Index(rest, []byte("encoding"))
	if i < 0 {
		return charsetUTF8, nil
	}
	rest = bytes.TrimLeft(rest[i+len("encoding"):], " \t\r\n")
	rest, ok := bytes.CutPrefix(rest, []byte("="))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	if !ok || len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return charsetUTF8, nil
	}
	n := bytes.IndexByte(rest[1:], rest[0])
	if n < 0 {
		return charsetUTF8, nil
	}
	if enc, ok := charsetNames[strings.ToLower(string(rest[1:1+n]))]; ok {
		return enc, nil
	}
	return charsetUnknown, &DecodeError{code: CodeUnsupportedEncoding, reason: "the declared encoding is not one that is read here"}
}

func decodeBytes(body []byte, enc charset) ([]byte, *DecodeError) {
	var table *charmap.Charmap
	switch enc {
	case charsetASCII:
		for i, c := range body {
			if c >= utf8.RuneSelf {
				return nil, invalidByte(i)
			}
		}
		return body, nil
	case charsetLatin1:
		table = charmap.ISO8859_1
	case charset1251:
		table = charmap.Windows1251
	case charset1252:
		table = charmap.Windows1252
	default:
		if !utf8.Valid(body) {
			return nil, invalidByte(firstInvalid(body))
		}
		return body, nil
	}
	out := make([]byte, 0, len(body)+len(body)/8)
	for i, c := range body {
		// These bytes have no character in the tables of Microsoft; the table
		// of browsers, which x/text has, gives them control characters.
		undefined := enc == charset1251 && c == 0x98 ||
			enc == charset1252 && (c == 0x81 || c == 0x8D || c == 0x8F || c == 0x90 || c == 0x9D)
		if undefined {
			return nil, invalidByte(i)
		}
		out = utf8.AppendRune(out, table.DecodeByte(c))
	}
	return out, nil
}

func firstInvalid(body []byte) int {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(body)
}

func invalidByte(at int) *DecodeError {
	return &DecodeError{code: CodeInvalidCharacter, reason: "byte " + itoa(at+1) + " is no character in the document's encoding"}
}

func decodeUTF16(body []byte, order binary.ByteOrder, overruled bool) ([]byte, *DecodeError) {
	if len(body)%2 != 0 {
		return nil, &DecodeError{code: CodeInvalidCharacter, reason: "UTF-16 with an odd number of bytes"}
	}
	out := make([]byte, 0, len(body)/2+len(body)/8)
	for i := 0; i < len(body); i += 2 {
		r := rune(order.Uint16(body[i:]))
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if i+2 < len(body) {
				low = rune(order.Uint16(body[i+2:]))
			}
			r = utf16.DecodeRune(r, low)
			if r == utf8.RuneError {
				return nil, invalidByte(i)
			}
			i += 2
		}
		out = utf8.AppendRune(out, r)
	}
	if overruled {
		return out, nil
	}
	declared, err := declaredIn(out)
	if err != nil {
		return nil, err
	}
	mine := charsetUTF16BE
	if order == binary.ByteOrder(binary.LittleEndian) {
		mine = charsetUTF16LE
	}
	// Without a declaration declaredIn answers UTF-8, which is then no
	// contradiction.
	if declared != charsetUTF16 && declared != mine && bytes.Contains(firstTag(out), []byte("encoding")) {
		return nil, contradiction()
	}
	return out, nil
}

func firstTag(doc []byte) []byte {
	if i := bytes.IndexByte(doc, '>'); i >= 0 && bytes.HasPrefix(doc, []byte("<?xml")) {
		return doc[:i]
	}
	return nil
}
