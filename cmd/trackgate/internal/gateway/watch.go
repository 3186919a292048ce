package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake/feed"
)

// newWatcher makes what polls the trackers that cannot push; nil without any.
func newWatcher(cfg *config.Config, b *bridge.Bridge, events feed.Store, m *metrics) (*bridge.Watcher, error) {
	var watches []bridge.WatchConfig
	for _, t := range cfg.Trackers {
		for _, w := range t.Watch {
			watches = append(watches, bridge.WatchConfig{
				Tracker: t.Name, Name: w.Name, Interval: time.Duration(w.Interval), Overlap: time.Duration(w.Overlap), Bugs: w.Bugs,
			})
		}
	}
	if len(watches) == 0 {
		return nil, nil //nolint:nilnil // no watcher is no error
	}
	log := &changeLog{events: events, gateway: cfg.GatewayID(), held: map[string]feed.Lease{}}
	return b.NewWatcher(watches, log, bridge.WithWatchObserver(m))
}

// changeLog puts what watches find into the feed of events.
type changeLog struct {
	events  feed.Store
	gateway string
	mu      sync.Mutex
	held    map[string]feed.Lease // the last of each name that this gateway took
}

var _ bridge.ChangeLog = (*changeLog)(nil)

// Lease takes a lease under a holder's name of its own: what is still under way for
// an earlier one of this gateway must not pass for this one's.
func (l *changeLog) Lease(ctx context.Context, name string, ttl time.Duration) (bridge.WatchLease, error) {
	l.mu.Lock()
	before, had := l.held[name]
	l.mu.Unlock()
	if had {
		if err := l.events.Release(ctx, before); err != nil {
			return nil, leaseError(err)
		}
	}
	lease, err := l.events.Lease(ctx, name, l.gateway+"/"+rand.Text(), ttl)
	if err != nil {
		return nil, leaseError(err)
	}
	l.mu.Lock()
	l.held[name] = lease
	l.mu.Unlock()
	return &watchLease{log: l, lease: lease, ttl: ttl}, nil
}

// watchLease is a lease on a watch.
type watchLease struct {
	log   *changeLog
	lease feed.Lease
	ttl   time.Duration
}

var _ bridge.WatchLease = (*watchLease)(nil)

// Position returns what the last holder left.
func (w *watchLease) Position() []byte { return w.lease.Position }

// Advance stores changes and position.
func (w *watchLease) Advance(ctx context.Context, position []byte, changes ...bridge.Change) error {
	events := make([]feed.New, len(changes))
	for i, c := range changes {
		data, err := json.Marshal(c.Data)
		if err != nil {
			return fmt.Errorf("what tracker %s tells of bug %s cannot be written as JSON: %w", c.Tracker, c.Bug, err)
		}
		events[i] = feed.New{Key: c.Key, Event: feed.Event{
			Time: c.Time, Source: "watch:" + c.Tracker, Kind: c.Kind, Tracker: c.Tracker, Bug: c.Bug, Data: data,
		}}
	}
	return leaseError(w.log.events.Advance(ctx, w.lease, position, events...))
}

// Renew prolongs the lease.
func (w *watchLease) Renew(ctx context.Context) error {
	renewed, err := w.log.events.Lease(ctx, w.lease.Name, w.lease.Holder, w.ttl)
	switch {
	case errors.Is(err, feed.ErrLeased), err == nil && renewed.Fence != w.lease.Fence:
		return bridge.ErrLeaseLost
	default:
		return err
	}
}

// Release ends the lease.
func (w *watchLease) Release(ctx context.Context) error {
	w.log.mu.Lock()
	if w.log.held[w.lease.Name].Holder == w.lease.Holder {
		delete(w.log.held, w.lease.Name)
	}
	w.log.mu.Unlock()
	return w.log.events.Release(ctx, w.lease)
}

// leaseError says in the bridge's words what the feed's error means.
func leaseError(err error) error {
	switch {
	case errors.Is(err, feed.ErrLeased):
		return bridge.ErrLeased
	case errors.Is(err, feed.ErrLeaseLost):
		return bridge.ErrLeaseLost
	default:
		return err
	}
}
