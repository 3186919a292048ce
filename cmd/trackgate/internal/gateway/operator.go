package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
)

// Operator is what operators can do with tokens.
type Operator interface {
	// Mint makes a bug-tracker token, for one tracker or, with "", for none.
	Mint(ctx context.Context, tracker string) (Minted, error)
	// Show tells about a token.
	Show(ctx context.Context, ref TokenRef) (TokenInfo, error)
	// Revoke ends a live token and tells about it.
	Revoke(ctx context.Context, ref TokenRef) (TokenInfo, error)
}

// Minted is a new token.
type Minted struct {
	Token       string `json:"token"`
	Fingerprint string `json:"fingerprint"`
}

// TokenRef names a token: by its text or by its fingerprint.
type TokenRef struct {
	Token       string `json:"token,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// name is the fingerprint, which may be written down.
func (r TokenRef) name() string {
	if id, ok := handshake.ParseToken(r.Token); ok {
		return id.Fingerprint().String()
	}
	return r.Fingerprint
}

// TokenInfo is what the store knows of a token. Times are zero where they do
// not apply.
type TokenInfo struct {
	Found       bool      `json:"found"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Kind        string    `json:"kind,omitempty"`
	Tracker     string    `json:"tracker,omitempty"`
	Status      string    `json:"status,omitempty"`
	Minted      time.Time `json:"minted,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	Ended       time.Time `json:"ended,omitzero"`
}

// localOperator works on a store that this process has open.
type localOperator struct {
	authority *handshake.Authority
}

var _ Operator = localOperator{}

func (o localOperator) Mint(ctx context.Context, tracker string) (Minted, error) {
	token, fingerprint, err := o.authority.Mint(ctx, handshake.BugTracker, tracker)
	if err != nil {
		return Minted{}, err
	}
	return Minted{Token: token, Fingerprint: fingerprint.String()}, nil
}

func (o localOperator) Show(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return about(ctx, ref, o.authority.Lookup, o.authority.Find)
}

func (o localOperator) Revoke(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return about(ctx, ref,
		func(ctx context.Context, token string) (handshake.Record, bool, error) {
			r, _, err := o.authority.Revoke(ctx, token)
			return r, r.ID != handshake.ID{}, err
		},
		func(ctx context.Context, f handshake.Fingerprint) (handshake.Record, bool, error) {
			r, _, err := o.authority.RevokeFingerprint(ctx, f)
			return r, r.ID != handshake.ID{}, err
		})
}

func about(
	ctx context.Context, ref TokenRef,
	byToken func(context.Context, string) (handshake.Record, bool, error),
	byFingerprint func(context.Context, handshake.Fingerprint) (handshake.Record, bool, error),
) (TokenInfo, error) {
	var record handshake.Record
	var found bool
	var err error
	if ref.Token != "" {
		record, found, err = byToken(ctx, ref.Token)
	} else {
		var f handshake.Fingerprint
		if f, err = handshake.ParseFingerprint(ref.Fingerprint); err != nil {
			return TokenInfo{}, apierror.New(apierror.InvalidData).WithDetail(err.Error())
		}
		record, found, err = byFingerprint(ctx, f)
	}
	if err != nil || !found {
		return TokenInfo{Fingerprint: ref.Fingerprint}, err
	}
	return infoOf(record, time.Now()), nil
}

func infoOf(r handshake.Record, now time.Time) TokenInfo {
	info := TokenInfo{
		Found:       true,
		Fingerprint: r.ID.Fingerprint().String(),
		Kind:        r.Kind.String(),
		Tracker:     r.Tracker,
		Status:      r.State(now),
		Minted:      r.Minted().UTC(),
		Expires:     r.Expires.UTC(),
	}
	if !r.Ended.IsZero() {
		info.Ended = r.Ended.UTC()
	}
	return info
}

// remoteOperator asks a running gateway through its socket.
type remoteOperator struct {
	client *http.Client
}

var _ Operator = (*remoteOperator)(nil)

// ErrNoGateway says that no gateway runs on a data directory.
var ErrNoGateway = errors.New("no gateway runs on this data directory")

// DialOperator reaches the gateway that runs on a data directory. The error
// wraps [ErrNoGateway] when none does.
func DialOperator(ctx context.Context, dir string) (Operator, error) {
	op, err := dialOperator(ctx, dir)
	if err != nil {
		return nil, err
	}
	return op, nil
}

func dialOperator(ctx context.Context, dir string) (*remoteOperator, error) {
	path := filepath.Join(dir, socketName)
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%w: %w", ErrNoGateway, err)
	case err != nil:
		return nil, fmt.Errorf("the running gateway cannot be reached: %w", err)
	}
	conn.Close()
	return &remoteOperator{client: &http.Client{
		Timeout: controlTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
		},
	}}, nil
}

func (o *remoteOperator) Mint(ctx context.Context, tracker string) (Minted, error) {
	return ask[Minted](ctx, o, pathMint, mintQuestion{Tracker: tracker})
}

func (o *remoteOperator) Show(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return ask[TokenInfo](ctx, o, pathShow, ref)
}

func (o *remoteOperator) Revoke(ctx context.Context, ref TokenRef) (TokenInfo, error) {
	return ask[TokenInfo](ctx, o, pathRevoke, ref)
}

func ask[A any](ctx context.Context, o *remoteOperator, path string, question any) (A, error) {
	var answer A
	body, err := json.Marshal(question)
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	res, err := o.client.Do(req)
	if err != nil {
		return answer, fmt.Errorf("the running gateway does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxControlAnswer))
	if err != nil {
		return answer, fmt.Errorf("the running gateway does not answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var refusal struct {
			Code    apierror.Name  `json:"code"`
			Message string         `json:"message"`
			Extra   map[string]any `json:"extra"`
		}
		if err := json.Unmarshal(text, &refusal); err != nil {
			return answer, fmt.Errorf("the running gateway answered HTTP %d", res.StatusCode)
		}
		detail, _ := refusal.Extra["detail"].(string)
		return answer, apierror.New(refusal.Code).WithMessage(refusal.Message).WithDetail(detail)
	}
	return answer, json.Unmarshal(text, &answer)
}
