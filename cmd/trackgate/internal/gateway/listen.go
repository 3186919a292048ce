package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
)

// idleTimeout is how long a connection that is kept open may wait for its next
// request.
const idleTimeout = 2 * time.Minute

// answerSlack is the time for sending an answer, beyond reading and handling.
const answerSlack = 10 * time.Second

// listener is one of the three, with its server.
type listener struct {
	name   string
	net    net.Listener
	server *http.Server
}

// listen opens the address that key configures. An error says which address and
// which key.
func listen(key, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use by another program; stop it or choose another address with --set %s=HOST:PORT", key, addr, key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: %s needs more rights than this user has; choose a port above 1023 with --set %s=HOST:PORT", key, addr, key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: this machine does not have the address %s; choose another with --set %s=HOST:PORT", key, addr, key)
	case err != nil:
		return nil, fmt.Errorf("%s: %w; choose another address with --set %s=HOST:PORT", key, err, key)
	}
	return ln, nil
}

// newServer makes a server within the limits of the configuration.
func newServer(limits config.Request, handler http.Handler, logger *slog.Logger) *http.Server {
	read, handle := time.Duration(limits.BodyTimeout), time.Duration(limits.HandlerTimeout)
	return &http.Server{
		Handler:           recovered(logger, handler),
		ReadHeaderTimeout: time.Duration(limits.HeaderTimeout),
		ReadTimeout:       read,
		WriteTimeout:      read + handle + answerSlack,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    limits.MaxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		// "OPTIONS *" is answered by the handlers like anything else.
		DisableGeneralOptionsHandler: true,
	}
}

// recovered answers SERVER_ERROR when a handler panics, and logs where, without
// the URL, which may hold a token.
func recovered(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v) // net/http's own way to end a connection
			default:
				logger.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				apierror.Write(w, r, apierror.New(apierror.ServerError))
			}
		}()
		next.ServeHTTP(w, r)
	})
}
