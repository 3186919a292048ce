// Package demo shows the gateway's whole round trip on one machine: a gateway,
// a small tracker and a client, with the real messages between them.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/gateway"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/xmlrpc"
)

// stepTimeout bounds each message of the demonstration.
const stepTimeout = 20 * time.Second

// Run runs the demonstration on free loopback ports and in a directory that is
// removed afterwards, and prints it to out. It fails when a step does not end
// as it should.
func Run(ctx context.Context, out io.Writer, version string) (err error) {
	d := &demo{out: out}
	callbacks := &http.Client{Timeout: stepTimeout, Transport: &printer{demo: d, from: "tracker", to: "gateway", next: &http.Transport{}}}
	t, err := startTracker(callbacks)
	if err != nil {
		return fmt.Errorf("the demonstration tracker: %w", err)
	}
	defer t.close()
	dir, err := os.MkdirTemp("", "trackgate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := config.Load(config.Source{Sets: []string{
		"private.listen=127.0.0.1:0", "public.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0",
	}})
	if err != nil {
		return err
	}
	var loopback config.Network
	if err := loopback.UnmarshalText([]byte("127.0.0.0/8")); err != nil {
		return err
	}
	cfg.Trackers = []config.Tracker{{
		Name: "demo", URL: t.url(), Dialect: "trac-launchpad", AllowPrivate: true, CallbackFrom: []config.Network{loopback},
	}}
	g, err := gateway.Open(ctx, cfg, gateway.Environment{DataDir: dir, Logger: slog.New(slog.DiscardHandler), Version: version})
	if err != nil {
		return err
	}
	t.setRoot(g.PublicURL())

	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(serving, func() error { return nil }) }()
	err = d.steps(ctx, "http://"+g.Addresses().Private, g.PublicURL(), t.url())
	stop()
	if stopErr := <-ended; err == nil {
		err = stopErr
	}
	if err == nil {
		d.say("\nThat is all: no password was needed, and each token worked once.\n")
	}
	return err
}

// demo prints the steps; the messages come from several goroutines.
type demo struct {
	mu     sync.Mutex
	out    io.Writer
	number int
}

func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, format, args...)
}

func (d *demo) step(title string) {
	d.number++
	d.say("\n== %d. %s\n", d.number, title)
}

func (d *demo) steps(ctx context.Context, private, public, tracker string) error {
	client := &http.Client{Timeout: stepTimeout, Transport: &printer{demo: d, from: "client", to: "gateway", next: &http.Transport{DisableKeepAlives: true}}}
	visitor := &http.Client{Timeout: stepTimeout, Transport: &printer{demo: d, from: "client", to: "tracker", next: &http.Transport{DisableKeepAlives: true}}}
	stranger := &http.Client{Timeout: stepTimeout, Transport: &printer{demo: d, from: "stranger", to: "gateway", next: &http.Transport{DisableKeepAlives: true}}}

	bugs, err := xmlrpc.NewClient(private+"/bugs", xmlrpc.WithHTTPClient(client))
	if err != nil {
		return err
	}
	all, err := xmlrpc.NewClient(private+"/RPC2", xmlrpc.WithHTTPClient(client))
	if err != nil {
		return err
	}
	var token string
	d.step("A program on the private network asks for a token, over XML-RPC.")
	if err := bugs.Call(ctx, "newBugTrackerToken", &token); err != nil {
		return err
	}
	d.step("It hands the token to the tracker, which asks the gateway whether it is good: 200, once.")
	if err := expect(ctx, visitor, http.MethodGet, tracker+"/launchpad-auth/"+token, http.StatusOK); err != nil {
		return err
	}
	d.step("Whoever comes with the same token again is refused: 410.")
	if err := expect(ctx, stranger, http.MethodPost, public+handshake.CallbackPath("", token), http.StatusGone); err != nil {
		return err
	}
	d.step("A new token, asked for with GET: 405, and the token stays live.")
	if err := bugs.Call(ctx, "newBugTrackerToken", &token); err != nil {
		return err
	}
	if err := expect(ctx, stranger, http.MethodGet, public+handshake.CallbackPath("", token), http.StatusMethodNotAllowed); err != nil {
		return err
	}
	d.step("The program reads a bug. The bridge logs in to the tracker by itself, with a token of its own.")
	var answer struct {
		Bugs []struct {
			Title string `xmlrpc:"title"`
			State string `xmlrpc:"state"`
		} `xmlrpc:"bugs"`
	}
	if err := all.Call(ctx, "trackers.getBugs", &answer, "demo", []string{"1"}); err != nil {
		return err
	}
	if len(answer.Bugs) != 1 || answer.Bugs[0].Title == "" {
		return fmt.Errorf("the bug did not come back: %+v", answer)
	}
	d.step("It writes a comment. The session of before is used again.")
	var id string
	if err := all.Call(ctx, "trackers.addComment", &id, "demo", "1", "The fire is out.", "Bob <bob@example.com>"); err != nil {
		return err
	}
	d.step("And reads it back.")
	var read struct {
		Comments []struct {
			Text string `xmlrpc:"text"`
		} `xmlrpc:"comments"`
	}
	if err := all.Call(ctx, "trackers.getComments", &read, "demo", "1", []string{id}); err != nil {
		return err
	}
	if len(read.Comments) != 1 || !strings.Contains(read.Comments[0].Text, "The fire is out.") {
		return fmt.Errorf("the comment did not come back: %+v", read)
	}
	return nil
}

func expect(ctx context.Context, c *http.Client, method, url string, status int) error {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != status {
		return fmt.Errorf("%s was answered %s, not %d", method, res.Status, status)
	}
	return nil
}
