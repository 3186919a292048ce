package xmlrpc

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"
)

// internalText is all that a caller learns of an error that is not for it.
const internalText = "internal server error"

// internalError is a failure of the server itself, such as a result that cannot
// be written.
type internalError struct{ err error }

var _ error = (*internalError)(nil)

func (e *internalError) Error() string { return e.err.Error() }
func (e *internalError) Unwrap() error { return e.err }

// faultOf is the fault that an error of a method, or of the WithBefore function,
// becomes; [NewHandler] states the rules. What is not for the caller is logged.
//
// The error is code of others too: one that is a nil pointer, of a method that
// returned a variable of type *Fault which it had not set, panics when it is asked.
func (x *exchange) faultOf(ctx context.Context, method string, err error) (fault *Fault) {
	fault = &Fault{Code: CodeInternalError, String: internalText}
	var panicked error
	defer x.catch(ctx, method, &panicked)
	var internal *internalError
	if errors.As(err, &internal) {
		x.logger.ErrorContext(ctx, "xmlrpc: the result of a method cannot be written", "method", method, "error", err)
		return &Fault{Code: CodeInternalError, String: internalText}
	}
	if found := faultWithin(err); found != nil {
		x.setRetryAfter(err)
		return found
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Fault{Code: CodeSystemError, String: "the call took longer than it may take here"}
	case errors.Is(err, context.Canceled):
		return &Fault{Code: CodeSystemError, String: "the call was cancelled"}
	}
	x.logger.ErrorContext(ctx, "xmlrpc: a method failed", "method", method, "error", err)
	return &Fault{Code: CodeApplicationError, String: internalText}
}

// faultWithin finds the fault in an error's tree. The errors of this package's
// reader and writer do not count: in a method they are about documents that the
// caller knows nothing of, such as a tracker's answer.
func faultWithin(err error) *Fault {
	var coder interface {
		FaultCode() int
		FaultString() string
	}
	if !errors.As(err, &coder) {
		return nil
	}
	switch coder.(type) {
	case *DecodeError, *EncodeError:
		return nil
	}
	return &Fault{Code: coder.FaultCode(), String: coder.FaultString()}
}

// refusal is the fault for a request that held no call.
func (x *exchange) refusal(ctx context.Context, err error) *Fault {
	var coder FaultCoder
	if errors.As(err, &coder) {
		return &Fault{Code: coder.FaultCode(), String: coder.FaultString()}
	}
	x.logger.ErrorContext(ctx, "xmlrpc: a request could not be dispatched", "error", err)
	return &Fault{Code: CodeInternalError, String: internalText}
}

// setRetryAfter sets the header when the error says how long to wait. Of the
// calls of a multicall the longest wait counts: after it all can succeed.
func (x *exchange) setRetryAfter(err error) {
	var waiter interface{ RetryAfter() time.Duration }
	if !errors.As(err, &waiter) {
		return
	}
	wait := waiter.RetryAfter()
	if wait <= 0 {
		return
	}
	seconds := int64(math.Ceil(wait.Seconds()))
	if set, err := strconv.ParseInt(x.w.Header().Get("Retry-After"), 10, 64); err == nil && set > seconds {
		return
	}
	x.w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
}

// faultText is what a caller may read of an error of this package's reader.
func faultText(err error) string {
	var coder FaultCoder
	if errors.As(err, &coder) {
		return coder.FaultString()
	}
	return "a value does not fit"
}

// fault makes the answer a fault.
func (x *exchange) fault(f *Fault) {
	*x.out = AppendFault((*x.out)[:0], f.Code, f.String)
}
