package xmlrpc

import (
	"strconv"
	"unicode/utf8"
)

// plainText marks the bytes that are written as they are: ASCII without markup,
// without CR, which a reader would turn into LF, and without control characters.
var plainText = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '<' && c != '>' && c != '&'
	}
	t['\t'], t['\n'] = true, true
	return t
}()

// text writes character data (rule 6 of docs/clients.md).
func (e *encoder) text(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainText[c] {
			i++
			continue
		}
		size, with := 1, ""
		switch c {
		case '<':
			with = "&lt;"
		case '>':
			with = "&gt;"
		case '&':
			with = "&amp;"
		case '\r':
			with = "&#13;"
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || size > 1) && xmlCharacter(r) {
				i += size
				continue
			}
			switch e.options.forbidden {
			case ReplaceForbidden:
				with = replacement
			case RefuseForbidden:
				e.refused = true
			}
		}
		b = append(b, s[from:i]...)
		b = append(b, with...)
		i += size
		from = i
	}
	return append(b, s[from:]...)
}

// shortQuote quotes a name from outside in ASCII, cut to a length that fits an
// error message.
func shortQuote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return strconv.QuoteToASCII(s)
}
