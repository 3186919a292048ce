package apierror_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

func respond(accept string, err error) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	apierror.Write(w, r, err)
	return w.Result()
}

func TestJSONHasAllFourFieldsAndTheNormalisedCode(t *testing.T) {
	w := httptest.NewRecorder()
	apierror.WriteJSON(w, apierror.New(apierror.TooManyRequests).WithExtra("policy", "mint").WithRetryAfter(1500*time.Millisecond))
	if got, want := w.Header().Get("Content-Type"), "application/json; charset=utf-8"; got != want {
		t.Errorf("Content-Type %q, want %q", got, want)
	}
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2: whole seconds, rounded up", got)
	}
	want := `{"code":"TOO_MANY_REQUESTS","message":"Too many requests. Please try again later.","extra":{"policy":"mint"},` +
		`"error_list":[{"code":"bad-request","message":"Too many requests. Please try again later.","extra":{"policy":"mint"}}]}`
	if got := w.Body.String(); got != want {
		t.Errorf("body\n%s\nwant\n%s", got, want)
	}
}

func TestAnEmptyExtraStandsAtTheTopAndNotInTheList(t *testing.T) {
	body, err := json.Marshal(apierror.New(apierror.TokenInvalid))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"code":"TOKEN_INVALID","message":"Token has already been used or is invalid.","extra":{},` +
		`"error_list":[{"code":"resource-not-found","message":"Token has already been used or is invalid."}]}`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

func TestTheAcceptHeaderChoosesTheRendering(t *testing.T) {
	for _, tc := range []struct {
		accept string
		json   bool
	}{
		{"", false},
		{"*/*", false},
		{"text/plain", false},
		{"application/json", true},
		{"Application/JSON; charset=utf-8", true},
		{"text/html, application/json;q=0.9", true},
		{"application/json;q=0", false},
		{"application/json;q=zz", false},
		{"application/jsonp", false},
	} {
		res := respond(tc.accept, apierror.New(apierror.TokenInvalid))
		isJSON := res.Header.Get("Content-Type") == apierror.ContentTypeJSON
		if isJSON != tc.json {
			t.Errorf("Accept %q: Content-Type %q", tc.accept, res.Header.Get("Content-Type"))
		}
		if res.Header.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: no Vary", tc.accept)
		}
		if res.StatusCode != http.StatusGone {
			t.Errorf("Accept %q: status %d", tc.accept, res.StatusCode)
		}
	}
}

func TestAFaultStringIsPlainASCIIOnOneLine(t *testing.T) {
	e := apierror.New(apierror.TrackerFault).WithDetail("fault 7: närrisch\n日本 <b>")
	want := "TRACKER_FAULT: The bug tracker answered with a fault. fault 7: n?rrisch ? <b>"
	if got := e.FaultString(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if e.FaultCode() != 2004 {
		t.Errorf("fault code %d", e.FaultCode())
	}
}

func TestACauseIsForLogsAndNeverRendered(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.7: secret")
	err := fmt.Errorf("minting: %w", apierror.New(apierror.StoreUnavailable).WithCause(cause))
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "10.0.0.7") {
		t.Errorf("the cause is lost in %v", err)
	}
	for _, accept := range []string{"", "application/json"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Accept", accept)
		apierror.Write(w, r, err)
		if strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("the cause is shown: %s", w.Body)
		}
	}
	if s := apierror.From(err).FaultString(); strings.Contains(s, "10.0.0.7") {
		t.Errorf("the cause is shown: %s", s)
	}
}

func TestAStrangeErrorIsAServerError(t *testing.T) {
	res := respond("", errors.New("boom"))
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d", res.StatusCode)
	}
	if !apierror.Is(apierror.New("NO_SUCH_NAME"), apierror.ServerError) {
		t.Error("a name that is not in the catalogue is not a SERVER_ERROR")
	}
	if apierror.From(nil) != nil {
		t.Error("no error became one")
	}
}

func TestChangedCopiesLeaveTheOriginalAlone(t *testing.T) {
	first := apierror.New(apierror.InvalidData).WithExtra("a", 1)
	second := first.WithExtra("b", 2).WithMessage("other").WithDetail("more").WithRetryAfter(time.Second)
	body, _ := json.Marshal(first)
	if strings.Contains(string(body), `"b"`) || first.Message() != "Invalid request data" || first.RetryAfter() != 0 {
		t.Errorf("the original changed: %s", body)
	}
	if second.Message() != "other" {
		t.Errorf("the copy did not change: %v", second)
	}
}
