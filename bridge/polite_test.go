package bridge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// answering is a tracker behind the transport: it answers as it is told.
type answering struct {
	status int
	header http.Header
	body   io.Reader
	err    error
	asked  int
}

func (a *answering) RoundTrip(req *http.Request) (*http.Response, error) {
	a.asked++
	if a.err != nil {
		return nil, a.err
	}
	body := a.body
	if body == nil {
		body = strings.NewReader("answer")
	}
	return &http.Response{StatusCode: a.status, Header: a.header.Clone(), Body: io.NopCloser(body), Request: req}, nil
}

// politely makes a transport in front of a tracker, and what sends one request
// and reads the answer to its end.
func politely(t *testing.T, a *answering, c Config) (*politeTransport, func(context.Context) error) {
	t.Helper()
	p := newPoliteTransport(a, c, &options{
		now: time.Now, logger: slog.New(slog.DiscardHandler), timeLimit: DefaultTimeLimit, connections: DefaultConnections,
		breakAfter: DefaultBreakAfter, breakFor: DefaultBreakFor,
	})
	return p, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tracker.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := p.RoundTrip(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
}

func wantHeld(t *testing.T, err error, until time.Time) {
	t.Helper()
	held := new(heldError)
	if !errors.As(err, &held) || !held.until.Equal(until) {
		t.Fatalf("%v, want a request that is not sent before %v", err, until)
	}
	if known := apierror.From(classify(err, nil)); known.Name() != apierror.TrackerUnavailable || known.RetryAfter() != held.wait ||
		!strings.Contains(known.FaultString(), shownTime(until)) {
		t.Errorf("a caller hears %v", known)
	}
}

func TestADeadTrackerIsLeftAloneAndFoundOutWhenItAnswersAgain(t *testing.T) {
	for name, dead := range map[string]*answering{
		"cannot be reached":  {err: errors.New("connection refused")},
		"a bad gateway":      {status: http.StatusBadGateway},
		"closed":             {status: http.StatusServiceUnavailable},
		"a gateway's limit":  {status: http.StatusGatewayTimeout},
		"breaks off answers": {status: http.StatusOK, body: iotest.ErrReader(io.ErrUnexpectedEOF)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, send := politely(t, dead, Config{})
				for range DefaultBreakAfter {
					_ = send(t.Context())
				}
				until := time.Now().Add(DefaultBreakFor)
				if dead.asked != DefaultBreakAfter || !p.held().Equal(until) {
					t.Fatalf("asked %d times, held until %v", dead.asked, p.held())
				}
				wantHeld(t, send(t.Context()), until)
				if dead.asked != DefaultBreakAfter {
					t.Error("it was asked although it is left alone")
				}
				time.Sleep(DefaultBreakFor + time.Nanosecond)
				_ = send(t.Context()) // one finds out that it is still dead
				if dead.asked != DefaultBreakAfter+1 {
					t.Errorf("asked %d times", dead.asked)
				}
				wantHeld(t, send(t.Context()), time.Now().Add(DefaultBreakFor))
				time.Sleep(DefaultBreakFor + time.Nanosecond)
				*dead = answering{status: http.StatusOK}
				for range 3 {
					if err := send(t.Context()); err != nil {
						t.Errorf("it answers again: %v", err)
					}
				}
				if !p.held().IsZero() {
					t.Errorf("held until %v", p.held())
				}
			})
		})
	}
}

func TestWhileOneRequestFindsOutOthersDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &answering{err: errors.New("connection refused")}
		p, send := politely(t, dead, Config{})
		for range DefaultBreakAfter {
			_ = send(t.Context())
		}
		time.Sleep(DefaultBreakFor + time.Nanosecond)
		finish, err := p.breaker.Load().Allow() // a request that takes its time
		if err != nil {
			t.Fatal(err)
		}
		wantHeld(t, send(t.Context()), time.Now().Add(time.Second))
		finish(nil)
	})
}

func TestWhatSaysNothingAboutATrackerDoesNotBreakItsCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			leaves bool // the caller, while the tracker is asked
			answer *answering
		}{
			"a caller that went away":     {true, &answering{err: context.Canceled}},
			"an address that is refused":  {false, &answering{err: &AddressError{Reason: "a loopback one"}}},
			"an error of its own":         {false, &answering{status: http.StatusInternalServerError}},
			"a page that is not there":    {false, &answering{status: http.StatusNotFound}},
			"a body that was not awaited": {true, &answering{status: http.StatusOK, body: iotest.ErrReader(context.Canceled)}},
		} {
			p, send := politely(t, tc.answer, Config{})
			for range DefaultBreakAfter * 2 {
				ctx, leave := context.WithCancel(t.Context())
				p.next = roundTrip(func(req *http.Request) (*http.Response, error) {
					if tc.leaves {
						leave()
					}
					return tc.answer.RoundTrip(req)
				})
				_ = send(ctx)
				leave()
			}
			if tc.answer.asked != DefaultBreakAfter*2 || !p.held().IsZero() {
				t.Errorf("%s: asked %d times, held until %v", name, tc.answer.asked, p.held())
			}
		}
	})
}

func TestATrackerThatWantsToBeLeftAloneIsLeftAlone(t *testing.T) {
	in := func(h http.Header) http.Header { return h }
	for name, tc := range map[string]struct {
		status int
		header func(now time.Time) http.Header
		wait   time.Duration
	}{
		"seconds":            {429, func(time.Time) http.Header { return in(http.Header{"Retry-After": {"120"}}) }, 2 * time.Minute},
		"a closed site":      {503, func(time.Time) http.Header { return in(http.Header{"Retry-After": {"3600"}}) }, time.Hour},
		"longer than a hour": {503, func(time.Time) http.Header { return in(http.Header{"Retry-After": {"86400"}}) }, MaxRetryAfter},
		"nothing said":       {429, func(time.Time) http.Header { return nil }, DefaultRetryAfter},
		"nonsense":           {429, func(time.Time) http.Header { return in(http.Header{"Retry-After": {"soon"}}) }, DefaultRetryAfter},
		"a date": {429, func(now time.Time) http.Header {
			return in(http.Header{"Retry-After": {now.UTC().Add(time.Minute).Format(http.TimeFormat)}})
		}, time.Minute},
		"a date of a clock that is wrong": {429, func(now time.Time) http.Header {
			wrong := now.UTC().Add(-5 * time.Hour)
			return in(http.Header{"Date": {wrong.Format(http.TimeFormat)}, "Retry-After": {wrong.Add(time.Minute).Format(http.TimeFormat)}})
		}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answering{status: tc.status, header: tc.header(time.Now())}
				p, send := politely(t, a, Config{})
				_ = send(t.Context())
				until := time.Now().Add(tc.wait)
				wantHeld(t, send(t.Context()), until)
				if a.asked != 1 || !p.held().Equal(until) {
					t.Errorf("asked %d times, held until %v", a.asked, p.held())
				}
				*a = answering{status: http.StatusOK}
				time.Sleep(tc.wait)
				if err := send(t.Context()); err != nil {
					t.Errorf("when the time has come: %v", err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a time that is over is no reason to wait
		a := &answering{status: 429, header: http.Header{"Retry-After": {"0"}}}
		if p, send := politely(t, a, Config{}); send(t.Context()) != nil || !p.held().IsZero() {
			t.Errorf("held until %v", p.held())
		}
	})
}

func TestRetryForgetsThatATrackerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{err: errors.New("connection refused")}
		p, send := politely(t, a, Config{})
		for range DefaultBreakAfter {
			_ = send(t.Context())
		}
		p.reset()
		*a = answering{status: 429, header: http.Header{"Retry-After": {"120"}}}
		_ = send(t.Context())
		p.reset()
		*a = answering{status: http.StatusOK}
		if err := send(t.Context()); err != nil || !p.held().IsZero() {
			t.Errorf("%v, held until %v", err, p.held())
		}
	})
}

func TestRequestsKeepThePaceThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{status: http.StatusOK}
		_, send := politely(t, a, Config{CallsPerSecond: 4})
		begun := time.Now()
		for range 12 { // a burst of four, and then four a second
			if err := send(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("12 requests took %v", took)
		}
		// One whose time would be up before its turn is told so at once.
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		wantHeld(t, send(short), time.Now().Add(time.Second))
		if a.asked != 12 {
			t.Errorf("asked %d times", a.asked)
		}
	})
}

func TestTheListShowsWhichTrackersAreLeftAlone(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close() // nobody listens there any more
	b, d := newBare(t, Config{URL: away.URL, AllowPrivate: true}, WithClock(func() time.Time { return now }), WithBreaker(2, time.Minute))
	for range 3 {
		_, _ = d.remote.Get(t.Context(), "x")
	}
	if s := b.List()[0]; s.Session != SessionDown || !s.NextTry.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", s)
	}
	if err := b.Retry(t.Context(), "t"); !apierror.Is(err, apierror.TrackerUnavailable) || strings.Contains(err.Error(), "trackers.retry") {
		t.Errorf("it was not tried: %v", err)
	}
}

// certificate makes a CA, a server's certificate for 127.0.0.1 and a client's.
func certificate(t *testing.T, serial int64, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"127.0.0.1"}, IsCA: parent == nil, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	template.IPAddresses = append(template.IPAddresses, []byte{127, 0, 0, 1})
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestATrackerWithACAAndAClientCertificateOfItsOwn(t *testing.T) {
	ca, caKey := certificate(t, 1, nil, nil)
	signer := caKey.PrivateKey.(*ecdsa.PrivateKey)
	_, serverCert := certificate(t, 2, ca, signer)
	_, clientCert := certificate(t, 3, ca, signer)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].SerialNumber.String())
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	for name, tc := range map[string]struct {
		config *tls.Config
		says   string
	}{
		"both":                    {&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{clientCert}}, ""},
		"none":                    {nil, "could not be verified"},
		"without its own":         {&tls.Config{RootCAs: pool}, "TRACKER_UNAVAILABLE"},
		"verification turned off": {&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{clientCert}}, "could not be verified"}, //nolint:gosec // that this changes nothing is what is tested
	} {
		_, d := newBare(t, Config{URL: server.URL, AllowPrivate: true, TLS: tc.config})
		page, err := d.remote.Get(t.Context(), "x")
		switch {
		case tc.says == "" && (err != nil || string(page.Body) != "3"):
			t.Errorf("%s: %v, %+v", name, err, page)
		case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// slowly makes a tracker take its time, as long as the caller has any.
func slowly(next http.RoundTripper, took time.Duration) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(took):
			return next.RoundTrip(req)
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

func TestCallersWithoutTimeDoNotBreakTheCircuitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{status: http.StatusOK}
		p, send := politely(t, a, Config{Connections: 1})
		p.next = slowly(a, 300*time.Millisecond)
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		for range DefaultBreakAfter { // their time was over before
			_ = send(late)
		}
		if a.asked != 0 {
			t.Errorf("asked %d times for nobody", a.asked)
		}
		var callers sync.WaitGroup
		for range 8 { // most are still waiting for the one connection when their time is over
			callers.Go(func() {
				hurried, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				_ = send(hurried)
			})
		}
		callers.Wait()
		if err := send(t.Context()); err != nil {
			t.Errorf("a caller with time: %v", err)
		}
	})
}

func TestATrackerThatStallsForAWholeCallIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{status: http.StatusOK}
		p, send := politely(t, a, Config{})
		p.next = slowly(a, time.Hour)
		for range DefaultBreakAfter {
			whole, cancel := context.WithTimeout(t.Context(), DefaultTimeLimit)
			_ = send(whole)
			cancel()
		}
		wantHeld(t, send(t.Context()), time.Now().Add(DefaultBreakFor))
	})
}

func TestNobodyWhoWaitedIsSentAfterATrackerWantsToBeLeftAlone(t *testing.T) {
	for name, c := range map[string]Config{
		"for the pace":     {CallsPerSecond: 1},
		"for a connection": {Connections: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answering{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {"60"}}}
				p, send := politely(t, a, c)
				p.next = slowly(a, 100*time.Millisecond)
				var callers sync.WaitGroup
				for range 4 {
					callers.Go(func() { _ = send(t.Context()) })
				}
				callers.Wait()
				if a.asked != 1 {
					t.Errorf("asked %d times", a.asked)
				}
			})
		})
	}
}

func TestALaterWordDoesNotShortenTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := politely(t, &answering{}, Config{})
		begun := time.Now()
		p.listen(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"600"}}})
		p.listen(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"5"}}})
		if !p.held().Equal(begun.Add(10 * time.Minute)) {
			t.Errorf("held until %v", p.held())
		}
	})
}

func TestADeadTrackerAnswersAtOnceWhateverThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answering{err: errors.New("connection refused")}
		_, send := politely(t, a, Config{CallsPerSecond: 0.1})
		for range DefaultBreakAfter {
			_ = send(t.Context())
		}
		begun := time.Now()
		wantHeld(t, send(t.Context()), begun.Add(DefaultBreakFor))
		if took := time.Since(begun); took != 0 {
			t.Errorf("the answer took %v", took)
		}
	})
}

func TestPacesThatCannotBeKeptAreRefused(t *testing.T) {
	for _, c := range []Config{{CallsPerSecond: -1}, {CallsPerSecond: math.Inf(1)}, {CallsPerSecond: math.NaN()}, {CallsPerSecond: MaxCallsPerSecond + 1}, {Connections: -1}} {
		c.Name, c.URL, c.Dialect = "t", "http://tracker.test", "bare"
		b, err := New([]Config{c}, []Named{{Name: "bare", New: func(*Remote) (Dialect, error) { return &bare{}, nil }}}, nil, nil)
		if err == nil {
			b.Close()
			t.Errorf("%+v was taken", c.CallsPerSecond)
		}
	}
}
