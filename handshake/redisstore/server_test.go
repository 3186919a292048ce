package redisstore_test

import (
	"testing"

	"github.com/trackgate/trackgate/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Quiet()
	m.Run()
}
