// Package redistest starts real Redis programs for tests: single servers, a
// primary with replicas and sentinels, a cluster, and a proxy that cuts links and
// loses answers. Everything listens on free ports of the loopback interface,
// keeps its data in directories of the test, and ends with the test.
//
// The package needs redis-server in the path. Tests never wait for a time to
// pass, but for a condition, by [Until].
package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Patience is how long [Until] waits: far longer than anything takes on a
// machine that is busy with other work.
const Patience = 90 * time.Second

const pollEvery = 20 * time.Millisecond

// Until returns when done does, and fails the test when that takes longer than
// [Patience]. What is what the test waits for, as in "a replica is promoted".
func Until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit.C:
			tb.Fatalf("waited %v in vain until %s", Patience, what)
		}
	}
}

// Quiet keeps go-redis from writing a line to standard error for every
// connection that a test breaks. It is for TestMain.
func Quiet() { redis.SetLogger(quiet{}) }

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
