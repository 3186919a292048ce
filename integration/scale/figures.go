package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// figure is one measured value at a number of tokens.
type figure struct {
	store  string
	tokens int
	name   string
	value  float64
}

// fields is how many a line has.
const fields = 5

// Of the values only zero and those between these are drawn.
const leastValue, mostValue = 1e-9, 1e9

// errNoFigures is that of an input without figures about tokens.
var errNoFigures = errors.New("there are no figures about tokens to draw; give the file of make bench-scale")

// readFigures reads those of the part "tokens".
func readFigures(in io.Reader) ([]figure, error) {
	var all []figure
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		part := strings.Split(lines.Text(), "\t")
		if len(part) != fields {
			return nil, fmt.Errorf("line %d has %d fields, not %d", n, len(part), fields)
		}
		tokens, err := strconv.Atoi(part[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		value, err := strconv.ParseFloat(part[4], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if part[0] != "tokens" {
			continue
		}
		drawable := value == 0 || value >= leastValue && value <= mostValue
		if tokens < 1 || !drawable {
			return nil, fmt.Errorf("line %d: %d tokens and %v cannot be drawn", n, tokens, value)
		}
		if !printable(part[1]) {
			return nil, fmt.Errorf("line %d: the store's name %q cannot be printed", n, part[1])
		}
		all = append(all, figure{store: part[1], tokens: tokens, name: part[3], value: value})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errNoFigures
	}
	return all, nil
}

// printable is whether an SVG can hold a text.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// series are the values of one name for one store, by number of tokens.
func series(all []figure, store, name string) []figure {
	var found []figure
	for _, f := range all {
		if f.store == store && f.name == name {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b figure) int { return a.tokens - b.tokens })
	return found
}

// stores are the names of the stores, in the order in which they come.
func stores(all []figure) []string {
	var names []string
	for _, f := range all {
		if !slices.Contains(names, f.store) {
			names = append(names, f.store)
		}
	}
	return names
}
