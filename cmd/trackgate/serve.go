package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
)

// serve runs the gateway until ctx ends.
func (p *program) serve(ctx context.Context, args []string) int {
	s := settings{serving: true}
	fs := p.flags("serve", &s)
	readyFile := fs.String("ready-file", "", "")
	switch err := parse(fs, &s, args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case err != nil:
		return p.wrongUsage("serve: %v", err)
	case fs.NArg() > 0:
		return p.wrongUsage("serve takes no arguments, only flags: %q", fs.Arg(0))
	}
	cfg, dir, err := p.load(&s)
	if err != nil {
		return p.fail(err)
	}
	if err := makeDataDir(dir); err != nil {
		return p.fail(err)
	}
	logger := newLogger(p.stderr, cfg.Log)
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		logger.Warn("others may write to the data directory, and so replace what is in it", "directory", dir, "mode", info.Mode().Perm().String())
	}
	g, err := gateway.Open(ctx, cfg, gateway.Environment{DataDir: dir, Logger: logger, Version: versionText()})
	if err != nil {
		return p.fail(err)
	}
	p.announce(g, dir)
	ready := func() error {
		if *readyFile == "" {
			return nil
		}
		return writeReady(*readyFile, g.Addresses())
	}
	if err := g.Serve(ctx, ready); err != nil {
		return p.fail(err)
	}
	return exitOK
}

// newLogger makes the logger that the configuration asks for.
func newLogger(w interface{ Write([]byte) (int, error) }, cfg config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // the configuration was checked
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// announce says where everything is, and gives a line to try.
func (p *program) announce(g *gateway.Gateway, dir string) {
	a := g.Addresses()
	fmt.Fprintf(p.stdout, `trackgate %s
  private (XML-RPC)   http://%s/RPC2
  public (callbacks)  %s
  admin               http://%s/metrics
  data                %s
Try: python3 -c "import xmlrpc.client; print(xmlrpc.client.ServerProxy('http://%s/RPC2').bugs.newBugTrackerToken())"
`, versionText(), a.Private, g.PublicURL(), a.Admin, dir, a.Private)
}

// writeReady writes the addresses so that whoever reads the file sees all of it
// or none.
func writeReady(path string, a gateway.Addresses) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return fmt.Errorf("ready file %s: %w", path, reason(err))
	}
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("ready file %s: %w", path, errors.Join(reason(err), os.Remove(tmp.Name())))
	}
	return nil
}

// version prints what was built.
func (p *program) version(args []string) int {
	if len(args) > 0 {
		return p.wrongUsage("version takes no arguments: %q", strings.Join(args, " "))
	}
	fmt.Fprintf(p.stdout, "trackgate %s\n", versionText())
	return exitOK
}
