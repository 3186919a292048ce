package xmlrpc

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/rpc/v2"
)

// DefaultMulticallLimit is how many calls one system.multicall may hold.
const DefaultMulticallLimit = 100

// CallInfo describes one call to [WithBefore] and [WithAfter].
type CallInfo struct {
	// Method is the name as the caller sent it. It is empty for a request that
	// held no call, of which only WithAfter hears.
	Method string
	// Known tells whether there is such a method. The names of methods that do
	// not exist are the caller's invention: do not use them as metric labels.
	Known bool
	// Request is the HTTP request. Its body has been read.
	Request *http.Request
	// Header is that of the answer. WithBefore may set what does not concern the
	// body; for WithAfter it is too late.
	Header http.Header
}

// HandlerOption changes a handler that is being made.
type HandlerOption func(*handler)

// WithHandlerLimits bounds requests: Bytes holds for the body as it comes and
// again for what it is after decompression, the others as for [WithLimits]. A
// request beyond a limit gets fault -32600, which names the limit.
func WithHandlerLimits(l Limits) HandlerOption {
	return func(h *handler) { h.limits = l }
}

// WithLogger sets where panics and internal errors are logged. The default is
// [slog.Default].
func WithLogger(l *slog.Logger) HandlerOption {
	return func(h *handler) { h.logger = l }
}

// WithMulticallLimit sets how many calls a system.multicall may hold. Zero or
// less means [DefaultMulticallLimit], which is the default.
func WithMulticallLimit(n int) HandlerOption {
	return func(h *handler) {
		if n <= 0 {
			n = DefaultMulticallLimit
		}
		h.multicallLimit = n
	}
}

// WithEncoding sets how answers are written, such as what becomes of characters
// that XML forbids ([WithForbidden]). What [WithFeatures] says does not count:
// each caller gets the extensions that it has sent. Faults always get
// [ReplaceForbidden], so that each can be written. Without [WithDepth] an answer
// may be three levels deeper than a request, and as deep as [DefaultDepth] at
// least.
func WithEncoding(opts ...EncodeOption) HandlerOption {
	return func(h *handler) { h.encodeOptions = append(slices.Clip(h.encodeOptions), opts...) }
}

// answerLevels is how much deeper than its parameters an answer may be: by the two
// arrays of system.multicall, and by one in which a method returns what it got, as
// an echo does.
const answerLevels = 3

// WithBefore has f asked before every call, also one of a method that does not
// exist or whose parameters will not do. An error becomes the fault of that call,
// by the rules for errors of methods, and the method does not run.
//
// The calls inside a system.multicall are asked for one by one, and
// system.multicall itself is not; the other methods of "system." are. Where nobody
// else is asked for, system.multicall is, so that none is free: once for
// each item that is no call, and once for a multicall that is empty, has more calls
// than its limit, or has other parameters than an array.
func WithBefore(f func(ctx context.Context, info *CallInfo) error) HandlerOption {
	return func(h *handler) { h.before = f }
}

// WithAfter has f told of every call and what came of it: nil, or the error as
// the method, WithBefore or the handler itself made it. took is the time from the
// request's arrival, or from the end of the call before it in a multicall, until
// the method returned. A request that held no call, being too large or
// not well-formed, is told of as well, under an empty name; system.multicall is
// told of under its own name in the cases in which WithBefore is asked for it. A
// panic of f is logged and changes nothing.
func WithAfter(f func(ctx context.Context, info *CallInfo, err error, took time.Duration)) HandlerOption {
	return func(h *handler) { h.after = f }
}

// handler is the one handler before gorilla/rpc: it prepares what gorilla/rpc
// would refuse, and answers what is no call at all.
type handler struct {
	methods        map[string]*registeredMethod // those of "system." included
	limits         Limits
	logger         *slog.Logger
	multicallLimit int
	before         func(ctx context.Context, info *CallInfo) error
	after          func(ctx context.Context, info *CallInfo, err error, took time.Duration)
	dispatch       *rpc.Server
	page           []byte
	decodeOptions  decodeOptions
	encodeOptions  []EncodeOption
}

var _ http.Handler = (*handler)(nil)

// NewHandler returns a handler that serves the methods the registry has now,
// together with those of "system.". It takes POST with any Content-Type or none,
// bodies compressed with gzip or deflate, over HTTP/1.0 and later; GET shows the
// methods as a page. It serves at whatever path it is mounted.
//
// Whatever a call comes to, the HTTP status is 200: of 28 client stacks observed
// 26 read a fault under that status and 6 under any other. The fault for an error
// of a method is, in this order:
//
//   - that of the first error in its tree with the methods FaultCode() int and
//     FaultString() string, such as a [*Fault]; if one has RetryAfter()
//     time.Duration as well, the answer gets a Retry-After header
//   - -32400 when the context's deadline was over, or it was cancelled
//   - -32500 with a text that says nothing of the error, which goes to the logger
//
// A panic in a method is fault -32603, and goes to the logger with its stack.
func NewHandler(r *Registry, opts ...HandlerOption) http.Handler {
	h := &handler{
		logger:         slog.Default(),
		multicallLimit: DefaultMulticallLimit,
		methods:        make(map[string]*registeredMethod, len(r.methods)),
	}
	for _, opt := range opts {
		opt(h)
	}
	h.limits = h.limits.withDefaults()
	h.decodeOptions = decodeOptions{limits: h.limits}
	h.encodeOptions = slices.Concat(
		[]EncodeOption{WithDepth(max(h.limits.Depth, DefaultDepth) + answerLevels)}, h.encodeOptions, []EncodeOption{WithFeatures(Features{})})
	for name, m := range r.methods {
		h.methods[name] = m
	}
	h.addSystemMethods()
	h.dispatch = newDispatch()
	h.page = methodsPage(h.sortedMethods())
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		h.serveCall(w, r)
	case http.MethodGet, http.MethodHead:
		h.servePage(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusMethodNotAllowed)
		_, _ = w.Write([]byte("XML-RPC calls are made with POST; GET shows the methods.\n"))
	}
}

func (h *handler) serveCall(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h, w: w, r: r, in: borrowDocument(), out: borrowDocument()}
	defer x.release()
	if h.after != nil {
		x.begun = time.Now()
	}
	if err := x.readBody(); err != nil {
		x.refuse(err)
		return
	}
	// gorilla/rpc looks for a codec by the Content-Type and hands the request to
	// it, with the exchange for a body. For other types than its one it gets a copy.
	dispatched := r
	if contentType(r) != dispatchContentType {
		dispatched = new(http.Request)
		*dispatched = *r
		dispatched.Header = dispatchHeader
	}
	dispatched.Body = x
	h.dispatch.ServeHTTP(w, dispatched)
}

// callContext is the request's context, in which the request can be found.
type callContext struct {
	context.Context
	request *http.Request
}

var _ context.Context = (*callContext)(nil)

// requestKey is the key of the *http.Request.
type requestKey struct{}

// Value returns the request for its key.
func (c *callContext) Value(key any) any {
	if key == (requestKey{}) {
		return c.request
	}
	return c.Context.Value(key)
}

// RequestFromContext returns the HTTP request that a method serves, or nil when
// the context is not that of a method. Its body has been read.
func RequestFromContext(ctx context.Context) *http.Request {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	return r
}
