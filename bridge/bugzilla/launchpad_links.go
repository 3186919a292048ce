package bugzilla

import (
	"context"
	"strconv"

	"github.com/trackgate/trackgate/bridge"
)

// The plugin links a bug to one number and keeps no URL; 0 is no link.

// ReadLink asks for the bug, in whose internals the number is.
func (l *launchpad) ReadLink(ctx context.Context, bug string) (bridge.Link, error) {
	id, ok := bugID(l.BugKey(bug))
	if !ok {
		return bridge.Link{}, bridge.NoSuchBug()
	}
	found, err := l.findBugs(ctx, []any{id}, nil)
	if err != nil {
		return bridge.Link{}, err
	}
	if len(found) == 0 {
		return bridge.Link{}, bridge.NoSuchBug()
	}
	return l.linkOf(found[0]), nil
}

// CheckLink takes no id, and ids that an XML-RPC int above zero can hold.
func (l *launchpad) CheckLink(link bridge.Link) error {
	if n, err := strconv.ParseInt(link.ID, 10, 32); link.ID != "" && (err != nil || n <= 0) {
		return invalid("id must be a number from 1 to 2147483647 for a tracker that speaks " + LaunchpadName + ", or empty to remove the link.")
	}
	return nil
}

// WriteLink sends the number, and 0 to remove the link. The answer is the number
// before.
func (l *launchpad) WriteLink(ctx context.Context, bug string, link bridge.Link) error {
	if err := l.CheckLink(link); err != nil {
		return err
	}
	id, ok := bugID(l.BugKey(bug))
	if !ok {
		return bridge.NoSuchBug()
	}
	number := 0
	if link.ID != "" {
		number, _ = wireID(link.ID) // checked above
	}
	var answer any
	return l.rpc.Call(ctx, bridge.Write, "Launchpad.set_link", &answer, map[string]any{"id": id, "launchpad_id": number})
}
