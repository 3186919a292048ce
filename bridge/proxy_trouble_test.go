package bridge

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

func TestFaultsOfTheTrackerPassAsTheyCame(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	const head = `<?xml version="1.0" encoding="UTF-8"?><methodResponse><fault>`
	for name, tc := range map[string]struct {
		status int
		fault  string
	}{
		"a code in words":    {200, head + `<value><struct><member><name>faultCode</name><value><string>Client</string></value></member><member><name>faultString</name><value><string>No &amp; so</string></value></member></struct></value></fault></methodResponse>`},
		"under HTTP 500":     {500, head + `<value><struct><member><name>faultString</name><value>x</value></member> <member><name>faultCode</name><value><int>32000</int></value></member></struct></value></fault></methodResponse>`},
		"one we cannot read": {200, head + `<value><odd/></value></fault></methodResponse>`},
	} {
		b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.fault)
		}
		for _, method := range []string{"Bug.get", "Bug.create"} {
			if resp, body := b.post(call(method)); resp.StatusCode != 200 || body != tc.fault {
				t.Errorf("%s: HTTP %d, %s", name, resp.StatusCode, body)
			}
		}
	}
}

func TestAFaultUnderAnErrorStatusKeepsItsTextHoweverItIsCompressed(t *testing.T) {
	fault := string(xmlrpc.AppendFault(nil, 51, "There is no bug like that"))
	var framed bytes.Buffer
	z := zlib.NewWriter(&framed)
	_, _ = io.WriteString(z, fault)
	_ = z.Close()
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	for coding, body := range map[string]string{"": fault, "identity": fault, "gzip": gzipOf(fault), "deflate": framed.String()} {
		b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
			w.Header().Set("Content-Encoding", coding)
			page(500, "text/xml", body)(w, r, c)
		}
		for _, method := range []string{"Bug.get", "Bug.create"} {
			if _, got := b.post(call(method)); got != fault {
				t.Errorf("%q, %s: %s", coding, method, got)
			}
		}
	}
	for name, body := range map[string]string{
		"a bomb": gzipOf(strings.Repeat(" ", 1<<20) + fault), "cut off": gzipOf(fault)[:40], "without a head": gzipOf(fault)[:5], "not compressed": fault,
	} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithMaxAnswer(4000))
		b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
			w.Header().Set("Content-Encoding", "gzip")
			page(500, "text/xml", body)(w, r, c)
		}
		if got := b.fault(call("Bug.get")); !strings.HasPrefix(got.String, "TRACKER_BAD_ANSWER: ") || !strings.Contains(got.String, "HTTP 500") {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatIsNoAnswerBecomesAFaultOfTheCatalogue(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithMaxAnswer(4000), WithTimeLimit(5*time.Second), WithBreaker(1000, time.Hour))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	defer elsewhere.Close()
	const unknown = "OUTCOME_UNKNOWN"
	large := response("<string>" + strings.Repeat("x", 4000) + "</string>")
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, c seen)
		read   string // the fault of a read
		write  string // that of a write
	}{
		"HTML 500":  {page(500, "text/html", "<html><body>Software error: <b>no</b></body></html>"), "TRACKER_BAD_ANSWER", unknown},
		"HTML 404":  {page(404, "text/html", "<html>Not here</html>"), "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
		"HTML 200":  {page(200, "text/html", "<html><body>hi</body></html>"), "TRACKER_BAD_ANSWER", unknown},
		"empty":     {page(200, "text/xml", ""), "TRACKER_BAD_ANSWER", unknown},
		"half":      {page(200, "text/xml", trueAnswer[:80]), "TRACKER_BAD_ANSWER", unknown},
		"a DOCTYPE": {page(200, "text/xml", "<!DOCTYPE a [<!ENTITY t 'token'>]>"+trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"too large": {page(200, "text/xml", large), "TRACKER_BAD_ANSWER", unknown},
		"too large without a length": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			_ = http.NewResponseController(w).Flush()
			writeXML(w, large)
		}, "TRACKER_BAD_ANSWER", unknown},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Encoding", "gzip")
			writeXML(w, gzipOf(strings.Repeat(" ", 1<<20)+trueAnswer))
		}, "TRACKER_BAD_ANSWER", unknown},
		"unknown compression": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Encoding", "br")
			writeXML(w, "x")
		}, "TRACKER_BAD_ANSWER", unknown},
		"a length too long":             {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9999\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"within the limit, but cut off": {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 3999\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"a length too short":            {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 50\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"a closed connection":           {raw(""), "TRACKER_UNAVAILABLE", unknown},
		"no HTTP":                       {raw("hello\r\n\r\n"), "TRACKER_BAD_ANSWER", unknown},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request, _ seen) {
			http.Redirect(w, r, elsewhere.URL+"/xmlrpc.cgi", http.StatusTemporaryRedirect)
		}, "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
		"a redirect to a page": {func(w http.ResponseWriter, r *http.Request, _ seen) {
			http.Redirect(w, r, "/base/login", http.StatusFound)
		}, "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
	} {
		b.answer = tc.answer
		for method, want := range map[string]string{"Bug.get": tc.read, "Bug.create": tc.write} {
			before := len(b.requests())
			fault := b.fault(call(method))
			if !strings.HasPrefix(fault.String, want+": ") || strings.Contains(fault.String, "127.0.0.1") || strings.Contains(fault.String, "<") {
				t.Errorf("%s, %s: %v, want %s", name, method, fault, want)
			}
			if n := len(b.requests()) - before; method == "Bug.create" && n != 1 {
				t.Errorf("%s: the write was sent %d times", name, n)
			}
		}
	}
}

func page(status int, kind, body string) func(http.ResponseWriter, *http.Request, seen) {
	return func(w http.ResponseWriter, _ *http.Request, _ seen) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func raw(bytes string) func(http.ResponseWriter, *http.Request, seen) {
	return func(w http.ResponseWriter, _ *http.Request, _ seen) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, bytes)
		_ = conn.Close()
	}
}

// expiring makes the peer accept the newest session alone.
func (b *behindProxy) expiring(refuse func(w http.ResponseWriter)) {
	b.session = func(n int) *Session {
		return &Session{Cookies: []*http.Cookie{{Name: "sid", Value: fmt.Sprint("session-number-", n)}}}
	}
	valid := "session-number-1"
	var mu sync.Mutex
	b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
		mu.Lock()
		defer mu.Unlock()
		sid, _ := r.Cookie("sid")
		if strings.Contains(c.body, "Bug.expire") {
			valid = "session-number-2"
		} else if sid == nil || sid.Value != valid {
			refuse(w)
			return
		}
		writeXML(w, trueAnswer)
	}
}

func TestFiftyCallersThatMeetAnExpiredSessionMakeOneLogInAndRepeatOnce(t *testing.T) {
	const expiredFault = `<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>32000</int></value></member><member><name>faultString</name><value>over</value></member></struct></value></fault></methodResponse>`
	for name, tc := range map[string]struct {
		refuse  func(http.ResponseWriter)
		expired func(error) bool
	}{
		"by HTTP status": {func(w http.ResponseWriter) { http.Error(w, "no", http.StatusForbidden) }, func(err error) bool {
			status := new(xmlrpc.HTTPError)
			return errors.As(err, &status) && status.StatusCode == http.StatusForbidden
		}},
		"by fault": {func(w http.ResponseWriter) { writeXML(w, expiredFault) }, func(err error) bool {
			fault := new(xmlrpc.Fault)
			return errors.As(err, &fault) && fault.Code == 32000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithConnections(50))
			b.expired = tc.expired
			b.expiring(tc.refuse)
			if _, body := b.post(call("Bug.expire")); body != trueAnswer {
				t.Fatal(body)
			}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if _, body := b.post(call("Bug.create", "x")); body != trueAnswer {
						t.Error(body)
					}
				})
			}
			wg.Wait()
			if n := len(b.requests()); b.logins != 2 || n > 1+2*50 || n < 1+50+1 {
				t.Errorf("%d log-ins and %d calls", b.logins, n)
			}
		})
	}
}

func TestARefusalThatANewSessionDoesNotCureIsTheTrackersOwn(t *testing.T) {
	const refusal = `<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>403</int></value></member><member><name>faultString</name><value>TICKET_ADMIN is required</value></member></struct></value></fault></methodResponse>`
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.expired = func(err error) bool {
		fault := new(xmlrpc.Fault)
		return errors.As(err, &fault) && fault.Code == 403
	}
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) { writeXML(w, refusal) }
	for range 2 { // the second time the session is known to be good
		if _, body := b.post(call("Bug.delete")); body != refusal {
			t.Errorf("got %s", body)
		}
	}
	if b.logins != 2 {
		t.Errorf("%d log-ins, want 2", b.logins)
	}
}

func TestTheLogInsOwnTroubleIsAFaultOfTheCatalogue(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.bridge.trackers["t"].candidates[0].session.login = refuse
	resp, body := b.post(call("Bug.get"))
	if fault := b.readFault(resp, body); !strings.HasPrefix(fault.String, "TRACKER_LOGIN_FAILED: ") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v, header %v", fault, resp.Header)
	}
}

func TestAReadIsRepeatedWhenItsKeptConnectionWasClosed(t *testing.T) {
	for method, want := range map[string]string{"Bug.get": trueAnswer, "Bug.create": "OUTCOME_UNKNOWN"} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
		_, _ = b.post(call("Bug.get"))
		closed := false
		b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
			if !closed {
				closed = true
				raw("")(w, r, c)
				return
			}
			writeXML(w, trueAnswer)
		}
		if _, body := b.post(call(method)); !strings.Contains(body, want) {
			t.Errorf("%s: %s", method, body)
		}
	}
}

func TestACallerThatGoesAwayEndsTheCall(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	arrived, ended := make(chan struct{}), make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r *http.Request, _ seen) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.proxy.URL+"/trackers/t", strings.NewReader(call("Bug.get")))
	go func() { <-arrived; cancel() }()
	if resp, err := b.proxy.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an answer came")
	}
	<-ended
}

func TestATimeLimitHoldsForAnAnswerThatStalls(t *testing.T) {
	for name, head := range map[string]string{"before its head": "", "in its body": "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 200\r\n\r\n<method"} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithTimeLimit(200*time.Millisecond))
		b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, head)
			_, _ = conn.Read(make([]byte, 1)) // until the other side gives up
			_ = conn.Close()
		}
		if fault := b.fault(call("Bug.get")); !strings.HasPrefix(fault.String, "TRACKER_TIMEOUT: ") {
			t.Errorf("%s, a read: %v", name, fault)
		}
		if fault := b.fault(call("Bug.create")); !strings.HasPrefix(fault.String, "OUTCOME_UNKNOWN: ") {
			t.Errorf("%s, a write: %v", name, fault)
		}
	}
}
