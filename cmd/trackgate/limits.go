package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
)

// limits runs the operator commands about limits. Their numbers are in a running
// gateway, so that without one there is nothing to tell.
func (p *program) limits(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return p.wrongUsage("limits needs one of show, reset")
	}
	name := args[0]
	var s settings
	fs := p.flags("limits "+name, &s)
	asJSON := fs.Bool("json", false, "")
	switch err := parse(fs, &s, args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, usage)
		return exitOK
	case err != nil:
		return p.wrongUsage("limits %s: %v", name, err)
	}
	// Flags may stand behind the key as well.
	key := fs.Arg(0)
	if fs.NArg() > 1 {
		if err := parse(fs, &s, fs.Args()[1:]); err != nil {
			return p.wrongUsage("limits %s: %v", name, err)
		}
		if fs.NArg() > 0 {
			return p.wrongUsage("limits %s takes one key: %q", name, fs.Arg(0))
		}
	}
	command := gateway.LimitsOperator.ShowLimits
	switch {
	case name == "reset" && key == "":
		return p.wrongUsage("limits reset needs a key: an address, USER@ADDRESS, or the name of a tracker")
	case name == "reset":
		command = gateway.LimitsOperator.ResetLimits
	case name != "show":
		return p.wrongUsage("limits: there is no command %q; there are show, reset", name)
	}
	_, dir, err := p.load(&s)
	if err != nil {
		return p.fail(err)
	}
	op, err := gateway.DialLimits(ctx, dir)
	if err != nil {
		return p.fail(err)
	}
	info, err := command(op, ctx, key)
	if err == nil {
		err = p.tellLimits(info, key, *asJSON)
	}
	if err != nil {
		return p.fail(err)
	}
	return exitOK
}

func (p *program) tellLimits(info gateway.LimitsInfo, key string, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		return e.Encode(info)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if key == "" {
		fmt.Fprintln(w, "POLICY\tON\tPER\tRATE\tBURST\tCOST\tENFORCED")
		for _, l := range info.Policies {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.Name, l.On, l.Per, l.Rate, l.Burst, l.Cost, yesNo(l.Enforce))
		}
	} else {
		fmt.Fprintln(w, "POLICY\tKEY\tREMAINING\tLIMIT\tFULL IN\tENFORCED")
		for _, l := range info.Policies {
			if b := l.Bucket; b != nil {
				full := time.Duration(b.ResetSeconds * float64(time.Second)).Round(time.Millisecond)
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\n", l.Name, b.Key, b.Remaining, b.Limit, full, yesNo(l.Enforce))
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if info.LiveTokens != nil {
		fmt.Fprintf(p.stdout, "Live tokens: %d of %d.\n", *info.LiveTokens, info.MaxLive)
	}
	fmt.Fprintf(p.stdout, "Counted in: %s (limits.replicas = %d). Exempt: %s.\n", info.Counted, info.Replicas, orNobody(info.Exempt))
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orNobody(networks []string) string {
	if len(networks) == 0 {
		return "nobody"
	}
	return strings.Join(networks, ", ")
}
