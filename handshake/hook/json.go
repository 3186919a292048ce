package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// member is one member of a JSON object.
type member struct {
	raw      json.RawMessage
	repeated bool
}

// parseJSON reads a JSON object (RFC 8259). What a member is called counts letter
// by letter.
func (b *body) parseJSON(h *Hook) (submitted, error) {
	text, err := b.charset.decode(string(b.raw))
	if err != nil {
		return submitted{}, err
	}
	document := []byte(text)
	if tooDeep(document, MaxJSONDepth) {
		return submitted{}, tooLarge("Depth of the JSON body", MaxJSONDepth)
	}
	if err := checkJSON(document); err != nil {
		return submitted{}, err
	}
	top, count, ok := members(document, MaxFields)
	switch {
	case !ok:
		return submitted{}, invalid("The JSON body is not an object.")
	case count > MaxFields:
		return submitted{}, tooLarge("Members of the JSON object", MaxFields)
	}
	s := submitted{inputs: map[string]input{}}
	for name := range top {
		if len(name) > MaxSentName {
			return submitted{}, tooLarge("Bytes of the name of a field", MaxSentName)
		}
		if !h.roots[name] {
			s.ignored++
		}
	}
	inner := map[string]map[string]member{"": top}
	for i, path := range h.paths {
		if in, found := look(inner, path); found {
			s.inputs[h.spec.Fields[i].Name] = in
		}
	}
	return s, nil
}

// checkJSON says where a document stops to be JSON, and nothing of what stands
// there.
func checkJSON(document []byte) error {
	var whole json.RawMessage
	err := json.Unmarshal(document, &whole)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return invalid(fmt.Sprintf("The body is not JSON: syntax error at byte %d.", syntax.Offset))
	default:
		return invalid("The body is not JSON.")
	}
}

// look returns what stands at a path. The objects on the way are read once for
// all fields: inner has them by the path to them.
func look(inner map[string]map[string]member, path []string) (input, bool) {
	object, repeated := inner[""], false
	for i, name := range path {
		m, ok := object[name]
		if !ok {
			return input{}, false
		}
		repeated = repeated || m.repeated
		if i == len(path)-1 {
			in := input{raw: m.raw}
			if repeated {
				in.flaw = flawRepeated
			}
			return in, true
		}
		key := strings.Join(path[:i+1], ".")
		next, known := inner[key]
		if !known {
			next, _, _ = members(m.raw, 0)
			inner[key] = next
		}
		object = next
	}
	return input{}, false
}

// members returns the members of an object and their number, which it stops to
// count beyond a limit above 0. False means that valid JSON is no object.
func members(document []byte, limit int) (map[string]member, int, bool) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, 0, false
	}
	found, count := map[string]member{}, 0
	for decoder.More() {
		token, err := decoder.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return nil, 0, false
		}
		var m member
		if err := decoder.Decode(&m.raw); err != nil {
			return nil, 0, false
		}
		if count++; limit > 0 && count > limit {
			return nil, count, true
		}
		_, m.repeated = found[name]
		found[name] = m
	}
	return found, count, true
}

// tooDeep tells whether a document that may be JSON is nested deeper than a
// limit.
func tooDeep(document []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(document); i++ {
		switch c := document[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

// hasNUL tells whether a string in valid JSON has a NUL character, which only an
// escape can write there.
func hasNUL(document []byte) bool {
	for i := 0; i+1 < len(document); i++ {
		if document[i] != '\\' {
			continue
		}
		if i++; bytes.HasPrefix(document[i:], []byte("u0000")) {
			return true
		}
	}
	return false
}

// checkPath tells what is wrong with the place of a field in a JSON body.
func checkPath(path string) error {
	parts := strings.Split(path, ".")
	if len(parts) > MaxJSONDepth || len(path) > MaxSentName {
		return fmt.Errorf("a place in a JSON body has at most %d names and %d bytes", MaxJSONDepth, MaxSentName)
	}
	for _, part := range parts {
		if part == "" {
			return errors.New("a place in a JSON body is names of members joined by '.', as in issue.number")
		}
	}
	return nil
}
