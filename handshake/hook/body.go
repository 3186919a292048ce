package hook

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/trackgate/trackgate/apierror"
)

// Limits of a request.
const (
	// DefaultMaxBody is how many bytes a body may have.
	DefaultMaxBody = 256 << 10
	// MaxFields is how many fields a body may have, known or not; of a JSON body the
	// members of the outermost object are counted.
	MaxFields = 100
	// MaxSentName is how long the name of a field may be that is sent, in bytes.
	MaxSentName = 256
	// MaxJSONDepth is how deep a JSON body, or the JSON value of a field in a form,
	// may be nested.
	MaxJSONDepth = 16
)

// body is a request's body and how it says that it is to be read.
type body struct {
	raw     []byte
	media   string // the media type, in lower case
	params  map[string]string
	charset charset
}

// submitted is what a body gave for the fields of a hook.
type submitted struct {
	inputs map[string]input
	// ignored is how many fields it gave that the hook does not have.
	ignored int
}

const (
	mediaForm      = "application/x-www-form-urlencoded"
	mediaMultipart = "multipart/form-data"
	mediaJSON      = "application/json"
	acceptedMedia  = "Send " + mediaForm + ", " + mediaMultipart + " or " + mediaJSON + "."
)

// invalid is the error of a body that cannot be read: what is wrong with it, and
// nothing of what stands in it, which may be a token.
type invalid string

func (e invalid) Error() string { return string(e) }

// tooLarge names the limit that was hit.
func tooLarge(what string, limit int64) error {
	return apierror.New(apierror.RequestTooLarge).WithDetail(fmt.Sprintf("%s: at most %d.", what, limit)).WithExtra("limit", limit)
}

// readBody reads the whole of a request's body, and refuses first what it could
// not use.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body, error) {
	var b body
	if err := b.readType(r.Header["Content-Type"]); err != nil {
		return body{}, err
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return body{}, invalid("The body must be sent without Content-Encoding.")
		}
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the body that was announced will not be read
		return body{}, tooLarge("Bytes of the body", limit)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return body{}, tooLarge("Bytes of the body", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return body{}, invalid("The body did not come within the time limit.")
	case err != nil:
		return body{}, invalid("The body ends before it should.")
	}
	b.raw = raw
	return b, nil
}

func (b *body) readType(header []string) error {
	if len(header) != 1 {
		return invalid("There must be one Content-Type. " + acceptedMedia)
	}
	media, params, err := mime.ParseMediaType(header[0])
	if err != nil {
		return invalid("The Content-Type cannot be read. " + acceptedMedia)
	}
	switch {
	case media == mediaForm, media == mediaMultipart, media == mediaJSON:
	case strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		media = mediaJSON
	default:
		return invalid("This Content-Type is not accepted. " + acceptedMedia)
	}
	b.media, b.params = media, params
	b.charset, err = charsetOf(params["charset"])
	return err
}

// parse reads the fields of a hook.
func (b *body) parse(h *Hook) (submitted, error) {
	switch b.media {
	case mediaForm:
		return b.parseForm(h)
	case mediaMultipart:
		return b.parseMultipart(h)
	default:
		return b.parseJSON(h)
	}
}

// charset turns the bytes of a text into UTF-8.
type charset int

const (
	charsetUTF8 charset = iota
	charset1252
)

// charsetOf finds a charset by its label. ISO-8859-1 means Windows-1252, as the
// WHATWG's Encoding Standard (section 4.2) has it: who says the one and has
// characters where they differ means the other.
func charsetOf(label string) (charset, error) {
	switch strings.ToLower(label) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return charsetUTF8, nil
	case "iso-8859-1", "iso8859-1", "latin1", "windows-1252", "cp1252":
		return charset1252, nil
	}
	return 0, invalid("This charset is not accepted. Send utf-8, iso-8859-1 or windows-1252.")
}

var errCharset error = invalid("The body is not in the charset that it says, which is utf-8 where it says none.")

// decode returns a text in UTF-8.
func (c charset) decode(text string) (string, error) {
	if c == charset1252 {
		decoded, err := charmap.Windows1252.NewDecoder().String(text)
		if err != nil {
			return "", errCharset
		}
		return decoded, nil
	}
	if !utf8.ValidString(text) {
		return "", errCharset
	}
	return text, nil
}

// take adds what a form gave under a name.
func (s *submitted) take(h *Hook, name string, in input) error {
	if len(name) > MaxSentName {
		return tooLarge("Bytes of the name of a field", MaxSentName)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return invalid("The name of a field has a NUL character.")
	}
	i, known := h.index[name]
	if !known {
		s.ignored++
		return nil
	}
	if before, twice := s.inputs[name]; twice {
		before.flaw = flawRepeated
		in = before
	}
	s.inputs[h.spec.Fields[i].Name] = in
	return nil
}
