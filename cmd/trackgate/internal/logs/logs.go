// Package logs makes the gateway's logger, whose lines share their writes.
package logs

import (
	"context"
	"io"
	"log/slog"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
)

// New returns the logger that the configuration asks for, and what it writes to,
// which has to be closed. Errors are written before the call that logs one
// returns, so that they, and what came before them, are seen even when the process
// ends at once.
func New(out io.Writer, cfg config.Log) (*slog.Logger, *Writer) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // the configuration was checked
	opts := &slog.HandlerOptions{Level: level}
	w := NewWriter(out)
	if cfg.Format == "json" {
		return slog.New(handler{slog.NewJSONHandler(w, opts), w}), w
	}
	return slog.New(handler{slog.NewTextHandler(w, opts), w}), w
}

// handler flushes errors.
type handler struct {
	slog.Handler
	writer *Writer
}

var _ slog.Handler = handler{}

// Handle writes a line.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelError {
		h.writer.Flush()
	}
	return err
}

// WithAttrs returns a handler whose lines have attributes in common.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.writer}
}

// WithGroup returns a handler whose later attributes are in a group.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.writer}
}
