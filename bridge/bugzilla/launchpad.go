package bugzilla

import (
	"context"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// launchpad is the dialect "bugzilla-launchpad" at work for one tracker.
type launchpad struct{ *site }

var (
	_ bridge.Constructor    = NewLaunchpad
	_ bridge.Dialect        = (*launchpad)(nil)
	_ bridge.ModifiedReader = (*launchpad)(nil)
	_ bridge.CommentReader  = (*launchpad)(nil)
	_ bridge.CommentWriter  = (*launchpad)(nil)
	_ bridge.Linker         = (*launchpad)(nil)
	_ bridge.FiledFinder    = (*launchpad)(nil)
	_ bridge.StatusLister   = (*launchpad)(nil)
	_ bridge.FaultExplainer = (*launchpad)(nil)
	_ bridge.Proxied        = (*launchpad)(nil)
	_ wire                  = (*launchpad)(nil)
)

// NewLaunchpad makes the dialect "bugzilla-launchpad" for one tracker.
func NewLaunchpad(remote *bridge.Remote) (bridge.Dialect, error) {
	s, err := open(remote)
	if err != nil {
		return nil, err
	}
	l := &launchpad{site: s}
	s.wire = l
	return l, nil
}

// Name is "bugzilla-launchpad".
func (l *launchpad) Name() string { return LaunchpadName }

// Detect asks for the plugin's version. Where the plugin is not installed, the answer
// is the fault -32601, the fault "Client", HTTP 404 or 500, or no XML-RPC at all.
func (l *launchpad) Detect(ctx context.Context) (bridge.Detection, error) {
	version, refusal, err := l.askVersion(ctx, "Launchpad.plugin_version")
	if err != nil {
		return bridge.Detection{}, err
	}
	return detection(version, refusal, "The version of the Launchpad plugin"), nil
}

// Login hands the tracker a token, which it brings back to the gateway before it
// answers. The session is in two cookies.
func (l *launchpad) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	const method = "Launchpad.login"
	token, err := credentials.Token(ctx)
	if err != nil {
		return nil, err
	}
	var answer any
	header, err := l.rpc.CallAlone(ctx, method, &answer, []string{token}, map[string]any{"token": token})
	if err != nil {
		return nil, loginFailure(method, err)
	}
	return cookieSession(method, header)
}

// About asks for the version of the plugin and the time, and lastly for a bug that
// cannot exist: where a log-in is demanded, version and time are told without one, to
// a session that is over as well (captures 065 to 067).
func (l *launchpad) About(ctx context.Context) (bridge.About, error) {
	answer, err := l.read(ctx, "Launchpad.plugin_version", map[string]any{})
	if err != nil {
		return bridge.About{}, err
	}
	told, err := l.askAnew(ctx)
	if err != nil {
		return bridge.About{}, err
	}
	if _, err := l.askBugs(ctx, []any{0}, nil); err != nil {
		return bridge.About{}, err
	}
	versions := map[string]string{}
	if version := text(answer, "version"); version != "" {
		versions["plugin"] = version
	}
	return bridge.About{Versions: versions, UTC: told.utc, At: told.at}, nil
}

func (l *launchpad) askTime(ctx context.Context) (instant, error) {
	return l.timed(ctx, "Launchpad.time", launchpadTime)
}

const getBugs = "Launchpad.get_bugs"

// askBugs takes all members there are: the plugin cannot be asked for fewer.
func (l *launchpad) askBugs(ctx context.Context, ids []any, _ []string) ([]map[string]any, error) {
	answer, err := l.read(ctx, getBugs, map[string]any{"ids": ids, "permissive": true})
	if err != nil {
		return nil, err
	}
	return structs(getBugs, answer, "bugs")
}

// ProxyRules are those of Bugzilla's own methods and of the plugin's.
func (l *launchpad) ProxyRules(context.Context) (bridge.ProxyRules, error) {
	rules := l.proxyRules()
	rules.Allow = append(rules.Allow, "Launchpad.*")
	rules.Reads = append(rules.Reads, "Launchpad.plugin_version", "Launchpad.time", getBugs, commentsOfPlugin)
	rules.Refuse = append(rules.Refuse, "Launchpad.login", "Launchpad.logout")
	return rules, nil
}

// ModifiedBugs asks for those of the bugs that changed. What the plugin does not list
// is either unchanged or does not exist: a plugin that says which, in faults, saves
// the second question.
func (l *launchpad) ModifiedBugs(ctx context.Context, keys []string, since time.Time) (bridge.ModifiedBatch, error) {
	at, err := l.now(ctx)
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	batch := bridge.ModifiedBatch{Time: at}
	if keys == nil {
		answer, err := l.read(ctx, getBugs, map[string]any{"changed_since": since.UTC()})
		if err != nil {
			return bridge.ModifiedBatch{}, err
		}
		found, err := structs(getBugs, answer, "bugs")
		for _, m := range found {
			batch.IDs = append(batch.IDs, text(m, "id"))
		}
		return batch, err
	}
	var asked []string
	for _, key := range keys {
		if _, ok := bugID(key); ok {
			asked = append(asked, key)
		} else {
			batch.Missing = append(batch.Missing, key)
		}
	}
	if len(asked) == 0 { // a question without ids would be about all bugs
		return batch, nil
	}
	answer, err := l.read(ctx, getBugs, map[string]any{"ids": bugIDs(asked), "permissive": true, "changed_since": since.UTC()})
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	changed, err := structs(getBugs, answer, "bugs")
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	byKey := index(changed)
	var rest []string
	for _, key := range asked {
		if _, ok := byKey[strings.ToLower(key)]; ok {
			batch.IDs = append(batch.IDs, key)
		} else {
			rest = append(rest, key)
		}
	}
	missing, err := l.missingOf(ctx, answer, rest)
	batch.Missing = append(batch.Missing, missing...)
	return batch, err
}

// missingOf tells which bugs do not exist, by the faults of an answer or, where it has
// none, by another question.
func (l *launchpad) missingOf(ctx context.Context, answer map[string]any, keys []string) ([]string, error) {
	var missing []string
	if _, told := answer["faults"]; told {
		faults, err := structs(getBugs, answer, "faults")
		if err != nil {
			return nil, err
		}
		named := map[string]bool{}
		for _, m := range faults {
			named[l.BugKey(text(m, "id"))] = true
		}
		for _, key := range keys {
			if named[key] {
				missing = append(missing, key)
			}
		}
		return missing, nil
	}
	if len(keys) == 0 {
		return nil, nil
	}
	found, err := l.findBugs(ctx, bugIDs(keys), nil)
	if err != nil {
		return nil, err
	}
	byKey := index(found)
	for _, key := range keys {
		if _, ok := byKey[strings.ToLower(key)]; !ok {
			missing = append(missing, key)
		}
	}
	return missing, nil
}
