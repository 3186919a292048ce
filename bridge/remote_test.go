package bridge_test

import (
	"net/http"
	"testing"

	"github.com/trackgate/trackgate/bridge"
)

func TestACookieThatIsClearedIsNoSession(t *testing.T) {
	const past, future = "; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "; Expires=Fri, 31 Dec 2100 00:00:00 GMT"
	for _, tc := range []struct {
		date string
		set  []string
		want string
	}{
		{"", nil, ""},
		{"", []string{"trac_auth=a"}, "a"},
		{"", []string{"trac_auth=a", "trac_auth=b", "other=c"}, "b"},
		{"", []string{"trac_auth="}, ""},
		{"", []string{"trac_auth=a; Max-Age=0"}, ""},
		{"", []string{"trac_auth=a; Max-Age=60" + past}, "a"}, // RFC 6265, section 5.3: Max-Age counts
		{"", []string{"trac_auth=deleted" + past}, ""},
		{"", []string{"trac_auth=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT"}, ""},
		{"", []string{"trac_auth=a" + future}, "a"},
		{"", []string{"trac_auth=a", "trac_auth=deleted; Path=/" + past}, "a"}, // one of another path is cleared
		// A tracker's clock may be years wrong. Its cookies go by it.
		{"Wed, 01 Jan 2003 00:00:00 GMT", []string{"trac_auth=a; Expires=Wed, 01 Jan 2003 01:00:00 GMT"}, "a"},
		{"Wed, 01 Jan 2003 02:00:00 GMT", []string{"trac_auth=a; Expires=Wed, 01 Jan 2003 01:00:00 GMT"}, ""},
	} {
		page := bridge.Page{Header: http.Header{"Set-Cookie": tc.set}}
		if tc.date != "" {
			page.Header.Set("Date", tc.date)
		}
		if got := page.Cookie("trac_auth"); got != tc.want {
			t.Errorf("%q at %q: %q, want %q", tc.set, tc.date, got, tc.want)
		}
	}
}
