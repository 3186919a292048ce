package hook

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

const (
	// TokenLength is how many characters a token has that [Tokens] makes.
	TokenLength = 32
	// MaxPrevious is how many replaced tokens of a hook may have a grace time at once.
	MaxPrevious = 4

	alphabet   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digestSize = sha256.Size
)

// AuthToken is the type of the field in which a hook that is declared as a
// struct takes its token. A handler never gets to see the text: the field tells
// which of the stored tokens it was. It is zero when the request proved itself by a
// signature.
type AuthToken struct{ fingerprint handshake.Fingerprint }

// Fingerprint returns the name of the token in logs and operator commands.
func (t AuthToken) Fingerprint() handshake.Fingerprint { return t.fingerprint }

// newToken makes a token: characters of base62, each as likely as any other, so
// that 190 random bits are in it.
func newToken() string {
	const mask = 1<<6 - 1
	var entropy [2 * TokenLength]byte
	text := make([]byte, 0, TokenLength)
	for {
		_, _ = rand.Read(entropy[:]) // documented never to fail: it ends the program instead
		for _, b := range entropy {
			// What names no character is thrown away, for folding it would make some
			// characters likelier.
			if b &= mask; int(b) >= len(alphabet) {
				continue
			}
			if text = append(text, alphabet[b]); len(text) == TokenLength {
				return string(text)
			}
		}
	}
}

// slot is a stored token as it is compared: live is 1 or 0.
type slot struct {
	digest [digestSize]byte
	live   int
}

// slots are the stored tokens of one hook, or of all hooks that have none of
// their own. There is always the same number of them, so that comparing takes the
// same time whatever is stored: the current one first, then those in their grace
// time.
type slots [1 + MaxPrevious]slot

// match compares a text with all of them. All are compared, whichever is right,
// by their digests: what the time of a comparison could tell is of the digests, from
// which no token can be made. What is not live matches nothing.
func (s *slots) match(text string) (found bool, which handshake.Fingerprint) {
	digest := sha256.Sum256([]byte(text))
	hits := 0
	for i := range s {
		equal := subtle.ConstantTimeCompare(digest[:], s[i].digest[:]) & s[i].live
		hits |= equal
		subtle.ConstantTimeCopy(equal, which[:], s[i].digest[:handshake.FingerprintSize])
	}
	return hits == 1, which
}

// current returns the name of the token that is to be used now; zero when none is
// set.
func (s *slots) current() handshake.Fingerprint {
	if s[0].live == 0 {
		return handshake.Fingerprint{}
	}
	return fingerprintOf(s[0].digest)
}

// entry is what is stored of a hook's tokens: digests and times, no text.
type entry struct {
	// Digest is the SHA-256 of the token; nil when it was revoked.
	Digest []byte `json:"digest,omitempty"`
	// Changed is when the token was created or revoked, in Unix milliseconds.
	Changed int64 `json:"changed"`
	// Previous are replaced tokens in their grace time.
	Previous []previous `json:"previous,omitempty"`
}

type previous struct {
	Digest []byte `json:"digest"`
	// Until is when it stops to be valid, in Unix milliseconds.
	Until int64 `json:"until"`
}

// valid tells whether this package can have written the entry.
func (e *entry) valid() bool {
	if e.Digest != nil && len(e.Digest) != digestSize || len(e.Previous) > MaxPrevious {
		return false
	}
	for _, p := range e.Previous {
		if len(p.Digest) != digestSize {
			return false
		}
	}
	return true
}

// slots returns what can be matched at a time. A nil entry has nothing.
func (e *entry) slots(now time.Time) slots {
	var s slots
	if e == nil {
		return s
	}
	if e.Digest != nil {
		s[0] = slot{digest: [digestSize]byte(e.Digest), live: 1}
	}
	for i, p := range e.Previous {
		if now.UnixMilli() < p.Until {
			s[1+i] = slot{digest: [digestSize]byte(p.Digest), live: 1}
		}
	}
	return s
}
