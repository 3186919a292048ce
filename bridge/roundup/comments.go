package roundup

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// messageIDs reads the ids of an issue's messages, in the order of their making.
func messageIDs(v any) []string {
	ids := idsOf(v)
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

// ReadComments reads messages of one issue. Roundup would give those of any:
// ids of others are not asked for.
func (d *dialect) ReadComments(ctx context.Context, bug string, ids []string) (bridge.CommentBatch, error) {
	begun := d.remote.Now()
	own, err := d.messagesOf(ctx, d.BugKey(bug))
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	places := make(map[string]place, len(own))
	for i, id := range own {
		if len(ids) == 0 || slices.Contains(ids, id) {
			places[id] = place{bug: d.BugKey(bug), number: i}
		}
	}
	messages, err := d.messages(ctx, places)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	var batch bridge.CommentBatch
	batch.Time, _ = d.remote.Clock(begun)
	for _, m := range messages {
		batch.Comments = append(batch.Comments, m.comment)
	}
	slices.SortFunc(batch.Comments, func(a, b bridge.Comment) int { return cmp.Compare(a.Number, b.Number) })
	return batch, nil
}

// messagesOf lists the ids of an issue's messages.
func (d *dialect) messagesOf(ctx context.Context, key string) ([]string, error) {
	if _, ok := number(key); !ok {
		return nil, bridge.NoSuchBug()
	}
	replies, err := d.together(ctx, []bridge.InnerCall{
		filter([]string{key}, map[string]any{}),
		display(issueClass+key, "messages"),
	})
	if err != nil {
		return nil, err
	}
	exists, err := d.found(replies[0])
	switch {
	case err != nil:
		return nil, err
	case !exists[key]:
		return nil, bridge.NoSuchBug()
	case replies[1].err != nil:
		return nil, d.explained(replies[1].err)
	}
	members, err := structOf(issueClass+key, replies[1].value)
	return messageIDs(members["messages"]), err
}

// addMessages fills in the comments of bugs whose comments' ids are known, and
// their descriptions.
func (d *dialect) addMessages(ctx context.Context, bugs []bridge.Bug) error {
	// A message can be of several issues.
	places := map[string]place{}
	for i := range bugs {
		for _, id := range bugs[i].CommentIDs {
			places[id] = place{}
		}
	}
	messages, err := d.messages(ctx, places)
	if err != nil {
		return err
	}
	for i := range bugs {
		bug := &bugs[i]
		bug.Comments = []bridge.Comment{}
		for n, id := range bug.CommentIDs {
			m, ok := messages[id]
			if !ok {
				continue
			}
			m.comment.Bug, m.comment.Number = bug.ID, n
			bug.Comments = append(bug.Comments, m.comment)
			if n == 0 && m.describes(bug.Created) {
				bug.Description = m.comment.Text
			}
		}
	}
	return nil
}

// place is where a message stands.
type place struct {
	bug    string
	number int
}

// message is a message, and when Roundup made it.
type message struct {
	comment bridge.Comment
	made    time.Time
}

// describes tells whether the message was made with an issue that was made at a
// time. Roundup makes what an issue begins with before the issue itself.
func (m message) describes(created time.Time) bool {
	return !m.made.IsZero() && !created.IsZero() && !m.made.After(created)
}

// messages reads messages by their ids, in as few calls as possible. Left out are
// those that do not exist, those that the gateway's account may not see, and those
// that Roundup itself cannot send.
func (d *dialect) messages(ctx context.Context, places map[string]place) (map[string]message, error) {
	if len(places) > bridge.MaxComments {
		return nil, bridge.TooMany("comments", bridge.MaxComments)
	}
	ids := make([]string, 0, len(places))
	for id := range places {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	found := make(map[string]map[string]any, len(ids))
	want := wanted{}
	err := bridge.Batched(ctx, d.remote, ids, d.displayMessages, func(batch map[string]map[string]any) error {
		for id, members := range batch {
			found[id] = members
			want[userClass+authorOf(members)] = "username"
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	delete(want, userClass) // of messages without an author
	name, err := d.learn(ctx, want)
	if err != nil {
		return nil, err
	}
	messages := make(map[string]message, len(found))
	for id, members := range found {
		made := parseDate(textOf(members["creation"]))
		said := parseDate(textOf(members["date"]))
		if said.IsZero() {
			said = made
		}
		messages[id] = message{made: made, comment: bridge.Comment{
			ID:     id,
			Bug:    places[id].bug,
			Number: places[id].number,
			Author: name(userClass, authorOf(members)),
			Text:   bridge.NormalLines(textOf(members["content"])),
			Time:   said,
		}}
	}
	return messages, nil
}

// authorOf returns the id of who wrote a message. One that was made over XML-RPC
// need not name its author; who made it is known always.
func authorOf(members map[string]any) string {
	return cmp.Or(idOf(members["author"]), idOf(members["creator"]))
}

func (d *dialect) displayMessages(ctx context.Context, ids []string) (map[string]map[string]any, error) {
	calls := make([]bridge.InnerCall, len(ids))
	for i, id := range ids {
		calls[i] = display(messageClass+id, "author", "content", "creation", "creator", "date")
	}
	replies, err := d.together(ctx, calls)
	if err != nil {
		return nil, err
	}
	found := make(map[string]map[string]any, len(replies))
	for i, r := range replies {
		switch {
		case isMissing(r.err), isDenied(r.err), isUnreadable(r.err):
			continue
		case r.err != nil:
			return nil, d.explained(r.err)
		}
		if found[ids[i]], err = structOf(messageClass+ids[i], r.value); err != nil {
			return nil, err
		}
	}
	return found, nil
}
