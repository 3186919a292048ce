package xmlrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// The kinds of errors tell what can be done about them.
func ExampleClient_Call() {
	tracker := http.NewServeMux()
	tracker.Handle("/xmlrpc", xmlrpc.NewHandler(xmlrpc.NewRegistry()))
	tracker.HandleFunc("/maintenance", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "back soon", http.StatusServiceUnavailable)
	})
	server := httptest.NewServer(tracker)
	defer server.Close()

	for _, url := range []string{server.URL + "/xmlrpc", server.URL + "/maintenance", "http://127.0.0.1:1/xmlrpc"} {
		client, err := xmlrpc.NewClient(url, xmlrpc.WithTimeLimit(5*time.Second))
		if err != nil {
			panic(err)
		}
		var capabilities map[string]struct {
			URL     string `xmlrpc:"specUrl"`
			Version int    `xmlrpc:"specVersion"`
		}
		err = client.Call(context.Background(), "system.getCapabilities", &capabilities)
		if err == nil {
			fmt.Println("introspection", capabilities["introspection"].Version)
			err = client.Call(context.Background(), "system.frobnicate", nil)
		}
		var (
			fault  *xmlrpc.Fault
			status *xmlrpc.HTTPError
			failed *xmlrpc.TransportError
		)
		switch {
		case errors.As(err, &fault):
			fmt.Println("the server refuses:", fault.Code)
		case errors.As(err, &status):
			fmt.Println("the server has a problem:", status.StatusCode)
		case errors.As(err, &failed) && !failed.Sent:
			fmt.Println("the server cannot have the call")
		case errors.As(err, &failed):
			fmt.Println("the server may have executed the call")
		}
	}
	// Output:
	// introspection 2
	// the server refuses: -32601
	// the server has a problem: 503
	// the server cannot have the call
}

// With makes a client that differs from another in some options, such as the
// cookies of a session.
func ExampleClient_With() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "42"})
		}
		doc, err := xmlrpc.AppendResponse(nil, r.Header.Get("Cookie"))
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(doc)
	}))
	defer server.Close()

	client, err := xmlrpc.NewClient(server.URL)
	if err != nil {
		panic(err)
	}
	var cookies []*http.Cookie
	login := client.With(xmlrpc.WithOnResponse(func(_ int, header http.Header) {
		cookies = (&http.Response{Header: header}).Cookies()
	}))
	if err := login.Call(context.Background(), "login", nil); err != nil {
		panic(err)
	}
	session := client.With(xmlrpc.WithCookies(cookies...))
	var sent string
	if err := session.Call(context.Background(), "whoami", &sent); err != nil {
		panic(err)
	}
	fmt.Println(sent)
	// Output: session=42
}
