package bugzilla

import (
	"context"
	"slices"
	"strconv"

	"github.com/trackgate/trackgate/bridge"
)

const commentsMethod = "Bug.comments"

// askComments reads {bugs: {number: {comments: [comment, ...]}}}.
func (n *native) askComments(ctx context.Context, ids []any, fields []string) (map[string][]bridge.Comment, error) {
	answer, err := n.read(ctx, commentsMethod, map[string]any{"ids": ids, "include_fields": fields})
	if err != nil {
		return nil, err
	}
	return nativeComments(answer)
}

func nativeComments(answer map[string]any) (map[string][]bridge.Comment, error) {
	bugs, err := structAt(commentsMethod, answer, "bugs")
	if err != nil {
		return nil, err
	}
	all := make(map[string][]bridge.Comment, len(bugs))
	for number, v := range bugs {
		bug, ok := v.(map[string]any)
		if !ok {
			return nil, bridge.BadShape(commentsMethod, "what it says of bug %s is no struct", quoted(number))
		}
		if all[number], err = readComments(commentsMethod, number, bug["comments"]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ReadComments reads comments of one bug: all of them in one question, or those that
// are named in a question that may fail as a whole because of one of them. Then a
// third question asks which comments the bug has, and the second is asked once more
// without the others. Private comments are missing to a reader who may not see
// them.
func (n *native) ReadComments(ctx context.Context, bug string, ids []string) (bridge.CommentBatch, error) {
	id, ok := bugID(n.BugKey(bug))
	if !ok {
		return bridge.CommentBatch{}, bridge.NoSuchBug()
	}
	at, err := n.now(ctx)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	batch := bridge.CommentBatch{Time: at}
	number, isNumber := id.(int)
	if len(ids) == 0 || !isNumber {
		list, err := n.allComments(ctx, id, commentFields)
		if err != nil {
			return bridge.CommentBatch{}, err
		}
		batch.Comments, err = bounded(among(list, ids))
		return batch, err
	}
	batch.Comments, err = n.someComments(ctx, number, ids)
	return batch, err
}

// allComments asks for the comments of one bug. One that does not exist is an error.
func (n *native) allComments(ctx context.Context, id any, fields []string) ([]bridge.Comment, error) {
	all, err := n.askComments(ctx, []any{id}, fields)
	if err != nil {
		return nil, err
	}
	return only(commentsMethod, all)
}

func (n *native) someComments(ctx context.Context, bug int, ids []string) ([]bridge.Comment, error) {
	list, err := n.chosen(ctx, ids)
	exists := false
	if gone(err) {
		own, ownErr := n.allComments(ctx, bug, commentIDFields)
		if ownErr != nil {
			return nil, ownErr
		}
		exists = true
		var still []string
		for _, c := range among(own, ids) {
			still = append(still, c.ID)
		}
		list, err = n.chosen(ctx, still)
	}
	if err != nil {
		return nil, err
	}
	of := strconv.Itoa(bug)
	list = slices.DeleteFunc(list, func(c bridge.Comment) bool { return c.Bug != of })
	if len(list) == 0 && !exists {
		// Nothing says yet that there is such a bug.
		_, err = n.allComments(ctx, bug, commentIDFields)
	}
	return list, err
}

// chosen asks for comments by their ids, whichever bugs they are of. One that does
// not exist, or is private, fails all.
func (n *native) chosen(ctx context.Context, ids []string) ([]bridge.Comment, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, ok := wireID(id); return !ok })
	var all []bridge.Comment
	err := bridge.Batched(ctx, n.remote, ids, func(ctx context.Context, ids []string) ([]bridge.Comment, error) {
		answer, err := n.read(ctx, commentsMethod, map[string]any{"comment_ids": wireIDs(ids), "include_fields": commentFields})
		if err != nil {
			return nil, err
		}
		return chosenComments(answer)
	}, func(list []bridge.Comment) error {
		all = append(all, list...)
		return nil
	})
	return all, err
}

// chosenComments reads {comments: {id: comment}}.
func chosenComments(answer map[string]any) ([]bridge.Comment, error) {
	found, err := structAt(commentsMethod, answer, "comments")
	if err != nil {
		return nil, err
	}
	list := make([]bridge.Comment, 0, len(found))
	for id, v := range found {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, bridge.BadShape(commentsMethod, "comment %s is no struct", quoted(id))
		}
		comment, err := readComment(commentsMethod, "", m, 0)
		if err != nil {
			return nil, err
		}
		list = append(list, comment)
	}
	return list, nil
}

// WriteComment adds a comment.
func (n *native) WriteComment(ctx context.Context, bug, body string) (string, error) {
	return n.writeComment(ctx, "Bug.add_comment", "id", bug, body)
}
