package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// httpAnswer is an answer as curl received it.
type httpAnswer struct {
	Status int
	Header http.Header
	Body   string
}

// curl runs curl with some arguments and returns the answer that it got. It
// follows no redirects and sends paths as they are.
func curl(tb testing.TB, args ...string) httpAnswer {
	tb.Helper()
	answer, err := tryCurl("", args...)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// curlWith is curl with a standard input, which "--data-binary @-" sends.
func curlWith(tb testing.TB, stdin string, args ...string) httpAnswer {
	tb.Helper()
	answer, err := tryCurl(stdin, args...)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

func tryCurl(stdin string, args ...string) (httpAnswer, error) {
	all := []string{"--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--noproxy", "*", "--max-time", "60"}
	cmd := exec.Command("curl", append(all, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return httpAnswer{}, fmt.Errorf("curl %q: %w: %s", args, err, stderr.String())
	}
	return parseAnswer(stdout.Bytes())
}

// parseAnswer reads what curl printed: heads of interim answers, the head, the body.
func parseAnswer(text []byte) (httpAnswer, error) {
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		tp := textproto.NewReader(r)
		line, err := tp.ReadLine()
		if err != nil {
			return httpAnswer{}, fmt.Errorf("no status line in %.200q: %w", text, err)
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) < 2 {
			return httpAnswer{}, fmt.Errorf("status line %q", line)
		}
		status, err := strconv.Atoi(fields[1])
		if err != nil {
			return httpAnswer{}, fmt.Errorf("status line %q: %w", line, err)
		}
		header, err := tp.ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			return httpAnswer{}, fmt.Errorf("head of %.200q: %w", text, err)
		}
		if status < 200 {
			continue
		}
		body, err := io.ReadAll(r)
		return httpAnswer{status, http.Header(header), string(body)}, err
	}
}

// String shows the answer as it was.
func (a httpAnswer) String() string {
	return fmt.Sprintf("%d %v %.300q", a.Status, a.Header, a.Body)
}

// rpcDocument is a methodCall document with parameters that are XML already.
func rpcDocument(method string, values ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><methodCall><methodName>` + method + `</methodName><params>`)
	for _, value := range values {
		b.WriteString("<param><value>" + value + "</value></param>")
	}
	b.WriteString("</params></methodCall>")
	return b.String()
}

// postXML sends a document to a path of the private side, with curl.
func postXML(tb testing.TB, g *gatewayProcess, path, document string, args ...string) httpAnswer {
	tb.Helper()
	args = append([]string{"--header", "Content-Type: text/xml", "--data-binary", "@-", "http://" + g.Private + path}, args...)
	return curlWith(tb, document, args...)
}

// wantRawFault checks a fault in the bytes of an answer, whose HTTP status must be 200.
func (a httpAnswer) wantRawFault(tb testing.TB, code int, words ...string) {
	tb.Helper()
	if a.Status != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/xml") {
		tb.Errorf("got %s, want an XML document under status 200", a)
	}
	if !strings.Contains(a.Body, "<fault>") || !strings.Contains(a.Body, fmt.Sprintf("<int>%d</int>", code)) {
		tb.Errorf("got %s, want fault %d", a, code)
	}
	for _, word := range words {
		if !strings.Contains(a.Body, word) {
			tb.Errorf("%q does not say %q", a.Body, word)
		}
	}
}

// normalisedCodes is the closed set of the codes in error_list.
var normalisedCodes = []string{
	"account-not-ready", "bad-request", "internal-server-error", "invalid-data", "invalid-credentials",
	"invalid-request", "permission-required", "field-required", "resource-not-found", "resource-not-ready",
}

// catalogueError is the JSON of an error, with members that tell what was there.
type catalogueError struct {
	Code      *string         `json:"code"`
	Message   *string         `json:"message"`
	Extra     *map[string]any `json:"extra"`
	ErrorList []struct {
		Code    string          `json:"code"`
		Message *string         `json:"message"`
		Extra   *map[string]any `json:"extra"`
	} `json:"error_list"`
}

// wantCatalogueJSON checks that an answer is an error of the catalogue with this
// status and name, in exactly the shape that every JSON error has.
func (a httpAnswer) wantCatalogueJSON(tb testing.TB, status int, name string) catalogueError {
	tb.Helper()
	if a.Status != status {
		tb.Errorf("got %s, want status %d", a, status)
	}
	if kinds := a.Header.Values("Content-Type"); len(kinds) != 1 || kinds[0] != "application/json; charset=utf-8" {
		tb.Errorf("Content-Type %q of %s", kinds, a)
	}
	if vary := strings.Join(a.Header.Values("Vary"), ","); !strings.Contains(vary, "Accept") {
		tb.Errorf("Vary %q of %s", vary, a)
	}
	var e catalogueError
	decoder := json.NewDecoder(strings.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		tb.Fatalf("%v in %s", err, a)
	}
	if e.Code == nil || *e.Code != name || e.Message == nil || *e.Message == "" || e.Extra == nil || len(e.ErrorList) == 0 {
		tb.Fatalf("got %s, want %s with all four fields", a, name)
	}
	for _, item := range e.ErrorList {
		if !slices.Contains(normalisedCodes, item.Code) {
			tb.Errorf("error_list has the code %q", item.Code)
		}
		if item.Message == nil {
			tb.Errorf("an item of error_list has no message: %s", a)
		}
		if (item.Extra != nil) != (len(*e.Extra) > 0) {
			tb.Errorf("an item's extra is there when it is empty, or not there when it is not: %s", a)
		}
	}
	return e
}

// callback is the path of a token's callback under a root, "" or "/for/NAME".
func callback(root, token string) string {
	return root + "/token/" + token + "/+bugtracker-handshake"
}

// present POSTs to a token's callback, with curl.
func present(tb testing.TB, g *gatewayProcess, token string, args ...string) httpAnswer {
	tb.Helper()
	return curl(tb, append([]string{"--request", "POST", "http://" + g.Public + callback("", token)}, args...)...)
}

// scrape reads /metrics.
func scrape(tb testing.TB, g *gatewayProcess) string {
	tb.Helper()
	answer := curl(tb, "http://"+g.Admin+"/metrics")
	if answer.Status != http.StatusOK {
		tb.Fatalf("metrics: %s", answer)
	}
	return answer.Body
}

// metric is the value of one series of a scrape, named with its labels as they
// are printed; 0 when there is none, as for a counter that never moved.
func metric(tb testing.TB, text, series string) float64 {
	tb.Helper()
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, series+" ")
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		return n
	}
	return 0
}
