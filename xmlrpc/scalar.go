package xmlrpc

import (
	"bytes"
	"math"
	"strconv"
)

// plain adds the string that was collected from start on.
func (p *parser) plain(at, start int) bool {
	if len(p.arena)-start > p.limits.StringLength {
		return p.beyond(at, "a string is longer than the limit of "+itoa(p.limits.StringLength)+" bytes")
	}
	p.add(kindString, 0, start, len(p.arena))
	return true
}

func (p *parser) add(k kind, bits uint64, start, end int) {
	p.nodes = append(p.nodes, node{
		kind: k, bits: bits, off: uint32(start), n: uint32(end - start), next: uint32(len(p.nodes) + 1),
	})
}

// scalarType is what may stand inside a value and holds no other element.
type scalarType uint8

const (
	scalarString scalarType = iota
	scalarInt
	scalarI8
	scalarBoolean
	scalarDouble
	scalarDateTime
	scalarBase64
	scalarNil
	scalarExNil
	scalarExI1
	scalarExI2
	scalarExI8
	scalarExBigInteger
	scalarExBigDecimal
)

var scalarTypes = map[string]scalarType{
	"string": scalarString, "int": scalarInt, "i4": scalarInt, "i8": scalarI8, "boolean": scalarBoolean,
	"double": scalarDouble, "dateTime.iso8601": scalarDateTime, "base64": scalarBase64, "nil": scalarNil,
}

// extensionTypes are those of the Apache extensions without their prefix.
// Serialised objects and embedded XML are not among them: they are never read.
var extensionTypes = map[string]scalarType{
	"nil": scalarExNil, "i1": scalarExI1, "i2": scalarExI2, "i8": scalarExI8, "float": scalarDouble,
	"dateTime": scalarDateTime, "biginteger": scalarExBigInteger, "bigdecimal": scalarExBigDecimal,
}

// extensionType reads the name of an extension type. The prefix is not looked
// up: phpxmlrpc sends ex: without declaring it.
func extensionType(name []byte) (scalarType, bool) {
	prefix, local, found := bytes.Cut(name, []byte(":"))
	is, known := extensionTypes[string(local)]
	return is, found && known && len(prefix) > 0
}

// scalar adds a value from the text that was collected from start on. White
// space around a number, a boolean or a date is ignored; recorded clients
// indent there.
func (p *parser) scalar(at int, is scalarType, start int) bool {
	if is == scalarString {
		return p.plain(at, start)
	}
	if len(p.arena)-start > p.limits.StringLength {
		return p.beyond(at, "a value is longer than the limit of "+itoa(p.limits.StringLength)+" bytes")
	}
	end := len(p.arena)
	for start < end && classes[p.arena[start]]&classSpace != 0 {
		start++
	}
	for end > start && classes[p.arena[end-1]]&classSpace != 0 {
		end--
	}
	switch is {
	case scalarInt:
		return p.integer(at, start, end, 64, kindInt)
	case scalarI8:
		p.features.I8 = true
		return p.integer(at, start, end, 64, kindI8)
	case scalarBoolean:
		return p.boolean(at, start, end)
	case scalarDouble:
		return p.double(at, start, end)
	case scalarDateTime:
		return p.dateTime(at, start, end)
	case scalarBase64:
		return p.base64(at, start, end)
	case scalarNil:
		p.features.Nil = true
		return p.null(at, start, end)
	case scalarExNil:
		return p.null(at, start, end)
	case scalarExI1:
		return p.integer(at, start, end, 8, kindInt)
	case scalarExI2:
		return p.integer(at, start, end, 16, kindInt)
	case scalarExI8:
		return p.integer(at, start, end, 64, kindI8)
	case scalarExBigInteger:
		return p.big(at, start, end, kindBigInteger)
	}
	return p.big(at, start, end, kindBigDecimal)
}

func (p *parser) boolean(at, start, end int) bool {
	switch string(p.arena[start:end]) {
	case "0", "false":
		p.add(kindBoolean, 0, start, end)
	case "1", "true":
		p.add(kindBoolean, 1, start, end)
	default:
		return p.invalid(at, "a boolean that is neither 0 nor 1")
	}
	return true
}

func (p *parser) null(at, start, end int) bool {
	if start != end {
		return p.invalid(at, "text in nil")
	}
	p.add(kindNil, 0, start, end)
	return true
}

func (p *parser) integer(at, start, end, bits int, k kind) bool {
	v, ok := parseInteger(p.arena[start:end])
	if !ok || bits < 64 && (v < -1<<(bits-1) || v > 1<<(bits-1)-1) {
		return p.invalid(at, "an integer that is none of "+itoa(bits)+" bits")
	}
	if v != int64(int32(v)) {
		k = kindI8
	}
	p.add(k, uint64(v), start, end)
	return true
}

// parseInteger reads an optional sign and decimal digits within 64 bits.
func parseInteger[T string | []byte](s T) (int64, bool) {
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	v := uint64(0)
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 || v > limit/10 {
			return 0, false
		}
		if v = v*10 + uint64(c); v > limit {
			return 0, false
		}
	}
	if negative {
		v = -v
	}
	return int64(v), true
}

func (p *parser) double(at, start, end int) bool {
	v, ok := parseDouble(p.arena[start:end])
	if !ok {
		return p.invalid(at, "a double that is no decimal number in range")
	}
	p.add(kindDouble, math.Float64bits(v), start, end)
	return true
}

// parseDouble reads a decimal number with or without an exponent, with digits on
// at least one side of the point. Names of infinities and NaN are none.
func parseDouble[T string | []byte](s T) (float64, bool) {
	if !decimal(s, true) {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(s), 64)
	return v, err == nil
}

// decimal tells whether s is a sign, digits with a point somewhere, and an
// exponent; sign, point and exponent are optional.
func decimal[T string | []byte](s T, exponent bool) bool {
	i, mantissa := 0, 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for point := false; i < len(s); i++ {
		if s[i] == '.' && !point {
			point = true
			continue
		}
		if s[i]-'0' > 9 {
			break
		}
		mantissa++
	}
	if i == len(s) || mantissa == 0 {
		return mantissa > 0
	}
	if !exponent || s[i]|0x20 != 'e' {
		return false
	}
	if i++; i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	first := i
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i == len(s) && i > first
}

func (p *parser) dateTime(at, start, end int) bool {
	if _, err := parseDateTime(p.arena[start:end]); err != nil {
		return p.invalid(at, err.Error())
	}
	p.add(kindDateTime, 0, start, end)
	return true
}

func (p *parser) big(at, start, end int, k kind) bool {
	text := p.arena[start:end]
	if len(text) > MaxBigDigits {
		return p.beyond(at, "a number has more digits than the limit of "+itoa(MaxBigDigits))
	}
	if !decimal(text, k == kindBigDecimal) || k == kindBigInteger && bytes.IndexByte(text, '.') >= 0 {
		return p.invalid(at, "a number that is none")
	}
	p.add(k, 0, start, end)
	return true
}

var base64Digits = func() (t [256]uint8) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = uint8(i)
	}
	return t
}()

// base64 decodes in place. White space may stand anywhere, padding is required,
// and nothing may follow it.
func (p *parser) base64(at, start, end int) bool {
	text := p.arena[start:end]
	out, group, have, padding := 0, uint32(0), 0, 0
	for _, c := range text {
		if classes[c]&classSpace != 0 {
			continue
		}
		if c == '=' {
			padding++
			have++
			group <<= 6
		} else {
			d := base64Digits[c]
			if d == 0xFF || padding > 0 {
				return p.invalid(at, "base64 that is none")
			}
			group = group<<6 | uint32(d)
			have++
		}
		if have == 4 {
			if padding > 2 {
				return p.invalid(at, "base64 that is none")
			}
			text[out], text[out+1], text[out+2] = byte(group>>16), byte(group>>8), byte(group)
			out += 3 - padding
			have, group = 0, 0
			if padding == 0 {
				continue
			}
			// More padding would begin another group.
			padding = 3
		}
	}
	if have != 0 {
		return p.invalid(at, "base64 without its padding")
	}
	p.arena = p.arena[:start+out]
	p.add(kindBase64, 0, start, start+out)
	return true
}
