package bridge

import (
	"context"

	"github.com/trackgate/trackgate/xmlrpc"
)

// Register adds the methods of the trackers' XML-RPC interface to a registry,
// under their bare names: list, probe, retry, getBugs, getModifiedBugs,
// getComments, addComment, fileBug, getLink, setLink, statuses, call, multicast.
//
// Ids come in as int or string and go out as strings. Times go out as
// dateTime.iso8601 in UTC without a zone. Members without a value are left out.
func (b *Bridge) Register(r *xmlrpc.Registry) error {
	s := service{b}
	for _, m := range []struct {
		name   string
		fn     any
		help   string
		params []string
	}{
		{"list", s.list, "Lists the configured trackers, their capabilities, and how their sessions stand.", nil},
		{"probe", s.probe, "Asks a tracker anew what it speaks, and for its versions and clock.", []string{"name"}},
		{"retry", s.retry, "Ends the waiting after refused log-ins and tries at once.", []string{"name"}},
		{"getBugs", s.getBugs, "Reads bugs. The level is ids, metadata (the default), comment-ids or full.", []string{"name", "ids", "level"}},
		{"getModifiedBugs", s.getModifiedBugs, "Tells which bugs were modified since a time; no ids means all bugs.", []string{"name", "ids", "since"}},
		{"getComments", s.getComments, "Reads comments of a bug; no ids means all of them.", []string{"name", "bug", "ids"}},
		{"addComment", s.addComment, "Writes a comment and returns its id. A repetition with the same key returns that id, or looks for the comment first and writes only what is not there.", []string{"name", "bug", "text", "author", "key"}},
		{"fileBug", s.fileBug, "Files a bug from a struct with title, description, and what else the tracker has, and returns its id. A repetition with the same key returns that id, or looks for the bug first.", []string{"name", "bug", "key"}},
		{"getLink", s.getLink, "Returns what a bug is linked to, an empty struct when to nothing.", []string{"name", "bug"}},
		{"setLink", s.setLink, "Links a bug, or unlinks it when the id is empty, and returns the previous link.", []string{"name", "bug", "id", "url"}},
		{"statuses", s.statuses, "Returns the tracker's own words for where a bug stands.", []string{"name"}},
		{"call", s.call, "Calls a method of the tracker's own, if its configuration allows it, and returns the value.", []string{"name", "method", "params"}},
		{"multicast", s.multicast, "Calls a method of several trackers at once; each one's value or fault comes back by its name.", []string{"names", "method", "params"}},
	} {
		if err := r.Register(m.name, m.fn, m.help, m.params...); err != nil {
			return err
		}
	}
	return nil
}

// service turns parameters into arguments of the bridge, and results into the
// structs of the interface.
type service struct{ bridge *Bridge }

func (s service) list() ([]any, error) {
	all := []any{}
	for _, status := range s.bridge.List() {
		m := members{
			"name":         status.Name,
			"url":          status.URL,
			"dialect":      status.Dialect,
			"capabilities": status.Capabilities,
			"session":      string(status.Session),
		}
		m.time("next_try", status.NextTry)
		all = append(all, map[string]any(m))
	}
	return all, nil
}

func (s service) probe(ctx context.Context, name string) (map[string]any, error) {
	p, err := s.bridge.Probe(ctx, name)
	if err != nil {
		return nil, err
	}
	m := members{"dialect": p.Dialect, "versions": p.Versions, "reason": p.Reason}
	if p.ClockKnown {
		m["clock_skew"] = p.ClockSkew.Seconds()
	}
	return m, nil
}

func (s service) retry(ctx context.Context, name string) (bool, error) {
	err := s.bridge.Retry(ctx, name)
	return err == nil, err
}

func (s service) getBugs(ctx context.Context, name string, ids any, level *string) (map[string]any, error) {
	list, err := idList("ids", ids)
	if err != nil {
		return nil, err
	}
	depth, err := ParseLevel(given(level))
	if err != nil {
		return nil, err
	}
	r, err := s.bridge.GetBugs(ctx, name, list, depth)
	if err != nil {
		return nil, err
	}
	bugs := make([]any, len(r.Bugs))
	for i := range r.Bugs {
		bugs[i] = bugValue(&r.Bugs[i])
	}
	m := members{"bugs": bugs, "missing": r.Missing}
	m.time("time", r.Time)
	return m, nil
}

func (s service) getModifiedBugs(ctx context.Context, name string, ids, since any) (map[string]any, error) {
	list, err := idList("ids", ids)
	if err != nil {
		return nil, err
	}
	from, err := instant("since", since)
	if err != nil {
		return nil, err
	}
	r, err := s.bridge.GetModifiedBugs(ctx, name, list, from)
	if err != nil {
		return nil, err
	}
	m := members{"ids": r.IDs, "missing": r.Missing}
	m.time("time", r.Time)
	return m, nil
}

func (s service) getComments(ctx context.Context, name string, bug any, ids *any) (map[string]any, error) {
	id, err := oneID("bug", bug)
	if err != nil {
		return nil, err
	}
	var list []string
	if ids != nil {
		if list, err = idList("ids", *ids); err != nil {
			return nil, err
		}
	}
	r, err := s.bridge.GetComments(ctx, name, id, list)
	if err != nil {
		return nil, err
	}
	comments := make([]any, len(r.Comments))
	for i := range r.Comments {
		comments[i] = commentValue(&r.Comments[i])
	}
	m := members{"comments": comments, "missing": r.Missing}
	m.time("time", r.Time)
	return m, nil
}

func (s service) addComment(ctx context.Context, name string, bug any, text string, author, key *string) (string, error) {
	id, err := oneID("bug", bug)
	if err != nil {
		return "", err
	}
	return s.bridge.AddComment(ctx, name, NewComment{Bug: id, Text: text, Author: given(author), Key: given(key)})
}

func (s service) fileBug(ctx context.Context, name string, bug map[string]any, key *string) (string, error) {
	filed, err := newBug(bug)
	if err != nil {
		return "", err
	}
	filed.Key = given(key)
	return s.bridge.FileBug(ctx, name, filed)
}

func (s service) statuses(ctx context.Context, name string) ([]string, error) {
	return s.bridge.Statuses(ctx, name)
}

func (s service) call(ctx context.Context, name, method string, params *[]any) (any, error) {
	return s.bridge.Call(ctx, name, method, list(params))
}

func (s service) multicast(ctx context.Context, names []string, method string, params *[]any) (map[string]any, error) {
	casts, err := s.bridge.Multicast(ctx, names, method, list(params))
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, len(casts))
	for name, cast := range casts {
		m[name] = castValue(cast)
	}
	return m, nil
}

// list is an optional array, empty when the caller left it out.
func list(values *[]any) []any {
	if values == nil {
		return nil
	}
	return *values
}

func (s service) getLink(ctx context.Context, name string, bug any) (map[string]any, error) {
	id, err := oneID("bug", bug)
	if err != nil {
		return nil, err
	}
	link, err := s.bridge.GetLink(ctx, name, id)
	if err != nil {
		return nil, err
	}
	return linkValue(link), nil
}

func (s service) setLink(ctx context.Context, name string, bug, id any, url *string) (map[string]any, error) {
	bugID, err := oneID("bug", bug)
	if err != nil {
		return nil, err
	}
	linkID, err := oneID("id", id)
	if err != nil {
		return nil, err
	}
	previous, err := s.bridge.SetLink(ctx, name, bugID, Link{ID: linkID, URL: given(url)})
	if err != nil {
		return nil, err
	}
	return linkValue(previous), nil
}

// given is an optional parameter, empty when the caller left it out.
func given(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
