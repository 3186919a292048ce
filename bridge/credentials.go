package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
)

// Session is what a log-in gave and what every later call carries. It is
// secret: it prints as REDACTED. The zero Session is that of an anonymous
// visitor.
type Session struct {
	// Cookies go with every request below the tracker's base URL. Only name and
	// value are sent.
	Cookies []*http.Cookie
	// Header fields go with every request too: Authorization, say.
	Header map[string]string
	// Members are strings that are put into the first parameter, a struct, of
	// every XML-RPC call. A call without parameters is given one.
	Members map[string]string
}

// String hides the session from logs.
func (*Session) String() string { return "REDACTED" }

// GoString hides the session from %#v.
func (*Session) GoString() string { return "REDACTED" }

// LogValue hides the session from structured logs.
func (*Session) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var _ slog.LogValuer = (*Session)(nil)

// secrets returns the values that must never appear in an error.
func (s *Session) secrets() []string {
	if s == nil {
		return nil
	}
	values := make([]string, 0, len(s.Cookies)+len(s.Header)+len(s.Members))
	for _, c := range s.Cookies {
		values = append(values, c.Value)
	}
	for _, v := range s.Header {
		values = append(values, v)
	}
	for _, v := range s.Members {
		values = append(values, v)
	}
	return values
}

// Secrets are the credentials that an operator configured for one tracker, each
// empty when there is none. It prints as REDACTED.
type Secrets struct {
	User     string
	Password string
	// APIKey is a key that the tracker made for an account (Bugzilla 5).
	APIKey string
	// Token is sent as a bearer token by dialects that have no log-in of their
	// own.
	Token string
}

// String hides the secrets from logs.
func (Secrets) String() string { return "REDACTED" }

// GoString hides the secrets from %#v.
func (Secrets) GoString() string { return "REDACTED" }

// LogValue hides the secrets from structured logs.
func (Secrets) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var _ slog.LogValuer = Secrets{}

// Credentials is what a dialect may log in with. Those that are made are made
// for one log-in and end with it.
type Credentials struct {
	tracker string
	minter  Minter
	secrets Secrets
	revoke  []func(context.Context) error
}

// Configured returns what the operator configured for this tracker.
func (c *Credentials) Configured() Secrets { return c.secrets }

// Token mints a one-time token for the handshake of this tracker. It is revoked
// when the log-in has ended.
func (c *Credentials) Token(ctx context.Context) (string, error) {
	if c.minter == nil {
		return "", apierror.New(apierror.ServerError).WithCause(fmt.Errorf("bridge: tracker %s needs a token and there is no minter", c.tracker))
	}
	token, revoke, err := c.minter.Mint(ctx, c.tracker)
	if err != nil {
		// Not the tracker's failure: an error that is not of the catalogue must
		// not be taken for one.
		return "", apierror.From(fmt.Errorf("minting a token for tracker %s: %w", c.tracker, err))
	}
	if revoke != nil {
		c.revoke = append(c.revoke, revoke)
	}
	return token, nil
}
