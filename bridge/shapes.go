package bridge

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// members is a struct of the interface in the making.
type members map[string]any

// text sets a member unless it has no value.
func (m members) text(name, value string) {
	if value != "" {
		m[name] = value
	}
}

// time sets a member, in UTC and without a zone, unless it has no value.
func (m members) time(name string, t time.Time) {
	if !t.IsZero() {
		m[name] = xmlrpc.DateTimeOf(t.UTC()).WithoutZone()
	}
}

func bugValue(b *Bug) map[string]any {
	m := members{"id": b.ID}
	m.text("title", b.Title)
	m.text("status", b.Status)
	m.text("resolution", b.Resolution)
	m.text("state", string(b.State))
	m.text("priority", b.Priority)
	m.text("severity", b.Severity)
	m.text("importance", string(b.Importance))
	m.text("assignee", b.Assignee)
	m.text("product", b.Product)
	m.text("component", b.Component)
	m.text("duplicate_of", b.DuplicateOf)
	m.time("created", b.Created)
	m.time("modified", b.Modified)
	m.text("description", b.Description)
	m.text("link", b.Link)
	m.text("url", b.URL)
	if b.CommentIDs != nil {
		m["comment_ids"] = b.CommentIDs
	}
	if b.Comments != nil {
		comments := make([]any, len(b.Comments))
		for i := range b.Comments {
			comments[i] = commentValue(&b.Comments[i])
		}
		m["comments"] = comments
	}
	return m
}

func commentValue(c *Comment) map[string]any {
	m := members{"id": c.ID, "bug": c.Bug, "number": c.Number, "text": c.Text}
	m.text("author", c.Author)
	m.time("time", c.Time)
	return m
}

func linkValue(l Link) map[string]any {
	m := members{}
	m.text("id", l.ID)
	m.text("url", l.URL)
	return m
}

// newBug reads what a bug is filed with. Members that the tracker takes by names
// of its own may be strings, numbers or booleans.
func newBug(m map[string]any) (NewBug, error) {
	var n NewBug
	for name, value := range m {
		var text string
		switch v := value.(type) {
		case string:
			text = v
		case bool:
			text = strconv.FormatBool(v)
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			id, err := oneID(quoted(name), value)
			if err != nil {
				return NewBug{}, invalid("%s must be a string, an int, a double or a boolean, not %s", quoted(name), kindOf(value))
			}
			text = id
		}
		switch name {
		case "title":
			n.Title = text
		case "description":
			n.Description = text
		case "product":
			n.Product = text
		case "component":
			n.Component = text
		default:
			if n.Fields == nil {
				n.Fields = map[string]string{}
			}
			n.Fields[name] = text
		}
	}
	return n, nil
}

// oneID reads an id, which may be an int or a string.
func oneID(where string, v any) (string, error) {
	switch id := v.(type) {
	case string:
		return id, nil
	case int:
		return strconv.Itoa(id), nil
	case int64:
		return strconv.FormatInt(id, 10), nil
	case *big.Int:
		return id.String(), nil
	}
	return "", invalid("%s must be an int or a string, not %s", where, kindOf(v))
}

// idList reads an array of ids, which need not be of one type.
func idList(where string, v any) ([]string, error) {
	values, ok := v.([]any)
	if !ok {
		return nil, invalid("%s must be an array, not %s", where, kindOf(v))
	}
	ids := make([]string, len(values))
	for i, value := range values {
		id, err := oneID(fmt.Sprintf("%s[%d]", where, i), value)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

// instant reads a time, which may be a dateTime, in UTC when it has no zone, or
// an int of seconds since 1970.
func instant(where string, v any) (time.Time, error) {
	var t time.Time
	switch value := v.(type) {
	case xmlrpc.DateTime:
		t = value.Time(time.UTC)
	case int:
		t = time.Unix(int64(value), 0)
	case int64:
		t = time.Unix(value, 0)
	default:
		return t, invalid("%s must be a dateTime.iso8601 or an int of seconds since 1970, not %s", where, kindOf(v))
	}
	if t.Unix() < 0 || t.Unix() > math.MaxInt32 {
		return t, invalid("%s must be a time from 1970 to 2038: XML-RPC's int holds no others", where)
	}
	return t.UTC(), nil
}

// kindOf names the XML-RPC type of a decoded value.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case bool:
		return "a boolean"
	case int, int64, *big.Int:
		return "an int"
	case float64:
		return "a double"
	case string:
		return "a string"
	case xmlrpc.DateTime:
		return "a dateTime.iso8601"
	case []byte:
		return "base64"
	case []any:
		return "an array"
	case map[string]any:
		return "a struct"
	}
	return "a value of another type"
}
