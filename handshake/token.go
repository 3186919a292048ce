package handshake

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
)

// The text of a token: timeLength characters of time, AccountLength of account, the
// rest random.
const (
	// TokenLength is the number of characters of a token.
	TokenLength = 36
	// AccountLength is the number of characters of an [Account].
	AccountLength = 5

	timeLength  = 8
	randomBegin = timeLength + AccountLength
)

// alphabet is base62 in the order of ASCII, so that texts sort as numbers do.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const notInAlphabet = 0xFF

var digits = func() (table [256]byte) {
	for i := range table {
		table[i] = notInAlphabet
	}
	for i := range len(alphabet) {
		table[alphabet[i]] = byte(i)
	}
	return table
}()

// HashSize is the size of a token's hash in bytes: 160 bits of the SHA-256. Who
// wants to make up a token must guess its 135 random bits either way, and the
// bytes that are left out are saved for every token that a store keeps.
const HashSize = 20

// ID identifies a token without giving it away: it is all that a store gets
// to know. Its zero value identifies nothing.
type ID struct {
	// Hash is the beginning of the SHA-256 of the token's text.
	Hash [HashSize]byte
	// Millis is the time of minting that the text carries, in Unix milliseconds.
	Millis int64
}

// Fingerprint returns the token's name in logs and operator commands.
func (id ID) Fingerprint() Fingerprint { return Fingerprint(id.Hash[:FingerprintSize]) }

// Time returns the time of minting that the token's text carries.
func (id ID) Time() time.Time { return time.UnixMilli(id.Millis) }

// ParseToken returns the ID of a token's text, and false for a text that
// cannot be a token. It says nothing about whether the token was ever minted.
func ParseToken(text string) (ID, bool) {
	if len(text) != TokenLength {
		return ID{}, false
	}
	for i := range len(text) {
		if digits[text[i]] == notInAlphabet {
			return ID{}, false
		}
	}
	var millis int64
	for i := range timeLength {
		millis = millis*int64(len(alphabet)) + int64(digits[text[i]])
	}
	var plain [TokenLength]byte
	copy(plain[:], text)
	return newID(plain, millis), true
}

func newID(text [TokenLength]byte, millis int64) ID {
	sum := sha256.Sum256(text[:])
	return ID{Hash: [HashSize]byte(sum[:HashSize]), Millis: millis}
}

// Account is what a token is counted among: AccountLength letters and digits that
// every token carries, "" for none. The text of a token goes to a remote tracker,
// so that an account must say nothing to it: it is a random name, whose meaning
// stays with him who gave it. A tracker can tell by it that two of its tokens
// belong together, and no more.
type Account string

// NewAccount returns a random account. There are 62^5 of them, about 916 million.
func NewAccount() Account {
	var text [AccountLength]byte
	fillRandom(text[:])
	return Account(text[:])
}

// valid tells whether the account can stand in a token.
func (a Account) valid() bool {
	if len(a) != AccountLength {
		return false
	}
	for i := range len(a) {
		if digits[a[i]] == notInAlphabet {
			return false
		}
	}
	return true
}

// accountOf returns the account in the text of a token, as a copy: who keeps it does
// not keep the token.
func accountOf(token string) Account {
	return Account(strings.Clone(token[timeLength:randomBegin]))
}

// hintsTracker tells whether the text of a token says that it was minted for a
// tracker: the value of its first random character is odd then. It is a hint about
// what is worth asking the store first, and what the store has decides: the hash is
// over the whole text, so that a hint can be changed only into that of an unknown
// token.
func hintsTracker(token string) bool { return digits[token[randomBegin]]&1 == 1 }

// newToken makes a token for a time, with the hint whether it is for a tracker.
// Where the account is none, random characters stand in its place. 62^8
// milliseconds reach past the year 8000.
func newToken(now time.Time, account Account, forTracker bool) (string, ID) {
	var text [TokenLength]byte
	millis := now.UnixMilli()
	rest := millis
	for i := timeLength - 1; i >= 0; i-- {
		text[i] = alphabet[rest%int64(len(alphabet))]
		rest /= int64(len(alphabet))
	}
	fillRandom(text[timeLength:])
	if account.valid() {
		copy(text[timeLength:], account)
	}
	hint := digits[text[randomBegin]] &^ 1
	if forTracker {
		hint |= 1
	}
	text[randomBegin] = alphabet[hint]
	return string(text[:]), newID(text, millis)
}

// fillRandom fills dst with characters of the alphabet, each as likely as any
// other: six random bits that name no character are thrown away, not folded.
// The 32 bytes of one read hold 40 such draws, so that a second read is rare
// for the 28 characters of a token.
func fillRandom(dst []byte) {
	const (
		bits      = 6
		perWord   = 64 / bits
		wordBytes = 8
	)
	var entropy [4 * wordBytes]byte
	filled := 0
	for {
		_, _ = rand.Read(entropy[:]) // documented never to fail: it ends the program instead
		for at := 0; at < len(entropy); at += wordBytes {
			word := binary.LittleEndian.Uint64(entropy[at:])
			for range perWord {
				index := word & (1<<bits - 1)
				word >>= bits
				if index >= uint64(len(alphabet)) {
					continue
				}
				dst[filled] = alphabet[index]
				if filled++; filled == len(dst) {
					return
				}
			}
		}
	}
}
