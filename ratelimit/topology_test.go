package ratelimit_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
	"github.com/trackgate/trackgate/ratelimit"
)

// topologies are all that one URL can name. What a server keeps on disk is of no
// concern to a limiter.
var topologies = map[string]func(t *testing.T) (url string){
	"standalone": func(t *testing.T) string { return redistest.Start(t, "--appendonly", "no").URL() },
	"sentinel":   func(t *testing.T) string { return redistest.StartSentinels(t, "--appendonly", "no").URL() },
	"cluster":    func(t *testing.T) string { return redistest.StartCluster(t, "--appendonly", "no").URL() },
	"standalone with TLS": func(t *testing.T) string {
		return redistest.StartTLS(t, redistest.NewSecurity(t), "--appendonly", "no").URL()
	},
	"sentinel with TLS": func(t *testing.T) string {
		return redistest.StartTLSSentinels(t, redistest.NewSecurity(t), "--appendonly", "no").URL()
	},
	"cluster with TLS": func(t *testing.T) string {
		return redistest.StartTLSCluster(t, redistest.NewSecurity(t), "--appendonly", "no").URL()
	},
}

// onEveryTopology runs test on real servers of every kind, which it may use as it likes.
func onEveryTopology(t *testing.T, test func(t *testing.T, url string)) {
	for name, start := range topologies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// gatewayClient returns a client as a gateway makes it, but patient: an answer that
// a busy machine delays is not asked for twice.
func gatewayClient(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	mark := "?"
	if strings.Contains(url, "?") {
		mark = "&"
	}
	return urlClient(t, url+mark+"read_timeout=30s&pool_timeout=30s&dial_timeout=10s")
}

func urlClient(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisstore.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// gatewayLimiter counts in Redis as a gateway does: by shared pipelines.
func gatewayLimiter(t *testing.T, client redis.UniversalClient) *ratelimit.Redis {
	t.Helper()
	pipelines, err := client.AsyncAutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	return ratelimit.NewRedis(pipelines)
}

func TestTwoGatewaysTogetherGiveEachCallerExactlyTheBurst(t *testing.T) {
	t.Parallel()
	onEveryTopology(t, func(t *testing.T, url string) {
		const requests, callers, burst = 200, 4, 20
		p := policy(t, "p", "1/h", burst)
		var granted [callers]atomic.Int64
		var group sync.WaitGroup
		for range 2 {
			gateway := gatewayLimiter(t, gatewayClient(t, url))
			for i := range requests {
				group.Go(func() {
					caller := i % callers
					d, err := gateway.Take(t.Context(), p, ratelimit.Caller("192.0.2."+strconv.Itoa(caller)), 1)
					if err != nil {
						t.Error(err)
					} else if d.Allowed {
						granted[caller].Add(1)
					}
				})
			}
		}
		group.Wait()
		for caller := range granted {
			if n := granted[caller].Load(); n != burst {
				t.Errorf("caller %d was let through %d times in 100, want %d", caller, n, burst)
			}
		}
	})
}

func TestSeveralRulesAreOneRoundTripAndAllOrNothing(t *testing.T) {
	t.Parallel()
	onEveryTopology(t, func(t *testing.T, url string) {
		client := gatewayClient(t, url)
		gateway := gatewayLimiter(t, client)
		// On a cluster their keys are in slots of different nodes.
		asks := []ratelimit.Ask{
			{Policy: policy(t, "tracker", "1/h", 20), Caller: "gnome-bugs", N: 3},
			{Policy: policy(t, "mint", "1/h", 4), Caller: "192.0.2.7", N: 1},
			{Policy: policy(t, "user", "1/h", 6), Caller: "apport@192.0.2.7", N: 2},
		}
		// The scripts are there after the first time, and the connections.
		for _, a := range asks {
			if _, err := gateway.TakeAll(t.Context(), ratelimit.Ask{Policy: a.Policy, Caller: "warm", N: 1}, ratelimit.Ask{Policy: a.Policy, Caller: "up", N: 1}); err != nil {
				t.Fatal(err)
			}
		}
		trips := &roundTrips{}
		client.AddHook(trips)
		allowed := 0
		for range 4 {
			decisions, err := gateway.TakeAll(t.Context(), asks...)
			if err != nil {
				t.Fatal(err)
			}
			if decisions[0].Allowed && decisions[1].Allowed && decisions[2].Allowed {
				allowed++
			}
		}
		// Until the user's six are used up; the refusal gives back what it took of the
		// two others, by one pipeline more.
		if p, c, alone := trips.pipelines.Load(), trips.commands.Load(), trips.alone.Load(); allowed != 3 || p != 5 || c != 4*3+2 || alone != 0 {
			t.Errorf("let through %d times of 4, with %d commands in %d pipelines and %d alone; want 3, 14, 5, 0", allowed, c, p, alone)
		}
		for i, left := range []int{20 - 3*3, 4 - 3, 0} {
			d, err := gateway.Take(t.Context(), asks[i].Policy, asks[i].Caller, 0)
			if err != nil || d.Remaining != left {
				t.Errorf("%s has %d left, want %d; %v", asks[i].Policy.Name, d.Remaining, left, err)
			}
		}
	})
}

// roundTrips counts what a client is asked to send.
type roundTrips struct{ pipelines, commands, alone atomic.Int64 }

func (*roundTrips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.alone.Add(1)
		return next(ctx, cmd)
	}
}

func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.pipelines.Add(1)
		r.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestTheLimitHoldsWhileAPrimaryIsKilledAndAReplicaPromoted(t *testing.T) {
	t.Parallel()
	p := policy(t, "p", "1/h", 20)
	const caller = ratelimit.Caller("192.0.2.7")
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		set := redistest.StartSentinels(t, "--appendonly", "no")
		holdWhilePromoted(t, p, caller, set.URL(), set.Settled(2), 2)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := redistest.StartCluster(t, "--appendonly", "no")
		primary, _ := cluster.Owner(cluster.Slot(p.Key(caller)))
		holdWhilePromoted(t, p, caller, cluster.URL(), primary, 1)
	})
}

// holdWhilePromoted has two gateways spend a burst in Redis, kills the primary that
// knows of it once its replicas do too, and asks on until both gateways have gone
// over to their own limits and come back.
func holdWhilePromoted(t *testing.T, p ratelimit.Policy, caller ratelimit.Caller, url string, primary *redistest.Server, replicas int) {
	const gateways = 2
	var limiters [gateways]*ratelimit.Failover
	var records [gateways]*record
	for i := range gateways {
		records[i] = newRecord()
		limiters[i] = newFailover(t, ratelimit.FailoverConfig{
			Redis:    gatewayLimiter(t, urlClient(t, url)),
			Replicas: gateways,
			// What a busy machine keeps, and a limit nevertheless.
			TimeLimit:  2 * time.Second,
			ProbeEvery: 50 * time.Millisecond,
		}, records[i])
		t.Cleanup(limiters[i].Close)
	}
	var granted atomic.Int64
	ask := func() {
		var group sync.WaitGroup
		for _, l := range limiters {
			for range 8 {
				group.Go(func() {
					switch d, err := l.Take(t.Context(), p, caller, 1); {
					case err != nil:
						t.Error(err)
					case d.Allowed:
						granted.Add(1)
					}
				})
			}
		}
		group.Wait()
	}
	every := func(holds func(i int) bool) bool {
		for i := range gateways {
			if !holds(i) {
				return false
			}
		}
		return true
	}
	for range 4 {
		ask()
	}
	if n := granted.Load(); n != int64(p.Burst) {
		t.Fatalf("%d requests passed before, want %d", n, p.Burst)
	}
	primary.Heard(replicas)
	primary.Kill()
	redistest.Until(t, "both gateways count by themselves", func() bool {
		ask()
		return every(func(i int) bool { return records[i].lines(lineAway) > 0 })
	})
	for range 4 {
		ask()
	}
	redistest.Until(t, "both gateways count in Redis again", func() bool {
		ask()
		return every(func(i int) bool { return records[i].lines(lineBack) > 0 && limiters[i].State() == ratelimit.StateRedis })
	})
	for range 4 {
		ask()
	}
	// Each gateway's part once, and no burst anew in Redis, which has kept its count.
	if n, want := granted.Load(), int64(p.Burst+gateways*p.Divided(gateways).Burst); n != want {
		t.Errorf("%d requests passed in all, want %d", n, want)
	}
}
