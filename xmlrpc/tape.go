package xmlrpc

import (
	"math"
	"math/big"
	"strconv"
)

// kind is the type of a value on the wire.
type kind uint8

const (
	kindString kind = iota + 1
	kindInt         // int, i4, ex:i1, ex:i2, within 32 bits
	kindI8          // i8, ex:i8, and int and i4 past 32 bits
	kindBoolean
	kindDouble
	kindDateTime
	kindBase64
	kindNil
	kindBigInteger
	kindBigDecimal
	kindArray
	kindStruct
	kindName // of the member whose value follows
)

var kindNames = [...]string{
	kindString: "string", kindInt: "int", kindI8: "i8", kindBoolean: "boolean", kindDouble: "double",
	kindDateTime: "dateTime.iso8601", kindBase64: "base64", kindNil: "nil", kindBigInteger: "ex:biginteger",
	kindBigDecimal: "ex:bigdecimal", kindArray: "array", kindStruct: "struct", kindName: "name",
}

func (k kind) String() string { return kindNames[k] }

// node is one value of a document, or the name of a member. Values stand in
// the order of the document: behind an array its elements, behind a struct
// name, value, name, value.
type node struct {
	// bits: the number of an int or i8, the bits of a double, 1 for true, the
	// number of elements or members of an array or a struct.
	bits uint64
	// off and n: where in the text this scalar stands, as it was sent but for
	// white space around it; for base64 the decoded bytes.
	off, n uint32
	// next is the index behind this value with all that is inside it.
	next uint32
	kind kind
}

// tape is a document that has been read: everything in it is known to be
// right. All strings taken from it share one backing text.
type tape struct {
	nodes []node
	text  string
}

func (t *tape) str(n *node) string { return t.text[n.off : n.off+n.n] }

// value returns the value at i in the form that package documentation gives for any.
func (t *tape) value(i uint32) any {
	n := &t.nodes[i]
	switch n.kind {
	case kindString, kindName:
		return t.str(n)
	case kindInt:
		return int(int64(n.bits))
	case kindI8:
		return int64(n.bits)
	case kindBoolean:
		return n.bits != 0
	case kindDouble:
		return math.Float64frombits(n.bits)
	case kindDateTime:
		d, _ := ParseDateTime(t.str(n))
		return d
	case kindBase64:
		return []byte(t.str(n))
	case kindBigInteger:
		b, _ := new(big.Int).SetString(t.str(n), 10)
		return b
	case kindBigDecimal:
		return BigDecimal(t.str(n))
	case kindArray:
		list := make([]any, n.bits)
		at := i + 1
		for k := range list {
			list[k] = t.value(at)
			at = t.nodes[at].next
		}
		return list
	case kindStruct:
		m := make(map[string]any, n.bits)
		for at := i + 1; at < n.next; at = t.nodes[at+1].next {
			m[t.str(&t.nodes[at])] = t.value(at + 1)
		}
		return m
	}
	return nil
}

// elements returns where the elements of the array at i begin.
func (t *tape) elements(i uint32) []uint32 {
	list := make([]uint32, t.nodes[i].bits)
	at := i + 1
	for k := range list {
		list[k] = at
		at = t.nodes[at].next
	}
	return list
}

// member returns where the member of that name begins in the struct at i: of
// several the last.
func (t *tape) member(i uint32, name string) (value uint32, ok bool) {
	for at := i + 1; at < t.nodes[i].next; at = t.nodes[at+1].next {
		if t.str(&t.nodes[at]) == name {
			value, ok = at+1, true
		}
	}
	return value, ok
}

// BigDecimal is an ex:bigdecimal: a decimal number of any precision, as it was sent.
type BigDecimal string

func itoa(n int) string { return strconv.Itoa(n) }
