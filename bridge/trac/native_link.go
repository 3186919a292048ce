package trac

import (
	"context"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// LinkField is the ticket field that holds a link. Trac has none by itself: an
// administrator adds it to trac.ini, as [native.ReadLink] says where it is
// lacking.
const LinkField = "launchpad_bug"

// A link is kept as the id, and after a space the URL, if there is one.

func parseLink(value string) bridge.Link {
	words := strings.Fields(value)
	switch {
	case len(words) == 0:
		return bridge.Link{}
	case len(words) == 1 && strings.Contains(words[0], "://"): // a person put it there
		path := strings.TrimRight(words[0], "/")
		return bridge.Link{ID: path[strings.LastIndex(path, "/")+1:], URL: words[0]}
	case len(words) == 1:
		return bridge.Link{ID: words[0]}
	}
	return bridge.Link{ID: words[0], URL: words[1]}
}

func formatLink(link bridge.Link) string {
	if link.ID == "" {
		return ""
	}
	return strings.TrimSpace(link.ID + " " + link.URL)
}

// ReadLink reads the field.
func (n *native) ReadLink(ctx context.Context, bug string) (bridge.Link, error) {
	_, t, err := n.linked(ctx, bug)
	if err != nil {
		return bridge.Link{}, err
	}
	return parseLink(text(t.fields, LinkField)), nil
}

// CheckLink refuses what could not be told apart again.
func (n *native) CheckLink(link bridge.Link) error {
	if link.ID == "" && link.URL == "" {
		return nil
	}
	if link.ID == "" || parseLink(formatLink(link)) != link {
		return apierror.New(apierror.InvalidData).
			WithDetail("id and url must be one word each, and id no URL, for a tracker that speaks " + NativeName + "; both empty removes the link.")
	}
	return nil
}

// WriteLink writes the field.
func (n *native) WriteLink(ctx context.Context, bug string, link bridge.Link) error {
	if link.ID == "" {
		link.URL = ""
	}
	if err := n.CheckLink(link); err != nil {
		return err
	}
	rpc, t, err := n.linked(ctx, bug)
	if err != nil {
		return err
	}
	value := formatLink(link)
	_, err = update(ctx, rpc, t, "", map[string]string{LinkField: value},
		func(_, now *ticket) bool { return text(now.fields, LinkField) == value })
	return err
}

// linked reads a ticket that can be linked. Whether the tracker has the field a
// ticket shows: it has all fields, empty ones too.
func (n *native) linked(ctx context.Context, bug string) (*bridge.Endpoint, *ticket, error) {
	id, ok := ticketNumber(n.BugKey(bug))
	if !ok {
		return nil, nil, bridge.NoSuchBug()
	}
	rpc, err := n.rpc(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := readOne(ctx, rpc, id, false)
	if err != nil {
		return nil, nil, err
	}
	if _, has := t.fields[LinkField]; !has {
		fields, err := ticketFields(ctx, rpc)
		if err != nil {
			return nil, nil, err
		}
		if _, has := fields[LinkField]; !has {
			return nil, nil, apierror.New(apierror.NotSupported).WithDetail("Its tickets have no field for a link: add " +
				strconv.Quote(LinkField+" = text") + " to the section [ticket-custom] of its trac.ini.")
		}
	}
	return rpc, t, nil
}
