package audit

import "context"

// NewMemory returns a store in memory, for the examples.
func NewMemory() Store { return newMemory() }

// Rotate makes room as the trail does every minute.
func (t *Trail) Rotate(ctx context.Context) error { return t.rotate(ctx) }
