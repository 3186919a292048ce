package bridge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// spliceMembers puts members, all strings, into the first parameter of a call,
// which must be a struct, and leaves every other byte of the document as it is. A
// call without parameters is given one. The document must be one well-formed call
// that [xmlrpc.ParseCall] reads without being told a charset.
func spliceMembers(document []byte, members map[string]string) ([]byte, error) {
	return spliceCall(document, "", members)
}

// spliceCall is spliceMembers for a document that came with a charset in its
// Content-Type, or with none.
func spliceCall(document []byte, charset string, members map[string]string) ([]byte, error) {
	if len(members) == 0 {
		return document, nil
	}
	t := textOf(document, charset)
	place, err := findSplice(t)
	if err != nil {
		return nil, err
	}
	var inner strings.Builder
	inner.WriteString(place.before)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		inner.WriteString("<member><name>")
		escapeASCII(&inner, name)
		inner.WriteString("</name><value><string>")
		escapeASCII(&inner, members[name])
		inner.WriteString("</string></value></member>")
	}
	inner.WriteString(place.after)
	return slices.Concat(document[:t.at(place.from)], t.encoded(inner.String()), document[t.at(place.to):]), nil
}

// spliceAt is where members go: the units from..to are replaced by before, the
// members, and after.
type spliceAt struct {
	from, to      int
	before, after string
}

// What is written around the members where there is no struct.
const (
	openParam  = "<param><value><struct>"
	closeParam = "</struct></value></param>"
)

// findSplice looks for the end of the struct that is the first parameter, or for
// where one would be.
func findSplice(t text) (spliceAt, error) {
	reader := &markup{units: t.units}
	for {
		piece, err := reader.read()
		if err != nil || piece.kind == tokenEnd {
			return spliceAt{}, errors.New("bridge: a call that is to carry the session is not well-formed")
		}
		if piece.kind != tokenClose && piece.kind != tokenEmpty {
			continue
		}
		switch name := string(piece.name); {
		case name == "struct" && reader.within("methodCall", "params", "param", "value"):
			return piece.inside("", ""), nil
		case name == "params" && reader.within("methodCall"):
			return piece.inside(openParam, closeParam), nil
		case name == "methodCall" && reader.within():
			return piece.inside("<params>"+openParam, closeParam+"</params>"), nil
		case name == "value" && reader.within("methodCall", "params", "param"):
			return spliceAt{}, invalid("The first parameter must be a struct for this tracker, which is given the session in it.")
		}
	}
}

// inside is the place before the end tag of an element. An empty one is taken
// apart: of <a/> the last two characters become > and </a>.
func (t token) inside(before, after string) spliceAt {
	if t.kind == tokenClose {
		return spliceAt{from: t.from, to: t.from, before: before, after: after}
	}
	return spliceAt{from: t.to - len("/>"), to: t.to, before: ">" + before, after: after + "</" + string(t.name) + ">"}
}

// escapeASCII writes a text in a form that is the same in every encoding. What XML
// forbids is replaced.
func escapeASCII(w *strings.Builder, s string) {
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			r = utf8.RuneError
		}
		if r < ' ' || r > '~' || strings.ContainsRune(`<>&"'`, r) {
			fmt.Fprintf(w, "&#%d;", r)
			continue
		}
		w.WriteByte(byte(r))
	}
}
