package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// New declares a hook whose requests go to a handler, as values of the struct T,
// instead of into the feed. The fields of T are the hook's fields, s.Fields must be
// empty:
//
//	type Report struct {
//		Token hook.AuthToken `hook:"token" title:"Token"`
//		Bug   int64          `hook:"bug,required" description:"The bug's number"`
//		Text  string         `hook:"text,max=2000"`
//		Who   string         `hook:"who,from=sender.login"`
//	}
//
// The tag has the name, which must be there, and the words "required", "max=N",
// "from=PATH" and "url" for what [Field] calls so. The types are string, any integer
// type, bool, [time.Time], [json.RawMessage], [AuthToken], and pointers to them, which
// are nil where nothing was given. A tag of "-" leaves a field out; an exported field
// without a tag is an error, as are all other mistakes.
//
// The request is answered 200 when the handler returns nil; an error of the
// catalogue is the answer as it is, and any other SERVER_ERROR. A request that
// comes again is kept from the handler when the hook can tell (by the field that
// s.DedupField names, by its webhook-id, or by a signature of its body) and the
// handler has succeeded. A handler that fails, or whose success the store did not take
// down, may get the request again.
func New[T any](s Spec, handler func(ctx context.Context, value T) error) (*Hook, error) {
	h, err := declareStruct[T](s, handler)
	if err != nil {
		return nil, named(s.Name, err)
	}
	return h, nil
}

func declareStruct[T any](s Spec, handler func(ctx context.Context, value T) error) (*Hook, error) {
	if handler == nil {
		return nil, errors.New("there is no handler")
	}
	if len(s.Fields) > 0 {
		return nil, errors.New("the fields are those of the struct; there cannot be others")
	}
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is not a struct", t)
	}
	var bindings []binding
	for i := range t.NumField() {
		b, err := bind(t.Field(i))
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		b.index = i
		bindings = append(bindings, *b)
		s.Fields = append(s.Fields, b.field)
	}
	h, err := declare(s)
	if err != nil {
		return nil, err
	}
	for i, b := range bindings {
		h.fits[i] = fitting(t.Field(b.index).Type)
	}
	h.handle = func(ctx context.Context, given submission) error {
		var value T
		target := reflect.ValueOf(&value).Elem()
		for _, b := range bindings {
			b.set(target.Field(b.index), given)
		}
		return handler(ctx, value)
	}
	return h, nil
}

// binding is a field of a struct and what it takes.
type binding struct {
	index int
	field Field
}

var (
	typeToken = reflect.TypeFor[AuthToken]()
	typeTime  = reflect.TypeFor[time.Time]()
	typeJSON  = reflect.TypeFor[json.RawMessage]()
)

// bind reads the declaration of one field; nil is one that is left out.
func bind(f reflect.StructField) (*binding, error) {
	tag, tagged := f.Tag.Lookup("hook")
	switch {
	case tag == "-", !tagged && !f.IsExported():
		return nil, nil
	case !tagged:
		return nil, fmt.Errorf("the field %s has no tag; write `hook:\"name\"`, or `hook:\"-\"` to leave it out", f.Name)
	case !f.IsExported():
		return nil, fmt.Errorf("the field %s has a tag and is not exported", f.Name)
	}
	b := &binding{field: Field{Title: f.Tag.Get("title"), Description: f.Tag.Get("description")}}
	var err error
	if b.field.Type, err = typeOf(f.Type); err != nil {
		return nil, fmt.Errorf("the field %s: %w", f.Name, err)
	}
	words := strings.Split(tag, ",")
	b.field.Name = words[0]
	for _, word := range words[1:] {
		if err := b.word(word); err != nil {
			return nil, fmt.Errorf("the field %s: %w", f.Name, err)
		}
	}
	return b, nil
}

// word reads one word of a tag.
func (b *binding) word(word string) error {
	name, value, _ := strings.Cut(word, "=")
	switch {
	case word == "required":
		b.field.Required = true
	case word == "url" && b.field.Type == TypeText:
		b.field.Type = TypeURL
	case word == "url":
		return errors.New("only a string can be a url")
	case name == "from" && value != "":
		b.field.From = value
	case name == "max":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("max=%s is not a number above 0", value)
		}
		b.field.MaxLength = n
	default:
		return fmt.Errorf("the tag has the word %q; words are required, max=N, from=PATH and url", word)
	}
	return nil
}

func typeOf(t reflect.Type) (Type, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case typeToken:
		return TypeToken, nil
	case typeTime:
		return TypeDateTime, nil
	case typeJSON:
		return TypeJSON, nil
	}
	switch t.Kind() {
	case reflect.String:
		return TypeText, nil
	case reflect.Bool:
		return TypeBoolean, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return TypeInteger, nil
	default:
		return "", fmt.Errorf("no field can have the type %v; take a string, an integer, bool, time.Time, json.RawMessage or hook.AuthToken", t)
	}
}

// set puts what was given into the struct.
func (b *binding) set(target reflect.Value, given submission) {
	value := given.values[b.field.Name]
	if b.field.Type == TypeToken && !given.proof.token.IsZero() {
		value = AuthToken{given.proof.token}
	}
	if value == nil {
		return
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	switch v := value.(type) {
	case string:
		target.SetString(v)
	case bool:
		target.SetBool(v)
	case int64:
		if target.CanUint() {
			target.SetUint(uint64(v))
		} else {
			target.SetInt(v)
		}
	default:
		target.Set(reflect.ValueOf(v))
	}
}

const flawRange = "This number is too large or too small."

// fitting returns what says that a value does not fit into the struct's type; nil
// for a type into which all values of the field fit.
func fitting(t reflect.Type) func(value any) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	zero := reflect.Zero(t)
	if !zero.CanInt() && !zero.CanUint() {
		return nil
	}
	return func(value any) string {
		n, _ := value.(int64)
		if zero.CanInt() && !zero.OverflowInt(n) || zero.CanUint() && n >= 0 && !zero.OverflowUint(uint64(n)) {
			return ""
		}
		return flawRange
	}
}
