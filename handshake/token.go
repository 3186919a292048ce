package handshake

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// The text of a token: timeLength characters of time, the rest random.
const (
	// TokenLength is the number of characters of a token.
	TokenLength = 32
	timeLength  = 8
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
// wants to make up a token must guess its 143 random bits either way, and the
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

// newToken makes a token for a time. 62^8 milliseconds reach past the year 8000.
func newToken(now time.Time) (string, ID) {
	var text [TokenLength]byte
	millis := now.UnixMilli()
	rest := millis
	for i := timeLength - 1; i >= 0; i-- {
		text[i] = alphabet[rest%int64(len(alphabet))]
		rest /= int64(len(alphabet))
	}
	fillRandom(text[timeLength:])
	return string(text[:]), newID(text, millis)
}

// fillRandom fills dst with characters of the alphabet, each as likely as any
// other: six random bits that name no character are thrown away, not folded.
// The 32 bytes of one read hold 40 such draws, so that a second read is rare
// for the 24 characters of a token.
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
