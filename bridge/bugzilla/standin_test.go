package bugzilla_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// standIn is a Bugzilla of as many answers as a test has use for.
type standIn struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	answers map[string]func(params map[string]any, r *http.Request) any
	counts  map[string]int
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{t: t, answers: map[string]func(map[string]any, *http.Request) any{}, counts: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	now, _ := xmlrpc.ParseDateTime("20261121T19:42:57")
	s.on("Bugzilla.version", func(map[string]any, *http.Request) any { return map[string]any{"version": "5.2"} })
	s.on("Bugzilla.time", func(map[string]any, *http.Request) any { return map[string]any{"db_time": now} })
	s.on("Launchpad.plugin_version", func(map[string]any, *http.Request) any { return map[string]any{"version": "1.0"} })
	s.on("Launchpad.time", func(map[string]any, *http.Request) any { return map[string]any{"utc_time": now} })
	return s
}

// on sets what a method answers: a value, a fault, or an http.HandlerFunc.
func (s *standIn) on(method string, answer func(params map[string]any, r *http.Request) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[method] = answer
}

func (s *standIn) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func fault(code int, text string) *xmlrpc.Fault { return &xmlrpc.Fault{Code: code, String: text} }

func (s *standIn) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call, err := xmlrpc.ParseCall(body)
	if err != nil || call.NumParams() != 1 {
		s.t.Errorf("no call of one struct: %v\n%s", err, body)
		return
	}
	params, _ := call.Params()[0].(map[string]any)
	s.mu.Lock()
	s.counts[call.Method]++
	answer := s.answers[call.Method]
	s.mu.Unlock()
	value := any(fault(xmlrpc.CodeMethodNotFound, "The requested method '"+call.Method+"' was not found."))
	if answer != nil {
		value = answer(params, r)
	}
	var doc []byte
	switch v := value.(type) {
	case http.HandlerFunc:
		v(w, r)
		return
	case *xmlrpc.Fault:
		doc = xmlrpc.AppendFault(nil, v.Code, v.String)
	default:
		if doc, err = xmlrpc.AppendResponse(nil, v); err != nil {
			s.t.Error(err)
		}
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = w.Write(doc)
}

// manyBugs answers Bug.get and its like with a bug for each id.
func manyBugs(params map[string]any, _ *http.Request) any {
	bugs := []any{}
	for _, id := range params["ids"].([]any) {
		bugs = append(bugs, map[string]any{"id": id, "summary": fmt.Sprint("bug ", id)})
	}
	return map[string]any{"bugs": bugs, "faults": []any{}}
}
