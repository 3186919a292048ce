package feed

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is a place in a feed, as stores keep it: behind the event that has the
// number, which was stored at a time. Numbers count the events of a feed from 1 on
// without a gap, so that they tell what is missing; the time puts events that
// follow a loss of the database's last events, or of all, behind those that readers
// have seen before it. The zero value is the beginning.
type Position struct {
	// Millis is the database's time in Unix milliseconds. It never goes back from
	// one event to the next.
	Millis uint64
	// Number is 1 for the first event of a feed.
	Number uint64
}

// maxPart bounds both parts of a position: what a double holds exactly, as Redis'
// scripts need it.
const maxPart = 1<<53 - 1

// ParsePosition reads what String writes, and nothing else; an error wraps
// [ErrPosition].
func ParsePosition(text string) (Position, error) {
	if text == "" {
		return Position{}, nil
	}
	before, after, found := strings.Cut(text, "-")
	millis, err := strconv.ParseUint(before, 10, 64)
	number, numberErr := strconv.ParseUint(after, 10, 64)
	p := Position{Millis: millis, Number: number}
	if !found || err != nil || numberErr != nil || millis > maxPart || number > maxPart || p.String() != text {
		return Position{}, fmt.Errorf("%w: %.40q; use what an earlier answer gave as after, or \"\" to begin", ErrPosition, text)
	}
	return p, nil
}

// String is the text that readers are given, "" for the beginning.
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	text := make([]byte, 0, 2*len("9007199254740991")+1)
	text = strconv.AppendUint(text, p.Millis, 10)
	text = append(text, '-')
	return string(strconv.AppendUint(text, p.Number, 10))
}

// Compare is negative when p comes before q, positive when after.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Millis, q.Millis), cmp.Compare(p.Number, q.Number))
}

// Behind is where a reader goes on for whom there is nothing after p in a feed that
// ends at last, and whether events after p are missing. That is p itself, unless p is
// beyond the end: the database has lost what the reader has seen, and if its clock is
// behind now he would not see what comes next.
func (p Position) Behind(last Position) (next Position, missing bool) {
	if p.Compare(last) > 0 {
		return last, true
	}
	return p, last.Number > p.Number
}

// Gap is whether events between p and the next one that is there are missing: they
// have been dropped, or the database has lost events that p came after.
func (p Position) Gap(next Position) bool { return next.Number != p.Number+1 }
