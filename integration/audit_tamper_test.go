package integration

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake/audit"
)

// tampering is one way to change a trail. It returns the chain and the number of the
// entry that audit verify must name; zero ones are not looked at.
type tampering struct {
	name   string
	change func(tb testing.TB, c *trailCopy, one, two string) (chain string, seq uint64)
	kind   string
	from   bool // whether it shows by a checkpoint alone
}

// tamperings are made of a trail with the chain one, which has ended, and two, which
// has seen it.
var tamperings = []tampering{
	{"an entry is changed", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)[2]
		c.blocks[i] = altered(tb, c.blocks[i], "/bugs", "/hugs")
		return one, headerOf(tb, c.blocks[i]).First
	}, "changed", false},
	{"the last byte of a MAC is changed", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)[2]
		block := []byte(c.blocks[i])
		block[len(block)-1] ^= 1
		c.blocks[i] = string(block)
		return one, headerOf(tb, c.blocks[i]).Last()
	}, "changed", false},
	{"an entry in the middle is removed", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)[2]
		seq := headerOf(tb, c.blocks[i]).First
		c.remove(i)
		return one, seq
	}, "missing", false},
	{"two entries change places", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)
		c.blocks[i[2]], c.blocks[i[3]] = c.blocks[i[3]], c.blocks[i[2]]
		return one, headerOf(tb, c.blocks[i[3]]).First
	}, "reordered", false},
	{"an entry stands there twice", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)[2]
		c.blocks = slices.Insert(c.blocks, i+1, c.blocks[i])
		return one, headerOf(tb, c.blocks[i]).First
	}, "duplicated", false},
	{"the end is cut off", func(tb testing.TB, c *trailCopy, _, two string) (string, uint64) {
		i := c.of(tb, two)
		last := i[len(i)-1]
		seq := headerOf(tb, c.blocks[last]).First
		c.remove(last)
		return two, seq
	}, "cut_off_end", false},
	{"the end of a chain is cut off with its head, and another chain has seen it", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		i := c.of(tb, one)
		last := i[len(i)-1]
		seq := headerOf(tb, c.blocks[last]).First
		c.takeBack(tb, one, c.blocks[i[len(i)-2]])
		c.remove(last)
		return one, seq
	}, "cut_off_end", false},
	{"the end of the last chain is cut off with its head", func(tb testing.TB, c *trailCopy, _, two string) (string, uint64) {
		i := c.of(tb, two)
		last := i[len(i)-1]
		seq := headerOf(tb, c.blocks[last]).First
		c.takeBack(tb, two, c.blocks[i[len(i)-2]])
		c.remove(last)
		return two, seq
	}, "cut_off_end", true},
	{"the beginning is cut off", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		c.remove(c.of(tb, one)[:2]...)
		return one, 1
	}, "cut_off_beginning", false},
	{"a chain is removed with its head", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		c.remove(c.of(tb, one)...)
		delete(c.heads, one)
		return one, 0
	}, "chain_gone", false},
	{"the last chain is removed with its head", func(tb testing.TB, c *trailCopy, _, two string) (string, uint64) {
		c.remove(c.of(tb, two)...)
		delete(c.heads, two)
		return two, 0
	}, "chain_gone", true},
	{"the heads are removed", func(_ testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		clear(c.heads)
		return one, 0
	}, "head", false},
	{"a chain's entries are put under the name of another", func(tb testing.TB, c *trailCopy, one, two string) (string, uint64) {
		i := c.of(tb, one)
		j := c.of(tb, two)
		for n := range min(len(i), len(j)) {
			c.blocks[i[n]], c.blocks[j[n]] = renamed(c.blocks[j[n]], two, one), renamed(c.blocks[i[n]], one, two)
		}
		return one, 1
	}, "changed", false},
	{"a chain is made up by who does not have the key", func(_ testing.TB, c *trailCopy, _, _ string) (string, uint64) {
		chain := audit.NewChain(audit.NewChainID(), audit.Key{})
		block, _ := chain.Seal(audit.Head{}, []audit.Entry{{Subsystem: audit.SubsystemTrail, Code: audit.TrailDropped, Outcome: audit.Done}})
		c.blocks = append(c.blocks, string(block))
		return chain.ID().String(), 1
	}, "unkeyed", false},
	{"a chain is made up with another key", func(_ testing.TB, c *trailCopy, _, _ string) (string, uint64) {
		chain := audit.NewChain(audit.NewChainID(), audit.NewKey([32]byte{1}))
		block, _ := chain.Seal(audit.Head{}, []audit.Entry{{Subsystem: audit.SubsystemTrail, Code: audit.TrailDropped, Outcome: audit.Done}})
		c.blocks = append(c.blocks, string(block))
		return chain.ID().String(), 1
	}, "unknown_key", false},
	{"a block is overwritten", func(tb testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		c.blocks[c.of(tb, one)[2]] = "no block"
		return "", 0
	}, "undecodable", false},
	{"all is removed", func(_ testing.TB, c *trailCopy, one, _ string) (string, uint64) {
		c.blocks = nil
		clear(c.heads)
		return one, 0
	}, "chain_gone", true},
}

// renamed is a block of one chain as if it were another's.
func renamed(block, from, to string) string {
	const before = 6 // version, flags, the key's ID
	if block[before:before+len(from)] != from {
		return block
	}
	return block[:before] + to + block[before+len(from):]
}

func TestWhateverIsDoneToTheTrailIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	t.Run("on bolt", func(t *testing.T) {
		t.Parallel()
		tamper(t, nil, func(g *gatewayProcess) trailStore {
			g.Stop()
			return boltTrail{g.Data}
		})
	})
	t.Run("on Redis", func(t *testing.T) {
		t.Parallel()
		r := startRedis(t, redisOptions{})
		tamper(t, []string{"--set", "store.url=" + r.URL}, func(*gatewayProcess) trailStore { return newRedisTrail(t, r) })
	})
}

func tamper(t *testing.T, store []string, open func(*gatewayProcess) trailStore) {
	args := with(store, "--set", "audit.key_file="+auditKeyFile(t, "tamper"))
	data := t.TempDir()
	g := startGatewayIn(t, data, args...)
	for range 6 {
		mint(t, g)
	}
	g.Stop()
	g = startGatewayIn(t, data, args...)
	for range 6 {
		mint(t, g)
	}
	trail := open(g)
	checkpoint := saveCheckpoint(t, data, args)
	if report := verifyTrail(t, data, args, "--from", checkpoint); len(report.Problems) > 0 || report.Met != 2 || report.Forgeable {
		t.Errorf("before anything was done: %+v", report)
	}
	whole := trail.read(t)
	chains := whole.chains(t)
	if len(chains) != 2 {
		t.Fatalf("there are %d chains", len(chains))
	}
	for _, tampering := range tamperings {
		changed := whole.clone()
		chain, seq := tampering.change(t, changed, chains[0], chains[1])
		if len(chain) == len(audit.ChainID{}) {
			chain = hex.EncodeToString([]byte(chain))
		}
		trail.write(t, changed)
		t.Run(tampering.name, func(t *testing.T) {
			if !tampering.from {
				verifyTrail(t, data, args).wantTold(t, tampering.kind, chain, seq)
			}
			verifyTrail(t, data, args, "--from", checkpoint).wantTold(t, tampering.kind, chain, seq)
		})
	}
	trail.write(t, whole)
	verifyTrail(t, data, args, "--from", checkpoint).wantWhole(t, 2)
}

func TestATrailWithoutAKeySaysThatItCanBeForged(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, store...)
		mint(t, g)
		if report := verifyTrail(t, g.Data, store); !report.Forgeable || len(report.Problems) > 0 {
			t.Errorf("the report is %+v", report)
		}
		f := auditCommand(t, g.Data, store, "verify")
		if f.status != 0 || !strings.Contains(f.stdout, "can forge them") {
			t.Errorf("audit verify: %+v", f)
		}
		// With a key from now on, the old chain is one that anybody can have forged.
		g.Stop()
		keyed := with(store, "--set", "audit.key_file="+auditKeyFile(t, "later"))
		g = startGatewayIn(t, g.Data, keyed...)
		mint(t, g)
		verifyTrail(t, g.Data, keyed).wantTold(t, "unkeyed", "", 1)
		verifyTrail(t, g.Data, keyed, "--allow-unkeyed").wantWhole(t, 2)
		// Without the key nothing can be said.
		verifyTrail(t, g.Data, store).wantTold(t, "unknown_key", "", 1)
	})
}
