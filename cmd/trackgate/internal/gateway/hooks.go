package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/hook"
)

// newHooks makes the handler of the configured web hooks.
func newHooks(cfg *config.Config, stores *stores, tokens *hook.Tokens, trail *audit.Trail, throttle *throttle, m *metrics, logger *slog.Logger) (http.Handler, error) {
	var hooks []*hook.Hook
	for i := range cfg.Hooks {
		h, err := hook.Declare(cfg.Hooks[i].Spec())
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, h)
	}
	log := hook.NewLogObserver(logger)
	return hook.NewHandler(stores.tokens, tokens, hooks,
		hook.WithAdmission(throttle.hooks), hook.WithCaller(throttle.callerAddr), hook.WithTrail(trail), hook.WithMaxBody(int64(cfg.Request.MaxHookBody)),
		hook.WithObserver(hook.ObserverFunc(func(ctx context.Context, e hook.Event) {
			m.hookCalled(e)
			log.Observe(ctx, e)
		})))
}

// HookOperator is what operators can do with the tokens of web hooks.
type HookOperator interface {
	// CreateHookToken makes a token for a hook, or with "" for all that have none of
	// their own. The one before is valid for the grace time.
	CreateHookToken(ctx context.Context, name string, grace time.Duration) (Minted, error)
	// ListHookTokens tells about all tokens.
	ListHookTokens(ctx context.Context) ([]hook.Info, error)
	// RevokeHookToken ends the tokens of a hook; false means that there are none.
	RevokeHookToken(ctx context.Context, name string) (bool, error)
}

// localHooks works on a store that this process has open.
type localHooks struct {
	tokens *hook.Tokens
	trail  *audit.Trail
}

var (
	_ HookOperator = localHooks{}
	_ HookOperator = (*remoteOperator)(nil)
)

func (l localHooks) CreateHookToken(ctx context.Context, name string, grace time.Duration) (Minted, error) {
	return command(ctx, l.trail, operatorCommand{name: "hook-token create", detail: name}, func(ctx context.Context) (Minted, error) {
		token, fingerprint, err := l.tokens.Create(ctx, name, grace)
		if err != nil {
			return Minted{}, known(err)
		}
		return Minted{Token: token, Fingerprint: fingerprint.String()}, nil
	})
}

func (l localHooks) ListHookTokens(ctx context.Context) ([]hook.Info, error) {
	return command(ctx, l.trail, operatorCommand{name: "hook-token list"}, l.tokens.List)
}

func (l localHooks) RevokeHookToken(ctx context.Context, name string) (bool, error) {
	return command(ctx, l.trail, operatorCommand{name: "hook-token revoke", detail: name}, func(ctx context.Context) (bool, error) {
		err := l.tokens.Revoke(ctx, name)
		if errors.Is(err, hook.ErrNoToken) {
			return false, nil
		}
		return err == nil, known(err)
	})
}

// known makes an error of the catalogue of one that says what is wrong with what
// was asked for.
func known(err error) error {
	var catalogued *apierror.Error
	if err == nil || errors.As(err, &catalogued) {
		return err
	}
	return apierror.New(apierror.InvalidData).WithDetail(err.Error())
}

// OpenHooks opens the store of a data directory for commands about the tokens of
// hooks, when no gateway runs there.
func OpenHooks(ctx context.Context, cfg *config.Config, env Environment) (HookOperator, func() error, error) {
	stores, err := openStores(ctx, cfg, env.DataDir, env.Logger)
	if err != nil {
		return nil, nil, err
	}
	if err := stores.tokens.Ping(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the store does not answer: %w", err), stores.close())
	}
	trail, err := openTrail(ctx, cfg, stores, env)
	if err != nil {
		return nil, nil, errors.Join(err, stores.close())
	}
	tokens := hook.NewTokens(stores.tokens.State(), hook.WithTokensTrail(trail))
	return localHooks{tokens, trail}, func() error {
		tokens.Close()
		return errors.Join(closeTrail(trail), stores.close())
	}, nil
}

// DialHooks reaches the gateway that runs on a data directory, as [DialOperator]
// does.
func DialHooks(ctx context.Context, dir string) (HookOperator, error) {
	op, err := dialOperator(ctx, dir)
	if err != nil {
		return nil, err
	}
	return op, nil
}

type hookQuestion struct {
	Hook  string        `json:"hook"`
	Grace time.Duration `json:"grace,omitempty"`
}

type hookAnswer struct {
	Found bool `json:"found"`
}

// serveHookTokens lets the operators' socket change the tokens of hooks.
func serveHookTokens(mux *http.ServeMux, op HookOperator, logger *slog.Logger) {
	handle(mux, logger, pathHookCreate, func(ctx context.Context, q hookQuestion) (Minted, error) {
		return op.CreateHookToken(ctx, q.Hook, q.Grace)
	})
	handle(mux, logger, pathHookList, func(ctx context.Context, _ struct{}) ([]hook.Info, error) { return op.ListHookTokens(ctx) })
	handle(mux, logger, pathHookRevoke, func(ctx context.Context, q hookQuestion) (hookAnswer, error) {
		found, err := op.RevokeHookToken(ctx, q.Hook)
		return hookAnswer{found}, err
	})
}

func (o *remoteOperator) CreateHookToken(ctx context.Context, name string, grace time.Duration) (Minted, error) {
	return ask[Minted](ctx, o, pathHookCreate, hookQuestion{name, grace})
}

func (o *remoteOperator) ListHookTokens(ctx context.Context) ([]hook.Info, error) {
	return ask[[]hook.Info](ctx, o, pathHookList, struct{}{})
}

func (o *remoteOperator) RevokeHookToken(ctx context.Context, name string) (bool, error) {
	answer, err := ask[hookAnswer](ctx, o, pathHookRevoke, hookQuestion{Hook: name})
	return answer.Found, err
}
