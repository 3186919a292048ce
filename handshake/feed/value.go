package feed

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Limits of values.
const (
	// MaxDepth is how many objects and arrays of an event's data may stand inside
	// each other to become structs and arrays.
	MaxDepth = 32
	// MaxValues is how many values an event's data may have to become a struct.
	MaxValues = 20_000
	// maxPageValues is how many values the events of a page have together: half of
	// what readers with the limits of package xmlrpc take.
	maxPageValues = 50_000
)

// Value returns the data of an event as a value for package xmlrpc, and of how many
// values it is made; nil for no data.
//
// Objects become structs, arrays arrays. A number without a fraction or an exponent
// becomes an int, which package xmlrpc writes as a string where it is too large for
// the receiver; beyond 64 bits it is a string here already, like one that no double
// holds. Other numbers become doubles. null is left out, unless the receiver knows
// nil. What lies deeper than [MaxDepth] becomes its JSON as a string, and so does the
// whole when it has more than [MaxValues] values or is no JSON.
func Value(data []byte) (any, int) {
	if len(data) == 0 {
		return nil, 0
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	r := reading{decoder: decoder, source: data, left: MaxValues}
	value, err := r.value(0)
	if err != nil || decoder.More() {
		return string(data), 1
	}
	return value, MaxValues - r.left
}

// reading reads JSON by tokens, so that what is too much is found before it takes
// room.
type reading struct {
	decoder *json.Decoder
	source  []byte
	left    int
}

// errValues is that of more values than are taken.
var errValues = strconv.ErrRange

func (r *reading) value(depth int) (any, error) {
	if r.left--; r.left < 0 {
		return nil, errValues
	}
	begin := r.decoder.InputOffset()
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if depth == MaxDepth {
			return r.text(begin)
		}
		if token == '[' {
			return r.array(depth)
		}
		return r.object(depth)
	case json.Number:
		return number(string(token)), nil
	default: // string, bool, nil
		return token, nil
	}
}

func (r *reading) array(depth int) (any, error) {
	list := []any{}
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.decoder.Token()
	return list, err
}

func (r *reading) object(depth int) (any, error) {
	object := map[string]any{}
	for r.decoder.More() {
		name, err := r.decoder.Token()
		if err != nil {
			return nil, err
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		text, _ := name.(string) // the decoder takes no other names
		object[text] = value
	}
	_, err := r.decoder.Token()
	return object, err
}

// text returns the JSON of an object or array whose first token has been read; what
// the offset before that token shows ahead of it is punctuation and white space.
func (r *reading) text(begin int64) (any, error) {
	for open := 1; open > 0; {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
	}
	return strings.TrimLeft(string(r.source[begin:r.decoder.InputOffset()]), " \t\r\n,:"), nil
}

// number returns an int where the text is one, a double where one holds it, and the
// text itself otherwise.
func number(text string) any {
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
			return int(n)
		} else if text != "-0" {
			return text
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return text
}
