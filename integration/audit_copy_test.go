package integration

import (
	"cmp"
	"context"
	bytesof "encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake/audit"
)

// trailCopy is the trail as the bytes of a store: blocks in their order, and the heads
// by chain, as the store writes them.
type trailCopy struct {
	blocks []string
	heads  map[string]string
}

func (c trailCopy) clone() *trailCopy {
	heads := map[string]string{}
	for chain, head := range c.heads {
		heads[chain] = head
	}
	return &trailCopy{slices.Clone(c.blocks), heads}
}

// chainsOf returns the chains in the order in which they begin.
func (c *trailCopy) chains(tb testing.TB) []string {
	tb.Helper()
	var chains []string
	for _, block := range c.blocks {
		if h := headerOf(tb, block); !slices.Contains(chains, string(h.Chain[:])) {
			chains = append(chains, string(h.Chain[:]))
		}
	}
	return chains
}

// of returns the indices of a chain's blocks.
func (c *trailCopy) of(tb testing.TB, chain string) []int {
	tb.Helper()
	var found []int
	for i, block := range c.blocks {
		if h := headerOf(tb, block); string(h.Chain[:]) == chain {
			found = append(found, i)
		}
	}
	return found
}

// remove takes blocks away.
func (c *trailCopy) remove(indices ...int) {
	slices.Sort(indices)
	for _, i := range slices.Backward(indices) {
		c.blocks = slices.Delete(c.blocks, i, i+1)
	}
}

// takeBack gives a chain the head that it had behind a block.
func (c *trailCopy) takeBack(tb testing.TB, chain, block string) {
	tb.Helper()
	h := headerOf(tb, block)
	// Behind sequence and MAC stands where the store has the chain's last block.
	head := string(bytesof.BigEndian.AppendUint64(nil, h.Last())) + block[len(block)-len(audit.MAC{}):]
	c.heads[chain] = head + c.heads[chain][len(head):]
}

func headerOf(tb testing.TB, block string) audit.Header {
	tb.Helper()
	h, err := audit.ReadHeader([]byte(block))
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// trailStore is a store whose trail somebody changes who can write to it.
type trailStore interface {
	read(tb testing.TB) *trailCopy
	write(tb testing.TB, c *trailCopy)
}

// boltTrail is the file of a gateway that does not run.
type boltTrail struct{ data string }

func (b boltTrail) update(tb testing.TB, change func(blocks, heads *bbolt.Bucket) error) {
	tb.Helper()
	db, err := bbolt.Open(filepath.Join(b.data, "trackgate.db"), 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return change(tx.Bucket([]byte("trail")), tx.Bucket([]byte("trail-heads"))) }); err != nil {
		tb.Fatal(err)
	}
}

// boltPart is what stands before a block in its first part.
const boltPart = 14

func (b boltTrail) read(tb testing.TB) *trailCopy {
	tb.Helper()
	c := &trailCopy{heads: map[string]string{}}
	b.update(tb, func(blocks, heads *bbolt.Bucket) error {
		err := blocks.ForEach(func(key, value []byte) error {
			if bytesof.BigEndian.Uint32(key[8:]) == 0 {
				c.blocks = append(c.blocks, string(value[boltPart:]))
			} else {
				c.blocks[len(c.blocks)-1] += string(value)
			}
			return nil
		})
		return cmp.Or(err, heads.ForEach(func(chain, head []byte) error {
			if len(chain) == len(audit.ChainID{}) {
				c.heads[string(chain)] = string(head)
			}
			return nil
		}))
	})
	return c
}

func (b boltTrail) write(tb testing.TB, c *trailCopy) {
	tb.Helper()
	b.update(tb, func(blocks, heads *bbolt.Bucket) error {
		for _, bucket := range []*bbolt.Bucket{blocks, heads} {
			var keys [][]byte
			_ = bucket.ForEach(func(key, _ []byte) error { keys = append(keys, slices.Clone(key)); return nil })
			for _, key := range keys {
				if err := bucket.Delete(key); err != nil {
					return err
				}
			}
		}
		for i, block := range c.blocks {
			key := bytesof.BigEndian.AppendUint64(nil, uint64(i)+1)
			if err := blocks.Put(append(key, 0, 0, 0, 0), append(make([]byte, boltPart), block...)); err != nil {
				return err
			}
		}
		for chain, head := range c.heads {
			if err := heads.Put([]byte(chain), []byte(head)); err != nil {
				return err
			}
		}
		return nil
	})
}

// The keys of the trail in Redis.
const (
	redisBlocks = "trackgate:{trail}:blocks"
	redisHeads  = "trackgate:{trail}:heads"
)

// redisTrail is a Redis, whose gateways run.
type redisTrail struct{ client *redis.Client }

func newRedisTrail(tb testing.TB, r *redisProcess) redisTrail {
	tb.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.Addr})
	tb.Cleanup(func() { client.Close() })
	return redisTrail{client}
}

func (r redisTrail) read(tb testing.TB) *trailCopy {
	tb.Helper()
	c := &trailCopy{heads: map[string]string{}}
	messages, err := r.client.XRange(context.Background(), redisBlocks, "-", "+").Result()
	if err != nil {
		tb.Fatal(err)
	}
	for _, m := range messages {
		c.blocks = append(c.blocks, m.Values["b"].(string))
	}
	all, err := r.client.HGetAll(context.Background(), redisHeads).Result()
	if err != nil {
		tb.Fatal(err)
	}
	for field, value := range all {
		if len(field) == len(audit.ChainID{}) {
			c.heads[field] = value
		}
	}
	return c
}

func (r redisTrail) write(tb testing.TB, c *trailCopy) {
	tb.Helper()
	ctx := context.Background()
	_, err := r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, redisBlocks, redisHeads)
		for i, block := range c.blocks {
			p.XAdd(ctx, &redis.XAddArgs{Stream: redisBlocks, ID: fmt.Sprintf("1-%d", i+1), Values: []string{"b", block, "t", strconv.Itoa(i)}})
		}
		for chain, head := range c.heads {
			p.HSet(ctx, redisHeads, chain, head)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// altered is a block with one text of an entry put in place of another as long.
func altered(tb testing.TB, block, old, now string) string {
	tb.Helper()
	if !strings.Contains(block, old) || len(old) != len(now) {
		tb.Fatalf("the block does not hold %q", old)
	}
	return strings.Replace(block, old, now, 1)
}
