package xmlrpc_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// FuzzHandler holds the handler to this: whatever comes, the answer is status 200
// with a methodResponse that this package's own client reads.
func FuzzHandler(f *testing.F) {
	f.Add([]byte(pingDocument), "text/xml", "", "")
	f.Add([]byte(pingDocument), "text/xml; charset=iso-8859-1", "", "gzip")
	f.Add([]byte(compressed(f, pingDocument, gzipTo)), "", "gzip", "gzip;q=0.5")
	f.Add([]byte(compressed(f, pingDocument, zlibTo)), "a/b;charset", "deflate", "*")
	f.Add([]byte(compressed(f, pingDocument, flateTo)), ";;", "deflate, identity", "gzip;q=")
	f.Add([]byte(callOf(f, "system.multicall", []any{inner("typed", 1, "a"), inner("bridge.echo", nil)})), "text/xml", "", "")
	f.Add([]byte(callOf(f, "typed", 1, "a", []any{}, map[string]any{"A": 1}, nil)), "text/xml; charset=utf-16", "", "")
	f.Add([]byte(callOf(f, "system.methodSignature", "typed")), "text/xml", "x-gzip", "")
	f.Add([]byte("<methodCall>"), "text/xml", "br", "")
	r := echoRegistry(f)
	register(f, r, "typed", func(_ int, _ string, _ []float64, s struct{ A []int }, _ *bool, rest ...map[string]string) (any, error) {
		return []any{s, rest}, nil
	}, "Has parameters of several types.")
	h := xmlrpc.NewHandler(r, xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: 1 << 16}), xmlrpc.WithLogger(slog.New(slog.DiscardHandler)))
	f.Fuzz(func(t *testing.T, body []byte, contentType, contentEncoding, acceptEncoding string) {
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Content-Encoding", contentEncoding)
		req.Header.Set("Accept-Encoding", acceptEncoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		doc := w.Body.Bytes()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/xml" {
			t.Fatalf("status %d, header %v", w.Code, w.Header())
		}
		if w.Header().Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(doc))
			if err != nil {
				t.Fatal(err)
			}
			if doc, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		var value any
		var fault *xmlrpc.Fault
		err := xmlrpc.ParseResponse(doc, &value, xmlrpc.WithLimits(xmlrpc.Limits{Bytes: 1 << 26, Values: 1 << 20, Depth: 100}))
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("the answer cannot be read: %v\n%q", err, doc)
		}
		if fault != nil && fault.Code == xmlrpc.CodeInternalError {
			t.Fatalf("an internal error: %v", fault)
		}
	})
}

// FuzzClientAnswer holds the client to this: whatever a server answers, the call
// returns the value or one of the documented errors.
func FuzzClientAnswer(f *testing.F) {
	f.Add(200, "text/xml", "", []byte(pongDocument))
	f.Add(200, "text/xml; charset=windows-1251", "", []byte(pongDocument))
	f.Add(500, "application/xml", "", xmlrpc.AppendFault(nil, 1, "x"))
	f.Add(200, "", "gzip", []byte(compressed(f, pongDocument, gzipTo)))
	f.Add(200, "", "deflate", []byte(compressed(f, pongDocument, flateTo)))
	f.Add(204, "text/html", "br", []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, contentType, contentEncoding string, body []byte) {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status, Request: r, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(body)),
				Header: http.Header{"Content-Type": {contentType}, "Content-Encoding": {contentEncoding}},
			}, nil
		})
		client, err := xmlrpc.NewClient("http://127.0.0.1/rpc", xmlrpc.WithHTTPClient(&http.Client{Transport: transport}),
			xmlrpc.WithMaxAnswer(1<<16), xmlrpc.WithTimeLimit(0))
		if err != nil {
			t.Fatal(err)
		}
		var value any
		err = client.Call(t.Context(), "m", &value)
		var (
			fault  *xmlrpc.Fault
			asHTTP *xmlrpc.HTTPError
			answer *xmlrpc.AnswerError
			failed *xmlrpc.TransportError
		)
		switch {
		case err == nil, errors.As(err, &fault), errors.As(err, &asHTTP), errors.As(err, &answer),
			errors.As(err, &failed), errors.Is(err, xmlrpc.ErrAnswerTooLarge):
		default:
			t.Fatalf("got error %v (%T)", err, err)
		}
	})
}
