package integration

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake"
)

// trailEntry is a line of audit export.
type trailEntry struct {
	Time, Chain, Subsystem, Event, Outcome, Reason, Caller, Listener, Route, Subject, Name, Detail, MAC string
	Seq                                                                                                 uint64
	Code                                                                                                int
	Heads                                                                                               []string
}

// trailProblem is a problem of audit verify --json.
type trailProblem struct {
	Kind, Chain, Text string
	Seq               uint64
}

// trailReport is what audit verify --json prints.
type trailReport struct {
	Entries, Blocks int
	Chains          []struct {
		Chain, Gateway, Key string
		First, Last         uint64
		Stopped             bool
	}
	Problems  []trailProblem
	Met       int `json:"checkpoints_met"`
	Forgeable bool
}

// auditKeyFile writes a key of the trail, another for each text, and returns its path.
func auditKeyFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "audit.key")
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text+"+", 32)[:32]))
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// auditCommand runs an audit command on a data directory.
func auditCommand(tb testing.TB, data string, args []string, command ...string) finished {
	tb.Helper()
	return runGateway(tb, "", nil, with(with([]string{"audit"}, command...), with([]string{"--data", data}, args...)...)...)
}

// exportTrail returns all entries that the filters choose.
func exportTrail(tb testing.TB, data string, args []string, filters ...string) []trailEntry {
	tb.Helper()
	f := auditCommand(tb, data, args, with([]string{"export"}, filters...)...)
	if f.status != 0 {
		tb.Fatalf("audit export: %+v", f)
	}
	var entries []trailEntry
	for line := range strings.Lines(f.stdout) {
		var e trailEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			tb.Fatalf("%v in %q", err, line)
		}
		entries = append(entries, e)
	}
	return entries
}

// verifyTrail returns what audit verify finds. Its exit status must fit.
func verifyTrail(tb testing.TB, data string, args []string, flags ...string) trailReport {
	tb.Helper()
	f := auditCommand(tb, data, args, with([]string{"verify", "--json"}, flags...)...)
	var report trailReport
	if err := json.Unmarshal([]byte(f.stdout), &report); err != nil {
		tb.Fatalf("audit verify: %v: %+v", err, f)
	}
	if want := min(len(report.Problems), 1); f.status != want {
		tb.Errorf("audit verify ended with %d, want %d: %+v", f.status, want, report.Problems)
	}
	return report
}

// wantWhole checks that nothing is wrong with a trail.
func (r trailReport) wantWhole(tb testing.TB, chains int) {
	tb.Helper()
	if len(r.Problems) > 0 || len(r.Chains) != chains {
		tb.Errorf("the trail has %d chains, want %d, and problems %+v", len(r.Chains), chains, r.Problems)
	}
}

// wantTold checks that one of the problems is of a kind and, where they are given,
// names the chain and the entry.
func (r trailReport) wantTold(tb testing.TB, kind, chain string, seq uint64) {
	tb.Helper()
	if !slices.ContainsFunc(r.Problems, func(p trailProblem) bool {
		return p.Kind == kind && (chain == "" || p.Chain == chain) && (seq == 0 || p.Seq == seq)
	}) {
		tb.Errorf("the problems are %+v, want %s of entry %d of %s", r.Problems, kind, seq, chain)
	}
}

// saveCheckpoint keeps a checkpoint elsewhere, and returns its path.
func saveCheckpoint(tb testing.TB, data string, args []string) string {
	tb.Helper()
	f := auditCommand(tb, data, args, "checkpoint")
	if f.status != 0 || !strings.HasPrefix(f.stdout, "trackgate-checkpoint-1 ") {
		tb.Fatalf("audit checkpoint: %+v", f)
	}
	path := filepath.Join(tb.TempDir(), "checkpoint.txt")
	if err := os.WriteFile(path, []byte(f.stdout), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// fingerprintOf is the name of a token in the trail.
func fingerprintOf(tb testing.TB, token string) string {
	tb.Helper()
	id, ok := handshake.ParseToken(token)
	if !ok {
		tb.Fatal("this is no token")
	}
	return id.Fingerprint().String()
}
