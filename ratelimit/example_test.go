package ratelimit_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

// A route on which a wrong answer costs more than a right one: each caller may
// come twice at once, and fail once.
func Example() {
	rate, err := ratelimit.ParseRate("1/h")
	if err != nil {
		log.Fatal(err)
	}
	limiter, err := ratelimit.NewLocal(ratelimit.DefaultMaxCallers, nil)
	if err != nil {
		log.Fatal(err)
	}
	throttle, err := ratelimit.NewThrottle(limiter, ratelimit.Callers{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	gate, err := throttle.Gate(
		[]ratelimit.Rule{{Policy: ratelimit.Policy{Name: "handshake", Rate: rate, Burst: 2}}},
		[]ratelimit.Rule{{Policy: ratelimit.Policy{Name: "handshake_failures", Rate: rate, Burst: 1}}},
	)
	if err != nil {
		log.Fatal(err)
	}

	handler := func(w http.ResponseWriter, r *http.Request) {
		if err := gate.Admit(r, w.Header()); err != nil {
			apierror.Write(w, r, err)
			return
		}
		gate.Failed(r)
		apierror.Write(w, r, apierror.New(apierror.TokenInvalid))
	}
	for range 2 {
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest(http.MethodPost, "/", nil))
		fmt.Println(w.Code, w.Body)
		fmt.Println("RateLimit-Policy:", w.Header().Get("RateLimit-Policy"))
	}
	// Output:
	// 410 Token has already been used or is invalid.
	// RateLimit-Policy: "handshake";q=2;w=7200, "handshake_failures";q=1;w=3600
	// 429 Too many requests. Please try again later.
	// RateLimit-Policy: "handshake_failures";q=1;w=3600
}
