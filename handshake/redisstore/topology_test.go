package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/handshake/storetest"
	"github.com/trackgate/trackgate/internal/redistest"
)

// conform holds a store on some servers to the contract. The primaries are
// emptied before every test.
func conform(t *testing.T, url string, primaries func() []*redistest.Server, opts ...redisstore.Option) {
	t.Helper()
	storetest.Run(t, func(_ *testing.T) storetest.Backend {
		for _, primary := range primaries() {
			primary.Do("flushall")
		}
		return storetest.Backend{Shared: true, Open: func(t *testing.T) handshake.Store { return open(t, url, opts...) }}
	})
}

func only(server *redistest.Server) func() []*redistest.Server {
	return func() []*redistest.Server { return []*redistest.Server{server} }
}

func TestConformanceOnOneServerThatForgetsNothing(t *testing.T) {
	server := redistest.Start(t)
	conform(t, server.URL(), only(server))
}

func TestConformanceOnOneServerBehindTheFence(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "everysec")
	conform(t, server.URL(), only(server))
}

func TestConformanceWithoutAFence(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "no")
	conform(t, server.URL(), only(server), redisstore.WithFence(redisstore.FenceNever))
}

func TestConformanceWithSentinels(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t)
	conform(t, set.URL(), only(set.Settled(2)), redisstore.WithReplicas(2, redisstore.MaxReplicaLimit))
}

func TestConformanceOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	conform(t, cluster.URL(), cluster.Primaries, redisstore.WithReplicas(1, redisstore.MaxReplicaLimit))
}

// An ACL user needs what the documentation of the package lists, and no more.
func TestATLSServerIsUsedByAUserWithTheRightsThatAreDocumented(t *testing.T) {
	security := redistest.NewSecurity(t)
	server := redistest.StartTLS(t, security, "--appendfsync", "everysec")
	server.Do("acl", "setuser", "gateway", "on", ">p@ss/word", "~trackgate:*", "resetchannels", "-@all",
		"+set", "+get", "+pttl", "+evalsha", "+eval", "+scan", "+info", "+ping", "+wait", "+config|get", "+hello",
		"+hget", "+hmget", "+hgetall", "+hset", "+hdel", "+hincrby", "+xadd", "+xtrim", "+xrange", "+xrevrange", "+xread")
	url := "rediss://gateway:p%40ss%2Fword@" + server.Addr() + "/?ca=" + security.CAFile
	store := open(t, url)
	defer func() { _ = store.Close() }()
	warm(t, store)
	if warnings := store.Warnings(t.Context()); len(warnings) != 1 {
		t.Errorf("warnings: %q", warnings)
	}
	live := mintOne(t, store)
	if found, err := store.Find(t.Context(), live.ID.Fingerprint()); len(found) != 1 || err != nil {
		t.Errorf("found %d, error %v", len(found), err)
	}
	useTrail(t, store)
	if _, err := redisstore.Open(t.Context(), "rediss://gateway:p%40ss%2Fword@"+server.Addr()); err == nil {
		t.Error("a certificate by nobody known was taken")
	}
	if _, err := redisstore.Open(t.Context(), url+"&server_name=other"); err == nil {
		t.Error("a certificate for another name was taken")
	}
}

// useTrail does everything that can be done with a trail.
func useTrail(t *testing.T, s *redisstore.Store) {
	t.Helper()
	beginChain(t, s)
	record := newRecord(time.Now())
	if err := s.Mint(t.Context(), record, noteOn(record, audit.TokenMinted)); err != nil {
		t.Fatal(err)
	}
	claim, note := claimOn(record), noteOn(record, audit.TokenConsumed)
	claim.Note = &note
	if _, reason, err := s.Consume(t.Context(), claim); reason != handshake.Granted || err != nil {
		t.Errorf("consuming: %q, error %v", reason, err)
	}
	blocks, err := s.Trail().Read(t.Context(), "", 10)
	if err != nil || len(blocks) == 0 {
		t.Fatalf("%d blocks, error %v", len(blocks), err)
	}
	waited := make(chan error)
	go func() { waited <- s.Trail().Wait(t.Context(), blocks[len(blocks)-1].After) }()
	dropErr := s.Trail().Drop(t.Context(), blocks[0].After, detailed("dropped"))
	_, headsErr := s.Trail().Heads(t.Context())
	_, _, sizeErr := s.Trail().Size(t.Context())
	if err := errors.Join(<-waited, dropErr, headsErr, sizeErr); err != nil {
		t.Error(err)
	}
}
