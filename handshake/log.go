package handshake

import (
	"context"
	"log/slog"
	"time"
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
//
// It makes the record itself: a [slog.Logger] would look up who called it, which
// takes as long as writing the line, and no line says it. The attributes are those
// that have a value, and as many as a record holds in itself but for lines of what
// failed.
func (o *LogObserver) Observe(ctx context.Context, e Event) {
	level, handler := levelOf(e), o.logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(time.Now(), level, messageOf(e.Type), 0)
	if !e.Fingerprint.IsZero() {
		record.AddAttrs(slog.String("token", e.Fingerprint.String()))
	}
	if e.Kind != 0 {
		record.AddAttrs(slog.String("kind", e.Kind.String()))
	}
	if e.Tracker != "" {
		record.AddAttrs(slog.String("tracker", e.Tracker))
	}
	if e.Root != "" {
		record.AddAttrs(slog.String("root", e.Root))
	}
	if e.Caller.IsValid() {
		record.AddAttrs(slog.String("caller", e.Caller.String()))
	}
	if e.Reason != Granted {
		record.AddAttrs(slog.String("reason", string(e.Reason)))
	}
	if e.Err != nil {
		record.AddAttrs(slog.String("error", e.Err.Error()))
	}
	_ = handler.Handle(ctx, record) // a log that cannot be written has nobody to be told
}

// messageOf is the message of a line, without putting it together for each.
func messageOf(t EventType) string {
	switch t {
	case EventMinted:
		return "token minted"
	case EventConsumed:
		return "token consumed"
	case EventRefused:
		return "token refused"
	case EventRevoked:
		return "token revoked"
	case EventProbe:
		return "token probe"
	}
	return "token " + string(t)
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
