package handshake

import (
	"encoding/hex"
	"errors"
)

// FingerprintSize is the size of a fingerprint in bytes; its text is twice as long.
const FingerprintSize = 8

// Fingerprint names a token in logs, in the audit trail and in operator
// commands: the first 16 hexadecimal digits of the hash of its text. It cannot
// be turned into the token.
type Fingerprint [FingerprintSize]byte

// ErrFingerprint is returned for a text that is no fingerprint.
var ErrFingerprint = errors.New("a fingerprint is 16 hexadecimal digits, as the log shows it")

// ParseFingerprint reads what [Fingerprint.String] writes.
func ParseFingerprint(text string) (Fingerprint, error) {
	var f Fingerprint
	if len(text) != hex.EncodedLen(FingerprintSize) {
		return Fingerprint{}, ErrFingerprint
	}
	if _, err := hex.Decode(f[:], []byte(text)); err != nil {
		return Fingerprint{}, ErrFingerprint
	}
	return f, nil
}

// String returns the fingerprint as 16 lower-case hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText writes the fingerprint as String does, for JSON and logs.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	parsed, err := ParseFingerprint(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

// IsZero tells whether there is no fingerprint, as for a malformed token.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }
