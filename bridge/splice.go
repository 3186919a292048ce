package bridge

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// spliceMembers puts members, all strings, into the first parameter of a call,
// which must be a struct, and leaves every other byte of the document as it is. A
// call without parameters is given one. The document must be one well-formed call
// in an encoding of which ASCII is a part.
func spliceMembers(document []byte, members map[string]string) ([]byte, error) {
	if len(members) == 0 {
		return document, nil
	}
	place, err := findSplice(document)
	if err != nil {
		return nil, err
	}
	var inner bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(members)) {
		inner.WriteString("<member><name>")
		_ = xml.EscapeText(&inner, []byte(name)) // a Buffer takes all
		inner.WriteString("</name><value><string>")
		_ = xml.EscapeText(&inner, []byte(members[name]))
		inner.WriteString("</string></value></member>")
	}
	out := make([]byte, 0, len(document)+inner.Len()+len(place.before)+len(place.after))
	out = append(out, document[:place.from]...)
	out = append(out, place.before...)
	out = append(out, inner.Bytes()...)
	out = append(out, place.after...)
	return append(out, document[place.to:]...), nil
}

// spliceAt is where members go: the bytes from..to are replaced by before, the
// members, and after.
type spliceAt struct {
	from, to      int64
	before, after string
}

// Where the struct stands, and what is written around it where it does not.
const (
	structPath   = "methodCall/params/param/value/struct"
	valuePath    = "methodCall/params/param/value"
	paramsPath   = "methodCall/params"
	callPath     = "methodCall"
	openStruct   = "<struct>"
	closeStruct  = "</struct>"
	openParam    = "<param><value>" + openStruct
	closeParam   = closeStruct + "</value></param>"
	openParams   = "<params>" + openParam
	closeParams  = closeParam + "</params>"
	byteOrderUTF = "\xef\xbb\xbf"
)

// findSplice looks for the end of the struct that is the first parameter, or for
// where one would be.
func findSplice(document []byte) (spliceAt, error) {
	// Only the places of the tags matter: what is not ASCII becomes ASCII, byte
	// for byte, so that one reader serves all encodings.
	ascii := bytes.Clone(bytes.TrimPrefix(document, []byte(byteOrderUTF)))
	shift := int64(len(document) - len(ascii))
	for i, b := range ascii {
		if b >= 0x80 {
			ascii[i] = 'x'
		}
	}
	reader := xml.NewDecoder(bytes.NewReader(ascii))
	reader.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var path []string
	var opened int64 // where the last start tag began
	for {
		start := reader.InputOffset() + shift
		token, err := reader.RawToken()
		if err != nil {
			return spliceAt{}, errors.New("bridge: a call that is to carry the session is not well-formed")
		}
		end := reader.InputOffset() + shift
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			opened = start
		case xml.EndElement:
			at := spliceAt{from: start, to: start}
			empty := start == end // the end of <a/>, which has no bytes of its own
			if empty {
				at = spliceAt{from: opened, to: end}
			}
			switch strings.Join(path, "/") {
			case structPath:
				return at.around(empty, openStruct, "", "", closeStruct), nil
			case paramsPath:
				return at.around(empty, "<params>", openParam, closeParam, "</params>"), nil
			case callPath:
				return at.around(empty, "<methodCall>", openParams, closeParams, "</methodCall>"), nil
			case valuePath:
				return spliceAt{}, invalid("the first parameter must be a struct for this tracker")
			}
			path = path[:len(path)-1]
		}
	}
}

// around adds what is written around the members; outer tags only where an empty
// element is replaced.
func (at spliceAt) around(empty bool, outerOpen, open, end, outerEnd string) spliceAt {
	at.before, at.after = open, end
	if empty {
		at.before, at.after = outerOpen+open, end+outerEnd
	}
	return at
}
