package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake/audit"
)

// The trail's keys share a slot of a cluster. The blocks are a stream; an entry of
// it has the block, and the bytes of all blocks up to and with this one. The heads
// are a hash: under the name of a chain stand
//
//	sequence 8 | MAC 32 | stream ID of the chain's last block
//
// and beside them the bytes of all blocks there ever were, and the ID before which
// blocks were dropped.
const (
	trailBlocks = "trackgate:{trail}:blocks"
	trailHeads  = "trackgate:{trail}:heads"
	blockField  = "b"
	totalField  = "t"
	bytesField  = "bytes"
	chainSize   = len(audit.ChainID{})
	macSize     = len(audit.MAC{})
	headSize    = 8 + macSize
)

// trail is the audit trail in the same Redis.
type trail struct{ s *Store }

var _ audit.Store = trail{}

// Trail returns the audit trail, in the same Redis. The gateways that share it
// have a chain each, in one stream.
//
// When Redis has lost blocks that it had confirmed (it was restarted without its
// data, or a replica was promoted that had not heard of them), the chain goes on
// behind the last block that was confirmed, with an entry that says what was lost:
// to audit.Verify the lost entries are missing.
func (s *Store) Trail() audit.Store { return trail{s} }

// Begin sets the sealer. It does not ask Redis.
func (t trail) Begin(ctx context.Context, sealer audit.Sealer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.s.journal.begin(sealer)
}

// Append adds entries with those of other callers that wait, as one block.
func (t trail) Append(ctx context.Context, entries ...audit.Entry) error {
	if len(entries) == 0 {
		return ctx.Err()
	}
	g, err := t.s.journal.add(ctx, entries)
	if err != nil {
		return err
	}
	return t.s.journal.wait(g)
}

// Read returns blocks as Redis has them.
func (t trail) Read(ctx context.Context, after string, limit int) ([]audit.Block, error) {
	from, err := parsePosition(after)
	if err != nil || limit <= 0 {
		return nil, err
	}
	found, err := t.s.blocks(ctx, from, limit)
	blocks := make([]audit.Block, 0, len(found))
	for _, message := range found {
		data, _ := message.Values[blockField].(string)
		blocks = append(blocks, audit.Block{After: message.ID, Data: []byte(data)})
	}
	return blocks, err
}

// Heads returns the heads in no order.
func (t trail) Heads(ctx context.Context) ([]audit.Head, error) {
	get := redis.NewMapStringStringCmd(ctx, "hgetall", trailHeads)
	if err := t.s.process(ctx, get); err != nil {
		return nil, readError(err)
	}
	var heads []audit.Head
	for field, value := range get.Val() {
		if len(field) != chainSize {
			continue
		}
		if len(value) < headSize {
			return nil, fmt.Errorf("%w: the head of a chain of the audit trail", errTrailDamaged)
		}
		heads = append(heads, decodeHead(audit.ChainID([]byte(field)), value))
	}
	return heads, nil
}

// Drop removes blocks and adds the entries that say so, by one script.
func (t trail) Drop(ctx context.Context, upTo string, entries ...audit.Entry) error {
	last, err := parsePosition(upTo)
	if err != nil {
		return err
	}
	g, err := t.s.journal.drop(ctx, last, slices.Clone(entries))
	if err != nil {
		return err
	}
	return t.s.journal.wait(g)
}

// Size tells what the blocks take, without what Redis needs to keep them, and when
// the oldest was added.
func (t trail) Size(ctx context.Context) (bytes int64, oldest time.Time, err error) {
	first, err := t.s.blocks(ctx, streamID{}, 1)
	if err != nil || len(first) == 0 {
		return 0, time.Time{}, err
	}
	get := redis.NewIntCmd(ctx, "hget", trailHeads, bytesField)
	if err := t.s.process(ctx, get); err != nil && !errors.Is(err, redis.Nil) {
		return 0, time.Time{}, readError(err)
	}
	block, _ := first[0].Values[blockField].(string)
	counted, _ := first[0].Values[totalField].(string)
	upTo, err := strconv.ParseInt(counted, 10, 64)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("%w: the size of block %s", errTrailDamaged, first[0].ID)
	}
	id, err := parsePosition(first[0].ID)
	return max(get.Val()-upTo, 0) + int64(len(block)), time.UnixMilli(int64(id.millis)), err
}

// Wait returns when there are blocks after a position. All who wait share one
// connection.
func (t trail) Wait(ctx context.Context, after string) error {
	from, err := parsePosition(after)
	if err != nil {
		return err
	}
	for {
		grown, leave, err := t.s.watcher.enter()
		if err != nil {
			return err
		}
		found, err := t.s.blocks(ctx, from, 1)
		if err == nil && len(found) == 0 {
			select {
			case <-grown:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		leave()
		if err != nil || len(found) > 0 {
			return err
		}
	}
}

// blocks reads the stream after an ID.
func (s *Store) blocks(ctx context.Context, after streamID, limit int) ([]redis.XMessage, error) {
	get := redis.NewXMessageSliceCmd(ctx, "xrange", trailBlocks, "("+after.String(), "+", "count", limit)
	if err := s.process(ctx, get); err != nil {
		return nil, readError(err)
	}
	return get.Val(), nil
}

func readError(err error) error {
	return fmt.Errorf("redisstore: cannot read the audit trail: %w", err)
}

// errTrailDamaged is returned for what this package cannot have written.
var errTrailDamaged = errors.New("redisstore: the audit trail in Redis is damaged")

// streamID is the ID of an entry of a stream, and a position.
type streamID struct{ millis, seq uint64 }

// String writes the ID as Redis does.
func (id streamID) String() string {
	return strconv.FormatUint(id.millis, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

// next is the first ID after this one.
func (id streamID) next() streamID {
	if id.seq++; id.seq == 0 {
		id.millis++
	}
	return id
}

func (id streamID) before(other streamID) bool {
	return id.millis < other.millis || id.millis == other.millis && id.seq < other.seq
}

// parsePosition reads an ID as Redis writes it; "" is before all.
func parsePosition(text string) (streamID, error) {
	if text == "" {
		return streamID{}, nil
	}
	millis, seq, _ := strings.Cut(text, "-")
	var id streamID
	var err, seqErr error
	id.millis, err = strconv.ParseUint(millis, 10, 63)
	id.seq, seqErr = strconv.ParseUint(seq, 10, 64)
	if err != nil || seqErr != nil || id.String() != text {
		return streamID{}, fmt.Errorf("redisstore: %.40q is %w", text, audit.ErrPosition)
	}
	return id, nil
}

func encodeHead(h audit.Head) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, headSize), h.Seq), h.MAC[:]...)
}

// decodeHead reads the first headSize bytes of a value.
func decodeHead(chain audit.ChainID, value string) audit.Head {
	raw := []byte(value[:headSize])
	return audit.Head{Chain: chain, Seq: binary.BigEndian.Uint64(raw), MAC: audit.MAC(raw[8:])}
}
