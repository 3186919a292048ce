package trac

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// BugKey takes leading zeros off a number.
func (n *native) BugKey(id string) string { return ticketKey(id) }

// ReadBugs reads one batch in one call. Tickets that the account may not see are
// left out like those that do not exist, unless it can see none at all.
func (n *native) ReadBugs(ctx context.Context, keys []string, level bridge.Level) (bridge.BugBatch, error) {
	begun := n.remote.Now()
	bugs, err := n.readBugs(ctx, ticketNumbers(keys), level)
	at, _ := n.remote.Clock(begun)
	return bridge.BugBatch{Time: at, Bugs: bugs}, err
}

func (n *native) readBugs(ctx context.Context, ids []int, level bridge.Level) ([]bridge.Bug, error) {
	rpc, err := n.rpc(ctx)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	bugs := make([]bridge.Bug, 0, len(ids))
	if level == bridge.LevelIDs {
		visible, err := query(ctx, rpc, idQuery(ids))
		if err == nil && len(visible) == 0 {
			err = hidden(ctx, rpc, ids[0])
		}
		for _, id := range visible {
			bugs = append(bugs, bridge.Bug{ID: strconv.Itoa(id)})
		}
		return bugs, err
	}
	tickets, err := readTickets(ctx, rpc, ids, level >= bridge.LevelCommentIDs)
	for _, t := range tickets {
		bugs = append(bugs, n.bug(t, level))
	}
	return bugs, err
}

// readTickets reads tickets, those that do not exist left out. When it is not
// clear why some could not be read, a query tells which of them are there, and
// two more calls at most say what is wrong with those.
func readTickets(ctx context.Context, rpc *bridge.Endpoint, ids []int, logs bool) ([]*ticket, error) {
	tickets, unclear, err := tryTickets(ctx, rpc, ids, logs)
	if brokenMulticall(err) {
		// A failure whose cause Trac cannot put into words breaks the whole answer.
		unclear, err = ids, nil
	}
	if err != nil || len(unclear) == 0 {
		return tickets, err
	}
	visible, err := query(ctx, rpc, idQuery(unclear))
	if err != nil {
		return nil, err
	}
	if len(visible) > 0 && len(visible) < len(ids) {
		again, still, err := tryTickets(ctx, rpc, visible, logs)
		if err != nil {
			return nil, err
		}
		tickets, unclear, visible = append(tickets, again...), still, still
	}
	if len(unclear) == 0 || len(visible) == 0 && len(tickets) > 0 {
		return tickets, nil
	}
	_, err = readOne(ctx, rpc, unclear[0], logs) // its own fault says what multicall's does not
	if err == nil {
		err = bridge.BadShape("system.multicall", "it fails for ticket %d, which alone can be read", unclear[0])
	}
	if apierror.Is(err, apierror.ResourceNotFound) && len(visible) == 0 {
		return tickets, nil
	}
	return nil, err
}

// tryTickets reads tickets in one call. Those that could not be read, for another
// reason than that they do not exist, are unclear.
func tryTickets(ctx context.Context, rpc *bridge.Endpoint, ids []int, logs bool) (tickets []*ticket, unclear []int, err error) {
	calls := make([]bridge.InnerCall, 0, 2*len(ids))
	for _, id := range ids {
		calls = append(calls, bridge.InnerCall{Method: "ticket.get", Params: []any{id}})
		if logs {
			calls = append(calls, bridge.InnerCall{Method: "ticket.changeLog", Params: []any{id}})
		}
	}
	answers, err := rpc.Multicall(ctx, calls)
	if err != nil {
		return nil, nil, err
	}
	for i, each := 0, len(calls)/len(ids); i < len(answers); i += each {
		of, id := answers[i:i+each], ids[i/each]
		switch {
		case isMissing(of[0]) || isMissing(of[each-1]):
		case of[0].Failed != nil || of[each-1].Failed != nil:
			unclear = append(unclear, id)
		default:
			t, err := readTicket("ticket.get", of[0].Value)
			if err == nil && t.number != id {
				err = bridge.BadShape("ticket.get", "ticket %d in place of %d", t.number, id)
			}
			if err == nil && logs {
				t.comments, t.last, err = readChangeLog(of[1].Value, id)
			}
			if err != nil {
				return nil, nil, err
			}
			tickets = append(tickets, t)
		}
	}
	return tickets, unclear, nil
}

// brokenMulticall tells whether err may be the fault of a single inner call.
func brokenMulticall(err error) bool {
	status := new(xmlrpc.HTTPError)
	return apierror.Is(err, apierror.TrackerFault) ||
		errors.As(err, &status) && status.StatusCode == http.StatusInternalServerError
}

// readOne reads one ticket by calls of their own, whose faults have codes.
func readOne(ctx context.Context, rpc *bridge.Endpoint, id int, logs bool) (*ticket, error) {
	const method = "ticket.get"
	var answer any
	if err := rpc.Call(ctx, bridge.Read, method, &answer, id); err != nil {
		return nil, err
	}
	t, err := readTicket(method, answer)
	if err == nil && logs {
		t.comments, t.last, err = changeLog(ctx, rpc, id)
	}
	return t, err
}

// hidden looks into why a query shows none of the tickets that it names: a query
// leaves out what the account may not see, and an account that may see nothing
// must not be told that all is gone.
func hidden(ctx context.Context, rpc *bridge.Endpoint, id int) error {
	_, err := readOne(ctx, rpc, id, false)
	if apierror.Is(err, apierror.ResourceNotFound) {
		return nil
	}
	return err
}

// ModifiedBugs asks which tickets were modified since. Of named tickets it is
// asked in the same call which there are.
func (n *native) ModifiedBugs(ctx context.Context, keys []string, since time.Time) (bridge.ModifiedBatch, error) {
	begun := n.remote.Now()
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	var batch bridge.ModifiedBatch
	if keys == nil {
		const method = "ticket.getRecentChanges"
		var answer any
		if err := rpc.Call(ctx, bridge.Read, method, &answer, since.UTC()); err != nil {
			return bridge.ModifiedBatch{}, err
		}
		ids, err := readIDs(method, answer)
		batch.IDs = words(ids)
		batch.Time, _ = n.remote.Clock(begun)
		return batch, err
	}
	ids := ticketNumbers(keys)
	there, modified, err := existing(ctx, rpc, ids, since)
	if err == nil && len(there) == 0 && len(ids) > 0 {
		err = hidden(ctx, rpc, ids[0])
	}
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	exists := make(map[string]bool, len(there))
	for _, id := range words(there) {
		exists[id] = true
	}
	for _, id := range words(modified) {
		if exists[id] { // not what was made between the two questions
			batch.IDs = append(batch.IDs, id)
		}
	}
	for _, key := range keys {
		if !exists[key] {
			batch.Missing = append(batch.Missing, key)
		}
	}
	batch.Time, _ = n.remote.Clock(begun)
	return batch, nil
}

// existing tells which tickets there are, and which of them were modified since.
func existing(ctx context.Context, rpc *bridge.Endpoint, ids []int, since time.Time) (there, modified []int, err error) {
	if len(ids) == 0 {
		return nil, nil, nil
	}
	const method = "ticket.query"
	all := idQuery(ids)
	answers, err := rpc.Multicall(ctx, []bridge.InnerCall{
		{Method: method, Params: []any{all}},
		{Method: method, Params: []any{all + "&modified=" + since.UTC().Format(queryTime) + ".."}},
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range answers {
		if answers[i].Failed != nil {
			return nil, nil, bridge.BadShape("system.multicall", "%s failed", method)
		}
	}
	if there, err = readIDs(method, answers[0].Value); err != nil {
		return nil, nil, err
	}
	modified, err = readIDs(method, answers[1].Value)
	return there, modified, err
}

// queryTime is how a query's times are written. Without the Z, Trac would take
// them for those of the account's own time zone.
const queryTime = "2006-01-02T15:04:05Z"

// idQuery is the query for tickets by number. A query without max stops after
// the first page (capture 007), and one with a field that Trac does not have
// matches everything (capture 015): none is ever sent that Trac has not.
func idQuery(ids []int) string {
	var q strings.Builder
	for _, id := range ids {
		q.WriteString("id=" + strconv.Itoa(id) + "&")
	}
	return q.String() + "max=0"
}

// query returns the numbers of the tickets that match. Those that do not exist,
// and those that the account may not see, are not among them.
func query(ctx context.Context, rpc *bridge.Endpoint, q string) ([]int, error) {
	const method = "ticket.query"
	var answer any
	if err := rpc.Call(ctx, bridge.Read, method, &answer, q); err != nil {
		return nil, err
	}
	return readIDs(method, answer)
}

// readIDs reads an array of numbers of tickets.
func readIDs(method string, v any) ([]int, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, bridge.BadShape(method, "it is no array")
	}
	ids := make([]int, len(list))
	for i, v := range list {
		id, ok := intOf(v)
		if !ok || id <= 0 {
			return nil, bridge.BadShape(method, "member %d is no number of a ticket", i)
		}
		ids[i] = int(id)
	}
	return ids, nil
}

// words writes numbers of tickets as ids.
func words(ids []int) []string {
	written := make([]string, len(ids))
	for i, id := range ids {
		written[i] = strconv.Itoa(id)
	}
	return written
}
