package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// Outcome is how a call to a tracker ended, from a closed set that also labels
// metrics.
type Outcome string

// The outcomes.
const (
	OutcomeOK          Outcome = "ok"
	OutcomeFault       Outcome = "fault" // the tracker's own, explained or not
	OutcomeExpired     Outcome = "session_expired"
	OutcomeLoginFailed Outcome = "login_failed"
	OutcomeUnavailable Outcome = "unavailable"
	OutcomeTimeout     Outcome = "timeout"
	OutcomeBadAnswer   Outcome = "bad_answer"
	OutcomeUnknown     Outcome = "outcome_unknown"
	OutcomeCanceled    Outcome = "canceled" // the caller went away
	OutcomeInternal    Outcome = "internal" // the gateway's own trouble
)

// Outcomes lists all of them, so that metrics can begin at zero.
func Outcomes() []Outcome {
	return []Outcome{OutcomeOK, OutcomeFault, OutcomeExpired, OutcomeLoginFailed, OutcomeUnavailable, OutcomeTimeout,
		OutcomeBadAnswer, OutcomeUnknown, OutcomeCanceled, OutcomeInternal}
}

// outcomeOf finds the outcome of an error that classify has seen.
func outcomeOf(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	if errors.Is(err, context.Canceled) {
		return OutcomeCanceled
	}
	switch apierror.From(err).Name() {
	case apierror.TrackerFault, apierror.ResourceNotFound, apierror.InvalidData, apierror.Forbidden, apierror.NotSupported:
		return OutcomeFault
	case apierror.TrackerLoginFailed:
		return OutcomeLoginFailed
	case apierror.TrackerUnavailable:
		return OutcomeUnavailable
	case apierror.TrackerTimeout:
		return OutcomeTimeout
	case apierror.TrackerBadAnswer:
		return OutcomeBadAnswer
	case apierror.OutcomeUnknown:
		return OutcomeUnknown
	}
	return OutcomeInternal
}

// loginOutcome is outcomeOf for log-ins, whose refusals are no errors of the
// catalogue yet.
func loginOutcome(err error) Outcome {
	if refused := new(RefusedError); errors.As(err, &refused) {
		return OutcomeLoginFailed
	}
	return outcomeOf(err)
}

// unreachable tells whether err says that the tracker could not be reached or
// did not answer, a write included whose outcome is unknown for that reason.
// That a caller did not wait says nothing.
func unreachable(err error) bool {
	if known := apierror.From(err); known != nil && known.Name() == apierror.OutcomeUnknown {
		err = known.Unwrap()
	}
	return !errors.Is(err, context.Canceled) && (apierror.Is(err, apierror.TrackerUnavailable) || apierror.Is(err, apierror.TrackerTimeout))
}

// classify turns the failure of an exchange with a tracker into an error of the
// catalogue. What the tracker said stands in it only shortened, printable, and
// without the secrets.
func classify(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	if held := new(heldError); errors.As(err, &held) {
		return held.known()
	}
	if known := new(apierror.Error); errors.As(err, &known) {
		return err
	}
	noHTTP := notHTTP(err)
	err = redact(err, secrets)
	if fault := new(xmlrpc.Fault); errors.As(err, &fault) {
		return trackerFault(fault, secrets)
	}
	if status := new(xmlrpc.HTTPError); errors.As(err, &status) {
		return badAnswer("%s.", describeStatus(status.StatusCode, status.Header, status.Body, secrets)).WithCause(err)
	}
	if errors.Is(err, xmlrpc.ErrAnswerTooLarge) {
		return badAnswer("The answer is larger than the limit: %s.", strings.TrimPrefix(err.Error(), "xmlrpc: ")).WithCause(err)
	}
	if answer := new(xmlrpc.AnswerError); errors.As(err, &answer) {
		return badAnswer("%s", describeAnswer(answer, secrets)).WithCause(err)
	}
	if misfit := new(xmlrpc.DecodeError); errors.As(err, &misfit) {
		return badAnswer("The answer is not as the dialect expects: %s.", scrub(misfit.FaultString(), secrets)).WithCause(err)
	}
	if unencodable := new(xmlrpc.EncodeError); errors.As(err, &unencodable) {
		return apierror.New(apierror.ServerError).WithCause(err)
	}
	switch {
	case noHTTP:
		return badAnswer("It is not HTTP, or its head is larger than %d bytes.", maxHeaderBytes).WithCause(err)
	case errors.Is(err, context.Canceled):
		return apierror.New(apierror.TrackerUnavailable).WithDetail("The caller went away before the tracker answered.").WithCause(err)
	case isTimeout(err):
		return apierror.New(apierror.TrackerTimeout).WithDetail("No whole answer came within the time limit.").WithCause(err)
	}
	return apierror.New(apierror.TrackerUnavailable).WithDetail(reasonUnreachable(err) + " The next call tries again at once.").WithCause(err)
}

// executedPerhaps tells whether a call that failed with err may have been
// executed by the tracker all the same. A fault and a refusal by HTTP status say
// that it was not; a 5xx, and an answer that cannot be read, do not.
func executedPerhaps(err error) bool {
	if known := new(apierror.Error); errors.As(err, &known) {
		return false // made by this package before anything was sent
	}
	if fault := new(xmlrpc.Fault); errors.As(err, &fault) {
		return false
	}
	if unencodable := new(xmlrpc.EncodeError); errors.As(err, &unencodable) {
		return false
	}
	if status := new(xmlrpc.HTTPError); errors.As(err, &status) {
		return status.StatusCode < 300 || status.StatusCode >= 500
	}
	if transport := new(xmlrpc.TransportError); errors.As(err, &transport) {
		return transport.Sent
	}
	return true
}

// outcomeUnknown is the error of a write that may have been executed.
func outcomeUnknown(classified error) error {
	return apierror.New(apierror.OutcomeUnknown).
		WithDetail("Look before you write again. " + apierror.From(classified).FaultString()).
		WithCause(classified)
}

func badAnswer(format string, args ...any) *apierror.Error {
	return apierror.New(apierror.TrackerBadAnswer).WithDetail(fmt.Sprintf(format, args...))
}

// cleanFault is a fault whose texts are as the tracker wrote them but for
// secrets and URLs: dialects tell faults apart by them.
func cleanFault(fault *xmlrpc.Fault, secrets []string) *xmlrpc.Fault {
	clean := func(text string) string {
		return urls.ReplaceAllString(withoutSecrets(text, secrets), "[url]")
	}
	return &xmlrpc.Fault{Code: fault.Code, CodeText: clean(fault.CodeText), String: clean(fault.String)}
}

// scrubbedFault is a fault whose texts are fit to be quoted.
func scrubbedFault(fault *xmlrpc.Fault, secrets []string) *xmlrpc.Fault {
	return &xmlrpc.Fault{Code: fault.Code, CodeText: scrub(fault.CodeText, secrets), String: scrub(fault.String, secrets)}
}

func trackerFault(fault *xmlrpc.Fault, secrets []string) error {
	fault = scrubbedFault(fault, secrets)
	code, text := fmt.Sprint(fault.Code), fault.String
	if fault.CodeText != "" {
		code = fault.CodeText
	}
	return apierror.New(apierror.TrackerFault).
		WithDetail(fmt.Sprintf("Fault %s: %s", code, text)).
		WithExtra("fault_code", code).
		WithExtra("fault_string", text)
}

// describeStatus says what an HTTP answer was that should have been another.
func describeStatus(status int, header http.Header, body []byte, secrets []string) string {
	text := fmt.Sprintf("HTTP %d", status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	if status >= 300 && status < 400 {
		return text + ": a redirect away from the tracker's url, which is not followed; if the tracker has moved, configure its new url"
	}
	if kind := header.Get("Content-Type"); kind != "" {
		text += ", " + scrub(kind, secrets)
	}
	if excerpt := scrub(string(body), secrets); excerpt != "" {
		text += ": " + excerpt
	}
	return text
}

// describeAnswer says what is wrong with an answer that is no XML-RPC. Of a page
// of HTML the beginning tells more than where it ceases to be XML.
func describeAnswer(answer *xmlrpc.AnswerError, secrets []string) string {
	text := fmt.Sprintf("The answer (HTTP %d", answer.StatusCode)
	if answer.ContentType != "" {
		text += ", " + scrub(answer.ContentType, secrets)
	}
	text += ") is not XML-RPC, or was cut off"
	if strings.Contains(strings.ToLower(answer.ContentType), "html") {
		return text + ": " + scrub(string(answer.Body), secrets) + "."
	}
	return text + ": " + scrub(answer.Err.Error(), secrets) + "."
}

// notHTTP tells whether net/http could not make sense of the head of an answer,
// for some of which it has no types of error.
func notHTTP(err error) bool {
	var protocol textproto.ProtocolError
	if errors.As(err, &protocol) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "malformed HTTP") || strings.Contains(text, "response headers exceeded")
}

// isTimeout tells whether the time limit, or one of the connection's own, ended
// the call.
func isTimeout(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false // unreachable, rather than slow
	}
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// reasonUnreachable explains a transport error in words of ours: its own text
// holds addresses.
func reasonUnreachable(err error) string {
	var address *AddressError
	var dns *net.DNSError
	var unverified *tls.CertificateVerificationError
	var unknownCA x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &address) && address.Private:
		return "It was not called, because " + address.Error() + "; allow_private in the tracker's entry would permit it."
	case errors.As(err, &address):
		return "It was not called, because " + address.Error() + "."
	case errors.As(err, &dns) && dns.IsNotFound:
		return "Its host name does not exist."
	case errors.As(err, &dns):
		return "Its host name could not be resolved."
	case errors.As(err, &unverified), errors.As(err, &unknownCA):
		return "Its TLS certificate could not be verified."
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "It does not speak TLS there."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The connection was refused."
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "It closed the connection without an answer."
	case errors.As(err, &op) && op.Op == "dial":
		return "No connection could be made."
	}
	return "The connection failed."
}

// redact hides the text of an error that holds a URL or a secret. Errors of
// net/http quote URLs, which may hold a token, and what a server sent in place of
// HTTP.
func redact(err error, secrets []string) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // what is left tells more than a text that is hidden
	}
	text := err.Error()
	hide := strings.Contains(text, "://") || strings.Contains(text, "Location")
	for _, secret := range secrets {
		hide = hide || len(secret) >= minSecret && strings.Contains(text, secret)
	}
	if hide {
		return &redactedError{err}
	}
	return err
}

// redactedError stands for an error whose text must not be seen.
type redactedError struct{ err error }

func (e *redactedError) Error() string { return "its text holds a URL or a secret and is not shown" }

func (e *redactedError) Unwrap() error { return e.err }

// TooMany is the error of an answer that lists more of something than one call
// of a caller may cost.
func TooMany(what string, limit int) error {
	return badAnswer("It has more than %d %s, the limit for one call: ask for fewer bugs at a time.", limit, what)
}

// Bounds and patterns of what is quoted of a tracker's text.
const (
	maxExcerpt = 160
	minSecret  = 4 // shorter values would blot out ordinary text
)

var (
	scripts = regexp.MustCompile(`(?is)<(script|style)\b.*?(</(script|style)\s*>|$)`)
	tags    = regexp.MustCompile(`(?s)<[^>]*(>|$)`)
	urls    = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://\S+`)
)

// scrub makes a tracker's text fit to be quoted: no markup, no URL, none of the
// secrets, printable, short.
func scrub(text string, secrets []string) string {
	text = withoutSecrets(text, secrets)
	text = scripts.ReplaceAllString(text, " ")
	text = tags.ReplaceAllString(text, " ")
	text = urls.ReplaceAllString(text, "[url]")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }), " ")
	if runes := []rune(text); len(runes) > maxExcerpt {
		text = string(runes[:maxExcerpt]) + "..."
	}
	return strings.TrimRight(text, ".")
}

// withoutSecrets takes the secrets out of the beginning of a text, and drops the
// rest. An excerpt can end within a secret, so that the beginning of one is taken
// off its end.
func withoutSecrets(text string, secrets []string) string {
	const most, removed = 64 << 10, "[removed]"
	if len(text) > most {
		text = text[:most]
	}
	secrets = lookedFor(secrets, func(s string) bool { return len(s) >= minSecret })
	for _, secret := range secrets {
		text = replaceSecret(text, secret, removed)
	}
	end := len(text)
	for _, secret := range secrets {
		end = min(end, secretAtEnd(text, secret))
	}
	if end <= len(text)-minSecret {
		text = text[:end] + removed
	}
	return text
}
