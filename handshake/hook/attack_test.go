package hook_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trackgate/trackgate/handshake/hook"
)

func TestABodyThatCannotBeReadIsRefusedClearly(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	deep := func(n int) string {
		return `{"token":"` + token + `","issue":{"number":1},"more":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	const tooLarge, invalid = "REQUEST_TOO_LARGE", "INVALID_DATA"
	multi := "multipart/form-data; boundary=b"
	file := "Content-Disposition: form-data; name=text; filename=x\r\n\r\nx"
	for _, test := range []struct {
		name, contentType, body string
		code, detail            string // code "" is accepted
	}{
		{"a body of the greatest size", formType, pad("bug=1&token="+token, hook.DefaultMaxBody), "", ""},
		{"a byte more", formType, pad("bug=1&token="+token, hook.DefaultMaxBody+1), tooLarge, "Bytes of the body: at most 262144."},
		{"as many fields as may be", formType, fields("bug=1&token="+token, hook.MaxFields-2), "", ""},
		{"a field more", formType, fields("bug=1&token="+token, hook.MaxFields-1), tooLarge, "Fields of the form: at most 100."},
		{"10,000 fields", formType, fields("bug=1&token="+token, 10000), tooLarge, "Fields of the form: at most 100."},
		{"10,000 parts", multi, multipart("b", repeat(part("x", ""), 3000)...), tooLarge, "Parts of the body: at most 100."},
		{"10,000 members", jsonType, `{"token":"` + token + `","issue":{"number":1}` + members(10000) + `}`, tooLarge, "Members of the JSON object: at most 100."},
		{"an endless name", formType, "token=" + token + "&bug=1&" + strings.Repeat("x", hook.MaxSentName+1) + "=1", tooLarge, "Bytes of the name of a field: at most 256."},
		{"an endless name in JSON", jsonType, `{"` + strings.Repeat("x", hook.MaxSentName+1) + `":1}`, tooLarge, "Bytes of the name of a field: at most 256."},
		{"JSON as deep as may be", jsonType, deep(hook.MaxJSONDepth - 1), "", ""},
		{"deeper JSON", jsonType, deep(hook.MaxJSONDepth), tooLarge, "Depth of the JSON body: at most 16."},
		{"JSON that only opens", jsonType, strings.Repeat("[", 200000), tooLarge, "Depth of the JSON body: at most 16."},
		{"JSON that only opens objects", jsonType, strings.Repeat(`{"a":`, 50000), tooLarge, "Depth of the JSON body: at most 16."},
		{"JSON after JSON", jsonType, `{"token":"` + token + `","issue":{"number":1}}{}`, invalid, "The body is not JSON: syntax error at byte"},
		{"half of JSON", jsonType, `{"token":"` + token, invalid, "The body is not JSON: syntax error at byte"},
		{"a list", jsonType, `["` + token + `"]`, invalid, "The JSON body is not an object."},
		{"a text", jsonType, `"` + token + `"`, invalid, "The JSON body is not an object."},
		{"nothing as JSON", jsonType, "", invalid, "The body is not JSON"},
		{"a mark of byte order", jsonType, "\xef\xbb\xbf{}", invalid, "The body is not JSON"},
		{"a NUL in JSON", jsonType, "{\"token\":\"\x00\"}", invalid, "The body is not JSON"},
		{"bytes that are not UTF-8", formType, "token=" + token + "&text=%FF&bug=1", invalid, "The body is not in the charset"},
		{"raw bytes that are not UTF-8", formType, "token=" + token + "&text=\xff&bug=1", invalid, "The body is not in the charset"},
		{"JSON that is not UTF-8", jsonType, "{\"token\":\"\xff\"}", invalid, "The body is not in the charset"},
		{"UTF-16", jsonType + "; charset=utf-16", "{}", invalid, "This charset is not accepted. Send utf-8, iso-8859-1 or windows-1252."},
		{"UTF-7", formType + "; charset=utf-7", "", invalid, "This charset is not accepted."},
		{"two charsets", formType + "; charset=utf-8; charset=latin1", "", invalid, "The Content-Type cannot be read."},
		{"a broken percent sign", formType, "token=" + token + "%x", invalid, "A percent sign in the form is not followed by two hexadecimal digits."},
		{"a percent sign at the end", formType, "token=" + token + "%", invalid, "A percent sign in the form is not followed by two hexadecimal digits."},
		{"a NUL in a name", formType, "to%00ken=" + token, invalid, "The name of a field has a NUL character."},
		{"no type", "", "token=" + token, invalid, "There must be one Content-Type. Send application/x-www-form-urlencoded, multipart/form-data or application/json."},
		{"another type", "text/xml", "<token>" + token, invalid, "This Content-Type is not accepted. Send application/x-www-form-urlencoded, multipart/form-data or application/json."},
		{"a type that is none", ";;", "", invalid, "The Content-Type cannot be read."},
		{"no boundary", "multipart/form-data", multipart("b"), invalid, "must give a boundary"},
		{"an endless boundary", "multipart/form-data; boundary=" + strings.Repeat("b", 71), "", invalid, "must give a boundary"},
		{"another boundary", multi + "c", multipart("b", part("token", token)), invalid, "The multipart body cannot be read"},
		{"a boundary that ends early", multi, multipart("b", part("token", token+"\r\n--b--\r\nx"), part("bug", "1")), invalid, ""},
		{"no end", multi, strings.TrimSuffix(multipart("b", part("bug", "1"), part("token", token)), "--b--\r\n"), invalid, "The multipart body"},
		{"half an end", multi, strings.TrimSuffix(multipart("b", part("bug", "1"), part("token", token)), "-\r\n"), invalid, "The multipart body"},
		{"half a part", multi, "--b\r\n" + part("token", token), invalid, "The multipart body is cut off."},
		{"half a header", multi, "--b\r\nContent-Disposition: form-data; name=tok", invalid, "The multipart body cannot be read"},
		{"nothing as multipart", multi, "", invalid, "The multipart body cannot be read"},
		{"a part without a name", multi, multipart("b", "Content-Disposition: form-data\r\n\r\n"+token), invalid, "Every part of the body needs"},
		{"a part with two dispositions", multi, multipart("b", "Content-Disposition: form-data; name=text\r\n"+part("token", token)), invalid, "Every part of the body needs"},
		{"a part with two names", multi, multipart("b", "Content-Disposition: form-data; name=text; name=token\r\n\r\n"+token), invalid, "Every part of the body needs"},
		{"an attachment", multi, multipart("b", "Content-Disposition: attachment; name=token\r\n\r\n"+token), invalid, "Every part of the body needs"},
		{"a part in base64", multi, multipart("b", "Content-Transfer-Encoding: base64\r\n"+part("token", "eA==")), invalid, "Content-Transfer-Encoding"},
		{"a part in quoted-printable", multi, multipart("b", "Content-Transfer-Encoding: Quoted-Printable\r\n"+part("token", "=41")), invalid, "Content-Transfer-Encoding"},
		{"a part of another charset", multi, multipart("b", "Content-Type: text/plain; charset=koi8-r\r\n"+part("token", token)), invalid, "This charset is not accepted."},
		{"a file", multi, multipart("b", part("token", token), part("bug", "1"), file), invalid, ""},
		{"no file", multi, multipart("b", part("token", token), part("bug", "1"), strings.TrimSuffix(file, "x")), "", ""},
	} {
		before := len(g.recorded())
		a := g.do(g.request("bugs", test.contentType, test.body))
		if a.Code != test.code || !strings.HasPrefix(a.detail(), test.detail) && !strings.Contains(a.detail(), test.detail) {
			t.Errorf("%s: %d %.300s, want %s %q", test.name, a.status, a.body, test.code, test.detail)
		}
		if strings.Contains(a.body, token) || strings.Contains(a.body, token[:16]) {
			t.Errorf("%s: the answer tells the token: %s", test.name, a.body)
		}
		if len(g.recorded()) != before {
			t.Errorf("%s: an entry in the trail", test.name)
		}
	}
	a := g.do(g.request("bugs", multi, multipart("b", part("token", token), part("bug", "1"), file)))
	if a.at("text") != "Files are not accepted." {
		t.Errorf("a file: %s", a.body)
	}
}

func pad(body string, size int) string { return body + "&x=" + strings.Repeat("x", size-len(body)-3) }

func fields(body string, n int) string {
	var b strings.Builder
	b.WriteString(body)
	for i := range n {
		_, _ = fmt.Fprintf(&b, "&f%d=", i)
	}
	return b.String()
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&b, `,"f%d":0`, i)
	}
	return b.String()
}

func repeat(text string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text
	}
	return all
}

func TestAFieldThatStandsTwiceIsAnError(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	const twice = "This field was given more than once."
	multi := "multipart/form-data; boundary=b"
	for _, test := range []struct{ name, contentType, body, field string }{
		{"a field", formType, "token=" + token + "&bug=1&bug=1", "bug"},
		{"an empty field", formType, "token=" + token + "&bug=1&bug", "bug"},
		{"an escaped name", formType, "token=" + token + "&bug=1&b%75g=2", "bug"},
		{"the token", formType, "bug=1&token=" + token + "&token=" + token, "token"},
		{"a wrong token", formType, "bug=1&token=x&token=" + token, "token"},
		{"a part", multi, multipart("b", part("token", token), part("bug", "1"), part("bug", "2")), "bug"},
		{"the part of the token", multi, multipart("b", part("token", "x"), part("token", token), part("bug", "2")), "token"},
		{"a member", jsonType, `{"token":"` + token + `","issue":{"number":1},"text":"a","text":"b"}`, "text"},
		{"an escaped member", jsonType, `{"token":"` + token + `","issue":{"number":1},"text":"a","t\u0065xt":"b"}`, "text"},
		{"the token's member", jsonType, `{"token":"x","token":"` + token + `","issue":{"number":1}}`, "token"},
		{"an inner member", jsonType, `{"token":"` + token + `","issue":{"number":1,"number":2}}`, "bug"},
		{"an outer member", jsonType, `{"token":"` + token + `","issue":{"number":1},"issue":{"number":2}}`, "bug"},
	} {
		a := g.do(g.request("bugs", test.contentType, test.body))
		a.want(t, test.name, 400, "INVALID_DATA")
		if a.at(test.field) != twice || len(a.Extra) != 1 {
			t.Errorf("%s: %s", test.name, a.body)
		}
	}
	a := g.form("bugs", "token="+token+"&bug=1&strange=1&strange=2&"+token+"=&"+token+"=")
	a.want(t, "fields that the hook does not have", 200, "")
	if a.Ignored != 4 {
		t.Errorf("ignored %d", a.Ignored)
	}
}

func TestNULCharactersAreRefusedInEveryType(t *testing.T) {
	spec := bugHook()
	g := newRig(t, spec)
	token := g.token("bugs")
	for _, field := range []string{"token", "bug", "text", "open", "when", "link", "kind", "tracker"} {
		a := g.form("bugs", "token="+token+"&bug=1&"+field+"x=%00&"+field+"=1%00")
		if field != "token" && field != "bug" {
			if a.at(field) != "NUL characters are not accepted." {
				t.Errorf("%s: %s", field, a.body)
			}
		}
		a.want(t, field, 400, "INVALID_DATA")
	}
	for name, body := range map[string]string{
		"a member":       `{"token":"` + token + `","issue":{"number":1},"text":"a\u0000"}`,
		"a JSON value":   `{"token":"` + token + `","issue":{"number":1},"more":{"a":["\u0000"]}}`,
		"a name in JSON": `{"token":"` + token + `","issue":{"number":1},"more":{"\u0000":1}}`,
		"the token":      `{"token":"` + token + `\u0000","issue":{"number":1}}`,
	} {
		g.json("bugs", body).want(t, name, 400, "INVALID_DATA")
	}
	g.json("bugs", `{"token":"`+token+`","issue":{"number":1},"more":"\\u0000"}`).want(t, "a backslash and letters", 200, "")
}

func TestAValueOfTheWrongKindIsAFieldError(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	for _, test := range []struct{ body, field string }{
		{`{"token":["` + token + `"],"issue":{"number":1}}`, "token"},
		{`{"token":{"token":"` + token + `"},"issue":{"number":1}}`, "token"},
		{`{"token":12345,"issue":{"number":1}}`, "token"},
		{`{"token":true,"issue":{"number":1}}`, "token"},
		{`{"token":null,"issue":{"number":1}}`, "token"},
		{`{"token":"` + token + `","issue":{"number":1.5}}`, "bug"},
		{`{"token":"` + token + `","issue":{"number":1e3}}`, "bug"},
		{`{"token":"` + token + `","issue":{"number":92233720368547758080}}`, "bug"},
		{`{"token":"` + token + `","issue":{"number":true}}`, "bug"},
		{`{"token":"` + token + `","issue":[1]}`, "bug"},
		{`{"token":"` + token + `","bug":1}`, "bug"},
		{`{"token":"` + token + `","issue":{"number":1},"text":true}`, "text"},
		{`{"token":"` + token + `","issue":{"number":1},"text":{}}`, "text"},
		{`{"token":"` + token + `","issue":{"number":1},"open":2}`, "open"},
		{`{"token":"` + token + `","issue":{"number":1},"when":99999999999999}`, "when"},
		{`{"token":"` + token + `","issue":{"number":1},"when":-99999999999999}`, "when"},
		{`{"token":"` + token + `","issue":{"number":1},"link":"//example.org"}`, "link"},
		{`{"token":"` + token + `","issue":{"number":1},"link":"https://user:password@example.org"}`, "link"},
		{`{"token":"` + token + `","issue":{"number":1},"link":"https://example.org/\r\nX: y"}`, "link"},
		{`{"token":"` + token + `","issue":{"number":1},"kind":"` + strings.Repeat("x", hook.MaxWord+1) + `"}`, "kind"},
		{`{"token":"` + token + `","issue":{"number":1},"tracker":"a\u2028b"}`, "tracker"},
	} {
		a := g.json("bugs", test.body)
		a.want(t, test.body, 400, "INVALID_DATA")
		if a.at(test.field) == "" || len(a.Extra) != 1 {
			t.Errorf("%s: %s, want an error of %s", test.body, a.body, test.field)
		}
	}
}

func TestABodyIsNotReadInVain(t *testing.T) {
	g := newRig(t, bugHook())
	for name, change := range map[string]func(r *http.Request){
		"a length beyond the limit":  func(r *http.Request) { r.ContentLength = hook.DefaultMaxBody + 1 },
		"a body that is compressed":  func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"one that may be":            func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity", "br"} },
		"two types":                  func(r *http.Request) { r.Header.Add("Content-Type", jsonType) },
		"a type that is not offered": func(r *http.Request) { r.Header.Set("Content-Type", "application/octet-stream") },
	} {
		r := g.request("bugs", formType, "")
		r.Body = unreadable{t}
		change(r)
		if a := g.do(r); a.status != 400 && a.status != 413 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	r := g.request("bugs", formType, "")
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("what a connection says")))
	a := g.do(r)
	a.want(t, "a connection that breaks", 400, "INVALID_DATA")
	if strings.Contains(a.body, "connection") {
		t.Errorf("%s", a.body)
	}
}

// TestARealServerIsNotFooled sends what no client library would.
func TestARealServerIsNotFooled(t *testing.T) {
	g := newRig(t, bugHook())
	server := httptest.NewServer(g.handler)
	t.Cleanup(server.Close)
	token := g.token("bugs")
	body := "bug=1&token=" + token
	head := "POST /hooks/bugs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: " + formType + "\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, test := range []struct {
		name, request string
		status        int
		cut           bool
	}{
		{"a whole request", head + length + "\r\n" + body, 200, false},
		{"chunks", head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), 200, false},
		{"a longer length than the body", head + "Content-Length: 1000\r\n\r\n" + body, 400, true},
		{"a shorter length than the body", head + "Content-Length: 10\r\n\r\n" + body, 400, false},
		{"two lengths", head + length + "Content-Length: 3\r\n\r\n" + body, 400, false},
		{"a length below 0", head + "Content-Length: -1\r\n\r\n" + body, 400, false},
		{"a length and chunks", head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false},
		{"a chunk that ends early", head + "Transfer-Encoding: chunked\r\n\r\nff\r\n" + body, 400, true},
		{"a length beyond the limit", head + "Content-Length: 99999999\r\n\r\n" + body, 413, false},
		{"chunks beyond the limit", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 65536)+"\r\n", 5) + "0\r\n\r\n", 413, false},
		{"a folded header", head + "Authorization: Bearer\r\n " + token + "\r\nContent-Length: 5\r\n\r\nbug=1", 200, false},
		{"a folded header that is wrong", head + "Authorization: Bearer\r\n x\r\n" + length + "\r\n" + body, 403, false},
		{"two headers that make one", head + "Authorization: Bearer " + token + "\r\nAuthorization: Bearer " + token + "\r\n" + length + "\r\n" + body, 400, false},
		{"a token in a trailer", head + "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n5\r\nbug=1\r\n0\r\nAuthorization: Bearer " + token + "\r\n\r\n", 400, false},
		{"another method on top", head + "X-HTTP-Method-Override: GET\r\n" + length + "\r\n" + body, 200, false},
		{"a name with a space", strings.Replace(head, "/hooks/bugs", "/hooks/bugs%20", 1) + length + "\r\n" + body, 404, false},
	} {
		if status := exchange(t, server.Listener.Addr().String(), test.request, test.cut); status != test.status {
			t.Errorf("%s: %d, want %d", test.name, status, test.status)
		}
	}
}

// exchange sends bytes, says that there are no more when the request is cut off,
// and returns the status.
func exchange(t *testing.T, address, request string, cut bool) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The server may answer, and close, before it has read everything.
	_, _ = io.WriteString(conn, request)
	if cut {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%v after %.100q", err, request)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(text, []byte("{")) {
		check(t, res, text)
	}
	return res.StatusCode
}

func TestNothingThatIsSentMakesALineOfTheLog(t *testing.T) {
	spec := bugHook()
	spec.Accept = append(spec.Accept, hook.MethodWebhook)
	spec.Secrets = []hook.Secret{hook.NewSecret([]byte(publishedSecret))}
	g := newRig(t, spec)
	token := g.token("bugs")
	const forged = "\nlevel=ERROR msg=forged"
	escaped := "%0Alevel=ERROR+msg=forged"
	before := strings.Count(g.logs.String(), "\n")
	requests := []*http.Request{
		g.request("bugs", formType, "token="+token+"&bug=1&text=%0Ax&kind="+escaped),
		g.request("bugs", formType, "token="+token+escaped+"&bug=1"),
		g.request("bugs", formType, "token=forged&bug=1"+escaped),
		g.request("bugs", formType, "token="+token+"&bug=1&msg"+escaped+"=forged"),
		g.request("bugs", "forged"+forged, "token="+token),
		g.request("bugs", formType+"; charset=\"forged\"", "token="+token),
		g.request("bugs", jsonType, `{"token":"`+token+`","msg=forged`+forged+`":1`),
		g.request("bugs", formType, "bug=1", header{"Authorization": "Bearer forged" + forged}),
		g.request("bugs", formType, "bug=1&token="+token, header{"webhook-id": "forged" + forged}),
		g.request("bugs", formType, "bug=1", header{"webhook-id": "forged", "webhook-timestamp": forged, "webhook-signature": forged}),
		httptest.NewRequest("POST", "/hooks/forged"+escaped, nil),
		httptest.NewRequest("FORGED", "/hooks/bugs", nil),
	}
	for _, r := range requests {
		r.Header.Set("User-Agent", "forged"+forged)
		g.do(r)
	}
	logged := g.logs.String()
	if lines := strings.Count(logged, "\n") - before; lines != len(requests) {
		t.Errorf("%d lines for %d requests:\n%s", lines, len(requests), logged)
	}
	if strings.Contains(strings.ToLower(logged), "forged") {
		t.Errorf("the log has what was sent:\n%s", logged)
	}
	for _, e := range g.recorded() {
		if strings.Contains(fmt.Sprintf("%+v", e), "forged") {
			t.Errorf("the trail has what was sent: %+v", e)
		}
	}
}
