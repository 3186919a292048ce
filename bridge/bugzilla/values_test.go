package bugzilla

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestStatesAreThoseOfTheTable(t *testing.T) {
	remote := &bridge.Remote{}
	for _, tc := range []struct {
		status, resolution string
		want               bridge.State
	}{
		{"UNCONFIRMED", "", bridge.StateNew},
		{"NEW", "", bridge.StateConfirmed},
		{"new", "FIXED", bridge.StateConfirmed},
		{"Upstream", "", bridge.StateConfirmed},
		{"IN_PROGRESS", "", bridge.StateInProgress},
		{"NEEDINFO_REPORTER", "", bridge.StateIncomplete},
		{"ON_QA", "", bridge.StateFixCommitted},
		{"REJECTED", "", bridge.StateInvalid},
		{"RESOLVED", "FIXED", bridge.StateFixReleased},
		{"VERIFIED", "fixed", bridge.StateFixReleased},
		{"CLOSED", "DEFERRED", bridge.StateWontFix},
		{"CLOSED", "UPSTREAM", bridge.StateWontFix},
		{"RESOLVED", "INCOMPLETE", bridge.StateExpired},
		{"RESOLVED", "WORKSFORME", bridge.StateInvalid},
		{"RESOLVED", "DUPLICATE", bridge.StateInvalid},
		{"RESOLVED", "", bridge.StateUnknown},
		{"RESOLVED", "MOVED", bridge.StateUnknown},
		{"FROBBED", "FIXED", bridge.StateUnknown},
		{"", "", bridge.StateUnknown},
	} {
		if got := state(remote, tc.status, tc.resolution); got != tc.want {
			t.Errorf("%s %s is %s, want %s", tc.status, tc.resolution, got, tc.want)
		}
	}
}

func TestTheImportanceIsThatOfTheLastWordThatIsKnown(t *testing.T) {
	for _, tc := range []struct {
		priority, severity string
		want               bridge.Importance
	}{
		{"Highest", "blocker", bridge.ImportanceCritical},
		{"P5", "minor", bridge.ImportanceLow},
		{"P5", "S2", bridge.ImportanceCritical},
		{"P1", "---", bridge.ImportanceLow},
		{"", "Enhancement", bridge.ImportanceWishlist},
		{"unspecified", "unspecified", bridge.ImportanceUndecided},
		{"High", "", bridge.ImportanceHigh},
		{"P3", "", bridge.ImportanceMedium},
		{"---", "", bridge.ImportanceUnknown},
		{"", "", bridge.ImportanceUnknown},
	} {
		if got := importance(&bridge.Remote{}, tc.priority, tc.severity); got != tc.want {
			t.Errorf("%q %q is %s, want %s", tc.priority, tc.severity, got, tc.want)
		}
	}
}

func TestTheSessionIsOverWhereAFaultSaysSoAndNowhereElse(t *testing.T) {
	for _, tc := range []struct {
		code     int
		codeText string
		text     string
		want     bool
	}{
		{code: 410, text: "You must log in before using this part of Bugzilla.", want: true},
		{code: 306, text: "The API key you specified has been revoked by the user that created it.", want: true},
		{code: 32000, text: "The cookies or token provide were not valid or have expired.", want: true},
		{code: 32000, text: "The Token is no more.", want: true},
		{code: 32000, text: "Your IP (127.0.0.1) has been locked out of this account until 2026-11-21 20:15 UTC, as you have exceeded the maximum number of login attempts."},
		{code: 32000, text: "Your IP has been locked out, cookies or not"},
		{code: 32000, text: "The name is in use."},
		{code: 101, text: "no token"},
		{code: -32000, text: "cookies"},
		{codeText: "Client", text: "token"},
	} {
		fault := &xmlrpc.Fault{Code: tc.code, CodeText: tc.codeText, String: tc.text}
		if got := new(site).Expired(fault); got != tc.want {
			t.Errorf("%v: %v", fault, got)
		}
	}
	if new(site).Expired(errors.New("cookies")) || new(site).Expired(nil) {
		t.Error("an error that is no fault ends no session")
	}
	anonymous := new(site)
	anonymous.anonymous.Store(true)
	if anonymous.Expired(&xmlrpc.Fault{Code: 410}) {
		t.Error("there is nothing to log in with")
	}
}

func TestAnAddressOfLaunchpadIsRecognisedHoweverItIsWritten(t *testing.T) {
	for address, want := range map[string]string{
		"https://launchpad.net/bugs/12":                            "12",
		"http://bugs.launchpad.net/bugs/0012/":                     "12",
		"https://bugs.launchpad.net/ubuntu/+source/widgets/+bug/9": "9",
		"https://launchpad.net/bugs/":                              "",
		"https://launchpad.net/bugs/x":                             "",
		"https://launchpad.net.example.org/bugs/1":                 "",
		"https://example.org/launchpad.net/bugs/1":                 "",
	} {
		if got := launchpadNumber(address); got != want {
			t.Errorf("%s is bug %q, want %q", address, got, want)
		}
	}
}

func TestMoreCommentsThanOneCallMayCostAreRefused(t *testing.T) {
	if _, err := bounded(make([]bridge.Comment, bridge.MaxComments)); err != nil {
		t.Error(err)
	}
	if _, err := bounded(make([]bridge.Comment, bridge.MaxComments+1)); !apierror.Is(err, apierror.TrackerBadAnswer) {
		t.Errorf("%v, want TRACKER_BAD_ANSWER", err)
	}
}

func TestNumbersComeInManyForms(t *testing.T) {
	for _, v := range []any{7, int64(7), 7.0, "7", " 7 "} {
		if n, ok := numberOf(v); !ok || n != 7 {
			t.Errorf("%T %v is %d, %v", v, v, n, ok)
		}
	}
	for _, v := range []any{nil, 7.5, "x", "", true, []any{7}, "2147483648"} {
		if n, ok := numberOf(v); ok {
			t.Errorf("%T %v is %d", v, v, n)
		}
	}
	if got := wordsOf([]any{"a", 1, nil, []any{}}); !reflect.DeepEqual(got, []string{"a", "1"}) {
		t.Errorf("%q", got)
	}
}

// Whatever a tracker answers, reading it gives a result or an error.
func FuzzAnswers(f *testing.F) {
	for _, dir := range []string{"bugzilla", "bugzilla-launchpad"} {
		files, err := filepath.Glob("testdata/" + dir + "/*.response.http")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if i, j := strings.Index(string(raw), "<?xml"), strings.LastIndex(string(raw), ">"); i >= 0 && j > i {
				f.Add(raw[i : j+1])
			}
		}
	}
	b, err := bridge.New([]bridge.Config{{Name: "bz", URL: "http://127.0.0.1:1", Dialect: NativeName, AllowPrivate: true}},
		[]bridge.Named{{Name: NativeName, New: func(remote *bridge.Remote) (bridge.Dialect, error) {
			d, err := NewNative(remote)
			fuzzed = d.(*native).site
			return d, err
		}}}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	f.Fuzz(func(t *testing.T, doc []byte) {
		var answer map[string]any
		err := xmlrpc.ParseResponse(doc, &answer, xmlrpc.WithRepair())
		if fault := faultOf(err); fault != nil {
			_ = fuzzed.Expired(fault)
			if explained := fuzzed.ExplainFault(fault); explained != nil && len([]rune(explained.Error())) > 3*longestText {
				t.Errorf("a fault is explained in %d characters", len(explained.Error()))
			}
			if loginFailure("x", fault) == nil {
				t.Error("a fault is no failure of a log-in")
			}
			_ = describeFault("x", fault)
		}
		if err != nil {
			return
		}
		_, _ = nativeTime(answer)
		_, _ = launchpadTime(answer)
		_, _ = chosenComments(answer)
		for _, read := range []func(map[string]any) (map[string][]bridge.Comment, error){nativeComments, launchpadComments} {
			all, err := read(answer)
			for _, list := range all {
				for _, c := range list {
					if err == nil && c.ID == "" {
						t.Error("a comment without an id")
					}
				}
			}
		}
		found, err := structs("x", answer, "bugs")
		if err != nil {
			return
		}
		for _, m := range found {
			if bug := fuzzed.bug(m); bug.State == "" || bug.Importance == "" {
				t.Errorf("%+v", bug)
			}
		}
		_ = index(found)
		_ = numbersOf(found)
	})
}

// fuzzed is the site that reads what is fuzzed.
var fuzzed *site
