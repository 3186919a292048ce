package redistest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shards is how many primaries a cluster has, each with one replica.
const shards = 3

// slots is how many slots a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three primaries with a replica each.
type Cluster struct {
	// Servers are the nodes: the first three begin as primaries, the others as
	// their replicas in the same order.
	Servers  []*Server
	tb       testing.TB
	security *Security
}

// StartCluster starts a cluster that promotes a replica when its primary has
// been silent for a second. Further arguments are those of the servers.
func StartCluster(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	return startCluster(&Cluster{tb: tb}, args)
}

// StartTLSCluster starts a cluster that speaks TLS only, between its nodes too.
func StartTLSCluster(tb testing.TB, security *Security, args ...string) *Cluster {
	tb.Helper()
	return startCluster(&Cluster{tb: tb, security: security}, args)
}

func startCluster(c *Cluster, args []string) *Cluster {
	tb := c.tb
	tb.Helper()
	for range 2 * shards {
		_, bus, err := net.SplitHostPort(FreeAddress(tb))
		if err != nil {
			tb.Fatal(err)
		}
		own := append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", bus}, args...)
		c.Servers = append(c.Servers, start(tb, &Server{args: own, security: c.security}))
	}
	for i, node := range c.Servers {
		node.Do("cluster", "set-config-epoch", i+1)
		if i < shards {
			node.Do("cluster", "addslotsrange", i*slots/shards, (i+1)*slots/shards-1)
		}
	}
	for _, node := range c.Servers[1:] {
		first := c.Servers[0]
		node.Do("cluster", "meet", loopback, first.Port(), busPort(first))
	}
	c.until("all nodes know each other", func(node *Server) bool {
		info, _ := node.Try("cluster", "info")
		return fieldOf(info, "cluster_known_nodes") == strconv.Itoa(len(c.Servers))
	})
	for i, replica := range c.Servers[shards:] {
		primary := c.Servers[i].Do("cluster", "myid")
		Until(tb, "the replica knows its primary", func() bool {
			_, err := replica.Try("cluster", "replicate", primary)
			return err == nil
		})
	}
	c.Settled()
	return c
}

func busPort(s *Server) string { return s.args[slices.Index(s.args, "--cluster-port")+1] }

// Settled waits until every node finds the cluster whole and every replica
// follows.
func (c *Cluster) Settled() {
	c.tb.Helper()
	c.until("the cluster is whole", func(node *Server) bool {
		info, _ := node.Try("cluster", "info")
		link := node.Info("master_link_status")
		return fieldOf(info, "cluster_state") == "ok" && (link == "up" || link == "" && node.Info("connected_slaves") != "0")
	})
}

func (c *Cluster) until(what string, done func(node *Server) bool) {
	c.tb.Helper()
	Until(c.tb, what, func() bool { return !slices.ContainsFunc(c.Servers, func(node *Server) bool { return !done(node) }) })
}

// URL names the cluster for a client.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Servers))
	for i, node := range c.Servers {
		addrs[i] = node.Addr()
	}
	if c.security != nil {
		return "rediss+cluster://" + strings.Join(addrs, ",") + "?ca=" + c.security.CAFile
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// Primaries are the nodes that are primaries now, by their own word.
func (c *Cluster) Primaries() []*Server {
	return slices.DeleteFunc(slices.Clone(c.Servers), func(node *Server) bool { return node.Info("role") != "master" })
}

// Owner is the primary that has a slot, and its replica. The cluster must be
// settled.
func (c *Cluster) Owner(slot int) (primary, replica *Server) {
	c.tb.Helper()
	for line := range strings.Lines(c.Servers[0].Do("cluster", "nodes")) {
		// id address flags master ping pong epoch link slots...
		fields := strings.Fields(line)
		for _, part := range fields[min(8, len(fields)):] {
			from, to, ranged := strings.Cut(part, "-")
			if !ranged {
				to = from
			}
			first, err1 := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err1 == nil && err2 == nil && first <= slot && slot <= last {
				primary = c.byID(fields[0])
			}
		}
	}
	if primary == nil {
		c.tb.Fatalf("no node has slot %d", slot)
	}
	for _, node := range c.Servers {
		if node != primary && node.Info("master_port") == primary.Port() {
			replica = node
		}
	}
	return primary, replica
}

func (c *Cluster) byID(id string) *Server {
	for _, node := range c.Servers {
		if found, err := node.Try("cluster", "myid"); err == nil && found == id {
			return node
		}
	}
	return nil
}

// Slot is the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.tb.Helper()
	slot, err := strconv.Atoi(c.Servers[0].Do("cluster", "keyslot", key))
	if err != nil {
		c.tb.Fatal(err)
	}
	return slot
}

// BeginMove begins to move a slot to another primary; keys stay where they are
// until [Cluster.MoveKey], so that clients are sent with ASK.
func (c *Cluster) BeginMove(slot int, to *Server) {
	c.tb.Helper()
	from, _ := c.Owner(slot)
	to.Do("cluster", "setslot", slot, "importing", from.Do("cluster", "myid"))
	from.Do("cluster", "setslot", slot, "migrating", to.Do("cluster", "myid"))
}

// MoveKey moves one key of a slot that is being moved.
func (c *Cluster) MoveKey(key string, to *Server) {
	c.tb.Helper()
	from, _ := c.Owner(c.Slot(key))
	from.Do("migrate", loopback, to.Port(), key, 0, 5000)
}

// EndMove ends the move of a slot on all primaries.
func (c *Cluster) EndMove(slot int, to *Server) {
	c.tb.Helper()
	id := to.Do("cluster", "myid")
	to.Do("cluster", "setslot", slot, "node", id)
	for _, node := range c.Primaries() {
		if node != to {
			node.Do("cluster", "setslot", slot, "node", id)
		}
	}
	Until(c.tb, fmt.Sprintf("slot %d has moved", slot), func() bool {
		owner, _ := c.Owner(slot)
		return owner == to
	})
}
