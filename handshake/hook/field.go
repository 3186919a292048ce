package hook

import (
	"errors"
	"fmt"
	"slices"
)

// Type says what the value of a field is, and how a sender may write it. The set
// is closed.
type Type string

// The types. A JSON body may give a value as JSON or as the text that a form
// would have.
const (
	// TypeText is text of any number of lines. JSON numbers are taken as they are
	// written.
	TypeText Type = "text"
	// TypeToken is the token with which a sender proves itself: ASCII on one line.
	TypeToken Type = "token"
	// TypeInteger is a whole number of 64 bits.
	TypeInteger Type = "integer"
	// TypeBoolean is true or false; also yes and no, on and off, 1 and 0.
	TypeBoolean Type = "boolean"
	// TypeDateTime is a time by RFC 3339, UTC where it names no zone, or the seconds
	// since 1970 as a whole number.
	TypeDateTime Type = "datetime"
	// TypeURL is an absolute address of http or https without a user.
	TypeURL Type = "url"
	// TypeJSON is any JSON value, and in a form its text.
	TypeJSON Type = "json"
)

var types = []Type{TypeText, TypeToken, TypeInteger, TypeBoolean, TypeDateTime, TypeURL, TypeJSON}

// Limits of what is declared.
const (
	// MaxName is how long the name of a hook or of a field may be, in bytes.
	MaxName = 64
	// MaxDeclared is how many fields a hook may declare.
	MaxDeclared = 100
	// MaxTitle is how long a title or a description may be, in bytes.
	MaxTitle = 1000
)

// Greatest lengths of values, in characters, where a field sets none.
const (
	DefaultTextLength  = 65536
	DefaultTokenLength = 256
	DefaultURLLength   = 2048
	// DefaultJSONLength is that of a JSON value's text.
	DefaultJSONLength = 1 << 18
	// scalarLength is that of the types whose values are short by nature.
	scalarLength = 64
)

// Field is one parameter of a hook.
type Field struct {
	// Name is what senders call the field, and what it is called in events and
	// errors: letters, digits, '_', '-' and '.', beginning with a letter or '_', and
	// of [MaxName] bytes at most.
	Name string
	// From is where the value stands in a JSON body, when it is not the member Name:
	// names of members, one in the other, joined by '.'. Forms do not look at it.
	From string
	// Title is for people; the default is Name.
	Title string
	// Description is for people, too.
	Description string
	// Required is whether a request without the field is refused. An empty value is
	// none. It says nothing for the token, without which a request is accepted only
	// when it proves itself in another way that the hook accepts.
	Required bool
	// Type is the type of the value; the default is [TypeText].
	Type Type
	// MaxLength is the greatest length of the value in characters; the default
	// depends on the type.
	MaxLength int
}

// complete returns the field with its defaults, or says what is wrong with it.
func (f Field) complete() (Field, error) {
	if err := checkFieldName(f.Name); err != nil {
		return Field{}, err
	}
	if f.Title == "" {
		f.Title = f.Name
	}
	if f.Type == "" {
		f.Type = TypeText
	}
	switch {
	case !slices.Contains(types, f.Type):
		return Field{}, fmt.Errorf("the field %s has the type %q; types are %q", f.Name, f.Type, types)
	case f.MaxLength < 0:
		return Field{}, fmt.Errorf("the field %s has a length below 0", f.Name)
	case len(f.Title) > MaxTitle || len(f.Description) > MaxTitle:
		return Field{}, fmt.Errorf("the title or the description of the field %s is longer than %d bytes", f.Name, MaxTitle)
	}
	if f.From != "" {
		if err := checkPath(f.From); err != nil {
			return Field{}, fmt.Errorf("the field %s: %w", f.Name, err)
		}
	}
	if f.MaxLength == 0 {
		f.MaxLength = defaultLength(f.Type)
	}
	return f, nil
}

func defaultLength(t Type) int {
	switch t {
	case TypeText:
		return DefaultTextLength
	case TypeToken:
		return DefaultTokenLength
	case TypeURL:
		return DefaultURLLength
	case TypeJSON:
		return DefaultJSONLength
	default:
		return scalarLength
	}
}

// CheckName tells what is wrong with the name of a hook: it has letters, digits,
// '-', '_' and '.', begins with a letter or a digit, and has [MaxName] bytes at
// most.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a hook needs a name")
	case len(name) > MaxName:
		return fmt.Errorf("the name of a hook is longer than %d bytes", MaxName)
	case !isLetter(name[0]) && !isDigit(name[0]), !isWord(name):
		return fmt.Errorf("the name of a hook has letters, digits, '-', '_' and '.' and begins with a letter or a digit; %q does not", name)
	}
	return nil
}

func checkFieldName(name string) error {
	switch {
	case name == "":
		return errors.New("a field needs a name")
	case len(name) > MaxName:
		return fmt.Errorf("the name of a field is longer than %d bytes", MaxName)
	case !isLetter(name[0]) && name[0] != '_', !isWord(name):
		return fmt.Errorf("the name of a field has letters, digits, '-', '_' and '.' and begins with a letter or '_'; %q does not", name)
	}
	return nil
}

func isWord(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
