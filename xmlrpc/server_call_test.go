package xmlrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// waitFault is an error as the catalogue of a program has it.
type waitFault struct{ wait time.Duration }

func (e waitFault) Error() string             { return "secret: the caller is 10.0.0.1" }
func (e waitFault) FaultCode() int            { return 429 }
func (e waitFault) FaultString() string       { return "TOO_MANY_REQUESTS: Too many requests." }
func (e waitFault) RetryAfter() time.Duration { return e.wait }

func TestErrorsOfMethodsBecomeFaults(t *testing.T) {
	decodeFailure := xmlrpc.ParseResponse([]byte("<html>"), nil)
	for name, c := range map[string]struct {
		err        error
		code       int
		text       string
		retryAfter string
		logged     bool
	}{
		"an error with a fault":         {waitFault{}, 429, "TOO_MANY_REQUESTS: Too many requests.", "", false},
		"one that is wrapped":           {fmt.Errorf("wrapped: %w", waitFault{}), 429, "TOO_MANY_REQUESTS: Too many requests.", "", false},
		"one that says when":            {fmt.Errorf("wrapped: %w", waitFault{1500 * time.Millisecond}), 429, "TOO_MANY_REQUESTS: Too many requests.", "2", false},
		"whole seconds":                 {waitFault{3 * time.Second}, 429, "TOO_MANY_REQUESTS: Too many requests.", "3", false},
		"a nanosecond":                  {waitFault{1}, 429, "TOO_MANY_REQUESTS: Too many requests.", "1", false},
		"a Fault":                       {&xmlrpc.Fault{Code: -7, String: "a < b"}, -7, "a < b", "", false},
		"a deadline":                    {fmt.Errorf("asking the tracker: %w", context.DeadlineExceeded), -32400, "the call took longer than it may take here", "", false},
		"a cancellation":                {context.Canceled, -32400, "the call was cancelled", "", false},
		"any other error":               {errors.New("password is hunter2"), -32500, "internal server error", "", true},
		"a document the method got":     {fmt.Errorf("the tracker: %w", decodeFailure), -32500, "internal server error", "", true},
		"a fault beside something else": {errors.Join(errors.New("x"), &xmlrpc.Fault{Code: 5, String: "five"}), 5, "five", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := xmlrpc.NewRegistry()
			register(t, r, "fail", func() (string, error) { return "not this", c.err }, "")
			h := xmlrpc.NewHandler(r, xmlrpc.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			answer := recordCall(t, h, callOf(t, "fail"))
			if text := answer.wantFault(t, c.code); text != c.text {
				t.Errorf("the fault says %q, want %q", text, c.text)
			}
			if got := answer.header.Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, c.retryAfter)
			}
			if (log.Len() > 0) != c.logged {
				t.Errorf("the log has %q", log.String())
			}
		})
	}
}

// recordCall posts a document to a handler without a network.
func recordCall(t testing.TB, h http.Handler, doc string) rawAnswer {
	t.Helper()
	return recordCallIn(t.Context(), t, h, doc)
}

func recordCallIn(ctx context.Context, t testing.TB, h http.Handler, doc string) rawAnswer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(doc)))
	resp := w.Result()
	return rawAnswer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, body: w.Body.Bytes()}
}

func TestAPanicIsAFaultAndTheNextCallWorks(t *testing.T) {
	var log bytes.Buffer
	r := echoRegistry(t)
	register(t, r, "panic", func() (string, error) { panic("the roof is on fire") }, "")
	register(t, r, "crash", func(list []int) (int, error) { return list[len(list)], nil }, "")
	handler := xmlrpc.NewHandler(r, xmlrpc.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	for _, doc := range []string{callOf(t, "panic"), callOf(t, "crash", []any{})} {
		log.Reset()
		text := sendRaw(t, server, post("", doc)).wantFault(t, xmlrpc.CodeInternalError)
		if text != "internal server error" {
			t.Errorf("the fault says %q", text)
		}
		if entry := log.String(); !strings.Contains(entry, "server_call_test.go") || !strings.Contains(entry, "stack=") {
			t.Errorf("the log lacks the stack: %s", entry)
		}
		wantPing(t, sendRaw(t, server, post("", pingDocument)))
	}
}

// A method that declares "var fault *xmlrpc.Fault" and returns it as its error has
// failed with an error that cannot be asked anything.
func TestAnErrorThatIsANilPointerIsAnInternalError(t *testing.T) {
	var fault *xmlrpc.Fault
	r := echoRegistry(t)
	register(t, r, "typednil", func() (string, error) { return "x", fault }, "")
	after := xmlrpc.WithAfter(func(_ context.Context, info *xmlrpc.CallInfo, err error, _ time.Duration) {
		if info.Method == "typednil" {
			_ = err.Error()
		}
	})
	for about, opts := range map[string][]xmlrpc.HandlerOption{
		"of the method": nil,
		"told of":       {after},
		"of the before function": {xmlrpc.WithBefore(func(_ context.Context, info *xmlrpc.CallInfo) error {
			if info.Method == "bridge.echo" {
				return nil
			}
			return fault
		})},
	} {
		t.Run(about, func(t *testing.T) {
			var log bytes.Buffer
			opts := append(opts, xmlrpc.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			server := httptest.NewServer(xmlrpc.NewHandler(r, opts...))
			t.Cleanup(server.Close)
			sendRaw(t, server, post("", callOf(t, "typednil"))).wantFault(t, xmlrpc.CodeInternalError)
			if !strings.Contains(log.String(), "stack=") {
				t.Errorf("the log lacks the stack: %s", log.String())
			}
			wantPing(t, sendRaw(t, server, post("", pingDocument)))
			list, ok := sendRaw(t, server, post("", callOf(t, "system.multicall", []any{inner("typednil"), inner("bridge.echo", 1)}))).wantValue(t).([]any)
			if !ok || len(list) != 2 || list[0].(map[string]any)["faultCode"] != xmlrpc.CodeInternalError || !reflect.DeepEqual(list[1], []any{[]any{1}}) {
				t.Errorf("in a multicall: %v", list)
			}
		})
	}
}

func TestAPanicOfTheBeforeFunctionIsAFault(t *testing.T) {
	h := xmlrpc.NewHandler(echoRegistry(t), xmlrpc.WithLogger(slog.New(slog.DiscardHandler)),
		xmlrpc.WithBefore(func(context.Context, *xmlrpc.CallInfo) error { panic("before") }))
	recordCall(t, h, pingDocument).wantFault(t, xmlrpc.CodeInternalError)
}

func TestAResultThatCannotBeWrittenIsAnInternalError(t *testing.T) {
	var log bytes.Buffer
	r := xmlrpc.NewRegistry()
	register(t, r, "odd", func() (any, error) { return make(chan int), nil }, "")
	h := xmlrpc.NewHandler(r, xmlrpc.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	text := recordCall(t, h, callOf(t, "odd")).wantFault(t, xmlrpc.CodeInternalError)
	if text != "internal server error" || !strings.Contains(log.String(), "method=odd") {
		t.Errorf("the fault says %q, the log %q", text, log.String())
	}
}

func TestAnUnknownMethodIsAFaultThatNamesIt(t *testing.T) {
	h := xmlrpc.NewHandler(echoRegistry(t))
	text := recordCall(t, h, callOf(t, "no.such")).wantFault(t, xmlrpc.CodeMethodNotFound)
	if !strings.Contains(text, `"no.such"`) {
		t.Errorf("the fault says %q", text)
	}
	long := recordCall(t, h, callOf(t, strings.Repeat("x", 5000))).wantFault(t, xmlrpc.CodeMethodNotFound)
	if len(long) > 300 {
		t.Errorf("the fault repeats %d letters", len(long))
	}
}

func TestNilAndI8GoOnlyToThoseWhoSentThem(t *testing.T) {
	r := xmlrpc.NewRegistry()
	register(t, r, "both", func(...any) (any, error) {
		return map[string]any{"nothing": nil, "large": int64(1) << 40}, nil
	}, "")
	h := xmlrpc.NewHandler(r)
	const large = 1 << 40
	for name, c := range map[string]struct {
		params []any
		want   map[string]any
	}{
		"neither": {nil, map[string]any{"large": "1099511627776"}},
		"nil":     {[]any{nil}, map[string]any{"nothing": nil, "large": "1099511627776"}},
		"i8":      {[]any{int64(large)}, map[string]any{"large": int64(large)}},
		"both":    {[]any{nil, int64(large)}, map[string]any{"nothing": nil, "large": int64(large)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := recordCall(t, h, callOf(t, "both", c.params...)).wantValue(t)
			if !reflect.DeepEqual(got, any(c.want)) {
				t.Errorf("got %#v\nwant %#v", got, c.want)
			}
		})
	}
}

func TestAnswersAreWrittenAsTheOptionsSay(t *testing.T) {
	r := xmlrpc.NewRegistry()
	register(t, r, "odd", func(...any) (any, error) { return map[string]any{"text": "a\x01b", "none": nil}, nil }, "")
	drop := xmlrpc.NewHandler(r, xmlrpc.WithEncoding(xmlrpc.WithForbidden(xmlrpc.DropForbidden), xmlrpc.WithFeatures(xmlrpc.Features{Nil: true})))
	if got := recordCall(t, drop, callOf(t, "odd")).wantValue(t); !reflect.DeepEqual(got, any(map[string]any{"text": "ab"})) {
		t.Errorf("got %q", got)
	}
	if got := recordCall(t, drop, callOf(t, "odd", nil)).wantValue(t); !reflect.DeepEqual(got, any(map[string]any{"text": "ab", "none": nil})) {
		t.Errorf("got %q", got)
	}
	refuse := xmlrpc.NewHandler(r, xmlrpc.WithEncoding(xmlrpc.WithForbidden(xmlrpc.RefuseForbidden)), xmlrpc.WithLogger(slog.New(slog.DiscardHandler)))
	recordCall(t, refuse, callOf(t, "odd")).wantFault(t, xmlrpc.CodeInternalError)
}

// hooks records what WithBefore and WithAfter are called with.
type hooks struct {
	mu     sync.Mutex
	events []string
	refuse string
}

func (k *hooks) options() []xmlrpc.HandlerOption {
	return []xmlrpc.HandlerOption{
		xmlrpc.WithLogger(slog.New(slog.DiscardHandler)),
		xmlrpc.WithBefore(func(ctx context.Context, info *xmlrpc.CallInfo) error {
			k.add("before %s %v", info.Method, info.Known)
			info.Header.Set("RateLimit", info.Method)
			if xmlrpc.RequestFromContext(ctx) != info.Request {
				return errors.New("the context has another request")
			}
			if info.Method == k.refuse {
				return waitFault{time.Minute}
			}
			return nil
		}),
		xmlrpc.WithAfter(func(_ context.Context, info *xmlrpc.CallInfo, err error, took time.Duration) {
			if took < 0 || took > time.Hour {
				k.add("took %v", took)
			}
			var coder xmlrpc.FaultCoder
			if errors.As(err, &coder) {
				k.add("after %s %d", info.Method, coder.FaultCode())
				return
			}
			k.add("after %s %v", info.Method, err)
		}),
	}
}

func (k *hooks) add(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, fmt.Sprintf(format, args...))
}

func (k *hooks) want(t *testing.T, want ...string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !reflect.DeepEqual(k.events, want) {
		t.Errorf("got  %q\nwant %q", k.events, want)
	}
	k.events = nil
}

func TestEveryCallIsAskedForAndTold(t *testing.T) {
	k := &hooks{refuse: "newBugTrackerToken"}
	r := echoRegistry(t)
	register(t, r, "fail", func() (int, error) { return 0, errors.New("no") }, "")
	h := xmlrpc.NewHandler(r, k.options()...)

	answer := recordCall(t, h, pingDocument)
	answer.wantValue(t)
	k.want(t, "before bridge.echo true", "after bridge.echo <nil>")
	if answer.header.Get("RateLimit") != "bridge.echo" {
		t.Error("the header that was set did not arrive")
	}

	answer = recordCall(t, h, callOf(t, "newBugTrackerToken"))
	answer.wantFault(t, 429)
	k.want(t, "before newBugTrackerToken true", "after newBugTrackerToken 429")
	if answer.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After is %q", answer.header.Get("Retry-After"))
	}

	recordCall(t, h, callOf(t, "fail")).wantFault(t, xmlrpc.CodeApplicationError)
	k.want(t, "before fail true", "after fail no")
	recordCall(t, h, callOf(t, "no.such")).wantFault(t, xmlrpc.CodeMethodNotFound)
	k.want(t, "before no.such false", "after no.such -32601")
	recordCall(t, h, callOf(t, "fail", 1)).wantFault(t, xmlrpc.CodeInvalidParams)
	k.want(t, "before fail true", "after fail -32602")
	recordCall(t, h, callOf(t, "system.listMethods")).wantValue(t)
	k.want(t, "before system.listMethods true", "after system.listMethods <nil>")
	recordCall(t, h, "<oops").wantFault(t, xmlrpc.CodeNotWellFormed)
	k.want(t, "after  -32700")
}

func TestAContextOutsideOfAMethodHasNoRequest(t *testing.T) {
	if r := xmlrpc.RequestFromContext(t.Context()); r != nil {
		t.Errorf("got %v", r)
	}
}

func TestTheDeadlineOfTheRequestReachesTheMethod(t *testing.T) {
	r := xmlrpc.NewRegistry()
	register(t, r, "wait", func(ctx context.Context) (bool, error) {
		<-ctx.Done()
		return false, ctx.Err()
	}, "")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(callOf(t, "wait")))
	xmlrpc.NewHandler(r).ServeHTTP(w, req)
	rawAnswer{status: w.Code, header: w.Header(), length: int64(w.Body.Len()), body: w.Body.Bytes()}.wantFault(t, xmlrpc.CodeSystemError)
}
