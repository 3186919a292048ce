package config

import (
	"fmt"
	"reflect"
	"slices"
)

// scalarKeys lists the keys that hold one value or a list of values: what the
// environment and --set can give.
func scalarKeys() []string { return keysOf(reflect.TypeFor[Config](), "", false) }

// allKeys lists every key of the file, sections and those of lists of tables included.
func allKeys() []string { return keysOf(reflect.TypeFor[Config](), "", true) }

func keysOf(t reflect.Type, prefix string, all bool) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("toml") == "-" {
			continue
		}
		key := prefix + f.Tag.Get("toml")
		zero := reflect.New(f.Type).Elem()
		switch {
		case f.Anonymous:
			keys = append(keys, keysOf(f.Type, prefix, all)...)
		case isTables(f.Type):
			if all {
				keys = append(keys, key)
				keys = append(keys, keysOf(f.Type.Elem(), key+".", all)...)
			}
		case isSection(zero):
			if all {
				keys = append(keys, key)
			}
			keys = append(keys, keysOf(f.Type, key+".", all)...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// unknownKey says that key is not known, and which known one is nearest.
func unknownKey(key string, known []string) error {
	slices.Sort(known)
	nearest, least := "", len(key)
	for _, k := range known {
		if d := distance(key, k); d < least {
			nearest, least = k, d
		}
	}
	if nearest == "" {
		return fmt.Errorf("unknown key %s", key)
	}
	return fmt.Errorf("unknown key %s: did you mean %s?", key, nearest)
}

// distance is the Levenshtein distance of two ASCII texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
