package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink remembers what was written to it, write by write. While gate is not nil each
// write first takes from it.
type sink struct {
	mu     sync.Mutex
	writes []string
	at     []time.Time
	gate   chan struct{}
	err    error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes, s.at = append(s.writes, string(p)), append(s.at, time.Now())
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func write(t *testing.T, w *Writer, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("%q: %d, %v", line, n, err)
		}
	}
}

func TestLinesThatComeTogetherShareAWriteInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		w := NewWriter(out)
		write(t, w, "one\n", "two\n")
		time.Sleep(gatherTime / 2)
		write(t, w, "three\n")
		time.Sleep(gatherTime)
		write(t, w, "four\n")
		time.Sleep(gatherTime)
		synctest.Wait()
		if got := out.got(); !slices.Equal(got, []string{"one\ntwo\nthree\n", "four\n"}) {
			t.Errorf("written: %q", got)
		}
	})
}

func TestALineAppearsWithinMillisecondsWhenNothingElseHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		w := NewWriter(out)
		for range 3 {
			begun := time.Now()
			write(t, w, "line\n")
			time.Sleep(time.Second)
			synctest.Wait()
			if took := out.at[len(out.at)-1].Sub(begun); took > 10*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		}
		if got := out.got(); len(got) != 3 {
			t.Errorf("written: %q", got)
		}
	})
}

func TestWhatComesDuringAWriteIsWrittenAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		w := NewWriter(out)
		write(t, w, "one\n")
		time.Sleep(gatherTime)
		synctest.Wait()
		write(t, w, "two\n", "three\n")
		out.gate <- struct{}{}
		out.gate <- struct{}{}
		synctest.Wait()
		if got := out.got(); !slices.Equal(got, []string{"one\n", "two\nthree\n"}) {
			t.Errorf("written: %q", got)
		}
	})
}

func TestCloseWritesWhatWaitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		w := NewWriter(out)
		begun := time.Now()
		write(t, w, "one\n", "two\n")
		if err := w.Close(time.Second); err != nil {
			t.Error(err)
		}
		if got := out.got(); !slices.Equal(got, []string{"one\ntwo\n"}) || time.Since(begun) != 0 {
			t.Errorf("written after %v: %q", time.Since(begun), got)
		}
		// What still runs then may have a last word.
		write(t, w, "three\n")
		w.Flush()
		if got := out.got(); len(got) != 2 {
			t.Errorf("written: %q", got)
		}
	})
}

func TestFlushWaitsForTheWriteUnderWayAndForWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		w := NewWriter(out)
		write(t, w, "one\n")
		time.Sleep(gatherTime)
		synctest.Wait()
		write(t, w, "two\n")
		flushed := false
		go func() { w.Flush(); flushed = true }()
		for range 2 {
			synctest.Wait()
			if flushed {
				t.Error("flushed while a write was under way")
			}
			out.gate <- struct{}{}
		}
		synctest.Wait()
		if got := out.got(); !flushed || len(got) != 2 {
			t.Errorf("flushed: %v, written: %q", flushed, got)
		}
	})
}

func TestWhenTheBufferIsFullALineWaitsAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		w := NewWriter(out)
		full := strings.Repeat("x", bufferSize-1) + "\n"
		write(t, w, "first\n")
		time.Sleep(gatherTime)
		synctest.Wait() // its write hangs now
		write(t, w, full)
		done := false
		go func() { write(t, w, "last\n"); done = true }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if done {
			t.Error("there was room for one line more")
		}
		out.gate <- struct{}{}
		synctest.Wait()
		if !done {
			t.Error("the line waits although there is room")
		}
		close(out.gate)
		w.Flush()
		if got := strings.Join(out.got(), ""); got != "first\n"+full+"last\n" {
			t.Errorf("%d bytes were written", len(got))
		}
	})
}

func TestALineLongerThanTheBufferIsWrittenWhole(t *testing.T) {
	out := &sink{}
	w := NewWriter(out)
	long := strings.Repeat("x", 3*bufferSize) + "\n"
	write(t, w, "before\n", long, "after\n")
	if err := w.Close(time.Minute); err != nil {
		t.Error(err)
	}
	if got := strings.Join(out.got(), ""); got != "before\n"+long+"after\n" {
		t.Errorf("%d bytes were written", len(got))
	}
}

func TestAReaderThatReadsNoMoreHoldsNobodyForEverOnceThereIsABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		w := NewWriter(out)
		full := strings.Repeat("x", bufferSize-1) + "\n"
		write(t, w, "first\n")
		time.Sleep(gatherTime)
		synctest.Wait() // its write hangs now
		write(t, w, full)
		refused := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := w.Write([]byte("lost\n"))
				refused <- err
			}()
		}
		synctest.Wait()
		begun := time.Now()
		w.Bound(time.Minute)
		w.Bound(5 * time.Second)
		for range 2 {
			if err := <-refused; !errors.Is(err, ErrStuck) {
				t.Errorf("a line that has no room: %v", err)
			}
		}
		if err := w.Close(time.Minute); !errors.Is(err, ErrStuck) {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		// Whoever reads again finds all that had room.
		close(out.gate)
		time.Sleep(time.Second)
		write(t, w, "last\n")
		w.Flush()
		if got := strings.Join(out.got(), ""); got != "first\n"+full+"last\n" {
			t.Errorf("%d bytes were written", len(got))
		}
	})
}

func TestASlowReaderIsWaitedForWithinTheBoundOfEachWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		w := NewWriter(out)
		w.Bound(5 * time.Second)
		go func() {
			for range 4 {
				time.Sleep(4 * time.Second)
				out.gate <- struct{}{}
			}
		}()
		full := strings.Repeat("x", bufferSize-1) + "\n"
		write(t, w, full, full, full, full)
		if err := w.Close(5 * time.Second); err != nil {
			t.Error(err)
		}
		if got := out.got(); len(got) != 4 {
			t.Errorf("there were %d writes", len(got))
		}
	})
}

func TestAnErrorOfWhatIsBelowDoesNotStopLaterLines(t *testing.T) {
	out := &sink{err: errors.New("no space left on device")}
	w := NewWriter(out)
	write(t, w, "one\n")
	w.Flush()
	write(t, w, "two\n")
	if err := w.Close(time.Minute); err != nil {
		t.Error(err)
	}
	if got := out.got(); !slices.Equal(got, []string{"one\n", "two\n"}) {
		t.Errorf("tried: %q", got)
	}
}

func TestLinesOfManyWritersAreAllThereAndThoseOfEachInOrder(t *testing.T) {
	const writers, lines = 8, 2000
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := NewWriter(file)
	pad := strings.Repeat(".", 300) // so that the buffer is full now and then
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for line := range lines {
				write(t, w, fmt.Sprintf("%d %d %s\n", writer, line, pad))
				if line%500 == 0 {
					w.Flush()
				}
			}
		})
	}
	all.Wait()
	if err := w.Close(time.Minute); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var next [writers]int
	for line := range bytes.Lines(text) {
		var writer, number int
		if _, err := fmt.Sscanf(string(line), "%d %d", &writer, &number); err != nil || number != next[writer] || len(line) < len(pad) {
			t.Fatalf("line %d of writer %d is %q: %v", next[writer], writer, line, err)
		}
		next[writer]++
	}
	for writer, n := range next {
		if n != lines {
			t.Errorf("of writer %d there are %d lines", writer, n)
		}
	}
}
