package trac

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trackgate/trackgate/bridge"
)

// maxColumns bounds the columns of a table. Trac has a dozen fields, and
// administrators add some.
const maxColumns = 1000

// csvRow is a ticket, by the names of its columns in lower case.
type csvRow map[string]string

// csvID is the column without which a table is not Trac's.
const csvID = "id"

// readCSV reads Trac's comma-separated values: UTF-8 with a byte order mark, line
// ends of CR LF, quotes as in RFC 4180 with line ends inside them. The names of the
// columns are those of the fields for one ticket ("resolution", capture 105) and
// labels for a query ("Resolution", capture 111), so that their case does not
// count. A page in place of a table is an error, and so is a table that was cut
// off within a row.
func readCSV(body []byte) ([]csvRow, error) {
	const byteOrderMark = "\xef\xbb\xbf"
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	switch start := bytes.TrimSpace(body); {
	case len(start) == 0:
		return nil, badCSV("it is empty")
	case start[0] == '<':
		return nil, badCSV("it is a page")
	case !utf8.Valid(body):
		return nil, badCSV("it is not in UTF-8")
	}
	in := csv.NewReader(bytes.NewReader(body))
	in.ReuseRecord = true
	head, err := in.Read()
	switch {
	case err != nil:
		return nil, badCSV("its head cannot be read")
	case !bytes.HasSuffix(body, []byte("\n")): // every captured row, and so the last, ends with one
		return nil, badCSV("it was cut off")
	}
	if len(head) > maxColumns {
		return nil, badCSV("it has more than the limit of " + strconv.Itoa(maxColumns) + " columns")
	}
	names := make([]string, len(head))
	seen := map[string]bool{}
	for i, name := range head {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		if seen[names[i]] {
			return nil, badCSV("two of its columns have one name")
		}
		seen[names[i]] = true
	}
	if !seen[csvID] {
		return nil, badCSV("it has no column for the id")
	}
	rows := []csvRow{}
	for {
		record, err := in.Read()
		switch {
		case errors.Is(err, io.EOF):
			return rows, nil
		case errors.Is(err, csv.ErrFieldCount):
			return nil, badCSV("a row has more or fewer columns than the head")
		case err != nil:
			return nil, badCSV("a row breaks the rules of quoting")
		}
		row := make(csvRow, len(names))
		for i, name := range names {
			row[name] = bridge.NormalLines(record[i])
		}
		if _, ok := ticketNumber(row[csvID]); !ok {
			return nil, badCSV("the id of a row is no number")
		}
		rows = append(rows, row)
	}
}

func badCSV(what string) error { return bridge.BadShape("a request for CSV", "%s", what) }
