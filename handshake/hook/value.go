package hook

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxWord is how long what becomes kind, tracker or bug of an event may be, in
// characters.
const MaxWord = 128

// What is wrong with a value. None of these texts says anything of the value.
const (
	flawRequired  = "This field is required."
	flawRepeated  = "This field was given more than once."
	flawFile      = "Files are not accepted."
	flawNUL       = "NUL characters are not accepted."
	flawText      = "This must be text."
	flawToken     = "This must be one line of ASCII characters."
	flawInteger   = "This must be a whole number of 64 bits."
	flawBoolean   = "This must be true or false."
	flawDateTime  = "This must be a time as in 2006-01-02T15:04:05Z, or the seconds since 1970."
	flawURL       = "This must be an absolute address of http or https without a user."
	flawJSON      = "This must be a JSON value."
	flawJSONDepth = "This JSON value is nested too deeply."
)

// input is what a request gave for a field, before anything is known about it.
type input struct {
	// text is the value of a form.
	text string
	// raw is the value in a JSON body, valid JSON; nil in a form.
	raw json.RawMessage
	// flaw is what was wrong already with the way in which it was given.
	flaw string
}

// values are the values of the fields that were given, by name: string, int64,
// bool, time.Time or json.RawMessage.
type values map[string]any

// read returns the value of an input; nil is none. A flaw says what is wrong.
func (f *Field) read(in input, depth int) (value any, flaw string) {
	if in.flaw != "" {
		return nil, in.flaw
	}
	if f.Type == TypeJSON {
		return f.readJSON(in, depth)
	}
	text, flaw := in.plain(f.Type)
	if flaw != "" {
		return nil, flaw
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, flawNUL
	}
	if f.Type != TypeText && f.Type != TypeToken {
		text = strings.TrimSpace(text)
	}
	if text == "" {
		return nil, ""
	}
	if utf8.RuneCountInString(text) > f.MaxLength {
		return nil, f.flawLength()
	}
	return parse(f.Type, text)
}

func (f *Field) flawLength() string {
	return fmt.Sprintf("This is longer than %d characters.", f.MaxLength)
}

// plain returns the text of an input: that of a form, or of a JSON string, number
// or boolean as far as the type has a use for them.
func (in input) plain(t Type) (text, flaw string) {
	if in.raw == nil {
		return in.text, ""
	}
	switch c := in.raw[0]; {
	case c == '"':
		if json.Unmarshal(in.raw, &text) != nil {
			return "", flawText
		}
		return text, ""
	case c == 'n':
		return "", ""
	case (c == '-' || isDigit(c)) && (t == TypeText || t == TypeInteger || t == TypeDateTime || t == TypeBoolean):
		return string(in.raw), ""
	case (c == 't' || c == 'f') && t == TypeBoolean:
		return string(in.raw), ""
	}
	return "", flawOf(t)
}

func flawOf(t Type) string {
	switch t {
	case TypeToken:
		return flawToken
	case TypeInteger:
		return flawInteger
	case TypeBoolean:
		return flawBoolean
	case TypeDateTime:
		return flawDateTime
	case TypeURL:
		return flawURL
	default:
		return flawText
	}
}

// parse reads a text that is not empty as a type.
func parse(t Type, text string) (any, string) {
	switch t {
	case TypeToken:
		if !isASCIILine(text) {
			return nil, flawToken
		}
		return text, ""
	case TypeInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, flawInteger
		}
		return n, ""
	case TypeBoolean:
		switch strings.ToLower(text) {
		case "true", "yes", "on", "1":
			return true, ""
		case "false", "no", "off", "0":
			return false, ""
		}
		return nil, flawBoolean
	case TypeDateTime:
		return parseTime(text)
	case TypeURL:
		return parseURL(text)
	default:
		return text, ""
	}
}

// The years that every reader of events can write: XML-RPC has four digits.
const minYear, maxYear = 1, 9999

func parseTime(text string) (any, string) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.ParseInLocation("2006-01-02T15:04:05", text, time.UTC)
	}
	if err != nil {
		seconds, notNumber := strconv.ParseInt(text, 10, 64)
		if notNumber != nil {
			return nil, flawDateTime
		}
		at = time.Unix(seconds, 0)
	}
	at = at.UTC()
	if year := at.Year(); year < minYear || year > maxYear {
		return nil, flawDateTime
	}
	return at, ""
}

func parseURL(text string) (any, string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || !isASCIILine(text) {
		return nil, flawURL
	}
	return text, ""
}

func (f *Field) readJSON(in input, depth int) (any, string) {
	raw := in.raw
	if raw == nil {
		raw = json.RawMessage(strings.TrimSpace(in.text))
	}
	switch {
	case len(raw) == 0:
		return nil, ""
	case utf8.RuneCount(raw) > f.MaxLength:
		return nil, f.flawLength()
	case tooDeep(raw, depth):
		return nil, flawJSONDepth
	case in.raw == nil && !json.Valid(raw):
		return nil, flawJSON
	case hasNUL(raw):
		return nil, flawNUL
	case string(raw) == "null":
		return nil, ""
	}
	return raw, ""
}

// isASCIILine tells whether a text is what zope.schema calls an ASCIILine: ASCII
// without control characters.
func isASCIILine(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// checkWord says what is wrong with a text that becomes kind, tracker or bug.
func checkWord(text string) string {
	if utf8.RuneCountInString(text) > MaxWord {
		return fmt.Sprintf("This is longer than %d characters.", MaxWord)
	}
	for _, r := range text {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return "This must be one line without control characters."
		}
	}
	return ""
}
