package xmlrpc_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

func TestAnswersAreCompressedOnlyForThoseWhoAsk(t *testing.T) {
	server := echoServer(t)
	long := strings.Replace(pingDocument, "ping", strings.Repeat("ping", 2000), 1)
	for accept, want := range map[string]bool{
		"gzip":          true,
		"gzip, deflate": true,
		"deflate;q=0.6,identity;q=0.3,GZIP;q=1.0": true,
		"gzip;q=0.001":    true,
		"gzip; q=0":       false,
		"gzip;q=0.000":    false,
		"gzip;q=nonsense": false,
		"deflate":         false,
		"identity":        false,
		"*":               false,
		"xgzip":           false,
		"":                false,
	} {
		t.Run(accept, func(t *testing.T) {
			answer := sendRaw(t, server, post("Accept-Encoding: "+accept+"\r\n", long))
			if got := answer.header.Get("Content-Encoding") == "gzip"; got != want {
				t.Errorf("compressed: %v, want %v", got, want)
			}
			answer.wantDocumentLength(t)
			if answer.header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("Vary is %q", answer.header.Get("Vary"))
			}
			if want {
				answer.body = gunzipped(t, answer.body)
				answer.length = int64(len(answer.body))
				answer.header.Del("Content-Encoding")
			}
			if got := fmt.Sprint(answer.wantValue(t)); len(got) != 8002 {
				t.Errorf("got %d letters", len(got))
			}
		})
	}
	if short := sendRaw(t, server, post("Accept-Encoding: gzip\r\n", pingDocument)); short.header.Get("Content-Encoding") != "" {
		t.Error("an answer of one packet is compressed")
	}
	if te := sendRaw(t, server, post("TE: gzip\r\nConnection: TE\r\n", long)); te.header.Get("Content-Encoding") != "" {
		t.Error("TE was taken for Accept-Encoding")
	}
}

func (a rawAnswer) wantDocumentLength(t *testing.T) {
	t.Helper()
	if a.length != int64(len(a.body)) {
		t.Errorf("Content-Length %d with a body of %d bytes", a.length, len(a.body))
	}
}

func TestGetShowsTheMethodsAsAPage(t *testing.T) {
	r := echoRegistry(t)
	register(t, r, "evil.help", func(*int) (bool, error) { return true, nil }, `<script>alert("&")</script>`, `<b>`)
	server := httptest.NewServer(xmlrpc.NewHandler(r))
	t.Cleanup(server.Close)
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("status %d, Content-Type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if resp.ContentLength != int64(len(page)) {
		t.Errorf("Content-Length %d for %d bytes", resp.ContentLength, len(page))
	}
	for _, want := range []string{
		"bridge.echo([any values...]) &rarr; array", "Returns its parameters.", "system.listMethods", "system.multicall",
		"&lt;script&gt;", "evil.help([int &lt;b&gt;]) &rarr; boolean",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(string(page), "<script") || strings.Contains(string(page), "<b>") {
		t.Error("the page holds markup of a help text")
	}
	head, err := http.Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer head.Body.Close()
	if head.ContentLength != int64(len(page)) || head.StatusCode != http.StatusOK {
		t.Errorf("HEAD: status %d, length %d", head.StatusCode, head.ContentLength)
	}
}

func TestOtherHTTPMethodsAreNotAllowed(t *testing.T) {
	server := echoServer(t)
	for _, method := range []string{"PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FROB"} {
		req, err := http.NewRequest(method, server.URL, strings.NewReader(pingDocument))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: status %d, Allow %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
}
