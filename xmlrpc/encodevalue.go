package xmlrpc

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"encoding/base64"
	"reflect"
)

// value writes a value. The forms that reading gives are written without
// reflection.
func (e *encoder) value(v any) error {
	switch v := v.(type) {
	case nil:
		e.null()
	case string:
		e.str(v)
		return e.checkRefused()
	case int:
		e.integer(int64(v))
	case int64:
		// What came as i8 goes back as i8, to a receiver that knows i8.
		if e.options.features.I8 {
			e.eight(v)
		} else {
			e.integer(v)
		}
	case bool:
		e.boolean(v)
	case float64:
		return e.double(v, 64)
	case []byte:
		e.base64(v)
	case DateTime:
		return e.dateTime(v)
	case time.Time:
		return e.dateTime(DateTimeOf(v))
	case []any:
		return e.list(v)
	case map[string]any:
		return e.object(v)
	default:
		return e.reflected(reflect.ValueOf(v))
	}
	return nil
}

// reflected writes a value of any type. Structs and arrays are copied first, so
// that all inside them has an address and is reached without another copy.
func (e *encoder) reflected(v reflect.Value) error {
	if k := v.Kind(); (k == reflect.Struct || k == reflect.Array) && !v.CanAddr() {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		v = c
	}
	return planOf(v.Type()).encode(e, v)
}

func (e *encoder) null() {
	if e.options.features.Nil {
		e.add("<value><nil/></value>")
	} else {
		e.absent = true
	}
}

func (e *encoder) str(s string) {
	e.add("<value><string>")
	e.text(s)
	e.add("</string></value>")
}

func (e *encoder) checkRefused() error {
	if !e.refused {
		return nil
	}
	e.refused = false
	return &EncodeError{reason: "the text holds a character that XML forbids"}
}

// integer writes numbers past 32 bits as i8 or as strings (rule 8 of captures/clients).
func (e *encoder) integer(n int64) {
	switch {
	case n == int64(int32(n)):
		e.add("<value><int>")
		e.buf = strconv.AppendInt(e.buf, n, 10)
		e.add("</int></value>")
	case e.options.features.I8:
		e.eight(n)
	default:
		e.add("<value><string>")
		e.buf = strconv.AppendInt(e.buf, n, 10)
		e.add("</string></value>")
	}
}

func (e *encoder) eight(n int64) {
	e.add("<value><i8>")
	e.buf = strconv.AppendInt(e.buf, n, 10)
	e.add("</i8></value>")
}

func (e *encoder) unsigned(n uint64) {
	if n <= math.MaxInt64 {
		e.integer(int64(n))
		return
	}
	e.add("<value><string>")
	e.buf = strconv.AppendUint(e.buf, n, 10)
	e.add("</string></value>")
}

func (e *encoder) boolean(b bool) {
	if b {
		e.add("<value><boolean>1</boolean></value>")
	} else {
		e.add("<value><boolean>0</boolean></value>")
	}
}

// double writes the shortest digits that read back as the same number, without
// an exponent and always with a point: the specification has no exponent.
func (e *encoder) double(f float64, bits int) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return &EncodeError{reason: "XML-RPC has no number " + strconv.FormatFloat(f, 'g', -1, 64)}
	}
	e.add("<value><double>")
	from := len(e.buf)
	e.buf = strconv.AppendFloat(e.buf, f, 'f', -1, bits)
	if !slices.Contains(e.buf[from:], '.') {
		e.add(".0")
	}
	e.add("</double></value>")
	return nil
}

func (e *encoder) dateTime(d DateTime) error {
	if !d.writable() {
		return &EncodeError{reason: "the year has more than four digits"}
	}
	e.add("<value><dateTime.iso8601>")
	e.buf = d.appendWire(e.buf)
	e.add("</dateTime.iso8601></value>")
	return nil
}

func (e *encoder) base64(b []byte) {
	e.add("<value><base64>")
	e.buf = base64.StdEncoding.AppendEncode(e.buf, b)
	e.add("</base64></value>")
}

// bigInteger writes a number of any size, as a string where no type holds it.
func (e *encoder) bigInteger(n *big.Int) {
	if n.IsInt64() {
		e.integer(n.Int64())
		return
	}
	e.add("<value><string>")
	e.buf = n.Append(e.buf, 10)
	e.add("</string></value>")
}

// enter counts one more array or struct. What our own reader would refuse for
// its depth is not written; a cycle ends there too.
func (e *encoder) enter() error {
	if e.depth == DefaultDepth {
		return &EncodeError{reason: "values nested deeper than " + itoa(DefaultDepth) + ", perhaps in a circle"}
	}
	e.depth++
	return nil
}

func (e *encoder) list(list []any) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.add("<value><array><data>")
	for i, v := range list {
		if err := e.element(v); err != nil {
			return encodeErrorAt(err, "["+itoa(i)+"]")
		}
		if err := e.flush(streamBuffer); err != nil {
			return err
		}
	}
	e.add("</data></array></value>")
	e.depth--
	return nil
}

// object writes a map with its names sorted, so that the same map is always the
// same document.
func (e *encoder) object(m map[string]any) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.add("<value><struct>")
	first := len(e.pairs)
	for name, v := range m {
		e.pairs = append(e.pairs, pair{name, v})
	}
	own := e.pairs[first:]
	slices.SortFunc(own, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	for i := range own {
		if err := e.member(own[i].name, own[i].value); err != nil {
			clear(own)
			e.pairs = e.pairs[:first]
			return err
		}
	}
	clear(own)
	e.pairs = e.pairs[:first]
	e.add("</struct></value>")
	e.depth--
	return nil
}

func (e *encoder) member(name string, v any) error {
	start := len(e.buf)
	e.add("<member><name>")
	e.text(name)
	e.add("</name>")
	err := e.checkRefused()
	if err == nil {
		err = e.value(v)
	}
	if err != nil {
		return encodeErrorAt(err, quoteName(name))
	}
	return e.endMember(start)
}

// endMember ends a member, or takes it back if its value has nothing to write:
// then nothing has been written or flushed behind start but its head.
func (e *encoder) endMember(start int) error {
	if e.absent {
		e.absent = false
		e.buf = e.buf[:start]
		return nil
	}
	e.add("</member>")
	return e.flush(streamBuffer)
}
