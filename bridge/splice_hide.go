package bridge

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// errNoAnswer says that a document is no XML-RPC answer.
var errNoAnswer = errors.New("it is no methodResponse")

// span are the units from..to of a document.
type span struct{ from, to int }

// walkMembers walks through all structs of a document, at any depth, and tells named
// of the name of each member and of where the struct that has it begins. It
// returns the members for which named returned true, without those that are inside
// others of them, in their order.
//
// Names are compared as a client sees them: with references and CDATA resolved,
// without the white space around. The prefix of an element means nothing, since
// some readers drop it. The first two elements are told as well: root, and the
// first one in it.
func walkMembers(units []byte, named func(owner int, name []byte) bool) (root, first string, marked []span, err error) {
	reader := &markup{units: units}
	var owners []int       // where the structs around begin
	var open []memberFrame // the members around
	var name nameText      // the last name that was read
	reading := false       // it is not at its end yet
	for {
		t, err := reader.read()
		if err != nil {
			return root, first, nil, err
		}
		depth := len(reader.open) // a start tag's own element included
		switch t.kind {
		case tokenEnd:
			return root, first, marked, nil
		case tokenText, tokenVerbatim:
			if reading {
				name.add(units[t.from:t.to], t.kind == tokenVerbatim)
			}
		case tokenEmpty, tokenOpen:
			if t.kind == tokenEmpty {
				depth++ // as if it were open
			}
			local := string(localName(t.name))
			switch {
			case depth == 1:
				root = local
			case depth == 2 && first == "":
				first = local
			}
			if t.kind == tokenEmpty {
				continue
			}
			switch {
			case local == "struct":
				owners = append(owners, t.from)
			case local == "member":
				open = append(open, memberFrame{from: t.from, depth: depth})
			case local == "name" && len(open) > 0 && open[len(open)-1].depth == depth-1:
				name, reading = name[:0], true
			}
		case tokenClose:
			switch string(localName(t.name)) {
			case "struct":
				owners = owners[:len(owners)-1]
			case "name":
				if reading && open[len(open)-1].depth == depth {
					owner := -1
					if len(owners) > 0 {
						owner = owners[len(owners)-1]
					}
					frame := &open[len(open)-1]
					frame.marked = named(owner, name.trimmed()) || frame.marked
					reading = false
				}
			case "member":
				frame := open[len(open)-1]
				open = open[:len(open)-1]
				if !frame.marked {
					continue
				}
				for len(marked) > 0 && marked[len(marked)-1].from > frame.from {
					marked = marked[:len(marked)-1]
				}
				marked = append(marked, span{frame.from, t.to})
			}
		}
	}
}

// memberFrame is a member that is being read.
type memberFrame struct {
	from, depth int
	marked      bool
}

// nameText is the name of a member as far as it was read. Of a long one, which is
// none that is looked for, only the beginning is kept.
type nameText []byte

const maxMemberName = 256

// xmlSpace is the white space of XML.
const xmlSpace = " \t\r\n"

func (n *nameText) add(units []byte, verbatim bool) {
	if len(*n) > maxMemberName {
		return
	}
	units = units[:min(len(units), 8*maxMemberName)]
	for len(units) > 0 {
		i := bytes.IndexByte(units, '&')
		if i < 0 || verbatim {
			*n = append(*n, units...)
			return
		}
		*n = append(*n, units[:i]...)
		units = units[i:]
		end := bytes.IndexByte(units, ';')
		if end < 0 {
			*n = append(*n, units...)
			return
		}
		*n = append(*n, resolved(string(units[1:end]))...)
		units = units[end+1:]
	}
}

// trimmed returns the name without the white space around it.
func (n nameText) trimmed() []byte { return bytes.Trim(n, xmlSpace) }

// resolved is the character that a reference stands for; one that cannot be
// resolved stands for one that no name has.
func resolved(reference string) string {
	if number, ok := strings.CutPrefix(reference, "#"); ok {
		base := 10
		if hex, ok := strings.CutPrefix(number, "x"); ok {
			number, base = hex, 16
		}
		if code, err := strconv.ParseUint(number, base, 21); err == nil {
			return string(rune(code))
		}
		return "\x00"
	}
	switch reference {
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "amp":
		return "&"
	case "quot":
		return `"`
	case "apos":
		return "'"
	}
	return "\x00"
}

// inspectAnswer finds out whether a document is an XML-RPC answer, whether that
// is a fault, and where in it the members are that are to be hidden.
func inspectAnswer(t text, hide []string) (fault bool, hidden []span, err error) {
	if plainAnswer(t, hide) {
		return false, nil, nil
	}
	root, first, hidden, err := walkMembers(t.units, func(_ int, name []byte) bool {
		return slices.ContainsFunc(hide, func(h string) bool { return h == string(name) })
	})
	switch {
	case err != nil:
		return false, nil, err
	case root != "methodResponse" || first != "fault" && first != "params":
		return false, nil, errNoAnswer
	}
	return first == "fault", hidden, nil
}

// plainAnswer knows most answers without walking through them: those that begin
// and end as one, and in which nothing is to be hidden, since none of the names is
// anywhere in them, nor anything that one could be written with in another way.
func plainAnswer(t text, hide []string) bool {
	if t.order != nil {
		return false
	}
	rest := bytes.Trim(t.units, xmlSpace)
	if declaration := []byte("<?xml "); bytes.HasPrefix(rest, declaration) {
		_, rest, _ = bytes.Cut(rest, []byte("?>"))
		rest = bytes.TrimLeft(rest, xmlSpace)
	}
	rest, begins := bytes.CutPrefix(rest, []byte("<methodResponse>"))
	rest, ends := bytes.CutSuffix(rest, []byte("</methodResponse>"))
	rest = bytes.Trim(rest, xmlSpace)
	if !begins || !ends || !bytes.HasPrefix(rest, []byte("<params>")) || !bytes.HasSuffix(rest, []byte("</params>")) {
		return false
	}
	for _, odd := range []string{"<!", "<?", "&#"} {
		if bytes.Contains(rest, []byte(odd)) {
			return false
		}
	}
	return !slices.ContainsFunc(hide, func(name string) bool { return bytes.Contains(rest, []byte(name)) })
}

// cut takes spans out of a document, in place, and returns what is left.
func (t text) cut(spans []span) []byte {
	if len(spans) == 0 {
		return t.doc
	}
	out := t.doc[:t.at(spans[0].from)]
	for i, s := range spans {
		end := len(t.doc)
		if i+1 < len(spans) {
			end = t.at(spans[i+1].from)
		}
		out = append(out, t.doc[t.at(s.to):end]...)
	}
	return out
}
