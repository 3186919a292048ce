package redisstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Fence says when tokens are refused that were minted before Redis was restarted,
// or before the server that answers now was promoted. Redis may have forgotten by
// then that such a token was used.
//
// Between two such events a server reigns. Redis gives every reign a random ID
// (master_replid in INFO), which no other reign of any server has. With the fence
// up every token carries a label made of it, and is accepted in that reign only: a
// token is accepted at most once, whatever Redis has lost. What it costs is that
// the tokens handed out before a restart or a promotion must be minted anew, and,
// on a cluster, those in slots that move to another primary.
type Fence int

// The settings of the fence. All gateways that share a Redis must have the same.
const (
	// FenceAuto has the fence up on Sentinel and Cluster, and on a standalone
	// Redis unless that has no replicas, was never one, and has every answer on
	// disk (appendonly yes, appendfsync always): a restart loses nothing then,
	// and tokens survive it.
	FenceAuto Fence = iota
	// FenceAlways has the fence up. It is for a Redis that is promoted behind
	// an address, where no Sentinel shows.
	FenceAlways
	// FenceNever has no fence: a token is known as Redis knows it. If Redis loses
	// a consumption, the token can be accepted a second time.
	FenceNever
)

var fences = map[string]Fence{"auto": FenceAuto, "always": FenceAlways, "never": FenceNever}

// ParseFence reads "auto", "always" or "never".
func ParseFence(text string) (Fence, error) {
	fence, ok := fences[text]
	if !ok {
		return 0, fmt.Errorf(`the fence must be "auto", "always" or "never", not %q`, text)
	}
	return fence, nil
}

// String returns what ParseFence reads.
func (f Fence) String() string {
	for text, fence := range fences {
		if fence == f {
			return text
		}
	}
	return "invalid"
}

// MarshalText writes the setting as String does.
func (f Fence) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the setting as ParseFence does.
func (f *Fence) UnmarshalText(text []byte) error {
	parsed, err := ParseFence(string(text))
	if err == nil {
		*f = parsed
	}
	return err
}

// labelSize is how many bytes of its ID make a reign's label. That two reigns have
// the same is as likely as guessing 32 bits.
const labelSize = 4

// reign is the time of one server as a primary, from its start or promotion on.
type reign struct {
	id string
	// label is the first 32 bits of the ID, as a number of ten digits.
	label string
	// forgetful is whether the server's restart may lose what it has answered,
	// or other servers may come after it that have not heard all of it.
	forgetful bool
	// followed is whether replicas are connected.
	followed bool
	// replica is whether the server is none that reigns, but a replica.
	replica bool
}

// unlabelled is whether tokens without a label are accepted in the reign.
func (r *reign) unlabelled() bool { return !r.forgetful }

// labels is whether tokens that are minted in the reign get its label.
func (r *reign) labels() bool { return r.forgetful || r.followed }

// errNoReign is that of a server that does not tell its reign.
var errNoReign = errors.New("redisstore: Redis does not tell master_replid in INFO replication, which the fence needs; " +
	`allow the user to call INFO, or set the fence to "never"`)

// parseReign reads what INFO says of replication.
func parseReign(info string) (*reign, error) {
	id := infoField(info, "master_replid")
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) < labelSize {
		return nil, errNoReign
	}
	return &reign{
		id: id, label: fmt.Sprintf("%010d", binary.BigEndian.Uint32(raw[:labelSize])),
		// A server that was promoted knows the ID of the reign before its own.
		forgetful: strings.Trim(infoField(info, "master_replid2"), "0") != "",
		followed:  infoField(info, "connected_slaves") != "0",
		replica:   infoField(info, "role") != "master",
	}, nil
}

func infoField(info, name string) string {
	_, rest, found := strings.Cut(info, "\n"+name+":")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// askReign asks a server for its reign.
func askReign(ctx context.Context, client *redis.Client, fence Fence) (*reign, error) {
	info, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return nil, fmt.Errorf("redisstore: the reign of Redis cannot be found out: %w", err)
	}
	r, err := parseReign(info)
	if err != nil {
		return nil, err
	}
	if fence == FenceAlways || !r.forgetful && !onDisk(ctx, client) {
		r.forgetful = true
	}
	return r, nil
}

// onDisk tells whether a server has every answer on disk before it gives it. One
// that does not say has not.
func onDisk(ctx context.Context, client *redis.Client) bool {
	found, err := client.ConfigGet(ctx, "append*").Result()
	return err == nil && found["appendonly"] == "yes" && found["appendfsync"] == "always"
}

// failoverAddr is the address of a client that go-redis has made for sentinels.
const failoverAddr = "FailoverClient"

// settled is the fence as a client's kind decides it: other servers may take the
// place of those behind sentinels and of a cluster's at any time.
func (f Fence) settled(client redis.UniversalClient) Fence {
	if f != FenceAuto {
		return f
	}
	if single, ok := client.(*redis.Client); ok && single.Options().Addr != failoverAddr {
		return FenceAuto
	}
	return FenceAlways
}
