package boltstore_test

import (
	"os"
	"os/exec"
	"testing"
)

// helperVariable makes the test binary be another process of a test: its value
// is the name of what to be. The file to work on is the only argument.
const helperVariable = "BOLTSTORE_TEST_HELPER"

var helpers = map[string]func(path string) error{}

func TestMain(m *testing.M) {
	helper, ok := helpers[os.Getenv(helperVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := helper(os.Args[1]); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// helperCommand returns the command that runs a helper on a file.
func helperCommand(tb testing.TB, name, path string) *exec.Cmd {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.Command(self, path)
	command.Env = append(os.Environ(), helperVariable+"="+name)
	command.Stderr = os.Stderr
	return command
}
