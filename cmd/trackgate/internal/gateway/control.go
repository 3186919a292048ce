package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// socketName is the operators' socket in the data directory.
const socketName = "control.sock"

// controlTimeout bounds one operator command, which may read through the store.
const controlTimeout = 5 * time.Minute

// maxControlBody bounds a request on the operators' socket, in bytes.
const maxControlBody = 1 << 20

// maxControlAnswer bounds an answer on it, which may be a part of the trail.
const maxControlAnswer = 256 << 20

// Paths on the operators' socket.
const (
	pathMint   = "/token/mint"
	pathShow   = "/token/show"
	pathRevoke = "/token/revoke"
	pathLimits = "/limits/show"
	pathReset  = "/limits/reset"

	pathHookCreate = "/hook-token/create"
	pathHookList   = "/hook-token/list"
	pathHookRevoke = "/hook-token/revoke"

	pathTrailRead  = "/audit/read"
	pathTrailHeads = "/audit/heads"
	pathTrailWait  = "/audit/wait"
)

// lockName is the file in the data directory whose lock goes with the socket.
const lockName = "control.lock"

// controlSocket is the operators' socket of the one gateway that has the lock.
type controlSocket struct {
	net.Listener
	lock *os.File
}

// listenControl opens the operators' socket, which only the owner of the data
// directory may use. It fails when another gateway has it; a socket that a dead
// one left is taken over. Gateways that share a directory without sharing a bolt
// file are told apart by nothing else.
func listenControl(dir string) (*controlSocket, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, errors.New("another gateway on this data directory has the operators' socket")
	}
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		lock.Close()
		return nil, err
	}
	// The mode must be right before anybody can connect.
	mask := syscall.Umask(0o177)
	ln, err := net.Listen("unix", path)
	syscall.Umask(mask)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &controlSocket{Listener: ln, lock: lock}, nil
}

// Close removes the socket, and then lets go of the lock.
func (s *controlSocket) Close() error {
	return errors.Join(s.Listener.Close(), s.lock.Close())
}

// controlHandler serves operator commands to the socket.
func controlHandler(op auditedOperator, limits LimitsOperator, hooks HookOperator, blocks readTrail, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	handle(mux, logger, pathMint, func(ctx context.Context, q mintQuestion) (Minted, error) { return op.Mint(ctx, q.Tracker) })
	handle(mux, logger, pathShow, op.Show)
	handle(mux, logger, pathRevoke, func(ctx context.Context, ref TokenRef) (TokenInfo, error) {
		info, err := op.Revoke(ctx, ref)
		if err == nil {
			logger.InfoContext(ctx, "operator command", "command", "token revoke", "token", info.Fingerprint, "found", info.Found)
		}
		return info, err
	})
	handle(mux, logger, pathLimits, func(ctx context.Context, q limitsQuestion) (LimitsInfo, error) {
		return command(ctx, op.trail, operatorCommand{name: "limits show", detail: q.Key}, func(ctx context.Context) (LimitsInfo, error) {
			return limits.ShowLimits(ctx, q.Key)
		})
	})
	handle(mux, logger, pathReset, func(ctx context.Context, q limitsQuestion) (LimitsInfo, error) {
		info, err := command(ctx, op.trail, operatorCommand{name: "limits reset", detail: q.Key}, func(ctx context.Context) (LimitsInfo, error) {
			return limits.ResetLimits(ctx, q.Key)
		})
		if err == nil {
			logger.InfoContext(ctx, "operator command", "command", "limits reset", "buckets", len(info.Buckets()))
		}
		return info, err
	})
	serveHookTokens(mux, hooks, logger)
	blocks.serve(mux, logger)
	return mux
}

type mintQuestion struct {
	Tracker string `json:"tracker"`
}

// handle serves one command: a JSON question, a JSON answer.
func handle[Q, A any](mux *http.ServeMux, logger *slog.Logger, path string, command func(context.Context, Q) (A, error)) {
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
			logger.ErrorContext(ctx, "an operator command failed", "command", path, "error", err)
			apierror.WriteJSON(w, err)
			return
		}
		w.Header().Set("Content-Type", apierror.ContentTypeJSON)
		_ = json.NewEncoder(w).Encode(answer) // an operator who is gone cannot be told so
	})
}
