package trac

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestWholeNumbersComeInManyForms(t *testing.T) {
	for _, v := range []any{7, int64(7), 7.0, "7", " 7 "} {
		if n, ok := intOf(v); !ok || n != 7 {
			t.Errorf("%T %v is %d, %v", v, v, n, ok)
		}
	}
	for _, v := range []any{nil, 7.5, 1e300, "x", "", true, []any{7}} {
		if n, ok := intOf(v); ok {
			t.Errorf("%T %v is %d", v, v, n)
		}
	}
	for _, v := range []any{0, -1, int64(maxEpoch) + 1, "x", nil} {
		if at := timeOf(v); !at.IsZero() {
			t.Errorf("%v is the time %v", v, at)
		}
	}
	if at := timeOf(maxEpoch); at.Year() != 9999 {
		t.Errorf("the last second is %v", at)
	}
}

// Whatever a tracker answers, reading it gives a result or an error.
func FuzzAnswers(f *testing.F) {
	files, err := filepath.Glob("testdata/trac-launchpad/*.response.http")
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
	l := &launchpad{}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var answer []any
		if xmlrpc.ParseResponse(doc, &answer) != nil {
			return
		}
		if _, found, err := readBugs("m", answer); err == nil {
			for _, m := range found {
				ids, err := commentIDs(m)
				if err == nil && ids == nil {
					t.Error("the ids of comments are nil")
				}
				_ = state(&bridge.Remote{}, text(m, "status"), text(m, "resolution"))
				if key := l.BugKey(text(m, "id")); l.BugKey(key) != key {
					t.Errorf("the key of the key %q is %q", key, l.BugKey(key))
				}
			}
		}
		if comments, err := readComments("m", answer); err == nil {
			for _, c := range comments.list {
				if c.Number < 0 || c.Bug == "" || l.CommentKey(l.CommentKey(c.ID)) != l.CommentKey(c.ID) {
					t.Errorf("%+v", c)
				}
			}
		}
		if at, err := timeAt("m", answer, 2); err == nil && (at.Before(time.Unix(0, 0)) || at.Location() != time.UTC) {
			t.Errorf("the clock is %v", at)
		}
	})
}
