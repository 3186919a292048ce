package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
	"github.com/trackgate/trackgate/handshake"
)

// maxTokenLine bounds a line of standard input that names a token, in bytes.
const maxTokenLine = 4096

// token runs the operator commands about tokens.
func (p *program) token(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return p.wrongUsage("token needs one of mint, show, revoke")
	}
	var s settings
	fs := p.flags("token "+args[0], &s)
	var tracker string
	if args[0] == "mint" {
		fs.StringVar(&tracker, "tracker", "", "")
	}
	switch err := parse(fs, &s, args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case err != nil:
		return p.wrongUsage("token %s: %v", args[0], err)
	}
	switch args[0] {
	case "mint":
		if fs.NArg() > 0 {
			return p.wrongUsage("token mint takes no arguments")
		}
		return p.withOperator(ctx, &s, func(op gateway.Operator) error { return p.mint(ctx, op, tracker) })
	case "show", "revoke":
		refs, err := p.tokenRefs(fs.Args())
		if err != nil {
			return p.wrongUsage("token %s: %v", args[0], err)
		}
		return p.withOperator(ctx, &s, func(op gateway.Operator) error {
			ask := op.Show
			if args[0] == "revoke" {
				ask = op.Revoke
			}
			return p.tellTokens(ctx, refs, ask)
		})
	}
	return p.wrongUsage("token: there is no command %q; there are mint, show, revoke", args[0])
}

// withOperator runs a command through the gateway that runs on the data
// directory, or on its store when none does.
func (p *program) withOperator(ctx context.Context, s *settings, command func(gateway.Operator) error) int {
	cfg, dir, err := p.load(s)
	if err != nil {
		return p.fail(err)
	}
	op, err := gateway.DialOperator(ctx, dir)
	if errors.Is(err, gateway.ErrNoGateway) {
		if err := makeDataDir(dir); err != nil {
			return p.fail(err)
		}
		logger := slog.New(slog.NewTextHandler(p.stderr, nil))
		return p.withStore(ctx, cfg, dir, logger, command)
	}
	if err == nil {
		err = command(op)
	}
	if err != nil {
		return p.fail(err)
	}
	return exitOK
}

// withStore runs a command on the store of a data directory.
func (p *program) withStore(ctx context.Context, cfg *config.Config, dir string, logger *slog.Logger, command func(gateway.Operator) error) int {
	op, closeStore, err := gateway.OpenOperator(ctx, cfg, gateway.Environment{DataDir: dir, Logger: logger, Version: versionText()})
	if err != nil {
		return p.fail(err)
	}
	if err := errors.Join(command(op), closeStore()); err != nil {
		return p.fail(err)
	}
	return exitOK
}

func (p *program) mint(ctx context.Context, op gateway.Operator, tracker string) error {
	minted, err := op.Mint(ctx, tracker)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, minted.Token)
	return err
}

// tokenRefs reads which tokens a command is about: the fingerprints among its
// arguments or, without any, the tokens and fingerprints on standard input, one
// a line. A token as an argument would stand in the process list, so it is
// refused, and not repeated.
func (p *program) tokenRefs(args []string) ([]gateway.TokenRef, error) {
	var refs []gateway.TokenRef
	for i, arg := range args {
		if _, err := handshake.ParseFingerprint(arg); err != nil {
			return nil, fmt.Errorf("argument %d is not a fingerprint (16 hex digits); give a token on standard input, never as an argument", i+1)
		}
		refs = append(refs, gateway.TokenRef{Fingerprint: arg})
	}
	if len(refs) > 0 {
		return refs, nil
	}
	lines := bufio.NewScanner(io.LimitReader(p.stdin, 1<<20))
	lines.Buffer(nil, maxTokenLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if _, err := handshake.ParseFingerprint(line); err == nil {
			refs = append(refs, gateway.TokenRef{Fingerprint: line})
			continue
		}
		if _, ok := handshake.ParseToken(line); !ok {
			return nil, fmt.Errorf("line %d of standard input is neither a token nor a fingerprint", n)
		}
		refs = append(refs, gateway.TokenRef{Token: line})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(refs) == 0 {
		return nil, errors.New("name a token: a fingerprint as an argument, or tokens on standard input")
	}
	return refs, nil
}

// errNotFound makes the exit status tell that a token is not known.
var errNotFound = errors.New("not every token is known to the store")

func (p *program) tellTokens(ctx context.Context, refs []gateway.TokenRef, ask func(context.Context, gateway.TokenRef) (gateway.TokenInfo, error)) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FINGERPRINT\tSTATUS\tKIND\tTRACKER\tMINTED\tEXPIRES\tENDED")
	var missing error
	for _, ref := range refs {
		info, err := ask(ctx, ref)
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if !info.Found {
			missing = errNotFound
			info.Fingerprint, info.Status = fingerprintOf(ref), "unknown"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", info.Fingerprint, info.Status, dash(info.Kind), dash(info.Tracker),
			stamp(info.Minted), stamp(info.Expires), stamp(info.Ended))
	}
	return errors.Join(missing, w.Flush())
}

func fingerprintOf(ref gateway.TokenRef) string {
	if id, ok := handshake.ParseToken(ref.Token); ok {
		return id.Fingerprint().String()
	}
	return ref.Fingerprint
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
