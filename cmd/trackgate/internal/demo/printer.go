package demo

import (
	"net/http"
	"net/http/httputil"
	"strings"
)

// printer prints the messages of an HTTP client as they are.
type printer struct {
	demo     *demo
	from, to string
	next     http.RoundTripper
}

var _ http.RoundTripper = (*printer)(nil)

// RoundTrip sends a request and prints it and its answer.
func (p *printer) RoundTrip(r *http.Request) (*http.Response, error) {
	request, err := httputil.DumpRequestOut(r, true)
	if err != nil {
		return nil, err
	}
	p.demo.say("\n%s to %s:\n%s", p.from, p.to, indent("  > ", request))
	res, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response, err := httputil.DumpResponse(res, true)
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	p.demo.say("\n%s to %s:\n%s", p.to, p.from, indent("  < ", response))
	return res, nil
}

func indent(mark string, message []byte) string {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(message), "\r", ""), "\n"), "\n")
	return mark + strings.Join(lines, "\n"+mark) + "\n"
}
