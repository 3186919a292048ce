package xmlrpc_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

const pongDocument = `<?xml version="1.0"?><methodResponse><params><param><value><string>pong</string></value></param></params></methodResponse>`

// response makes the bytes of an HTTP/1.1 response after which the connection ends.
func response(status int, contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Status\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		status, contentType, len(body), body)
}

// keptResponse is a pong after which the connection seems to stay open.
var keptResponse = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(pongDocument), pongDocument)

func TestTheClientSendsWhatOldServersRead(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	var got string
	err := newClient(t, server.url+"?a=b").Call(t.Context(), "some.method", &got, 1, "two", []byte("three"))
	if err != nil || got != "pong" {
		t.Fatalf("got %q, error %v", got, err)
	}
	req := server.requests[0]
	if req.Method != http.MethodPost || req.RequestURI != "/rpc?a=b" || req.ContentLength != int64(len(server.bodies[0])) || len(req.TransferEncoding) != 0 {
		t.Errorf("%s %s, length %d, coding %v", req.Method, req.RequestURI, req.ContentLength, req.TransferEncoding)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/xml", "User-Agent": "trackgate-xmlrpc", "Accept-Encoding": "gzip", "Authorization": "", "Cookie": "", "Expect": "",
	} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	call, err := xmlrpc.ParseCall([]byte(server.bodies[0]))
	if err != nil || call.Method != "some.method" || call.NumParams() != 3 {
		t.Errorf("the server reads %v, error %v", call, err)
	}
}

func TestOptionsOfACopyLeaveTheClientAsItWas(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	plainClient := newClient(t, server.url)
	basic := newClient(t, strings.Replace(server.url, "http://", "http://us%20er:pa%3Ass@", 1))
	cookies := []*http.Cookie{{Name: "a", Value: "1", Path: "/elsewhere"}, {Name: "b", Value: "2"}}
	changed := plainClient.With(xmlrpc.WithBearer("token"), xmlrpc.WithUserAgent("other"), xmlrpc.WithCookies(cookies...))
	cookies[0] = &http.Cookie{Name: "c", Value: "3"}
	encoded := base64.StdEncoding.EncodeToString([]byte("us er:pa:ss"))
	for _, c := range []struct {
		client               *xmlrpc.Client
		auth, agent, cookies string
	}{
		{plainClient, "", "trackgate-xmlrpc", ""},
		{changed, "Bearer token", "other", "a=1; b=2"},
		{changed.With(xmlrpc.WithBasicAuth("us er", "pa:ss")), "Basic " + encoded, "other", "a=1; b=2"},
		{basic, "Basic " + encoded, "trackgate-xmlrpc", ""},
		{basic.With(xmlrpc.WithBearer("token")), "Bearer token", "trackgate-xmlrpc", ""},
		{plainClient, "", "trackgate-xmlrpc", ""},
	} {
		if err := c.client.Call(t.Context(), "m", nil); err != nil {
			t.Fatal(err)
		}
		header := server.requests[len(server.requests)-1].Header
		if header.Get("Authorization") != c.auth || header.Get("User-Agent") != c.agent || header.Get("Cookie") != c.cookies {
			t.Errorf("got %v, want %v", header, c)
		}
	}
}

func TestACookieThatIsSetIsSeenButNotKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1"})
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		_, _ = io.WriteString(w, pongDocument)
	}))
	t.Cleanup(server.Close)
	var seen []string
	client := newClient(t, server.URL, xmlrpc.WithOnResponse(func(status int, header http.Header) {
		seen = append(seen, fmt.Sprint(status, header.Get("Set-Cookie"), header.Get("X-Cookie")))
	}))
	for range 2 {
		if err := client.Call(t.Context(), "m", nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(seen, "|"); got != "200sid=1|200sid=1" {
		t.Errorf("saw %s", got)
	}
}

func TestADocumentMadeElsewhereIsSentAsItIs(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	doc := []byte("  <anything at=all>\r\n")
	if err := newClient(t, server.url).Send(t.Context(), doc, nil); err != nil {
		t.Fatal(err)
	}
	if server.bodies[0] != string(doc) {
		t.Errorf("the server got %q", server.bodies[0])
	}
	if err := newClient(t, server.url).Send(t.Context(), nil, nil); err == nil {
		t.Error("an empty document was sent")
	}
}

func TestAURLThatCannotServeIsRefusedWithoutBeingShown(t *testing.T) {
	for _, url := range []string{"", "localhost:80", "ftp://host/hunter2", "http://", "http:///hunter2", "http://user:hunter2 @host", "http://user:hunter2/x@host:99x", "\x00hunter2"} {
		_, err := xmlrpc.NewClient(url)
		if err == nil {
			t.Errorf("%q is taken", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the URL: %v", err)
		}
	}
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	client := newClient(t, server.url)
	for _, err := range []error{
		client.Call(t.Context(), "m", nil, make(chan int)),
		client.Call(t.Context(), "m</methodName><x>", nil),
	} {
		var encode *xmlrpc.EncodeError
		if !errors.As(err, &encode) || server.count() != 0 {
			t.Errorf("error %v, %d requests", err, server.count())
		}
	}
}

func TestAResultThatDoesNotFitIsTheCallersError(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	var number int
	err := newClient(t, server.url).Call(t.Context(), "m", &number)
	var decode *xmlrpc.DecodeError
	var answer *xmlrpc.AnswerError
	if !errors.As(err, &decode) || errors.As(err, &answer) {
		t.Errorf("got error %v (%T)", err, err)
	}
}

func TestNilAndI8AreSentOnlyToServersThatReadThem(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	client := newClient(t, server.url)
	param := map[string]any{"n": nil, "l": int64(1) << 40}
	for _, c := range []*xmlrpc.Client{client, client.With(xmlrpc.WithClientFeatures(xmlrpc.Features{Nil: true, I8: true}))} {
		if err := c.Call(t.Context(), "m", nil, param); err != nil {
			t.Fatal(err)
		}
	}
	if has := strings.Contains(server.bodies[0], "<nil/>") || strings.Contains(server.bodies[0], "<i8>"); has {
		t.Errorf("sent without being asked: %s", server.bodies[0])
	}
	if has := strings.Contains(server.bodies[1], "<nil/>") && strings.Contains(server.bodies[1], "<i8>"); !has {
		t.Errorf("not sent: %s", server.bodies[1])
	}
}

func TestAFaultIsReadUnderEveryStatusWhenItComesAsXML(t *testing.T) {
	doc := string(xmlrpc.AppendFault(nil, 42, "no & never"))
	words := strings.Replace(doc, "<int>42</int>", "<string>Client.Auth</string>", 1)
	for _, c := range []struct {
		status      int
		contentType string
		body        string
		want        string
	}{
		{200, "text/xml", doc, "fault 42"},
		{200, "text/html", doc, "fault 42"},
		{200, "text/xml", words, "fault Client.Auth"},
		{500, "text/xml", doc, "fault 42"},
		{403, "application/xml; charset=utf-8", doc, "fault 42"},
		{401, "application/soap+xml", doc, "fault 42"},
		{500, "text/html", doc, "status 500"},
		{500, "text/xml", pongDocument, "status 500"},
		{500, "text/xml", "<broken", "status 500"},
		{503, "text/xml", "", "status 503"},
	} {
		var got any
		err := newClient(t, serveBytes(t, response(c.status, c.contentType, c.body)).url).Call(t.Context(), "m", &got)
		var fault *xmlrpc.Fault
		var status *xmlrpc.HTTPError
		outcome := fmt.Sprint(err)
		switch {
		case errors.As(err, &fault) && fault.CodeText != "":
			outcome = "fault " + fault.CodeText
		case errors.As(err, &fault):
			outcome = fmt.Sprint("fault ", fault.Code)
		case errors.As(err, &status):
			outcome = fmt.Sprint("status ", status.StatusCode)
		}
		if outcome != c.want || got != nil {
			t.Errorf("%d %s: %s and value %v, want %s", c.status, c.contentType, outcome, got, c.want)
		}
		if isFault := strings.HasPrefix(c.want, "fault"); c.status != 200 && isFault {
			if !errors.As(err, &status) || status.StatusCode != c.status || status.Header.Get("Content-Type") != c.contentType || !strings.HasPrefix(doc, string(status.Body)) {
				t.Errorf("%d %s: the status is lost in %v", c.status, c.contentType, err)
			}
			if !strings.Contains(err.Error(), "no & never") {
				t.Errorf("%v does not say what the fault says", err)
			}
		}
	}
}

func TestAFailureWhoseBodyStallsIsReportedWithoutWaitingForItsEnd(t *testing.T) {
	for _, contentType := range []string{"text/html", "text/xml"} {
		synctest.Test(t, func(t *testing.T) {
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{
					StatusCode: 503, Request: r, ContentLength: 100, Header: http.Header{"Content-Type": {contentType}},
					Body: io.NopCloser(io.MultiReader(strings.NewReader("<busy"), stalled{r.Context()})),
				}, nil
			})
			client := newClient(t, "http://127.0.0.1/", xmlrpc.WithHTTPClient(&http.Client{Transport: transport}))
			begun := time.Now()
			err := client.Call(t.Context(), "m", nil)
			var status *xmlrpc.HTTPError
			if !errors.As(err, &status) || status.StatusCode != 503 || string(status.Body) != "<busy" {
				t.Errorf("%s: got error %v", contentType, err)
			}
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%s: the call took %v", contentType, took)
			}
		})
	}
}

func TestAPageWithoutEndUnderASuccessIsNotWaitedFor(t *testing.T) {
	for _, tc := range []struct {
		body io.Reader
		took time.Duration
		fine bool
	}{
		{strings.NewReader("<p>no XML-RPC here"), time.Second, false},
		{&dripping{[]byte(pongDocument)}, time.Duration(len(pongDocument)) * 500 * time.Millisecond, true}, // a script's that forgot to say what it is
	} {
		synctest.Test(t, func(t *testing.T) {
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				body := tc.body
				if !tc.fine {
					body = io.MultiReader(body, stalled{r.Context()})
				}
				return &http.Response{
					StatusCode: 200, Request: r, ContentLength: -1, Header: http.Header{"Content-Type": {"Text/HTML; charset=utf-8"}}, Body: io.NopCloser(body),
				}, nil
			})
			client := newClient(t, "http://127.0.0.1/", xmlrpc.WithHTTPClient(&http.Client{Transport: transport}), xmlrpc.WithTimeLimit(0))
			begun := time.Now()
			err := client.Call(t.Context(), "m", nil)
			var answer *xmlrpc.AnswerError
			if tc.fine != (err == nil) || !tc.fine && (!errors.As(err, &answer) || !strings.Contains(string(answer.Body), "no XML-RPC here")) {
				t.Errorf("got error %v", err)
			}
			if took := time.Since(begun); took != tc.took {
				t.Errorf("the call took %v, want %v", took, tc.took)
			}
		})
	}
}

// dripping is a body that comes slowly.
type dripping struct{ rest []byte }

func (d *dripping) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	time.Sleep(500 * time.Millisecond)
	n := copy(p[:1], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// stalled is a body that sends nothing more until the call is given up.
type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestADestinationThatIsNoPointerIsTheCallersError(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	var answer *xmlrpc.AnswerError
	for _, result := range []any{"", (*string)(nil), new(chan int)} {
		err := newClient(t, server.url).Call(t.Context(), "m", result)
		var decode *xmlrpc.DecodeError
		if !errors.As(err, &decode) || errors.As(err, &answer) || decode.Path() != "result" {
			t.Errorf("%T: got error %v (%T)", result, err, err)
		}
	}
}

func TestACallIsWrittenAsTheOptionsSay(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	client := newClient(t, server.url, xmlrpc.WithClientEncoding(xmlrpc.WithForbidden(xmlrpc.DropForbidden)))
	refusing := client.With(xmlrpc.WithClientEncoding(xmlrpc.WithForbidden(xmlrpc.RefuseForbidden)))
	both := client.With(xmlrpc.WithClientFeatures(xmlrpc.Features{Nil: true}))
	if err := refusing.Call(t.Context(), "m", nil, "a\x01b"); err == nil {
		t.Error("a forbidden character was sent")
	}
	for _, c := range []*xmlrpc.Client{client, both} {
		if err := c.Call(t.Context(), "m", nil, "a\x01b", nil); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(server.bodies[0], "<string>ab</string>") || strings.Contains(server.bodies[0], "nil") {
		t.Errorf("sent %s", server.bodies[0])
	}
	if !strings.Contains(server.bodies[1], "<string>ab</string>") || !strings.Contains(server.bodies[1], "<nil/>") {
		t.Errorf("sent %s", server.bodies[1])
	}
}

func TestAnErrorKeepsTheFirst512BytesOfTheBody(t *testing.T) {
	body := strings.Repeat("0123456789", 1000)
	for _, status := range []int{200, 403, 500} {
		for _, contentType := range []string{"text/html", "text/xml"} {
			err := newClient(t, serveBytes(t, response(status, contentType, body)).url).Call(t.Context(), "m", nil)
			var kept []byte
			var asHTTP *xmlrpc.HTTPError
			var asAnswer *xmlrpc.AnswerError
			switch {
			case errors.As(err, &asHTTP) && asHTTP.StatusCode == status && asHTTP.Header.Get("Content-Type") == contentType:
				kept = asHTTP.Body
			case status == 200 && errors.As(err, &asAnswer) && asAnswer.ContentType == contentType:
				kept = asAnswer.Body
			}
			if string(kept) != body[:512] {
				t.Errorf("%d %s: error %v keeps %d bytes", status, contentType, err, len(kept))
			}
			if strings.Contains(err.Error(), "0123456789") {
				t.Errorf("the error's text shows the body: %v", err)
			}
		}
	}
}

func TestACompressedAnswerIsRead(t *testing.T) {
	for coding, body := range map[string]string{
		"gzip":    compressed(t, pongDocument, gzipTo),
		"x-gzip":  compressed(t, pongDocument, gzipTo),
		"deflate": compressed(t, pongDocument, zlibTo),
		"Deflate": compressed(t, pongDocument, flateTo),
	} {
		server := serveBytes(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n%s", coding, body))
		var got string
		if err := newClient(t, server.url).Call(t.Context(), "m", &got); err != nil || got != "pong" {
			t.Errorf("%s: got %q, error %v", coding, got, err)
		}
	}
}

func TestARedirectIsAnErrorUnlessTheHTTPClientFollowsIt(t *testing.T) {
	target := serveBytes(t, response(200, "text/xml", pongDocument))
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := serveBytes(t, fmt.Sprintf("HTTP/1.1 %d Moved\r\nConnection: close\r\nLocation: %s/secret-token\r\nContent-Length: 0\r\n\r\n", status, target.url))
		before := target.count()
		err := newClient(t, server.url).Call(t.Context(), "m", nil)
		var asHTTP *xmlrpc.HTTPError
		if !errors.As(err, &asHTTP) || asHTTP.StatusCode != status || target.count() != before {
			t.Errorf("%d: error %v, %d requests at the target", status, err, target.count()-before)
		}
		if strings.Contains(err.Error(), "secret-token") {
			t.Errorf("the error shows the Location: %v", err)
		}

		following := newClient(t, server.url, xmlrpc.WithHTTPClient(&http.Client{}))
		err = following.Call(t.Context(), "m", nil)
		var asAnswer *xmlrpc.AnswerError
		if status < 307 && !errors.As(err, &asAnswer) {
			t.Errorf("%d followed with a GET: error %v", status, err)
		}
		if status >= 307 && !errors.As(err, &asHTTP) {
			t.Errorf("%d: error %v", status, err)
		}
		for _, body := range target.bodies {
			if body != "" {
				t.Errorf("%d: the call was sent on", status)
			}
		}
	}
}

func TestClientsCanBeUsedByManyAtOnce(t *testing.T) {
	server := httptest.NewServer(xmlrpc.NewHandler(echoRegistry(t)))
	t.Cleanup(server.Close)
	client := newClient(t, server.URL)
	errs := make(chan error)
	for i := range 32 {
		go func() {
			want := strings.Repeat(fmt.Sprint(i), 100*i+1)
			var got []string
			err := client.Call(context.Background(), "bridge.echo", &got, want)
			if err == nil && (len(got) != 1 || got[0] != want) {
				err = fmt.Errorf("call %d got another's answer", i)
			}
			errs <- err
		}()
	}
	for range 32 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnswerThatComesBeforeTheCallIsSentIsRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		if _, err := r.ReadString('\n'); err == nil {
			_, _ = io.WriteString(conn, response(413, "text/html", "too large"))
		}
		_, _ = io.Copy(io.Discard, r)
		_ = conn.Close()
	}()
	err = newClient(t, "http://"+listener.Addr().String()).Call(t.Context(), "m", nil, strings.Repeat("x", 1<<20))
	var asHTTP *xmlrpc.HTTPError
	if !errors.As(err, &asHTTP) || asHTTP.StatusCode != 413 {
		t.Errorf("got error %v", err)
	}
}
