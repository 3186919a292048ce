package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the text fields, in bytes. What is longer is cut, with [cutMark] at
// its end.
const (
	// MaxText bounds every text field but Detail.
	MaxText = 256
	// MaxDetail bounds Detail.
	MaxDetail = 1024
)

const (
	cutMark = "…"
	// timeLayout is that of every time that is shown: UTC, to the millisecond.
	timeLayout = "2006-01-02T15:04:05.000Z"
)

// clean returns a text that cannot do harm wherever it is shown: a single line of
// at most limit bytes of UTF-8, in which every character that is not printable,
// those that turn the direction of writing included, stands replaced. What is
// clean stays as it is.
func clean(text string, limit int) string {
	if plain(text, limit) {
		return text
	}
	var b strings.Builder
	b.Grow(min(len(text), limit))
	whole := 0 // how far what stands in b leaves room for the mark
	for _, r := range text {
		if r != ' ' && !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			return b.String()[:whole] + cutMark
		}
		b.WriteRune(r)
		if b.Len() <= limit-len(cutMark) {
			whole = b.Len()
		}
	}
	return b.String()
}

// plain tells whether a text is clean, as far as that shows at once.
func plain(text string, limit int) bool {
	if len(text) > limit {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// cleaned returns an entry whose texts are clean.
func cleaned(e Entry) Entry {
	e.Subsystem = Subsystem(clean(string(e.Subsystem), MaxText))
	e.Outcome = Outcome(clean(string(e.Outcome), MaxText))
	for _, text := range []*string{&e.Reason, &e.Listener, &e.Route, &e.Subject, &e.Name} {
		*text = clean(*text, MaxText)
	}
	e.Detail = clean(e.Detail, MaxDetail)
	return e
}
