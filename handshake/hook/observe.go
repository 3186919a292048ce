package hook

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// Outcome is what came of a request. The set is closed.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	// Duplicate is what was accepted before, as far as the replay window knows; the
	// duplicates that the feed itself leaves out count as accepted.
	Duplicate Outcome = "duplicate"
	Refused   Outcome = "refused"
)

// Reason says why a request was refused. The set is closed.
type Reason string

// The reasons.
const (
	ReasonUnknownHook Reason = "unknown-hook"
	ReasonMethod      Reason = "method"
	ReasonNotAdmitted Reason = "not-admitted"
	ReasonTooLarge    Reason = "too-large"
	// ReasonInvalid: the body or a field is wrong, or nothing proves the sender.
	ReasonInvalid Reason = "invalid"
	// ReasonMismatch is an AuthenticationTokenMismatch.
	ReasonMismatch Reason = "mismatch"
	// ReasonStore: the store did not do what it was asked for.
	ReasonStore Reason = "store"
	// ReasonGone: the sender hung up before the store was asked.
	ReasonGone Reason = "gone"
	// ReasonBusy: the same request is being handled already.
	ReasonBusy Reason = "busy"
	// ReasonHandler: the hook's own handler refused it.
	ReasonHandler Reason = "handler"
)

// Reasons are all of them, for those who count.
var Reasons = []Reason{
	ReasonUnknownHook, ReasonMethod, ReasonNotAdmitted, ReasonTooLarge, ReasonInvalid, ReasonMismatch, ReasonStore, ReasonGone,
	ReasonBusy, ReasonHandler,
}

// Event tells what came of one request. It holds nothing that was sent.
type Event struct {
	Time time.Time
	// Hook is the hook's name; empty when there is none of the name that was asked
	// for, which may be anything.
	Hook string
	// Caller is the address that asked.
	Caller  netip.Addr
	Outcome Outcome
	// Reason is empty for what was not refused.
	Reason Reason
	// Methods are those by which the request proved itself.
	Methods []Method
	// Ignored is how many fields were sent that the hook does not have.
	Ignored int
	// Err is the answer to what was refused, with its cause. It is for logs.
	Err error
}

// Observer is told of every request, on its goroutine: it must be quick and safe
// for concurrent use.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function that is an [Observer].
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls the function.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

var (
	_ Observer = ObserverFunc(nil)
	_ Observer = (*LogObserver)(nil)
)

// LogObserver writes one line for every request.
type LogObserver struct{ logger *slog.Logger }

// NewLogObserver returns an observer that writes to a logger.
func NewLogObserver(logger *slog.Logger) *LogObserver { return &LogObserver{logger: logger} }

// Observe writes the line of a request.
func (o *LogObserver) Observe(ctx context.Context, e Event) {
	level := levelOf(e)
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("outcome", string(e.Outcome))}
	if e.Hook != "" {
		attrs = append(attrs, slog.String("hook", e.Hook))
	}
	if e.Caller.IsValid() {
		attrs = append(attrs, slog.String("caller", e.Caller.String()))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(e.Reason)))
	}
	if len(e.Methods) > 0 {
		attrs = append(attrs, slog.String("methods", methodNames(e.Methods)))
	}
	if e.Ignored > 0 {
		attrs = append(attrs, slog.Int("ignored", e.Ignored))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	o.logger.LogAttrs(ctx, level, "hook called", attrs...)
}

// levelOf is low for what strangers can cause any number of times.
func levelOf(e Event) slog.Level {
	switch e.Reason {
	case ReasonUnknownHook, ReasonMethod, ReasonNotAdmitted:
		return slog.LevelDebug
	case ReasonMismatch, ReasonHandler:
		return slog.LevelWarn
	case ReasonStore:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// reasonOf says why an accepted request was not taken.
func reasonOf(err error) Reason {
	var own *handlerError
	switch {
	case errors.As(err, &own):
		return ReasonHandler
	case apierror.Is(err, apierror.RequestTooLarge):
		return ReasonTooLarge
	case apierror.Is(err, apierror.TooManyRequests):
		return ReasonBusy
	default:
		return ReasonStore
	}
}
