package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
)

// settings are the flags that serve and the operator commands share.
type settings struct {
	file string
	data string
	sets []string
	// serving is whether the gateway itself is to run.
	serving bool
}

func (p *program) flags(name string, s *settings) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&s.file, "config", "", "")
	fs.StringVar(&s.data, "data", "", "")
	fs.Func("set", "", func(v string) error {
		s.sets = append(s.sets, v)
		return nil
	})
	return fs
}

// parse reads a command's flags. Its error does not repeat the text of a --set,
// which may hold a secret.
func parse(fs *flag.FlagSet, s *settings, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	for _, set := range s.sets {
		if !strings.Contains(set, "=") {
			return errors.New("--set: write it as section.key=value")
		}
	}
	return nil
}

// load reads the configuration and finds the data directory.
func (p *program) load(s *settings) (*config.Config, string, error) {
	cfg, err := config.Load(config.Source{File: s.file, Environ: p.environ, Sets: s.sets, Command: !s.serving})
	if err != nil {
		return nil, "", err
	}
	dir, err := p.dataDir(s)
	return cfg, dir, err
}

// dataDir follows the XDG Base Directory Specification: $XDG_DATA_HOME, which
// must be absolute to count, else $HOME/.local/share.
func (p *program) dataDir(s *settings) (string, error) {
	if s.data != "" {
		return filepath.Abs(s.data)
	}
	if dir := p.getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "trackgate"), nil
	}
	if home := p.getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "trackgate"), nil
	}
	return "", errors.New("no data directory: neither XDG_DATA_HOME nor HOME is set; give one with --data DIR")
}

func (p *program) getenv(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// makeDataDir makes the data directory, which only its owner may enter.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory %s cannot be made: %w; give another with --data DIR", dir, reason(err))
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s is not writable: %w; give another with --data DIR", dir, reason(err))
	}
	_ = probe.Close()
	return os.Remove(probe.Name())
}

// reason strips the path that the os package puts before an error, where the
// message has it already.
func reason(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
