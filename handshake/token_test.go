package handshake

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"sort"
	"strings"
	"testing"
	"time"
)

func hashOf(text string) [HashSize]byte {
	sum := sha256.Sum256([]byte(text))
	return [HashSize]byte(sum[:HashSize])
}

func TestATokenIs36LettersAndDigitsThatCarryTheTime(t *testing.T) {
	now := time.UnixMilli(1_763_759_401_234)
	text, id := newToken(now, "", false)
	if TokenLength != 36 || len(text) != TokenLength || strings.Trim(text, alphabet) != "" {
		t.Fatalf("the token is %q", text)
	}
	if id.Hash != hashOf(text) {
		t.Error("the hash is not the beginning of the text's SHA-256")
	}
	if !id.Time().Equal(now) {
		t.Errorf("the time is %v, want %v", id.Time(), now)
	}
	parsed, ok := ParseToken(text)
	if !ok || parsed != id {
		t.Errorf("parsing gave %+v, %v, want %+v", parsed, ok, id)
	}
}

func TestTokensSortByTime(t *testing.T) {
	var texts []string
	for _, millis := range []int64{0, 1, 61, 62, 3843, 3844, 1_763_759_401_234, 1_763_759_401_235, 218_340_105_584_895} {
		text, _ := newToken(time.UnixMilli(millis), "", false)
		texts = append(texts, text)
		if id, ok := ParseToken(text); !ok || id.Millis != millis {
			t.Errorf("%d came back as %d, %v", millis, id.Millis, ok)
		}
	}
	if !sort.StringsAreSorted(texts) {
		t.Errorf("not in order: %q", texts)
	}
}

func TestATokenCarriesItsAccountAndWhetherItIsForATracker(t *testing.T) {
	for _, test := range []struct {
		account Account
		carried bool
	}{
		{"0Az9b", true}, {"zzzzz", true}, {NewAccount(), true},
		{"", false}, {"0Az9", false}, {"0Az9bb", false}, {"0Az9-", false}, {"0Az9\x00", false}, {"0Azé", false},
	} {
		for _, forTracker := range []bool{false, true} {
			for range 100 { // either hint would come half the time without being set
				text, id := newToken(time.UnixMilli(1), test.account, forTracker)
				if parsed, ok := ParseToken(text); !ok || parsed != id {
					t.Fatalf("with the account %q the text is %q", test.account, text)
				}
				if carried := accountOf(text) == test.account; carried != test.carried || !accountOf(text).valid() {
					t.Errorf("the account %q came back as %q", test.account, accountOf(text))
				}
				if hintsTracker(text) != forTracker {
					t.Fatalf("%q hints %v, want %v", text, !forTracker, forTracker)
				}
			}
		}
	}
}

func TestAccountsAreRandom(t *testing.T) {
	seen := map[Account]bool{}
	for range 1000 {
		a := NewAccount()
		if !a.valid() {
			t.Fatalf("%q is no account", a)
		}
		seen[a] = true
	}
	if len(seen) < 998 { // of 916 million, two of a thousand are the same once in 1800 runs
		t.Errorf("%d of 1000 are different", len(seen))
	}
}

// TestTheRandomPartIsUniform compares how often each character comes with how
// often it should: a chi-squared of more than 130 with 61 degrees of freedom, and of
// more than 90 with 30 degrees, happens to a fair generator less than once in a
// million runs.
func TestTheRandomPartIsUniform(t *testing.T) {
	const tokens = 20_000
	chiSquared := func(seen [256]int, among string) (sum float64) {
		total := 0
		for i := range len(among) {
			total += seen[among[i]]
		}
		expected := float64(total) / float64(len(among))
		for i := range len(among) {
			sum += math.Pow(float64(seen[among[i]])-expected, 2) / expected
		}
		return sum
	}
	for _, forTracker := range []bool{false, true} {
		var hints, others [256]int
		for range tokens {
			text, _ := newToken(time.UnixMilli(0), "", forTracker)
			hints[text[randomBegin]]++
			for _, c := range []byte(text[timeLength:randomBegin] + text[randomBegin+1:]) {
				others[c]++
			}
		}
		var halves [2]string // of the alphabet: even values and odd ones
		for i := range len(alphabet) {
			halves[i%2] += alphabet[i : i+1]
		}
		half, other := halves[0], halves[1]
		if forTracker {
			half, other = other, half
		}
		for _, c := range []byte(other) {
			if hints[c] > 0 {
				t.Errorf("the hint %v is written as %q", forTracker, c)
			}
		}
		if x := chiSquared(hints, half); x > 90 {
			t.Errorf("for the hint %v chi-squared is %.1f", forTracker, x)
		}
		if x := chiSquared(others, alphabet); x > 130 {
			t.Errorf("beside the hint %v chi-squared is %.1f", forTracker, x)
		}
	}
}

func TestNoTwoTokensAreTheSame(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		text, _ := newToken(time.UnixMilli(0), "0Az9b", false)
		if seen[text] {
			t.Fatalf("%q came twice", text)
		}
		seen[text] = true
	}
}

var malformedTokens = []string{
	"", "check", "../+index", "..%2F%2Bindex", strings.Repeat("a", 32), strings.Repeat("a", 35), strings.Repeat("a", 37), strings.Repeat("a", 1<<20),
	strings.Repeat("a", 35) + "-", strings.Repeat("a", 35) + "\x00", strings.Repeat("a", 34) + "é", strings.Repeat("+", 36), strings.Repeat(" ", 36),
}

func TestAMalformedTokenIsNone(t *testing.T) {
	for _, text := range malformedTokens {
		if id, ok := ParseToken(text); ok || id != (ID{}) {
			t.Errorf("%.40q is a token: %+v", text, id)
		}
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	text, _ := newToken(time.Now(), "", true)
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseToken(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseToken(f *testing.F) {
	for _, text := range malformedTokens {
		f.Add(text)
	}
	text, _ := newToken(time.Now(), "", true)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := ParseToken(text)
		if ok != (len(text) == TokenLength && strings.Trim(text, alphabet) == "") {
			t.Fatalf("%q: %v", text, ok)
		}
		if ok && (id.Hash != hashOf(text) || id.Millis < 0) {
			t.Fatalf("%q: %+v", text, id)
		}
		if ok && (string(accountOf(text)) != text[8:13] || hintsTracker(text) != (strings.IndexByte(alphabet, text[13])%2 == 1)) {
			t.Fatalf("%q: account %q, hint %v", text, accountOf(text), hintsTracker(text))
		}
	})
}

func TestAFingerprintIsTheFirst16DigitsOfTheHash(t *testing.T) {
	id := ID{Hash: hashOf("text")}
	f := id.Fingerprint()
	if want := "982d9e3eb996f559"; f.String() != want {
		t.Errorf("got %v, want %v", f, want)
	}
	if parsed, err := ParseFingerprint(strings.ToUpper(f.String())); err != nil || parsed != f {
		t.Errorf("parsing gave %v, error %v", parsed, err)
	}
	written, err := json.Marshal(map[string]Fingerprint{"token": f})
	if err != nil || string(written) != `{"token":"982d9e3eb996f559"}` {
		t.Errorf("as JSON it is %s, error %v", written, err)
	}
	var read map[string]Fingerprint
	if err := json.Unmarshal(written, &read); err != nil || read["token"] != f {
		t.Errorf("read back it is %v, error %v", read, err)
	}
	if f.IsZero() || !(Fingerprint{}).IsZero() {
		t.Error("which fingerprint is none is wrong")
	}
	for _, text := range []string{"", "982d9e3eb996f55", "982d9e3eb996f5599", "982d9e3eb996f55g", strings.Repeat("0", 32)} {
		if _, err := ParseFingerprint(text); !errors.Is(err, ErrFingerprint) {
			t.Errorf("%q: %v, want ErrFingerprint", text, err)
		}
		if err := json.Unmarshal([]byte(`{"token":"`+text+`"}`), &read); err == nil {
			t.Errorf("%q was read from JSON", text)
		}
	}
}

func TestAKindHasANameAndATitle(t *testing.T) {
	if BugTracker.String() != "BUGTRACKER" || !strings.Contains(BugTracker.Title(), "authenticating itself with a remote bug tracker") {
		t.Errorf("it is %q, %q", BugTracker, BugTracker.Title())
	}
	if later := Kind(7); later.String() != "KIND-7" || later.Title() == "" {
		t.Errorf("a later kind is %q, %q", later, later.Title())
	}
}

func TestARecordIsExpiredOnlyWhileItIsLive(t *testing.T) {
	now := time.UnixMilli(1000)
	for _, test := range []struct {
		status  Status
		expires time.Time
		want    string
	}{
		{Live, now.Add(1), "live"}, {Live, now, "expired"}, {Used, now, "used"}, {Revoked, now.Add(-1), "revoked"}, {Revoked + 1, now, "invalid"},
	} {
		if got := (Record{Status: test.status, Expires: test.expires}).State(now); got != test.want {
			t.Errorf("%v until %v is %q, want %q", test.status, test.expires, got, test.want)
		}
	}
}

func BenchmarkNewToken(b *testing.B) {
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = newToken(now, "0Az9b", false)
	}
}

func BenchmarkParseToken(b *testing.B) {
	text, _ := newToken(time.Now(), "", true)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ParseToken(text)
	}
}
