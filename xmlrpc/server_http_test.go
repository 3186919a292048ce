package xmlrpc_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

const pingDocument = `<?xml version="1.0"?><methodCall><methodName>bridge.echo</methodName>` +
	`<params><param><value><string>ping</string></value></param></params></methodCall>`

func echoServer(t *testing.T, opts ...xmlrpc.HandlerOption) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(xmlrpc.NewHandler(echoRegistry(t), opts...))
	t.Cleanup(server.Close)
	return server
}

// post makes the bytes of a POST; head lines end with \r\n.
func post(head, body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

func wantPing(t *testing.T, answer rawAnswer) {
	t.Helper()
	got, ok := answer.wantValue(t).([]any)
	if !ok || len(got) != 1 || got[0] != "ping" {
		t.Errorf("got %v, want the string that was sent", got)
	}
}

func TestAPostIsServedWhateverItsHead(t *testing.T) {
	server := echoServer(t)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(pingDocument))
	for name, head := range map[string]string{
		"HTTP/1.0 without Host":              "POST / HTTP/1.0\r\nContent-Type: text/xml\r\n" + length,
		"HTTP/1.0 with keep-alive":           "POST / HTTP/1.0\r\nConnection: Keep-Alive\r\n" + length,
		"two Connection lines":               "POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n" + length,
		"Connection with TE":                 "POST / HTTP/1.1\r\nTE: deflate,gzip;q=0.3\r\nConnection: TE, close\r\nHost: x\r\n" + length,
		"no Content-Type":                    "POST / HTTP/1.1\r\nHost: x\r\n" + length,
		"empty Content-Type":                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Type:\r\n" + length,
		"application/xml":                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/xml\r\n" + length,
		"text/plain":                         "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n" + length,
		"a form type":                        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n" + length,
		"a multipart type":                   "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n" + length,
		"a Content-Type that is none":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: ;;; charset\r\n" + length,
		"a quoted charset":                   "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: TEXT/XML; Charset=\"UTF-8\"\r\n" + length,
		"a path and a query":                 "POST /some/where?a=b HTTP/1.1\r\nHost: x\r\n" + length,
		"cookies":                            "POST / HTTP/1.1\r\nHost: x\r\nCookie: login=bil bo; sid=a%20b%3Bc\r\n" + length,
		"Content-Encoding identity":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity\r\n" + length,
		"an Accept-Encoding it cannot serve": "POST / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, zstd\r\n" + length,
	} {
		t.Run(name, func(t *testing.T) {
			wantPing(t, sendRaw(t, server, []byte(head+"\r\n"+pingDocument)))
		})
	}
}

func TestTheCharsetOfTheContentTypeIsUsed(t *testing.T) {
	server := echoServer(t)
	body := strings.Replace(pingDocument, "ping", "caf\xe9", 1)
	answer := sendRaw(t, server, post("Content-Type: text/xml; charset=ISO-8859-1\r\n", body))
	if got := fmt.Sprint(answer.wantValue(t)); got != "[café]" {
		t.Errorf("got %s", got)
	}
	sendRaw(t, server, post("Content-Type: text/xml; charset=EBCDIC-X\r\n", body)).wantFault(t, xmlrpc.CodeUnsupportedEncoding)
}

func TestOneConnectionServesManyCalls(t *testing.T) {
	conn := dialServer(t, echoServer(t))
	r := bufio.NewReader(conn)
	for range 3 {
		if _, err := conn.Write(post("", pingDocument)); err != nil {
			t.Fatal(err)
		}
		wantPing(t, readRaw(t, r))
		if _, err := conn.Write(post("", "<nonsense")); err != nil {
			t.Fatal(err)
		}
		readRaw(t, r).wantFault(t, xmlrpc.CodeNotWellFormed)
	}
}

func TestACallerThatExpectsToBeAskedIsAsked(t *testing.T) {
	conn := dialServer(t, echoServer(t))
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(pingDocument))
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, error %v", line, err)
	}
	if line, err = r.ReadString('\n'); err != nil || line != "\r\n" {
		t.Fatalf("got %q, error %v", line, err)
	}
	if _, err := io.WriteString(conn, pingDocument); err != nil {
		t.Fatal(err)
	}
	wantPing(t, readRaw(t, r))
}

func TestACallerThatExpectsToBeAskedIsRefusedBeforeItSendsTooMuch(t *testing.T) {
	conn := dialServer(t, echoServer(t, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: 1000})))
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
	readRaw(t, bufio.NewReader(conn)).wantFault(t, xmlrpc.CodeInvalidRequest)
}

func TestAChunkedBodyIsRead(t *testing.T) {
	var b strings.Builder
	b.WriteString("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	for rest := pingDocument; rest != ""; {
		n := min(len(rest), 7)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	b.WriteString("0\r\n\r\n")
	wantPing(t, sendRaw(t, echoServer(t), []byte(b.String())))
}

// compressed makes a body with the writer's compression.
func compressed(t testing.TB, body string, writer func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var b bytes.Buffer
	w := writer(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipTo(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
func zlibTo(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
func flateTo(w io.Writer) io.WriteCloser {
	f, err := flate.NewWriter(w, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	return f
}

func TestCompressedBodiesAreRead(t *testing.T) {
	server := echoServer(t)
	for name, request := range map[string][]byte{
		"gzip":               post("Content-Encoding: gzip\r\n", compressed(t, pingDocument, gzipTo)),
		"x-gzip":             post("Content-Encoding: X-GZIP\r\n", compressed(t, pingDocument, gzipTo)),
		"deflate in zlib":    post("Content-Encoding: deflate\r\n", compressed(t, pingDocument, zlibTo)),
		"deflate raw":        post("Content-Encoding: deflate\r\n", compressed(t, pingDocument, flateTo)),
		"identity and gzip":  post("Content-Encoding: identity, gzip\r\n", compressed(t, pingDocument, gzipTo)),
		"an empty value":     post("Content-Encoding:\r\n", pingDocument),
		"gzip in two pieces": post("Content-Encoding: gzip\r\n", compressed(t, pingDocument[:20], gzipTo)+compressed(t, pingDocument[20:], gzipTo)),
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second time with readers that were used before
				wantPing(t, sendRaw(t, server, request))
			}
		})
	}
}

func TestABodyThatCannotBeReadIsAFaultThatSaysWhy(t *testing.T) {
	const limit = 2000
	server := echoServer(t, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: limit}))
	packed := compressed(t, pingDocument, gzipTo)
	bomb := compressed(t, strings.Repeat(" ", 1<<20), gzipTo)
	big := strings.Repeat(" ", limit+1)
	for name, c := range map[string]struct {
		request []byte
		code    int
		says    string
	}{
		"no body at all":        {post("", ""), xmlrpc.CodeNotWellFormed, ""},
		"not compressed at all": {post("Content-Encoding: gzip\r\n", pingDocument), xmlrpc.CodeNotWellFormed, "gzip"},
		"half a gzip stream":    {post("Content-Encoding: gzip\r\n", packed[:len(packed)/2]), xmlrpc.CodeNotWellFormed, "cut off"},
		"half a gzip head":      {post("Content-Encoding: gzip\r\n", packed[:5]), xmlrpc.CodeNotWellFormed, "cut off"},
		"an empty gzip body":    {post("Content-Encoding: gzip\r\n", ""), xmlrpc.CodeNotWellFormed, "cut off"},
		"an empty deflate body": {post("Content-Encoding: deflate\r\n", ""), xmlrpc.CodeNotWellFormed, "cut off"},
		"no deflate at all":     {post("Content-Encoding: deflate\r\n", pingDocument), xmlrpc.CodeNotWellFormed, "deflate"},
		"an unknown coding":     {post("Content-Encoding: br\r\n", pingDocument), xmlrpc.CodeTransportError, `"br"`},
		"two codings":           {post("Content-Encoding: gzip, gzip\r\n", packed), xmlrpc.CodeTransportError, "gzip, gzip"},
		"a byte too much":       {post("", big), xmlrpc.CodeInvalidRequest, "REQUEST_TOO_LARGE: the request body has more bytes than the limit Bytes, which is 2000"},
		"a byte too much, chunked": {
			fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big),
			xmlrpc.CodeInvalidRequest, "which is 2000",
		},
		"a byte too much once decompressed": {
			post("Content-Encoding: gzip\r\n", compressed(t, big, gzipTo)), xmlrpc.CodeInvalidRequest, "decompressed",
		},
		"a gzip bomb":    {post("Content-Encoding: gzip\r\n", bomb), xmlrpc.CodeInvalidRequest, "which is 2000"},
		"a deflate bomb": {post("Content-Encoding: deflate\r\n", compressed(t, strings.Repeat(" ", 1<<20), zlibTo)), xmlrpc.CodeInvalidRequest, "which is 2000"},
	} {
		t.Run(name, func(t *testing.T) {
			text := sendRaw(t, server, c.request).wantFault(t, c.code)
			if !strings.Contains(text, c.says) {
				t.Errorf("the fault says %q, want %q in it", text, c.says)
			}
		})
	}
}

func TestABodyOfExactlyTheLimitIsRead(t *testing.T) {
	server := echoServer(t, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: len(pingDocument)}))
	wantPing(t, sendRaw(t, server, post("", pingDocument)))
	wantPing(t, sendRaw(t, server, post("Content-Encoding: gzip\r\n", compressed(t, pingDocument, gzipTo))))
}

func TestACallerThatSendsFarTooMuchCanStillReadTheFault(t *testing.T) {
	// 8 MB do not fit the buffers of a connection: without reading on, the server
	// would close it under the caller's hands.
	big := strings.Repeat(" ", 8<<20)
	sendRaw(t, echoServer(t), post("", big)).wantFault(t, xmlrpc.CodeInvalidRequest)
	sendRaw(t, echoServer(t), post("Content-Encoding: br\r\n", big)).wantFault(t, xmlrpc.CodeTransportError)
	roomy := echoServer(t, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: 16 << 20}))
	sendRaw(t, roomy, post("Content-Encoding: gzip\r\n", big)).wantFault(t, xmlrpc.CodeNotWellFormed)
}

func TestACallerThatExpectsToBeAskedIsNotAskedForABodyThatCannotBeRead(t *testing.T) {
	conn := dialServer(t, echoServer(t))
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Encoding: br\r\nContent-Length: 1001\r\n\r\n")
	readRaw(t, bufio.NewReader(conn)).wantFault(t, xmlrpc.CodeTransportError)
}

// firstRead is a body that remembers how much room its first reader had.
type firstRead struct {
	io.Reader
	room int
}

func (r *firstRead) Read(p []byte) (int, error) {
	if r.room == 0 {
		r.room = len(p)
	}
	return r.Reader.Read(p)
}

func (r *firstRead) Close() error { return nil }

func TestAHeadThatAnnouncesAMebibyteCostsLittleBeforeTheBodyComes(t *testing.T) {
	h := xmlrpc.NewHandler(echoRegistry(t))
	doc := strings.Repeat(" ", 1<<20-len(pingDocument))
	body := &firstRead{Reader: strings.NewReader(pingDocument + doc)}
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Body, req.ContentLength = body, 1<<20
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	// A buffer that was kept from another request may have 256 KiB.
	if body.room > 256<<10 {
		t.Errorf("%d bytes were allocated for the head", body.room)
	}
	wantPing(t, rawAnswer{status: w.Code, header: w.Header(), length: int64(w.Body.Len()), body: w.Body.Bytes()})
}

func TestABodyThatIsCutOffIsAFault(t *testing.T) {
	server := echoServer(t)
	for name, request := range map[string]string{
		"with a length": fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(pingDocument)+1, pingDocument),
		"chunked":       fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(pingDocument), pingDocument),
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialServer(t, server)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			text := readRaw(t, bufio.NewReader(conn)).wantFault(t, xmlrpc.CodeNotWellFormed)
			if !strings.Contains(text, "cut off") {
				t.Errorf("the fault says %q", text)
			}
		})
	}
}

func TestABodyThatDoesNotComeInTimeIsAFault(t *testing.T) {
	server := httptest.NewUnstartedServer(xmlrpc.NewHandler(echoRegistry(t)))
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	conn := dialServer(t, server)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<?xml")
	text := readRaw(t, bufio.NewReader(conn)).wantFault(t, xmlrpc.CodeNotWellFormed)
	if !strings.Contains(text, "in time") {
		t.Errorf("the fault says %q", text)
	}
}

func TestALimitAroundTheHandlerIsNamedInTheFault(t *testing.T) {
	handler := xmlrpc.NewHandler(echoRegistry(t))
	server := httptest.NewServer(http.MaxBytesHandler(handler, 100))
	t.Cleanup(server.Close)
	text := sendRaw(t, server, post("", pingDocument)).wantFault(t, xmlrpc.CodeInvalidRequest)
	if !strings.Contains(text, "which is 100") {
		t.Errorf("the fault says %q", text)
	}
}
