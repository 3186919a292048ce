package xmlrpc

import (
	"testing"
	"time"
)

func TestEveryLayoutOfDatesThatIsInUseIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"20261121T19:35:03":                "2026-11-21T19:35:03",
		"2026-11-21T19:35:03":              "2026-11-21T19:35:03",
		"20261121T193503":                  "2026-11-21T19:35:03",
		"20261121T19:35:03Z":               "2026-11-21T19:35:03Z",
		"20261121T193503Z":                 "2026-11-21T19:35:03Z",
		"2026-11-21T19:35:03.000Z":         "2026-11-21T19:35:03Z",
		"20261121T19:35:03+0000":           "2026-11-21T19:35:03+00:00",
		"20261121T19:35:03-0330":           "2026-11-21T19:35:03-03:30",
		"2026-11-21T19:35:03+02:00":        "2026-11-21T19:35:03+02:00",
		"20261121T19:35:03+02":             "2026-11-21T19:35:03+02:00",
		"20261121T19:35:03.120":            "2026-11-21T19:35:03.12",
		"20261121T19:35:03.123456789123":   "2026-11-21T19:35:03.123456789",
		"20261121T19:35:03.5-01:00":        "2026-11-21T19:35:03.5-01:00",
		"00000101T00:00:00":                "0000-01-01T00:00:00",
		"99991231T23:59:59.999999999+2359": "9999-12-31T23:59:59.999999999+23:59",
		"20240229T00:00:00":                "2024-02-29T00:00:00",
		"20000229T00:00:00":                "2000-02-29T00:00:00",
		"19690720T20:17:40":                "1969-07-20T20:17:40",
		"2026-11-21T193503":                "2026-11-21T19:35:03",
	} {
		d, err := ParseDateTime(text)
		if err != nil || d.Extended() != want {
			t.Errorf("%s: %s, %v, want %s", text, d.Extended(), err, want)
		}
	}
}

func TestWhatIsNoDateIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "2026", "20261121", "20261121T", "20261121T19", "20261121T19:35", "20261121T1935", "20261121T19:3503",
		"20261121T1935:03", "2026-1121T19:35:03", "202611-21T19:35:03", "20261121 19:35:03", "20261121t19:35:03",
		"20261121T24:00:00", "20261121T23:60:00", "20261121T23:59:60", "20261321T00:00:00", "20260021T00:00:00",
		"20261100T00:00:00", "20261131T00:00:00", "20270229T00:00:00", "19000229T00:00:00", "20261121T19:35:03.",
		"20261121T19:35:03z", "20261121T19:35:03 Z", "20261121T19:35:03+", "20261121T19:35:03+2", "20261121T19:35:03+020",
		"20261121T19:35:03+2400", "20261121T19:35:03+0260", "20261121T19:35:03+02:0", "20261121T19:35:03ZZ",
		"+0261121T19:35:03", "-2026-11-21T19:35:03", "2026112１T19:35:03",
	} {
		if d, err := ParseDateTime(text); err == nil {
			t.Errorf("%q was read as %s", text, d.Extended())
		}
	}
}

func TestTheCalendarAgreesWithTime(t *testing.T) {
	day := time.Date(0, 1, 1, 12, 30, 15, 0, time.UTC)
	for day.Year() < 10000 {
		d := DateTimeOf(day)
		if !d.Time(nil).Equal(day) || d.String() != day.Format("20060102T15:04:05") {
			t.Fatalf("%s became %s, %s", day, d, d.Time(nil))
		}
		if parsed, err := ParseDateTime(d.String()); err != nil || parsed != d.WithoutZone() {
			t.Fatalf("%s read back as %s, %v", d, parsed.Extended(), err)
		}
		// Every day of the years in use, every eleventh of the others.
		step := 11
		if year := day.Year(); year >= 1895 && year < 2105 {
			step = 1
		}
		day = day.AddDate(0, 0, step)
	}
}

func TestADateWithoutAZoneIsReadOnTheGivenClock(t *testing.T) {
	east := time.FixedZone("east", 2*3600)
	local, err := ParseDateTime("20261121T19:35:03")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := local.Time(east), time.Date(2026, 11, 21, 19, 35, 3, 0, east); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := local.Time(nil), time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	zoned, err := ParseDateTime("20261121T19:35:03.25+0200")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := zoned.Time(time.UTC), time.Date(2026, 11, 21, 17, 35, 3, 250e6, time.UTC); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if local.HasZone() || !zoned.HasZone() {
		t.Error("HasZone is wrong")
	}
	if zoned.String() != "20261121T17:35:03" || zoned.WithoutZone().String() != "20261121T19:35:03" {
		t.Errorf("written as %s and %s", zoned, zoned.WithoutZone())
	}
}

func TestDateTimesGoThroughOtherFormatsAsText(t *testing.T) {
	text, err := recordedTime("20261121T19:35:03+0200").MarshalText()
	if err != nil || string(text) != "2026-11-21T19:35:03+02:00" {
		t.Fatal(string(text), err)
	}
	var d DateTime
	if err := d.UnmarshalText(text); err != nil || d.Extended() != string(text) {
		t.Error(d.Extended(), err)
	}
	if err := d.UnmarshalText([]byte("soon")); err == nil {
		t.Error("words were read as a date")
	}
	if !(DateTime{}).IsZero() || (DateTime{}).Extended() != "0001-01-01T00:00:00" || d.IsZero() {
		t.Error("IsZero is wrong")
	}
}
