package boltstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// The trail's blocks stand in the order of their commits, under a number of eight
// bytes that grows. A block is cut into parts, which are numbered behind it in four
// bytes: bbolt fills pages with them and writes each once, whereas of values larger
// than a page it keeps four together and would write all of them with every commit.
// The first part begins with
//
//	time of the commit 6 | bytes of all blocks up to and with this one 8
//
// A chain's head is kept under the chain's name:
//
//	sequence 8 | MAC 32 | number of the chain's last block 8
//
// Heads stand in the same transaction as the blocks, and small as they are within
// the page of the file's root, which every commit writes anyway.
var (
	blocksBucket = []byte("trail")
	headsBucket  = []byte("trail-heads")
	trailBuckets = [][]byte{blocksBucket, headsBucket}
	// expiredKey is where the heads' bucket keeps how far expiry was told. No
	// chain's name is as short.
	expiredKey = []byte("expired")
)

const (
	// minEarly is how many entries are worth a goroutine.
	minEarly   = 16
	numberSize = 8
	blockKey   = numberSize + 4
	// partSize lets three parts fill a page of 4096 bytes.
	partSize    = 1200
	blockHeader = timeSize + numberSize
	chainSize   = len(audit.ChainID{})
	macSize     = len(audit.MAC{})
	headSize    = numberSize + macSize + numberSize
)

// trail is the audit trail in the same file.
type trail struct{ s *Store }

var _ audit.Store = trail{}

// Trail returns the audit trail, in the same file.
func (s *Store) Trail() audit.Store { return trail{s} }

// Begin sets the sealer of what is written from now on.
func (t trail) Begin(ctx context.Context, sealer audit.Sealer) error {
	return t.s.do(ctx, &op{kind: opUpdate, update: func(*bbolt.Tx) (bool, error) {
		if t.s.sealer != nil {
			return false, fmt.Errorf("boltstore: %w", audit.ErrBegun)
		}
		t.s.sealer = sealer
		return false, nil
	}})
}

// Append adds entries to the block of the next commit.
func (t trail) Append(ctx context.Context, entries ...audit.Entry) error {
	if len(entries) == 0 {
		return ctx.Err()
	}
	return t.s.do(ctx, &op{kind: opNote, notes: slices.Clone(entries)})
}

// Read returns blocks as of the last commit.
func (t trail) Read(ctx context.Context, after string, limit int) ([]audit.Block, error) {
	from, err := parsePosition(after)
	if err != nil || from == math.MaxUint64 || limit <= 0 {
		return nil, err
	}
	var blocks []audit.Block
	err = t.s.view(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(blocksBucket).Cursor()
		for key, value := cursor.Seek(numberKey(from + 1)); key != nil; key, value = cursor.Next() {
			if err := checkPart(key, value); err != nil {
				return err
			}
			switch {
			case isFirst(key) && len(blocks) == limit:
				return nil
			case isFirst(key):
				blocks = append(blocks, audit.Block{After: hex.EncodeToString(key[:numberSize]), Data: slices.Clone(value[blockHeader:])})
			case len(blocks) > 0:
				last := &blocks[len(blocks)-1]
				last.Data = append(last.Data, value...)
			}
		}
		return nil
	})
	return blocks, err
}

// Heads returns the heads in the order of the chains' names.
func (t trail) Heads(ctx context.Context) ([]audit.Head, error) {
	var heads []audit.Head
	err := t.s.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(headsBucket).ForEach(func(key, value []byte) error {
			if len(key) != chainSize {
				return nil
			}
			head, _, err := decodeHead(key, value)
			heads = append(heads, head)
			return err
		})
	})
	return heads, err
}

// Drop removes blocks in one commit, with the entries that say so.
func (t trail) Drop(ctx context.Context, upTo string, entries ...audit.Entry) error {
	last, err := parsePosition(upTo)
	if err != nil {
		return err
	}
	return t.s.do(ctx, &op{kind: opUpdate, notes: slices.Clone(entries), update: func(tx *bbolt.Tx) (bool, error) {
		return dropBlocks(tx, last, t.s.sealer)
	}})
}

// Size tells what the blocks take, and when the oldest was committed.
func (t trail) Size(ctx context.Context) (bytes int64, oldest time.Time, err error) {
	err = t.s.view(ctx, func(tx *bbolt.Tx) error {
		blocks := tx.Bucket(blocksBucket)
		first, last, err := ends(blocks)
		if err != nil || last.number == 0 {
			return err
		}
		oldest = time.UnixMilli(first.millis)
		bytes = last.total - first.total
		// The first block counts as well, up to where its parts end.
		cursor := blocks.Cursor()
		for key, value := cursor.Seek(numberKey(first.number)); key != nil && !past(key, first.number); key, value = cursor.Next() {
			bytes += int64(len(value))
		}
		bytes -= blockHeader
		return nil
	})
	return bytes, oldest, err
}

// Wait returns when a commit has added a block after a position.
func (t trail) Wait(ctx context.Context, after string) error {
	from, err := parsePosition(after)
	if err != nil {
		return err
	}
	for {
		added := t.s.blocks.wait()
		there := false
		err := t.s.view(ctx, func(tx *bbolt.Tx) error {
			_, last, err := ends(tx.Bucket(blocksBucket))
			there = last.number > from
			return err
		})
		if err != nil || there {
			return err
		}
		select {
		case <-added:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.s.stopped:
			return handshake.ErrClosed
		}
	}
}

// sealedBlock is the block of one commit.
type sealedBlock struct {
	data []byte
	next audit.Head
}

// sealNow makes one block of all entries of a commit, behind the head of the chain
// as the same transaction has it.
func (s *Store) sealNow(heads *bbolt.Bucket, entries []audit.Entry) (block sealedBlock, err error) {
	head, err := s.head(heads)
	if err != nil {
		return sealedBlock{}, err
	}
	block.data, block.next = s.sealer.Seal(head, entries)
	return block, nil
}

func (s *Store) head(heads *bbolt.Bucket) (audit.Head, error) {
	id := s.sealer.ID()
	value := heads.Get(id[:])
	if value == nil {
		return audit.Head{Chain: id}, nil
	}
	head, _, err := decodeHead(id[:], value)
	return head, err
}

// earlySealing is a block that is made while the changes are. A nil one is none.
type earlySealing chan sealedBlock

func (e earlySealing) wait() sealedBlock {
	if e == nil {
		return sealedBlock{}
	}
	return <-e
}

// sealEarly begins to make the block that a commit has when all its ops succeed: as
// they nearly always do, since claims are judged before they come here, and what is
// minted is new.
func (s *Store) sealEarly(heads *bbolt.Bucket, ops []*op) earlySealing {
	if s.sealer == nil {
		return nil
	}
	n := 0
	for _, o := range ops {
		n += o.notesForeseen()
	}
	if n < minEarly {
		return nil
	}
	head, err := s.head(heads)
	if err != nil {
		return nil // which shows when the block is sealed
	}
	entries := make([]audit.Entry, 0, n)
	for _, o := range ops {
		entries = o.wouldLeave(entries)
	}
	early, sealer := make(earlySealing, 1), s.sealer
	go func() {
		var block sealedBlock
		block.data, block.next = sealer.Seal(head, entries)
		early <- block
	}()
	return early
}

// putBlock puts a block at the end, and the head behind it.
func (s *Store) putBlock(tx *bbolt.Tx, block sealedBlock) error {
	heads, blocks := tx.Bucket(headsBucket), tx.Bucket(blocksBucket)
	id, data := block.next.Chain, block.data
	_, last, err := ends(blocks)
	if err != nil {
		return err
	}
	// The bucket's own sequence goes on when all blocks are dropped.
	number, err := blocks.NextSequence()
	if err != nil {
		return err
	}
	first := make([]byte, blockHeader, partSize)
	putMillis(first, s.now().UnixMilli())
	binary.BigEndian.PutUint64(first[timeSize:], uint64(last.total)+uint64(len(data)))
	room := min(partSize-blockHeader, len(data))
	blocks.FillPercent = fill
	err = blocks.Put(partKey(number, 0), append(first, data[:room]...))
	for part := uint32(1); room < len(data) && err == nil; part++ {
		end := min(room+partSize, len(data))
		err = blocks.Put(partKey(number, part), data[room:end])
		room = end
	}
	return errors.Join(err, heads.Put(id[:], encodeHead(block.next, number)))
}

// dropBlocks removes the blocks up to a number, and the heads of the chains that
// end there, but not that of the chain that goes on.
func dropBlocks(tx *bbolt.Tx, last uint64, sealer audit.Sealer) (bool, error) {
	blocks, heads := tx.Bucket(blocksBucket), tx.Bucket(headsBucket)
	var old, ended [][]byte
	cursor := blocks.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		if err := checkPart(key, value); err != nil {
			return false, err
		}
		if past(key, last) {
			break
		}
		old = append(old, slices.Clone(key))
	}
	err := heads.ForEach(func(key, value []byte) error {
		if len(key) != chainSize || sealer != nil && sealer.ID() == audit.ChainID(key) {
			return nil
		}
		_, end, err := decodeHead(key, value)
		if end <= last {
			ended = append(ended, slices.Clone(key))
		}
		return err
	})
	if err != nil {
		return false, err
	}
	for _, key := range old {
		err = errors.Join(err, blocks.Delete(key))
	}
	for _, key := range ended {
		err = errors.Join(err, heads.Delete(key))
	}
	return len(old)+len(ended) > 0, err
}

// block is what the first part of a block says of it.
type block struct {
	number        uint64
	millis, total int64
}

// ends returns the first and the last block, which are zero when there is none.
func ends(blocks *bbolt.Bucket) (first, last block, err error) {
	cursor := blocks.Cursor()
	key, value := cursor.First()
	if key == nil {
		return first, last, nil
	}
	if first, err = decodeBlock(key, value); err != nil {
		return first, last, err
	}
	if key, value = cursor.Last(); len(key) == blockKey && !isFirst(key) {
		key, value = cursor.Seek(numberKey(binary.BigEndian.Uint64(key)))
	}
	last, err = decodeBlock(key, value)
	return first, last, err
}

// decodeBlock reads the first part of a block.
func decodeBlock(key, value []byte) (block, error) {
	if err := checkPart(key, value); err != nil {
		return block{}, err
	}
	if !isFirst(key) {
		return block{}, fmt.Errorf("%w: a block of the audit trail has no beginning", errDamaged)
	}
	return block{binary.BigEndian.Uint64(key), millis(value), int64(binary.BigEndian.Uint64(value[timeSize:]))}, nil
}

// checkPart refuses what is no part of a block.
func checkPart(key, value []byte) error {
	if len(key) != blockKey || isFirst(key) && len(value) < blockHeader {
		return fmt.Errorf("%w: a block of the audit trail", errDamaged)
	}
	return nil
}

// isFirst tells whether a part is the first of its block.
func isFirst(key []byte) bool { return binary.BigEndian.Uint32(key[numberSize:]) == 0 }

// past tells whether a part is of a later block than a number names.
func past(key []byte, number uint64) bool { return binary.BigEndian.Uint64(key) > number }

// numberKey is before all parts of a block and behind those of the one before.
func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func partKey(number uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, blockKey), number), part)
}

// parsePosition reads the number of a block from its key in hexadecimal digits.
func parsePosition(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != numberSize {
		return 0, fmt.Errorf("boltstore: %.40q is %w", text, audit.ErrPosition)
	}
	return binary.BigEndian.Uint64(key), nil
}

func encodeHead(head audit.Head, number uint64) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, headSize), head.Seq)
	value = append(value, head.MAC[:]...)
	return binary.BigEndian.AppendUint64(value, number)
}

func decodeHead(chain, value []byte) (head audit.Head, number uint64, err error) {
	if len(value) != headSize {
		return audit.Head{}, 0, fmt.Errorf("%w: the head of a chain of the audit trail", errDamaged)
	}
	head = audit.Head{Chain: audit.ChainID(chain), Seq: binary.BigEndian.Uint64(value), MAC: audit.MAC(value[numberSize : numberSize+macSize])}
	return head, binary.BigEndian.Uint64(value[numberSize+macSize:]), nil
}
