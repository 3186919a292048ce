package hook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Limits of the secrets with which signatures are made.
const (
	// MaxSecrets is how many a hook may have at a time.
	MaxSecrets = 8
	// MinSecret is how short one may be, in bytes: what is shorter can be guessed from
	// one signed request.
	MinSecret = 16
	// MaxSecret is how long one may be, in bytes.
	MaxSecret = 1024

	// Those of Standard Webhooks, after base64.
	minWebhookKey = 24
	maxWebhookKey = 64

	webhookPrefix = "whsec_"
)

// Secret is what the signatures of a hook's requests are made with. It prints as
// REDACTED.
type Secret struct {
	// A pointer, so that nothing that prints a struct around it prints the secret.
	text *string
}

// NewSecret returns the secret of a text as it stands in a file: for
// [MethodWebhook] it begins with "whsec_" and goes on in base64, for [MethodHub] it
// is the bytes. White space around it is not part of it.
func NewSecret(text []byte) Secret {
	trimmed := strings.TrimSpace(string(text))
	return Secret{text: &trimmed}
}

// String hides the secret from logs.
func (Secret) String() string { return "REDACTED" }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return "REDACTED" }

// LogValue hides the secret from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// MarshalText hides the secret from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte("REDACTED"), nil }

func (s Secret) webhookKey() ([]byte, error) {
	if s.text == nil {
		return nil, errors.New("the secret is empty")
	}
	encoded, ok := strings.CutPrefix(*s.text, webhookPrefix)
	if !ok {
		return nil, fmt.Errorf("a secret of Standard Webhooks begins with %s", webhookPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		key, err = base64.RawStdEncoding.DecodeString(encoded)
	}
	if err != nil {
		return nil, fmt.Errorf("what follows %s is not base64", webhookPrefix)
	}
	if len(key) < minWebhookKey || len(key) > maxWebhookKey {
		return nil, fmt.Errorf("a secret of Standard Webhooks has %d to %d bytes, not %d", minWebhookKey, maxWebhookKey, len(key))
	}
	return key, nil
}

func (s Secret) hubKey() ([]byte, error) {
	switch {
	case s.text == nil || *s.text == "":
		return nil, errors.New("the secret is empty")
	case len(*s.text) < MinSecret || len(*s.text) > MaxSecret:
		return nil, fmt.Errorf("a secret has %d to %d bytes, not %d", MinSecret, MaxSecret, len(*s.text))
	}
	return []byte(*s.text), nil
}
