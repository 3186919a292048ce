package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		path := filepath.Join(t.TempDir(), "sub", "tokens.db")
		return storetest.Backend{Open: func(t *testing.T) handshake.Store {
			s, err := boltstore.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
	})
}
