package xmlrpc

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime"
	"testing"
	"weak"
)

// gzipSource is the body of a request that refers to much more.
type gzipSource struct {
	io.Reader
	_ [1 << 10]byte
}

func TestAKeptGzipReaderLetsGoOfTheRequestThatItRead(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("hello"))
	_ = z.Close()
	read := func() weak.Pointer[gzipSource] {
		src := &gzipSource{Reader: bytes.NewReader(packed.Bytes())}
		if got, err := inflate(nil, src, "gzip", 100); err != nil || string(got) != "hello" {
			t.Fatalf("%q, %v", got, err)
		}
		return weak.Make(src)
	}
	src := read()
	// A second collection would empty the pool, and prove nothing.
	runtime.GC()
	if src.Value() != nil {
		t.Error("the body is still referred to")
	}
}
