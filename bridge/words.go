package bridge

import "strings"

// State maps a status and a resolution by the words that the operator added for
// this tracker: first both with a space between them, then the resolution, then
// the status. It returns ok false when there is none, and the dialect's own table
// tells.
func (r *Remote) State(status, resolution string) (state State, ok bool) {
	for _, word := range []string{status + " " + resolution, resolution, status} {
		if state, ok = r.states[fold(word)]; ok {
			return state, true
		}
	}
	return "", false
}

// Importance maps words for priority and severity by those that the operator
// added for this tracker, from the last of them that is known.
func (r *Remote) Importance(words ...string) (importance Importance, ok bool) {
	for i := len(words) - 1; i >= 0; i-- {
		if importance, ok = r.importances[fold(words[i])]; ok {
			return importance, true
		}
	}
	return "", false
}

// fold brings a word to the form in which words are compared.
func fold(word string) string { return strings.ToLower(strings.TrimSpace(word)) }

// folded is a table by folded words.
func folded[V any](table map[string]V) map[string]V {
	out := make(map[string]V, len(table))
	for word, v := range table {
		out[fold(word)] = v
	}
	return out
}
