package ratelimit

// CallersHeld is how many callers of p have a bucket of their own in l.
func CallersHeld(l *Local, p Policy) int {
	n := 0
	t := l.table(p)
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].buckets)
		t.shards[i].mu.Unlock()
	}
	return n
}

// PerSecond is how many events r gives back in a second.
func PerSecond(r Rate) float64 { return 1 / r.interval() }
