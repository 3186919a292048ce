package handshake_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

func openStore(t *testing.T) handshake.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "tokens.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func openTrail(t *testing.T, store handshake.Store, opts ...audit.Option) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(context.Background(), store.Trail(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hurry, cancel := context.WithCancel(context.Background())
		cancel()
		_ = trail.Close(hurry) // the store may be closed long ago
	})
	return trail
}

// newAudited returns a gateway whose trail is that of its store.
func newAudited(t *testing.T, opts ...audit.Option) (*gateway, *audit.Trail) {
	t.Helper()
	store := openStore(t)
	trail := openTrail(t, store, opts...)
	return newGatewayOn(t, store, handshake.WithTrail(trail)), trail
}

// recorded closes a trail and returns what it has about tokens.
func recorded(t *testing.T, store handshake.Store, trail *audit.Trail) []audit.Entry {
	t.Helper()
	ctx := context.Background()
	if err := trail.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(ctx, store.Trail(), audit.Keys{}, audit.VerifyOptions{}); err != nil || !report.OK() {
		t.Errorf("the trail: %v, error %v", report.Problems, err)
	}
	page, err := audit.List(ctx, store.Trail(), audit.Filter{}, "", audit.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	var entries []audit.Entry
	for _, e := range page.Entries {
		if e.Subsystem == audit.SubsystemToken {
			entries = append(entries, e.Entry)
		}
	}
	return entries
}

// line writes an entry as one line.
func line(e audit.Entry) string {
	caller := ""
	if e.Caller.IsValid() {
		caller = e.Caller.String()
	}
	return strings.Join(strings.Fields(fmt.Sprint(e.Subsystem.Event(e.Code), " ", e.Outcome, " ", e.Reason, " ", caller, " ", e.Listener, " ", e.Route, " ", e.Name)), " ")
}

func wantLines(t *testing.T, entries []audit.Entry, want ...string) {
	t.Helper()
	var got []string
	for _, e := range entries {
		got = append(got, line(e))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the trail has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheTrailTellsWhatHappenedToEveryToken(t *testing.T) {
	g, trail := newAudited(t)
	ctx := audit.WithOrigin(context.Background(), audit.Origin{Caller: netip.MustParseAddr("10.1.2.3"), Listener: "private", Route: "bugs"})
	token, fingerprint, err := g.Mint(ctx, handshake.BugTracker, "gnome")
	if err != nil {
		t.Fatal(err)
	}
	g.wantAccept(t, handshake.Callback{Token: token, Root: "trac", Caller: anyone}, handshake.ReasonWrongTracker)
	g.wantAccept(t, handshake.Callback{Token: token, Caller: atGnome}, handshake.Granted)
	g.wantAccept(t, handshake.Callback{Token: token, Root: "gnome", Caller: atGnome}, handshake.ReasonUsed)
	g.wantAccept(t, handshake.Callback{Token: token, Root: "nobody\nroot", Caller: anyone}, handshake.ReasonUnknownRoot)
	g.wantAccept(t, handshake.Callback{Token: "no\ntoken", Caller: anyone}, handshake.ReasonMalformed)
	doomed := g.mint(t, handshake.BugTracker, "kde")
	for range 2 {
		if _, _, err := g.Revoke(ctx, doomed); err != nil {
			t.Fatal(err)
		}
	}
	server := serve(t, g)
	send(t, server, http.MethodGet, "/token/"+token+"/+bugtracker-handshake", "", nil)

	entries := recorded(t, g.store, trail)
	// What came of an intention to revoke may stand before the next intention or after it.
	last := func(e audit.Entry) int {
		if e.Code == audit.TokenRevoked && e.Outcome != audit.Intended {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(entries, func(a, b audit.Entry) int { return cmp.Or(int(a.Code)-int(b.Code), last(a)-last(b)) })
	wantLines(t, entries,
		"minted done 10.1.2.3 private bugs gnome", "minted done kde",
		"consumed intended 198.51.100.7 public handshake gnome", "consumed done 198.51.100.7 public handshake gnome",
		"refused refused wrong_tracker 203.0.113.9 public handshake gnome", "refused refused used 198.51.100.7 public handshake gnome",
		"refused refused unknown_root 203.0.113.9 public handshake", "refused refused malformed 203.0.113.9 public handshake",
		"refused refused method_not_allowed 127.0.0.1 public handshake",
		"revoked intended 10.1.2.3 private bugs", "revoked intended 10.1.2.3 private bugs", // what came of it follows, soon
		"revoked done 10.1.2.3 private bugs kde", "revoked refused revoked 10.1.2.3 private bugs kde",
	)
	for _, e := range entries[:1] {
		if e.Subject != fingerprint.String() || !e.Time.Equal(fixed) {
			t.Errorf("the entry is %+v, want it about %v at %v", e, fingerprint, fixed)
		}
	}
	blocks, err := g.store.Trail().Read(ctx, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		for _, secret := range []string{token, doomed} {
			if bytes.Contains(block.Data, []byte(secret)) {
				t.Error("the trail holds a token")
			}
		}
	}
}

func TestWithoutItsTrailNothingIsMintedAcceptedOrRevoked(t *testing.T) {
	store, elsewhere := openStore(t), openStore(t)
	plain := newGatewayOn(t, store)
	token := plain.mint(t, handshake.BugTracker, "")
	// The store's own trail was never begun, and the other one is closed.
	trail := openTrail(t, elsewhere)
	if err := elsewhere.Close(); err != nil {
		t.Fatal(err)
	}
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	ctx := context.Background()
	_, _, mintErr := g.Mint(ctx, handshake.BugTracker, "")
	_, acceptErr := g.Accept(ctx, handshake.Callback{Token: token, Kind: handshake.BugTracker, Caller: anyone})
	_, _, revokeErr := g.Revoke(ctx, token)
	for what, err := range map[string]error{"mint": mintErr, "accept": acceptErr, "revoke": revokeErr} {
		if !apierror.Is(err, apierror.StoreUnavailable) {
			t.Errorf("%s: %v, want STORE_UNAVAILABLE", what, err)
		}
	}
	plain.wantAccept(t, handshake.Callback{Token: token, Caller: anyone}, handshake.Granted)
}

func TestATrailThatIsNotRequiredHoldsNothingUp(t *testing.T) {
	store, elsewhere := openStore(t), openStore(t)
	trail := openTrail(t, elsewhere, audit.WithRequired(false))
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	token := g.mint(t, handshake.BugTracker, "trac")
	g.wantAccept(t, handshake.Callback{Token: token, Caller: anyone}, handshake.Granted)
	wantLines(t, recorded(t, elsewhere, trail), "minted done trac", "consumed done 203.0.113.9 public handshake trac")
	if blocks, err := store.Trail().Read(context.Background(), "", 1); len(blocks) != 0 || err != nil {
		t.Errorf("the store has %d blocks, error %v", len(blocks), err)
	}

	if err := elsewhere.Close(); err != nil {
		t.Fatal(err)
	}
	token = g.mint(t, handshake.BugTracker, "")
	g.wantAccept(t, handshake.Callback{Token: token, Caller: anyone}, handshake.Granted)
	other := g.mint(t, handshake.BugTracker, "")
	if _, reason, err := g.Revoke(context.Background(), other); reason != handshake.Granted || err != nil {
		t.Errorf("revoking: %q, error %v", reason, err)
	}
}

// counting counts what a store is asked for.
type counting struct {
	handshake.Store
	claims, looks int
}

func (c *counting) Lookup(ctx context.Context, id handshake.ID) (handshake.Record, bool, error) {
	c.looks++
	return c.Store.Lookup(ctx, id)
}

func (c *counting) Consume(ctx context.Context, claim handshake.Claim) (handshake.Record, handshake.Reason, error) {
	c.claims++
	return c.Store.Consume(ctx, claim)
}

func TestAFloodOfMadeUpTokensWritesNoIntentions(t *testing.T) {
	const limit, flood = 3, 200
	store := &counting{Store: openStore(t)}
	trail := openTrail(t, store, audit.WithCallers(limit, audit.DefaultMaxCallers))
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	other := newGateway(t)
	for range flood {
		g.wantAccept(t, handshake.Callback{Token: other.mint(t, handshake.BugTracker, "trac"), Root: "trac", Caller: anyone}, handshake.ReasonUnknown)
	}
	if store.claims > limit+1 {
		t.Errorf("%d claims were made", store.claims)
	}
	// A good token is accepted from him all the same, and recorded.
	token := g.mint(t, handshake.BugTracker, "trac")
	g.wantAccept(t, handshake.Callback{Token: token, Root: "trac", Caller: anyone}, handshake.Granted)
	entries := recorded(t, store, trail)
	outcomes := map[audit.Outcome]int{}
	for _, e := range entries {
		outcomes[e.Outcome]++
	}
	if outcomes[audit.Refused] != limit || outcomes[audit.Intended] != 1 || outcomes[audit.Done] != 2 {
		t.Errorf("the outcomes are %v", outcomes)
	}
}

func TestUnderTheCommonRootTheStoreIsAskedFirstOnlyAboutTokensOfTrackers(t *testing.T) {
	store := &counting{Store: openStore(t)}
	trail := openTrail(t, store, audit.WithCallers(1000, audit.DefaultMaxCallers)) // nobody is refused often
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	for _, test := range []struct {
		bound, root   string
		looks, claims int
		want          handshake.Reason
	}{
		{"", "", 0, 1, handshake.Granted},
		{"trac", "", 1, 1, handshake.Granted},
		{"kde", "", 1, 0, handshake.ReasonWrongTracker},
		{"trac", "trac", 0, 1, handshake.Granted},
		{"", "trac", 0, 2, handshake.Granted}, // the first claim learns that it is nobody's
	} {
		for range 20 { // by chance, a text would hint the right thing half the time
			token := g.mint(t, handshake.BugTracker, test.bound)
			store.looks, store.claims = 0, 0
			g.wantAccept(t, handshake.Callback{Token: token, Root: test.root}, test.want)
			if store.looks != test.looks || store.claims != test.claims {
				t.Fatalf("bound to %q, under %q: %d looks and %d claims, want %d and %d", test.bound, test.root, store.looks, store.claims, test.looks, test.claims)
			}
		}
	}
}

// TestAForgedHintIsThatOfAnUnknownToken changes the character of the hint.
func TestAForgedHintIsThatOfAnUnknownToken(t *testing.T) {
	const hint = 13 // after eight characters of time and five of account
	g, _ := newAudited(t)
	for _, bound := range []string{"", "kde"} {
		token := g.mint(t, handshake.BugTracker, bound)
		for _, c := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
			if c != token[hint] {
				g.wantAccept(t, handshake.Callback{Token: token[:hint] + string(c) + token[hint+1:]}, handshake.ReasonUnknown)
			}
		}
		g.wantAccept(t, handshake.Callback{Token: token, Root: bound}, handshake.Granted)
	}
}

func TestAFailedStoreIsToldToTheTrail(t *testing.T) {
	store, elsewhere := openStore(t), openStore(t)
	trail := openTrail(t, elsewhere)
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	token := newGateway(t).mint(t, handshake.BugTracker, "")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, _, _ = g.Mint(ctx, handshake.BugTracker, "trac")
	_, _ = g.Accept(ctx, handshake.Callback{Token: token, Kind: handshake.BugTracker, Caller: anyone})
	_, _, _ = g.Revoke(ctx, token)
	entries := recorded(t, elsewhere, trail)
	slices.SortStableFunc(entries, func(a, b audit.Entry) int { return int(a.Code) - int(b.Code) })
	wantLines(t, entries, "minted failed store_unavailable trac", "refused refused store_unavailable 203.0.113.9 public handshake",
		"revoked intended", "revoked failed store_unavailable")
}

func TestATokenThatExpiresUnusedIsToldOnce(t *testing.T) {
	clock := fixed
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "tokens.db"), boltstore.WithClock(func() time.Time { return clock }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	trail := openTrail(t, store)
	g := newGatewayOn(t, store, handshake.WithTrail(trail))
	used := g.mint(t, handshake.BugTracker, "trac")
	g.mint(t, handshake.BugTracker, "kde")
	g.wantAccept(t, handshake.Callback{Token: used, Caller: anyone}, handshake.Granted)
	clock = fixed.Add(g.Lifetime())
	for range 3 {
		if err := store.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var expired []audit.Entry
	for _, e := range recorded(t, store, trail) {
		if e.Code == audit.TokenExpired {
			expired = append(expired, e)
		}
	}
	wantLines(t, expired, "expired done kde")
}

func TestARefusalOfTheThrottleStandsThereOnceWithItsToken(t *testing.T) {
	g, trail := newAudited(t)
	gate := &gate{refuse: apierror.New(apierror.TooManyRequests)}
	server := serve(t, g, handshake.WithAdmission(gate), handshake.WithCaller(func(*http.Request) netip.Addr { return anyone }))
	token, fingerprint, err := g.Mint(context.Background(), handshake.BugTracker, "trac")
	if err != nil {
		t.Fatal(err)
	}
	send(t, server, http.MethodPost, handshake.CallbackPath("trac", token), "", nil)
	if entries := recorded(t, g.store, trail); len(entries) != 1 {
		t.Errorf("about tokens the trail has %+v, want the minting alone", entries)
	}
	page, err := audit.List(context.Background(), g.store.Trail(), audit.Filter{Subsystem: audit.SubsystemThrottle}, "", audit.MaxPage)
	if err != nil || len(page.Entries) != 1 {
		t.Fatalf("about the throttle it has %+v, error %v", page.Entries, err)
	}
	e := page.Entries[0].Entry
	wantLines(t, []audit.Entry{e}, "refused refused too_many_requests 203.0.113.9 public handshake handshake")
	if e.Subject != fingerprint.String() || e.Detail != "trac" {
		t.Errorf("the entry is %+v", e)
	}
}
