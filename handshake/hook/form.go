package hook

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
)

// parseForm reads application/x-www-form-urlencoded as the WHATWG's URL Standard
// (section 5.1) does, but refuses what that would let pass: broken percent signs
// and bytes that are not of the charset.
func (b *body) parseForm(h *Hook) (submitted, error) {
	s := submitted{inputs: map[string]input{}}
	if bytes.Count(b.raw, []byte{'&'}) >= MaxFields {
		return submitted{}, tooLarge("Fields of the form", MaxFields)
	}
	for pair := range strings.SplitSeq(string(b.raw), "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := b.unescape(rawName)
		if err != nil {
			return submitted{}, err
		}
		value, err := b.unescape(rawValue)
		if err != nil {
			return submitted{}, err
		}
		if err := s.take(h, name, input{text: value}); err != nil {
			return submitted{}, err
		}
	}
	return s, nil
}

func (b *body) unescape(text string) (string, error) {
	plain, err := url.QueryUnescape(text)
	if err != nil { // the error quotes the text
		return "", invalid("A percent sign in the form is not followed by two hexadecimal digits.")
	}
	return b.charset.decode(plain)
}

// Limits of multipart bodies, by RFC 2046 (section 5.1.1).
const maxBoundary = 70

// parseMultipart reads multipart/form-data (RFC 7578). The errors of
// mime/multipart quote the body and are not passed on.
func (b *body) parseMultipart(h *Hook) (submitted, error) {
	boundary := b.params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary {
		return submitted{}, invalid("The Content-Type must give a boundary of 1 to 70 characters.")
	}
	s := submitted{inputs: map[string]input{}}
	reader := multipart.NewReader(bytes.NewReader(b.raw), boundary)
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		switch {
		case errors.Is(err, io.EOF) && b.ended(boundary):
			return s, nil
		case err != nil:
			return submitted{}, invalid("The multipart body cannot be read: it is cut off, or its boundary is not the one that the Content-Type gives.")
		case n >= MaxFields:
			return submitted{}, tooLarge("Parts of the body", MaxFields)
		}
		if err := b.takePart(h, &s, part); err != nil {
			return submitted{}, err
		}
	}
}

// ended tells whether the boundary that ends the body is there. The reader says
// EOF also where the body was cut off between two parts.
func (b *body) ended(boundary string) bool {
	end := []byte("--" + boundary + "--")
	return bytes.HasPrefix(b.raw, end) || bytes.Contains(b.raw, append([]byte{'\n'}, end...))
}

func (b *body) takePart(h *Hook, s *submitted, part *multipart.Part) error {
	name, file, err := disposition(part.Header)
	if err != nil {
		return err
	}
	charset, err := b.partCharset(part.Header)
	if err != nil {
		return err
	}
	switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
	default: // RFC 7578, section 4.7, has done away with them
		return invalid("A part of the body has a Content-Transfer-Encoding.")
	}
	content, err := io.ReadAll(part)
	if err != nil {
		return invalid("The multipart body is cut off.")
	}
	if name, err = b.charset.decode(name); err != nil {
		return err
	}
	if file {
		if len(content) == 0 {
			return s.take(h, name, input{}) // a browser's way to send no file
		}
		return s.take(h, name, input{flaw: flawFile})
	}
	text, err := charset.decode(string(content))
	if err != nil {
		return err
	}
	return s.take(h, name, input{text: text})
}

// disposition returns the name of a part's field, and whether the part is a file.
func disposition(header textproto.MIMEHeader) (name string, file bool, err error) {
	const wrong = invalid("Every part of the body needs one Content-Disposition: form-data with a name.")
	given := header["Content-Disposition"]
	if len(given) != 1 {
		return "", false, wrong
	}
	kind, params, err := mime.ParseMediaType(given[0])
	if err != nil || kind != "form-data" || params["name"] == "" {
		return "", false, wrong
	}
	_, file = params["filename"]
	return params["name"], file, nil
}

// partCharset returns the charset of a part: its own, or the one of the body.
func (b *body) partCharset(header textproto.MIMEHeader) (charset, error) {
	given := header["Content-Type"]
	if len(given) == 0 {
		return b.charset, nil
	}
	_, params, err := mime.ParseMediaType(given[0])
	if err != nil || len(given) != 1 {
		return 0, invalid("The Content-Type of a part cannot be read.")
	}
	if label, ok := params["charset"]; ok {
		return charsetOf(label)
	}
	return b.charset, nil
}
