package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

func sent(err error) error   { return &xmlrpc.TransportError{Sent: true, Err: err} }
func unsent(err error) error { return &xmlrpc.TransportError{Err: err} }

func answerError(err error) error {
	return &xmlrpc.AnswerError{StatusCode: 200, ContentType: "text/xml", Err: err}
}

func dial(err error) error { return unsent(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }

func TestEveryFailureHasItsNameInTheCatalogue(t *testing.T) {
	for _, tc := range []struct {
		name     string
		err      error
		want     apierror.Name
		executed bool   // perhaps
		detail   string // a part of it
	}{
		{"connection refused", dial(syscall.ECONNREFUSED), apierror.TrackerUnavailable, false, "refused"},
		{"no such name", dial(&net.DNSError{IsNotFound: true}), apierror.TrackerUnavailable, false, "does not exist"},
		{"no name server", dial(&net.DNSError{}), apierror.TrackerUnavailable, false, "could not be resolved"},
		{"black hole", dial(context.DeadlineExceeded), apierror.TrackerUnavailable, false, "No connection"},
		{"private address", dial(&AddressError{Addr: netip.MustParseAddr("10.0.0.1"), Reason: "a private one"}), apierror.TrackerUnavailable, false, "a private one."},
		{"address to be allowed", dial(&AddressError{Reason: "a loopback one", Private: true}), apierror.TrackerUnavailable, false, "allow_private"},
		{"no HTTP", sent(errors.New("malformed HTTP response \"x\"")), apierror.TrackerBadAnswer, true, "not HTTP"},
		{"certificate", unsent(&tls.CertificateVerificationError{Err: errors.New("x509")}), apierror.TrackerUnavailable, false, "certificate"},
		{"HTTP in place of TLS", unsent(http.ErrSchemeMismatch), apierror.TrackerUnavailable, false, "TLS"},
		{"no TLS", unsent(tls.RecordHeaderError{Msg: "no"}), apierror.TrackerUnavailable, false, "TLS"},
		{"closed before the call", unsent(io.EOF), apierror.TrackerUnavailable, false, "closed the connection"},
		{"closed after the call", sent(io.EOF), apierror.TrackerUnavailable, true, "closed the connection"},
		{"reset after the call", sent(syscall.ECONNRESET), apierror.TrackerUnavailable, true, "closed the connection"},
		{"something else", sent(errors.New("odd")), apierror.TrackerUnavailable, true, "connection failed"},
		{"time before the call", unsent(context.DeadlineExceeded), apierror.TrackerTimeout, false, ""},
		{"time after the call", sent(context.DeadlineExceeded), apierror.TrackerTimeout, true, ""},
		{"page of HTML", &xmlrpc.AnswerError{StatusCode: 200, ContentType: "text/html", Body: []byte("<title>Wiki</title><p>hello"), Err: errors.New("x")}, apierror.TrackerBadAnswer, true, "text/html"},
		{"cut off", answerError(io.ErrUnexpectedEOF), apierror.TrackerBadAnswer, true, "cut off"},
		{"too large", fmt.Errorf("xmlrpc: %w: more than the 33554432 bytes", xmlrpc.ErrAnswerTooLarge), apierror.TrackerBadAnswer, true, "33554432"},
		{"redirect", &xmlrpc.HTTPError{StatusCode: 302, Header: http.Header{"Location": {"http://elsewhere/"}}}, apierror.TrackerBadAnswer, false, "redirect"},
		{"unauthorized", &xmlrpc.HTTPError{StatusCode: 401}, apierror.TrackerBadAnswer, false, "HTTP 401"},
		{"no such page", &xmlrpc.HTTPError{StatusCode: 404, Body: []byte("<h1>Gone</h1>")}, apierror.TrackerBadAnswer, false, "HTTP 404 Not Found: Gone"},
		{"server error", &xmlrpc.HTTPError{StatusCode: 500}, apierror.TrackerBadAnswer, true, "HTTP 500"},
		{"bad gateway", &xmlrpc.HTTPError{StatusCode: 502}, apierror.TrackerBadAnswer, true, "HTTP 502"},
		{"strange status", &xmlrpc.HTTPError{StatusCode: 299}, apierror.TrackerBadAnswer, true, "HTTP 299"},
		{"fault", &xmlrpc.Fault{Code: 7, String: "seven"}, apierror.TrackerFault, false, "Fault 7: seven"},
		{"fault with a word for a code", &xmlrpc.Fault{CodeText: "Client", String: "Failed"}, apierror.TrackerFault, false, "Fault Client: Failed"},
		{"fault with a status of its own", errors.Join(&xmlrpc.HTTPError{StatusCode: 500}, &xmlrpc.Fault{Code: 7, String: "seven"}), apierror.TrackerFault, false, "Fault 7: seven"},
		{"our own", apierror.New(apierror.StoreUnavailable), apierror.StoreUnavailable, false, ""},
		{"value that cannot be written", &xmlrpc.EncodeError{}, apierror.ServerError, false, ""},
	} {
		got := classify(fmt.Errorf("calling: %w", tc.err), nil)
		if !apierror.Is(got, tc.want) || !strings.Contains(apierror.From(got).FaultString(), tc.detail) {
			t.Errorf("%s: %v, want %s with %q", tc.name, got, tc.want, tc.detail)
		}
		const again = "The next call tries again at once."
		if tc.want == apierror.TrackerUnavailable && !strings.HasSuffix(apierror.From(got).FaultString(), again) {
			t.Errorf("%s: %v does not say when the next try is", tc.name, got)
		}
		if executedPerhaps(tc.err) != tc.executed {
			t.Errorf("%s: a write may have been executed: %v", tc.name, !tc.executed)
		}
	}
	if classify(nil, nil) != nil || outcomeOf(nil) != OutcomeOK {
		t.Error("no error became one")
	}
}

func TestOutcomesAreAClosedSet(t *testing.T) {
	known := map[Outcome]bool{}
	for _, o := range Outcomes() {
		known[o] = true
	}
	for _, name := range []apierror.Name{
		apierror.TrackerFault, apierror.ResourceNotFound, apierror.TrackerLoginFailed, apierror.TrackerUnavailable, apierror.TrackerTimeout,
		apierror.TrackerBadAnswer, apierror.OutcomeUnknown, apierror.StoreUnavailable, apierror.ServerError,
	} {
		if o := outcomeOf(apierror.New(name)); !known[o] {
			t.Errorf("%s has the outcome %q", name, o)
		}
	}
	if o := outcomeOf(classify(sent(context.Canceled), nil)); o != OutcomeCanceled {
		t.Errorf("a caller that went away has the outcome %q", o)
	}
	if unreachable(classify(sent(context.Canceled), nil)) {
		t.Error("a caller that went away makes the tracker unreachable")
	}
}

func TestTextOfATrackerIsQuotedWithoutMarkupURLsAndSecrets(t *testing.T) {
	secrets := []string{"c00kieValue", "abc"}
	for text, want := range map[string]string{
		"plain": "plain",
		"<html><body><h1>It  works</h1>\n</html>":     "It works",
		"<script>var a = 'x'</script>Hello":           "Hello",
		"<style>p{}</style>cut <p unfinished":         "cut",
		"see http://h/launchpad-auth/TOKEN?x now":     "see [url] now",
		"HTTPS://h/x and ftp://y":                     "[url] and [url]",
		"session c00kieValue is over":                 "session [removed] is over",
		"abc is too short to be a secret":             "abc is too short to be a secret",
		"a\x00b\x1b[31mc\x7f":                         "a b [31mc",
		"ends.":                                       "ends",
		strings.Repeat("long ", 100):                  strings.Repeat("long ", 32) + "",
		"närrisch " + strings.Repeat("日", maxExcerpt): "närrisch " + strings.Repeat("日", maxExcerpt-9),
	} {
		got := scrub(text, secrets)
		if !strings.HasPrefix(strings.TrimRight(got, ". "), strings.TrimRight(want, ". ")) || len([]rune(got)) > maxExcerpt+3 {
			t.Errorf("%.60q became %q, want %q", text, got, want)
		}
	}
}

func TestNoErrorHoldsASecretOfTheSession(t *testing.T) {
	const secret = "c00kieValue"
	for _, err := range []error{
		&xmlrpc.Fault{Code: 1, String: "trac_auth=" + secret},
		&xmlrpc.Fault{CodeText: secret, String: "x"},
		&xmlrpc.HTTPError{StatusCode: 500, Header: http.Header{"Content-Type": {secret}}, Body: []byte(secret)},
		&xmlrpc.AnswerError{ContentType: secret, Body: []byte(secret), Err: errors.New("no")},
		&xmlrpc.AnswerError{ContentType: "text/html", Body: []byte(secret), Err: errors.New("no")},
		answerError(errors.New("it begins with " + secret)),
		sent(errors.New("malformed HTTP response \"" + secret + "\"")),
		sent(errors.New("Get \"http://h/" + secret + "\": EOF")),
		sent(errors.New("failed to parse Location header \"" + secret + "\"")),
	} {
		got := classify(err, []string{secret})
		if strings.Contains(got.Error(), secret) || strings.Contains(apierror.From(got).FaultString(), secret) {
			t.Errorf("%v", got)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("<html>http://x y", "http")
	f.Add("\xff<\x00>", "\xff")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := scrub(text, []string{secret})
		if len([]rune(got)) > maxExcerpt+3 || strings.ContainsAny(got, "\x00\n\r\t") || strings.Contains(got, "://") && !strings.Contains(got, "[") && urls.MatchString(got) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
