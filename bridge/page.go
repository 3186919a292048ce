package bridge

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// maxPage bounds the body of a plain HTTP answer that [Remote.Get] keeps.
const maxPage = 64 << 10

// Page is a plain HTTP answer.
type Page struct {
	StatusCode int
	Header     http.Header
	// Body is at most the first 64 KiB where [Remote.Get] got it.
	Body []byte
}

// Cookie returns the value of a cookie that the answer sets, and "" when it sets
// none of that name. Cookies are cleared by setting one that is over, or empty.
func (p *Page) Cookie(name string) string {
	now, err := http.ParseTime(p.Header.Get("Date"))
	if err != nil { // the tracker's clock, which need not be ours, is not known
		now = time.Now()
	}
	value := ""
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		over := c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(now)
		if c.Name == name && c.Value != "" && !over {
			value = c.Value
		}
	}
	return value
}

// Status says what the status of the answer means, as errors do, without a full
// stop.
func (p *Page) Status() string { return describeStatus(p.StatusCode, nil, nil, nil) }

// Get fetches a place below the base URL without a session. Any HTTP status is
// an answer. The segments, one of which may be a token, are kept out of the
// errors.
func (r *Remote) Get(ctx context.Context, segments ...string) (*Page, error) {
	page, err := r.get(ctx, &Session{}, r.URL(segments...))
	err = classify(err, segments)
	r.session.reached(err)
	return page, err
}

// GetWith is [Remote.Get] with what is to become a session, for log-ins by
// password. No redirect is followed. The values of the session are kept out of the
// errors too.
func (r *Remote) GetWith(ctx context.Context, s *Session, segments ...string) (*Page, error) {
	page, err := r.get(context.WithValue(ctx, noRedirects{}, true), s, r.URL(segments...))
	err = classify(err, append(s.secrets(), segments...))
	r.session.reached(err)
	return page, err
}

// noRedirects marks the context of a request whose redirects are its answer.
type noRedirects struct{}

func (r *Remote) get(ctx context.Context, s *Session, place string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	s.dress(req)
	page, err := r.exchange(req, maxPage)
	if err == nil && len(page.Body) > maxPage {
		page.Body = page.Body[:maxPage]
	}
	return page, err
}

// exchange sends a request and reads the answer, of whose body up to one byte
// more than the limit.
func (r *Remote) exchange(req *http.Request, limit int64) (*Page, error) {
	req.Header.Set("User-Agent", r.options.userAgent)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil && isTimeout(err) {
		return nil, err
	}
	if err != nil {
		return nil, badAnswer("The answer was cut off.")
	}
	return &Page{StatusCode: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Fetch reads the body of a place below the base URL with a session, as
// [Endpoint.Call] calls a method: it changes nothing at the tracker. An answer
// whose status is no success is an error, an [xmlrpc.HTTPError] to
// [Dialect.Expired]. The answer is bounded like that to a call.
func (r *Remote) Fetch(ctx context.Context, query url.Values, segments ...string) (*Page, error) {
	place := r.URL(segments...)
	if len(query) > 0 {
		place += "?" + query.Encode()
	}
	var page Page
	err := r.do(ctx, Read, &page, func(ctx context.Context, s *Session) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
		if err != nil {
			return err
		}
		s.dress(req)
		got, err := r.exchange(req, r.options.maxAnswer)
		if err != nil {
			return err
		}
		if got.StatusCode < 200 || got.StatusCode > 299 {
			return &xmlrpc.HTTPError{StatusCode: got.StatusCode, Header: got.Header, Body: got.Body[:min(len(got.Body), maxQuoted)]}
		}
		if int64(len(got.Body)) > r.options.maxAnswer {
			return xmlrpc.ErrAnswerTooLarge
		}
		page = *got
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &page, nil
}

// dress gives a plain request the session.
func (s *Session) dress(req *http.Request) {
	for name, value := range s.Header {
		req.Header.Set(name, value)
	}
	for _, c := range s.Cookies {
		req.AddCookie(c)
	}
}

// maxQuoted is how much of the body of a refusal its error keeps, as that of a
// call does.
const maxQuoted = 512
