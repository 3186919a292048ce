package bridge

import "context"

// Poller makes single polls of a watch for tests of other packages.
type Poller struct{ tenure *tenure }

// NewPoller takes the lease of a watch.
func NewPoller(ctx context.Context, b *Bridge, c WatchConfig, log ChangeLog) (*Poller, error) {
	w, err := b.NewWatcher([]WatchConfig{c}, log)
	if err != nil {
		return nil, err
	}
	one := newWatch(w, w.watches[0])
	lease, err := log.Lease(ctx, one.leaseName(), one.ttl)
	if err != nil {
		return nil, err
	}
	at, err := parsePosition(lease.Position())
	return &Poller{&tenure{watch: one, lease: lease, at: at}}, err
}

// Poll polls once.
func (p *Poller) Poll(ctx context.Context) error { return p.tenure.poll(ctx) }

// End gives the lease back.
func (p *Poller) End(ctx context.Context) { p.tenure.end(ctx) }

// WatchLog is the ChangeLog of the tests.
type WatchLog struct{ *changeLog }

// NewWatchLog makes an empty one.
func NewWatchLog() WatchLog { return WatchLog{newChangeLog()} }

// Told returns what the log holds.
func (l WatchLog) Told() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Change(nil), l.changes...)
}
