package redisstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestAURLOfEveryFormIsRead(t *testing.T) {
	for _, test := range []struct {
		text     string
		topology topology
		hosts    []string
		want     address
	}{
		{"redis://host", standalone, []string{"host:6379"}, address{}},
		{"redis://u:p%40x@host:1/3", standalone, []string{"host:1"}, address{user: "u", password: "p@x", db: 3}},
		{"redis://:p@[::1]:7/", standalone, []string{"[::1]:7"}, address{password: "p"}},
		{"redis+sentinel://a,b:2/main", sentinel, []string{"a:26379", "b:2"}, address{name: "main"}},
		{"redis+sentinel://:p@a,[::1]/main/4?sentinel_user=s&sentinel_password=w", sentinel, []string{"a:26379", "[::1]:26379"},
			address{name: "main", db: 4, password: "p", sentinelUser: "s", sentinelPassword: "w"}},
		{"redis+cluster://u:p@a,b:2,c", cluster, []string{"a:6379", "b:2", "c:6379"}, address{user: "u", password: "p"}},
		{"redis+cluster://a/0", cluster, []string{"a:6379"}, address{}},
	} {
		a, err := parseAddress(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if a.topology != test.topology || !slices.Equal(a.hosts, test.hosts) || a.name != test.want.name || a.db != test.want.db ||
			a.user != test.want.user || a.password != test.want.password || a.tls != nil ||
			a.sentinelUser != test.want.sentinelUser || a.sentinelPassword != test.want.sentinelPassword {
			t.Errorf("%s is read as %+v", test.text, a)
		}
	}
	for _, text := range []string{"rediss://host", "rediss+sentinel://host/main", "rediss+cluster://host"} {
		if a, err := parseAddress(text); err != nil || a.tls == nil || a.tls.InsecureSkipVerify {
			t.Errorf("%s: TLS %v, error %v", text, a.tls, err)
		}
	}
}

func TestAURLThatMakesNoSenseIsAnErrorThatShowsNothingOfIt(t *testing.T) {
	const secret = "s3cret"
	for _, text := range []string{
		"", secret, "http://" + secret, "redis:" + secret, "unix:///" + secret, "redis://", "redis://" + secret + ":x", "redis://a:0", "redis://a:70000",
		"redis://a,b", "redis://a/" + secret, "redis://a/-1", "redis://a/1/2", "redis://:" + secret + "/x@a", "redis://u:1/" + secret + "@a",
		"redis://:" + secret + "%zz@a", "redis://a#" + secret, "redis://a?password=" + secret, "redis://a?" + secret + "=1", "redis://a?db=1",
		"redis://a?read_timeout=" + secret, "redis://a?%zz" + secret, "redis://a?ca=" + secret, "redis://a?server_name=" + secret,
		"redis://a?sentinel_password=" + secret, "rediss://a?skip_verify=true", "redis://::1", "redis://a,,b", "redis+cluster://a,", "redis+cluster://a/1",
		"redis+sentinel://a", "redis+sentinel://a/", "redis+sentinel://a/main/" + secret, "redis+sentinel://a/main@" + secret, "redis+sentinel://a/main/1/2",
	} {
		_, err := NewClient(text)
		if !errors.Is(err, ErrURL) {
			t.Errorf("%s: %v, want ErrURL", text, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("shown: %v", err)
		}
		if shown := Redacted(text); strings.Contains(shown, secret) && !strings.HasPrefix(text, "redis+sentinel://a/main") {
			t.Errorf("%s is redacted to %s", text, shown)
		}
	}
}

func TestAFileOfCertificatesThatCannotBeReadIsNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".not"} {
		if _, err := NewClient("rediss://a?ca=" + file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%v", err)
		}
	}
}

func TestARedactedURLKeepsWhereItPoints(t *testing.T) {
	for text, want := range map[string]string{
		"redis+sentinel://u:x@a,b:2/main/1?sentinel_password=x": "redis+sentinel://a,b:2/main/1",
		"rediss+cluster://:x@a:1,b?ca=x":                        "rediss+cluster://a:1,b",
		"redis://a:b:c":                                         unreadable,
	} {
		if got := Redacted(text); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
}

func TestOptionsReachEveryKindOfClient(t *testing.T) {
	const options = "?read_timeout=7s&pool_size=3&client_name=gate"
	single := func(text string) *redis.Options {
		client, err := NewClient(text + options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client.(*redis.Client).Options()
	}
	for _, o := range []*redis.Options{single("redis://a"), single("redis+sentinel://a/main")} {
		if o.ReadTimeout != 7*time.Second || o.PoolSize != 3 || o.ClientName != "gate" || o.DialTimeout != dialTimeout || o.MaxRetries != retries {
			t.Errorf("options %+v", o)
		}
	}
	if o := single("redis+sentinel://a/main"); o.Addr != failoverAddr {
		t.Errorf("the client for sentinels has the address %s: the fence cannot tell it by %s", o.Addr, failoverAddr)
	}
	client, err := NewClient("redis+cluster://a" + options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	o := client.(*redis.ClusterClient).Options()
	if o.ReadTimeout != 7*time.Second || o.PoolSize != 3 || o.ClientName != "gate" || o.DialTimeout != dialTimeout {
		t.Errorf("options %+v", o)
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("redis://u:p@host:1/3?read_timeout=1s")
	f.Add("redis+sentinel://u:p@a,[::1]:2/main/1?sentinel_password=x")
	f.Add("rediss+cluster://a,b:7000?server_name=x")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "ca=") {
			return // names a file
		}
		a, err := parseAddress(text)
		if err == nil && (len(a.hosts) == 0 || a.options == nil) {
			t.Errorf("%q is read as %+v", text, a)
		}
		if shown := Redacted(text); err == nil && shown == unreadable {
			t.Errorf("%q is read and cannot be shown", text)
		}
	})
}
