package xmlrpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// readAnswer reads the response to its end and decodes it.
//
// A status of 200 to 299 must come with a methodResponse, whatever the
// Content-Type says. Any other status is an HTTPError, with the fault in it if the
// Content-Type is one of XML and the body is a fault: six of the recorded client
// stacks read faults so, and servers exist that send them. Such a body may be cut
// off by the caller of readAnswer, which changes nothing about the status.
func (c *Client) readAnswer(ctx context.Context, resp *http.Response, result any) error {
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	if !success && !isXML(resp.Header.Get("Content-Type")) {
		return c.httpError(resp)
	}
	if resp.Request != nil && resp.Request.Method != http.MethodPost {
		return answerError(resp, nil, errors.New("a redirect was followed, and the call was not repeated at where it led"))
	}
	if resp.ContentLength > c.maxAnswer {
		return c.tooLarge()
	}
	buf := borrowDocument()
	defer returnDocument(buf)
	doc, err := c.readBody(resp, *buf)
	*buf = doc
	switch {
	case err == nil:
	case errors.Is(err, errOverLimit):
		return c.tooLarge()
	case ctx.Err() != nil:
		return &TransportError{Sent: true, Err: ctx.Err()}
	case isTimeout(err):
		return &TransportError{Sent: true, Err: c.conceal(err)}
	case !success:
		return newHTTPError(resp, doc)
	default:
		return answerError(resp, doc, fmt.Errorf("reading it failed after %d bytes: %w", len(doc), c.conceal(err)))
	}
	if !success {
		failed := newHTTPError(resp, doc)
		// What is no fault leaves the field nil.
		errors.As(ParseResponse(doc, nil, c.decodeOptions(resp)...), &failed.Fault)
		return failed
	}
	if len(doc) == 0 {
		return answerError(resp, doc, errors.New("it is empty"))
	}
	return c.decode(resp, doc, result)
}

// decode tells a result that does not fit the caller's variable from a document
// that is no methodResponse.
func (c *Client) decode(resp *http.Response, doc []byte, result any) error {
	err := ParseResponse(doc, result, c.decodeOptions(resp)...)
	if err == nil {
		return nil
	}
	var fault *Fault
	if errors.As(err, &fault) {
		return fault
	}
	// Only errors about a value and its destination have a path.
	var misfit *DecodeError
	if errors.As(err, &misfit) && misfit.Path() != "" {
		return err
	}
	return answerError(resp, doc, err)
}

func (c *Client) decodeOptions(resp *http.Response) []DecodeOption {
	limits := c.limits
	limits.Bytes = int(c.maxAnswer)
	if limits.Values == 0 {
		limits.Values = defaultAnswerValues
	}
	opts := []DecodeOption{WithLimits(limits)}
	if charset := mediaCharset(resp.Header.Get("Content-Type")); charset != "" {
		opts = append(opts, WithCharset(charset))
	}
	if c.repair {
		opts = append(opts, WithRepair())
	}
	return opts
}

// readBody appends the decompressed body to dst. What comes over the wire is
// bounded as well: compressed data can be endless and hold nothing.
func (c *Client) readBody(resp *http.Response, dst []byte) ([]byte, error) {
	coding, err := contentCoding(resp.Header["Content-Encoding"])
	if err != nil {
		return dst, err
	}
	src := &boundedReader{src: resp.Body, left: c.maxAnswer}
	return inflate(dst, src, coding, int(c.maxAnswer))
}

// httpError reads no more of the body than the error shows.
func (c *Client) httpError(resp *http.Response) error {
	body := make([]byte, 0, maxErrorBody)
	if coding, err := contentCoding(resp.Header["Content-Encoding"]); err == nil {
		// A body that cannot be read is shown as far as it could be: the status says enough.
		body, _ = inflate(body, &boundedReader{src: resp.Body, left: c.maxAnswer}, coding, maxErrorBody)
	}
	return newHTTPError(resp, body)
}

func (c *Client) tooLarge() error {
	return fmt.Errorf("xmlrpc: %w: it has more than the %d bytes that the client takes", ErrAnswerTooLarge, c.maxAnswer)
}

func newHTTPError(resp *http.Response, body []byte) *HTTPError {
	return &HTTPError{StatusCode: resp.StatusCode, Header: resp.Header, Body: head(body)}
}

func answerError(resp *http.Response, body []byte, err error) *AnswerError {
	return &AnswerError{
		StatusCode:  resp.StatusCode,
		ContentType: resp.Header.Get("Content-Type"),
		Body:        head(body),
		Err:         err,
	}
}

// head returns a copy of the first bytes, which outlives the buffer.
func head(body []byte) []byte {
	return append([]byte(nil), body[:min(len(body), maxErrorBody)]...)
}

// isHTML tells whether an answer says that it is a page.
func isHTML(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/html")
}

func isXML(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "text/xml" || media == "application/xml" || strings.HasSuffix(media, "+xml")
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
