package bugzilla

import (
	"context"

	"github.com/trackgate/trackgate/bridge"
)

// A bug's link is one of the addresses in its See Also: see linkOf.

// ReadLink asks for See Also.
func (n *native) ReadLink(ctx context.Context, bug string) (bridge.Link, error) {
	_, link, err := n.linked(ctx, bug)
	return link, err
}

func (n *native) linked(ctx context.Context, bug string) (id any, link bridge.Link, err error) {
	id, ok := bugID(n.BugKey(bug))
	if !ok {
		return nil, link, bridge.NoSuchBug()
	}
	found, err := n.findBugs(ctx, []any{id}, []string{"id", "see_also"})
	if err != nil {
		return nil, link, err
	}
	if len(found) == 0 {
		return nil, link, bridge.NoSuchBug()
	}
	return id, n.linkOf(found[0]), nil
}

// CheckLink takes the number of a bug on Launchpad, or an address of any tracker that
// Bugzilla may know.
func (n *native) CheckLink(link bridge.Link) error {
	if link.ID == "" {
		return nil
	}
	_, err := addressOf(link)
	return err
}

// WriteLink puts the address into See Also and takes out the one that it replaces:
// the link, if that is a bug on Launchpad or of the same tracker. An address of some
// other tracker that people put there stays.
func (n *native) WriteLink(ctx context.Context, bug string, link bridge.Link) error {
	id, current, err := n.linked(ctx, bug)
	if err != nil {
		return err
	}
	params := map[string]any{"ids": []any{id}}
	if link.ID == "" {
		if current.URL == "" {
			return nil
		}
		params["remove"] = []string{current.URL}
		return n.updateSeeAlso(ctx, params)
	}
	address, err := addressOf(link)
	if err != nil || sameLink(address, current.URL) {
		return err
	}
	params["add"] = []string{address}
	if current.URL != "" && (launchpadNumber(current.URL) != "" || sameHost(current.URL, address)) {
		params["remove"] = []string{current.URL}
	}
	return n.updateSeeAlso(ctx, params)
}

// updateSeeAlso changes nothing for an address that is there already, and says so in
// an empty answer.
func (n *native) updateSeeAlso(ctx context.Context, params map[string]any) error {
	var answer map[string]any
	return n.rpc.Call(ctx, bridge.Write, "Bug.update_see_also", &answer, params)
}
