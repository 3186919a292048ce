package roundup_test

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// memory is a state store.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *memory) CompareAndSwap(_ context.Context, key string, prev, next []byte, _ time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.values[key], prev) {
		return false, nil
	}
	if m.values[key] = next; next == nil {
		delete(m.values, key)
	}
	return true, nil
}
