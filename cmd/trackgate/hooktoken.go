package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
	"github.com/trackgate/trackgate/handshake/hook"
)

// Exit statuses of hook-token, which are those of gs.auth.token's command.
const (
	exitAddress   = 1  // the store's address cannot be used
	exitStore     = 2  // the store cannot be reached, or refuses
	exitHookUsage = 64 // EX_USAGE of sysexits.h
)

// hookToken runs the commands about the tokens of web hooks, through the gateway
// that runs on the data directory or on the store when none does.
func (p *program) hookToken(ctx context.Context, args []string) int {
	wrong := func(format string, args ...any) int {
		p.wrongUsage("hook-token: "+format, args...)
		return exitHookUsage
	}
	if len(args) == 0 {
		return wrong("it needs one of create, list, revoke")
	}
	var s settings
	var name string
	var grace time.Duration
	var command func(context.Context, gateway.HookOperator) error
	fs := p.flags("hook-token "+args[0], &s)
	switch args[0] {
	case "create":
		fs.StringVar(&name, "hook", "", "")
		fs.DurationVar(&grace, "grace", 0, "")
		command = func(ctx context.Context, op gateway.HookOperator) error {
			return p.createHookToken(ctx, op, name, grace)
		}
	case "list":
		command = p.listHookTokens
	case "revoke":
		fs.StringVar(&name, "hook", "", "")
		command = func(ctx context.Context, op gateway.HookOperator) error { return p.revokeHookToken(ctx, op, name) }
	default:
		return wrong("there is no command %q; there are create, list, revoke", args[0])
	}
	switch err := parse(fs, &s, args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case err != nil:
		return wrong("%s: %v", args[0], err)
	case fs.NArg() > 0:
		return wrong("%s takes no arguments, only flags", args[0]) // which may be a token
	case grace < 0 || grace > hook.MaxGrace:
		return wrong("%s: --grace must be from 0 to %v", args[0], hook.MaxGrace)
	}
	named := false // an empty name is a variable that was not set, and must not mean all hooks
	fs.Visit(func(f *flag.Flag) { named = named || f.Name == "hook" })
	if named {
		if err := hook.CheckName(name); err != nil {
			return wrong("%s: --hook: %v", args[0], err)
		}
	}
	cfg, dir, err := p.load(&s)
	if err != nil {
		p.fail(err)
		return exitAddress
	}
	if named && !hasHook(cfg, name) {
		fmt.Fprintf(p.stderr, "trackgate: note: no hook %s is configured here\n", name)
	}
	return p.withHooks(ctx, cfg, dir, command)
}

func hasHook(cfg *config.Config, name string) bool {
	for i := range cfg.Hooks {
		if cfg.Hooks[i].Name == name {
			return true
		}
	}
	return false
}

func (p *program) withHooks(ctx context.Context, cfg *config.Config, dir string, command func(context.Context, gateway.HookOperator) error) int {
	failed := func(status int, err error) int {
		p.fail(err)
		return status
	}
	op, err := gateway.DialHooks(ctx, dir)
	done := func() error { return nil }
	if errors.Is(err, gateway.ErrNoGateway) {
		if err := makeDataDir(dir); err != nil {
			return failed(exitAddress, err)
		}
		op, done, err = gateway.OpenHooks(ctx, cfg, gateway.Environment{
			DataDir: dir, Logger: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Version: versionText(),
		})
		if errors.Is(err, gateway.ErrStoreAddress) {
			return failed(exitAddress, err)
		}
	}
	if err == nil {
		err = errors.Join(command(ctx, op), done())
	}
	if err != nil {
		return failed(exitStore, err)
	}
	return exitOK
}

// createHookToken prints the token alone on standard output, and on standard error
// what is to be done with it.
func (p *program) createHookToken(ctx context.Context, op gateway.HookOperator, name string, grace time.Duration) error {
	made, err := op.CreateHookToken(ctx, name, grace)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.stdout, made.Token); err != nil {
		return fmt.Errorf("the new token holds and could not be shown; create another: %w", err)
	}
	which := "all hooks that have no token of their own"
	if name != "" {
		which = "the hook " + name
	}
	before := "The token before it does not work any more"
	if grace > 0 {
		before = fmt.Sprintf("The token before it works until %s", time.Now().Add(grace).Format(time.RFC3339))
	}
	fmt.Fprintf(p.stderr, "This is the token of %s; it is shown only now. %s: give the new one to every program that calls them.\n", which, before)
	return nil
}

func (p *program) listHookTokens(ctx context.Context, op gateway.HookOperator) error {
	infos, err := op.ListHookTokens(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOOK\tTOKEN\tSTATE\tCREATED\tLAST USED\tUNTIL")
	for _, i := range infos {
		name := i.Hook
		if name == "" {
			name = "(all others)"
		}
		if i.Revoked.IsZero() {
			fmt.Fprintf(w, "%s\t%s\tlive\t%s\t%s\t-\n", name, i.Fingerprint, stamp(i.Created), stamp(i.LastUsed))
		} else {
			fmt.Fprintf(w, "%s\t-\trevoked\t%s\t-\t-\n", name, stamp(i.Revoked))
		}
		for _, b := range i.Previous {
			fmt.Fprintf(w, "%s\t%s\tgrace\t-\t%s\t%s\n", name, b.Fingerprint, stamp(b.LastUsed), stamp(b.Until))
		}
	}
	return w.Flush()
}

func (p *program) revokeHookToken(ctx context.Context, op gateway.HookOperator, name string) error {
	found, err := op.RevokeHookToken(ctx, name)
	if err == nil && !found {
		err = apierror.New(apierror.ResourceNotFound).WithDetail("There is no token to revoke.")
	}
	if err == nil {
		_, err = io.WriteString(p.stderr, "No token of it works any more; create one with trackgate hook-token create.\n")
	}
	return err
}
