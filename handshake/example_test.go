package handshake_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

// A token is minted, and the callback that presents it is answered once.
func Example() {
	dir, err := os.MkdirTemp("", "handshake-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := boltstore.Open(filepath.Join(dir, "tokens.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	authority, err := handshake.New(store)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, fingerprint, err := authority.Mint(context.Background(), handshake.BugTracker, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(token), "letters and digits, known to logs by", len(fingerprint.String()))

	callback := httptest.NewServer(handshake.NewHandler(authority))
	defer callback.Close()
	for range 2 {
		res, err := http.Post(callback.URL+handshake.CallbackPath("", token), "", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.Status)
	}
	// Output:
	// 36 letters and digits, known to logs by 16
	// 200 OK
	// 410 Gone
}
