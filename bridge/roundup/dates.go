package roundup

import (
	"strings"
	"time"
)

// Roundup writes dates as "<Date 2024-03-02.09:00:05.250>", in UTC (its class
// Date keeps UTC alone). It reads them as local times of the account that calls,
// whose time zone nothing tells.

const (
	dateLayout    = "2006-01-02.15:04:05"
	displayLayout = "2006-01-02.15:4:5" // also with the fraction that old versions give
)

// zoneMargin is more than the local time of any account is away from UTC.
const zoneMargin = 15 * time.Hour

// firstDate is before any date that Roundup keeps: it refuses years before 1970.
var firstDate = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)

// parseDate reads a date as display gives it. The zero time stands for none and
// for what is no date.
func parseDate(text string) time.Time {
	text, ok := strings.CutPrefix(text, "<Date ")
	text, closed := strings.CutSuffix(text, ">")
	if !ok || !closed || len(text) > len(dateLayout)+10 {
		return time.Time{}
	}
	t, err := time.Parse(displayLayout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// fromDate is a filter for what happened at a time or later, and for some of what
// happened up to zoneMargin before: whoever asks looks at the dates once more.
// That is needed anyhow, since a filter whose date cannot be read lets all pass. It
// is "" when all is wanted.
func fromDate(since time.Time) string {
	since = since.UTC().Add(-zoneMargin)
	if since.Before(firstDate) {
		return ""
	}
	return "from " + since.Format(dateLayout)
}
