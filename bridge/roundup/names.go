package roundup

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// nameTime is how long the names of statuses, priorities and users are kept.
const nameTime = 5 * time.Minute

// maxNames bounds the names that are kept. More make room by forgetting all.
const maxNames = 10_000

// names keeps the names of items by their designators.
type names struct {
	turn *bridge.Kept[struct{}] // one caller asks at a time

	mu    sync.Mutex
	known map[string]named
}

type named struct {
	name  string
	asked time.Time
}

func newNames(remote *bridge.Remote) *names {
	return &names{turn: bridge.NewKept[struct{}](remote, 0), known: map[string]named{}}
}

// look returns the names that are new enough, and the designators without one.
func (n *names) look(now time.Time, designators []string) (found map[string]string, missing []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found = make(map[string]string, len(designators))
	for _, d := range designators {
		if k, ok := n.known[d]; ok && now.Sub(k.asked) < nameTime && !now.Before(k.asked) {
			found[d] = k.name
		} else {
			missing = append(missing, d)
		}
	}
	return found, missing
}

func (n *names) keep(now time.Time, found map[string]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known)+len(found) > maxNames {
		clear(n.known)
	}
	for d, name := range found {
		if len(n.known) == maxNames {
			return
		}
		n.known[d] = named{name: name, asked: now}
	}
}

// wanted are designators whose names are needed, with the property that has it.
type wanted map[string]string

// want adds an item.
func (w wanted) want(s schema, class, id string) {
	if label := s.label(class); id != "" && label != "" {
		w[class+id] = label
	}
}

// learn finds the names, in as few calls as possible. An item that cannot be read
// has its id for a name: other users may be hidden from the gateway's account.
func (d *dialect) learn(ctx context.Context, w wanted) (func(class, id string) string, error) {
	found, missing := d.names.look(d.remote.Now(), slices.Sorted(maps.Keys(w)))
	if len(missing) > 0 {
		_, err := d.names.turn.Get(ctx, func() (struct{}, error) {
			learned, missing := d.names.look(d.remote.Now(), missing) // others may have asked meanwhile
			err := bridge.Batched(ctx, d.remote, missing,
				func(ctx context.Context, batch []string) (map[string]string, error) { return d.askNames(ctx, w, batch) },
				func(batch map[string]string) error {
					maps.Copy(learned, batch)
					return nil
				})
			if err == nil {
				d.names.keep(d.remote.Now(), learned)
				maps.Copy(found, learned)
			}
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
	}
	return func(class, id string) string {
		if name := found[class+id]; name != "" {
			return name
		}
		return id
	}, nil
}

func (d *dialect) askNames(ctx context.Context, w wanted, designators []string) (map[string]string, error) {
	calls := make([]bridge.InnerCall, len(designators))
	for i, designator := range designators {
		calls[i] = display(designator, w[designator])
	}
	replies, err := d.together(ctx, calls)
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(replies))
	for i, r := range replies {
		item, _ := r.value.(map[string]any) // none when it was refused
		found[designators[i]] = textOf(item[w[designators[i]]])
	}
	return found, nil
}
