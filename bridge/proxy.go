package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// ProxyPath is the path below which [Bridge.Proxy] serves the trackers, each under
// its name.
const ProxyPath = "/trackers/"

// proxySuffixes are what clients add by themselves to the URL they are given, or
// have in it since it is that of the tracker's own endpoint.
var proxySuffixes = []string{"", "xmlrpc", "xmlrpc.cgi", "login/xmlrpc", "rpc", "login/rpc", "RPC2"}

// Proxy returns the handler of [ProxyPath], at which clients call the trackers'
// own methods. A POST to the name of a tracker takes one call, checks that its
// limits, its method and its parameters are allowed, gives it the gateway's
// session, and hands on call and answer byte for byte, but for members that say
// something about a session. GET and HEAD say what is there. The limits are those of
// requests; zero ones mean the defaults of package xmlrpc.
//
// Of the caller's header nothing reaches the tracker, of the tracker's nothing but
// the charset reaches the caller. Every failure is a fault under HTTP 200, which
// old clients need; those of the tracker's own come as it sent them.
func (b *Bridge) Proxy(limits xmlrpc.Limits) http.Handler {
	if limits.Bytes <= 0 {
		limits.Bytes = xmlrpc.DefaultBytes
	}
	return &proxy{bridge: b, limits: limits}
}

type proxy struct {
	bridge *Bridge
	limits xmlrpc.Limits
}

var _ http.Handler = (*proxy)(nil)

// ServeHTTP serves one request.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		p.serveCall(w, r)
	case http.MethodGet, http.MethodHead:
		p.servePage(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		apierror.Write(w, r, apierror.New(apierror.MethodNotAllowed).WithDetail("XML-RPC calls are made with POST."))
	}
}

// tracker finds the name of the tracker in a path.
func (p *proxy) tracker(r *http.Request) (string, error) {
	rest, _ := strings.CutPrefix(r.URL.Path, ProxyPath)
	name, suffix, _ := strings.Cut(rest, "/")
	if !slices.Contains(proxySuffixes, strings.Trim(suffix, "/")) {
		return "", apierror.New(apierror.ResourceNotFound).
			WithDetail(fmt.Sprintf("Nothing is served at this path. Tracker %s is called at %s.", quoted(name), ProxyPath+"<name>"))
	}
	_, err := p.bridge.tracker(name)
	return name, err
}

// servePage says which tracker is here, without calling it.
func (p *proxy) servePage(w http.ResponseWriter, r *http.Request) {
	name, err := p.tracker(r)
	if err != nil {
		apierror.Write(w, r, err)
		return
	}
	t := p.bridge.trackers[name]
	dialect := t.config.Dialect
	if s := t.active.Load(); s != nil {
		dialect = s.dialect.Name()
	}
	page := fmt.Sprintf("Tracker %s, dialect %s. XML-RPC calls of its own methods are made here with POST.\n", name, dialect)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, page)
	}
}

func (p *proxy) serveCall(w http.ResponseWriter, r *http.Request) {
	request, answer := borrowBuffer(), borrowBuffer()
	defer returnBuffer(request)
	defer returnBuffer(answer)
	into := &spool{answer: *answer}
	err := p.forward(r, request, into)
	*answer = into.answer
	contentType := "text/xml"
	switch {
	case err != nil:
		*answer = p.fault((*answer)[:0], w.Header(), err)
	case plainToken(into.charset):
		contentType += "; charset=" + into.charset
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(*answer)))
	_, _ = w.Write(*answer) // a caller that has gone away needs no answer
}

// forward checks the request and makes the call.
func (p *proxy) forward(r *http.Request, request *[]byte, into *spool) (err error) {
	name, err := p.tracker(r)
	if err == nil || r.ContentLength <= int64(p.limits.Bytes) {
		var unread error
		if *request, unread = readRequest(*request, r, int64(p.limits.Bytes)); err == nil {
			err = unread
		}
	}
	if err != nil {
		return err
	}
	defer caught(p.bridge.options.logger, name, &err)
	ctx, cancel := context.WithTimeout(r.Context(), p.bridge.options.timeLimit)
	defer cancel()
	charset := charsetOf(r.Header.Get("Content-Type"))
	call, err := p.parse(*request, charset)
	if err != nil {
		return err
	}
	s, rules, err := p.bridge.proxied(ctx, name)
	if err != nil {
		return err
	}
	allowed, err := rules.check(call, textOf(*request, charset))
	if err != nil {
		return err
	}
	return (&forwarding{spoken: s, rules: rules, call: allowed, document: *request, charset: charset}).pass(ctx, into)
}

// parse checks that a document is one call. Trackers exist that take no Content-Type
// but a bare text/xml (Roundup), so that a charset that says something else than the
// document itself cannot be handed on.
func (p *proxy) parse(document []byte, charset string) (*xmlrpc.Call, error) {
	call, err := xmlrpc.ParseCall(document, xmlrpc.WithLimits(p.limits), xmlrpc.WithCharset(charset))
	if err != nil || charset == "" || isASCII(document) {
		return call, err
	}
	alone, err := xmlrpc.ParseCall(document, xmlrpc.WithLimits(p.limits))
	if err != nil || alone.Method != call.Method || !reflect.DeepEqual(alone.Params(), call.Params()) {
		return nil, &xmlrpc.Fault{Code: xmlrpc.CodeUnsupportedEncoding,
			String: "unsupported encoding: trackers are not told the charset of the Content-Type; name it in the XML declaration of the document"}
	}
	return call, nil
}

// isASCII tells whether a document is the same in all encodings but UTF-16.
func isASCII(document []byte) bool {
	return !bytes.ContainsFunc(document, func(r rune) bool { return r == 0 || r > 0x7f })
}

// fault appends the fault for an error.
func (p *proxy) fault(dst []byte, header http.Header, err error) []byte {
	var coder xmlrpc.FaultCoder
	if known := new(apierror.Error); !errors.As(err, &known) && errors.As(err, &coder) {
		return xmlrpc.AppendFault(dst, coder.FaultCode(), coder.FaultString())
	}
	known := apierror.From(err)
	if known.Name() == apierror.ServerError {
		p.bridge.options.logger.Error("a proxied call failed", "error", err)
	}
	apierror.SetRetryAfter(header, known.RetryAfter())
	return xmlrpc.AppendFault(dst, known.FaultCode(), known.FaultString())
}

// plainToken tells whether a charset can stand in a header without quotes.
func plainToken(s string) bool {
	ok := s != ""
	for _, r := range s {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:+", r))
	}
	return ok
}
