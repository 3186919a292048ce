package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load drives a server with a number of keep-alive connections, each of which
// sends its next request when the last one is answered. It writes and reads
// HTTP/1.1 itself, so that the machine's time goes to the server under test.
type load struct {
	addr        string
	connections int
	duration    time.Duration
	// every is the time from one request of a connection to its next; what is late
	// is counted as slow. Zero: each request follows on the answer before.
	every time.Duration
	// next gives the request that connection number conn sends as its n-th, or
	// nil when there is none left, which ends that connection's share.
	next func(conn, n int) []byte
	// answered is told of each answer; an error ends the whole run. Nil: any 200 is right.
	answered func(conn, status int, body []byte) error
}

// figures are what one run of a load measured.
type figures struct {
	requests  int
	perSecond float64
	p50, p99  time.Duration
}

func (l load) run() (figures, error) {
	conns := make([]net.Conn, l.connections)
	for i := range conns {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			return figures{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	latencies := make([][]time.Duration, l.connections)
	var firstErr atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	deadline := start.Add(l.duration)
	for i, c := range conns {
		wg.Go(func() {
			took, err := l.drive(i, c, deadline, &firstErr)
			latencies[i] = took
			if err != nil {
				firstErr.CompareAndSwap(nil, &err)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := firstErr.Load(); err != nil {
		return figures{}, *err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return figures{}, errors.New("no request was answered")
	}
	slices.Sort(all)
	return figures{
		requests:  len(all),
		perSecond: float64(len(all)) / elapsed.Seconds(),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
	}, nil
}

func (l load) drive(conn int, c net.Conn, deadline time.Time, failed *atomic.Pointer[error]) ([]time.Duration, error) {
	// A server that hangs must not hang the benchmark.
	if err := c.SetDeadline(deadline.Add(30 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 4096)
	took := make([]time.Duration, 0, 1<<14)
	var body []byte
	due := time.Now().Add(l.every * time.Duration(conn) / time.Duration(l.connections))
	for n := 0; ; n++ {
		sent := time.Now()
		if l.every > 0 {
			time.Sleep(due.Sub(sent))
			sent, due = due, due.Add(l.every)
		}
		if sent.After(deadline) || failed.Load() != nil {
			return took, nil
		}
		request := l.next(conn, n)
		if request == nil {
			return took, nil
		}
		if _, err := c.Write(request); err != nil {
			return nil, fmt.Errorf("connection %d, request %d: %w", conn, n, err)
		}
		status, b, err := readAnswer(r, body)
		if err != nil {
			return nil, fmt.Errorf("connection %d, request %d: %w", conn, n, err)
		}
		body = b
		took = append(took, time.Since(sent))
		if l.answered != nil {
			err = l.answered(conn, status, body)
		} else if status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readAnswer reads one answer with a Content-Length, reusing buf for its body.
func readAnswer(r *bufio.Reader, buf []byte) (status int, body []byte, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, nil, fmt.Errorf("short status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, fmt.Errorf("status line %q: %w", line, err)
	}
	length := -1
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, nil, fmt.Errorf("header %q: %w", line, err)
			}
		}
	}
	if length < 0 {
		return 0, nil, errors.New("an answer without Content-Length")
	}
	body = slices.Grow(buf[:0], length)[:length]
	_, err = io.ReadFull(r, body)
	return status, body, err
}
