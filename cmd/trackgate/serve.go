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
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/logs"
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
	logger, writer := logs.New(p.stderr, cfg.Log)
	p.log.Store(writer)
	// What reads the log may have stopped reading before it stops the gateway.
	defer context.AfterFunc(ctx, func() { writer.Bound(logPatience) })()
	err = p.serveGateway(ctx, cfg, dir, logger, func(a gateway.Addresses) error {
		if *readyFile == "" {
			return nil
		}
		writer.Flush() // whoever waits for the file finds in the log what was said at start
		return writeReady(*readyFile, a)
	})
	stuck := writer.Close(logPatience)
	switch {
	case err == nil:
		return exitOK
	case stuck != nil: // where the log goes, nobody would read the error either
		return exitFailure
	}
	return p.fail(err)
}

const (
	// logPatience is how long one write of the log may take once the gateway is
	// stopping.
	logPatience = 5 * time.Second
	// abortPatience is how long it may take when the process is to end at once.
	abortPatience = 100 * time.Millisecond
)

// abort writes what the log still holds, for a process that ends at once.
func (p *program) abort() {
	if writer := p.log.Load(); writer != nil {
		_ = writer.Close(abortPatience)
	}
}

// serveGateway runs the gateway until ctx ends, and calls ready once it answers.
func (p *program) serveGateway(ctx context.Context, cfg *config.Config, dir string, logger *slog.Logger, ready func(gateway.Addresses) error) error {
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o022 != 0 {
		logger.Warn("others may write to the data directory, and so replace what is in it", "directory", dir, "mode", info.Mode().Perm().String())
	}
	g, err := gateway.Open(ctx, cfg, gateway.Environment{DataDir: dir, Logger: logger, Version: versionText()})
	if err != nil {
		return err
	}
	p.announce(g, dir)
	return g.Serve(ctx, func() error { return ready(g.Addresses()) })
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
