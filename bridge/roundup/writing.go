package roundup

import (
	"context"
	"fmt"
	"slices"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// A comment is a message that is made and then added to the messages of an issue,
// in two calls that are not one transaction. What can come of it:
//
//   - The first call fails. The issue has no such comment. If the answer was lost
//     there may be a message that belongs to nothing, which no reader of the issue
//     sees and no repetition looks for.
//   - The second call is refused. The same, and the message is known to be there.
//   - The answer to the second call is lost. The issue is asked for its messages;
//     with the message among them all is well. Otherwise the outcome is unknown,
//     and a repetition under the caller's key finds the comment if it came after
//     all, and else makes a new message.
//
// The message is not added a second time: the call is harmless to repeat, but may
// still be under way.

// WriteComment adds a message to an issue. Roundup may change more of the issue
// than that: an unread one becomes "chatting".
func (d *dialect) WriteComment(ctx context.Context, bug, body string) (string, error) {
	key := d.BugKey(bug)
	if err := d.checkExists(ctx, key); err != nil {
		return "", err // rather than leave a message that belongs to nothing
	}
	id, err := d.writeMessage(ctx, body)
	if err != nil {
		return "", err
	}
	err = d.set(ctx, issueClass+key, "messages=+"+id) // without the + the others would go
	switch {
	case err == nil:
		return id, nil
	case !apierror.Is(err, apierror.OutcomeUnknown):
		return "", err
	}
	if own, lookErr := d.messagesOf(ctx, key); lookErr == nil && slices.Contains(own, id) {
		return id, nil
	}
	return "", apierror.New(apierror.OutcomeUnknown).
		WithDetail(fmt.Sprintf("Message %s was made, but it is not known whether it became one of issue %s. "+
			"Look before you write again.", id, key)).
		WithCause(err)
}

// checkExists refuses an issue that is not there, before anything is written.
func (d *dialect) checkExists(ctx context.Context, key string) error {
	if _, ok := number(key); !ok {
		return bridge.NoSuchBug()
	}
	found, err := d.find(ctx, filter([]string{key}, map[string]any{}))
	if err == nil && !slices.Contains(found, key) {
		err = bridge.NoSuchBug()
	}
	return err
}

// writeMessage makes a message. Its date is the tracker's own "right now", which
// unlike a date that is written out does not depend on the account's time zone.
// Roundup fills in neither date nor author by itself.
func (d *dialect) writeMessage(ctx context.Context, body string) (string, error) {
	author, err := d.ownID(ctx)
	if err != nil {
		return "", err
	}
	values := []any{messageClass, "content=" + body, "date=."}
	if author != "" {
		values = append(values, "author="+author)
	}
	return d.create(ctx, values)
}

// ownID returns the id of the gateway's account, "" when it has none or may not
// look it up. Its name would not do: one of digits alone is taken for an id.
func (d *dialect) ownID(ctx context.Context) (string, error) {
	account := d.remote.Account()
	if account == "" {
		return "", nil
	}
	return d.own.Get(ctx, func() (string, error) {
		replies, err := d.together(ctx, []bridge.InnerCall{call("lookup", userClass, account)})
		if err != nil {
			return "", err
		}
		return idOf(replies[0].value), nil
	})
}

// create makes an item and returns its id.
func (d *dialect) create(ctx context.Context, values []any) (string, error) {
	var answer any
	if err := d.send(ctx, bridge.Write, call("create", values...), &answer); err != nil {
		return "", err
	}
	id := idOf(answer)
	if id == "" {
		// It answered, so it was made; only under which id is not known.
		return "", apierror.New(apierror.OutcomeUnknown).WithDetail("The answer to create holds no id.")
	}
	return id, nil
}

// set changes properties of an item. The answer says what changed, which can be
// more than was asked for.
func (d *dialect) set(ctx context.Context, designator, value string) error {
	var answer any
	return d.send(ctx, bridge.Write, call("set", designator, value), &answer)
}
