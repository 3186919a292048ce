package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"sync/atomic"
)

// Chain seals the entries of one run of a gateway. It is safe for concurrent use
// and made by [NewChain].
type Chain struct {
	id  ChainID
	key Key
	// opening is what stands before everything else in the chain, whoever writes
	// first: a store's own notes may come before those of the trail.
	opening atomic.Pointer[Entry]
	sealing sync.Pool // of *sealing
}

var _ Sealer = (*Chain)(nil)

// NewChainID returns a random name.
func NewChainID() (id ChainID) {
	// It never fails and always fills its argument.
	_, _ = rand.Read(id[:])
	return id
}

// NewChain returns the chain with a name, whose entries a key signs; the zero Key
// makes their MACs plain hashes.
func NewChain(id ChainID, key Key) *Chain { return &Chain{id: id, key: key} }

// ID returns the chain's name.
func (c *Chain) ID() ChainID { return c.id }

// Seal returns entries as one block behind a head, and the head after it. Without
// entries there is no block and the head stays.
func (c *Chain) Seal(head Head, entries []Entry) (block []byte, next Head) {
	next = Head{Chain: c.id, Seq: head.Seq, MAC: head.MAC}
	opening := c.opening.Load()
	if head.Seq != 0 {
		opening = nil
	} else {
		next.MAC = MAC{}
	}
	count := len(entries)
	size := fixedHeader
	for i := range entries {
		size += sizeHint(&entries[i])
	}
	if opening != nil {
		count++
		size += sizeHint(opening)
	}
	if count == 0 {
		return nil, next
	}
	block = c.appendHeader(make([]byte, 0, size), next, count)
	s, ok := c.sealing.Get().(*sealing)
	if !ok {
		s = &sealing{digest: newDigest(c.id, c.key)}
	}
	if opening != nil {
		block = s.append(block, &next, opening)
	}
	for i := range entries {
		block = s.append(block, &next, &entries[i])
	}
	c.sealing.Put(s)
	return block, next
}

func (c *Chain) appendHeader(block []byte, before Head, count int) []byte {
	if c.key.IsZero() {
		block = append(block, blockVersion, 0)
	} else {
		block = append(block, blockVersion, flagKeyed)
		block = append(block, c.key.id[:]...)
	}
	block = append(block, c.id[:]...)
	block = binary.AppendUvarint(block, before.Seq+1)
	block = append(block, before.MAC[:]...)
	return binary.AppendUvarint(block, uint64(count))
}

// sealing is what one call of Seal works with.
type sealing struct {
	digest *digest
	entry  []byte
}

// append adds an entry and its MAC to a block.
func (s *sealing) append(block []byte, head *Head, e *Entry) []byte {
	s.entry = appendEntry(s.entry[:0], e)
	block = binary.AppendUvarint(block, uint64(len(s.entry)))
	block = append(block, s.entry...)
	head.Seq++
	head.MAC = s.digest.of(head.MAC, head.Seq, s.entry)
	return append(block, head.MAC[:]...)
}

// digest makes the MACs of one chain. It is not safe for concurrent use.
type digest struct {
	hash hash.Hash
	// buf is the MAC before, the chain, and the number of the entry.
	buf [macSize + chainIDSize + 8]byte
	sum [macSize]byte
}

func newDigest(id ChainID, key Key) *digest {
	d := &digest{}
	if key.IsZero() {
		d.hash = sha256.New()
	} else {
		d.hash = hmac.New(sha256.New, key.secret[:])
	}
	copy(d.buf[macSize:], id[:])
	return d
}

func (d *digest) of(before MAC, seq uint64, entry []byte) MAC {
	copy(d.buf[:], before[:])
	binary.BigEndian.PutUint64(d.buf[macSize+chainIDSize:], seq)
	d.hash.Reset()
	// A hash never fails to write.
	_, _ = d.hash.Write(d.buf[:])
	_, _ = d.hash.Write(entry)
	return MAC(d.hash.Sum(d.sum[:0]))
}
