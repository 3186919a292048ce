package redisstore

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// Time limits of the clients that [NewClient] makes. A call waits for the
// pipeline that is under way and then for its own, each of which may be sent
// twice (on a cluster, followed to where the key has moved as well): a Redis that
// hangs is noticed within about five seconds.
const (
	dialTimeout = time.Second
	ioTimeout   = time.Second
	retries     = 1
	minBackoff  = 10 * time.Millisecond
	maxBackoff  = 100 * time.Millisecond
	// redirects is how often a command of a cluster is sent again in all.
	redirects = 4
	// topologyAge is how old a client's picture of a cluster may become: a
	// primary that has died gives no hint of where its slots have gone.
	topologyAge = time.Second
)

// NewClient returns a client for the URL of a Redis, with short time limits. It
// does not connect; files that the URL names are read. The forms are
//
//	redis://[user:password@]host[:port][/db]
//	redis+sentinel://[user:password@]host[:port],host[:port].../name[/db]
//	redis+cluster://[user:password@]host[:port],host[:port]...
//
// and rediss, rediss+sentinel, rediss+cluster for TLS on all connections. With
// sentinels the hosts are theirs, and name is what they call the primary; user
// and password are for Redis. Options follow after a question mark:
//
//   - ca: file with the certificates in PEM that are trusted instead of the
//     system's; server_name: the name that certificates must have, by default
//     the host of the connection (both for TLS only)
//   - sentinel_user, sentinel_password: for the sentinels, which are asked
//     without credentials by default
//   - dial_timeout, read_timeout, write_timeout, pool_timeout, pool_size,
//     min_idle_conns, max_idle_conns, max_active_conns, conn_max_idle_time,
//     conn_max_lifetime, max_retries, min_retry_backoff, max_retry_backoff,
//     client_name, protocol: as go-redis documents them; they come before the
//     limits of this package
//
// Anything else is an error that wraps [ErrURL] and shows nothing of the URL.
func NewClient(address string) (redis.UniversalClient, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	o := a.options
	setDefault(&o.DialTimeout, dialTimeout)
	setDefault(&o.ReadTimeout, ioTimeout)
	setDefault(&o.WriteTimeout, ioTimeout)
	setDefault(&o.MinRetryBackoff, minBackoff)
	setDefault(&o.MaxRetryBackoff, maxBackoff)
	setDefault(&o.MaxRetries, retries)
	o.DialerRetries = 1
	o.Username, o.Password, o.DB, o.TLSConfig = a.user, a.password, a.db, a.tls
	switch a.topology {
	case sentinel:
		return redis.NewFailoverClient(failoverOptions(a, o)), nil
	case cluster:
		return redis.NewClusterClient(clusterOptions(a, o)), nil
	default:
		o.Addr = a.hosts[0]
		return redis.NewClient(o), nil
	}
}

func setDefault[T comparable](option *T, value T) {
	var unset T
	if *option == unset {
		*option = value
	}
}

func failoverOptions(a address, o *redis.Options) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		MasterName: a.name, SentinelAddrs: a.hosts,
		SentinelUsername: a.sentinelUser, SentinelPassword: a.sentinelPassword,
		Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig,
		ClientName: o.ClientName, Protocol: o.Protocol,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, DialerRetries: o.DialerRetries,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime,
	}
}

func clusterOptions(a address, o *redis.Options) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: a.hosts, MaxRedirects: redirects, ClusterStateReloadInterval: topologyAge,
		Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		ClientName: o.ClientName, Protocol: o.Protocol,
		MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, DialerRetries: o.DialerRetries,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
		MinIdleConns: o.MinIdleConns, MaxIdleConns: o.MaxIdleConns, MaxActiveConns: o.MaxActiveConns,
		ConnMaxIdleTime: o.ConnMaxIdleTime, ConnMaxLifetime: o.ConnMaxLifetime,
	}
}
