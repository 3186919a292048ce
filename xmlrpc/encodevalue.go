package xmlrpc

import (
	"encoding/base64"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// value writes a value. The forms that reading gives are written without
// reflection.
func (e *encoder) value(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return e.null(b), nil
	case string:
		return e.checked(e.str(b, v))
	case int:
		return e.integer(b, int64(v)), nil
	case int64:
		// What came as i8 goes back as i8, to a receiver that knows i8.
		if e.options.features.I8 {
			return appendI8(b, v), nil
		}
		return e.integer(b, v), nil
	case bool:
		return appendBoolean(b, v), nil
	case float64:
		return appendDouble(b, v, 64)
	case []byte:
		return appendBase64(b, v), nil
	case DateTime:
		return appendDateTime(b, v)
	case time.Time:
		return appendDateTime(b, DateTimeOf(v))
	case []any:
		return e.list(b, v)
	case map[string]any:
		return e.object(b, v)
	case []int:
		return e.ints(b, v)
	case multicallFault:
		return e.fault(b, v.code, v.text), nil
	}
	return e.reflected(b, reflect.ValueOf(v))
}

// reflected writes a value of any type. Structs and arrays are copied first, so
// that all inside them has an address and is reached without another copy.
func (e *encoder) reflected(b []byte, v reflect.Value) ([]byte, error) {
	if k := v.Kind(); (k == reflect.Struct || k == reflect.Array) && !v.CanAddr() {
		c := reflect.New(v.Type()).Elem()
		c.Set(v)
		v = c
	}
	return planOf(v.Type()).encode(e, b, v)
}

func (e *encoder) null(b []byte) []byte {
	if e.options.features.Nil {
		return append(b, "<value><nil/></value>"...)
	}
	e.absent = true
	return b
}

func (e *encoder) str(b []byte, s string) []byte {
	b = append(b, "<value><string>"...)
	b = e.text(b, s)
	return append(b, "</string></value>"...)
}

// checked returns the error of text that the policy refuses.
func (e *encoder) checked(b []byte) ([]byte, error) {
	if !e.refused {
		return b, nil
	}
	e.refused = false
	return b, &EncodeError{reason: "the text holds a character that XML forbids"}
}

// integer writes numbers past 32 bits as i8 or as strings (rule 8 of docs/clients.md).
func (e *encoder) integer(b []byte, n int64) []byte {
	switch {
	case n == int64(int32(n)):
		b = append(b, "<value><int>"...)
		b = strconv.AppendInt(b, n, 10)
		return append(b, "</int></value>"...)
	case e.options.features.I8:
		return appendI8(b, n)
	}
	b = append(b, "<value><string>"...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "</string></value>"...)
}

func appendI8(b []byte, n int64) []byte {
	b = append(b, "<value><i8>"...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "</i8></value>"...)
}

func (e *encoder) unsigned(b []byte, n uint64) []byte {
	if n <= math.MaxInt64 {
		return e.integer(b, int64(n))
	}
	b = append(b, "<value><string>"...)
	b = strconv.AppendUint(b, n, 10)
	return append(b, "</string></value>"...)
}

// bigInteger writes a number of any size, as a string where no type holds it.
func (e *encoder) bigInteger(b []byte, n *big.Int) []byte {
	if n.IsInt64() {
		return e.integer(b, n.Int64())
	}
	b = append(b, "<value><string>"...)
	b = n.Append(b, 10)
	return append(b, "</string></value>"...)
}

func appendBoolean(b []byte, v bool) []byte {
	if v {
		return append(b, "<value><boolean>1</boolean></value>"...)
	}
	return append(b, "<value><boolean>0</boolean></value>"...)
}

// appendDouble writes the shortest digits that read back as the same number,
// without an exponent and always with a point: the specification has no exponent.
func appendDouble(b []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return b, &EncodeError{reason: "XML-RPC has no number " + strconv.FormatFloat(f, 'g', -1, 64)}
	}
	b = append(b, "<value><double>"...)
	from := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, bits)
	if !slices.Contains(b[from:], '.') {
		b = append(b, ".0"...)
	}
	return append(b, "</double></value>"...), nil
}

func appendDateTime(b []byte, d DateTime) ([]byte, error) {
	d = d.utc()
	if d.seconds < firstWritable || d.seconds >= endWritable {
		return b, &EncodeError{reason: "the year has more than four digits"}
	}
	b = append(b, "<value><dateTime.iso8601>"...)
	b = d.appendClock(b, false)
	return append(b, "</dateTime.iso8601></value>"...), nil
}

func appendBase64(b, data []byte) []byte {
	b = append(b, "<value><base64>"...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, "</base64></value>"...)
}

// enter counts one more array or struct; a cycle ends there too.
func (e *encoder) enter() error {
	if e.depth == e.options.depth {
		return &EncodeError{reason: "values nested deeper than " + itoa(e.options.depth) + ", perhaps in a circle"}
	}
	e.depth++
	return nil
}

func (e *encoder) list(b []byte, list []any) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	b = append(b, "<value><array><data>"...)
	for i, v := range list {
		if b, err = e.element(b, v); err != nil {
			return b, encodeErrorAt(err, "["+itoa(i)+"]")
		}
		if b, err = e.flush(b, streamBuffer); err != nil {
			return b, err
		}
	}
	e.depth--
	return append(b, "</data></array></value>"...), nil
}

// ints writes the commonest list of numbers without reflection, which costs
// more than the numbers themselves.
func (e *encoder) ints(b []byte, list []int) ([]byte, error) {
	err := e.enter()
	if err != nil {
		return b, err
	}
	b = append(b, "<value><array><data>"...)
	for _, n := range list {
		if b, err = e.flush(e.integer(b, int64(n)), streamBuffer); err != nil {
			return b, err
		}
	}
	e.depth--
	return append(b, "</data></array></value>"...), nil
}
