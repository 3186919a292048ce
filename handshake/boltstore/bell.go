package boltstore

import "sync"

// bell wakes everybody who waits for something.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

func (b *bell) init() { b.rung = make(chan struct{}) }

// wait returns a channel that is closed when the bell rings next.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// wake rings.
func (b *bell) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rung)
	b.rung = make(chan struct{})
}
