package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake/audit"
)

// operatorCommand is a command of an operator as the trail names it.
type operatorCommand struct {
	name, subject, detail string
}

// command carries out what an operator asks for. That it was asked for stands in
// the trail before, and what came of it after.
func command[A any](ctx context.Context, trail *audit.Trail, c operatorCommand, do func(context.Context) (A, error)) (A, error) {
	ctx = audit.WithOrigin(ctx, audit.Origin{Listener: listenerControl})
	e := audit.Entry{
		Subsystem: audit.SubsystemOperator, Code: audit.OperatorCommand, Outcome: audit.Intended,
		Name: c.name, Subject: c.subject, Detail: c.detail,
	}
	if err := trail.Record(ctx, e); err != nil {
		var none A
		return none, err
	}
	answer, err := do(ctx)
	e.Outcome = audit.Done
	if err != nil {
		e.Outcome, e.Reason = audit.Failed, "failed"
		if known := new(apierror.Error); errors.As(err, &known) {
			e.Reason = strings.ToLower(string(known.Name()))
		}
	}
	trail.Note(ctx, e)
	return answer, err
}

// auditedOperator has its commands in the trail.
type auditedOperator struct {
	next  Operator
	trail *audit.Trail
}

var _ Operator = auditedOperator{}

// Mint makes a token.
func (o auditedOperator) Mint(ctx context.Context, tracker string) (Minted, error) {
	return command(ctx, o.trail, operatorCommand{name: "token mint", detail: tracker}, func(ctx context.Context) (Minted, error) {
		return o.next.Mint(ctx, tracker)
	})
}

// Show tells about a token.
func (o auditedOperator) Show(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return command(ctx, o.trail, operatorCommand{name: "token show", subject: ref.name()}, func(ctx context.Context) (TokenInfo, error) {
		return o.next.Show(ctx, ref)
	})
}

// Revoke ends a token.
func (o auditedOperator) Revoke(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return command(ctx, o.trail, operatorCommand{name: "token revoke", subject: ref.name()}, func(ctx context.Context) (TokenInfo, error) {
		return o.next.Revoke(ctx, ref)
	})
}

// Bounds of one question about the trail on the operators' socket.
const (
	maxTrailBlocks = 64
	trailWaitLimit = 20 * time.Second
)

// OpenTrailReader gives operators the trail to read: that of the gateway that runs
// on a data directory, through its socket, or else that of the store.
func OpenTrailReader(ctx context.Context, cfg *config.Config, dir string, logger *slog.Logger) (audit.Store, func() error, error) {
	op, err := dialOperator(ctx, dir)
	if err == nil {
		return remoteTrail{remote: op}, func() error { return nil }, nil
	}
	if !errors.Is(err, ErrNoGateway) {
		return nil, nil, err
	}
	stores, err := openStores(ctx, cfg, dir, logger)
	if err != nil {
		return nil, nil, err
	}
	return stores.tokens.Trail(), stores.close, nil
}

type trailQuestion struct {
	After string `json:"after"`
	Limit int    `json:"limit,omitempty"`
}

// readTrail is the trail for the operators' socket, until the gateway stops.
type readTrail struct {
	audit.Store
	stopped context.Context
}

// serve lets the socket read the trail, which is no entry of it: it would be there
// before whoever follows it could see that there is none.
func (t readTrail) serve(mux *http.ServeMux, logger *slog.Logger) {
	handle(mux, logger, pathTrailRead, func(ctx context.Context, q trailQuestion) ([]audit.Block, error) {
		return t.Read(ctx, q.After, min(max(q.Limit, 1), maxTrailBlocks))
	})
	handle(mux, logger, pathTrailHeads, func(ctx context.Context, _ struct{}) ([]audit.Head, error) { return t.Heads(ctx) })
	handle(mux, logger, pathTrailWait, func(ctx context.Context, q trailQuestion) (struct{}, error) {
		waiting, cancel := context.WithTimeout(ctx, trailWaitLimit)
		defer cancel()
		// Or a gateway that stops would wait for those who follow its trail.
		defer context.AfterFunc(t.stopped, cancel)()
		err := t.Wait(waiting, q.After)
		if waiting.Err() != nil && ctx.Err() == nil {
			err = nil // there may be something by now, or not
		}
		return struct{}{}, err
	})
}

// remoteTrail reads the trail of a running gateway.
type remoteTrail struct {
	audit.Store // nil: a reader changes nothing
	remote      *remoteOperator
}

func (t remoteTrail) Read(ctx context.Context, after string, limit int) ([]audit.Block, error) {
	return ask[[]audit.Block](ctx, t.remote, pathTrailRead, trailQuestion{After: after, Limit: limit})
}

func (t remoteTrail) Heads(ctx context.Context) ([]audit.Head, error) {
	return ask[[]audit.Head](ctx, t.remote, pathTrailHeads, struct{}{})
}

func (t remoteTrail) Wait(ctx context.Context, after string) error {
	_, err := ask[struct{}](ctx, t.remote, pathTrailWait, trailQuestion{After: after})
	return err
}
