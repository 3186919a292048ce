package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// cpuConnections is how many connections load all gateways together.
	cpuConnections = 128
	cpuRounds      = 3
	cpuShards      = 3
	clusterSlots   = 16384
)

// scaleCPU measures what CPU time a request costs the gateways and Redis, on one
// Redis and on a cluster, with one gateway and with four.
func scaleCPU(b *testing.B, r *scaleReport) {
	var rows []string
	for _, topology := range []struct {
		name  string
		start func(b *testing.B) (url string, servers []*redisProcess)
	}{
		{"one Redis", func(b *testing.B) (string, []*redisProcess) {
			server := startRedis(b, redisOptions{args: []string{"--appendonly", "no"}})
			return server.URL, []*redisProcess{server}
		}},
		{"cluster of three", startScaleCluster},
	} {
		for _, gateways := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s, %d gateways", topology.name, gateways), func(b *testing.B) {
				url, servers := topology.start(b)
				f := newFleet(b, url, gateways, servers)
				for range cpuRounds {
					f.round(b)
				}
				for _, work := range []*fleetWork{&f.mints, &f.handshakes} {
					gateway, server, rate := median(work.gateway), median(work.redis), median(work.perSecond)
					r.figure("cpu", topology.name, gateways, work.name+"_gateway_us", gateway)
					r.figure("cpu", topology.name, gateways, work.name+"_redis_us", server)
					r.figure("cpu", topology.name, gateways, work.name+"_per_second", rate)
					rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%.0f µs\t%.1f µs\t%.0f", topology.name, gateways, work.name, gateway, server, rate))
				}
			})
		}
	}
	printTable(fmt.Sprintf("CPU time a request, user and system, %d connections, medians of %d rounds", cpuConnections, cpuRounds),
		"topology\tgateways\twhat\tall gateways\tall of Redis\trequests/s", rows)
}

// fleet is some gateways on one Redis or cluster.
type fleet struct {
	gateways          []*gatewayProcess
	servers           []*redisProcess
	tokens            tokenPile
	mints, handshakes fleetWork
}

// fleetWork is what rounds of one kind of request measured: microseconds of CPU
// time a request, and requests per second.
type fleetWork struct {
	name                      string
	gateway, redis, perSecond []float64
}

func newFleet(b *testing.B, url string, gateways int, servers []*redisProcess) *fleet {
	b.Helper()
	f := &fleet{servers: servers, mints: fleetWork{name: "mint"}, handshakes: fleetWork{name: "handshake"}}
	args := []string{"--set", "store.url=" + url, "--set", "token.max_live=100000000"}
	for _, policy := range []string{"mint", "handshake", "handshake_failures"} {
		args = append(args, "--set", "limits."+policy+".rate=1000000/s", "--set", "limits."+policy+".burst=1000000")
	}
	for range gateways {
		f.gateways = append(f.gateways, startGateway(b, args...))
	}
	return f
}

func (f *fleet) round(b *testing.B) {
	b.Helper()
	f.measure(b, &f.mints, func(g *gatewayProcess) load {
		request := post(g.Private, "/bugs", "text/xml", mintRequest)
		return load{
			addr: g.Private,
			next: func(int, int) []byte { return request },
			answered: func(_, status int, body []byte) error {
				token, ok := between(body, "<string>", "</string>")
				if status != http.StatusOK || !ok || bytes.Contains(body, []byte("<fault>")) {
					return fmt.Errorf("status %d, no token in %s", status, body)
				}
				f.tokens.add(string(token))
				return nil
			},
		}
	})
	f.measure(b, &f.handshakes, func(g *gatewayProcess) load {
		return load{addr: g.Public, next: func(int, int) []byte {
			token, ok := f.tokens.take()
			if !ok {
				return nil
			}
			return post(g.Public, "/token/"+token+"/+bugtracker-handshake", "application/x-www-form-urlencoded", "")
		}}
	})
}

// measure loads all gateways at once and counts the CPU time that it took.
func (f *fleet) measure(b *testing.B, work *fleetWork, of func(g *gatewayProcess) load) {
	b.Helper()
	var gatewayPIDs, redisPIDs []int
	for _, g := range f.gateways {
		gatewayPIDs = append(gatewayPIDs, g.cmd.Process.Pid)
	}
	for _, s := range f.servers {
		redisPIDs = append(redisPIDs, s.cmd.Process.Pid)
	}
	gatewaysBefore, redisBefore := cpuTime(b, gatewayPIDs), cpuTime(b, redisPIDs)
	results := make([]figures, len(f.gateways))
	var group sync.WaitGroup
	for i, g := range f.gateways {
		group.Go(func() {
			l := of(g)
			l.connections, l.duration = cpuConnections/len(f.gateways), *loadTime
			var err error
			if results[i], err = l.run(); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
	requests, perSecond := 0, 0.0
	for _, result := range results {
		requests += result.requests
		perSecond += result.perSecond
	}
	each := func(spent time.Duration) float64 { return float64(spent.Microseconds()) / float64(requests) }
	work.gateway = append(work.gateway, each(cpuTime(b, gatewayPIDs)-gatewaysBefore))
	work.redis = append(work.redis, each(cpuTime(b, redisPIDs)-redisBefore))
	work.perSecond = append(work.perSecond, perSecond)
}

// cpuTime is the user and system time that processes have spent, all threads.
func cpuTime(b *testing.B, pids []int) time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond // Linux shows 100 a second whatever it counts in
	ticks := 0
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		// The name, in brackets, may hold anything; the state is the first field after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		const utime, stime = 11, 12
		for _, field := range []int{utime, stime} {
			n, err := strconv.Atoi(fields[field])
			if err != nil {
				b.Fatalf("/proc/%d/stat: %v", pid, err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// startScaleCluster starts a cluster of primaries without replicas.
func startScaleCluster(b *testing.B) (string, []*redisProcess) {
	b.Helper()
	var servers []*redisProcess
	var addrs []string
	for i := range cpuShards {
		bus := strconv.Itoa(freePort(b))
		s := startRedis(b, redisOptions{args: []string{"--appendonly", "no", "--cluster-enabled", "yes", "--cluster-port", bus}})
		s.command(b, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		s.command(b, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*clusterSlots/cpuShards), strconv.Itoa((i+1)*clusterSlots/cpuShards-1))
		if i > 0 {
			servers[0].command(b, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.opts.port), bus)
		}
		servers, addrs = append(servers, s), append(addrs, s.Addr)
	}
	limit := time.Now().Add(startUpLimit)
	for _, s := range servers {
		for !strings.Contains(s.command(b, "CLUSTER", "INFO"), fmt.Sprintf("cluster_state:ok\r\ncluster_slots_assigned:%d\r\n", clusterSlots)) {
			if time.Now().After(limit) {
				b.Fatal("the cluster does not come together")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return "redis+cluster://" + strings.Join(addrs, ","), servers
}

// command sends one command and returns the beginning of its answer, which is short.
func (r *redisProcess) command(b *testing.B, words ...string) string {
	b.Helper()
	c, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%s\r\n", strings.Join(words, " ")); err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	if err != nil || n == 0 || answer[0] == '-' {
		b.Fatalf("%v: %q, %v", words, answer[:n], err)
	}
	return string(answer[:n])
}
