package audit

import (
	"context"
	"time"
)

// Head is the end of a chain.
type Head struct {
	Chain ChainID
	// Seq is the number of the last entry; the first is 1, and 0 is an empty chain.
	Seq uint64
	// MAC is the last entry's.
	MAC MAC
}

// Sealer makes blocks of one chain. [Chain] is the implementation; a store only
// calls it, with the head that it has in the same transaction.
type Sealer interface {
	// ID is the chain's.
	ID() ChainID
	// Seal returns entries as one block behind a head, and the head after it. It does
	// no I/O, takes microseconds, and may be called again for the same head.
	Seal(head Head, entries []Entry) (block []byte, next Head)
}

// Block is a sealed run of entries as a store keeps it.
type Block struct {
	// After is the position behind the block, opaque, set by the store.
	After string
	// Data is what Seal returned.
	Data []byte
}

// Store is what a trail needs of a database. Its implementations are safe for
// concurrent use; what handshake.Store says of durability, blocking and errors
// holds of them.
type Store interface {
	// Begin sets the sealer with which this store's gateway seals from now on. It is
	// called once, before the first Append; a second call is [ErrBegun].
	Begin(ctx context.Context, s Sealer) error

	// Append seals entries behind the head of the chain and adds them, in their order
	// and in one atomic step with the new head; concurrent calls may share a block. It
	// returns when they are as durable as a token would be. After an error that wraps
	// handshake.ErrOutcomeUnknown the entries may be there or not, and the chain is
	// whole either way. Before Begin it fails with [ErrNoChain].
	Append(ctx context.Context, entries ...Entry) error

	// Read returns the blocks after a position in the order in which they were added,
	// limit at most; "" is the oldest there is. A text that is no position is
	// [ErrPosition].
	Read(ctx context.Context, after string, limit int) ([]Block, error)

	// Heads returns the head of every chain that the store knows, kept beside the
	// blocks, so that a chain that was cut off shows.
	Heads(ctx context.Context) ([]Head, error)

	// Drop removes the oldest blocks, up to and with the one at a position, and the
	// heads of chains of which nothing is left, but never that of the store's own
	// chain. In the same atomic step it appends the entries that say so, also when the
	// blocks were gone already. [ReadHeader] tells whose a block is.
	Drop(ctx context.Context, upTo string, entries ...Entry) error

	// Size tells how many bytes the blocks take, about, and how old the oldest is.
	Size(ctx context.Context) (bytes int64, oldest time.Time, err error)

	// Wait returns when there may be blocks after a position, or with the context's
	// error.
	Wait(ctx context.Context, after string) error
}
