package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
	"github.com/trackgate/trackgate/handshake/audit"
)

// maxCheckpoints bounds a file of checkpoints, in bytes: more than
// [audit.MaxCheckpoints] lines take.
const maxCheckpoints = 16 << 20

// followedBefore is how many entries audit follow shows of those before it began.
const followedBefore = 10

// defaultListed is how many entries audit list shows without --limit.
const defaultListed = 50

// auditFlags are those of the commands about the audit trail.
type auditFlags struct {
	settings
	filter map[string]string
	from   string
	json   bool
	old    bool
	limit  int
}

// audit runs the commands about the audit trail, of the gateway that runs on the
// data directory or of the store when none does.
func (p *program) audit(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return p.wrongUsage("audit needs one of list, follow, export, verify, checkpoint")
	}
	name := args[0]
	command, known := map[string]func(context.Context, *config.Config, audit.Store, *auditFlags) error{
		"list": p.auditList, "follow": p.auditFollow, "export": p.auditExport, "verify": p.auditVerify, "checkpoint": p.auditCheckpoint,
	}[name]
	if !known {
		return p.wrongUsage("audit: there is no command %q; there are list, follow, export, verify, checkpoint", name)
	}
	f := auditFlags{filter: map[string]string{}}
	fs := p.flags("audit "+name, &f.settings)
	switch name {
	case "verify":
		fs.StringVar(&f.from, "from", "", "")
		fs.BoolVar(&f.json, "json", false, "")
		fs.BoolVar(&f.old, "allow-unkeyed", false, "")
	case "list", "follow", "export":
		for _, key := range audit.FilterKeys() {
			fs.Func(key, "", func(value string) error { f.filter[key] = value; return nil })
		}
		if name != "export" {
			fs.BoolVar(&f.json, "json", false, "")
		}
		if name == "list" {
			fs.IntVar(&f.limit, "limit", defaultListed, "")
		}
	}
	switch err := parse(fs, &f.settings, args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case err != nil:
		return p.wrongUsage("audit %s: %v", name, err)
	case fs.NArg() > 0:
		return p.wrongUsage("audit %s takes no arguments, only flags: %q", name, fs.Arg(0))
	}
	if _, err := audit.ParseFilter(f.filter); err != nil {
		return p.wrongUsage("audit %s: %v", name, err)
	}
	if name == "list" && (f.limit < 1 || f.limit > audit.MaxPage) {
		return p.wrongUsage("audit list: --limit must be from 1 to %d; for more there is audit export", audit.MaxPage)
	}
	cfg, dir, err := p.load(&f.settings)
	if err != nil {
		return p.fail(err)
	}
	trail, closeTrail, err := gateway.OpenTrailReader(ctx, cfg, dir, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err == nil {
		err = errors.Join(command(ctx, cfg, trail, &f), closeTrail())
	}
	if err != nil {
		return p.fail(err)
	}
	return exitOK
}

// auditList shows the last entries.
func (p *program) auditList(ctx context.Context, _ *config.Config, trail audit.Store, f *auditFlags) error {
	filter, _ := audit.ParseFilter(f.filter) // was read before
	page, err := audit.Last(ctx, trail, filter, f.limit)
	if err != nil {
		return err
	}
	tell := p.tellEntries(f.json)
	for _, e := range page.Entries {
		if err := tell(e); err != nil {
			return err
		}
	}
	if page.Unreadable > 0 {
		return fmt.Errorf("%d blocks of the trail cannot be read: see audit verify", page.Unreadable)
	}
	return nil
}

// auditFollow shows entries as they come, after the last few.
func (p *program) auditFollow(ctx context.Context, _ *config.Config, trail audit.Store, f *auditFlags) error {
	filter, _ := audit.ParseFilter(f.filter) // was read before
	tell := p.tellEntries(f.json)
	page, err := audit.Last(ctx, trail, filter, followedBefore)
	for _, e := range page.Entries {
		err = errors.Join(err, tell(e))
	}
	if err == nil {
		err = audit.Follow(ctx, trail, filter, page.After, tell)
	}
	if ctx.Err() != nil {
		return nil // whoever follows ends it so
	}
	return err
}

// auditExport writes all entries as lines of JSON.
func (p *program) auditExport(ctx context.Context, _ *config.Config, trail audit.Store, f *auditFlags) error {
	filter, _ := audit.ParseFilter(f.filter) // was read before
	out := bufio.NewWriter(p.stdout)
	lines := json.NewEncoder(out)
	unreadable := 0
	for after := ""; ; {
		page, err := audit.List(ctx, trail, filter, after, audit.MaxPage)
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		for _, e := range page.Entries {
			if err := lines.Encode(e); err != nil {
				return err
			}
		}
		unreadable += page.Unreadable
		if page.After == after {
			break
		}
		after = page.After
	}
	if unreadable > 0 {
		return errors.Join(fmt.Errorf("%d blocks of the trail cannot be read: see audit verify", unreadable), out.Flush())
	}
	return out.Flush()
}

// tellEntries returns what shows one entry.
func (p *program) tellEntries(asJSON bool) func(audit.Listed) error {
	if asJSON {
		lines := json.NewEncoder(p.stdout)
		return func(e audit.Listed) error { return lines.Encode(e) }
	}
	fmt.Fprintln(p.stdout, audit.TableHeader())
	return func(e audit.Listed) error {
		_, err := fmt.Fprintln(p.stdout, e.Row())
		return err
	}
}

// errTrail makes the exit status tell that the trail is not what it was.
var errTrail = errors.New("the audit trail is not whole")

// auditVerify looks for entries that were changed, removed or put elsewhere.
func (p *program) auditVerify(ctx context.Context, cfg *config.Config, trail audit.Store, f *auditFlags) error {
	keys, err := gateway.AuditKeys(cfg)
	if err != nil {
		return err
	}
	opts := audit.VerifyOptions{AllowUnkeyed: f.old}
	if f.from != "" {
		text, err := p.readFrom(f.from)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		if opts.From, err = audit.ParseCheckpoints(text); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	report, err := audit.Verify(ctx, trail, keys, opts)
	if err != nil {
		return err
	}
	if f.json {
		out := json.NewEncoder(p.stdout)
		out.SetIndent("", "  ")
		err = out.Encode(report)
	} else {
		p.tellReport(&report)
	}
	if err == nil && !report.OK() {
		err = errTrail
	}
	return err
}

func (p *program) tellReport(r *audit.Report) {
	fmt.Fprintf(p.stdout, "%d entries in %d blocks, %d chains.\n", r.Entries, r.Blocks, len(r.Chains))
	for _, c := range r.Chains {
		end := "runs still, or ended suddenly"
		if c.Stopped {
			end = "was stopped"
		}
		key := "no key"
		if c.Key != "" {
			key = "key " + c.Key
		}
		fmt.Fprintf(p.stdout, "  chain %s of %s: entries %d to %d, %s to %s, %s; it %s.\n",
			c.Chain, orUnknown(c.Gateway), c.First, c.Last, stamp(c.Begins), stamp(c.Ends), key, end)
	}
	if r.Met+r.Dropped > 0 {
		fmt.Fprintf(p.stdout, "%d checkpoints are met, %d stand in a part that made room.\n", r.Met, r.Dropped)
	}
	if r.Forgeable {
		fmt.Fprintln(p.stdout, "There are chains without a key: whoever can write to the store can forge them. Set audit.key_file.")
	}
	for _, problem := range r.Problems {
		fmt.Fprintln(p.stdout, "WRONG:", problem)
	}
	if r.MoreProblems > 0 {
		fmt.Fprintf(p.stdout, "WRONG: and %d more.\n", r.MoreProblems)
	}
	if r.OK() {
		fmt.Fprintln(p.stdout, "Nothing was changed, removed or put elsewhere.")
	}
}

func orUnknown(name string) string {
	if name == "" {
		return "an unknown gateway"
	}
	return name
}

// auditCheckpoint prints where the chains are, to be kept elsewhere.
func (p *program) auditCheckpoint(ctx context.Context, _ *config.Config, trail audit.Store, _ *auditFlags) error {
	heads, err := audit.Checkpoints(ctx, trail)
	for _, h := range heads {
		fmt.Fprintln(p.stdout, audit.FormatCheckpoint(h))
	}
	return err
}

// readFrom reads a small file, or standard input for "-".
func (p *program) readFrom(path string) (string, error) {
	in := p.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCheckpoints+1))
	if err == nil && len(text) > maxCheckpoints {
		err = fmt.Errorf("%s is larger than %d bytes: remove the checkpoints of chains that the trail keeps no more", path, maxCheckpoints)
	}
	return string(text), err
}
