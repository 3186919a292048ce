package logs_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/logs"
)

func TestAnErrorAndWhatCameBeforeItAreWrittenWhenTheCallReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger, _ := logs.New(&out, config.Log{Level: "info", Format: "text"})
		logger.Info("before")
		if out.Len() != 0 {
			t.Errorf("written at once: %q", out.String())
		}
		logger.With("common", 1).WithGroup("group").Error("failed", "own", 2)
		if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "msg=before\n") || !strings.Contains(got, "msg=failed common=1 group.own=2\n") {
			t.Errorf("written: %q", got)
		}
	})
}

func TestTheConfigurationSaysFormatAndLevel(t *testing.T) {
	var out bytes.Buffer
	logger, writer := logs.New(&out, config.Log{Level: "warn", Format: "json"})
	logger.Info("too little")
	logger.Warn("enough")
	if err := writer.Close(time.Minute); err != nil {
		t.Fatal(err)
	}
	var line struct{ Msg, Level string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "enough" || line.Level != "WARN" {
		t.Errorf("%v: %q", err, out.String())
	}
}

// BenchmarkLine writes lines to a file, one write each and gathered.
func BenchmarkLine(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	gathered, writer := logs.New(file, config.Log{Level: "info", Format: "text"})
	for name, logger := range map[string]*slog.Logger{"one write each": slog.New(slog.NewTextHandler(file, nil)), "gathered": gathered} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					logger.LogAttrs(b.Context(), slog.LevelInfo, "token minted", slog.String("token", "0123456789abcdef"), slog.String("kind", "BUGTRACKER"))
				}
			})
			writer.Flush()
		})
	}
}
