package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
)

func TestARequestToThePrivateSideEndsAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		h := entered(25*time.Second, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			below, cancel := context.WithCancel(r.Context())
			defer cancel()
			<-below.Done()
			if took := time.Since(begun); took != 25*time.Second {
				t.Errorf("it ended after %v", took)
			}
			for _, ctx := range []context.Context{r.Context(), below} {
				if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Errorf("it ended with %v", ctx.Err())
				}
			}
			if deadline, ok := below.Deadline(); !ok || !deadline.Equal(begun.Add(25*time.Second)) {
				t.Errorf("the deadline is %v", deadline)
			}
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/RPC2", nil))
	})
}

func TestARequestToThePrivateSideEndsWhenItsCallerGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := entered(time.Hour, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		if !errors.Is(r.Context().Err(), context.Canceled) {
			t.Errorf("it ended with %v", r.Context().Err())
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/RPC2", nil))
}

func TestWhatIsBelowThePrivateSideKnowsWhereARequestCameFrom(t *testing.T) {
	called := false
	w := httptest.NewRecorder()
	h := entered(time.Hour, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		below, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		v, ok := below.Value(visitKey{}).(*visit)
		if !ok || v.subject.Addr != netip.MustParseAddr("192.0.2.7") || v.subject.User != "zoe" {
			t.Errorf("the visit is %+v", v)
		}
		v.header.Set("RateLimit", "x")
		want := audit.Origin{Caller: netip.MustParseAddr("192.0.2.7"), Listener: listenerPrivate, Route: routeBugs}
		if got := audit.OriginOf(below); got != want {
			t.Errorf("the origin is %+v", got)
		}
	}))
	r := httptest.NewRequest(http.MethodPost, "/bugs/", nil)
	r.RemoteAddr = "192.0.2.7:4000"
	r.SetBasicAuth("zoe", "secret")
	h.ServeHTTP(w, r)
	if !called || w.Header().Get("RateLimit") == "" {
		t.Error("the visit has not the header of the answer")
	}
}
