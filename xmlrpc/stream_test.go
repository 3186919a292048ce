package xmlrpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAStreamHoldsTheSameDocuments(t *testing.T) {
	bugs := make([]benchBug, 2000)
	for i := range bugs {
		bugs[i] = benchBug{ID: i, Summary: strings.Repeat("x", i%50)}
	}
	value := map[string]any{"bugs": bugs, "none": nil, "list": []any{1, nil, "x"}}
	want, err := AppendResponse(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	pieces := &countingWriter{w: &out}
	if err := NewEncoder(pieces).Response(value); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("the stream holds another document")
	}
	if pieces.largest > 2*streamBuffer {
		t.Errorf("one piece had %d bytes", pieces.largest)
	}
	var back, again any
	if err := NewDecoder(&out, WithLimits(Limits{Bytes: 4 << 20})).Response(&back); err != nil {
		t.Fatal(err)
	}
	if err := ParseResponse(want, &again, WithLimits(Limits{Bytes: 4 << 20})); err != nil || !reflect.DeepEqual(back, again) {
		t.Error("the stream was read as another value", err)
	}
}

type countingWriter struct {
	w       io.Writer
	largest int
}

func (c *countingWriter) Write(p []byte) (int, error) {
	c.largest = max(c.largest, len(p))
	return c.w.Write(p)
}

func TestStreamsCarryCallsFaultsAndValues(t *testing.T) {
	var b bytes.Buffer
	enc := NewEncoder(&b, WithFeatures(Features{Nil: true}))
	if err := enc.Call("m", 1, nil); err != nil {
		t.Fatal(err)
	}
	call, err := NewDecoder(&b).Call()
	if err != nil || call.Method != "m" || !reflect.DeepEqual(call.Params(), []any{1, nil}) {
		t.Error(call, err)
	}
	if err := enc.Fault(4, "x"); err != nil {
		t.Fatal(err)
	}
	var fault *Fault
	if err := NewDecoder(&b).Response(nil); !errors.As(err, &fault) || fault.Code != 4 {
		t.Error(err)
	}
	if err := enc.Value([]int{1, 2}); err != nil {
		t.Fatal(err)
	}
	var list []int
	if err := NewDecoder(&b).Value(&list); err != nil || !reflect.DeepEqual(list, []int{1, 2}) {
		t.Error(list, err)
	}
}

func TestADecoderReadsNoMoreThanItsLimit(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("<methodCall>"), spaces{})
	_, err := NewDecoder(endless, WithLimits(Limits{Bytes: 1000})).Call()
	wantCode(t, err, CodeInvalidRequest, "limit of 1000 bytes")
	failing := io.MultiReader(strings.NewReader("<methodCall>"), failingReader{})
	if _, err := NewDecoder(failing).Call(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := NewEncoder(failingWriter{}).Response("x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if err := NewEncoder(failingWriter{}).Response(make([]int, 10_000)); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestADecoderReadsOneDocumentAfterTheOther(t *testing.T) {
	var b bytes.Buffer
	enc := NewEncoder(&b)
	for i := range 3 {
		if err := enc.Call("m", i, strings.Repeat("x", 20_000*i), "<&>]]>"); err != nil {
			t.Fatal(err)
		}
	}
	odd := "<!-- > < --><?pi <methodCall> ?><methodCall a='>' b=\"/>\"><methodName>odd</methodName ><params><param>" +
		"<value><![CDATA[</methodCall>]]></value></param></params></methodCall >"
	b.WriteString(" \r\n\t" + odd)
	b.Write(AppendFault(nil, 4, "x"))
	b.WriteString("<value><int>1</int></value><value/>\n<value>last</value>  \n")
	for about, pieces := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "the end with the data": iotest.DataErrReader,
	} {
		t.Run(about, func(t *testing.T) {
			dec := NewDecoder(pieces(bytes.NewReader(b.Bytes())))
			for i := range 3 {
				if call, err := dec.Call(); err != nil || call.Method != "m" || call.Params()[0] != i {
					t.Fatal(i, call, err)
				}
			}
			if call, err := dec.Call(); err != nil || call.Method != "odd" || call.Params()[0] != "</methodCall>" {
				t.Fatal(call, err)
			}
			var fault *Fault
			if err := dec.Response(nil); !errors.As(err, &fault) {
				t.Fatal(err)
			}
			var text string
			wantCode(t, dec.Value(new([]int)), CodeInvalidParams, "value")
			for _, want := range []string{"", "last"} {
				if err := dec.Value(&text); err != nil || text != want {
					t.Fatal(text, err)
				}
			}
			for range 2 {
				if err := dec.Value(&text); !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestADocumentIsHandedOnWhileTheStreamStaysOpen(t *testing.T) {
	r, w := io.Pipe()
	dec := NewDecoder(r)
	for range 2 {
		go func() { _ = NewEncoder(w).Call("m", 1) }()
		if call, err := dec.Call(); err != nil || call.NumParams() != 1 {
			t.Fatal(call, err)
		}
	}
	_ = w.CloseWithError(io.ErrClosedPipe)
	if _, err := dec.Call(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestNothingIsReadBehindADocumentThatCouldNotBeRead(t *testing.T) {
	const good = "<methodCall><methodName>m</methodName></methodCall>"
	for about, c := range map[string]struct {
		stream string
		code   int
	}{
		"an end tag too many":  {"</a>" + good, CodeNotWellFormed},
		"a document type":      {"<!DOCTYPE a [<!ENTITY b 'c'>]>" + good, CodeInvalidRequest},
		"no call":              {"<a/>" + good, CodeInvalidRequest},
		"the end in a tag":     {"<methodCall", CodeNotWellFormed},
		"the end in a comment": {"<methodCall><!-- ", CodeNotWellFormed},
		"the end at a <":       {"<methodCall><", CodeNotWellFormed},
		"no markup at all":     {"hello", CodeNotWellFormed},
		"a comment alone":      {"<!-- -->", CodeNotWellFormed},
		"UTF-32":               {"\x00\x00\x00<\x00\x00\x00>", CodeUnsupportedEncoding},
	} {
		t.Run(about, func(t *testing.T) {
			dec := NewDecoder(strings.NewReader(c.stream))
			_, first := dec.Call()
			wantCode(t, first, c.code, "")
			if _, err := dec.Call(); !errors.Is(err, first) {
				t.Errorf("then %v", err)
			}
		})
	}
}

func TestAStreamOfUTF16IsOneDocument(t *testing.T) {
	doc := string(callWith("<value>é</value>"))
	for about, c := range map[string]struct {
		stream  []byte
		charset string
	}{
		"by its mark":    {encode16(doc, true, true), ""},
		"by its form":    {encode16(doc, false, false), ""},
		"by the charset": {encode16("\n"+doc, true, false), "UTF-16"},
	} {
		dec := NewDecoder(iotest.OneByteReader(bytes.NewReader(c.stream)), WithCharset(c.charset))
		if call, err := dec.Call(); err != nil || call.Params()[0] != "é" {
			t.Error(about, call, err)
		}
		if _, err := dec.Call(); !errors.Is(err, io.EOF) {
			t.Error(about, err)
		}
	}
}

func TestSpaceBetweenDocumentsIsBoundedAndHasNoPartInTheirLimits(t *testing.T) {
	doc := "<value>" + strings.Repeat("x", 86) + "</value>"
	dec := NewDecoder(strings.NewReader(doc+strings.Repeat("\n", 80)+doc), WithLimits(Limits{Bytes: len(doc)}))
	for range 2 {
		if err := dec.Value(nil); err != nil {
			t.Error(err)
		}
	}
	dec = NewDecoder(io.MultiReader(strings.NewReader(doc), spaces{}), WithLimits(Limits{Bytes: len(doc)}))
	if err := dec.Value(nil); err != nil {
		t.Error(err)
	}
	wantCode(t, dec.Value(nil), CodeInvalidRequest, "limit of 101 bytes")
	body := http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader(doc)), 50)
	wantCode(t, NewDecoder(body).Value(nil), CodeInvalidRequest, "REQUEST_TOO_LARGE")
}
