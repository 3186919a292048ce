package audit

import (
	"encoding/base64"
	"strings"
	"testing"
)

func keyText(i byte) string {
	secret := [keySize]byte{i, 0xfb, 0xff}
	return base64.StdEncoding.EncodeToString(secret[:])
}

func TestKeysAreReadInEveryAlphabet(t *testing.T) {
	want := NewKey([keySize]byte{1, 0xfb, 0xff}).ID()
	for _, text := range []string{
		keyText(1), "# signs\n\n  " + keyText(1) + " \r\n" + keyText(2), strings.TrimRight(keyText(1), "="),
		strings.NewReplacer("+", "-", "/", "_").Replace(keyText(1)),
	} {
		keys, err := ParseKeys(text)
		if err != nil || keys.Signing().ID() != want {
			t.Errorf("%q gave %v, %v", text, keys.Signing().ID(), err)
		}
	}
	if (Keys{}).Signing() != (Key{}) || !(Key{}).IsZero() || NewKey([keySize]byte{}).IsZero() {
		t.Error("no key is one, or a key none")
	}
}

func TestWhatIsNoKeyIsNamedByItsLineAndNotShown(t *testing.T) {
	many := ""
	for i := range byte(MaxKeys + 1) {
		many += keyText(i) + "\n"
	}
	for _, tc := range []struct{ name, text, says string }{
		{"nothing", "", "no key"},
		{"comments alone", "# x\n\n", "no key"},
		{"no base64", "\nsecret!", "line 2: it is not base64"},
		{"bits left over", keyText(1)[:42] + "B=", "line 1: it is not base64"},
		{"too short", "c2VjcmV0", "line 1: it is a key of 6 bytes"},
		{"twice", keyText(1) + "\n" + strings.TrimRight(keyText(1), "="), "line 2: it is the key of line 1 again"},
		{"too many", many, "line 17: there are more than 16"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseKeys(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(keyText(1) + "\n# x\n" + keyText(2))
	f.Add("secret")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if (err == nil) != (keys.Len() > 0) || keys.Len() > MaxKeys {
			t.Errorf("%d keys and %v", keys.Len(), err)
		}
	})
}
