package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/internal/redistest"
)

const (
	// cpuConnections is how many connections load all gateways together.
	cpuConnections = 128
	cpuRounds      = 3
)

// scaleCPU measures what CPU time a request costs the gateways and Redis, on one
// Redis and on a cluster, with one gateway and with four.
func scaleCPU(b *testing.B, r *scaleReport) {
	var rows []string
	for _, topology := range []struct {
		name  string
		start func(b *testing.B) (url string, primaries, replicas []*redistest.Server)
	}{
		{"one Redis", func(b *testing.B) (string, []*redistest.Server, []*redistest.Server) {
			server := redistest.Start(b, "--appendonly", "no")
			return server.URL(), []*redistest.Server{server}, nil
		}},
		{"cluster of three", func(b *testing.B) (string, []*redistest.Server, []*redistest.Server) {
			cluster := redistest.StartCluster(b, "--appendonly", "no")
			shards := len(cluster.Servers) / 2 // the primaries come first
			return cluster.URL(), cluster.Servers[:shards], cluster.Servers[shards:]
		}},
	} {
		for _, gateways := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s, %d gateways", topology.name, gateways), func(b *testing.B) {
				url, primaries, replicas := topology.start(b)
				f := newFleet(b, url, gateways)
				f.primaries, f.replicas = processes(primaries), processes(replicas)
				for range cpuRounds {
					f.round(b)
				}
				for _, work := range []*fleetWork{&f.mints, &f.handshakes} {
					gateway, primary, replica, rate := median(work.gateway), median(work.primary), median(work.replica), median(work.perSecond)
					r.figure("cpu", topology.name, gateways, work.name+"_gateway_us", gateway)
					r.figure("cpu", topology.name, gateways, work.name+"_primary_us", primary)
					r.figure("cpu", topology.name, gateways, work.name+"_replica_us", replica)
					r.figure("cpu", topology.name, gateways, work.name+"_per_second", rate)
					rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%.1f µs\t%.1f µs\t%.1f µs\t%.0f", topology.name, gateways, work.name, gateway, primary, replica, rate))
				}
				progress(b, "measured")
			})
		}
	}
	printTable(fmt.Sprintf("CPU time a request, user and system, %d connections, medians of %d rounds", cpuConnections, cpuRounds),
		"topology\tgateways\twhat\tin gateways\tin primaries\tin replicas\trequests/s", rows)
}

// fleet is some gateways on one Redis or cluster, whose processes are known.
type fleet struct {
	gateways            []*gatewayProcess
	primaries, replicas []int
	tokens              tokenPile
	mints, handshakes   fleetWork
}

// fleetWork is what rounds of one kind of request measured: microseconds of CPU
// time a request, and requests per second.
type fleetWork struct {
	name                                 string
	gateway, primary, replica, perSecond []float64
}

func newFleet(b *testing.B, url string, gateways int) *fleet {
	b.Helper()
	f := &fleet{mints: fleetWork{name: "mint"}, handshakes: fleetWork{name: "handshake"}}
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
	var gateways []int
	for _, g := range f.gateways {
		gateways = append(gateways, g.cmd.Process.Pid)
	}
	gatewaysBefore, primariesBefore, replicasBefore := cpuTime(b, gateways), cpuTime(b, f.primaries), cpuTime(b, f.replicas)
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
	work.gateway = append(work.gateway, each(cpuTime(b, gateways)-gatewaysBefore))
	work.primary = append(work.primary, each(cpuTime(b, f.primaries)-primariesBefore))
	work.replica = append(work.replica, each(cpuTime(b, f.replicas)-replicasBefore))
	work.perSecond = append(work.perSecond, perSecond)
}

func processes(servers []*redistest.Server) []int {
	pids := make([]int, len(servers))
	for i, s := range servers {
		pids[i] = s.PID()
	}
	return pids
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
