package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// MasterName is the name under which sentinels know their primary.
const MasterName = "tokens"

// Sentinels is a primary with two replicas, watched by three sentinels.
type Sentinels struct {
	// Servers are the primary and the replicas, in the order in which they
	// began.
	Servers []*Server
	// Watchers are the sentinels.
	Watchers []*Server
	tb       testing.TB
	security *Security
}

// SentinelPassword is what the sentinels of [StartSentinels] ask for. The
// servers ask for nothing.
const SentinelPassword = "watchers-word"

// StartSentinels starts a set whose sentinels promote a replica when the primary
// has been silent for a second. Further arguments are those of the servers.
func StartSentinels(tb testing.TB, args ...string) *Sentinels {
	tb.Helper()
	return startSentinels(&Sentinels{tb: tb}, args)
}

// StartTLSSentinels starts a set whose servers and sentinels speak TLS only, to
// each other too.
func StartTLSSentinels(tb testing.TB, security *Security, args ...string) *Sentinels {
	tb.Helper()
	return startSentinels(&Sentinels{tb: tb, security: security}, args)
}

func startSentinels(set *Sentinels, args []string) *Sentinels {
	tb := set.tb
	tb.Helper()
	for range 3 {
		set.Servers = append(set.Servers, start(tb, &Server{args: args, security: set.security}))
	}
	for _, replica := range set.Servers[1:] {
		replica.Replicate(set.Servers[0].Addr())
	}
	for range 3 {
		set.Watchers = append(set.Watchers, startSentinel(tb, set.Servers[0].Port(), set.security))
	}
	Until(tb, "the sentinels know each other and the replicas", func() bool {
		return !slices.ContainsFunc(set.Watchers, func(w *Server) bool {
			known, err := w.Try("sentinel", "ckquorum", MasterName)
			return err != nil || !strings.Contains(known, "3 usable") || strings.Count(w.replicas(), "name\n") < 2
		})
	})
	return set
}

// replicas is what a sentinel knows of the replicas.
func (s *Server) replicas() string {
	answer, _ := s.Try("sentinel", "replicas", MasterName)
	return strings.ReplaceAll(answer, "name ", "name\n")
}

func startSentinel(tb testing.TB, primary string, security *Security) *Server {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 2000\nsentinel sentinel-pass %[4]s\nrequirepass %[4]s\n", MasterName, loopback, primary, SentinelPassword)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return start(tb, &Server{program: []string{file, "--sentinel"}, password: SentinelPassword, security: security})
}

// Log is what the sentinels have written.
func (s *Sentinels) Log() string {
	var all strings.Builder
	for _, w := range s.Watchers {
		all.WriteString(w.Log())
	}
	return all.String()
}

// URL names the set for a client.
func (s *Sentinels) URL() string {
	addrs := make([]string, len(s.Watchers))
	for i, w := range s.Watchers {
		addrs[i] = w.Addr()
	}
	rest := "+sentinel://" + strings.Join(addrs, ",") + "/" + MasterName + "?sentinel_password=" + SentinelPassword
	if s.security != nil {
		return "rediss" + rest + "&ca=" + s.security.CAFile
	}
	return "redis" + rest
}

// Primary is the server that most sentinels call the primary.
func (s *Sentinels) Primary() *Server {
	votes := map[string]int{}
	for _, w := range s.Watchers {
		answer, _ := w.Try("sentinel", "get-master-addr-by-name", MasterName)
		votes[strings.ReplaceAll(answer, "\n", ":")]++
	}
	for _, server := range s.Servers {
		if votes[server.Addr()]*2 > len(s.Watchers) {
			return server
		}
	}
	return nil
}

// Settled waits until there is one primary, and replicas others that follow it,
// and returns the primary.
func (s *Sentinels) Settled(replicas int) *Server {
	s.tb.Helper()
	var primary *Server
	Until(s.tb, fmt.Sprintf("a primary has %d replicas", replicas), func() bool {
		primary = s.Primary()
		if primary == nil || primary.Info("role") != "master" {
			return false
		}
		following := 0
		for _, server := range s.Servers {
			if server != primary && server.Info("master_port") == primary.Port() && server.Info("master_link_status") == "up" {
				following++
			}
		}
		return following >= replicas
	})
	return primary
}
