package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tracPeerOptions says how a tracker peer starts. The zero value is the tracker of the
// captures, except that CallbackRoot has to be named.
type tracPeerOptions struct {
	// CallbackRoot is the root of the gateway's callback URLs.
	CallbackRoot string
	// Base is the tracker's path; empty means "/lp".
	Base string
	// Port on 127.0.0.1; 0 means any that is free.
	Port int
	// TimezoneOffset is how far the tracker's local time is ahead of UTC; nil means an hour.
	TimezoneOffset *time.Duration
	// CookieLifetime is how long a log-in lasts; 0 means ten days.
	CookieLifetime time.Duration
	// CallbackTimeout is how long the tracker waits for the gateway; 0 means 30 s.
	CallbackTimeout time.Duration
	// ClockOffset is how far the tracker's clock is ahead of this machine's.
	ClockOffset time.Duration
	// Tickets is how many generated tickets come on top of the 25 of the captures.
	Tickets int
}

// arguments returns the peer's command line.
func (o tracPeerOptions) arguments() []string {
	args := []string{"--callback-root", o.CallbackRoot, "--port", strconv.Itoa(o.Port), "--tickets", strconv.Itoa(o.Tickets)}
	seconds := func(name string, d time.Duration) {
		if d != 0 {
			args = append(args, name, strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
		}
	}
	seconds("--cookie-lifetime", o.CookieLifetime)
	seconds("--callback-timeout", o.CallbackTimeout)
	seconds("--clock-offset", o.ClockOffset)
	if o.TimezoneOffset != nil {
		args = append(args, "--timezone-offset", strconv.Itoa(int(o.TimezoneOffset.Seconds())))
	}
	if o.Base != "" {
		args = append(args, "--base", o.Base)
	}
	return args
}

// tracPeer is a running peer: whichever script of peers it is, it is controlled in the same way
// (peers/control.py). Its methods fail the test when the peer
// does not answer; call them from the test's own goroutine.
type tracPeer struct {
	// URL is the tracker's base URL; Control is that of its control interface.
	URL     string
	Control string

	t      testing.TB
	client *http.Client
	exited chan error
}

// startTracPeer starts peers/trac_launchpad.py.
func startTracPeer(t testing.TB, options tracPeerOptions) *tracPeer {
	t.Helper()
	return startPeer(t, "trac_launchpad.py", options.arguments()...)
}

// startPeer starts a peer by its script in peers and stops it when the test ends. The peer also
// stops by itself when this process dies, since its standard input is a pipe from here.
func startPeer(t testing.TB, script string, args ...string) *tracPeer {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.Command("python3", append([]string{filepath.Join("peers", script), "--exit-with-stdin"}, args...)...)
	command.Stderr = &stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("the peer needs python3: %v", err)
	}
	peer := &tracPeer{
		t:      t,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		exited: make(chan error, 1),
	}
	watchdog := time.AfterFunc(startUpLimit, func() { _ = command.Process.Kill() })
	first, readErr := bufio.NewReader(stdout).ReadBytes('\n')
	watchdog.Stop()
	go func() {
		peer.exited <- command.Wait()
	}()
	t.Cleanup(func() {
		_ = stdin.Close() // The peer may have ended already.
		select {
		case <-peer.exited:
		case <-time.After(10 * time.Second):
			_ = command.Process.Kill()
			<-peer.exited
			t.Errorf("%s did not end when its standard input was closed", script)
		}
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s wrote:\n%s", script, stderr.String())
		}
	})
	if readErr != nil {
		t.Fatalf("%s did not start: %v\n%s", script, readErr, stderr.String())
	}
	var addresses struct{ URL, Control string }
	if err := json.Unmarshal(first, &addresses); err != nil {
		t.Fatalf("%s printed %q: %v", script, first, err)
	}
	peer.URL, peer.Control = addresses.URL, addresses.Control
	return peer
}

// tracStats is what a peer did so far. The members are explained in peers/control.py
// (Ledger.figures).
type tracStats struct {
	Accepted, Refused, Held, Failures, Connections int
	HungUp                                         int `json:"hung_up"`
	Written                                        int64
	// Requests by method and path, as in "POST /lp/xmlrpc" and "GET /lp/launchpad-auth/{token}".
	Requests map[string]int
	// Calls by XML-RPC method; only those that had a live session.
	Calls     map[string]int
	Callbacks []struct {
		Method, URL, Body string
		Status            int // 0: no answer; Body then says why.
	}
	HandedOn []struct {
		URL, Body string
		Status    int
		Cookies   []string
	} `json:"handed_on"`
	Comments []struct{ Bug, ID, Text string }
}

// Stats returns what the peer did so far.
func (p *tracPeer) Stats() tracStats {
	p.t.Helper()
	return p.stats("/stats")
}

// Await waits until a figure of the peer ("held", "hung_up", "accepted", "callbacks",
// "comments", "requests", ...) is at least so high; of a list its length counts.
func (p *tracPeer) Await(figure string, atLeast int) tracStats {
	p.t.Helper()
	return p.stats("/wait?" + url.Values{figure: {strconv.Itoa(atLeast)}}.Encode())
}

func (p *tracPeer) stats(path string) tracStats {
	p.t.Helper()
	var stats tracStats
	response, err := p.client.Get(p.Control + path)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := readControlAnswer(response, &stats); err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
	return stats
}

// misbehaviour is a rule for a peer: On ("login", "xmlrpc", "callback", "other") the next Times
// requests (0: until Reset) do as Kind says, with the options With. The kinds are the functions
// in peers/misbehaviour.py and, for "callback", in peers/callback.py.
type misbehaviour struct {
	On    string         `json:"on"`
	Kind  string         `json:"kind"`
	Times int            `json:"times"`
	With  map[string]any `json:"with,omitempty"`
}

// Misbehave adds rules; the first rule of a place is used up before the next one.
func (p *tracPeer) Misbehave(rules ...misbehaviour) {
	p.t.Helper()
	for _, rule := range rules {
		p.mustPost("/misbehave", rule)
	}
}

// Reset removes every rule, and what is held goes on.
func (p *tracPeer) Reset() {
	p.t.Helper()
	p.mustPost("/reset", struct{}{})
}

// Expire ends every session of the peer: "expired" as too old, "purged" as forgotten.
func (p *tracPeer) Expire(kind string) {
	p.t.Helper()
	p.mustPost("/expire", map[string]string{"kind": kind})
}

// StopClock stops the peer's clock at a moment.
func (p *tracPeer) StopClock(at time.Time) {
	p.t.Helper()
	p.mustPost("/clock", map[string]int64{"at": at.Unix()})
}

// ShiftClock lets the peer's clock run, so far ahead of this machine's.
func (p *tracPeer) ShiftClock(ahead time.Duration) {
	p.t.Helper()
	p.mustPost("/clock", map[string]float64{"offset": ahead.Seconds()})
}

// Shutdown ends the peer: afterwards its address refuses connections.
func (p *tracPeer) Shutdown() {
	p.t.Helper()
	p.mustPost("/shutdown", struct{}{})
	err := <-p.exited
	p.exited <- err // For the clean-up, which waits for it too.
	if err != nil {
		p.t.Fatalf("the tracker peer ended with %v", err)
	}
}

func (p *tracPeer) mustPost(path string, request any) {
	p.t.Helper()
	if err := p.post(path, request); err != nil {
		p.t.Fatalf("%s: %v", path, err)
	}
}

func (p *tracPeer) post(path string, request any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	response, err := p.client.Post(p.Control+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	return readControlAnswer(response, &struct{}{})
}

// readControlAnswer decodes an answer of the control interface, whose refusals are errors.
func readControlAnswer(response *http.Response, into any) error {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the peer answered %s: %s", response.Status, body)
	}
	return json.Unmarshal(body, into)
}

func TestTracPeerStartsAsItsOptionsSay(t *testing.T) {
	authority := startTokenAuthority(t)
	inIndia := 5*time.Hour + 30*time.Minute
	peer := startTracPeer(t, tracPeerOptions{
		CallbackRoot:   authority.URL,
		Base:           "/deep/trac",
		TimezoneOffset: &inIndia,
		ClockOffset:    48 * time.Hour,
		CookieLifetime: time.Minute,
	})
	visitor := newTracVisitor(peer)
	if status := visitor.logIn(t, "goodFirst"); status != http.StatusOK {
		t.Fatalf("log-in answered %d", status)
	}
	answer := visitor.call(t.Context(), timeCall)
	if date, err := http.ParseTime(answer.header.Get("Date")); err != nil || time.Until(date) < 47*time.Hour {
		t.Errorf("a clock that is two days ahead says %v (%v)", date, err)
	}
	match := regexp.MustCompile(`<int>(\d+)</int></value>\s*<value><int>(\d+)</int>`).FindStringSubmatch(answer.body)
	if match == nil {
		t.Fatalf("the time is %q", answer.body)
	}
	local, _ := strconv.ParseInt(match[1], 10, 64)
	utc, _ := strconv.ParseInt(match[2], 10, 64)
	if ahead := time.Duration(local-utc) * time.Second; ahead != inIndia {
		t.Errorf("local time is %v ahead of UTC, want %v", ahead, inIndia)
	}
	if !strings.HasSuffix(peer.URL, "/deep/trac") {
		t.Errorf("the base is %s", peer.URL)
	}
	peer.ShiftClock(48*time.Hour + 2*time.Minute)
	if answer := visitor.call(t.Context(), timeCall); answer.status != http.StatusForbidden {
		t.Errorf("a call with a cookie that is too old answered %d", answer.status)
	}
}
