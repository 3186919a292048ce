package hook_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"

	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/hook"
)

// A hook is a struct and a function: whoever has the token can call it.
func Example() {
	type Report struct {
		Token hook.AuthToken `hook:"token" title:"Token"`
		Bug   int            `hook:"bug,required" title:"Number of the bug"`
		State string         `hook:"state,max=20"`
	}
	report, err := hook.New(hook.Spec{Name: "report"}, func(_ context.Context, r Report) error {
		fmt.Println("bug", r.Bug, "is", r.State)
		return nil
	})
	fatal(err)
	store := exampleStore()
	defer store.Close()
	tokens := hook.NewTokens(store.State())
	defer tokens.Close()
	handler, err := hook.NewHandler(store, tokens, []*hook.Hook{report})
	fatal(err)
	token, _, err := tokens.Create(context.Background(), "report", 0)
	fatal(err)
	call(handler, url.Values{"token": {token}, "bug": {"7"}, "state": {"fixed"}})
	call(handler, url.Values{"token": {"guessed"}, "bug": {"8"}})
	// Output:
	// bug 7 is fixed
	// 200 OK
	// 403 Forbidden
}

func call(handler http.Handler, form url.Values) {
	server := httptest.NewServer(handler)
	defer server.Close()
	res, err := http.PostForm(server.URL+"/hooks/report", form)
	fatal(err)
	defer res.Body.Close()
	fmt.Println(res.Status)
}

func exampleStore() *boltstore.Store {
	dir, err := os.MkdirTemp("", "hook-example-")
	fatal(err)
	store, err := boltstore.Open(filepath.Join(dir, "tokens.db"))
	fatal(err)
	fatal(os.RemoveAll(dir)) // the open file is enough
	return store
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
