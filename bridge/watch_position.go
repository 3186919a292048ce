package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Bounds of a position, so that it stays small: it is written with every poll.
const (
	// maxSeen is how many changes are recognised by the position alone. The log
	// recognises more, but only for some days, and a tracker may be away for longer.
	maxSeen = 1000
	// maxOwed is how many bugs that could not be read are remembered.
	maxOwed = 100
	// positionVersion is that of the form in which positions are stored.
	positionVersion = 1
)

// position is how far a watch came.
type position struct {
	// Time is the tracker's clock: what it showed as modified before that is in the
	// log, or owed.
	Time time.Time
	// Asked is the gateway's clock at the same moment, by which a tracker's clock that
	// was set back is noticed.
	Asked time.Time
	// Begun is the tracker's clock when the watch began. What was modified before
	// that is nobody's news.
	Begun time.Time
	// Seen are the marks of the changes that the next poll can find again and that are
	// in the log, the oldest first.
	Seen []string
	// Owed are bugs of which it is known that they were modified, and which could not
	// be read, in the order in which they are tried again.
	Owed []owed
}

// owed is a bug that could not be read.
type owed struct {
	ID    string    `json:"id"`
	Tries int       `json:"tries"`
	Found time.Time `json:"found"` // by the tracker's clock
}

// storedPosition is a position in JSON, with times in milliseconds.
type storedPosition struct {
	Version int      `json:"v"`
	Time    int64    `json:"time"`
	Asked   int64    `json:"asked"`
	Begun   int64    `json:"begun"`
	Seen    []string `json:"seen,omitempty"`
	Owed    []owed   `json:"owed,omitempty"`
}

func (p *position) encode() ([]byte, error) {
	return json.Marshal(storedPosition{
		Version: positionVersion,
		Time:    p.Time.UnixMilli(), Asked: p.Asked.UnixMilli(), Begun: p.Begun.UnixMilli(),
		Seen: p.Seen, Owed: p.Owed,
	})
}

// parsePosition reads what encode wrote. Of nothing it makes the zero position.
func parsePosition(text []byte) (position, error) {
	if len(text) == 0 {
		return position{}, nil
	}
	var s storedPosition
	if err := json.Unmarshal(text, &s); err != nil {
		return position{}, fmt.Errorf("bridge: the position is not as it was written: %w", err)
	}
	if s.Version != positionVersion {
		return position{}, fmt.Errorf("bridge: the position has the form %d, of which this version knows nothing", s.Version)
	}
	if len(s.Seen) > maxSeen || len(s.Owed) > maxOwed {
		return position{}, errors.New("bridge: the position is larger than any that was written")
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	return position{Time: at(s.Time), Asked: at(s.Asked), Begun: at(s.Begun), Seen: s.Seen, Owed: s.Owed}, nil
}

// unset tells whether the watch never began.
func (p *position) unset() bool { return p.Time.IsZero() }

// lastSeen keeps the newest marks.
func lastSeen(marks []string) []string {
	if excess := len(marks) - maxSeen; excess > 0 {
		return marks[excess:]
	}
	return marks
}
