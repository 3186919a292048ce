//go:build unix

package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

func init() { helpers["fill the disk"] = fillTheDisk }

// fillTheDisk mints until files may grow no more, and again when they may.
func fillTheDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := boltstore.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	unlimited := limit.Cur
	limit.Cur = uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	ctx := context.Background()
	if err := s.Trail().Begin(ctx, audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
		return err
	}
	var minted []handshake.Record
	for {
		record := newRecord(time.Now())
		record.Tracker = string(make([]byte, 60_000)) // to be there sooner
		if err = s.Mint(ctx, record, noteOn(record, audit.TokenMinted)); err != nil {
			break
		}
		minted = append(minted, record)
		if len(minted) > 10_000 {
			return errors.New("the disk never became full")
		}
	}
	if errors.Is(err, handshake.ErrOutcomeUnknown) || errors.Is(err, handshake.ErrBusy) {
		return fmt.Errorf("a full disk is reported as %w", err)
	}
	for _, record := range minted {
		if _, ok, err := s.Lookup(ctx, record.ID); !ok || err != nil {
			return fmt.Errorf("with a full disk a token is found: %v, error %w", ok, err)
		}
	}
	limit.Cur = unlimited
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for _, record := range minted {
		claim := handshake.Claim{ID: record.ID, Kind: record.Kind, Tracker: record.Tracker, At: time.Now()}
		if _, reason, err := s.Consume(ctx, claim); err != nil || reason != handshake.Granted {
			return fmt.Errorf("after the disk has room again, consuming gave %q, error %w", reason, err)
		}
	}
	last := newRecord(time.Now())
	if err := s.Mint(ctx, last, noteOn(last, audit.TokenMinted)); err != nil {
		return err
	}
	// What was not minted has left no entry and no gap.
	report, err := audit.Verify(ctx, s.Trail(), audit.Keys{}, audit.VerifyOptions{})
	if err != nil || !report.OK() || report.Entries != len(minted)+1 {
		return fmt.Errorf("after %d mintings the trail has %d entries, problems %v, error %w", len(minted)+1, report.Entries, report.Problems, err)
	}
	return nil
}

func TestAFullDiskIsAnErrorAndTheStoreRecovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	if err := helperCommand(t, "fill the disk", path).Run(); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
