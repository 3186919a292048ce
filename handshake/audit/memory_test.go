package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// memory is a store in memory. Its blocks and heads can be tampered with.
type memory struct {
	mu     sync.Mutex
	sealer Sealer
	blocks []Block
	heads  map[ChainID]Head
	next   int
	broken error // what every call fails with
	grown  chan struct{}
	calls  int           // of Append
	hold   chan struct{} // Append waits for it
}

var _ Store = (*memory)(nil)

func newMemory() *memory {
	return &memory{heads: map[ChainID]Head{}, grown: make(chan struct{})}
}

func (m *memory) Begin(_ context.Context, s Sealer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealer = s
	return nil
}

func (m *memory) Append(ctx context.Context, entries ...Entry) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	return m.append(ctx, m.sealer, entries)
}

// seal appends entries of a chain that need not be the store's.
func (m *memory) seal(ctx context.Context, s Sealer, entries ...Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.append(ctx, s, entries)
}

func (m *memory) append(ctx context.Context, s Sealer, entries []Entry) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.broken != nil:
		return m.broken
	case s == nil:
		return ErrNoChain
	}
	data, head := s.Seal(m.heads[s.ID()], entries)
	m.heads[s.ID()] = head
	m.next++
	m.blocks = append(m.blocks, Block{After: strconv.Itoa(m.next), Data: data})
	close(m.grown)
	m.grown = make(chan struct{})
	return nil
}

func (m *memory) Read(_ context.Context, after string, limit int) ([]Block, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	n := 0
	if after != "" {
		var err error
		if n, err = strconv.Atoi(after); err != nil {
			return nil, ErrPosition
		}
	}
	var found []Block
	for _, b := range m.blocks {
		if at, _ := strconv.Atoi(b.After); at > n && len(found) < limit {
			found = append(found, b)
		}
	}
	return found, nil
}

func (m *memory) Heads(context.Context) ([]Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	var heads []Head
	for _, h := range m.heads {
		heads = append(heads, h)
	}
	return heads, nil
}

func (m *memory) Drop(ctx context.Context, upTo string, entries ...Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drop(ctx, m.sealer, upTo, entries)
}

func (m *memory) drop(ctx context.Context, s Sealer, upTo string, entries []Entry) error {
	if err := cmp.Or(ctx.Err(), m.broken); err != nil {
		return err
	}
	n, err := strconv.Atoi(upTo)
	if err != nil {
		return ErrPosition
	}
	for len(m.blocks) > 0 {
		b := m.blocks[0]
		if at, _ := strconv.Atoi(b.After); at > n {
			break
		}
		if h, err := ReadHeader(b.Data); err == nil && m.heads[h.Chain].Seq == h.Last() && h.Chain != s.ID() {
			delete(m.heads, h.Chain)
		}
		m.blocks = m.blocks[1:]
	}
	return m.append(ctx, s, entries)
}

func (m *memory) Size(context.Context) (bytes int64, oldest time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return 0, time.Time{}, m.broken
	}
	for _, b := range m.blocks {
		bytes += int64(len(b.Data))
	}
	if len(m.blocks) > 0 {
		h, err := ReadHeader(m.blocks[0].Data)
		if err == nil {
			oldest = h.Time
		}
	}
	return bytes, oldest, nil
}

func (m *memory) Wait(ctx context.Context, after string) error {
	for {
		m.mu.Lock()
		n, _ := strconv.Atoi(after)
		grown, there := m.grown, m.next > n
		m.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// called is how often Append was.
func (m *memory) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// headOf is the head of a chain.
func (m *memory) headOf(id ChainID) Head {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heads[id]
}

// holdUp lets Append wait for a channel.
func (m *memory) holdUp(hold chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = hold
}

// tamper changes the blocks.
func (m *memory) tamper(change func([]Block) []Block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blocks = change(m.blocks)
}

// fail lets every call fail, or none with nil.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

var errAway = errors.New("the store is away")

// shared is the database of another store, with a sealer of its own.
type shared struct {
	*memory
	own Sealer
}

func (s *shared) Begin(_ context.Context, own Sealer) error { s.own = own; return nil }

func (s *shared) Append(ctx context.Context, entries ...Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.append(ctx, s.own, entries)
}

func (s *shared) Drop(ctx context.Context, upTo string, entries ...Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop(ctx, s.own, upTo, entries)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// written returns all entries of a store.
func written(t testing.TB, store Store) []Listed {
	t.Helper()
	page, err := Last(t.Context(), store, Filter{}, MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries
}

// names returns what happened, as subsystem.event.
func names(entries []Listed) []string {
	var all []string
	for _, e := range entries {
		all = append(all, string(e.Subsystem)+"."+e.Subsystem.Event(e.Code))
	}
	return all
}

func count(entries []Listed, name string) int {
	n := 0
	for _, have := range names(entries) {
		if have == name {
			n++
		}
	}
	return n
}

func testKeys(t testing.TB) Keys {
	t.Helper()
	keys, err := ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// cloned returns a store with the same blocks and heads.
func (m *memory) cloned() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	c.next = m.next
	for id, h := range m.heads {
		c.heads[id] = h
	}
	for _, b := range m.blocks {
		c.blocks = append(c.blocks, Block{After: b.After, Data: slices.Clone(b.Data)})
	}
	return c
}
