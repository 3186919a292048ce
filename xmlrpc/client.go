package xmlrpc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// What a [Client] has when no option says otherwise.
const (
	// DefaultTimeLimit is for one call in all, from the name's resolution to the answer's last byte.
	DefaultTimeLimit = 30 * time.Second
	// DefaultMaxAnswer is the size of an answer in bytes, after decompression.
	DefaultMaxAnswer = 32 << 20
	// DefaultUserAgent is sent since some servers refuse requests that have none.
	DefaultUserAgent = "trackgate-xmlrpc"
)

// failureTime is how long the body of an answer whose status is no success may
// take after its head.
const failureTime = time.Second

// defaultAnswerValues is the number of values in an answer: answers are larger
// than the requests for which [DefaultLimits] are made.
const defaultAnswerValues = 1_000_000

// Client calls the methods of one XML-RPC server. It is safe for concurrent use.
//
// It keeps no cookies, has no credentials that it was not given, and follows no
// redirect by itself. It always sends the whole document with its Content-Length
// (tracd and Bugzilla refuse chunked requests), and never sends one twice when a
// server might have had it: see [TransportError].
type Client struct {
	url           string
	http          *http.Client
	userAgent     string
	authorization string
	cookies       []*http.Cookie
	header        http.Header
	timeLimit     time.Duration
	maxAnswer     int64
	limits        Limits
	encoding      []EncodeOption
	repair        bool
	onResponse    func(status int, header http.Header)
}

// ClientOption changes a client that is being made.
type ClientOption func(*Client)

// WithHTTPClient sets the http.Client that sends the requests. Its Transport
// says who may be called and through what, its Timeout holds beside the time
// limit, its Jar, when there is one, keeps cookies, and its CheckRedirect decides
// on redirects: without one, net/http follows a 301, 302 or 303 with a GET, which
// is reported as an [AnswerError]. The default client follows none, so that a
// redirect is an [HTTPError].
func WithHTTPClient(c *http.Client) ClientOption {
	return func(cl *Client) { cl.http = c }
}

// WithTimeLimit bounds each call in all, reading the answer included. Zero or
// less means no limit but the context's. The default is [DefaultTimeLimit].
func WithTimeLimit(d time.Duration) ClientOption {
	return func(cl *Client) { cl.timeLimit = d }
}

// WithMaxAnswer bounds an answer, in bytes after decompression. A call whose
// answer is larger fails with [ErrAnswerTooLarge]. Zero or less means
// [DefaultMaxAnswer], which is the default; more than 1 GiB means 1 GiB.
func WithMaxAnswer(n int64) ClientOption {
	return func(cl *Client) {
		if n <= 0 {
			n = DefaultMaxAnswer
		}
		cl.maxAnswer = min(n, maxBytes)
	}
}

// WithBasicAuth sends the user's name and password with every request. It
// replaces what WithBearer, or the URL, had set.
func WithBasicAuth(user, password string) ClientOption {
	return func(cl *Client) { cl.authorization = basicAuth(user, password) }
}

// WithBearer sends the token with every request, in an Authorization header. It
// replaces what WithBasicAuth, or the URL, had set.
func WithBearer(token string) ClientOption {
	return func(cl *Client) { cl.authorization = "Bearer " + token }
}

// WithUserAgent replaces [DefaultUserAgent].
func WithUserAgent(s string) ClientOption {
	return func(cl *Client) { cl.userAgent = s }
}

// WithCookies sends these cookies, and no others, with every request. Only names
// and values are sent.
func WithCookies(cookies ...*http.Cookie) ClientOption {
	cookies = slices.Clone(cookies)
	return func(cl *Client) { cl.cookies = cookies }
}

// WithHeader sends one more header field with every request, which some servers
// demand (Roundup refuses requests without X-Requested-With). It does not replace
// what the client sets itself: Content-Type, User-Agent, Authorization, Cookie.
func WithHeader(name, value string) ClientOption {
	return func(cl *Client) {
		cl.header = cl.header.Clone()
		if cl.header == nil {
			cl.header = http.Header{}
		}
		cl.header.Set(name, value)
	}
}

// WithClientLimits bounds what an answer may hold: depth, values, the length of
// names and strings. A zero field means the default, which is that of
// [DefaultLimits], but a million values. Bytes is not read; WithMaxAnswer sets it.
func WithClientLimits(l Limits) ClientOption {
	return func(cl *Client) { cl.limits = l }
}

// WithClientRepair makes the client replace raw control characters in answers,
// which XML forbids and which trackers do send inside comments (Roundup 2.6),
// instead of refusing the answer.
func WithClientRepair() ClientOption {
	return func(cl *Client) { cl.repair = true }
}

// WithClientFeatures tells which extensions the server is known to read. Without
// them neither nil nor i8 is ever sent.
func WithClientFeatures(f Features) ClientOption {
	return WithClientEncoding(WithFeatures(f))
}

// WithClientEncoding sets how calls are written, such as what becomes of characters
// that XML forbids ([WithForbidden]). It adds to what was set before.
func WithClientEncoding(opts ...EncodeOption) ClientOption {
	return func(cl *Client) { cl.encoding = append(slices.Clip(cl.encoding), opts...) }
}

// WithOnResponse has f called with the status and the header of every response,
// before its body is read, also when the call then fails: for cookies that a
// log-in sets, or the server's clock. f must not keep or change the header.
func WithOnResponse(f func(status int, header http.Header)) ClientOption {
	return func(cl *Client) { cl.onResponse = f }
}

// NewClient returns a client of the server at an http or https URL. A user's
// name and password in the URL are sent as Basic authorization.
func NewClient(rawURL string, opts ...ClientOption) (*Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// What url.Parse says about it may quote a password.
		return nil, errors.New("xmlrpc: the server's URL cannot be parsed; it is not shown here, since it may hold a secret")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("xmlrpc: the scheme of the server's URL is %.20q; it must be http or https", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("xmlrpc: the server's URL has no host")
	}
	c := &Client{
		http:      noRedirects,
		userAgent: DefaultUserAgent,
		timeLimit: DefaultTimeLimit,
		maxAnswer: DefaultMaxAnswer,
	}
	if u.User != nil {
		password, _ := u.User.Password()
		c.authorization = basicAuth(u.User.Username(), password)
		u.User = nil
	}
	c.url = u.String()
	return c.With(opts...), nil
}

// noRedirects is the default http.Client.
var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// With returns a changed copy of the client, which calls the same server through
// the same http.Client unless the options name another.
func (c *Client) With(opts ...ClientOption) *Client {
	changed := *c
	for _, opt := range opts {
		opt(&changed)
	}
	return &changed
}

// Call calls a method and decodes its result into result, which is a pointer as
// for [Unmarshal], or nil when the result is of no interest.
//
// The error is a [*Fault] when the server answered with one, a [*TransportError]
// when no whole answer came, an [*HTTPError] for a status that is no success, which
// wraps a *Fault when there was one under that status, an [*AnswerError] for an
// answer that is not XML-RPC, and wraps [ErrAnswerTooLarge] for one over the limit.
// Anything else means that the parameters could not be written, or that the result
// does not fit. No error's text holds the server's URL.
func (c *Client) Call(ctx context.Context, method string, result any, params ...any) error {
	buf := borrowDocument()
	defer returnDocument(buf)
	doc, err := AppendCall(*buf, method, params, c.encoding...)
	if err != nil {
		return fmt.Errorf("xmlrpc: the call cannot be written: %w", err)
	}
	*buf = doc
	return c.Send(ctx, doc, result)
}

// Send is Call for a document made elsewhere. It is sent as it is; doc may be
// changed once Send has returned.
func (c *Client) Send(ctx context.Context, doc []byte, result any) error {
	if len(doc) == 0 {
		return errors.New("xmlrpc: there is no document to send")
	}
	if c.timeLimit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeLimit)
		defer cancel()
	}
	exchange, giveUp := context.WithCancel(ctx)
	defer giveUp()
	resp, release, err := c.post(exchange, doc)
	if err != nil {
		return err
	}
	defer release()
	defer func() { _ = resp.Body.Close() }()
	if c.onResponse != nil {
		c.onResponse(resp.StatusCode, resp.Header)
	}
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		// The status is known: a body that does not come is not waited for.
		timer := time.AfterFunc(failureTime, giveUp)
		defer timer.Stop()
	case isHTML(resp.Header.Get("Content-Type")):
		// Either XML-RPC by a script that does not say so, which keeps coming, or a
		// page: those of Roundup under HTTP 200 have no end.
		timer := time.AfterFunc(failureTime, giveUp)
		defer timer.Stop()
		resp.Body = &flowing{ReadCloser: resp.Body, timer: timer}
	}
	return c.readAnswer(ctx, resp, result)
}

// flowing is a body that may take any time as long as it comes.
type flowing struct {
	io.ReadCloser
	timer *time.Timer
}

func (f *flowing) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	f.timer.Reset(failureTime)
	return n, err
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
