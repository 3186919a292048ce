package redistest_test

import (
	"testing"

	"github.com/trackgate/trackgate/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Quiet()
	m.Run()
}

func TestASentinelSetPromotesAReplicaWhenItsPrimaryIsKilled(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t)
	first := set.Settled(2)
	first.Do("set", "key", "value")
	redistest.Until(t, "the replicas have the key", func() bool {
		return set.Servers[1].Do("get", "key") == "value" && set.Servers[2].Do("get", "key") == "value"
	})
	first.Kill()
	second := set.Settled(1)
	if second == first || second.Do("get", "key") != "value" {
		t.Errorf("%s is the primary, with %q", second.Addr(), second.Do("get", "key"))
	}
	first.Restart()
	if third := set.Settled(2); third != second {
		t.Errorf("%s is the primary, want %s", third.Addr(), second.Addr())
	}
}

func TestAClusterPromotesAReplicaAndMovesASlot(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	slot := c.Slot("key")
	primary, replica := c.Owner(slot)
	primary.Do("set", "key", "value")
	redistest.Until(t, "the replica has the key", func() bool { return primary.Do("wait", 1, 100) == "1" })
	primary.Kill()
	redistest.Until(t, "the replica is promoted", func() bool { return replica.Info("role") == "master" })
	primary.Restart()
	c.Settled()

	var to *redistest.Server
	for _, node := range c.Primaries() {
		if node != replica {
			to = node
		}
	}
	c.BeginMove(slot, to)
	c.MoveKey("key", to)
	c.EndMove(slot, to)
	if got := to.Do("get", "key"); got != "value" {
		t.Errorf("the moved key is %q", got)
	}
}
