package bridge

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// minBlotted is the length from which a value of a session is looked for in
	// answers. Shorter ones would blot out ordinary text.
	minBlotted = 6
	// minBlottedNumber is minBlotted for digits alone: the cookies of Bugzilla have
	// the number of the account, which is no secret and stands in every answer.
	minBlottedNumber = 10
)

// publicWords are no secrets, whatever they are the value of: the names that the
// markup of every answer has, and what a header must say to Roundup.
const publicWords = "methodResponse params param fault value struct member name faultCode faultString array data " +
	"string int i4 i8 boolean double dateTime.iso8601 base64 nil XMLHttpRequest"

// isBlotted tells whether a value of a session is looked for in answers.
func isBlotted(value string) bool {
	least := minBlotted
	if strings.Trim(value, "0123456789") == "" {
		least = minBlottedNumber
	}
	return len(value) >= least && !strings.Contains(publicWords, value)
}

// blot replaces the values of a session in a document, in place, by as many x. They
// have no business there; an answer that holds one is still the answer to a call
// that may have changed something, and is not to be lost.
func (t text) blot(secrets []string) {
	for _, secret := range lookedFor(secrets, isBlotted) {
		for at := 0; ; {
			found, ok := findSecret(t.units, at, secret)
			if !ok {
				break
			}
			for i := found.from; i < found.to; i++ {
				t.units[i] = 'x'
				if t.order != nil {
					t.order.PutUint16(t.doc[t.at(i):], 'x')
				}
			}
			at = found.to
		}
	}
}

// lookedFor returns the secrets that are to be looked for, the longest first, since
// one may be the beginning of another. What stands behind the scheme of an
// Authorization header is a secret by itself.
func lookedFor(secrets []string, wanted func(string) bool) []string {
	list := make([]string, 0, 2*len(secrets))
	add := func(secret string) {
		if wanted(secret) {
			list = append(list, secret)
		}
	}
	for _, secret := range secrets {
		add(secret)
		if _, token, ok := strings.Cut(secret, " "); ok {
			add(token)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// replaceSecret replaces a secret wherever it is in a text.
func replaceSecret(s, secret, by string) string {
	units := []byte(s)
	found, ok := findSecret(units, 0, secret)
	if !ok {
		return s
	}
	var out strings.Builder
	at := 0
	for ; ok; found, ok = findSecret(units, at, secret) {
		out.WriteString(s[at:found.from])
		out.WriteString(by)
		at = found.to
	}
	return out.String() + s[at:]
}

// secretAtEnd returns where in a text a secret begins of which the end is cut off,
// or the length of the text.
func secretAtEnd(s, secret string) int {
	units := []byte(s)
	for at := max(0, len(units)-maxReference*len(secret)); at < len(units); at++ {
		if _, cut := spelt(units[at:], secret); cut {
			return at
		}
	}
	return len(units)
}

// findSecret returns where a secret is in units, from a place on.
func findSecret(units []byte, at int, secret string) (span, bool) {
	if !isEscaped(secret) {
		i := bytes.Index(units[at:], []byte(secret))
		return span{at + i, at + i + len(secret)}, i >= 0
	}
	for ; at < len(units); at++ {
		if units[at] != secret[0] && units[at] != '&' {
			continue
		}
		if n, _ := spelt(units[at:], secret); n > 0 {
			return span{at, at + n}, true
		}
	}
	return span{}, false
}

// isEscaped tells whether a secret has characters that are written as references:
// those of markup, and by some trackers all beyond ASCII.
func isEscaped(secret string) bool {
	return strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`&<>"'`, r) })
}

// maxReference is the length of the longest reference to a character that is
// written in earnest, &#x10ffff; with zeros before it.
const maxReference = 16

// spelt compares the beginning of units with a secret, each of whose characters may
// stand there as it is or as a reference. It returns how many units the secret
// takes, 0 where it is not there, and whether the units end within it.
func spelt(units []byte, secret string) (taken int, cut bool) {
	for secret != "" {
		rest := units[taken:]
		if len(rest) == 0 {
			return 0, taken > 0
		}
		_, size := utf8.DecodeRuneInString(secret)
		char := secret[:size]
		if rest[0] == '&' {
			end := bytes.IndexByte(rest[:min(len(rest), maxReference)], ';')
			if end > 0 && resolved(string(rest[1:end])) == char {
				taken, secret = taken+end+1, secret[size:]
				continue
			}
			if end < 0 && taken >= minSecret && isReferenceCutOff(rest) && !bytes.HasPrefix(rest, []byte(secret)) {
				return 0, true
			}
		}
		if len(rest) < size && strings.HasPrefix(char, string(rest)) {
			return 0, true
		}
		if !bytes.HasPrefix(rest, []byte(char)) {
			return 0, false
		}
		taken, secret = taken+size, secret[size:]
	}
	return taken, false
}

// isReferenceCutOff tells whether units may be what is left of a reference.
func isReferenceCutOff(units []byte) bool {
	return len(units) < maxReference && !bytes.ContainsFunc(units[1:], func(r rune) bool {
		return r != '#' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}
