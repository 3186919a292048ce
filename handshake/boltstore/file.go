package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The errors of [Open], to be tested with errors.Is. Their texts name the file.
var (
	ErrLocked = errors.New("another process has the token file open")
	ErrFormat = errors.New("not a token file that this version can read")
)

const (
	fileMode      = 0o600
	directoryMode = 0o700
	// lockWait is how long Open waits for another process to let go of the file.
	lockWait = time.Second
	// initialMap is how much address space is mapped from the start. It costs
	// nothing until the file is as large; without it the map is replaced at
	// every doubling, and each time all readers wait for the writer and the
	// writer for all readers.
	initialMap = 256 << 20
	// format is the version of what is in the file. Another value is refused.
	format = "trackgate tokens 1"
)

var (
	metaBucket   = []byte("meta")
	tokensBucket = []byte("tokens")
	stateBucket  = []byte("state")
	formatKey    = []byte("format")
)

// options are bbolt's. The list of free pages is not written: it is rebuilt
// when the file is opened, and a commit after a million tokens have been
// forgotten would otherwise write 40 more pages.
func options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:         lockWait,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMap,
		NoStatistics:    true,
	}
}

// open opens the file at a path and makes it where there is none.
func open(path string) (*bbolt.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("boltstore: cannot make the token file %s: %w", path, err)
		}
	}
	if err := check(path); err != nil {
		return nil, explain(path, err)
	}
	db, err := bbolt.Open(path, fileMode, options())
	if err != nil {
		return nil, explain(path, err)
	}
	if err := db.Update(addTables); err != nil {
		return nil, explain(path, errors.Join(err, db.Close()))
	}
	return db, nil
}

// create makes a complete file under another name and links it to its own, so
// that a process that dies here leaves no half a file behind, and of two that
// start at once none overwrites the other's.
func create(path string) error {
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, directoryMode); err != nil {
		return err
	}
	file, err := os.CreateTemp(directory, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	draft := file.Name()
	defer func() { _ = os.Remove(draft) }()
	if err := file.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(draft, fileMode, options())
	if err != nil {
		return err
	}
	err = errors.Join(db.Update(initialise), db.Close())
	if err != nil {
		return err
	}
	if err := os.Link(draft, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(directory)
}

func initialise(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, tokensBucket, stateBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	if err := addTables(tx); err != nil {
		return err
	}
	return tx.Bucket(metaBucket).Put(formatKey, []byte(format))
}

// addTables makes the tables that files of earlier versions lack.
func addTables(tx *bbolt.Tx) error {
	for _, name := range slices.Concat(feedBuckets, trailBuckets) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// syncDirectory makes the name of a new file as durable as its contents.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// check looks at a file that may be anything, without changing it. To open it
// for writing reads all its pages, on a goroutine of bbolt's that takes the
// program down with it where they lie outside the file: so that a file that has
// been cut off must be found here.
func check(path string) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%w: its pages are damaged (%v)", ErrFormat, what)
		}
	}()
	looking := *options()
	looking.ReadOnly = true
	db, err := bbolt.Open(path, fileMode, &looking)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing was written
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has been cut off at %d of %d bytes", ErrFormat, info.Size(), tx.Size())
		}
		return checkFormat(tx)
	})
}

func checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return fmt.Errorf("%w: it belongs to another program", ErrFormat)
	}
	if found := meta.Get(formatKey); string(found) != format {
		return fmt.Errorf("%w: it says %.40q, this version reads %q", ErrFormat, found, format)
	}
	if tx.Bucket(tokensBucket) == nil || tx.Bucket(stateBucket) == nil {
		return fmt.Errorf("%w: a table is missing", ErrFormat)
	}
	return nil
}

// explain says what an error of bbolt means for an operator. What comes neither
// from the lock nor from the system is about the contents.
func explain(path string, err error) error {
	var pathError *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("boltstore: %w: %s; stop the other gateway, or give this one another file", ErrLocked, path)
	case errors.Is(err, ErrFormat):
		return fmt.Errorf("boltstore: %s is %w", path, err)
	case errors.As(err, &pathError), errors.As(err, &errno):
		return fmt.Errorf("boltstore: cannot open %s: %w", path, err)
	default:
		return fmt.Errorf("boltstore: %s is %w: %w", path, ErrFormat, err)
	}
}
