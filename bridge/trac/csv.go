package trac

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// CSVName is the name of the dialect in the configuration.
const CSVName = "trac-csv"

// fewTickets is how many tickets are read from the page of each, which works even
// where there are no queries. More are read in one query: a request for each
// ticket is not what somebody else's server is for.
const fewTickets = 1

// csvColumns are the columns that a query is asked for: which it lists otherwise
// depends on the query (captures 110 and 111). The times are not among them: they
// are for people ("Apr 6, 2024, 10:14:00 AM"), in the language and the zone of
// the tracker (capture 112).
var csvColumns = []string{"id", "summary", "status", "resolution", "priority", "severity", "owner", "component", "description"}

// csvReader is the dialect of a Trac without any plugin, at work for one tracker:
// it reads tickets as comma-separated values. It has no
// modified-since, for want of times that can be compared, and no comments, which
// no CSV has: bugs come without comment ids and comments at every level.
type csvReader struct{ remote *bridge.Remote }

var (
	_ bridge.Constructor = NewCSV
	_ bridge.Dialect     = (*csvReader)(nil)
	_ bridge.BugReader   = (*csvReader)(nil)
)

// NewCSV makes the dialect for one tracker.
func NewCSV(remote *bridge.Remote) (bridge.Dialect, error) { return &csvReader{remote: remote}, nil }

// Name is "trac-csv".
func (c *csvReader) Name() string { return CSVName }

// Detect makes a query for one ticket. Of a ticket that does not exist the answer
// is a head alone, which proves as much.
func (c *csvReader) Detect(ctx context.Context) (bridge.Detection, error) {
	_, err := c.query(ctx, []string{"1"}, []string{"id"})
	status := new(xmlrpc.HTTPError)
	switch {
	case err == nil:
		return bridge.Detection{Found: true, Reason: "A query answered with CSV: it is a Trac whose tickets visitors may read."}, nil
	case errors.As(err, &status) && status.StatusCode == http.StatusNotFound:
		return bridge.Detection{Reason: "query answered HTTP 404: it is no Trac, or its tickets are hidden from visitors."}, nil
	case apierror.Is(err, apierror.TrackerBadAnswer):
		return bridge.Detection{Reason: "A query does not answer with Trac's CSV."}, nil
	case apierror.Is(err, apierror.TrackerLoginFailed):
		return bridge.Detection{Reason: CSVName + " was not tried, because the log-in is refused."}, nil
	}
	return bridge.Detection{}, err
}

// Login gets a cookie at {base}/login, the one place where Trac looks at a user's
// name and password (captures 082 and 083), and none for an anonymous visitor.
func (c *csvReader) Login(ctx context.Context, credentials *bridge.Credentials) (*bridge.Session, error) {
	secrets := credentials.Configured()
	if secrets == (bridge.Secrets{}) {
		return &bridge.Session{}, nil
	}
	visitor, err := bridge.Basic(secrets)
	if err != nil {
		return nil, err
	}
	page, err := c.remote.GetWith(ctx, visitor, loginPath)
	if err != nil {
		return nil, err
	}
	cookie := page.Cookie(authCookie)
	switch {
	case cookie != "":
		return &bridge.Session{Cookies: []*http.Cookie{{Name: authCookie, Value: cookie}}}, nil
	case page.StatusCode == http.StatusUnauthorized, page.StatusCode == http.StatusForbidden:
		return nil, refusedBasic(page)
	}
	return nil, badLogin("answered " + page.Status() + " without a " + authCookie + " cookie")
}

// Expired is true for what Trac answers to visitors where tickets are hidden from
// them: it says nothing about a cookie that it does not know any more.
func (c *csvReader) Expired(err error) bool {
	status := new(xmlrpc.HTTPError)
	return c.remote.Account() != "" && errors.As(err, &status) && status.StatusCode == http.StatusForbidden
}

// About makes a query, which shows that queries are answered. No CSV tells a version.
func (c *csvReader) About(ctx context.Context) (bridge.About, error) {
	if _, err := c.query(ctx, []string{"1"}, []string{"id"}); err != nil {
		return bridge.About{}, err
	}
	about := bridge.About{Versions: map[string]string{}, At: c.remote.Now()}
	about.UTC, _ = c.remote.Clock(about.At)
	return about, nil
}

// BugKey takes leading zeros off a number.
func (c *csvReader) BugKey(id string) string { return ticketKey(id) }

// ReadBugs reads one batch in one query, or a ticket from its own page.
func (c *csvReader) ReadBugs(ctx context.Context, keys []string, level bridge.Level) (bridge.BugBatch, error) {
	begun := c.remote.Now()
	rows, err := c.rows(ctx, words(ticketNumbers(keys)))
	if err != nil {
		return bridge.BugBatch{}, err
	}
	batch := bridge.BugBatch{Bugs: make([]bridge.Bug, 0, len(rows))}
	for _, row := range rows {
		batch.Bugs = append(batch.Bugs, c.bug(row, level))
	}
	batch.Time, _ = c.remote.Clock(begun)
	return batch, nil
}

func (c *csvReader) rows(ctx context.Context, ids []string) ([]csvRow, error) {
	if len(ids) > fewTickets {
		rows, err := c.query(ctx, ids, csvColumns)
		if err == nil && len(rows) == 0 {
			// A visitor who may see nothing must not be told that all is gone.
			_, err = c.ticket(ctx, ids[0])
		}
		return rows, err
	}
	var rows []csvRow
	for _, id := range ids {
		found, err := c.ticket(ctx, id)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

// query asks for tickets by number. Those that do not exist, and those that
// visitors may not see, are left out.
func (c *csvReader) query(ctx context.Context, ids, columns []string) ([]csvRow, error) {
	page, err := c.remote.Fetch(ctx, url.Values{"id": ids, "col": columns, "order": {"id"}, "max": {"0"}, "format": {"csv"}}, "query")
	if err != nil {
		return nil, err
	}
	return readCSV(page.Body)
}

// ticket asks for one ticket. There are no rows when it does not exist.
func (c *csvReader) ticket(ctx context.Context, id string) ([]csvRow, error) {
	page, err := c.remote.Fetch(ctx, url.Values{"format": {"csv"}}, "ticket", id)
	if status := new(xmlrpc.HTTPError); errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusNotFound:
			return nil, nil
		case http.StatusForbidden:
			return nil, apierror.New(apierror.Forbidden).WithDetail("The tracker does not show ticket " + id + " to visitors.")
		}
	}
	if err != nil {
		return nil, err
	}
	return readCSV(page.Body)
}

// bug makes the gateway's bug of a row.
func (c *csvReader) bug(row csvRow, level bridge.Level) bridge.Bug {
	bug := bridge.Bug{ID: row["id"]}
	if level == bridge.LevelIDs {
		return bug
	}
	bug.Title = row["summary"]
	bug.Status = row["status"]
	bug.Resolution = row["resolution"]
	bug.State = state(c.remote, bug.Status, bug.Resolution)
	bug.Priority = row["priority"]
	bug.Severity = row["severity"]
	bug.Importance = importance(c.remote, bug.Priority, bug.Severity)
	bug.Assignee = owner(row["owner"])
	bug.Component = row["component"]
	bug.URL = c.remote.URL("ticket", bug.ID)
	if level == bridge.LevelFull {
		bug.Description = row["description"]
	}
	return bug
}
