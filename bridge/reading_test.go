package bridge

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestNumbersLoseTheirLeadingZeros(t *testing.T) {
	for digits, want := range map[string]string{"7": "7", "007": "7", "0": "0", "000": "0", "10": "10", "99999999999999999999": "99999999999999999999"} {
		if got, ok := Digits(digits); !ok || got != want {
			t.Errorf("%q became %q, %v, want %q", digits, got, ok, want)
		}
	}
	for _, other := range []string{"", "-1", "+1", "1.0", "1_0", "\u0667", "x", " 1"} {
		if got, ok := Digits(other); ok || got != other {
			t.Errorf("%q became the number %q", other, got)
		}
	}
}

func TestBasicAuthorizationCarriesWhatItCan(t *testing.T) {
	s, err := Basic(Secrets{User: "änn", Password: "p:ß"})
	if want := "Basic w6RubjpwOsOf"; err != nil || s.Header["Authorization"] != want {
		t.Errorf("%v, %v, want %s", s.Header, err, want)
	}
	for _, secrets := range []Secrets{{}, {Password: "p"}, {Token: "t"}, {User: "a:b", Password: "p"}} {
		refused := new(RefusedError)
		if s, err := Basic(secrets); s != nil || !errors.As(err, &refused) {
			t.Errorf("%v, %v", s, err)
		}
	}
}

func TestAMulticallThatDoesNotFitItsCallsIsABadAnswer(t *testing.T) {
	for _, answer := range [][]any{{}, {1}, {[]any{}}, {[]any{1, 2}}, {[]any{1}, []any{1}}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			doc, err := xmlrpc.AppendResponse(nil, answer)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "text/xml")
			_, _ = w.Write(doc)
		}))
		_, d := newBare(t, Config{URL: server.URL, AllowPrivate: true})
		rpc, err := d.remote.Endpoint("rpc")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rpc.Multicall(t.Context(), []InnerCall{{Method: "m", Params: []any{nil, 1}}}); !apierror.Is(err, apierror.TrackerBadAnswer) {
			t.Errorf("%v became %v, %v", answer, got, err)
		}
		server.Close()
	}
}
