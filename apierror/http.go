package apierror

import (
	"encoding/json"
	"maps"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Content types of the two HTTP renderings.
const (
	ContentTypeJSON = "application/json; charset=utf-8"
	ContentTypeText = "text/plain; charset=utf-8"
)

type document struct {
	Code      Name           `json:"code"`
	Message   string         `json:"message"`
	Extra     map[string]any `json:"extra"`
	ErrorList []item         `json:"error_list"`
}

type item struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Extra   map[string]any `json:"extra,omitempty"`
}

// Write answers r with err: as JSON when r accepts application/json, as plain
// text otherwise. An err that is not of the catalogue is answered as
// [ServerError]. Headers that w has already are kept.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	if AcceptsJSON(r) {
		WriteJSON(w, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	e := From(err)
	write(w, e, ContentTypeText, []byte(e.Message()))
}

// WriteJSON answers with err as JSON, for routes that speak nothing else.
func WriteJSON(w http.ResponseWriter, err error) {
	w.Header().Set("Vary", "Accept")
	e := From(err)
	body, jsonErr := json.Marshal(e)
	if jsonErr != nil { // only an extra that JSON cannot write
		e = New(ServerError).WithCause(jsonErr)
		body, _ = json.Marshal(e)
	}
	write(w, e, ContentTypeJSON, body)
}

// MarshalJSON renders the error as the catalogue's JSON object.
func (e *Error) MarshalJSON() ([]byte, error) {
	extra := maps.Clone(e.extra)
	if extra == nil {
		extra = map[string]any{}
	}
	if e.detail != "" {
		extra["detail"] = e.detail
	}
	return json.Marshal(document{
		Code:      e.entry.name,
		Message:   e.Message(),
		Extra:     extra,
		ErrorList: []item{{Code: e.entry.normalised, Message: e.Message(), Extra: extra}},
	})
}

func write(w http.ResponseWriter, e *Error, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	SetRetryAfter(h, e.retryAfter)
	w.WriteHeader(e.entry.status)
	_, _ = w.Write(body) // a caller that is gone cannot be told so
}

// SetRetryAfter sets Retry-After to d in whole seconds, rounded up. Nothing is
// set for a d that is not positive.
func SetRetryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

// AcceptsJSON tells whether r asks for JSON: an Accept header (RFC 9110,
// section 12.5.1) that names application/json with a quality above zero.
// Wildcards do not ask for JSON.
func AcceptsJSON(r *http.Request) bool {
	for _, header := range r.Header["Accept"] {
		for part := range strings.SplitSeq(header, ",") {
			mediaType, params, err := mime.ParseMediaType(part)
			if err != nil || mediaType != "application/json" {
				continue
			}
			q, given := params["q"]
			if !given {
				return true
			}
			if quality, err := strconv.ParseFloat(q, 64); err == nil && quality > 0 {
				return true
			}
		}
	}
	return false
}
