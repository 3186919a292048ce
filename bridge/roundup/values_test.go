package roundup

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestDatesAreRead(t *testing.T) {
	for text, want := range map[string]time.Time{
		"<Date 2024-03-02.09:00:05.250>":    time.Date(2024, 3, 2, 9, 0, 5, 250e6, time.UTC),
		"<Date 2024-03-02.09:00:05>":        time.Date(2024, 3, 2, 9, 0, 5, 0, time.UTC),
		"<Date 2004-04-06.22:04:20.766830>": time.Date(2004, 4, 6, 22, 4, 20, 766830e3, time.UTC), // of old versions
		"<Date 2003-07-01.00:00:0.000000>":  time.Date(2003, 7, 1, 0, 0, 0, 0, time.UTC),          // likewise
		"2024-03-02.09:00:05":               {},
		"<Date 2024-13-02.09:00:05.250>":    {},
		"<Date 2024-03-02T09:00:05Z>":       {},
		"<Date >":                           {},
		"":                                  {},
	} {
		if got := parseDate(text); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestDatesAreWrittenWithAMarginForTheZoneOfTheAccount(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	if got, want := fromDate(time.Date(2024, 5, 6, 23, 8, 9, 5, berlin)), "from 2024-05-06.07:08:09"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := fromDate(time.Unix(0, 0)); got != "" {
		t.Errorf("%q, want no filter: Roundup refuses years before 1970, and then lets all pass", got)
	}
}

func TestPropertiesAreReadFromTheirPythonRepresentation(t *testing.T) {
	for text, want := range map[string]property{
		`<roundup.hyperdb.String>`:              {kind: kindString},
		`<roundup.hyperdb.Link to "status">`:    {kind: kindLink, to: "status"},
		`<roundup.hyperdb.Multilink to "user">`: {kind: kindMultilink, to: "user"},
		`<Number>`:                              {kind: "Number"},
		``:                                      {},
	} {
		if got := parseProperty(text); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestNoMoreNamesAreKeptThanTheLimit(t *testing.T) {
	n, now := newNames(nil), time.Unix(1e9, 0)
	many := map[string]string{}
	for i := range maxNames {
		many["user"+strconv.Itoa(i)] = "name"
	}
	n.keep(now, many)
	n.keep(now, map[string]string{"status1": "unread"})
	if len(n.known) > maxNames {
		t.Errorf("%d names are kept, more than %d", len(n.known), maxNames)
	}
	if found, missing := n.look(now, []string{"status1", "user0"}); found["status1"] != "unread" || len(missing) != 1 {
		t.Errorf("found %v, missing %q", found, missing)
	}
	many["more"] = "name"
	if n.keep(now, many); len(n.known) > maxNames {
		t.Errorf("%d names of one answer are kept, more than %d", len(n.known), maxNames)
	}
	n.keep(now, map[string]string{"status1": "unread"})
	if _, missing := n.look(now.Add(nameTime), []string{"status1"}); len(missing) != 1 {
		t.Error("a name is kept for longer than it may")
	}
}

func FuzzDates(f *testing.F) {
	for _, seed := range []string{"<Date 2024-03-02.09:00:05.250>", "<Date 2003-07-01.00:00:0.000000>", "<Date 0000-00-00.00:00:00>", "<Date", ">", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := parseDate(text)
		if got.IsZero() {
			return
		}
		if again := parseDate("<Date " + got.Format("2006-01-02.15:04:05.999999999") + ">"); !again.Equal(got) {
			t.Errorf("%q is %v, and written and read again %v", text, got, again)
		}
	})
}

func FuzzFaults(f *testing.F) {
	for _, seed := range []string{
		"<class 'IndexError'>:no such issue 999", "<class 'roundup.exceptions.UsageError'>:Required Header Missing", "<type 'exceptions.KeyError'>:'x'",
		"<class 'x'>:", "<class ''>:x", "<type '.'>:", "Forbidden", "<class 'a b'>:x http://u:p@h/ \x00\xff", "'>:",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		class, rest := splitFault(text)
		if class == "" && rest != text || !strings.HasSuffix(text, rest) || strings.ContainsAny(class, "'<> \n") {
			t.Errorf("%q is %q and %q", text, class, rest)
		}
		quoted := quote(rest)
		if len([]rune(quoted)) > maxFaultText+3 || strings.Contains(quoted, "://") || strings.ContainsFunc(quoted, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is quoted as %q", text, quoted)
		}
	})
}

func FuzzIDs(f *testing.F) {
	for _, seed := range []string{"1", "007", "0", "2147483647", "2147483648", "-1", "1 ", "٣", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := number(text)
		if !ok {
			return
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil || n < 1 || n > maxID || strconv.FormatInt(n, 10) != id {
			t.Errorf("%q is taken for the id %q", text, id)
		}
	})
}

func TestNobodyChangesAccountsThroughTheGateway(t *testing.T) {
	for _, tc := range []struct {
		method  string
		params  []any
		refused bool
	}{
		{"set", []any{"user7", "password=x"}, true},
		{"set", []any{" User7", "password=x"}, true},
		{"set", []any{[]byte("user7"), "password=x"}, true},
		{"create", []any{"user", "username=x"}, true},
		{"action", []any{"retire", "user7"}, true},
		{"action", []any{"retire", "issue1", "user7"}, true},
		{"set", []any{"issue7", "assignedto=user7"}, false},
		{"create", []any{"issue", "title=user interface"}, false},
		{"display", []any{"user7", "username"}, false},
		{"set", nil, false},
		{"action", []any{"retire"}, false},
	} {
		if err := keepAccounts(tc.method, tc.params); (err != nil) != tc.refused {
			t.Errorf("%s %v: %v", tc.method, tc.params, err)
		}
	}
}
