package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// socketName is the operators' socket in the data directory.
const socketName = "control.sock"

// controlTimeout bounds one operator command, which may read through the store.
const controlTimeout = 5 * time.Minute

// maxControlBody bounds a request on the operators' socket, in bytes.
const maxControlBody = 1 << 20

// Paths on the operators' socket.
const (
	pathMint   = "/token/mint"
	pathShow   = "/token/show"
	pathRevoke = "/token/revoke"
)

// listenControl opens the operators' socket, which only the owner of the data
// directory may use. A socket that a dead gateway left is taken over; the
// caller must know that no gateway runs.
func listenControl(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("operators' socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("operators' socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("operators' socket: %w", err)
	}
	return ln, nil
}

// controlHandler serves operator commands to the socket.
func controlHandler(op Operator, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	handle(mux, pathMint, func(ctx context.Context, q mintQuestion) (Minted, error) { return op.Mint(ctx, q.Tracker) })
	handle(mux, pathShow, op.Show)
	handle(mux, pathRevoke, func(ctx context.Context, ref TokenRef) (TokenInfo, error) {
		info, err := op.Revoke(ctx, ref)
		logger.InfoContext(ctx, "operator command", "command", "token revoke", "token", info.Fingerprint, "found", info.Found)
		return info, err
	})
	return mux
}

type mintQuestion struct {
	Tracker string `json:"tracker"`
}

// handle serves one command: a JSON question, a JSON answer.
func handle[Q, A any](mux *http.ServeMux, path string, command func(context.Context, Q) (A, error)) {
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), controlTimeout)
		defer cancel()
		var question Q
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody)).Decode(&question); err != nil {
			apierror.WriteJSON(w, apierror.New(apierror.InvalidData).WithCause(err))
			return
		}
		answer, err := command(ctx, question)
		if err != nil {
			apierror.WriteJSON(w, err)
			return
		}
		w.Header().Set("Content-Type", apierror.ContentTypeJSON)
		_ = json.NewEncoder(w).Encode(answer) // an operator who is gone cannot be told so
	})
}
