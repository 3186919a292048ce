package handshake

import (
	"context"
	"log/slog"
)

// LogObserver writes one line for every event: refusals that an attack or a
// misconfiguration would show in as warnings, failures of the store as errors,
// the rest as information.
type LogObserver struct {
	logger *slog.Logger
}

var _ Observer = (*LogObserver)(nil)

// NewLogObserver returns an observer that writes to a logger.
func NewLogObserver(logger *slog.Logger) *LogObserver { return &LogObserver{logger: logger} }

// Observe writes the line of an event.
func (o *LogObserver) Observe(ctx context.Context, e Event) {
	level := levelOf(e)
	if !o.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	if !e.Fingerprint.IsZero() {
		attrs = append(attrs, slog.String("token", e.Fingerprint.String()))
	}
	if e.Kind != 0 {
		attrs = append(attrs, slog.String("kind", e.Kind.String()))
	}
	if e.Tracker != "" {
		attrs = append(attrs, slog.String("tracker", e.Tracker))
	}
	if e.Root != "" {
		attrs = append(attrs, slog.String("root", e.Root))
	}
	if e.Caller.IsValid() {
		attrs = append(attrs, slog.String("caller", e.Caller.String()))
	}
	if e.Reason != Granted {
		attrs = append(attrs, slog.String("reason", string(e.Reason)))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	o.logger.LogAttrs(ctx, level, "token "+string(e.Type), attrs...) //nolint:sloglint // the message is one of the closed set of event types
}

func levelOf(e Event) slog.Level {
	switch {
	case e.Reason == ReasonStore:
		return slog.LevelError
	case e.Reason == ReasonMethod, e.Reason == ReasonNotAdmitted:
		return slog.LevelDebug // strangers can cause any number of them
	case e.Reason == ReasonGone:
		return slog.LevelInfo
	case e.Type == EventRefused:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}
