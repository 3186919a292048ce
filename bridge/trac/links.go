package trac

import (
	"context"
	"strconv"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// The plugin links a bug to one number and keeps no URL; 0 is no link.

// ReadLink asks for the number.
func (l *launchpad) ReadLink(ctx context.Context, bug string) (bridge.Link, error) {
	const method = "launchpad.get_launchpad_bug"
	var answer []any
	if err := l.rpc.Call(ctx, bridge.Read, method, &answer, l.BugKey(bug)); err != nil {
		return bridge.Link{}, err
	}
	if _, err := stamped(method, answer, 2); err != nil {
		return bridge.Link{}, err
	}
	n, ok := intOf(answer[1])
	switch {
	case !ok:
		return bridge.Link{}, bridge.BadShape(method, "the linked bug is no number")
	case n == 0:
		return bridge.Link{}, nil
	}
	return bridge.Link{ID: strconv.FormatInt(n, 10)}, nil
}

// CheckLink takes no id, and ids that an XML-RPC int above zero can hold.
func (l *launchpad) CheckLink(link bridge.Link) error {
	if link.ID == "" {
		return nil
	}
	if n, err := strconv.ParseInt(link.ID, 10, 32); err != nil || n <= 0 {
		return apierror.New(apierror.InvalidData).
			WithDetail("id must be a number from 1 to 2147483647 for a tracker that speaks " + LaunchpadName + ", or empty to remove the link.")
	}
	return nil
}

// WriteLink sends the number. The answer is an array of the time alone.
func (l *launchpad) WriteLink(ctx context.Context, bug string, link bridge.Link) error {
	if err := l.CheckLink(link); err != nil {
		return err
	}
	n := int64(0)
	if link.ID != "" {
		n, _ = strconv.ParseInt(link.ID, 10, 32) // checked above
	}
	var answer []any
	return l.rpc.Call(ctx, bridge.Write, "launchpad.set_launchpad_bug", &answer, l.BugKey(bug), int(n))
}
