package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// full is an output that takes nothing, as /dev/full is.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestATokenThatCannotBeShownIsNotSaidToBeCreated(t *testing.T) {
	var stderr bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: full{}, stderr: &stderr, environ: []string{"HOME=" + t.TempDir()}}
	if status := p.run(t.Context(), []string{"hook-token", "create"}); status != exitStore || !strings.Contains(stderr.String(), "could not be shown") {
		t.Errorf("status %d, %s", status, stderr.String())
	}
	if strings.Contains(stderr.String(), "This is the token") {
		t.Errorf("%s", stderr.String())
	}
}

func TestAnEmptyNameIsNotTheTokenOfAllHooks(t *testing.T) {
	for _, name := range []string{"create", "revoke"} {
		got := command(t, "", "hook-token", name, "--hook", "")
		if got.status != exitHookUsage || got.stdout != "" || !strings.Contains(got.stderr, "--hook") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
