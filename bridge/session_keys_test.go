package bridge

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestKeysAreReadInEveryFormOfBase64(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16) // of + and / in the standard alphabet
	sealing, err := ParseSessionKeys(base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealing.seal(keptOf("id", &Session{Header: map[string]string{"a": "b"}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"standard":             base64.StdEncoding.EncodeToString(raw),
		"standard, not padded": base64.RawStdEncoding.EncodeToString(raw),
		"URL-safe":             base64.URLEncoding.EncodeToString(raw),
		"URL-safe, not padded": base64.RawURLEncoding.EncodeToString(raw),
		"comments and space":   "# the key\r\n\r\n \t" + base64.StdEncoding.EncodeToString(raw) + " \r\n  # the end",
		"the second":           keyText(1) + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n",
	} {
		keys, err := ParseSessionKeys(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, rotate, err := keys.open(sealed, nil); err != nil || rotate != (name == "the second") {
			t.Errorf("%s: %v, rotate %v", name, err, rotate)
		}
	}
}

func TestAKeyThatCannotBeUsedIsNamedByItsLineAlone(t *testing.T) {
	var most strings.Builder
	for n := range byte(MaxSessionKeys) {
		fmt.Fprintln(&most, keyText(n))
	}
	if keys, err := ParseSessionKeys(most.String()); err != nil || len(keys.ciphers) != MaxSessionKeys {
		t.Fatalf("%d keys, %v", len(keys.ciphers), err)
	}
	for name, tc := range map[string]struct{ text, says string }{
		"nothing":           {"", "there is no session key"},
		"comments alone":    {"# none\n\n", "there is no session key"},
		"not base64":        {"# a\n" + keyText(1) + "\nhunter2!\n", "line 3: it is not base64"},
		"two on a line":     {keyText(1) + " " + keyText(2), "line 1: it is not base64"},
		"both alphabets":    {"-+" + strings.Repeat("A", 41), "line 1: it is not base64"},
		"bits left over":    {strings.Repeat("A", 42) + "B", "line 1: it is not base64"},
		"too short":         {base64.StdEncoding.EncodeToString(make([]byte, 31)), "line 1: it is a key of 31 bytes: it must be of 32"},
		"too long":          {base64.StdEncoding.EncodeToString(make([]byte, 33)), "line 1: it is a key of 33 bytes: it must be of 32"},
		"hexadecimal":       {strings.Repeat("0f", 32), "line 1: it is a key of 48 bytes"},
		"the same again":    {keyText(1) + "\n" + keyText(2) + "\n" + keyText(1), "line 3: it is the key of line 1 again"},
		"in another form":   {keyText(1) + "\n" + strings.TrimRight(keyText(1), "="), "line 2: it is the key of line 1 again"},
		"more than allowed": {most.String() + keyText(99), fmt.Sprintf("line %d: there are more than %d keys", MaxSessionKeys+1, MaxSessionKeys)},
	} {
		_, err := ParseSessionKeys(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.says)
			continue
		}
		for line := range strings.Lines(tc.text) {
			if line = strings.TrimSpace(line); line != "" && strings.Contains(err.Error(), line) {
				t.Errorf("%s: the error quotes the file: %v", name, err)
			}
		}
	}
}

func TestKeysPrintAsRedacted(t *testing.T) {
	keys := testKeys(t, 1)
	kept := keptOf("id", &Session{Header: map[string]string{"a": "secret"}})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "keys", keys)
	for _, text := range []string{
		fmt.Sprint(keys), fmt.Sprintf("%+v", keys), fmt.Sprintf("%#v", keys), log.String(),
		fmt.Sprint(kept), fmt.Sprintf("%+v", kept), fmt.Sprintf("%#v", kept),
	} {
		if !strings.Contains(text, "REDACTED") {
			t.Errorf("it prints as %s", text)
		}
	}
}

func TestTheSameSessionIsNeverEncryptedAlikeTwice(t *testing.T) {
	keys, seen := testKeys(t, 1), map[string]bool{}
	for range 100 {
		sealed, err := keys.seal(keptOf("id", &Session{Header: map[string]string{"a": "b"}}), nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(sealed[1:13])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d nonces, want 100", len(seen))
	}
}

func TestAKeptSessionThatCannotBeUsedIsAsIfThereWereNone(t *testing.T) {
	keys := testKeys(t, 1)
	here := Config{Name: "t", URL: "https://t.example", Dialect: "bare", Secrets: Secrets{User: "u", Password: "p"}}
	changed := func(change func(*Config)) Config {
		c := here
		change(&c)
		return c
	}
	stored := func(t *testing.T, c Config, keys SessionKeys) []byte {
		k := newSessionKeeper(&options{}, &c, c.Dialect)
		sealed, err := keys.seal(keptOf("id", &Session{Header: map[string]string{"a": "secret-kept"}}), k.binding)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	good := stored(t, here, keys)
	plain := func(text string) []byte {
		return keys.ciphers[0].Seal([]byte{sealedVersion}, nil, []byte(text), newSessionKeeper(&options{}, &here, here.Dialect).binding)
	}
	flipped := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	const unreadable, notUnderstood = "not readable with the configured keys", "not understood"
	cases := map[string]struct {
		value []byte
		says  string
	}{
		"of another tracker":      {stored(t, changed(func(c *Config) { c.Name = "u" }), keys), unreadable},
		"of another URL":          {stored(t, changed(func(c *Config) { c.URL = "https://u.example" }), keys), unreadable},
		"of another dialect":      {stored(t, changed(func(c *Config) { c.Dialect = "other" }), keys), unreadable},
		"of another account":      {stored(t, changed(func(c *Config) { c.Secrets.User = "v" }), keys), unreadable},
		"of an old password":      {stored(t, changed(func(c *Config) { c.Secrets.Password = "q" }), keys), unreadable},
		"of an old API key":       {stored(t, changed(func(c *Config) { c.Secrets.APIKey = "k" }), keys), unreadable},
		"of an old token":         {stored(t, changed(func(c *Config) { c.Secrets.Token = "k" }), keys), unreadable},
		"under an unknown key":    {stored(t, here, testKeys(t, 2)), unreadable},
		"of another version":      {flipped(0), unreadable},
		"with another nonce":      {flipped(1), unreadable},
		"changed in the middle":   {flipped(len(good) / 2), unreadable},
		"changed at the end":      {flipped(len(good) - 1), unreadable},
		"longer":                  {append(bytes.Clone(good), 0), unreadable},
		"empty":                   {[]byte{}, unreadable},
		"a version alone":         {good[:1], unreadable},
		"a nonce alone":           {good[:13], unreadable},
		"half":                    {good[:len(good)/2], unreadable},
		"too large":               {plain(`{"id":"id","header":{"a":"` + strings.Repeat("AAAA", maxKept/4) + `"}}`), unreadable},
		"not encrypted":           {[]byte(`{"id":"id","header":{"a":"c2VjcmV0LWtlcHQ="}}`), unreadable},
		"with more members":       {plain(`{"id":"id","header":{"a":"c2VjcmV0LWtlcHQ="},"proof":"secret-kept"}`), notUnderstood},
		"with more after it":      {plain(`{"id":"id","header":{"a":"c2VjcmV0LWtlcHQ="}}"secret-kept"`), notUnderstood},
		"without an id":           {plain(`{"header":{"a":"c2VjcmV0LWtlcHQ="}}`), notUnderstood},
		"of an anonymous one":     {plain(`{"id":"id"}`), notUnderstood},
		"of text that is no JSON": {plain("secret-kept"), notUnderstood},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logins atomic.Int32
				var log strings.Builder
				state := newShelf()
				state.values[keptSessionAt] = tc.value
				s := startedFor(t, here, state, keys, numbered(&logins), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				if l := mustAcquire(t, s, 0); l.kept || logins.Load() != 1 {
					t.Fatalf("taken over %v, %d log-ins", l.kept, logins.Load())
				}
				if !strings.Contains(log.String(), "level=INFO") || !strings.Contains(log.String(), tc.says) || strings.Contains(log.String(), "secret") {
					t.Errorf("the log holds %s", log.String())
				}
				if l := mustAcquire(t, startedFor(t, here, state, keys, refuse), 0); sid(l) != "secret-cookie-1" {
					t.Errorf("in its place %s is kept", sid(l))
				}
			})
		})
	}
	for n := range good {
		if _, _, err := keys.open(good[:n], newSessionKeeper(&options{}, &here, here.Dialect).binding); err == nil {
			t.Errorf("the first %d of %d bytes can be read", n, len(good))
		}
	}
}

func TestASessionThatIsTooLargeIsNotKeptAndUsedAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		state := newShelf()
		for size, want := range map[int]bool{maxKept / 2: true, maxKept: false} {
			s := started(t, state, testKeys(t, 1), func(context.Context, *Credentials) (*Session, error) {
				return &Session{Members: map[string]string{"a": strings.Repeat("s", size)}}, nil
			}, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			delete(state.values, keptSessionAt)
			mustAcquire(t, s, 0)
			if kept := state.at(keptSessionAt) != nil; kept != want {
				t.Errorf("%d bytes: kept %v", size, kept)
			}
		}
		if !strings.Contains(log.String(), "too large to be kept") {
			t.Errorf("the log holds %s", log.String())
		}
	})
}

func FuzzSessionKeys(f *testing.F) {
	f.Add(keyText(1) + "\n# old\n" + keyText(2))
	f.Add(strings.Repeat("-_", 21) + "A\r\n\r\n")
	f.Add("====")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseSessionKeys(text)
		if (err == nil) != (len(keys.ciphers) > 0) || len(keys.ciphers) > MaxSessionKeys {
			t.Fatalf("%d keys, %v", len(keys.ciphers), err)
		}
		if err != nil {
			return
		}
		sealed, err := keys.seal(keptOf("id", &Session{Members: map[string]string{"a": text}}), []byte(text))
		if err != nil {
			return // too large
		}
		if kept, _, err := keys.open(sealed, []byte(text)); err != nil || kept.session().Members["a"] != text {
			t.Errorf("what was encrypted cannot be read: %v", err)
		}
	})
}

func FuzzKeptSession(f *testing.F) {
	keys, binding := testKeys(f, 1), []byte("here")
	whole := &Session{
		Cookies: []*http.Cookie{{Name: "a", Value: "b", Quoted: true}},
		Header:  map[string]string{"c": "d"},
		Members: map[string]string{"e": "\xff"},
	}
	others := testKeys(f, 2)
	sealed, err := others.seal(keptOf("id", whole), binding)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := others.ciphers[0].Open(nil, nil, sealed[1:], binding)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(sealed)
	f.Add([]byte(`{"id":"id","cookies":[null],"header":null,"members":{"":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if kept, _, err := keys.open(data, binding); err == nil {
			t.Errorf("what nobody encrypted with these keys was read: %v", kept)
		}
		kept, err := parseKept(data) // as one who has the key could store it
		if err != nil {
			return
		}
		again, err := keys.seal(keptOf(kept.ID, kept.session()), binding)
		if err != nil {
			return // too large
		}
		if back, _, err := keys.open(again, binding); err != nil || !reflect.DeepEqual(back.session(), kept.session()) {
			t.Errorf("it changed on the way: %v", err)
		}
	})
}
