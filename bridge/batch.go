package bridge

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Batched asks about items in batches of the tracker's size, as many at once as
// the tracker has connections, and hands each answer to collect, which is never
// called twice at a time. The first failure ends all. Without items there is no
// question.
func Batched[T any](ctx context.Context, r *Remote, items []string, ask func(context.Context, []string) (T, error), collect func(T) error) error {
	whole := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.Connections())
	var mu sync.Mutex
	for batch := range slices.Chunk(items, r.BatchSize()) {
		if ctx.Err() != nil {
			break // one has failed, or the caller's time is up
		}
		group.Go(func() (err error) {
			defer caught(r.options.logger, r.config.Name, &err)
			answer, err := ask(ctx, batch)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return collect(answer)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return whole.Err()
}

// asked is what a caller asked for: ids as written, which may name the same
// thing in several ways and more than once, and the keys behind them.
type asked struct {
	written []string // each text once, in the order of the caller
	keys    []string // each key once, in the same order
	key     map[string]string
}

func ask(ids []string, key func(string) string) asked {
	a := asked{key: make(map[string]string, len(ids))}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if _, twice := a.key[id]; twice {
			continue
		}
		k := key(id)
		a.key[id] = k
		a.written = append(a.written, id)
		if !seen[k] {
			seen[k] = true
			a.keys = append(a.keys, k)
		}
	}
	return a
}

// writtenAs returns the ids, as the caller wrote them, whose key is in the set
// or, when in is false, is not. It is never nil.
func (a asked) writtenAs(keys map[string]bool, in bool) []string {
	ids := []string{}
	for _, id := range a.written {
		if keys[a.key[id]] == in {
			ids = append(ids, id)
		}
	}
	return ids
}
