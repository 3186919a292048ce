package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// unread is a pipe whose reader reads no more: a write to it does not return until
// the test ends.
type unread struct {
	begun chan struct{}
	once  sync.Once
	ended chan struct{}
}

func (u *unread) Write(p []byte) (int, error) {
	u.once.Do(func() { close(u.begun) })
	<-u.ended
	return len(p), nil
}

func TestALogThatNobodyReadsDoesNotKeepTheGatewayFromStopping(t *testing.T) {
	log := &unread{begun: make(chan struct{}), ended: make(chan struct{})}
	defer close(log.ended)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &program{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: log}
	status := make(chan int, 1)
	go func() { status <- p.run(ctx, append([]string{"serve", "--data", t.TempDir()}, freePorts...)) }()
	<-log.begun
	cancel()
	p.abort() // as the second signal does, which shortens the time that the log is waited for
	if got := <-status; got != exitOK {
		t.Errorf("status %d", got)
	}
}

func TestTheLogIsWrittenBeforeTheErrorThatEndsTheGateway(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "missing", "ready.json")
	r := command(t, "", append([]string{"serve", "--data", t.TempDir(), "--ready-file", ready}, freePorts...)...)
	lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
	if last := len(lines) - 1; r.status != exitFailure || !strings.HasPrefix(lines[last], "trackgate: ready file") || last < 1 || !strings.Contains(lines[last-1], "gateway stopped") {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}
