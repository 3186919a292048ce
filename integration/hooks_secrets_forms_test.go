package integration

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// secretKeeper keeps the secrets of a run, and all that was said where they must not be.
type secretKeeper struct {
	secrets map[string]string // what each is
	said    strings.Builder
}

// keep adds a secret and returns it.
func (k *secretKeeper) keep(what, secret string) string {
	k.secrets[secret] = what
	return secret
}

// hear adds what was said.
func (k *secretKeeper) hear(answers ...any) {
	for _, answer := range answers {
		fmt.Fprintln(&k.said, answer)
	}
}

// encodings are a secret as it is and as programs write what they do not want to be read: hexadecimal,
// base64 wherever in a longer text it begins, and as in a URL.
func encodings(secret string) map[string]string {
	all := map[string]string{
		"as it is": secret, "in hex": hex.EncodeToString([]byte(secret)), "in HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"in a form": url.QueryEscape(secret), "in a path": url.PathEscape(secret), "quoted": strings.Trim(strconv.Quote(secret), `"`),
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
			// The first and the last characters hang on what stands beside the secret.
			first := (before*8 + 5) / 6
			all[fmt.Sprintf("in %s after %d bytes", name, before)] = text[first : len(text)-1]
		}
	}
	return all
}

// check looks for each secret in each form.
func (k *secretKeeper) check(t *testing.T) {
	t.Helper()
	output := k.said.String()
	for secret, what := range k.secrets {
		if len(secret) < 10 {
			t.Errorf("%s is too short to be looked for", what)
			continue
		}
		for form, text := range encodings(secret) {
			if at := strings.Index(output, text); at >= 0 {
				t.Errorf("%s was seen %s in …%q…", what, form, output[max(0, at-200):min(len(output), at+len(text)+50)])
			}
		}
	}
}

func randomKey(t *testing.T) (key []byte, line string) {
	t.Helper()
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	return key, base64.StdEncoding.EncodeToString(key)
}
