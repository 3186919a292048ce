package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/internal/redistest"
	"github.com/trackgate/trackgate/ratelimit"
)

const (
	ledgerLifetime = 80 * time.Second
	ledgerSlice    = ledgerLifetime / liveSlices

	alice ratelimit.Caller = "192.0.2.7"
	bob   ratelimit.Caller = "2001:db8:0:7::/64"
)

// clock is a time that passes only when it is told to.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Now().Truncate(ledgerSlice).UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.nanos.Load()) }
func (c *clock) wait(d time.Duration) { c.nanos.Add(int64(d)) }

// steps is a ledger that writes when a test says so.
type steps struct {
	*sharedLedger
	t   *testing.T
	log bytes.Buffer
}

func newSteps(t *testing.T, server *redistest.Server, c *clock) *steps {
	s := &steps{t: t}
	s.sharedLedger = newIdleLedger(server.Client(), ledgerLifetime, c.now, slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	return s
}

func (s *steps) writeAll() { s.write(s.take()) }

// mint mints n tokens and returns the account of all.
func (s *steps) mint(c ratelimit.Caller, n int) handshake.Account {
	s.t.Helper()
	a := s.account(c)
	if len(a) != handshake.AccountLength {
		s.t.Fatalf("the account is %q", a)
	}
	for range n {
		s.minted(a, c)
	}
	return a
}

func (s *steps) end(a handshake.Account, n int) {
	for range n {
		s.ended(a)
	}
}

func (s *steps) want(c ratelimit.Caller, want int) {
	s.t.Helper()
	if got, err := s.ask(s.t.Context(), c); err != nil || got != want {
		s.t.Errorf("%s has %d live tokens, error %v, want %d", c, got, err, want)
	}
}

func TestLiveTokensAreCountedExactlyForTheGatewaysOfARedis(t *testing.T) {
	server := redistest.Start(t)
	count := func(l *sharedLedger, c ratelimit.Caller) int {
		n := 0
		redistest.Until(t, "the count is there", func() (there bool) {
			var err error
			n, err = l.live(t.Context(), c, 0)
			return err == nil
		})
		return n
	}
	logger := slog.New(slog.DiscardHandler)
	a, b := newSharedLedger(server.Client(), ledgerLifetime, time.Now, logger), newSharedLedger(server.Client(), ledgerLifetime, time.Now, logger)
	var ofAlice, ofBob []handshake.Account // those of tokens
	mint := func(l *sharedLedger, c ratelimit.Caller, accounts *[]handshake.Account) {
		account := l.account(c)
		l.minted(account, c)
		*accounts = append(*accounts, account)
	}
	for i := range 300 {
		mint(a, alice, &ofAlice)
		mint([]*sharedLedger{a, b}[i%2], bob, &ofBob)
	}
	for _, l := range []*sharedLedger{a, b} { // each writes what it was told
		count(l, alice)
	}
	for _, account := range ofAlice[:200] {
		b.ended(account)
	}
	for i, account := range ofBob[:50] {
		[]*sharedLedger{b, a}[i%2].ended(account)
	}
	for _, l := range []*sharedLedger{a, b} {
		count(l, alice)
	}
	for _, l := range []*sharedLedger{a, b} {
		if x, y := count(l, alice), count(l, bob); x != 100 || y != 250 {
			t.Errorf("they have %d and %d live tokens, want 100 and 250", x, y)
		}
	}
	a.ended(ofAlice[200])
	a.close()
	a.close()
	if n := count(b, alice); n != 99 {
		t.Errorf("after one gateway was closed they are %d, want 99", n)
	}
	a.minted(ofAlice[0], alice)
	if n := count(a, alice); n != 99 || a.account("new") != "" {
		t.Errorf("a closed ledger counts %d", n)
	}
	b.close()
}

func TestATokenCostsRedisNeitherACommandNorAKey(t *testing.T) {
	const tokens, parts = 3000, 2
	server, c := redistest.Start(t), newClock()
	a, b := newSteps(t, server, c), newSteps(t, server, c)
	server.Do("config", "resetstat")
	for range parts {
		for range tokens / parts / 100 {
			for _, caller := range []ratelimit.Caller{alice, bob} {
				account := a.mint(caller, 100)
				a.end(account, 10)
				a.writeAll()
				b.end(account, 80)
				b.writeAll()
			}
		}
		c.wait(ledgerSlice)
	}
	a.want(alice, tokens/10)
	b.want(bob, tokens/10)
	const accounts = 2 * parts
	if got, want := server.Do("dbsize"), strconv.Itoa(2+accounts); got != want {
		t.Errorf("there are %s keys, want %s", got, want)
	}
	stats := server.Do("info", "commandstats")
	calls := func(command string) int {
		found := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(stats)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(found[1])
		return n
	}
	batches := 2 * 2 * tokens / 100
	for command, want := range map[string]int{"set": accounts, "get": accounts, "getdel": 0, "del": 0, "hincrby": batches, "pexpire": batches, "hgetall": 2} {
		if got := calls(command); got != want {
			t.Errorf("%d calls of %s for %d tokens, want %d", got, command, 2*tokens, want)
		}
	}
	for _, line := range strings.Split(server.Do("keys", "*"), "\n") {
		if n, _ := strconv.Atoi(server.Do("pttl", line)); n < int(ledgerLifetime/time.Millisecond) || n > int((ledgerLifetime+2*ledgerSlice)/time.Millisecond) {
			t.Errorf("%s lives for %d ms", line, n)
		}
	}
}

func TestWhatBeganAndEndedInOneBatchIsNotWritten(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a := newSteps(t, server, c)
	account := a.mint(alice, 5)
	a.end(account, 5)
	a.writeAll()
	if keys := server.Do("keys", "*"); keys != accountKey(account) {
		t.Errorf("the keys are %s", keys)
	}
	if value := server.Do("get", accountKey(account)); value != fmt.Sprintf("%d %s", a.current(), alice) {
		t.Errorf("the account is %q", value)
	}
}

func TestAnAccountThatIsNotThereYetIsLookedUpASecondTime(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a, b := newSteps(t, server, c), newSteps(t, server, c)
	account := a.mint(alice, 5)
	if len(a.haste) != 1 {
		t.Error("nobody hurries to write the account")
	}
	b.end(account, 2)
	b.writeAll() // before a has written the account
	b.end(account, 1)
	b.writeAll() // and again before it is time to look
	a.writeAll()
	b.want(alice, 5)
	c.wait(ledgerPause)
	b.writeAll()
	b.want(alice, 2)
	if len(b.missed) != 0 {
		t.Errorf("%v is still missed", b.missed)
	}
}

func TestAnAccountThatNobodyWroteIsWrittenOff(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a, b := newSteps(t, server, c), newSteps(t, server, c)
	account := a.mint(alice, 5)
	b.end(account, 2)
	for range 2 {
		b.writeAll()
		c.wait(ledgerPause)
	}
	if len(b.missed) != 0 {
		t.Errorf("%v is still missed", b.missed)
	}
	a.writeAll()
	c.wait(ledgerPause)
	b.writeAll()
	b.want(alice, 5)
	b.end(account, 1) // it is not refused for ever
	b.writeAll()
	b.want(alice, 4)
	// What is missed when the ledger is closed is looked for once more.
	other := a.mint(bob, 5)
	b.end(other, 2)
	b.writeAll()
	a.writeAll()
	go b.run()
	b.close()
	b.want(bob, 3)
}

func TestTokensAgeOutWithTheirSlice(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a, b := newSteps(t, server, c), newSteps(t, server, c)
	first := a.mint(alice, 5)
	a.writeAll()
	c.wait(ledgerSlice)
	second := a.mint(alice, 3)
	if first == second {
		t.Errorf("two slices have the account %s", first)
	}
	a.writeAll()
	a.want(alice, 8)
	c.wait(liveSlices * ledgerSlice)
	a.want(alice, 3)
	for _, s := range []*steps{a, b} { // one knows whose they were, the other asks
		s.end(first, 1)
		s.end(second, 1)
		s.writeAll()
	}
	a.want(alice, 1)
	c.wait(ledgerSlice)
	a.want(alice, 0)
	if fields := server.Do("hgetall", liveKey(alice)); fields != "" {
		t.Errorf("of what is over, there is still %q", fields)
	}
}

func TestAGatewayThatWasRestartedStillKnowsWhoseTokensEnd(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	before := newSteps(t, server, c)
	account := before.mint(alice, 5)
	before.writeAll()
	after := newSteps(t, server, c)
	after.end(account, 2)
	if after.mint(alice, 1) == account {
		t.Error("two processes made the same account")
	}
	after.writeAll()
	after.want(alice, 4)

	server.Do("flushall") // Redis lost everything
	after = newSteps(t, server, c)
	after.end(account, 2)
	after.end("other", 1)
	for range 2 {
		after.writeAll()
		c.wait(ledgerPause)
	}
	after.mint(alice, 3)
	after.writeAll()
	after.want(alice, 3)
}

func TestOfTwoGatewaysThatMakeTheSameAccountTheFirstHasIt(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a, b := newSteps(t, server, c), newSteps(t, server, c)
	same := func() handshake.Account { return "same5" }
	a.newAccount, b.newAccount = same, same
	a.mint(alice, 5)
	a.writeAll()
	b.mint(bob, 5)
	b.writeAll()
	b.newAccount = handshake.NewAccount
	other := b.mint(bob, 2)
	if other == "same5" {
		t.Error("the second one keeps it")
	}
	b.end("same5", 1) // whose it is, Redis says
	b.end(other, 1)
	b.writeAll()
	b.want(alice, 4)
	b.want(bob, 6)
}

func TestAnAccountThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a := newSteps(t, server, c)
	server.Do("acl", "setuser", "default", "-set")
	over := a.mint(bob, 1)
	a.writeAll()
	if !strings.Contains(a.log.String(), "live tokens were not counted") {
		t.Errorf("the log is %q", a.log.String())
	}
	c.wait((liveSlices + 1) * ledgerSlice) // no token of the first account is live any more
	account := a.mint(alice, 5)
	a.writeAll()
	server.Do("acl", "setuser", "default", "+set")
	a.writeAll()
	if value := server.Do("get", accountKey(account)); !strings.HasSuffix(value, string(alice)) {
		t.Errorf("the account is %q", value)
	}
	if n := server.Do("exists", accountKey(over)); n != "0" {
		t.Error("that of a slice that is over was written")
	}
	a.want(alice, 5)
}

func TestWhatWasCountedIsNotCountedAgainWhenTheAnswerIsLost(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr())
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
	defer func() { _ = client.Close() }()
	s := &steps{t: t}
	s.sharedLedger = newIdleLedger(client, ledgerLifetime, newClock().now, slog.New(slog.DiscardHandler))
	s.mint(alice, 1)
	s.writeAll()
	proxy.Lose(1)
	s.mint(alice, 500)
	s.writeAll()
	if proxy.Losing() {
		t.Fatal("no answer was lost")
	}
	s.want(alice, 501)
}

func TestALedgerKeepsNoMoreThanItsLimits(t *testing.T) {
	server, c := redistest.Start(t), newClock()
	a := newSteps(t, server, c)
	account := a.mint(alice, 5)
	a.writeAll()
	for i := range ledgerOwners {
		a.owners[handshake.Account(fmt.Sprintf("%05d", i))] = owner{bob, a.slice - liveSlices - 1}
	}
	a.mint(bob, 1)
	if len(a.owners) != 2 {
		t.Errorf("it knows %d owners, want those that are not over", len(a.owners))
	}
	for i := range ledgerOwners {
		a.owners[handshake.Account(fmt.Sprintf("%05d", i))] = owner{bob, a.slice}
	}
	a.mint("192.0.2.8", 1)
	if len(a.owners) != 1 || len(a.byCaller) != 1 {
		t.Errorf("it knows %d owners and %d accounts, want the new ones alone", len(a.owners), len(a.byCaller))
	}
	a.end(account, 2)
	a.writeAll()
	a.want(alice, 3) // whose it is was forgotten, and found again

	for i := range ledgerWaiting + 1 {
		a.ended(handshake.Account(fmt.Sprintf("%05d", i)))
	}
	a.ended("00000") // one that waits already
	if b := a.take(); len(b.changes) != ledgerWaiting || b.changes["00000"] != -2 {
		t.Errorf("%d accounts wait, and %d of the first", len(b.changes), b.changes["00000"])
	}
	for i := range ledgerWaiting {
		a.account(ratelimit.Caller(strconv.Itoa(i)))
	}
	if more := a.account("more"); more != "" || len(a.next.made) != ledgerWaiting {
		t.Errorf("%d accounts wait, and another is %q", len(a.next.made), more)
	}
	for i := range ledgerWaiting {
		a.missed[handshake.Account(strconv.Itoa(i))] = missed{1, c.now().Add(time.Hour)}
	}
	a.ended("other")
	a.writeAll()
	if len(a.missed) != ledgerWaiting {
		t.Errorf("%d accounts are missed", len(a.missed))
	}
}

// BenchmarkLedger is what a mint and a callback spend on counting their token.
func BenchmarkLedger(b *testing.B) {
	l := newSharedLedger(redistest.Start(b).Client(), ledgerLifetime, time.Now, slog.New(slog.DiscardHandler))
	defer l.close()
	b.ReportAllocs()
	for b.Loop() {
		a := l.account(alice)
		l.minted(a, alice)
		l.ended(a)
	}
}

func FuzzParseOwner(f *testing.F) {
	for _, text := range []string{"", " ", "1", "1 ", "1 192.0.2.7", "-1 2001:db8::/64", "x 192.0.2.7", "9999999999999999999 a", "1 a b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := parseOwner(text)
		if !ok {
			return
		}
		if again, ok := parseOwner(o.String()); !ok || again != o || o.caller == "" {
			t.Fatalf("%q: %+v came back as %+v, %v", text, o, again, ok)
		}
	})
}
