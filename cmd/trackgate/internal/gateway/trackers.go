package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
)

// dialects are what trackers can speak, by the names of the configuration, in the
// order in which auto tries them: those with a plugin before those without.
var dialects = []bridge.Named{
	{Name: trac.LaunchpadName, New: trac.NewLaunchpad},
	{Name: bugzilla.LaunchpadName, New: bugzilla.NewLaunchpad},
	{Name: bugzilla.NativeName, New: bugzilla.NewNative},
	{Name: trac.NativeName, New: trac.NewNative},
	{Name: roundup.Name, New: roundup.New},
	{Name: trac.CSVName, New: trac.NewCSV},
	{Name: generic.Name, New: generic.New, Undetectable: true},
}

// newBridge makes the bridge to the configured trackers.
func newBridge(cfg *config.Config, env Environment, stores *stores, authority *handshake.Authority, observer bridge.Observer, admission bridge.Admission) (*bridge.Bridge, error) {
	trackers := make([]bridge.Config, len(cfg.Trackers))
	for i := range cfg.Trackers {
		c, err := trackerConfig(&cfg.Trackers[i])
		if err != nil {
			return nil, fmt.Errorf("tracker %q: %w", cfg.Trackers[i].Name, err)
		}
		trackers[i] = c
	}
	opts := []bridge.Option{
		bridge.WithLogger(env.Logger),
		bridge.WithObserver(observer),
		bridge.WithAdmission(admission),
		bridge.WithTimeLimit(time.Duration(cfg.Bridge.CallTimeout)),
		bridge.WithMaxAnswer(int64(cfg.Bridge.MaxAnswer)),
		bridge.WithBatchSize(cfg.Bridge.BatchSize),
		bridge.WithConnections(cfg.Bridge.Connections),
		bridge.WithCallsPerSecond(cfg.Bridge.CallsPerSecond),
		bridge.WithBreaker(cfg.Bridge.BreakAfter, time.Duration(cfg.Bridge.BreakFor)),
		bridge.WithUserAgent("trackgate/" + env.Version),
	}
	if !stores.shared {
		opts = append(opts, bridge.WithOwnState())
	}
	if cfg.Sessions.KeyFile != "" {
		keys, err := sessionKeys(cfg.Sessions.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("sessions.key_file: %w", err)
		}
		opts = append(opts, bridge.WithSessionKeys(keys))
	}
	return bridge.New(trackers, dialects, minter{authority}, stores.tokens.State(), opts...)
}

// trackerConfig turns a section of the configuration into what the bridge takes.
func trackerConfig(t *config.Tracker) (bridge.Config, error) {
	c := bridge.Config{
		Name:           t.Name,
		URL:            t.URL,
		Dialect:        t.Dialect,
		AllowPrivate:   t.AllowPrivate,
		Connections:    t.Connections,
		CallsPerSecond: t.CallsPerSecond,
		Allow:          t.Allow,
		Deny:           t.Deny,
		States:         make(map[string]bridge.State, len(t.States)),
		Importances:    make(map[string]bridge.Importance, len(t.Importances)),
		Secrets: bridge.Secrets{
			User:     t.Secrets.User,
			Password: t.Secrets.Password.Reveal(),
			APIKey:   t.Secrets.APIKey.Reveal(),
			Token:    t.Secrets.Token.Reveal(),
		},
	}
	for word, state := range t.States {
		c.States[word] = bridge.State(state)
	}
	for word, importance := range t.Importances {
		c.Importances[word] = bridge.Importance(importance)
	}
	if t.CAFile == "" && t.ClientCertFile == "" {
		return c, nil
	}
	c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pool, err := certificates(t.CAFile)
		if err != nil {
			return c, fmt.Errorf("ca_file: %w", err)
		}
		c.TLS.RootCAs = pool
	}
	if t.ClientCertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCertFile, t.ClientKeyFile)
		if err != nil {
			return c, fmt.Errorf("client_cert_file and client_key_file: %w", err)
		}
		c.TLS.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// certificates reads a file of certificates in PEM.
func certificates(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: there is no certificate in PEM in it", path)
	}
	return pool, nil
}

// maxKeyFile bounds a file of keys, in bytes.
const maxKeyFile = 64 << 10

func sessionKeys(path string) (bridge.SessionKeys, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return bridge.SessionKeys{}, err
	}
	keys, err := bridge.ParseSessionKeys(text)
	if err != nil {
		return bridge.SessionKeys{}, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}
