package bridge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// maxCallValues bounds the values of an answer that is decoded.
const maxCallValues = 1_000_000

// forwarding is one call of a tracker's own method on a caller's behalf.
type forwarding struct {
	spoken   *spoken
	rules    *callRules
	call     *allowedCall
	document []byte
	charset  string // of the caller's Content-Type
}

// proxied finds what a tracker's own methods are called with.
func (b *Bridge) proxied(ctx context.Context, name string) (*spoken, *callRules, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	proxied, s, err := able[Proxied](ctx, t, "calls of the tracker's own methods")
	if err != nil {
		return nil, nil, err
	}
	rules, err := proxied.ProxyRules(ctx)
	if err != nil {
		return nil, nil, classify(err, nil)
	}
	return s, rulesOf(&t.config, rules), nil
}

// errPassed marks a fault of the tracker that is handed on as it came.
var errPassed = errors.New("bridge: the tracker's own fault is passed on")

// passing is a dialect whose faults are not explained but handed on.
type passing struct{ Dialect }

var _ FaultExplainer = passing{}

// ExplainFault marks every fault. What it says is for the caller whom the fault
// cannot be handed on to as it came.
func (passing) ExplainFault(fault *xmlrpc.Fault) error {
	return apierror.From(trackerFault(fault, nil)).WithCause(errPassed)
}

// pass makes the call and fills the spool with the answer. A fault of the tracker
// is an answer, unless it said that the session was over.
func (f *forwarding) pass(ctx context.Context, into *spool) error {
	remote := *f.spoken.remote
	remote.dialect = passing{remote.dialect}
	err := remote.do(ctx, f.call.effect, nil, func(ctx context.Context, s *Session) error {
		return f.exchange(ctx, s, into)
	})
	if errors.Is(err, errPassed) && into.whole {
		return nil
	}
	return err
}

// decode makes the call and decodes the answer. What an answer costs the caller's
// budget is its length, before anything is made of it.
func (f *forwarding) decode(ctx context.Context, into *spool, result *any) error {
	var tooMuch error // is no failure of the call, which was executed
	err := f.spoken.remote.do(ctx, f.call.effect, nil, func(ctx context.Context, s *Session) error {
		err := f.exchange(ctx, s, into)
		if err == nil {
			tooMuch = charge(ctx, into.answer)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err = tooMuch; err == nil {
		err = xmlrpc.ParseResponse(into.answer, result, xmlrpc.WithRepair(), xmlrpc.WithCharset(into.charset),
			xmlrpc.WithLimits(xmlrpc.Limits{Bytes: int(into.limit), Values: maxCallValues}))
	}
	known := apierror.From(classify(err, into.secrets))
	switch {
	case err == nil:
		return nil
	case f.call.effect == Write && !into.fault:
		return badAnswer("The call was executed, and what it changes is changed: do not repeat it for the sake of its answer, which cannot be had. %s", detailOf(known)).
			WithCause(err)
	}
	return known
}

// errUninspected says of an answer that nobody knows what is in it.
var errUninspected = errors.New("what is in it could not be told")

// exchange sends the call with one session. Without an error the spool has the
// answer as it may be seen; with one that is or wraps a fault, if it is whole.
func (f *forwarding) exchange(ctx context.Context, s *Session, into *spool) error {
	if err := f.rules.checkSession(f.call, s); err != nil {
		return err
	}
	carrying, err := spliceCall(f.document, f.charset, s.Members)
	if err != nil {
		return err
	}
	endpoint := f.rules.Endpoint
	into.reset(endpoint.remote, f.rules.Hide, s.secrets())
	options := append(s.options(), xmlrpc.WithHTTPClient(&http.Client{Transport: into, CheckRedirect: endpoint.remote.http.CheckRedirect}))
	err = endpoint.client.With(options...).Send(ctx, carrying, nil)
	unread := new(xmlrpc.AnswerError)
	failed := new(xmlrpc.HTTPError)
	switch {
	case errors.As(err, &failed) && failed.Fault != nil:
		into.inspect() // the fault came under a status that is no success
	case errors.As(err, &unread) && into.whole:
		return nil // a fault that holds what our decoder does not know
	case err == nil && !into.whole:
		return &xmlrpc.AnswerError{StatusCode: http.StatusOK, Err: errUninspected}
	}
	return err
}

// spool stands between the client of a tracker and the connection, and keeps the
// answer as bytes. The client, which knows what each failure of an exchange means,
// is given faults to read; of other answers, which are to be left as they are, it
// gets to know no more than that they are some.
type spool struct {
	next    http.RoundTripper
	limit   int64
	hide    []string
	secrets []string

	answer  []byte // decompressed
	charset string // of the answer's Content-Type
	whole   bool   // the answer is one, and as a client may see it
	fault   bool   // it is a fault
}

var _ http.RoundTripper = (*spool)(nil)

func (s *spool) reset(r *Remote, hide, secrets []string) {
	*s = spool{next: r.http.Transport, limit: r.options.maxAnswer, hide: hide, secrets: secrets, answer: s.answer[:0]}
}

// accepted is the answer that the client gets to read in place of one that is no
// fault.
var accepted = []byte("<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>")

// RoundTrip reads the answer of a success to its end, so that all of it is there
// before the first byte goes to a caller.
func (s *spool) RoundTrip(req *http.Request) (*http.Response, error) {
	s.answer, s.whole, s.fault = s.answer[:0], false, false
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	s.charset = charsetOf(resp.Header.Get("Content-Type"))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		if coding, err := contentCoding(resp.Header["Content-Encoding"]); err == nil { // the client finds others
			resp.Header.Del("Content-Encoding")
			resp.Body = &copied{ReadCloser: resp.Body, coding: coding, spool: s}
		}
		return resp, nil
	}
	body := resp.Body
	defer func() { _ = body.Close() }()
	if resp.ContentLength > s.limit {
		resp.Body = http.NoBody // the client sees from the head that it is too large
		return resp, nil
	}
	s.answer, err = readBody(s.answer, body, resp.Header, s.limit)
	if errors.Is(err, errCoding) { // which the client finds as well
		resp.Body = http.NoBody
		return resp, nil
	}
	if err == nil {
		s.inspect()
	}
	shown := s.answer
	if s.whole && !s.fault {
		shown = accepted
	}
	resp.Header.Del("Content-Encoding")
	resp.ContentLength = int64(len(shown))
	resp.Body = io.NopCloser(bytes.NewReader(shown))
	switch {
	case errors.Is(err, errOverLimit):
		resp.ContentLength = s.limit + 1
	case err != nil:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(shown), broken{err}))
	}
	return resp, nil
}

// inspect looks at the answer once it is there, and takes out of it what no client
// may see.
func (s *spool) inspect() {
	t := textOf(s.answer, s.charset)
	fault, hidden, err := inspectAnswer(t, s.hide)
	if err != nil {
		return
	}
	t.blot(s.secrets)
	s.answer = t.cut(hidden)
	s.whole, s.fault = true, fault
}

// broken is the end of a body that could not be read to its end.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// copied copies to the spool what the client reads of an answer whose status is no
// success, decompressed: there it decides how much that is worth waiting for.
type copied struct {
	io.ReadCloser
	coding string
	plain  io.Reader // nil before the first byte is wanted
	spool  *spool
}

func (c *copied) Read(p []byte) (int, error) {
	if c.plain == nil {
		var err error
		if c.plain, err = decompressed(c.ReadCloser, c.coding, c.spool.limit); err != nil {
			c.plain = broken{err}
		}
	}
	n, err := c.plain.Read(p)
	c.spool.answer = append(c.spool.answer, p[:n]...)
	return n, err
}
