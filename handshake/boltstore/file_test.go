package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake/boltstore"
)

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(directory, "tokens.db")
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, want := range map[string]fs.FileMode{directory: fs.ModeDir | 0o700, path: 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, error %v: want the file alone", entries, err)
	}
}

func TestAFileThatIsOpenElsewhereIsLocked(t *testing.T) {
	s := openTemp(t)
	_, err := boltstore.Open(s.Path())
	if !errors.Is(err, boltstore.ErrLocked) || !strings.Contains(err.Error(), s.Path()) {
		t.Errorf("got %v, want ErrLocked with the path", err)
	}
	if err := s.Mint(context.Background(), newRecord(time.Now())); err != nil {
		t.Errorf("the store that has it: %v", err)
	}
}

// boltFile makes a bolt file with one entry.
func boltFile(t *testing.T, bucket, key, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileOfAnotherFormatIsRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("This is not a database.\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"text":             {text, "not a token file"},
		"one byte":         {short, "not a token file"},
		"another program":  {boltFile(t, "users", "a", "b"), "belongs to another program"},
		"a later version":  {boltFile(t, "meta", "format", "trackgate tokens 2"), `"trackgate tokens 2"`},
		"no version":       {boltFile(t, "meta", "a", "b"), "this version reads"},
		"tables missing":   {boltFile(t, "meta", "format", "trackgate tokens 1"), "a table is missing"},
		"a very long text": {boltFile(t, "meta", "format", strings.Repeat("x", 4000)), "this version reads"},
	} {
		s, err := boltstore.Open(test.path)
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, boltstore.ErrFormat) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
			t.Errorf("%s: %v, want ErrFormat with the path and %q", name, err, test.want)
		}
		if len(err.Error()) > 600 {
			t.Errorf("%s: the error has %d characters", name, len(err.Error()))
		}
	}
}

func TestAPathThatCannotBeAFileIsAnErrorThatNamesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(file, "tokens.db"), filepath.Join(file, "sub", "tokens.db"), t.TempDir()} {
		if _, err := boltstore.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestADamagedFileIsRefused cuts a file off at every length, and damages the
// pages by which it is found to be one.
func TestADamagedFileIsRefused(t *testing.T) {
	s := openTemp(t)
	for range 300 {
		if err := s.Mint(context.Background(), newRecord(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	page := os.Getpagesize()
	whole = whole[:(used+page-1)/page*page] // what follows was allocated and never used
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		damaged := bytes.Clone(whole)
		what := ""
		if i%2 == 0 {
			damaged = damaged[:1+random.IntN(used-page)]
			what = fmt.Sprintf("cut off at %d of %d", len(damaged), used)
		} else {
			what = "both meta pages damaged"
			damaged[16+random.IntN(64)] ^= 0xFF
			damaged[page+16+random.IntN(64)] ^= 0xFF
		}
		path := filepath.Join(t.TempDir(), "damaged.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := boltstore.Open(path)
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, boltstore.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", what, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("%s: the file was changed, error %v", what, err)
		}
	}
}
