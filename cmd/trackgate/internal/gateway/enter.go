package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/ratelimit"
)

// privateContext is the context of a request to the private side: it ends after
// the time that the request may take, and holds where the request came from. All of
// it is in one context, so that the request is copied only once.
type privateContext struct {
	context.Context
	visit visit
}

var _ context.Context = (*privateContext)(nil)

// Value returns the visit for its key.
func (c *privateContext) Value(key any) any {
	if key == (visitKey{}) {
		return &c.visit
	}
	return c.Context.Value(key)
}

// entered gives each request to next its context. Only the private side needs one
// that ends: what the others do has limits of its own, far below.
func entered(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &privateContext{visit: visit{subject: ratelimit.Callers{}.SubjectOf(r), header: w.Header()}}
		origin := audit.Origin{Caller: c.visit.subject.Addr, Listener: listenerPrivate, Route: routeOf(r.URL.Path)}
		limited, cancel := context.WithTimeout(audit.WithOrigin(r.Context(), origin), limit)
		defer cancel()
		c.Context = limited
		next.ServeHTTP(w, r.WithContext(c))
	})
}
