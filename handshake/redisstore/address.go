package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrURL is returned for a text that is no URL of a Redis. The text is never
// shown: it may hold a password.
var ErrURL = errors.New("not a URL of the form redis://[user:password@]host[:port][/db], " +
	"redis+sentinel://host,host/name[/db] or redis+cluster://host,host, with rediss for TLS")

// topology is how the servers behind a URL belong together.
type topology int

const (
	standalone topology = iota
	sentinel
	cluster
)

// scheme is what the first part of a URL says.
type scheme struct {
	topology topology
	tls      bool
	port     string // of a host without one
}

var schemes = map[string]scheme{
	"redis":           {standalone, false, redisPort},
	"rediss":          {standalone, true, redisPort},
	"redis+sentinel":  {sentinel, false, sentinelPort},
	"rediss+sentinel": {sentinel, true, sentinelPort},
	"redis+cluster":   {cluster, false, redisPort},
	"rediss+cluster":  {cluster, true, redisPort},
}

const (
	redisPort    = "6379"
	sentinelPort = "26379"
	maxPort      = 1<<16 - 1
)

// address is a URL taken apart.
type address struct {
	topology                       topology
	hosts                          []string // host:port
	name                           string   // what sentinels call the primary
	db                             int
	user, password                 string
	sentinelUser, sentinelPassword string
	tls                            *tls.Config
	options                        *redis.Options
}

func parseAddress(text string) (address, error) {
	raw, err := split(text)
	if err != nil {
		return address{}, err
	}
	a := address{topology: raw.scheme.topology}
	if raw.user != nil {
		a.user = raw.user.Username()
		a.password, _ = raw.user.Password()
	}
	for _, host := range raw.hosts {
		full, err := withPort(host, raw.scheme.port)
		if err != nil {
			return address{}, err
		}
		a.hosts = append(a.hosts, full)
	}
	if a.topology == standalone && len(a.hosts) != 1 {
		return address{}, urlError("it has several hosts, which only redis+sentinel and redis+cluster can have")
	}
	if err := a.readPath(raw.path); err != nil {
		return address{}, err
	}
	return a, a.readQuery(raw)
}

// rawAddress holds the parts of a URL. url.Parse takes no list of hosts.
type rawAddress struct {
	scheme     scheme
	schemeName string
	user       *url.Userinfo
	hosts      []string
	path       string
	query      string
}

func split(text string) (rawAddress, error) {
	name, rest, found := strings.Cut(text, "://")
	kind, known := schemes[name]
	if !found || !known || strings.Contains(rest, "#") {
		return rawAddress{}, ErrURL
	}
	raw := rawAddress{scheme: kind, schemeName: name}
	rest, raw.query, _ = strings.Cut(rest, "?")
	rest, raw.path, _ = strings.Cut(rest, "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		// The standard library knows how user and password are escaped.
		u, err := url.Parse("redis://" + rest[:at] + "@host")
		if err != nil {
			return rawAddress{}, ErrURL
		}
		raw.user, rest = u.User, rest[at+1:]
	}
	raw.hosts = strings.Split(rest, ",")
	return raw, nil
}

func withPort(host, port string) (string, error) {
	u, err := url.Parse("redis://" + host)
	if err != nil || strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") || u.Hostname() == "" || u.User != nil || u.Host != host {
		return "", ErrURL
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if number, err := strconv.Atoi(port); err != nil || number < 1 || number > maxPort {
		return "", ErrURL
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// readPath reads what follows the hosts: the primary's name and the database.
func (a *address) readPath(path string) error {
	path = strings.TrimSuffix(path, "/")
	if strings.Contains(path, "@") { // the end of a password that was not escaped
		return ErrURL
	}
	if a.topology == sentinel {
		name, db, _ := strings.Cut(path, "/")
		unescaped, err := url.PathUnescape(name)
		if err != nil || unescaped == "" {
			return urlError("the name that the sentinels have for the primary must follow their addresses")
		}
		a.name, path = unescaped, db
	}
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	switch {
	case err != nil || db < 0:
		return urlError("the database must be a number")
	case a.topology == cluster && db != 0:
		return urlError("a cluster has the database 0 only")
	}
	a.db = db
	return nil
}

func (a *address) readQuery(raw rawAddress) error {
	query, err := url.ParseQuery(raw.query)
	if err != nil {
		return ErrURL
	}
	take := func(name string) string {
		value := query.Get(name)
		query.Del(name)
		return value
	}
	ca, serverName := take("ca"), take("server_name")
	a.sentinelUser, a.sentinelPassword = take("sentinel_user"), take("sentinel_password")
	if a.topology != sentinel && a.sentinelUser+a.sentinelPassword != "" {
		return urlError("sentinel_user and sentinel_password are for redis+sentinel")
	}
	for _, name := range refused {
		if query.Has(name) {
			return urlError("it has an option that is not supported")
		}
	}
	a.options, err = redis.ParseURL("redis://host/?" + query.Encode())
	if err != nil {
		return urlError("it has an option that is not known, or whose value cannot be read")
	}
	if raw.scheme.tls {
		return a.readTLS(ca, serverName)
	}
	if ca+serverName != "" {
		return urlError("ca and server_name are for TLS: write rediss instead of redis")
	}
	return nil
}

// refused are options that go-redis knows and that are not offered: the database
// stands in the path, certificates are always checked, and the rest would change
// what the store relies on.
var refused = []string{"db", "skip_verify", "pipeline_pool_size", "pipeline_read_buffer_size", "pipeline_write_buffer_size"}

func (a *address) readTLS(ca, serverName string) error {
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if serverName == "" && a.topology == standalone {
		a.tls.ServerName, _, _ = net.SplitHostPort(a.hosts[0])
	}
	if ca == "" {
		return nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("the file that the option ca of the Redis URL names cannot be read: %w", err)
	}
	a.tls.RootCAs = x509.NewCertPool()
	if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("the file %s, which the option ca of the Redis URL names, holds no certificate in PEM", ca)
	}
	return nil
}

func urlError(what string) error { return fmt.Errorf("%w: %s", ErrURL, what) }

// Redacted returns a Redis URL as it may be shown: scheme, hosts, primary's name
// and database, without user, password and options.
func Redacted(text string) string {
	raw, err := split(text)
	if err != nil {
		return unreadable
	}
	for _, host := range raw.hosts {
		if _, err := withPort(host, raw.scheme.port); err != nil {
			return unreadable
		}
	}
	if (&address{topology: raw.scheme.topology}).readPath(raw.path) != nil {
		return unreadable
	}
	shown := raw.schemeName + "://" + strings.Join(raw.hosts, ",")
	if raw.path != "" {
		shown += "/" + raw.path
	}
	return shown
}

const unreadable = "redis://(unreadable)"
