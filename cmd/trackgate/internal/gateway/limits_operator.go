package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

// LimitsOperator is what operators can do with the limits of a running gateway.
//
// A key is an address, USER@ADDRESS, the name of a tracker, or one of the first
// two with +TRACKER after it.
type LimitsOperator interface {
	// ShowLimits tells about all policies and, with a key, how it stands with them.
	ShowLimits(ctx context.Context, key string) (LimitsInfo, error)
	// ResetLimits fills the buckets of a key, and tells how it stands then.
	ResetLimits(ctx context.Context, key string) (LimitsInfo, error)
}

// LimitsInfo is what a gateway knows about its limits.
type LimitsInfo struct {
	// Counted says where decisions come from: "redis" or "local". Local decisions of
	// gateways that share a Redis are by each one's part of the policies.
	Counted  string       `json:"counted"`
	Replicas int          `json:"replicas"`
	Exempt   []string     `json:"exempt"`
	Policies []PolicyInfo `json:"policies"`
	// LiveTokens is how many tokens the address has that are neither used nor
	// expired, about; there is none without a limit for them.
	LiveTokens *int `json:"live_tokens,omitempty"`
	MaxLive    int  `json:"max_live"`
}

// PolicyInfo is one policy.
type PolicyInfo struct {
	Name       string `json:"name"`
	On         string `json:"on"`
	Per        string `json:"per"`
	Rate       string `json:"rate"`
	Burst      int    `json:"burst"`
	Cost       int    `json:"cost"`
	Enforce    bool   `json:"enforce"`
	IPv4Prefix int    `json:"ipv4_prefix"`
	IPv6Prefix int    `json:"ipv6_prefix"`
	// Bucket is how the key stands; there is none where the policy does not count
	// by what the key is.
	Bucket *BucketInfo `json:"bucket,omitempty"`
}

// BucketInfo is how somebody stands with a policy.
type BucketInfo struct {
	Key       string `json:"key"` // as it is counted
	Limit     int    `json:"limit"`
	Remaining int    `json:"remaining"`
	// ResetSeconds is when the bucket is full again, in seconds from now.
	ResetSeconds float64 `json:"reset_seconds"`
}

// Buckets are those of all policies.
func (i LimitsInfo) Buckets() []BucketInfo {
	var all []BucketInfo
	for _, p := range i.Policies {
		if p.Bucket != nil {
			all = append(all, *p.Bucket)
		}
	}
	return all
}

var (
	_ LimitsOperator = (*throttle)(nil)
	_ LimitsOperator = (*remoteOperator)(nil)
)

// ShowLimits implements [LimitsOperator].
func (t *throttle) ShowLimits(ctx context.Context, key string) (LimitsInfo, error) {
	info := LimitsInfo{Counted: t.state(), Replicas: t.limits.Replicas, Exempt: []string{}, Policies: []PolicyInfo{}, MaxLive: t.live.max}
	for _, n := range t.limits.Exempt {
		info.Exempt = append(info.Exempt, n.String())
	}
	var s ratelimit.Subject
	if key != "" {
		var err error
		if s, err = t.subject(key); err != nil {
			return LimitsInfo{}, err
		}
	}
	for _, p := range t.policies {
		rule := p.Rule()
		about := PolicyInfo{
			Name: p.Name, On: p.On, Per: p.Per, Rate: p.Rate.String(), Burst: p.Burst, Cost: max(p.Cost, 1), Enforce: p.Enforce.On(),
			IPv4Prefix: p.IPv4Prefix, IPv6Prefix: p.IPv6Prefix,
		}
		if key != "" && rule.Names(s) && !p.Rate.IsOff() {
			d, holds, err := t.public.Look(ctx, s, rule)
			if err != nil {
				return LimitsInfo{}, apierror.New(apierror.StoreUnavailable).WithCause(err)
			}
			if holds {
				caller, _ := rule.Caller(s)
				about.Bucket = &BucketInfo{Key: string(caller), Limit: d.Limit, Remaining: d.Remaining, ResetSeconds: d.ResetAfter.Round(time.Millisecond).Seconds()}
			}
		}
		info.Policies = append(info.Policies, about)
	}
	if s.Addr.IsValid() && t.live.max > 0 {
		if n, err := t.live.ledger.live(ctx, ratelimit.CallerOf(s.Addr), 0); err == nil {
			info.LiveTokens = &n
		}
	}
	return info, nil
}

// ResetLimits implements [LimitsOperator].
func (t *throttle) ResetLimits(ctx context.Context, key string) (LimitsInfo, error) {
	s, err := t.subject(key)
	if err != nil {
		return LimitsInfo{}, err
	}
	var failed error
	for _, p := range t.policies {
		if rule := p.Rule(); rule.Names(s) && !p.Rate.IsOff() {
			failed = errors.Join(failed, t.public.Reset(ctx, s, rule))
		}
	}
	if failed != nil {
		return LimitsInfo{}, apierror.New(apierror.StoreUnavailable).
			WithMessage("Redis does not answer: only what this gateway counted itself is reset.").WithCause(failed)
	}
	return t.ShowLimits(ctx, key)
}

func (t *throttle) subject(key string) (ratelimit.Subject, error) {
	s, err := ratelimit.ParseSubject(key, func(name string) bool { return t.trackers[name] })
	if err != nil {
		return s, apierror.New(apierror.InvalidData).
			WithMessage("A key is an address, USER@ADDRESS, the name of a configured tracker, or one of the first two with +TRACKER after it.")
	}
	return s, nil
}

type limitsQuestion struct {
	Key string `json:"key"`
}

// DialLimits reaches the gateway that runs on a data directory, as
// [DialOperator] does. Nothing but a running gateway knows how limits stand.
func DialLimits(ctx context.Context, dir string) (LimitsOperator, error) {
	op, err := dialOperator(ctx, dir)
	if err != nil {
		return nil, err
	}
	return op, nil
}

func (o *remoteOperator) ShowLimits(ctx context.Context, key string) (LimitsInfo, error) {
	return ask[LimitsInfo](ctx, o, pathLimits, limitsQuestion{Key: key})
}

func (o *remoteOperator) ResetLimits(ctx context.Context, key string) (LimitsInfo, error) {
	return ask[LimitsInfo](ctx, o, pathReset, limitsQuestion{Key: key})
}
