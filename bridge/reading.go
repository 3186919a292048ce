package bridge

import (
	"fmt"
	"strings"

	"github.com/trackgate/trackgate/apierror"
)

// What dialects have in common when they read answers.

// BadShape is the error for an answer of which a dialect can make nothing. It says
// where that stood, a method say, and what is wrong with it.
func BadShape(where, format string, args ...any) error {
	return badAnswer("The answer to %s is not as the dialect expects: %s.", where, fmt.Sprintf(format, args...))
}

// NoSuchBug is the error for a bug that the tracker does not have.
func NoSuchBug() error {
	return apierror.New(apierror.ResourceNotFound).WithDetail("The tracker has no such bug.")
}

// Digits brings a decimal number to the form that trackers give it, so that 007 is
// 7, and tells whether it is one. Another text is returned as it is.
func Digits(s string) (string, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return s, false
	}
	if short := strings.TrimLeft(s, "0"); short != "" {
		return short, true
	}
	return "0", true
}

// SameText compares a text with what a tracker made of it: trackers change line
// ends, and some take white space off the ends.
func SameText(a, b string) bool { return sameText(a, b) }
