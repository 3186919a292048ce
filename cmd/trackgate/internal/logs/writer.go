package logs

import (
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// gatherTime is how long a line waits for others to share its write. A write is
	// a system call, which takes longer than making the line.
	gatherTime = 2 * time.Millisecond
	// bufferSize is how many bytes may wait to be written; a longer line waits alone.
	bufferSize = 256 << 10
)

// ErrStuck says that lines were lost, since a write did not end in the time that
// [Writer.Bound] gave it.
var ErrStuck = errors.New("the log is not read: lines of it were lost")

// Writer gathers lines, so that those which come within a few milliseconds share
// one write of what is below it. Lines are written in the order in which they
// came, and none is lost: when too many wait, the next one's Write waits for
// room. An error of what is below is not told; the lines that it befell are gone,
// and later ones are tried again. Nothing has to be closed, but what waits has to be
// written before the process ends: see [Writer.Close].
//
// All methods are safe for concurrent use. What is below is called by one goroutine
// at a time.
type Writer struct {
	out io.Writer

	mu      sync.Mutex
	changed sync.Cond // a write has begun, and made room, or ended, or been given up
	waiting []byte    // the lines of which no write has begun
	spare   []byte    // the buffer that was written last
	taken   uint64    // bytes that have come
	written uint64    // bytes whose write has ended
	writing bool      // a write is under way
	hurried bool      // somebody waits for the next write to end
	timer   *time.Timer

	// What Bound has begun.
	patience time.Duration // 0 while writes may take for ever
	watched  time.Time     // since when the write under way is
	watch    *time.Timer
	stuck    bool // the write under way has taken longer
	lost     bool
}

var _ io.Writer = (*Writer)(nil)

// NewWriter returns a Writer above out.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out}
	w.changed.L = &w.mu
	return w
}

// Write takes one line or several. Its error is [ErrStuck] or nil.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > 0 && len(w.waiting)+len(lines) > bufferSize {
		if w.stuck {
			w.lost = true
			return 0, ErrStuck
		}
		w.hurry()
		w.changed.Wait()
	}
	if len(w.waiting) == 0 && !w.writing {
		w.schedule(gatherTime)
	}
	w.waiting = append(w.waiting, lines...)
	w.taken += uint64(len(lines))
	return len(lines), nil
}

// Flush returns when all that came before it has been written, or will not be.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for until := w.taken; w.written < until && !w.stuck; {
		w.hurry()
		w.changed.Wait()
	}
}

// Bound ends the patience with what is below: from now on, while one write takes
// longer than patience, nobody waits for it, and lines for which there is no room
// are lost. A shorter bound that was set before stays.
func (w *Writer) Bound(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.patience != 0 && w.patience <= patience {
		return
	}
	w.patience = patience
	if w.writing {
		w.watchWrite()
	}
}

// Close writes what waits, within the bound that it sets. Lines may still come
// afterwards. The error is [ErrStuck] when lines were lost or could not be written in
// time.
func (w *Writer) Close(patience time.Duration) error {
	w.Bound(patience)
	w.Flush()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stuck || w.lost {
		return ErrStuck
	}
	return nil
}

// hurry has what waits written at once, or as soon as the write under way has
// ended.
func (w *Writer) hurry() {
	if w.hurried {
		return
	}
	w.hurried = true
	if !w.writing {
		w.schedule(0)
	}
}

// schedule has what waits written after a time, on a goroutine of its own:
// whoever comes with a line must never be held by what is below, which may block
// for ever.
func (w *Writer) schedule(after time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(after, w.writeOut)
		return
	}
	w.timer.Reset(after)
}

// writeOut writes what waits. Lines that come meanwhile wait for the next time,
// unless somebody is in a hurry.
func (w *Writer) writeOut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing { // by a timer that was set anew just when it had run out
		return
	}
	for len(w.waiting) > 0 {
		lines := w.waiting
		w.waiting, w.spare = w.spare[:0], nil
		w.writing, w.hurried = true, false
		w.watchWrite()
		w.changed.Broadcast()
		w.mu.Unlock()
		_, _ = w.out.Write(lines)
		w.mu.Lock()
		w.writing, w.stuck = false, false
		if w.watch != nil {
			w.watch.Stop()
		}
		if cap(lines) <= 2*bufferSize { // one very long line does not hold its memory for ever
			w.spare = lines
		}
		w.written += uint64(len(lines))
		w.changed.Broadcast()
		if !w.hurried {
			break
		}
	}
	w.hurried = false
	if len(w.waiting) > 0 {
		w.schedule(gatherTime)
	}
}

// watchWrite has the write under way given up when it takes too long.
func (w *Writer) watchWrite() {
	w.watched = time.Now()
	switch {
	case w.patience == 0:
	case w.watch == nil:
		w.watch = time.AfterFunc(w.patience, w.giveUp)
	default:
		w.watch.Reset(w.patience)
	}
}

func (w *Writer) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing && time.Since(w.watched) >= w.patience { // not the next write, begun just now
		w.stuck = true
		w.changed.Broadcast()
	}
}
