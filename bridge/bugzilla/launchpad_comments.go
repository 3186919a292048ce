package bugzilla

import (
	"context"
	"slices"

	"github.com/trackgate/trackgate/bridge"
)

const commentsOfPlugin = "Launchpad.comments"

// askComments reads {bugs: {number: [comment, ...]}}.
func (l *launchpad) askComments(ctx context.Context, ids []any, fields []string) (map[string][]bridge.Comment, error) {
	return l.pluginComments(ctx, map[string]any{"bug_ids": ids, "include_fields": fields})
}

func (l *launchpad) pluginComments(ctx context.Context, params map[string]any) (map[string][]bridge.Comment, error) {
	answer, err := l.read(ctx, commentsOfPlugin, params)
	if err != nil {
		return nil, err
	}
	return launchpadComments(answer)
}

func launchpadComments(answer map[string]any) (map[string][]bridge.Comment, error) {
	bugs, err := structAt(commentsOfPlugin, answer, "bugs")
	if err != nil {
		return nil, err
	}
	all := make(map[string][]bridge.Comment, len(bugs))
	for number, v := range bugs {
		if all[number], err = readComments(commentsOfPlugin, number, v); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ReadComments asks for comments of one bug. Ids of comments that are not the bug's
// are left out by the plugin; a bug that does not exist is a fault.
func (l *launchpad) ReadComments(ctx context.Context, bug string, ids []string) (bridge.CommentBatch, error) {
	id, ok := bugID(l.BugKey(bug))
	if !ok {
		return bridge.CommentBatch{}, bridge.NoSuchBug()
	}
	at, err := l.now(ctx)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	batch := bridge.CommentBatch{Time: at}
	sendable := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, ok := wireID(id); return !ok })
	if len(sendable) == 0 { // all, or none, of a bug that has to exist
		fields := commentFields
		if len(ids) > 0 {
			fields = commentIDFields
		}
		list, err := l.someComments(ctx, map[string]any{"bug_ids": []any{id}, "include_fields": fields})
		if err == nil && len(ids) == 0 {
			batch.Comments, err = bounded(list)
		}
		return batch, err
	}
	err = bridge.Batched(ctx, l.remote, sendable, func(ctx context.Context, chosen []string) ([]bridge.Comment, error) {
		list, err := l.someComments(ctx, map[string]any{"bug_ids": []any{id}, "ids": wireIDs(chosen)})
		return among(list, chosen), err
	}, func(list []bridge.Comment) error {
		batch.Comments = append(batch.Comments, list...)
		return nil
	})
	return batch, err
}

func (l *launchpad) someComments(ctx context.Context, params map[string]any) ([]bridge.Comment, error) {
	all, err := l.pluginComments(ctx, params)
	if err != nil {
		return nil, err
	}
	return only(commentsOfPlugin, all)
}

// WriteComment adds a comment.
func (l *launchpad) WriteComment(ctx context.Context, bug, body string) (string, error) {
	return l.writeComment(ctx, "Launchpad.add_comment", "comment_id", bug, body)
}
