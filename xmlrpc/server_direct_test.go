package xmlrpc_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// named is a type of function that is called through reflection: what the others
// do must not differ from it.
type named func(context.Context, *string) (string, error)

func TestMethodsDoTheSameHoweverTheyAreCalled(t *testing.T) {
	one := func(ctx context.Context, s *string) (string, error) {
		switch {
		case xmlrpc.RequestFromContext(ctx) == nil:
			return "", errors.New("the context is not that of the request")
		case s == nil:
			return "none", nil
		case *s == "fail":
			return "not this", &xmlrpc.Fault{Code: 7, String: "seven"}
		case *s == "panic":
			panic("inside")
		}
		return *s, nil
	}
	for about, fn := range map[string]any{
		"with a context":       one,
		"by reflection":        named(one),
		"without a context":    func(s *string) (string, error) { return one(requestContext(t), s) },
		"no parameters":        func() (string, error) { return one(requestContext(t), nil) },
		"no more than context": func(ctx context.Context) (string, error) { return one(ctx, nil) },
	} {
		t.Run(about, func(t *testing.T) {
			r := xmlrpc.NewRegistry()
			register(t, r, "m", fn, "")
			h := xmlrpc.NewHandler(r, xmlrpc.WithLogger(slog.New(slog.DiscardHandler)))
			if body := string(recordCall(t, h, callOf(t, "m")).body); !strings.Contains(body, "<string>none</string>") {
				t.Errorf("without a parameter: got %s", body)
			}
			recordCall(t, h, callOf(t, "m", "a", "b")).wantFault(t, xmlrpc.CodeInvalidParams)
			if strings.HasPrefix(about, "no ") {
				recordCall(t, h, callOf(t, "m", "a")).wantFault(t, xmlrpc.CodeInvalidParams)
				return
			}
			if body := string(recordCall(t, h, callOf(t, "m", "<x>")).body); !strings.Contains(body, "<string>&lt;x&gt;</string>") {
				t.Errorf("with a parameter: got %s", body)
			}
			text := recordCall(t, h, callOf(t, "m", []any{1})).wantFault(t, xmlrpc.CodeInvalidParams)
			if !strings.Contains(text, "params[0]") || !strings.Contains(text, "expected m([string param1])") {
				t.Errorf("with a wrong parameter: the fault says %q", text)
			}
			if text := recordCall(t, h, callOf(t, "m", "fail")).wantFault(t, 7); text != "seven" {
				t.Errorf("the fault says %q", text)
			}
			recordCall(t, h, callOf(t, "m", "panic")).wantFault(t, xmlrpc.CodeInternalError)
		})
	}
}

// requestContext is a context in which one finds a request.
func requestContext(t *testing.T) context.Context {
	t.Helper()
	var found context.Context
	r := xmlrpc.NewRegistry()
	register(t, r, "keep", func(ctx context.Context) (string, error) {
		found = ctx
		return "", nil
	}, "")
	recordCall(t, xmlrpc.NewHandler(r), callOf(t, "keep"))
	return found
}
