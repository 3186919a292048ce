package xmlrpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/gorilla/rpc/v2"
)

// gorilla/rpc v2 wants a Content-Type with a codec, and for each method a service
// whose name has exactly two parts. XML-RPC names have any number, so there is one
// service, and every public name leads to it.
const (
	dispatchContentType = "text/xml"
	dispatchService     = "xmlrpc"
	dispatchMethod      = "xmlrpc.Call"
)

// dispatchHeader is all that gorilla/rpc sees of a request's header. It is shared
// and never written to.
var dispatchHeader = http.Header{"Content-Type": {dispatchContentType}}

// contentType is the first Content-Type of a request, or "". Names in its header
// are in canonical form, so that none has to be made for looking it up.
func contentType(r *http.Request) string {
	if values := r.Header["Content-Type"]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func newDispatch() *rpc.Server {
	s := rpc.NewServer()
	s.RegisterCodec(codec{}, dispatchContentType)
	if err := s.RegisterService(service{}, dispatchService); err != nil {
		// The service's methods are fixed below, and do not depend on any input.
		panic(err)
	}
	return s
}

// nothing is what gorilla/rpc makes anew for each call, as arguments and as reply:
// it costs nothing, and the exchange holds what there is. gorilla/rpc demands
// exported or unnamed types; this one is unnamed.
type nothing = struct{}

// service is what gorilla/rpc calls.
type service struct{}

// Call runs the call of the exchange. It never fails: the exchange has the answer,
// a fault or not.
func (service) Call(r *http.Request, _, _ *nothing) error {
	exchangeOf(r).run()
	return nil
}

// exchangeOf returns the exchange of a request: only serveCall hands requests to
// gorilla/rpc, and puts the exchange in the place of the body.
func exchangeOf(r *http.Request) *exchange { return r.Body.(*exchange) }

// codec finds the exchange that the handler has put into the request.
type codec struct{}

var _ rpc.Codec = codec{}

// NewRequest may be called more than once for one request (commits of gorilla/rpc
// after v1.2.0 do so), and has the same answer each time.
func (codec) NewRequest(r *http.Request) rpc.CodecRequest {
	return exchangeOf(r)
}

// exchange is one HTTP request with a call, and its answer. It also stands in for
// the request's body on the way through gorilla/rpc.
type exchange struct {
	*handler
	w       http.ResponseWriter
	r       *http.Request
	in, out *[]byte // the document as it came, and the answer; borrowed
	call    *Call
	err     error // why there is no call
	begun   time.Time

	// Parts that would be allocations of their own.
	ctx    callContext
	parsed Call
	raw    boundedReader
	length [1]string
}

var (
	_ rpc.CodecRequest = (*exchange)(nil)
	_ io.ReadCloser    = (*exchange)(nil)
)

// Read gives nothing: the body has been read already.
func (x *exchange) Read([]byte) (int, error) { return 0, io.EOF }

// Close does nothing: net/http closes the body itself.
func (x *exchange) Close() error { return nil }

// Method parses the document and returns the one name that gorilla/rpc knows.
func (x *exchange) Method() (string, error) {
	if x.call == nil && x.err == nil {
		options := x.decodeOptions
		options.charset = mediaCharset(contentType(x.r))
		if x.err = x.parsed.read(*x.in, options); x.err == nil {
			x.call = &x.parsed
		}
	}
	if x.err != nil {
		return "", x.err
	}
	return dispatchMethod, nil
}

// ReadRequest does nothing: the service finds the exchange in the request.
func (x *exchange) ReadRequest(any) error { return nil }

// WriteResponse sends what run has made.
func (x *exchange) WriteResponse(http.ResponseWriter, any) { x.send() }

// WriteError answers what held no call. The status is gorilla/rpc's idea of it.
func (x *exchange) WriteError(_ http.ResponseWriter, _ int, err error) { x.refuse(err) }

// run makes the answer of the call.
func (x *exchange) run() {
	x.ctx = callContext{Context: x.r.Context(), request: x.r}
	ctx, call := &x.ctx, x.call
	if call.Method == multicallName {
		x.runMulticall(ctx)
		return
	}
	info := x.info(call.Method)
	result, err := x.one(ctx, info, call)
	if err == nil {
		err = x.encode(ctx, call.Method, result)
	}
	x.tell(ctx, info, err, x.begun)
	if err != nil {
		x.fault(x.faultOf(ctx, call.Method, err))
	}
}

// info describes a call to those who want to know of it, if there are any.
func (x *exchange) info(method string) *CallInfo {
	if x.before == nil && x.after == nil {
		return nil
	}
	_, known := x.methods[method]
	return &CallInfo{Method: method, Known: known, Request: x.r, Header: x.w.Header()}
}

// ask has the WithBefore function say whether a call may be made.
func (x *exchange) ask(ctx context.Context, info *CallInfo, method string) (err error) {
	if x.before == nil {
		return nil
	}
	defer x.catch(ctx, method, &err)
	return x.before(ctx, info)
}

// one asks whether the call may be made, and makes it.
func (x *exchange) one(ctx context.Context, info *CallInfo, call *Call) (result any, err error) {
	if err := x.ask(ctx, info, call.Method); err != nil {
		return nil, err
	}
	defer x.catch(ctx, call.Method, &err)
	m, ok := x.methods[call.Method]
	if !ok {
		return nil, &Fault{
			Code:   CodeMethodNotFound,
			String: "there is no method " + shortQuote(call.Method) + "; system.listMethods has those that there are",
		}
	}
	return m.invoke(ctx, call)
}

// encode writes the result into the answer.
func (x *exchange) encode(ctx context.Context, method string, result any) (err error) {
	defer x.catch(ctx, method, &err)
	opts := x.encodeOptions
	if x.call.Features != (Features{}) {
		opts = append(slices.Clip(opts), WithFeatures(x.call.Features))
	}
	doc, err := AppendResponse((*x.out)[:0], result, opts...)
	if err != nil {
		return &internalError{err: err}
	}
	*x.out = doc
	return nil
}

// catch turns a panic into a fault, and is deferred around what others wrote.
func (x *exchange) catch(ctx context.Context, method string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	x.logger.ErrorContext(ctx, "xmlrpc: panic in a method",
		"method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	*err = &Fault{Code: CodeInternalError, String: internalText}
}

// tell reports a call that began at the given time to the WithAfter function. A
// panic there is only logged: what the call came to does not change by it.
func (x *exchange) tell(ctx context.Context, info *CallInfo, err error, begun time.Time) {
	if x.after == nil {
		return
	}
	var panicked error
	defer x.catch(ctx, info.Method, &panicked)
	x.after(ctx, info, err, time.Since(begun))
}

// refuse answers a request that held no call.
func (x *exchange) refuse(err error) {
	ctx := x.r.Context()
	x.tell(ctx, &CallInfo{Request: x.r, Header: x.w.Header()}, err, x.begun)
	x.fault(x.refusal(ctx, err))
	x.send()
}

func (x *exchange) release() {
	returnDocument(x.in)
	returnDocument(x.out)
}
