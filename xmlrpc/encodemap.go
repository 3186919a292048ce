package xmlrpc

import (
	"slices"
	"strings"
)

// object writes a map with its names sorted, so that the same map is always the
// same document.
func (e *encoder) object(b []byte, m map[string]any) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	b = append(b, "<value><struct>"...)
	for len(e.shapes) <= e.depth {
		e.shapes = append(e.shapes, shape{})
	}
	first := len(e.pairs)
	s := &e.shapes[e.depth]
	if e.collectAs(s, m) {
		e.heads(s)
		b, err = e.alike(b, e.pairs[first:], s.heads, s.ends)
	} else {
		e.collect(m)
		own := e.pairs[first:]
		s.remember(own)
		for i := range own {
			if b, err = e.member(b, own[i].name, own[i].value); err != nil {
				break
			}
		}
	}
	e.pairs = e.pairs[:first]
	e.depth--
	return append(b, "</struct></value>"...), err
}

// collect puts the members of a map behind pairs, sorted.
func (e *encoder) collect(m map[string]any) {
	first := len(e.pairs)
	for name, v := range m {
		e.pairs = append(e.pairs, pair{name, v})
	}
	sortPairs(e.pairs[first:])
}

// shape is what maps with the same names have in common. Maps in a list mostly
// have the same names: knowing them spares going through the map in its own
// order, sorting, and looking for characters that are written in another way.
type shape struct {
	names []string // sorted
	// heads holds what stands before the value of each member, one behind the
	// other; ends tells where each ends. Both are empty until the names have come a
	// second time.
	heads []byte
	ends  []int
}

func (s *shape) remember(members []pair) {
	names := s.names[:0]
	for i := range members {
		names = append(names, members[i].name)
	}
	s.names, s.heads, s.ends = names, s.heads[:0], s.ends[:0]
}

func (s *shape) forget() {
	clear(s.names[:cap(s.names)])
	s.names, s.heads, s.ends = s.names[:0], s.heads[:0], s.ends[:0]
}

// stringOpen ends each head of a shape: most members are strings, and the others
// leave it out.
const stringOpen = "<value><string>"

// heads makes the heads of a shape if there are none yet.
func (e *encoder) heads(s *shape) {
	if len(s.ends) == len(s.names) {
		return
	}
	for _, name := range s.names {
		// No policy refuses a name here: the first map that had it would have ended
		// the document.
		s.heads, _ = e.memberHead(s.heads, name)
		s.heads = append(s.heads, stringOpen...)
		s.ends = append(s.ends, len(s.heads))
	}
}

// collectAs puts the members of a map behind pairs, in the order of the shape, if
// the map has exactly its names.
func (e *encoder) collectAs(s *shape, m map[string]any) bool {
	if len(m) != len(s.names) {
		return false
	}
	pairs := e.pairs
	for _, name := range s.names {
		v, ok := m[name]
		if !ok {
			return false
		}
		pairs = append(pairs, pair{name, v})
	}
	e.pairs = pairs
	return true
}

// alike writes the members of a map whose heads are known.
func (e *encoder) alike(b []byte, own []pair, heads []byte, ends []int) ([]byte, error) {
	from := 0
	for i := range own {
		head := heads[from:ends[i]]
		from = ends[i]
		start, err := len(b), error(nil)
		if text, ok := own[i].value.(string); ok {
			b = e.text(append(b, head...), text)
			b, err = e.checked(append(b, "</string></value></member>"...))
		} else {
			b, err = e.value(append(b, head[:len(head)-len(stringOpen)]...), own[i].value)
			switch {
			case err != nil:
			case e.absent:
				b, e.absent = b[:start], false
			default:
				b = append(b, "</member>"...)
			}
		}
		if err != nil {
			return b, encodeErrorAt(err, quoteName(own[i].name))
		}
		if b, err = e.flush(b, streamBuffer); err != nil {
			return b, err
		}
	}
	return b, nil
}

// sortPairs sorts by name. Structs are small: up to some size the simplest way
// is the fastest.
func sortPairs(pairs []pair) {
	if len(pairs) > 24 {
		slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
		return
	}
	for i := 1; i < len(pairs); i++ {
		p := pairs[i]
		k := i
		for ; k > 0 && p.name < pairs[k-1].name; k-- {
			pairs[k] = pairs[k-1]
		}
		pairs[k] = p
	}
}

func (e *encoder) member(b []byte, name string, v any) ([]byte, error) {
	start := len(b)
	b, err := e.memberHead(b, name)
	if err == nil {
		b, err = e.value(b, v)
	}
	if err != nil {
		return b, encodeErrorAt(err, quoteName(name))
	}
	return e.endMember(b, start)
}

// memberHead writes what stands before a member's value.
func (e *encoder) memberHead(b []byte, name string) ([]byte, error) {
	b = append(b, "<member><name>"...)
	b = e.text(b, name)
	return e.checked(append(b, "</name>"...))
}

// endMember ends a member, or takes it back if its value has nothing to write:
// then nothing has been written or flushed behind start but its head.
func (e *encoder) endMember(b []byte, start int) ([]byte, error) {
	if e.absent {
		e.absent = false
		return b[:start], nil
	}
	return e.flush(append(b, "</member>"...), streamBuffer)
}
