package hook_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/hook"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func namedHook(name string) hook.Spec {
	return hook.Spec{Name: name, Fields: []hook.Field{{Name: "token", Type: hook.TypeToken}}}
}

// opens tells whether a token is accepted by a hook.
func (g *rig) opens(name, token string) bool {
	g.tb.Helper()
	a := g.form(name, "token="+token)
	if a.status != 200 {
		a.want(g.tb, "a token that is not accepted", 403, "TOKEN_MISMATCH")
	}
	return a.status == 200
}

func (g *rig) wantOpen(name, token string, want bool) {
	g.tb.Helper()
	if got := g.opens(name, token); got != want {
		g.tb.Errorf("accepted by %s: %v, want %v", name, got, want)
	}
}

func TestATokenIs32CharactersOfBase62(t *testing.T) {
	g := newRig(t)
	seen := map[string]bool{}
	for range 50 {
		token := g.token("x")
		if !regexp.MustCompile(`^[0-9A-Za-z]{32}$`).MatchString(token) || seen[token] {
			t.Fatalf("%q", token)
		}
		seen[token] = true
	}
}

func TestANewTokenEndsTheOldOneAtOnce(t *testing.T) {
	g := newRig(t, namedHook("a"))
	old := g.token("a")
	g.wantOpen("a", old, true)
	renewed := g.token("a")
	g.wantOpen("a", old, false)
	g.wantOpen("a", renewed, true)
}

func TestAnOldTokenLivesForItsGraceTimeAndNotLonger(t *testing.T) {
	g := newRig(t, namedHook("a"))
	ctx := context.Background()
	first := g.token("a")
	second, _, err := g.tokens.Create(ctx, "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	g.clock.advance(30 * time.Minute)
	third, _, err := g.tokens.Create(ctx, "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{first, second, third} {
		g.wantOpen("a", token, true)
	}
	g.clock.advance(30*time.Minute - time.Millisecond)
	g.wantOpen("a", first, true)
	g.clock.advance(time.Millisecond)
	g.wantOpen("a", first, false)
	g.wantOpen("a", second, true)
	g.clock.advance(30 * time.Minute)
	g.wantOpen("a", second, false)
	g.wantOpen("a", third, true)

	fourth, _, err := g.tokens.Create(ctx, "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	last := g.token("a")
	g.wantOpen("a", fourth, false)
	g.wantOpen("a", third, false)
	g.wantOpen("a", last, true)
}

func TestGraceTimesAreBounded(t *testing.T) {
	g := newRig(t)
	ctx := context.Background()
	for _, grace := range []time.Duration{-1, hook.MaxGrace + 1} {
		if _, _, err := g.tokens.Create(ctx, "a", grace); !errors.Is(err, hook.ErrGrace) {
			t.Errorf("grace %v: %v", grace, err)
		}
	}
	for range 1 + hook.MaxPrevious {
		if _, _, err := g.tokens.Create(ctx, "a", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := g.tokens.Create(ctx, "a", time.Hour); !errors.Is(err, hook.ErrGrace) {
		t.Errorf("more tokens in their grace time than there is room for: %v", err)
	}
	g.token("a")
	if _, _, err := g.tokens.Create(ctx, "a", time.Hour); err != nil {
		t.Errorf("after a token without a grace time: %v", err)
	}
}

func TestTheCommonTokenIsThatOfHooksWithoutOneOfTheirOwn(t *testing.T) {
	g := newRig(t, namedHook("a"), namedHook("b"))
	ctx := context.Background()
	g.wantOpen("a", "anything", false)
	common := g.token("")
	g.wantOpen("a", common, true)
	own := g.token("a")
	g.wantOpen("a", common, false)
	g.wantOpen("a", own, true)
	g.wantOpen("b", own, false)
	g.wantOpen("b", common, true)
	if err := g.tokens.Revoke(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	g.wantOpen("a", own, false)
	g.wantOpen("a", common, false) // revoking lets nobody in
	g.wantOpen("b", common, true)
	if err := g.tokens.Revoke(ctx, "a"); !errors.Is(err, hook.ErrNoToken) {
		t.Errorf("revoked twice: %v", err)
	}
	if err := g.tokens.Revoke(ctx, "b"); !errors.Is(err, hook.ErrNoToken) {
		t.Errorf("revoked what was never created: %v", err)
	}
	g.wantOpen("a", g.token("a"), true)
}

func TestAnEmptyTokenMatchesNothing(t *testing.T) {
	g := newRig(t, namedHook("a"))
	for _, created := range []bool{false, true} {
		if created {
			g.token("a")
			if err := g.tokens.Revoke(context.Background(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		for _, body := range []string{"", "token=", "token"} {
			g.form("a", body).want(t, body, 400, "INVALID_DATA")
		}
		// What the digest of an unset slot would be, were it looked at.
		g.wantOpen("a", strings.Repeat("%20", 32), false)
		g.wantOpen("a", strings.Repeat("0", 32), false)
	}
}

func TestATokenMustBeRightToTheLastByte(t *testing.T) {
	g := newRig(t, namedHook("a"))
	token := g.token("a")
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		g.wantOpen("a", string(changed), false)
	}
	for _, other := range []string{token[:31], token + token[:1], "+" + token, token + "+", strings.ToLower(token), strings.ToUpper(token)} {
		g.wantOpen("a", other, false)
	}
	g.wantOpen("a", token, true)
}

func TestAListTellsWhenTokensWereUsedAndNeverATokenItself(t *testing.T) {
	g := newRig(t, namedHook("a"), namedHook("b"))
	ctx := context.Background()
	created := g.clock.now()
	first := g.token("a")
	second, name, err := g.tokens.Create(ctx, "a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	common := g.token("")
	g.token("b")
	if err := g.tokens.Revoke(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	g.clock.advance(time.Minute)
	g.wantOpen("a", first, true)
	used := g.clock.now()
	g.clock.advance(59 * time.Second)
	g.wantOpen("a", first, true) // within the minute: not noted
	g.tokens.Close()
	list, err := g.tokens.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[0].Hook != "" || list[1].Hook != "a" || list[2].Hook != "b" {
		t.Fatalf("%+v", list)
	}
	a := list[1]
	if a.Fingerprint != name || !a.Created.Equal(created) || !a.LastUsed.IsZero() || !a.Revoked.IsZero() || len(a.Previous) != 1 {
		t.Errorf("%+v", a)
	}
	if p := a.Previous[0]; !p.LastUsed.Equal(used) || !p.Until.Equal(created.Add(time.Hour)) {
		t.Errorf("%+v, want used %v", p, used)
	}
	if b := list[2]; !b.Fingerprint.IsZero() || !b.Revoked.Equal(created) || !b.Created.IsZero() {
		t.Errorf("%+v", b)
	}
	for _, token := range []string{first, second, common} {
		if strings.Contains(fmt.Sprintf("%+v", list), token) {
			t.Error("the list has a token")
		}
	}
	g.clock.advance(time.Hour)
	if list, err = g.tokens.List(ctx); err != nil || len(list[1].Previous) != 0 {
		t.Errorf("%v, %+v", err, list)
	}
}

func TestTheTrailTellsOfNewAndOfRevokedTokens(t *testing.T) {
	g := newRig(t)
	ctx := context.Background()
	_, name, err := g.tokens.Create(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.tokens.Revoke(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := g.trail.Close(ctx); err != nil {
		t.Fatal(err)
	}
	page, err := audit.List(ctx, g.store.Trail(), audit.Filter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, e := range page.Entries {
		if e.Subsystem == audit.SubsystemHook && e.Subject == name.String() && e.Name == "a" {
			told[fmt.Sprint(e.Code, " ", e.Outcome)] = true
		}
	}
	for _, want := range []string{"2 intended", "2 done", "3 intended", "3 done"} {
		if !told[want] {
			t.Errorf("the trail lacks %q: %v", want, told)
		}
	}
}

func TestNamesThatNoHookCanHaveHaveNoTokens(t *testing.T) {
	g := newRig(t)
	for _, name := range []string{"a b", "a\nb", "-a", "..", strings.Repeat("x", 65), "a/b", "ü", "a:b"} {
		if _, _, err := g.tokens.Create(context.Background(), name, 0); err == nil {
			t.Errorf("created a token for %q", name)
		}
		if err := g.tokens.Revoke(context.Background(), name); err == nil || errors.Is(err, hook.ErrNoToken) {
			t.Errorf("revoking for %q: %v", name, err)
		}
	}
}

// states are the state tables of several gateways on one store.
func states(t *testing.T) map[string][]handshake.StateStore {
	g := newRig(t)
	server := redistest.Start(t)
	var replicas []handshake.StateStore
	for range 3 {
		store, err := redisstore.Open(context.Background(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		replicas = append(replicas, store.State())
	}
	return map[string][]handshake.StateStore{"bolt": {g.store.State(), g.store.State(), g.store.State()}, "redis": replicas}
}

func TestOfTokensCreatedAtTheSameTimeOneIsValidEverywhere(t *testing.T) {
	for name, replicas := range states(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			const each = 8
			created := make(chan string, each*len(replicas)*2)
			var group sync.WaitGroup
			for _, state := range replicas {
				tokens := hook.NewTokens(state)
				for i := range each {
					group.Go(func() {
						for _, hookName := range []string{"a", fmt.Sprint("other", i)} {
							token, _, err := tokens.Create(ctx, hookName, 0)
							if err != nil {
								t.Error(err)
							}
							if hookName == "a" {
								created <- token
							}
						}
					})
				}
			}
			group.Wait()
			close(created)
			live := map[string]bool{}
			for token := range created {
				accepted := 0
				for _, state := range replicas {
					if acceptedBy(t, state, token) {
						accepted++
						live[token] = true
					}
				}
				if accepted != 0 && accepted != len(replicas) {
					t.Errorf("a token is accepted by %d of %d gateways", accepted, len(replicas))
				}
			}
			if len(live) != 1 {
				t.Errorf("%d tokens are valid, want 1", len(live))
			}
			list, err := hook.NewTokens(replicas[0]).List(ctx)
			if err != nil || len(list) != 1+each {
				t.Errorf("%v: %d hooks are listed, want %d", err, len(list), 1+each)
			}
		})
	}
}

func acceptedBy(t *testing.T, state handshake.StateStore, token string) bool {
	t.Helper()
	tokens := hook.NewTokens(state)
	defer tokens.Close()
	g := newRigOf(t, nil)
	handler, err := hook.NewHandler(backend{g.store, state}, tokens, []*hook.Hook{must(t)(hook.Declare(namedHook("a")))})
	if err != nil {
		t.Fatal(err)
	}
	g.handler = handler
	return g.opens("a", token)
}

// backend is a store with another state table.
type backend struct {
	hook.Backend
	state handshake.StateStore
}

func (b backend) State() handshake.StateStore { return b.state }

func TestATokenIsKeptForACentury(t *testing.T) {
	g := newRig(t, namedHook("a"))
	token := g.token("a")
	g.clock.advance(99 * 365 * 24 * time.Hour)
	g.wantOpen("a", token, true)
	server := redistest.Start(t)
	store, err := redisstore.Open(context.Background(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if _, _, err := hook.NewTokens(store.State()).Create(context.Background(), "a", 0); err != nil {
		t.Fatal(err)
	}
	left, err := server.Client().PTTL(context.Background(), "trackgate:state:hook:token:a").Result()
	if err != nil || left < 99*365*24*time.Hour {
		t.Errorf("%v left, %v", left, err)
	}
}

func TestADamagedEntryLetsNobodyIn(t *testing.T) {
	for _, damaged := range []string{"", "x", "[]", `{"digest":"AA=="}`, `{"digest":""}`, `{"previous":[{"digest":"","until":99999999999999}]}`} {
		g := newRig(t, namedHook("a"))
		token := g.token("")
		if _, err := g.store.State().CompareAndSwap(context.Background(), "hook:token:a", nil, []byte(damaged), time.Hour); err != nil {
			t.Fatal(err)
		}
		g.form("a", "token="+token).want(t, damaged, 503, "STORE_UNAVAILABLE")
	}
}
