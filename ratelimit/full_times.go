package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

// entry is a caller's bucket and the earliest time at which it can be full.
type entry struct {
	full   time.Time
	caller Caller
	bucket *rate.Limiter
}

// fullTimes is a heap of entries with the earliest time first.
type fullTimes []entry

func (h *fullTimes) push(e entry) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s[i].full.Before(s[parent].full) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

// pop removes the first entry.
func (h *fullTimes) pop() {
	s := *h
	last := len(s) - 1
	s[0], s[last] = s[last], entry{}
	*h = s[:last]
	h.sink()
}

// postpone gives the first entry a later time.
func (h *fullTimes) postpone(full time.Time) {
	(*h)[0].full = full
	h.sink()
}

func (h *fullTimes) sink() {
	s := *h
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(s); child++ {
			if s[child].full.Before(s[least].full) {
				least = child
			}
		}
		if least == i {
			return
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
