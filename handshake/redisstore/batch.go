package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// stamp is an argument of a command that depends on the reign in which the
// command is executed. [batches] fills it in when a shared pipeline is about to be
// sent, and leaves in it what became of the pipeline.
type stamp struct {
	batches *batches
	// value is that of a token that is minted, without the label; "" when the
	// argument is for a script that looks at a token.
	value string
	reign *reign // nil without a fence
	// writes is how often the command has been written to the connection of the hook
	// under way, and resent whether it has been sent more than once in all.
	writes int
	resent bool
	// outcome is why the answer to the command must not be relied on.
	outcome error
}

// The modes of a stamp for a script: any token, tokens of the reign and those
// without a label, tokens of the reign only.
const (
	modeAny        = "*"
	modeUnlabelled = "?"
	modeLabelled   = "!"
)

// MarshalBinary gives the argument when the command is written.
func (s *stamp) MarshalBinary() ([]byte, error) {
	s.writes++
	switch r := s.reign; {
	case s.value != "" && r != nil && r.labels():
		return []byte(labelled(r.label, s.value)), nil
	case s.value != "":
		return []byte(s.value), nil
	case r == nil:
		return []byte(modeAny), nil
	case r.unlabelled():
		return []byte(modeUnlabelled + r.label), nil
	default:
		return []byte(modeLabelled + r.label), nil
	}
}

// keepsAll is whether the command was sent in a reign of which a restart loses
// nothing.
func (s *stamp) keepsAll() bool { return s.reign != nil && s.reign.unlabelled() }

// Why an answer must not be relied on.
var (
	// errUnconfirmed: the pipeline broke off before its end.
	errUnconfirmed = errors.New("redisstore: Redis did not confirm the change")
	// errReign: the server turned out to be in another reign than was thought.
	errReign = errors.New("redisstore: Redis was restarted or another server was promoted meanwhile")
	// errTwoReigns: a minting may have been sent to servers of two reigns.
	errTwoReigns = errors.New("redisstore: Redis was replaced while a token was minted, which may be live on two servers")
	// errReplica: a replica was set up to take changes that its primary never
	// hears of (replica-read-only no).
	errReplica = errors.New("redisstore: the server is a replica, whose changes are not kept")
	// errReplicas: too few replicas have the change.
	errReplicas = errors.New("redisstore: too few replicas have acknowledged the change in time")
)

// batches adds to every shared pipeline that has stamped commands what makes
// their answers reliable: WAIT, where replicas must acknowledge, and a question
// for the reign. One of each serves all commands of a pipeline.
//
// The question comes last. When it finds the reign that the stamps have, no
// command of the pipeline was executed in an earlier one on data that has been
// lost since.
type batches struct {
	fence    Fence
	replicas int
	limit    time.Duration
	// journal, when it is set, has blocks that a pipeline takes along.
	journal *journal
	// joins is whether commands about several keys may be one: not on a cluster.
	joins atomic.Bool
}

// idle is whether there is nothing to add.
func (b *batches) idle() bool { return b.fence == FenceNever && b.replicas == 0 }

// newStamp returns a stamp for one command. Should the command pass by a server
// that is not looked after, its answer counts as unconfirmed.
func (b *batches) newStamp() *stamp {
	if b.idle() {
		return &stamp{batches: b}
	}
	return &stamp{batches: b, outcome: errUnconfirmed}
}

// watch has the pipelines of a client looked after, on all nodes of a cluster.
func (b *batches) watch(client redis.UniversalClient) {
	switch client := client.(type) {
	case *redis.ClusterClient:
		client.OnNewNode(func(node *redis.Client) { node.AddHook(&server{batches: b, client: node}) })
	case *redis.Client:
		client.AddHook(&server{batches: b, client: client})
	}
}

// server is what is known of the server behind a client.
type server struct {
	batches *batches
	client  *redis.Client
	mu      sync.Mutex
	current *reign // nil until it is known, and when it may have ended
}

var _ redis.Hook = (*server)(nil)

// DialHook changes nothing.
func (*server) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook makes a pipeline of a stamped command that comes alone.
func (v *server) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if len(v.batches.stamps([]redis.Cmder{cmd})) == 0 {
			return next(ctx, cmd)
		}
		pipeline := v.client.Pipeline()
		_ = pipeline.Process(ctx, cmd) // queues it
		_, err := pipeline.Exec(ctx)
		if own := cmd.Err(); own != nil {
			return own
		}
		return err
	}
}

// ProcessPipelineHook sends a pipeline with what confirms it.
func (v *server) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		stamps := v.batches.stamps(cmds)
		if len(stamps) == 0 {
			return next(ctx, cmds)
		}
		r, err := v.reign(ctx)
		if err != nil {
			return err
		}
		for _, s := range stamps {
			s.resent = s.resent || s.reign != nil
			s.reign, s.outcome, s.writes = r, errUnconfirmed, 0
		}
		tail, ride := v.batches.newTail(ctx), v.batches.journal.board(ctx)
		sent, joined := v.batches.join(ctx, cmds)
		err = next(ctx, tail.after(ride.before(sent)))
		for _, j := range joined {
			j.share()
		}
		outcome := v.judge(r, tail)
		// Those who wait for the block are told before the callers of the commands wake.
		err = ride.land(cmds, err, outcome)
		for _, s := range stamps {
			s.outcome, s.resent = outcome, s.resent || s.writes > 1
		}
		return err
	}
}

// stamps returns those of a pipeline's commands.
func (b *batches) stamps(cmds []redis.Cmder) []*stamp {
	var found []*stamp
	for _, cmd := range cmds {
		for _, arg := range cmd.Args() {
			if s, ok := arg.(*stamp); ok && s.batches == b {
				found = append(found, s)
			}
		}
	}
	return found
}

// reign returns the server's, nil without a fence.
func (v *server) reign(ctx context.Context) (*reign, error) {
	if v.batches.fence == FenceNever {
		return nil, nil //nolint:nilnil // no fence is no error
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == nil {
		r, err := askReign(ctx, v.client, v.batches.fence)
		if err != nil {
			return nil, err
		}
		v.current = r
	}
	return v.current, nil
}

// judge says what the end of a pipeline means for its answers.
func (v *server) judge(sent *reign, tail *tail) error {
	if tail.wait != nil {
		acknowledged, err := tail.wait.Int()
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", errUnconfirmed, err)
		case acknowledged < v.batches.replicas:
			return fmt.Errorf("%w: %d of %d within %v", errReplicas, acknowledged, v.batches.replicas, v.batches.limit)
		}
	}
	if tail.info == nil {
		return nil
	}
	info, err := tail.info.Text()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	found, err := parseReign(info)
	if err != nil {
		return err
	}
	if found.id != sent.id || found.followed != sent.followed {
		v.forget(sent)
	}
	switch {
	case found.replica:
		return errReplica
	case found.id != sent.id:
		return errReign
	default:
		return nil
	}
}

func (v *server) forget(r *reign) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == r {
		v.current = nil
	}
}

// tail is what follows the commands of a pipeline.
type tail struct{ wait, info *tailCmd }

// tailCmd is a command of a tail. A cluster's client may put it among those that
// it sends again elsewhere, where it belongs no more.
type tailCmd struct{ *redis.Cmd }

func (b *batches) newTail(ctx context.Context) *tail {
	t := &tail{}
	if b.replicas > 0 {
		t.wait = &tailCmd{redis.NewCmd(ctx, "wait", b.replicas, b.limit.Milliseconds())}
	}
	if b.fence != FenceNever {
		t.info = &tailCmd{redis.NewCmd(ctx, "info", "replication")}
	}
	return t
}

// after returns the commands with the tail at their end.
func (t *tail) after(cmds []redis.Cmder) []redis.Cmder {
	all := make([]redis.Cmder, 0, len(cmds)+2)
	for _, cmd := range cmds {
		if _, stale := cmd.(*tailCmd); !stale {
			all = append(all, cmd)
		}
	}
	if t.wait != nil {
		all = append(all, t.wait)
	}
	if t.info != nil {
		all = append(all, t.info)
	}
	return all
}
