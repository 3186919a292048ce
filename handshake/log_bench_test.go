package handshake_test

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/trackgate/trackgate/handshake"
)

// BenchmarkLogLine is the line of a mint and that of a handshake, without the
// system call that writes them.
func BenchmarkLogLine(b *testing.B) {
	events := map[string]handshake.Event{
		"minted": {
			Type: handshake.EventMinted, Fingerprint: handshake.Fingerprint{1, 2, 3, 4, 5, 6, 7, 8}, Kind: handshake.BugTracker,
		},
		"consumed": {
			Type: handshake.EventConsumed, Fingerprint: handshake.Fingerprint{1, 2, 3, 4, 5, 6, 7, 8}, Kind: handshake.BugTracker,
			Tracker: "trac", Root: "trac", Caller: netip.MustParseAddr("192.0.2.17"),
		},
	}
	for name, event := range events {
		for format, handler := range map[string]slog.Handler{
			"text": slog.NewTextHandler(nowhere{}, nil), "json": slog.NewJSONHandler(nowhere{}, nil),
		} {
			b.Run(name+"/"+format, func(b *testing.B) {
				observer := handshake.NewLogObserver(slog.New(handler))
				b.ReportAllocs()
				for b.Loop() {
					observer.Observe(b.Context(), event)
				}
			})
		}
	}
}

// nowhere is where lines cost nothing once they are made.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
