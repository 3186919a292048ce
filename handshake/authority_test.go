package handshake_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

// otherKind is a kind that no gateway mints yet.
const otherKind handshake.Kind = 2

var (
	anyone   = netip.MustParseAddr("203.0.113.9")
	atGnome  = netip.MustParseAddr("198.51.100.7")
	fixed    = time.UnixMilli(1_763_759_401_234)
	trackers = map[string]handshake.Tracker{
		"gnome": {Name: "gnome", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")}},
		"kde":   {Name: "kde", OwnRoot: true},
		"trac":  {Name: "trac"},
	}
)

// gateway is an authority over a real store, and all it has told observers.
type gateway struct {
	*handshake.Authority
	store handshake.Store

	mu     sync.Mutex
	now    time.Time
	events []handshake.Event
}

func newGateway(t *testing.T, opts ...handshake.Option) *gateway {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "tokens.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return newGatewayOn(t, store, opts...)
}

func newGatewayOn(t *testing.T, store handshake.Store, opts ...handshake.Option) *gateway {
	t.Helper()
	g := &gateway{store: store, now: fixed}
	options := append([]handshake.Option{
		handshake.WithClock(g.clock), handshake.WithObserver(g),
		handshake.WithTrackers(func(name string) (handshake.Tracker, bool) {
			tracker, ok := trackers[name]
			return tracker, ok
		}),
	}, opts...)
	authority, err := handshake.New(store, options...)
	if err != nil {
		t.Fatal(err)
	}
	g.Authority = authority
	return g
}

func (g *gateway) clock() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

func (g *gateway) wait(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now = g.now.Add(d)
}

func (g *gateway) Observe(_ context.Context, e handshake.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// told returns the events since it was last asked.
func (g *gateway) told() []handshake.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	events := g.events
	g.events = nil
	return events
}

func (g *gateway) mint(t *testing.T, kind handshake.Kind, tracker string) string {
	t.Helper()
	token, fingerprint, err := g.Mint(context.Background(), kind, tracker)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := handshake.ParseToken(token)
	if !ok || id.Fingerprint() != fingerprint {
		t.Fatalf("the token %q has the fingerprint %v", token, fingerprint)
	}
	return token
}

func (g *gateway) wantAccept(t *testing.T, c handshake.Callback, want handshake.Reason) {
	t.Helper()
	c.Kind = handshake.BugTracker
	got, err := g.Accept(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("accepting gave %q, want %q", got, want)
	}
}

func TestATokenIsValidOnlyWhereItsTrackerCallsBack(t *testing.T) {
	g := newGateway(t)
	for _, test := range []struct {
		bound, root string
		caller      netip.Addr
		want        handshake.Reason
	}{
		{"", "", anyone, handshake.Granted},
		{"", "trac", anyone, handshake.Granted},
		{"", "gnome", atGnome, handshake.Granted},
		{"", "gnome", anyone, handshake.ReasonWrongAddress},
		{"", "nobody", anyone, handshake.ReasonUnknownRoot},
		{"trac", "", anyone, handshake.Granted},
		{"trac", "trac", anyone, handshake.Granted},
		{"trac", "kde", anyone, handshake.ReasonWrongTracker},
		{"trac", "gnome", atGnome, handshake.ReasonWrongTracker},
		{"kde", "kde", anyone, handshake.Granted},
		{"kde", "", anyone, handshake.ReasonWrongTracker},
		{"kde", "trac", anyone, handshake.ReasonWrongTracker},
		{"gnome", "gnome", atGnome, handshake.Granted},
		{"gnome", "gnome", netip.MustParseAddr("::ffff:198.51.100.7"), handshake.Granted},
		{"gnome", "gnome", netip.MustParseAddr("2001:db8::1"), handshake.Granted},
		{"gnome", "gnome", anyone, handshake.ReasonWrongAddress},
		{"gnome", "gnome", netip.Addr{}, handshake.ReasonWrongAddress},
		{"gnome", "", atGnome, handshake.Granted},
		{"gnome", "", anyone, handshake.ReasonWrongAddress},
		{"gnome", "trac", atGnome, handshake.ReasonWrongTracker},
	} {
		token := g.mint(t, handshake.BugTracker, test.bound)
		c := handshake.Callback{Token: token, Root: test.root, Caller: test.caller}
		t.Logf("bound to %q, under %q, from %v", test.bound, test.root, test.caller)
		g.wantAccept(t, c, test.want)
		record, ok, err := g.Lookup(context.Background(), token)
		if err != nil || !ok {
			t.Fatalf("found %v, error %v", ok, err)
		}
		if (record.Status == handshake.Used) != (test.want == handshake.Granted) {
			t.Errorf("afterwards it is %v", record.Status)
		}
		if test.want == handshake.Granted {
			g.wantAccept(t, c, handshake.ReasonUsed)
		}
	}
}

func TestATokenOfATrackerThatIsNotConfiguredAnyMoreIsRefused(t *testing.T) {
	g := newGateway(t)
	token := g.mint(t, handshake.BugTracker, "trac")
	later := newGatewayOn(t, g.store, handshake.WithTrackers(func(string) (handshake.Tracker, bool) { return handshake.Tracker{}, false }))
	later.wantAccept(t, handshake.Callback{Token: token}, handshake.ReasonWrongTracker)
	later.wantAccept(t, handshake.Callback{Token: token, Root: "trac"}, handshake.ReasonUnknownRoot)
	g.wantAccept(t, handshake.Callback{Token: token}, handshake.Granted)
}

func TestATokenOfAnotherKindIsRefusedAndStaysLive(t *testing.T) {
	g := newGateway(t)
	token := g.mint(t, otherKind, "")
	g.wantAccept(t, handshake.Callback{Token: token}, handshake.ReasonWrongKind)
	if got, err := g.Accept(context.Background(), handshake.Callback{Token: token, Kind: otherKind}); got != handshake.Granted || err != nil {
		t.Errorf("as its own kind: %q, error %v", got, err)
	}
}

func TestATokenEndsWithItsLifetime(t *testing.T) {
	g := newGateway(t, handshake.WithLifetime(time.Minute))
	late, inTime := g.mint(t, handshake.BugTracker, ""), g.mint(t, handshake.BugTracker, "")
	g.wait(time.Minute - time.Millisecond)
	g.wantAccept(t, handshake.Callback{Token: inTime}, handshake.Granted)
	g.wait(time.Millisecond)
	g.wantAccept(t, handshake.Callback{Token: late}, handshake.ReasonExpired)
}

// untouchable is a store that must not be asked.
type untouchable struct{ handshake.Store }

func TestWhatCannotBeLiveIsRefusedWithoutTheStore(t *testing.T) {
	g := newGateway(t)
	token := g.mint(t, handshake.BugTracker, "")
	blind := newGatewayOn(t, untouchable{})
	blind.wait(handshake.MaxLifetime)
	blind.wantAccept(t, handshake.Callback{Token: token}, handshake.ReasonExpired)
	blind.wait(-handshake.MaxLifetime - handshake.MaxSkew - time.Millisecond)
	blind.wantAccept(t, handshake.Callback{Token: token}, handshake.ReasonFuture)
	blind.wantAccept(t, handshake.Callback{Token: "../+index"}, handshake.ReasonMalformed)
	blind.wantAccept(t, handshake.Callback{Token: token, Root: "nobody"}, handshake.ReasonUnknownRoot)
	blind.wantAccept(t, handshake.Callback{Token: token, Root: "gnome", Caller: anyone}, handshake.ReasonWrongAddress)

	g.wait(-handshake.MaxSkew) // a gateway whose clock is behind asks all the same
	g.wantAccept(t, handshake.Callback{Token: token}, handshake.Granted)
}

func TestRevoking(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	byText, byName, used := g.mint(t, handshake.BugTracker, "trac"), g.mint(t, handshake.BugTracker, ""), g.mint(t, handshake.BugTracker, "")
	g.wantAccept(t, handshake.Callback{Token: used}, handshake.Granted)
	g.told()
	if record, reason, err := g.Revoke(ctx, byText); reason != handshake.Granted || err != nil || record.Status != handshake.Revoked {
		t.Errorf("by its text: %+v, %q, error %v", record, reason, err)
	}
	id, _ := handshake.ParseToken(byName)
	if record, reason, err := g.RevokeFingerprint(ctx, id.Fingerprint()); reason != handshake.Granted || err != nil || record.ID != id {
		t.Errorf("by its fingerprint: %+v, %q, error %v", record, reason, err)
	}
	if events := g.told(); len(events) != 2 || events[0].Type != handshake.EventRevoked || events[0].Tracker != "trac" || events[1].Fingerprint != id.Fingerprint() {
		t.Errorf("the events are %+v", events)
	} else if string(events[0].Account) != byText[8:13] || events[1].Account != "" {
		t.Errorf("the accounts are %q, want that of the text, and %q, want none", events[0].Account, events[1].Account)
	}
	for _, test := range []struct {
		token string
		want  handshake.Reason
	}{
		{byText, handshake.ReasonRevoked}, {used, handshake.ReasonUsed}, {"check", handshake.ReasonMalformed}, {strings.Repeat("0", handshake.TokenLength), handshake.ReasonUnknown},
	} {
		if _, reason, err := g.Revoke(ctx, test.token); reason != test.want || err != nil {
			t.Errorf("%s: %q, error %v, want %q", test.token, reason, err, test.want)
		}
	}
	if _, reason, err := g.RevokeFingerprint(ctx, handshake.Fingerprint{1}); reason != handshake.ReasonUnknown || err != nil {
		t.Errorf("a fingerprint of no token: %q, error %v", reason, err)
	}
	if events := g.told(); len(events) != 0 {
		t.Errorf("what changed nothing is told: %+v", events)
	}
	g.wantAccept(t, handshake.Callback{Token: byText, Root: "trac"}, handshake.ReasonRevoked)
	g.wantAccept(t, handshake.Callback{Token: byName}, handshake.ReasonRevoked)
}

func TestMintingForAnUnknownTrackerIsNotFound(t *testing.T) {
	g := newGateway(t)
	if token, _, err := g.Mint(context.Background(), handshake.BugTracker, "nobody"); token != "" || !apierror.Is(err, apierror.ResourceNotFound) {
		t.Errorf("got %q, error %v", token, err)
	}
}

func TestALifetimeOutsideTheLimitsIsAnError(t *testing.T) {
	for _, lifetime := range []time.Duration{0, -time.Minute, handshake.MinLifetime - 1, handshake.MaxLifetime + 1, 1500 * time.Millisecond} {
		if _, err := handshake.New(untouchable{}, handshake.WithLifetime(lifetime)); err == nil {
			t.Errorf("%v was taken", lifetime)
		}
	}
	for _, lifetime := range []time.Duration{handshake.MinLifetime, handshake.MaxLifetime} {
		a, err := handshake.New(untouchable{}, handshake.WithLifetime(lifetime))
		if err != nil || a.Lifetime() != lifetime {
			t.Errorf("%v: %v", lifetime, err)
		}
	}
}

func TestEventsSayWhatHappenedAndNeverTheToken(t *testing.T) {
	g := newGateway(t, handshake.WithAccounts(func(context.Context) handshake.Account { return "0Az9b" }))
	token := g.mint(t, handshake.BugTracker, "gnome")
	id, _ := handshake.ParseToken(token)
	g.wantAccept(t, handshake.Callback{Token: token, Root: "trac", Caller: anyone}, handshake.ReasonWrongTracker)
	g.wantAccept(t, handshake.Callback{Token: token, Caller: atGnome}, handshake.Granted)
	g.wantAccept(t, handshake.Callback{Token: token, Root: "gnome", Caller: atGnome}, handshake.ReasonUsed)
	f := id.Fingerprint()
	want := []handshake.Event{
		{Type: handshake.EventMinted, Time: fixed, Fingerprint: f, Account: "0Az9b", Kind: handshake.BugTracker, Tracker: "gnome"},
		{Type: handshake.EventRefused, Time: fixed, Fingerprint: f, Kind: handshake.BugTracker, Tracker: "gnome", Root: "trac", Caller: anyone, Reason: handshake.ReasonWrongTracker},
		{Type: handshake.EventConsumed, Time: fixed, Fingerprint: f, Account: "0Az9b", Kind: handshake.BugTracker, Tracker: "gnome", Caller: atGnome},
		{Type: handshake.EventRefused, Time: fixed, Fingerprint: f, Kind: handshake.BugTracker, Tracker: "gnome", Root: "gnome", Caller: atGnome, Reason: handshake.ReasonUsed},
	}
	got := g.told()
	if len(got) != len(want) {
		t.Fatalf("%d events: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("event %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func TestATokenIsCountedAmongTheAccountOfItsMinting(t *testing.T) {
	type key struct{}
	g := newGateway(t, handshake.WithAccounts(func(ctx context.Context) handshake.Account {
		account, _ := ctx.Value(key{}).(handshake.Account)
		return account
	}))
	for _, test := range []struct {
		account handshake.Account
		carried bool
	}{{"0Az9b", true}, {"", false}, {"no account", false}} {
		token, _, err := g.Mint(context.WithValue(context.Background(), key{}, test.account), handshake.BugTracker, "")
		if err != nil {
			t.Fatal(err)
		}
		if carried := token[8:13] == string(test.account); carried != test.carried {
			t.Errorf("with the account %q the text is %q", test.account, token)
		}
		g.wantAccept(t, handshake.Callback{Token: token}, handshake.Granted)
		g.wantAccept(t, handshake.Callback{Token: token}, handshake.ReasonUsed)
		events := g.told()
		if len(events) != 3 || string(events[0].Account) != token[8:13] || events[1].Account != events[0].Account || events[2].Account != "" {
			t.Errorf("with the account %q the events are %+v", test.account, events)
		}
	}
}

func TestAFailedStoreIsUnavailable(t *testing.T) {
	g := newGateway(t)
	token := g.mint(t, handshake.BugTracker, "")
	id, _ := handshake.ParseToken(token)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	g.told()
	_, _, mintErr := g.Mint(ctx, handshake.BugTracker, "")
	reason, acceptErr := g.Accept(ctx, handshake.Callback{Token: token, Kind: handshake.BugTracker})
	if events := g.told(); len(events) != 2 || events[0].Reason != handshake.ReasonStore || events[1].Reason != handshake.ReasonStore || events[1].Err == nil {
		t.Errorf("the events are %+v", events)
	}
	if reason != handshake.ReasonStore {
		t.Errorf("the reason is %q", reason)
	}
	_, _, lookupErr := g.Lookup(ctx, token)
	_, _, findErr := g.Find(ctx, id.Fingerprint())
	_, _, revokeErr := g.Revoke(ctx, token)
	_, _, revokeFingerprintErr := g.RevokeFingerprint(ctx, id.Fingerprint())
	for what, err := range map[string]error{
		"mint": mintErr, "accept": acceptErr, "lookup": lookupErr, "find": findErr, "revoke": revokeErr, "revoke by fingerprint": revokeFingerprintErr,
	} {
		if !apierror.Is(err, apierror.StoreUnavailable) || !errors.Is(err, handshake.ErrClosed) || apierror.From(err).RetryAfter() <= 0 {
			t.Errorf("%s: %v, want STORE_UNAVAILABLE with the cause and when to come back", what, err)
		}
	}
}

// twins is a store in which two tokens share a fingerprint.
type twins struct{ handshake.Store }

func (twins) Find(context.Context, handshake.Fingerprint) ([]handshake.Record, error) {
	return make([]handshake.Record, 2), nil
}

func TestAFingerprintOfTwoTokensRevokesNeither(t *testing.T) {
	g := newGatewayOn(t, twins{})
	if _, _, err := g.RevokeFingerprint(context.Background(), handshake.Fingerprint{}); err == nil {
		t.Error("one was revoked")
	}
}

func TestACallerThatHangsUpIsNoFailureOfTheStore(t *testing.T) {
	g := newGateway(t)
	token := g.mint(t, handshake.BugTracker, "")
	g.told()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Accept(gone, handshake.Callback{Token: token, Kind: handshake.BugTracker}); err == nil {
		t.Error("a caller that was gone was answered")
	}
	if events := g.told(); len(events) != 1 || events[0].Reason != handshake.ReasonGone {
		t.Errorf("observers were told %v", events)
	}
	g.wantAccept(t, handshake.Callback{Token: token}, handshake.Granted)
}
