package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers, as [http.Header] writes them.
const (
	headerAuthorization = "Authorization"
	headerID            = "Webhook-Id"
	headerTimestamp     = "Webhook-Timestamp"
	headerSignature     = "Webhook-Signature"
	headerHub           = "X-Hub-Signature-256"
)

// Limits of what proves a request.
const (
	// Tolerance is how far the time of a signature may be from the gateway's clock, in
	// both directions.
	Tolerance = 5 * time.Minute
	// MaxSignatures is how many signatures a request may have by Standard Webhooks.
	MaxSignatures = 16
	// MaxID is how long a webhook-id may be, in bytes.
	MaxID = 256
	// maxTimestamp is how many digits a time may have: enough for 30,000 years.
	maxTimestamp = 12
)

// verdict is what a request's proof by one method came to.
type verdict int

const (
	absent    verdict = iota // the request does not carry one
	malformed                // it cannot be read: an ordinary error
	wrong                    // it is an AuthenticationTokenMismatch
	right
)

// finding is a verdict, and for whom it is what text.
type finding struct {
	verdict verdict
	// at is the field or the header, text what is wrong there.
	at, text string
}

const (
	flawMismatch  = "The token does not match."
	flawSignature = "The signature does not match."
	flawHeader    = "This header is required."
	flawHeaders   = "This header was given more than once."
	flawID        = "This must be 1 to 256 ASCII characters without spaces and full stops."
	flawTimestamp = "This must be the seconds since 1970."
	flawStale     = "This is more than 5 minutes from the gateway's clock."
)

// single returns the value of a header that may stand once; an empty one is
// none.
func single(header http.Header, name string) (value string, f finding) {
	switch given := header[name]; {
	case len(given) == 0 || len(given) == 1 && given[0] == "":
		return "", finding{at: name}
	case len(given) > 1:
		return "", finding{malformed, name, flawHeaders}
	default:
		return given[0], finding{verdict: right, at: name}
	}
}

// bearer returns the token of an Authorization header (RFC 6750, section 2.1).
// One of another scheme is none.
func bearer(header http.Header) (token string, f finding) {
	value, f := single(header, headerAuthorization)
	if f.verdict != right {
		return "", f
	}
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.Trim(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return "", finding{at: headerAuthorization}
	case token == "":
		return "", finding{malformed, headerAuthorization, flawHeader}
	case len(token) > DefaultTokenLength || !isASCIILine(token):
		return "", finding{malformed, headerAuthorization, fmt.Sprintf("The token must be ASCII on one line, of at most %d characters.", DefaultTokenLength)}
	}
	return token, f
}

// webhookID returns the webhook-id of a request. It may not have a full stop,
// which is what parts it from the time and the body where they are signed: with one,
// a signature could be moved to another body.
func webhookID(header http.Header) (id string, f finding) {
	id, f = single(header, headerID)
	if f.verdict != right {
		return "", f
	}
	if len(id) > MaxID || !isASCIILine(id) || strings.ContainsAny(id, " .") {
		return "", finding{malformed, headerID, flawID}
	}
	return id, f
}

// checkWebhook checks the signatures of Standard Webhooks 1.0.0. Every key is
// tried with every signature, whichever is right.
func checkWebhook(header http.Header, body []byte, keys [][]byte, now time.Time) finding {
	value, f := single(header, headerSignature)
	if f.verdict != right {
		return f
	}
	id, f := webhookID(header)
	if f.verdict == absent {
		return finding{malformed, headerID, flawHeader}
	}
	if f.verdict != right {
		return f
	}
	timestamp, f := single(header, headerTimestamp)
	if f.verdict == absent {
		return finding{malformed, headerTimestamp, flawHeader}
	}
	if f.verdict != right {
		return f
	}
	at, ok := parseSeconds(timestamp)
	if !ok {
		return finding{malformed, headerTimestamp, flawTimestamp}
	}
	if strings.Count(value, " ") >= MaxSignatures {
		return finding{malformed, headerSignature, fmt.Sprintf("There are more than %d signatures.", MaxSignatures)}
	}
	matches := matchAny(webhookSums(id, timestamp, body, keys), webhookSignatures(value))
	switch away := now.Sub(at); {
	case away > Tolerance || away < -Tolerance:
		return finding{wrong, headerTimestamp, flawStale}
	case !matches:
		return finding{wrong, headerSignature, flawSignature}
	}
	return finding{verdict: right, at: headerSignature}
}

// parseSeconds reads a time in seconds, digits only.
func parseSeconds(text string) (time.Time, bool) {
	if text == "" || len(text) > maxTimestamp {
		return time.Time{}, false
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return time.Time{}, false
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

func webhookSums(id, timestamp string, body []byte, keys [][]byte) [][]byte {
	sums := make([][]byte, 0, len(keys))
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		sums = append(sums, mac.Sum(nil))
	}
	return sums
}

// webhookSignatures reads the signatures of the version v1; others are for other
// receivers.
func webhookSignatures(value string) [][]byte {
	var signatures [][]byte
	for part := range strings.SplitSeq(value, " ") {
		encoded, ok := strings.CutPrefix(part, "v1,")
		if !ok {
			continue
		}
		if signature, err := base64.StdEncoding.Strict().DecodeString(encoded); err == nil {
			signatures = append(signatures, signature)
		}
	}
	return signatures
}

// checkHub checks the signature of the body alone.
func checkHub(header http.Header, body []byte, keys [][]byte) finding {
	value, f := single(header, headerHub)
	if f.verdict != right {
		return f
	}
	var given [][]byte
	encoded, ok := strings.CutPrefix(value, "sha256=")
	if signature, err := hex.DecodeString(encoded); ok && err == nil {
		given = append(given, signature)
	}
	sums := make([][]byte, 0, len(keys))
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write(body)
		sums = append(sums, mac.Sum(nil))
	}
	if !matchAny(sums, given) {
		return finding{wrong, headerHub, flawSignature}
	}
	return f
}

// matchAny tells whether one of the sums was given, after comparing all of them.
func matchAny(sums, given [][]byte) bool {
	found := false
	for _, sum := range sums {
		for _, signature := range given {
			equal := hmac.Equal(sum, signature)
			found = equal || found
		}
	}
	return found
}
