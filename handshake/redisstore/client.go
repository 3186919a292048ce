package redisstore

import (
	"errors"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
)

// Time limits of the clients that [NewClient] makes. A call waits for the
// pipeline that is under way and then for its own, each of which may be sent
// twice: a Redis that hangs is noticed within about five seconds.
const (
	dialTimeout = time.Second
	ioTimeout   = time.Second
	retries     = 1
	minBackoff  = 10 * time.Millisecond
	maxBackoff  = 100 * time.Millisecond
)

// ErrURL is returned for a text that is no Redis URL. The text is not shown: it
// may hold a password.
var ErrURL = errors.New("not a URL of the form redis://[user:password@]host[:port][/db], with rediss for TLS")

// NewClient returns a client for a redis:// or rediss:// URL, with short time
// limits. It does not connect. The URL's own parameters (read_timeout and so
// on, as go-redis documents them) come before the limits of this package.
func NewClient(address string) (redis.UniversalClient, error) {
	options, err := redis.ParseURL(address)
	if err != nil {
		return nil, ErrURL
	}
	setDefault(&options.DialTimeout, dialTimeout)
	setDefault(&options.ReadTimeout, ioTimeout)
	setDefault(&options.WriteTimeout, ioTimeout)
	setDefault(&options.MinRetryBackoff, minBackoff)
	setDefault(&options.MaxRetryBackoff, maxBackoff)
	setDefault(&options.MaxRetries, retries)
	setDefault(&options.DialerRetries, 1)
	return redis.NewClient(options), nil
}

func setDefault[T comparable](option *T, value T) {
	var unset T
	if *option == unset {
		*option = value
	}
}

// Redacted returns a Redis URL as it may be shown: scheme, host and database,
// without user, password and parameters.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "redis://(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
