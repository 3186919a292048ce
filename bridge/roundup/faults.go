package roundup

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// faultOther is the code of every fault but those about credentials. Its text is
// "<class 'PYTHON.CLASS'>:TEXT", of old versions "<type 'exceptions.CLASS'>:TEXT".
const faultOther = 1

// headerMissing is the text of the refusal of a call without X-Requested-With.
const headerMissing = "Required Header Missing"

// isUnwritable tells whether a fault says that Python's XML-RPC has no form for a
// value of the answer (its module xmlrpc.client).
func isUnwritable(class, text string) bool {
	switch class {
	case "TypeError":
		return strings.HasPrefix(text, "cannot marshal ")
	case "OverflowError":
		return strings.HasSuffix(text, " exceeds XML-RPC limits")
	}
	return class == "UnicodeEncodeError" || class == "UnicodeDecodeError"
}

// errUnwritable is the cause of the errors for those.
var errUnwritable = errors.New("roundup: the tracker cannot write its answer")

// maxFaultText bounds what is quoted of a fault, in characters.
const maxFaultText = 160

// splitFault returns the last part of the name of the Python class, and the text
// after it. A fault of another form is all text.
func splitFault(s string) (class, text string) {
	rest, ok := strings.CutPrefix(s, "<class '")
	if !ok {
		rest, ok = strings.CutPrefix(s, "<type '")
	}
	class, text, found := strings.Cut(rest, "'>:")
	class = class[strings.LastIndexByte(class, '.')+1:]
	if !ok || !found || class == "" || strings.ContainsAny(class, " '<>\n") {
		return "", s
	}
	return class, text
}

// classOf splits the text of a fault, if err is one whose code does not tell what
// it is.
func classOf(err error) (class, text string) {
	if fault := new(xmlrpc.Fault); errors.As(err, &fault) && fault.Code == faultOther {
		return splitFault(fault.String)
	}
	return "", ""
}

// isMissing tells whether a fault says that there is no such item: display and
// set say so with different classes.
func isMissing(err error) bool {
	class, text := classOf(err)
	return (class == "IndexError" || class == "UsageError") && strings.HasPrefix(text, "no such ")
}

// isDenied tells whether a fault says that the account may not do something.
func isDenied(err error) bool {
	class, text := classOf(err)
	return class == "Unauthorised" && !strings.HasPrefix(text, "Invalid ")
}

// ExplainFault tells faults apart by their class, which is all that there is to
// tell them by.
func (d *dialect) ExplainFault(fault *xmlrpc.Fault) error {
	class, text := splitFault(fault.String)
	quoted := quote(text)
	switch {
	case fault.Code == faultForbidden:
		return apierror.New(apierror.Forbidden).WithDetail("The gateway's account lacks the permission \"Xmlrpc Access\" there.")
	case fault.Code != faultOther || class == "":
		return nil
	case isMissing(fault) && strings.HasPrefix(text, "no such "+issueClass+" "):
		return bridge.NoSuchBug()
	case isMissing(fault):
		return apierror.New(apierror.ResourceNotFound).WithDetail("The tracker says: " + quoted + ".")
	case isDenied(fault):
		return apierror.New(apierror.Forbidden).WithDetail("The tracker does not allow this to the gateway's account there: " + quoted + ".")
	case class == "Unauthorised": // of the guard against forged requests, which quotes a header
		what, _, _ := strings.Cut(strings.TrimPrefix(text, "Invalid "), " ")
		return apierror.New(apierror.TrackerFault).WithDetail("The tracker does not take the header " + quote(strings.TrimSuffix(what, ":")) +
			" of the call: configure as url the address under which the tracker itself is configured, its port included.")
	case class == "UsageError" && text == headerMissing:
		return apierror.New(apierror.TrackerFault).WithDetail("The tracker misses a header of the call: something between it and the gateway takes X-Requested-With away.")
	case class == "UsageError":
		return apierror.New(apierror.InvalidData).WithDetail("The tracker does not take it: " + quoted + ".")
	}
	failed := apierror.New(apierror.TrackerFault)
	if isUnwritable(class, text) {
		failed = failed.WithCause(errUnwritable)
	}
	return failed.
		WithDetail(fmt.Sprintf("Fault %d: %s: %s.", fault.Code, quote(class), quoted)).
		WithExtra("fault_code", fmt.Sprint(fault.Code)).
		WithExtra("fault_string", quoted)
}

// quote makes a text of the tracker fit to stand in an error: printable, one
// line, short, without URLs.
func quote(text string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(text, " "), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	for i, word := range words {
		if strings.Contains(word, "://") {
			words[i] = "[url]"
		}
	}
	text = strings.Join(words, " ")
	if runes := []rune(text); len(runes) > maxFaultText {
		text = string(runes[:maxFaultText]) + "..."
	}
	return strings.TrimRight(text, ".")
}

// explained is the error for what failed inside a system.multicall.
func (d *dialect) explained(err error) error {
	fault := new(xmlrpc.Fault)
	if known := new(apierror.Error); errors.As(err, &known) || !errors.As(err, &fault) {
		return err
	}
	if known := d.ExplainFault(fault); known != nil {
		return known
	}
	return apierror.New(apierror.TrackerFault).WithDetail(fmt.Sprintf("Fault %d: %s.", fault.Code, quote(fault.String)))
}

// unreadable is the error for one item of many that cannot be read.
func unreadable(designator string, err error) error {
	return apierror.New(apierror.TrackerBadAnswer).WithCause(err).
		WithDetail("The tracker cannot send " + designator + ", which has to be asked for without the others or not at all: " + apierror.From(err).FaultString())
}
