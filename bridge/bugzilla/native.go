package bugzilla

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// native is the dialect "bugzilla" at work for one tracker.
type native struct {
	*site
	guard guard
}

var (
	_ bridge.Constructor    = NewNative
	_ bridge.Dialect        = (*native)(nil)
	_ bridge.ModifiedReader = (*native)(nil)
	_ bridge.CommentReader  = (*native)(nil)
	_ bridge.CommentWriter  = (*native)(nil)
	_ bridge.Linker         = (*native)(nil)
	_ bridge.FiledFinder    = (*native)(nil)
	_ bridge.StatusLister   = (*native)(nil)
	_ bridge.FaultExplainer = (*native)(nil)
	_ bridge.Proxied        = (*native)(nil)
	_ wire                  = (*native)(nil)
)

// NewNative makes the dialect "bugzilla" for one tracker.
func NewNative(remote *bridge.Remote) (bridge.Dialect, error) {
	s, err := open(remote)
	if err != nil {
		return nil, err
	}
	n := &native{site: s}
	s.wire = n
	return n, nil
}

// Name is "bugzilla".
func (n *native) Name() string { return NativeName }

// oldest is the first version that has what the dialect needs.
var oldest = [2]int{3, 4}

// Detect asks for the version, which every Bugzilla tells even where it demands a
// log-in for all else (capture 172).
func (n *native) Detect(ctx context.Context) (bridge.Detection, error) {
	version, refusal, err := n.askVersion(ctx, "Bugzilla.version")
	if err != nil {
		return bridge.Detection{}, err
	}
	if major, minor, ok := parseVersion(version); ok && (major < oldest[0] || major == oldest[0] && minor < oldest[1]) {
		return bridge.Detection{Reason: fmt.Sprintf("Bugzilla %s is older than %d.%d, the first version with the methods that are needed.",
			quoted(version), oldest[0], oldest[1])}, nil
	}
	return detection(version, refusal, "The version of Bugzilla"), nil
}

// parseVersion reads the first two numbers of a version such as 5.2+, 3.4.1 and
// 4.4rc1.
func parseVersion(version string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(version, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(rest)
	return major, minor, err == nil
}

// About asks for version and time. The time is not told to a session that is over.
func (n *native) About(ctx context.Context) (bridge.About, error) {
	answer, err := n.read(ctx, "Bugzilla.version", map[string]any{})
	if err != nil {
		return bridge.About{}, err
	}
	told, err := n.askAnew(ctx)
	if err != nil {
		return bridge.About{}, err
	}
	versions := map[string]string{}
	if version := text(answer, "version"); version != "" {
		versions["tracker"] = version
	}
	return bridge.About{Versions: versions, UTC: told.utc, At: told.at}, nil
}

func (n *native) askTime(ctx context.Context) (instant, error) {
	return n.timed(ctx, "Bugzilla.time", nativeTime)
}

func (n *native) askBugs(ctx context.Context, ids []any, fields []string) ([]map[string]any, error) {
	const method = "Bug.get"
	answer, err := n.read(ctx, method, map[string]any{"ids": ids, "permissive": true, "include_fields": fields})
	if err != nil {
		return nil, err
	}
	return structs(method, answer, "bugs") // those that are missing are in faults
}

// ProxyRules are those of Bugzilla's own methods.
func (n *native) ProxyRules(context.Context) (bridge.ProxyRules, error) {
	return n.proxyRules(), nil
}

// maxListed bounds the bugs that "modified since" without ids lists, and pageSize
// those of one question: a Bugzilla cuts off what is above a limit of its own, 10,000
// by default, without a word.
const (
	maxListed = 100_000
	pageSize  = 1000
)

// ModifiedBugs compares the times of last change of bugs that are named, which one
// question tells together with those that do not exist, and searches among all
// bugs without names.
func (n *native) ModifiedBugs(ctx context.Context, keys []string, since time.Time) (bridge.ModifiedBatch, error) {
	at, err := n.now(ctx)
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	batch := bridge.ModifiedBatch{Time: at}
	if keys == nil {
		batch.IDs, err = n.searchModified(ctx, since)
		return batch, err
	}
	var found []map[string]any
	if ids := bugIDs(keys); len(ids) > 0 {
		if found, err = n.findBugs(ctx, ids, []string{"id", "alias", "last_change_time"}); err != nil {
			return bridge.ModifiedBatch{}, err
		}
	}
	byKey := index(found)
	for _, key := range keys {
		m, exists := byKey[strings.ToLower(key)]
		switch {
		case !exists:
			batch.Missing = append(batch.Missing, key)
		case !timeOf(m["last_change_time"]).Before(since.Truncate(time.Second)):
			batch.IDs = append(batch.IDs, key)
		}
	}
	return batch, nil
}

// searchModified lists the bugs that were modified, page by page. The time is always
// a criterion: a search without one lists all bugs (capture 059).
func (n *native) searchModified(ctx context.Context, since time.Time) ([]string, error) {
	const method = "Bug.search"
	var ids []string
	seen := map[string]bool{}
	for offset := 0; ; {
		answer, err := n.read(ctx, method, map[string]any{
			"last_change_time": since.UTC(), "include_fields": []string{"id"}, "limit": pageSize, "offset": offset,
		})
		if err != nil {
			return nil, err
		}
		page, err := structs(method, answer, "bugs")
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, m := range page {
			if id := text(m, "id"); id != "" && !seen[id] {
				seen[id] = true
				fresh++
				ids = append(ids, id)
			}
		}
		if len(ids) > maxListed {
			return nil, bridge.TooMany("modified bugs", maxListed)
		}
		if fresh == 0 || len(page) < pageSize {
			return ids, nil
		}
		offset += len(page)
	}
}
