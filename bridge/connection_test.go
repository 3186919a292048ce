package bridge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/apierror"
)

// counted is a server that counts the connections to it.
func counted(t *testing.T, handler http.HandlerFunc, secure bool) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server, &opened
}

func TestAConnectionIsNotUsedAgainAfterARefusedPOST(t *testing.T) {
	for name, body := range map[string]string{"with a page": "who are you?", "without one": ""} {
		t.Run(name, func(t *testing.T) {
			server, opened := counted(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, body)
			}, false)
			_, d := newBare(t, Config{URL: server.URL, AllowPrivate: true})
			rpc, err := d.remote.Endpoint("xmlrpc")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				_, err := rpc.CallAlone(t.Context(), "a.method", nil, nil)
				if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), body) {
					t.Errorf("%v", err)
				}
			}
			if n := opened.Load(); n != 3 {
				t.Errorf("%d connections for 3 calls, want one each: what is left of a refused call may stand in the way of the next", n)
			}
		})
	}
}

func TestAConnectionIsUsedAgainAfterWhatIsNoRefusedPOST(t *testing.T) {
	for _, secure := range []bool{false, true} {
		server, opened := counted(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.WriteHeader(http.StatusNotFound)
			}
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		}, secure)
		transport := &http.Transport{DialContext: dialFunc((&net.Dialer{}).DialContext).watched()}
		config := server.Client().Transport.(*http.Transport).TLSClientConfig
		if secure {
			transport.DialTLSContext = dialFunc((&net.Dialer{}).DialContext).secured(config, tlsHandshakeTimeout).watched()
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		large := strings.Repeat("x", 1<<20)
		for _, body := range []string{"a", large, "", "POST / is what this one begins with"} {
			resp, err := client.Post(server.URL, "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if resp.Body.Close(); err != nil || string(got) != body {
				t.Errorf("%d bytes came back of %d (%v)", len(got), len(body), err)
			}
			if resp, err = client.Get(server.URL); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("%d connections, want one", n)
		}
	}
}

// unread is a server that refuses every POST as soon as it has its head, reads no
// body, and answers what it finds there as one more request.
func unread(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					head, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if !strings.Contains(head, " HTTP/1.1") {
						_, _ = io.WriteString(conn, "<!DOCTYPE HTML>\nBad request syntax\n")
						return
					}
					for line := ""; line != "\r\n" && err == nil; {
						line, err = in.ReadString('\n')
					}
					status := "200 OK"
					if strings.HasPrefix(head, "POST ") {
						status = "401 Unauthorized"
					}
					fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
				}
			})
		}
	})
	return "http://" + listener.Addr().String()
}

func TestWhatAServerHasNotReadOfARefusedPOSTHurtsNobody(t *testing.T) {
	transport := &http.Transport{DialContext: dialFunc((&net.Dialer{}).DialContext).watched(), MaxConnsPerHost: 2}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	url := unread(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 50 {
				method, want := http.MethodGet, http.StatusOK
				if i%2 == 0 {
					method, want = http.MethodPost, http.StatusUnauthorized
				}
				req, _ := http.NewRequest(method, url+"/xmlrpc", bytes.NewReader([]byte("<methodCall>\n</methodCall>\n")))
				if method == http.MethodGet {
					req.Body, req.ContentLength, req.GetBody = nil, 0, nil
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				if resp.Body.Close(); resp.StatusCode != want {
					t.Errorf("%s was answered %d", method, resp.StatusCode)
				}
			}
		})
	}
	all.Wait()
}
