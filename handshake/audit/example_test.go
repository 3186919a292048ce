package audit_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
)

// A gateway keeps a trail, and an operator reads and verifies it.
func Example() {
	ctx := context.Background()
	keys, err := audit.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		fmt.Println(err)
		return
	}
	store := audit.NewMemory() // or that of boltstore or redisstore
	trail, err := audit.Open(ctx, store, audit.WithKeys(keys), audit.WithGateway("gw-1"), audit.WithStarted("configuration sha256:0123"))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Listeners say where a request comes from.
	request := audit.WithOrigin(ctx, audit.Origin{Caller: netip.MustParseAddr("192.0.2.7"), Listener: "public", Route: "/hooks/{name}"})
	// What must be on record before it is answered waits for the store; the rest does not.
	if err := trail.Record(request, audit.Entry{Subsystem: audit.SubsystemHook, Code: audit.HookAuthentication, Outcome: audit.Refused, Name: "ci"}); err != nil {
		fmt.Println(err)
		return
	}
	trail.Note(request, audit.Entry{Subsystem: audit.SubsystemThrottle, Code: audit.ThrottleRefused, Outcome: audit.Refused})
	if err := trail.Close(ctx); err != nil {
		fmt.Println(err)
		return
	}

	page, err := audit.List(ctx, store, audit.Filter{}, "", 100)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range page.Entries {
		fmt.Printf("%d %s.%s by %v, name %q\n", e.Seq, e.Subsystem, e.Subsystem.Event(e.Code), e.Caller, e.Name)
	}
	report, err := audit.Verify(ctx, store, keys, audit.VerifyOptions{})
	fmt.Println(report.Entries, "entries,", len(report.Problems), "problems", err)
	// Output:
	// 1 gateway.started by invalid IP, name "gw-1"
	// 2 trail.witnessed by invalid IP, name "gw-1"
	// 3 hook.authentication_failed by 192.0.2.7, name "ci"
	// 4 throttle.refused by 192.0.2.7, name ""
	// 5 gateway.stopped by invalid IP, name "gw-1"
	// 5 entries, 0 problems <nil>
}

// A store seals entries with the chain that it was given, and keeps the head.
func ExampleChain() {
	keys, err := audit.ParseKeys("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		fmt.Println(err)
		return
	}
	chain := audit.NewChain(audit.ChainID{0xab}, keys.Signing())
	entry := audit.Entry{
		Time:      time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC),
		Subsystem: audit.SubsystemToken, Code: audit.TokenMinted, Outcome: audit.Done,
		Subject: "0123456789abcdef", Name: "gnome",
	}
	block, head := chain.Seal(audit.Head{}, []audit.Entry{entry})
	h, err := audit.ReadHeader(block)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("chain", h.Chain.Short(), "entries", h.First, "to", h.Last())
	fmt.Println(audit.FormatCheckpoint(head))
	// Output:
	// chain ab000000 entries 1 to 1
	// trackgate-checkpoint-1 ab000000000000000000000000000000 1 858d12aadf6dfc674797ba6e60314ad2afd1125330eee4ddcda1b206b45de83f
}

// Checkpoints are kept where whoever can write to the store cannot.
func ExampleParseCheckpoints() {
	heads, err := audit.ParseCheckpoints(`# kept by the backup host
trackgate-checkpoint-1 ab000000000000000000000000000000 41 5f0c8e0b3f4e7bb3a1d6a9a5a3d1e7f2c4b6d8e0f1a2b3c4d5e6f708192a3b4c
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, h := range heads {
		fmt.Println(h.Chain.Short(), h.Seq)
	}
	// Output:
	// ab000000 41
}
