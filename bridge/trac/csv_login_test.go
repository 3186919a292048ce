package trac

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// csvSite is a Trac whose tickets only those who logged in may read.
type csvSite struct {
	logins atomic.Int32
	cookie atomic.Value // of the session that is live
}

func (s *csvSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		s.logins.Add(1)
		if user, password, _ := r.BasicAuth(); user != "alice" || password != "right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: authCookie, Value: s.cookie.Load().(string), Path: "/"})
		w.Header().Set("Location", "http://"+r.Host+"/") // a page beneath, which is not wanted
		w.WriteHeader(http.StatusFound)
		return
	}
	if c, err := r.Cookie(authCookie); err != nil || c.Value != s.cookie.Load() || r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/csv;charset=utf-8")
	_, _ = io.WriteString(w, "\ufeffid,summary,status\r\n7,hidden,new\r\n")
}

func TestATracOfCSVIsLoggedInToAtItsLogInPage(t *testing.T) {
	site := &csvSite{}
	site.cookie.Store("first-cookie-of-the-session")
	server := httptest.NewServer(site)
	defer server.Close()
	open := func(secrets bridge.Secrets) *bridge.Bridge {
		b, err := bridge.New([]bridge.Config{{Name: "t", URL: server.URL, Dialect: CSVName, AllowPrivate: true, Secrets: secrets}},
			[]bridge.Named{{Name: CSVName, New: NewCSV}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	b := open(bridge.Secrets{User: "alice", Password: "right"})
	for range 2 {
		bugs, err := b.GetBugs(t.Context(), "t", []string{"7"}, bridge.LevelMetadata)
		if err != nil || len(bugs.Bugs) != 1 || bugs.Bugs[0].Title != "hidden" {
			t.Fatalf("%+v, %v", bugs, err)
		}
		site.cookie.Store("second-cookie-of-the-session") // the first is over
	}
	if n := site.logins.Load(); n != 2 {
		t.Errorf("%d log-ins, want one for each session", n)
	}
	for name, secrets := range map[string]bridge.Secrets{
		"wrong password": {User: "alice", Password: "wrong-password"},
		"no user":        {APIKey: "an-api-key"},
		"a colon":        {User: "a:b", Password: "right"},
	} {
		_, err := open(secrets).GetBugs(t.Context(), "t", []string{"7"}, bridge.LevelMetadata)
		if !apierror.Is(err, apierror.TrackerLoginFailed) || strings.Contains(err.Error(), "wrong-password") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
