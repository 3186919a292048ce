package audit

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// columns are the columns of a table and how wide they are at least; the last one
// takes what is left.
var columns = []struct {
	title string
	width int
}{
	{"TIME", len(timeLayout)}, {"CHAIN", 8}, {"SEQ", 7}, {"EVENT", 18}, {"OUTCOME", 8}, {"REASON", 12}, {"CALLER", 15},
	{"LISTENER", 8}, {"ROUTE", 18}, {"SUBJECT", 16}, {"NAME", 12}, {"DETAIL", 0},
}

// TableHeader returns the first row of a table, without the end of the line.
func TableHeader() string {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	return row(titles)
}

// Row returns the entry as one row of a table, without the end of the line. Fields
// without a value are "-", and a field that holds a space or could be taken for
// something else is quoted, so that no field passes for another one.
func (l Listed) Row() string {
	e := cleaned(l.Entry)
	caller := ""
	if e.Caller.IsValid() {
		caller = e.Caller.Unmap().WithZone("").String()
	}
	if n := e.Heads.Len(); n > 0 {
		e.Detail = strings.TrimSpace(fmt.Sprintf("%s (%d chains)", e.Detail, n))
	}
	return row([]string{
		e.Time.UTC().Format(timeLayout), l.Chain.Short(), strconv.FormatUint(l.Seq, 10),
		cell(string(e.Subsystem) + "." + e.Subsystem.Event(e.Code)), cell(string(e.Outcome)), cell(e.Reason), cell(caller),
		cell(e.Listener), cell(e.Route), cell(e.Subject), cell(e.Name), e.Detail,
	})
}

func cell(text string) string {
	switch {
	case text == "":
		return "-"
	case text == "-", strings.ContainsAny(text, ` "`):
		return strconv.Quote(text)
	default:
		return text
	}
}

func row(cells []string) string {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%-*s", columns[i].width, c)
	}
	return strings.TrimRight(b.String(), " ")
}

// line is an entry as JSON.
type line struct {
	Time      string   `json:"time"`
	Chain     ChainID  `json:"chain"`
	Seq       uint64   `json:"seq"`
	Subsystem string   `json:"subsystem"`
	Code      Code     `json:"code"`
	Event     string   `json:"event"`
	Outcome   string   `json:"outcome"`
	Reason    string   `json:"reason"`
	Caller    string   `json:"caller"`
	Listener  string   `json:"listener"`
	Route     string   `json:"route"`
	Subject   string   `json:"subject"`
	Name      string   `json:"name"`
	Detail    string   `json:"detail"`
	Heads     []string `json:"heads,omitempty"`
	MAC       MAC      `json:"mac"`
}

func (l Listed) line() line {
	e := cleaned(l.Entry)
	out := line{
		Time: e.Time.UTC().Format(timeLayout), Chain: l.Chain, Seq: l.Seq,
		Subsystem: string(e.Subsystem), Code: e.Code, Event: e.Subsystem.Event(e.Code),
		Outcome: string(e.Outcome), Reason: e.Reason, Listener: e.Listener, Route: e.Route,
		Subject: e.Subject, Name: e.Name, Detail: e.Detail, MAC: l.MAC,
	}
	if e.Caller.IsValid() {
		out.Caller = e.Caller.Unmap().WithZone("").String()
	}
	for _, h := range e.Heads.All() {
		out.Heads = append(out.Heads, FormatCheckpoint(h))
	}
	return out
}

// MarshalJSON returns the entry as one line of JSON, without the end of the line.
// The members are time (RFC 3339, UTC), chain, seq, subsystem, code, event,
// outcome, reason, caller, listener, route, subject, name, detail and mac, all of
// them always, and heads (checkpoints) where there are some.
func (l Listed) MarshalJSON() ([]byte, error) { return json.Marshal(l.line()) }

var _ json.Marshaler = Listed{}
