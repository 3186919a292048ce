// Command trackgate is an XML-RPC-first integration gateway: it mints one-time
// bug-tracker tokens for programs on a private network, answers the trackers'
// handshake callbacks, and bridges calls to the trackers.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/logs"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	// What libraries write to the standard logger can hold bytes that a stranger
	// chose: net/http quotes what a server sends after its answer there. The
	// gateway's own log is another one.
	log.SetOutput(io.Discard)
	tuneGC()
	ctx := context.Background()
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	if len(os.Args) > 1 && slices.Contains([]string{"serve", "demo", "audit"}, os.Args[1]) {
		ctx = untilSignal(ctx, p.abort)
	}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM. A
// second one calls abort and ends the process at once.
func untilSignal(ctx context.Context, abort func()) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		abort()
		os.Exit(exitFailure)
	}()
	return ctx
}

// gcPercent lets the heap grow to five times what is live before it is
// collected. What is live is a few megabytes, so that this costs little memory;
// at the default the gateway would collect many times a second under load.
const gcPercent = 400

func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// program is what a run of the command may touch of its process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	log            atomic.Pointer[logs.Writer] // of the gateway that is served
}

const usage = `trackgate: lets old XML-RPC programs work with bug trackers, without passwords

Usage:
  trackgate serve [flags]                      run the gateway
  trackgate demo                               show the whole round trip on this machine
  trackgate token mint [--tracker NAME]        print a new token
  trackgate token show [FINGERPRINT ...]       tell about tokens; without fingerprints, reads
  trackgate token revoke [FINGERPRINT ...]       tokens or fingerprints from standard input
  trackgate limits show [KEY]                  show the limits, and how an address, USER@ADDRESS
                                                 or tracker stands with them; --json for programs
  trackgate limits reset KEY                   let one begin anew
  trackgate hook-token create [--hook NAME]    print a new token for one hook, or for all that have none;
              [--grace 1h]                       the old one ends at once, or after a time
  trackgate hook-token list                    show them, and when they were last used
  trackgate hook-token revoke [--hook NAME]    end one
  trackgate audit list [FILTERS]               show the last entries of the audit trail; --json, --limit N
  trackgate audit follow [FILTERS]             show entries as they come; --json
  trackgate audit export [FILTERS]             write all entries, as lines of JSON
  trackgate audit verify [--from FILE]         look for entries that were changed or removed; --json,
                                                 --allow-unkeyed for what is older than the first key
  trackgate audit checkpoint                   print where the trail is, to be kept elsewhere
  trackgate version                            print the version
  trackgate help                               print this

Flags of all but demo, version and help:
  --config FILE        TOML file (default: none; the defaults work)
  --data DIR           data directory (default: $XDG_DATA_HOME/trackgate)
  --set SECTION.KEY=VALUE   one setting; can be given many times
Flags of serve:
  --ready-file FILE    written as JSON with the real addresses once all listeners accept

Environment: TRACKGATE_SECTION_KEY for every SECTION.KEY, as in TRACKGATE_PRIVATE_LISTEN.
FILTERS: --since, --until (a time or a date), --subsystem, --event, --code, --outcome, --reason, --caller, --listener,
--route, --subject, --name, --chain.
Exit status: 0 done, 1 failed, 2 wrong usage; of hook-token 0 done, 1 the store's address cannot be used,
2 the store cannot be reached or refuses, 64 wrong usage.
`

// run executes one command line and gives its exit status.
func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "serve":
		return p.serve(ctx, args[1:])
	case "demo":
		return p.demo(ctx, args[1:])
	case "token":
		return p.token(ctx, args[1:])
	case "limits":
		return p.limits(ctx, args[1:])
	case "hook-token":
		return p.hookToken(ctx, args[1:])
	case "audit":
		return p.audit(ctx, args[1:])
	case "version", "--version":
		return p.version(args[1:])
	case "help", "-h", "--help":
		fmt.Fprint(p.stdout, usage)
		return exitOK
	}
	return p.wrongUsage("there is no command %q", args[0])
}

func (p *program) wrongUsage(format string, args ...any) int {
	fmt.Fprintf(p.stderr, "trackgate: "+format+"; see trackgate help\n", args...)
	return exitUsage
}

func (p *program) fail(err error) int {
	fmt.Fprintf(p.stderr, "trackgate: %s\n", oneLine(err.Error()))
	return exitFailure
}
