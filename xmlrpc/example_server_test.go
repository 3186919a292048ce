package xmlrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/trackgate/trackgate/xmlrpc"
)

// A registry is filled with plain functions, and served as an http.Handler.
func ExampleNewHandler() {
	bugs := xmlrpc.NewRegistry()
	err := bugs.Register("getTitle", func(_ context.Context, id int, language *string) (string, error) {
		if id != 1 {
			return "", &xmlrpc.Fault{Code: 404, String: "there is no such bug"}
		}
		if language != nil && *language == "de" {
			return "Absturz beim Start", nil
		}
		return "Crash at start", nil
	}, "Returns the title of a bug.", "id", "language")
	if err != nil {
		panic(err)
	}
	all := xmlrpc.NewRegistry()
	if err := all.Mount("bugs", bugs); err != nil {
		panic(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/bugs", xmlrpc.NewHandler(bugs))
	mux.Handle("/RPC2", xmlrpc.NewHandler(all))
	server := httptest.NewServer(mux)
	defer server.Close()

	client, err := xmlrpc.NewClient(server.URL + "/RPC2")
	if err != nil {
		panic(err)
	}
	var title string
	fmt.Println(client.Call(context.Background(), "bugs.getTitle", &title, 1), title)
	fmt.Println(client.Call(context.Background(), "bugs.getTitle", &title, 1, "de"), title)
	fmt.Println(client.Call(context.Background(), "bugs.getTitle", &title, 2))
	fmt.Println(client.Call(context.Background(), "bugs.getTitle", &title))
	// Output:
	// <nil> Crash at start
	// <nil> Absturz beim Start
	// xmlrpc: fault 404: there is no such bug
	// xmlrpc: fault -32602: bugs.getTitle takes 1 to 2 parameters, not 0; expected bugs.getTitle(int id[, string language])
}

// WithBefore is asked before every call, each one of a multicall by itself.
func ExampleWithBefore() {
	r := xmlrpc.NewRegistry()
	for _, name := range []string{"read", "write"} {
		if err := r.Register(name, func() (bool, error) { return true, nil }, "Does it."); err != nil {
			panic(err)
		}
	}
	readOnly := xmlrpc.WithBefore(func(_ context.Context, info *xmlrpc.CallInfo) error {
		if info.Method == "write" {
			return &xmlrpc.Fault{Code: 403, String: "FORBIDDEN: Insufficient permissions."}
		}
		return nil
	})
	server := httptest.NewServer(xmlrpc.NewHandler(r, readOnly))
	defer server.Close()

	client, err := xmlrpc.NewClient(server.URL)
	if err != nil {
		panic(err)
	}
	call := func(name string) map[string]any { return map[string]any{"methodName": name, "params": []any{}} }
	var results []any
	fmt.Println(client.Call(context.Background(), "system.multicall", &results, []any{call("read"), call("write")}))
	fmt.Println(results[0])
	fmt.Println(results[1])
	// Output:
	// <nil>
	// [true]
	// map[faultCode:403 faultString:FORBIDDEN: Insufficient permissions.]
}

// What goes wrong before a method runs is a fault as well, under HTTP status 200.
func ExampleNewHandler_notWellFormed() {
	server := httptest.NewServer(xmlrpc.NewHandler(xmlrpc.NewRegistry()))
	defer server.Close()
	resp, err := http.Post(server.URL, "text/plain", strings.NewReader("hello"))
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	var fault *xmlrpc.Fault
	if errors.As(xmlrpc.ParseResponse(doc, nil), &fault) {
		fmt.Println(resp.Status, fault.Code)
	}
	// Output: 200 OK -32700
}
