package trac

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// capturedValue is the value of a captured answer.
func capturedValue(t testing.TB, number string) any {
	t.Helper()
	files, err := filepath.Glob("testdata/trac/" + number + "-*.response.http")
	if err != nil || len(files) != 1 {
		t.Fatalf("%d captures are named %s (%v)", len(files), number, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var value any
	if err := xmlrpc.ParseResponse(body, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// A failed call within system.multicall is no struct of faultCode and faultString.
func TestAFailedCallOfAMulticallIsAStructOfAnException(t *testing.T) {
	answers := capturedValue(t, "005").([]any)
	for i, want := range []struct{ failed, missing bool }{{}, {}, {true, true}, {true, false}, {}} {
		failed, is := answers[i].(map[string]any)
		if is != want.failed || isMissing(bridge.InnerAnswer{Failed: failed}) != want.missing {
			t.Errorf("call %d: %v, want %+v", i, answers[i], want)
		}
	}
	if found, err := readTicket("ticket.get", answers[1].([]any)[0]); err != nil || found.number != 2 || found.stamp() != "1710841020125458" {
		t.Errorf("the ticket is %+v (%v)", found, err)
	}
	// As elsewhere, which other versions may do.
	if !isMissing(bridge.InnerAnswer{Failed: map[string]any{"faultCode": 404, "faultString": "Ticket 1 does not exist."}}) {
		t.Error("fault 404 is not understood")
	}
}

func TestNumbersOfComments(t *testing.T) {
	for _, test := range []struct {
		old   string
		count int
		want  int
	}{
		{"1", 1, 1}, {"12", 3, 12}, {"1.2", 2, 2}, {"1.2.3", 3, 3}, // a reply tells whom to first
		{"", 4, 4}, {"description", 5, 5}, {"0", 6, 6}, {"-1", 7, 7}, {"99999999999", 8, 8}, {"1.", 9, 9},
	} {
		if got := commentNumber(test.old, test.count); got != test.want {
			t.Errorf("%q is number %d, want %d", test.old, got, test.want)
		}
	}
}

func TestRowsOfAChangeLog(t *testing.T) {
	row := func(field, old, text string) any {
		return []any{1710841020, "bob", field, old, text, true} // old plugins tell times in seconds
	}
	comments, last, err := readChangeLog([]any{
		row("status", "new", "closed"), row("comment", "1", "One.\r\nTwo."), row("_comment0", "", "1710841020125458"),
		row("comment", "2", " \r\n"), row("comment", "1.3", "Reply."), row("attachment", "", "a.txt"), row("comment", "4", ""),
	}, 7)
	if err != nil || len(comments) != 2 || last != 4 {
		t.Fatalf("%+v, the last is %d (%v)", comments, last, err)
	}
	if c := comments[0]; c.ID != "7-1" || c.Text != "One.\nTwo." || c.Time.Unix() != 1710841020 || c.Author != "bob" {
		t.Errorf("%+v", c)
	}
	if c := comments[1]; c.ID != "7-3" || c.Number != 3 {
		t.Errorf("%+v", c)
	}
	for _, bad := range []any{nil, "", []any{1}, []any{[]any{}}, []any{[]any{1, 2, 3, 4}}} {
		if _, _, err := readChangeLog(bad, 1); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestLinksSurviveTheirField(t *testing.T) {
	for value, want := range map[string][2]string{
		"": {}, " ": {}, "12": {"12", ""}, "12 https://x.example/12": {"12", "https://x.example/12"},
		"https://x.example/bugs/12/": {"12", "https://x.example/bugs/12/"},
	} {
		if got := parseLink(value); got.ID != want[0] || got.URL != want[1] {
			t.Errorf("%q is %+v", value, got)
		}
	}
}

// A title that a query would take for something else is not asked for by title.
func TestTitlesInQueries(t *testing.T) {
	for title, want := range map[string]string{
		"Plain = title": "summary=Plain = title&", " trimmed ": "summary=trimmed&",
		"a & b": "", "a|b": "", `a\b`: "", "!not": "", "~part": "", "^start": "", "$end": "", "": "",
	} {
		if got := titleQuery(title); got != want {
			t.Errorf("%q is asked for with %q, want %q", title, got, want)
		}
	}
}

func TestTablesThatAreNoneAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                "",
		"a mark alone":           "\xef\xbb\xbf",
		"a page":                 "\n<!DOCTYPE html>\n<html></html>",
		"a page behind a mark":   "\xef\xbb\xbf<html>",
		"Latin-1":                "id,summary\r\n1,gr\xfcn\r\n",
		"no id":                  "summary,status\r\na,new\r\n",
		"a row too short":        "id,summary\r\n1\r\n",
		"a row cut off":          "id,summary\r\n1,\"never clo",
		"a bare quote":           "id,summary\r\n1,a\"b\"\r\n",
		"two columns of a name":  "id,Summary,summary\r\n1,a,b\r\n",
		"an id that is none":     "id,summary\r\nabc,a\r\n",
		"an id below one":        "id,summary\r\n0,a\r\n",
		"more columns than ever": "id" + strings.Repeat(",c", maxColumns) + "\r\n",
	} {
		if rows, err := readCSV([]byte(body)); err == nil {
			t.Errorf("%s gives %v", name, rows)
		}
	}
	rows, err := readCSV([]byte("\xef\xbb\xbfid,Status,\"Odd, label\"\r\n1,new,\"a \"\"b\"\"\r\n\r\nc\"\r\n"))
	if want := []csvRow{{"id": "1", "status": "new", "odd, label": "a \"b\"\n\nc"}}; err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%v (%v)", rows, err)
	}
}

func FuzzCSV(f *testing.F) {
	for _, number := range []string{"105", "106", "107", "108", "109", "110", "111", "112", "113", "115"} {
		files, err := filepath.Glob("testdata/trac/" + number + "-*.response.http")
		if err != nil || len(files) != 1 {
			f.Fatal(number)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
		_, body, _ = bytes.Cut(body, []byte("\r\n")) // the size of its only chunk
		f.Add(body[:len(body)-len("\r\n0\r\n\r\n")])
	}
	f.Add([]byte("id\r\n1\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := readCSV(body)
		if err != nil && rows != nil {
			t.Error("rows and an error")
		}
		for _, row := range rows {
			if _, ok := ticketNumber(row["id"]); !ok {
				t.Errorf("row %v has no id", row)
			}
		}
	})
}

func FuzzChangeLog(f *testing.F) {
	for _, number := range []string{"028", "029", "030", "031", "033", "034", "035", "036", "037", "038", "039", "060", "066"} {
		value, err := xmlrpc.Marshal(capturedValue(f, number))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var value any
		if xmlrpc.Unmarshal(doc, &value) != nil {
			return
		}
		comments, last, err := readChangeLog(value, 7)
		if err != nil {
			return
		}
		for i, c := range comments {
			if bug, _, ok := splitCommentID(c.ID); !ok || bug != "7" || c.Number < 1 || c.Number > last || strings.TrimSpace(c.Text) == "" || strings.Contains(c.Text, "\r") {
				t.Errorf("comment %+v, the last is %d", c, last)
			}
			if i > 0 && c.Number < comments[i-1].Number {
				t.Errorf("%d comes after %d", c.Number, comments[i-1].Number)
			}
		}
	})
}
