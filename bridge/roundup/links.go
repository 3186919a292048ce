package roundup

import (
	"context"
	"net/url"
	"strings"
	"unicode"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// LinkProperty is the property of issues that holds what an issue is linked to: an
// id and, after a space, a URL. No template has it. An administrator adds
//
//	launchpad=String()
//
// to the class issue in the tracker's schema.py.
const LinkProperty = "launchpad"

// ReadLink reads the property.
func (d *dialect) ReadLink(ctx context.Context, bug string) (bridge.Link, error) {
	key := d.BugKey(bug)
	if _, ok := number(key); !ok {
		return bridge.Link{}, bridge.NoSuchBug()
	}
	if err := d.checkLinkable(ctx); err != nil {
		return bridge.Link{}, err
	}
	value, err := d.one(ctx, display(issueClass+key, LinkProperty))
	if err != nil {
		return bridge.Link{}, err
	}
	members, err := structOf(issueClass+key, value)
	return parseLink(textOf(members[LinkProperty])), err
}

// CheckLink takes ids and URLs that the property can keep apart.
func (d *dialect) CheckLink(link bridge.Link) error {
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	switch {
	case link.ID == "":
		return nil
	case strings.ContainsFunc(link.ID, blank), len(link.ID) > bridge.MaxIDLength:
		return invalid("id must be one word for a tracker that speaks " + Name + ", or empty to remove the link.")
	case link.URL == "":
		return nil
	}
	u, err := url.Parse(link.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsFunc(link.URL, blank) {
		return invalid("url must be an http or https URL, or empty.")
	}
	return nil
}

// WriteLink sets the property. An empty value clears it.
func (d *dialect) WriteLink(ctx context.Context, bug string, link bridge.Link) error {
	if err := d.CheckLink(link); err != nil {
		return err
	}
	key := d.BugKey(bug)
	if _, ok := number(key); !ok {
		return bridge.NoSuchBug()
	}
	if err := d.checkLinkable(ctx); err != nil {
		return err
	}
	value := ""
	if link.ID != "" {
		value = strings.TrimSpace(link.ID + " " + link.URL)
	}
	return d.set(ctx, issueClass+key, LinkProperty+"="+value)
}

// checkLinkable refuses what the tracker has no property for.
func (d *dialect) checkLinkable(ctx context.Context) error {
	s, err := d.schema(ctx)
	if err != nil {
		return err
	}
	if s.issues()[LinkProperty].kind != kindString {
		return apierror.New(apierror.NotSupported).
			WithDetail("Issues of this tracker have no property for links: its administrator adds " + LinkProperty + "=String() to the class issue in schema.py.")
	}
	return nil
}

// parseLink reads what the property holds.
func parseLink(text string) bridge.Link {
	id, at, _ := strings.Cut(strings.TrimSpace(text), " ")
	return bridge.Link{ID: id, URL: strings.TrimSpace(at)}
}
