package trac

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// Answers are read as plain values, for plugins differ in what they leave out
// and in which of string and int they send. What cannot be made sense of is
// TRACKER_BAD_ANSWER and says where it stood.

// stamped splits an answer of the form [UTC epoch, rest].
func stamped(where string, answer []any, parts int) (time.Time, error) {
	if len(answer) < parts {
		return time.Time{}, bridge.BadShape(where, "an array of %d, not of %d or more", len(answer), parts)
	}
	return timeAt(where, answer, 0)
}

// timeAt reads one member of an array as epoch seconds.
func timeAt(where string, values []any, i int) (time.Time, error) {
	if i >= len(values) {
		return time.Time{}, bridge.BadShape(where, "an array of %d without a member %d", len(values), i)
	}
	t := timeOf(values[i])
	if t.IsZero() {
		return time.Time{}, bridge.BadShape(where, "member %d is no time in seconds", i)
	}
	return t, nil
}

// timeOf reads epoch seconds; the zero time stands for none and for what is no
// time.
func timeOf(v any) time.Time {
	seconds, ok := intOf(v)
	if !ok || seconds <= 0 || seconds > maxEpoch {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// maxEpoch is the last second that a dateTime.iso8601 of four digits of year
// can tell.
const maxEpoch = 253402300799

// intOf reads a whole number in any of the forms in which one may come.
func intOf(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case float64:
		if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			return 0, false
		}
		return int64(n), true
	case string:
		i, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		return i, err == nil
	}
	return 0, false
}

// wordOf reads a short text that some plugins send as a number.
func wordOf(v any) string {
	switch w := v.(type) {
	case string:
		return w
	case int:
		return strconv.Itoa(w)
	case int64:
		return strconv.FormatInt(w, 10)
	case float64:
		return strconv.FormatFloat(w, 'f', -1, 64)
	}
	return ""
}

// structsAt reads one member of an array as an array of structs.
func structsAt(where string, values []any, i int) ([]map[string]any, error) {
	list, ok := values[i].([]any)
	if !ok {
		return nil, bridge.BadShape(where, "member %d is no array", i)
	}
	structs := make([]map[string]any, len(list))
	for j, v := range list {
		if structs[j], ok = v.(map[string]any); !ok {
			return nil, bridge.BadShape(where, "member %d[%d] is no struct", i, j)
		}
	}
	return structs, nil
}

// text reads a member of a struct, "" when there is none.
func text(m map[string]any, name string) string { return wordOf(m[name]) }

// ticketKey is the form in which Trac itself writes the id of a ticket.
func ticketKey(id string) string {
	key, _ := bridge.Digits(strings.TrimSpace(id))
	return key
}
