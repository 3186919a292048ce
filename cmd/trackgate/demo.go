package main

import (
	"context"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/demo"
)

// demo shows the whole round trip in this process.
func (p *program) demo(ctx context.Context, args []string) int {
	if len(args) > 0 {
		return p.wrongUsage("demo takes no arguments")
	}
	if err := demo.Run(ctx, p.stdout, versionText()); err != nil {
		return p.fail(err)
	}
	return exitOK
}
