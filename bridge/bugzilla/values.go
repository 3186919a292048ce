package bugzilla

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Answers are read as plain values, for the order of members changes from answer
// to answer, those without a value are left out, and versions differ in types.
// What cannot be made sense of is TRACKER_BAD_ANSWER and says where it stood.

// wordOf reads a text, or the number that stands in its place.
func wordOf(v any) string {
	switch w := v.(type) {
	case string:
		return w
	case int:
		return strconv.Itoa(w)
	case int64:
		return strconv.FormatInt(w, 10)
	case float64:
		if w == math.Trunc(w) {
			return strconv.FormatFloat(w, 'f', -1, 64)
		}
	}
	return ""
}

// text reads a member of a struct, "" when there is none.
func text(m map[string]any, name string) string { return wordOf(m[name]) }

// wordsOf reads what is a string in some versions and an array in others.
func wordsOf(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	words := make([]string, 0, len(list))
	for _, item := range list {
		if word := wordOf(item); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// timeOf reads a date, which without a zone is UTC; zero for what is none.
func timeOf(v any) time.Time {
	switch d := v.(type) {
	case xmlrpc.DateTime:
		return d.Time(time.UTC).UTC()
	case string:
		if parsed, err := xmlrpc.ParseDateTime(d); err == nil {
			return parsed.Time(time.UTC).UTC()
		}
	}
	return time.Time{}
}

// numberOf reads a whole number that fits an XML-RPC int.
func numberOf(v any) (int, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(wordOf(v)), 10, 32)
	return int(n), err == nil
}

// structs reads a member that is an array of structs.
func structs(method string, m map[string]any, name string) ([]map[string]any, error) {
	list, ok := m[name].([]any)
	if !ok {
		return nil, bridge.BadShape(method, "%s is no array", name)
	}
	found := make([]map[string]any, len(list))
	for i, v := range list {
		if found[i], ok = v.(map[string]any); !ok {
			return nil, bridge.BadShape(method, "%s[%d] is no struct", name, i)
		}
	}
	return found, nil
}

// structAt reads a member that is a struct. In place of an empty one some Perl
// writes an empty array.
func structAt(method string, m map[string]any, name string) (map[string]any, error) {
	switch v := m[name].(type) {
	case map[string]any:
		return v, nil
	case []any:
		if len(v) == 0 {
			return nil, nil
		}
	}
	return nil, bridge.BadShape(method, "%s is no struct", name)
}

// wireID returns a bug's or a comment's number as it is sent, and false for a text
// that can be the number of nothing. A number that an int cannot hold would reach
// the database, which some refuse with the whole request.
func wireID(key string) (int, bool) {
	key, ok := bridge.Digits(key)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(key, 10, 32)
	return int(n), err == nil && n > 0
}

// bugID is wireID for what may be an alias too, which is sent as it is. Aliases
// have neither blanks nor commas.
func bugID(key string) (id any, ok bool) {
	if _, isNumber := bridge.Digits(key); isNumber {
		n, ok := wireID(key)
		return n, ok
	}
	return key, key != "" && !strings.ContainsAny(key, " ,\t\r\n")
}

// bugIDs are keys as they are sent; those that can be no bug's are left out.
func bugIDs(keys []string) []any {
	ids := make([]any, 0, len(keys))
	for _, key := range keys {
		if id, ok := bugID(key); ok {
			ids = append(ids, id)
		}
	}
	return ids
}
