package boltstore_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

func init() { helpers["work until killed"] = workUntilKilled }

// workUntilKilled mints and consumes, and reports each answer after it has it.
// A report is one write to a pipe, which arrives whole or not at all.
func workUntilKilled(path string) error {
	s, err := boltstore.Open(path)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := s.Trail().Begin(ctx, audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
		return err
	}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for {
				record := newRecord(time.UnixMilli(time.Now().UnixMilli()))
				if s.Mint(ctx, record, noteOn(record, audit.TokenMinted)) != nil {
					return
				}
				report("minted", record.ID)
				note := noteOn(record, audit.TokenConsumed)
				_, reason, err := s.Consume(ctx, handshake.Claim{ID: record.ID, Kind: record.Kind, At: time.Now(), Note: &note})
				if err != nil || reason != handshake.Granted {
					return
				}
				report("consumed", record.ID)
			}
		})
	}
	group.Wait()
	return fmt.Errorf("the store failed")
}

func report(what string, id handshake.ID) {
	fmt.Printf("%s %d %x\n", what, id.Millis, id.Hash)
}

func parseReport(line string) (string, handshake.ID, error) {
	var what, text string
	var id handshake.ID
	if _, err := fmt.Sscanf(line, "%s %d %s", &what, &id.Millis, &text); err != nil {
		return "", id, err
	}
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != handshake.HashSize {
		return "", id, fmt.Errorf("not a hash: %q", text)
	}
	id.Hash = [handshake.HashSize]byte(hash)
	return what, id, nil
}

func TestNothingThatWasAnsweredIsLostWhenTheProcessIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	minted, consumed := map[handshake.ID]bool{}, map[handshake.ID]bool{}
	for range 6 {
		killAfter(t, path, 20+rand.IntN(1500), minted, consumed)
	}
	if len(consumed) == 0 {
		t.Fatal("nothing was consumed")
	}
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	wantTrail(t, s, minted, consumed)
	for id := range minted {
		claim := handshake.Claim{ID: id, Kind: handshake.BugTracker, At: time.Now()}
		_, reason, err := s.Consume(context.Background(), claim)
		switch {
		case err != nil:
			t.Fatal(err)
		case consumed[id] && reason != handshake.ReasonUsed:
			t.Errorf("a token that was consumed is %q now", reason)
		case reason != handshake.Granted && reason != handshake.ReasonUsed:
			t.Errorf("a token that was minted is %q now", reason)
		}
		if _, reason, err = s.Consume(context.Background(), claim); err != nil || reason != handshake.ReasonUsed {
			t.Errorf("a used token is %q, error %v", reason, err)
		}
	}
}

// wantTrail checks that the chains of all runs are whole, and tell of every answer.
func wantTrail(t *testing.T, s *boltstore.Store, minted, consumed map[handshake.ID]bool) {
	t.Helper()
	ctx := context.Background()
	report, err := audit.Verify(ctx, s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("the trail: %v, error %v", report.Problems, err)
	}
	type what struct {
		subject string
		code    audit.Code
		outcome audit.Outcome
	}
	told := map[what]bool{}
	for after := ""; ; {
		page, err := audit.List(ctx, s.Trail(), audit.Filter{}, after, audit.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			told[what{e.Subject, e.Code, e.Outcome}] = true
		}
		if page.After == after {
			break
		}
		after = page.After
	}
	missing := 0
	wants := func(id handshake.ID, code audit.Code, outcome audit.Outcome) {
		if !told[what{id.Fingerprint().String(), code, outcome}] {
			missing++
		}
	}
	for id := range minted {
		wants(id, audit.TokenMinted, audit.Done)
	}
	for id := range consumed {
		wants(id, audit.TokenConsumed, audit.Intended)
		wants(id, audit.TokenConsumed, audit.Done)
	}
	if missing > 0 {
		t.Errorf("the trail does not tell of %d answers", missing)
	}
}

// killAfter lets a process work on the file, kills it when it has reported so
// many answers, and collects all that it has reported.
func killAfter(t *testing.T, path string, answers int, minted, consumed map[handshake.ID]bool) {
	t.Helper()
	process := helperCommand(t, "work until killed", path)
	reports, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(reports)
	for seen := 0; ; seen++ {
		if seen == answers {
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		what, id, err := parseReport(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if what == "minted" {
			minted[id] = true
		} else {
			consumed[id] = true
		}
	}
	if err := process.Wait(); err == nil {
		t.Fatal("the process ended before it was killed")
	}
}
