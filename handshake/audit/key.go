package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

const (
	// MaxKeys is how many keys a key file may hold: the one that signs, and those
	// before it.
	MaxKeys = 16

	keySize   = 32
	keyIDSize = 4
	// keyIDPrefix keeps the ID of a key apart from other hashes of it.
	keyIDPrefix = "trackgate audit key id"
)

// KeyID tells keys apart without telling anything of them.
type KeyID [keyIDSize]byte

// String returns the ID as 8 lower-case hexadecimal digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// Key is what the entries of a chain are signed with. The zero value is none: the
// MACs are then plain hashes. It prints as REDACTED.
type Key struct {
	// A pointer, so that nothing that prints a struct around it prints the key.
	secret *[keySize]byte
	id     KeyID
}

// NewKey returns a key of 32 secret bytes.
func NewKey(secret [keySize]byte) Key {
	sum := sha256.Sum256(append([]byte(keyIDPrefix), secret[:]...))
	return Key{secret: &secret, id: KeyID(sum[:keyIDSize])}
}

// ID returns the key's ID; it is zero for no key.
func (k Key) ID() KeyID { return k.id }

// IsZero tells whether there is no key.
func (k Key) IsZero() bool { return k.secret == nil }

// String hides the key from logs.
func (Key) String() string { return "REDACTED" }

// GoString hides the key from %#v.
func (Key) GoString() string { return "REDACTED" }

// LogValue hides the key from structured logs.
func (Key) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Keys are the keys of a trail: the first signs, all verify. The zero value has
// none. It prints as REDACTED.
type Keys struct{ keys []Key }

// String hides the keys from logs.
func (Keys) String() string { return "REDACTED" }

// GoString hides the keys from %#v.
func (Keys) GoString() string { return "REDACTED" }

// LogValue hides the keys from structured logs.
func (Keys) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var (
	_ slog.LogValuer = Key{}
	_ slog.LogValuer = Keys{}
)

// Len tells how many keys there are.
func (k Keys) Len() int { return len(k.keys) }

// Signing returns the key that signs, the zero Key when there is none.
func (k Keys) Signing() Key {
	if len(k.keys) == 0 {
		return Key{}
	}
	return k.keys[0]
}

// ParseKeys reads keys, one a line: 32 bytes in base64, of the standard or the
// URL-safe alphabet, padded or not. Space around a key, empty lines, and lines
// that begin with # mean nothing. There must be a key, no more than [MaxKeys], and
// none twice. Errors name the line and nothing that stands in it.
//
// A key that signs no more must stay for as long as the trail has entries that it
// signed: without it they cannot be verified, nor what they say be relied on.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	lines := map[KeyID]int{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		switch {
		case err != nil:
		case lines[key.id] != 0:
			err = fmt.Errorf("it is the key of line %d again, or has the same ID: each may stand there once", lines[key.id])
		case len(keys.keys) == MaxKeys:
			err = fmt.Errorf("there are more than %d keys: remove the oldest, which stand last", MaxKeys)
		}
		if err != nil {
			return Keys{}, fmt.Errorf("audit: keys, line %d: %w", number, err)
		}
		lines[key.id] = number
		keys.keys = append(keys.keys, key)
	}
	if len(keys.keys) == 0 {
		return Keys{}, errors.New("audit: there is no key: write one, 32 random bytes in base64, on a line of its own")
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	alphabet := base64.StdEncoding
	if strings.ContainsAny(line, "-_") {
		alphabet = base64.URLEncoding
	}
	if !strings.HasSuffix(line, "=") {
		alphabet = alphabet.WithPadding(base64.NoPadding)
	}
	secret, err := alphabet.Strict().DecodeString(line)
	switch {
	case err != nil: // its text would tell where in the key
		return Key{}, errors.New("it is not base64")
	case len(secret) != keySize:
		return Key{}, fmt.Errorf("it is a key of %d bytes: it must be of %d", len(secret), keySize)
	}
	return NewKey([keySize]byte(secret)), nil
}
