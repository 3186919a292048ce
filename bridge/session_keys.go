package bridge

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

const (
	// MaxSessionKeys is how many keys for sessions there may be: the one that
	// encrypts, and those before it.
	MaxSessionKeys = 16
	// maxKept bounds a kept session, as stored, in bytes. A larger one is not
	// kept, and one that is found is not read.
	maxKept = 64 << 10

	sessionKeySize = 32 // of AES-256
	// sealedVersion is the first byte of a kept session. The rest is the nonce
	// and what AES-256-GCM made of the JSON of a keptSession.
	sealedVersion = 1
)

// SessionKeys are the keys that sessions are encrypted with where they are kept
// in the state store: the first encrypts, all decrypt. The zero value has none,
// and sessions are then not kept. It prints as REDACTED.
type SessionKeys struct {
	// The keys themselves are not held, so that nothing prints them.
	ciphers []cipher.AEAD
}

// String hides the keys from logs.
func (SessionKeys) String() string { return "REDACTED" }

// GoString hides the keys from %#v.
func (SessionKeys) GoString() string { return "REDACTED" }

// LogValue hides the keys from structured logs.
func (SessionKeys) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var _ slog.LogValuer = SessionKeys{}

// ParseSessionKeys reads keys, one a line: 32 bytes in base64, of the standard or
// the URL-safe alphabet, padded or not. Space around a key, empty lines, and lines
// that begin with # mean nothing. There must be a key, no more than
// [MaxSessionKeys], and none twice. Errors name the line and nothing that stands
// in it.
func ParseSessionKeys(text string) (SessionKeys, error) {
	var keys SessionKeys
	lines := map[[sessionKeySize]byte]int{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := parseSessionKey(line)
		if err == nil && lines[key] != 0 {
			err = fmt.Errorf("it is the key of line %d again: each may stand there once", lines[key])
		}
		if err == nil && len(lines) == MaxSessionKeys {
			err = fmt.Errorf("there are more than %d keys: remove the oldest, which stand last", MaxSessionKeys)
		}
		if err != nil {
			return SessionKeys{}, fmt.Errorf("bridge: session keys, line %d: %w", number, err)
		}
		lines[key] = number
		gcm, err := newSessionCipher(key)
		if err != nil {
			return SessionKeys{}, fmt.Errorf("bridge: session keys, line %d: %w", number, err)
		}
		keys.ciphers = append(keys.ciphers, gcm)
	}
	if len(keys.ciphers) == 0 {
		return SessionKeys{}, errors.New("bridge: there is no session key: write one, 32 random bytes in base64, on a line of its own")
	}
	return keys, nil
}

func parseSessionKey(line string) (key [sessionKeySize]byte, err error) {
	alphabet := base64.StdEncoding
	if strings.ContainsAny(line, "-_") {
		alphabet = base64.URLEncoding
	}
	if !strings.HasSuffix(line, "=") {
		alphabet = alphabet.WithPadding(base64.NoPadding)
	}
	decoded, err := alphabet.Strict().DecodeString(line)
	switch {
	case err != nil: // its text would tell where in the key
		return key, errors.New("it is not base64")
	case len(decoded) != sessionKeySize:
		return key, fmt.Errorf("it is a key of %d bytes: it must be of %d", len(decoded), sessionKeySize)
	}
	return [sessionKeySize]byte(decoded), nil
}

func newSessionCipher(key [sessionKeySize]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// errUnreadable is the failure of a kept session that no key decrypts: it was
// encrypted with another key, for another tracker or account, or changed.
var errUnreadable = errors.New("bridge: a kept session is not readable with the configured keys")

// seal encrypts a session with the first key, so that it can be opened for the
// same binding alone.
func (k SessionKeys) seal(kept keptSession, binding []byte) ([]byte, error) {
	plain, err := json.Marshal(kept)
	if err != nil {
		return nil, err
	}
	sealed := k.ciphers[0].Seal([]byte{sealedVersion}, nil, plain, binding)
	if len(sealed) > maxKept {
		return nil, fmt.Errorf("bridge: a session of %d bytes is too large to be kept: the limit is %d", len(sealed), maxKept)
	}
	return sealed, nil
}

// open decrypts what seal made. It tells whether that was not done with the first
// key.
func (k SessionKeys) open(sealed, binding []byte) (kept keptSession, rotate bool, err error) {
	if len(sealed) == 0 || len(sealed) > maxKept || sealed[0] != sealedVersion {
		return keptSession{}, false, errUnreadable
	}
	for i, gcm := range k.ciphers {
		plain, err := gcm.Open(nil, nil, sealed[1:], binding)
		if err != nil {
			continue
		}
		kept, err := parseKept(plain)
		return kept, i > 0, err
	}
	return keptSession{}, false, errUnreadable
}

// keptSession is a session as it is encrypted, in JSON. Values are bytes, since
// JSON would not keep those that are not UTF-8.
type keptSession struct {
	// ID tells sessions apart, whichever gateway made them and whichever key
	// encrypted them.
	ID      string            `json:"id"`
	Cookies []keptCookie      `json:"cookies,omitempty"`
	Header  map[string][]byte `json:"header,omitempty"`
	Members map[string][]byte `json:"members,omitempty"`
}

type keptCookie struct {
	Name   string `json:"name"`
	Value  []byte `json:"value"`
	Quoted bool   `json:"quoted,omitempty"`
}

var _ slog.LogValuer = keptSession{}

// String hides the session from logs.
func (keptSession) String() string { return "REDACTED" }

// GoString hides the session from %#v.
func (keptSession) GoString() string { return "REDACTED" }

// LogValue hides the session from structured logs.
func (keptSession) LogValue() slog.Value { return slog.StringValue("REDACTED") }

func keptOf(id string, s *Session) keptSession {
	kept := keptSession{ID: id, Header: toBytes(s.Header), Members: toBytes(s.Members)}
	for _, c := range s.Cookies {
		kept.Cookies = append(kept.Cookies, keptCookie{Name: c.Name, Value: []byte(c.Value), Quoted: c.Quoted})
	}
	return kept
}

// session is the session that was kept.
func (k keptSession) session() *Session {
	s := &Session{Header: toStrings(k.Header), Members: toStrings(k.Members)}
	for _, c := range k.Cookies {
		s.Cookies = append(s.Cookies, &http.Cookie{Name: c.Name, Value: string(c.Value), Quoted: c.Quoted})
	}
	return s
}

// errNotUnderstood is the failure of a session that was decrypted and is of
// another version of the gateway. What it holds stays out of the text.
var errNotUnderstood = errors.New("bridge: a kept session is not understood")

// parseKept reads what was decrypted. A member that is not known may be one that
// the session cannot do without, and is an error.
func parseKept(plain []byte) (keptSession, error) {
	var kept keptSession
	decoder := json.NewDecoder(bytes.NewReader(plain))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&kept); err != nil || kept.ID == "" || kept.session().anonymous() {
		return keptSession{}, errNotUnderstood
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return keptSession{}, errNotUnderstood
	}
	return kept, nil
}

// anonymous tells whether the session is that of an anonymous visitor.
func (s *Session) anonymous() bool {
	return len(s.Cookies) == 0 && len(s.Header) == 0 && len(s.Members) == 0
}

func toBytes(values map[string]string) map[string][]byte {
	if len(values) == 0 {
		return nil
	}
	m := make(map[string][]byte, len(values))
	for name, value := range values {
		m[name] = []byte(value)
	}
	return m
}

func toStrings(values map[string][]byte) map[string]string {
	if len(values) == 0 {
		return nil
	}
	m := make(map[string]string, len(values))
	for name, value := range values {
		m[name] = string(value)
	}
	return m
}

// configured tells whether a session is no more than what the operator configured,
// which took no log-in: to keep it would save nothing, and put it into the store.
func (s *Session) configured(secrets Secrets) bool {
	if _, basic := s.Header["Authorization"]; basic {
		return true
	}
	for _, value := range s.Members {
		if value != "" && value == secrets.APIKey {
			return true
		}
	}
	return false
}
