package bridge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

func TestValuesOfTheSessionAreBlottedOutInEveryFormTheyAreWrittenIn(t *testing.T) {
	const marked = `key&with<"it's">ü`
	for _, tc := range []struct {
		name    string
		secrets []string
		text    string // of the answer
		want    string
	}{
		{"as it is", []string{"0123456789-abc"}, "[0123456789-abc]", "[xxxxxxxxxxxxxx]"},
		{"twice", []string{"abcdef"}, "abcdefabcdef abcde", "xxxxxxxxxxxx abcde"},
		{"the beginning of another", []string{"1234567890", "1234567890-REAL"}, "1234567890-REAL 1234567890-", "xxxxxxxxxxxxxxx xxxxxxxxxx-"},
		{"with its scheme", []string{"Basic dXNlcjpw"}, "Basic dXNlcjpw dXNlcjpw", "xxxxxxxxxxxxxx xxxxxxxx"},
		{"with white space", []string{"correct horse"}, "correct horse", "xxxxxxxxxxxxx"},
		{"short", []string{"s3cr3t9"}, "trac_auth=s3cr3t9", "trac_auth=xxxxxxx"},
		{"too short for a secret", []string{"abc12"}, "abc12", "abc12"},
		{"a user's number", []string{"123456789"}, "123456789", "123456789"},
		{"a long number", []string{"1234567890"}, "1234567890", "xxxxxxxxxx"},
		{"a word of the markup", []string{"member", "struct", "methodResponse", "ethodRe"}, "a member", "a member"},
		{"what a header says to all", []string{"XMLHttpRequest"}, "XMLHttpRequest fails", "XMLHttpRequest fails"},

		{"by Python", []string{marked}, "key&amp;with&lt;\"it's\"&gt;ü.", strings.Repeat("x", len("key&amp;with&lt;\"it's\"&gt;ü")) + "."},
		{"by Perl", []string{marked}, "key&amp;with&lt;&quot;it&apos;s&quot;&gt;ü", strings.Repeat("x", len("key&amp;with&lt;&quot;it&apos;s&quot;&gt;ü"))},
		{"by PHP", []string{marked}, "key&#38;with&#60;&#34;it&#39;s&#34;&#62;&#252;", strings.Repeat("x", len("key&#38;with&#60;&#34;it&#39;s&#34;&#62;&#252;"))},
		{"in hexadecimal", []string{marked}, "key&#x26;with&#x3C;&#x22;it&#x27;s&#x22;&#x3e;&#xFC;", strings.Repeat("x", len("key&#x26;with&#x3C;&#x22;it&#x27;s&#x22;&#x3e;&#xFC;"))},
		{"in CDATA", []string{marked}, "<![CDATA[" + marked + "]]>", "<![CDATA[" + strings.Repeat("x", len(marked)) + "]]>"},
		{"nearly", []string{marked}, "key&amp;with&lt;\"it's\"&gt;u", "key&amp;with&lt;\"it's\"&gt;u"},
		{"markup first", []string{"&&&&&&"}, "&amp;&amp;&amp;&amp;&amp;&amp;&amp;", strings.Repeat("x", 30) + "&amp;"},
	} {
		document := response(tc.text)
		plain := textOf([]byte(document), "")
		plain.blot(tc.secrets)
		if got := string(plain.doc); got != response(tc.want) {
			t.Errorf("%s: %s", tc.name, got)
		}
		if strings.Contains(tc.text, "ü") {
			continue
		}
		wide := textOf([]byte("\xff\xfe"+utf16le(document)), "")
		wide.blot(tc.secrets)
		if got := string(wide.doc); got != "\xff\xfe"+utf16le(response(tc.want)) {
			t.Errorf("%s, in UTF-16: %q", tc.name, got)
		}
	}
}

func TestNoPartOfASessionIsQuotedThatIsCutOff(t *testing.T) {
	const prefix = "HTTP_COOKIE: sid="
	for _, status := range []int{200, 500} {
		for kept := minSecret; kept <= len(sessionCookie); kept++ {
			b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
			pad := 512 - len(prefix) - kept // where package xmlrpc cuts
			b.answer = page(status, "text/html", strings.Repeat("<br/>", pad/5)+strings.Repeat(" ", pad%5)+prefix+sessionCookie+"</html>")
			if _, body := b.post(call("Bug.get")); !strings.Contains(body, prefix) || strings.Contains(body, sessionCookie[:minSecret]) {
				t.Fatalf("HTTP %d, %d bytes: %s", status, kept, body)
			}
		}
	}
}

func TestSecretsAreTakenOutOfATextWhereverItEnds(t *testing.T) {
	const secret, other = "s3cret&value<1>", "s3cret&value<1>-longer"
	for _, tc := range []struct{ text, want string }{
		{"a " + secret + " b", "a [removed] b"},
		{"a " + other + " b", "a [removed] b"},
		{"a s3cret&amp;value&lt;1> b", "a [removed] b"},
		{"a " + secret, "a [removed]"},
		{"a " + secret + "-lon", "a [removed]"},
		{"a s3cret&amp;val", "a [removed]"},
		{"a s3cret&am", "a [removed]"},
		{"a s3cret&", "a [removed]"},
		{"a s3cre", "a [removed]"},
		{"a s3c", "a s3c"},
		{"a s3cre b", "a s3cre b"},
		{"R&D, research", "R&D, research"},
		{"s & s&", "s & s&"},
		{"", ""},
		{strings.Repeat("x", 64<<10-6) + secret, strings.Repeat("x", 64<<10-6) + "[removed]"},
	} {
		if got := withoutSecrets(tc.text, []string{"abc", secret, other}); !strings.HasPrefix(got, tc.want) || len(got) > len(tc.want)+len("[removed]") ||
			tc.want != got && !strings.HasSuffix(tc.want, "[removed]") {
			t.Errorf("%.40q became %.40q, want %.40q", tc.text, got, tc.want)
		}
	}
	if got := withoutSecrets("401 dXNlcjpw, Basic dXNlcjpw", []string{"Basic dXNlcjpw"}); got != "401 [removed], [removed]" {
		t.Errorf("got %q", got)
	}
}

func FuzzNoSecretIsLeft(f *testing.F) {
	f.Add("a s3cret&value b", "s3cret&value", 9)
	f.Add("key&amp;with", "key&with", 4)
	f.Fuzz(func(t *testing.T, text, secret string, cut int) {
		if len(secret) < 2*minSecret || strings.Contains("[removed]", secret[:minSecret]) {
			return
		}
		cut = minSecret + (cut&0xffff)%(len(secret)-minSecret+1)
		if got := withoutSecrets(text+secret[:cut], []string{secret}); strings.Contains(got, secret) || strings.HasSuffix(got, secret[:cut]) {
			t.Errorf("%q, %q, cut at %d: %q", text, secret, cut, got)
		}
		if !isBlotted(secret) {
			return
		}
		var written strings.Builder
		escapeASCII(&written, secret)
		for _, form := range []string{secret, written.String()} {
			document := textOf([]byte(text+form), "utf-8")
			before := len(document.doc)
			document.blot([]string{secret})
			if got := string(document.doc); len(got) != before || strings.HasSuffix(got, form) && form == secret {
				t.Errorf("%q, %q: %q", text, form, got)
			}
		}
	})
}

func TestNothingIsHandedOnThatWasNotLookedAt(t *testing.T) {
	secret := response("<struct><member><name>update_token</name><value>TOKEN-OF-BUG</value></member><member><name>x</name><value>" + sessionCookie + "</value></member></struct>")
	for name, tc := range map[string]struct{ kind, document string }{
		"a mark of UTF-8 and a charset of UTF-16": {"text/xml; charset=utf-16", "\xef\xbb\xbf" + secret},
		"and UTF-16LE": {"text/xml; charset=UTF-16LE", "\xef\xbb\xbf" + secret},
		"a mark of UTF-16BE and a charset UTF-16LE": {"text/xml; charset=UTF-16LE", "\xfe\xff" + utf16be(secret)},
		"a mark of UTF-16LE and a charset UTF-16BE": {"text/xml; charset=UTF-16BE", "\xff\xfe" + utf16le(secret)},
		"UTF-16 without a mark":                     {"text/xml; charset=utf-16le", utf16le(secret)},
		"UTF-16 in quotes":                          {"text/xml; charset=' utf-16le '", utf16le(secret)},
		"two charsets":                              {"text/xml; charset=utf-8; charset=utf-16le", secret},
		"control characters":                        {"text/xml", strings.Replace(secret, "TOKEN", "TOK\x01EN", 1)},
		"no characters":                             {"text/xml", strings.Replace(secret, "TOKEN", "TOK\xffEN", 1)},
		"a declaration of something else":           {"text/xml", `<?xml version="1.0" encoding="utf-16"?>` + secret},
	} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
		b.answer = page(200, tc.kind, tc.document)
		_, body := b.post(call("Bug.get"))
		if flat := strings.ReplaceAll(body, "\x00", ""); strings.Contains(flat, "OF-BUG") || strings.Contains(flat, sessionCookie) {
			t.Errorf("%s: %q", name, body)
		}
	}
}

func TestAFaultFromWhichSomethingIsHiddenIsStillReadForTheSession(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.expired = func(err error) bool { return strings.Contains(fmt.Sprint(err), "over") }
	b.expiring(func(w http.ResponseWriter) {
		writeXML(w, `<methodResponse><fault><value><struct><member><name>token</name><value>x</value></member><member><name>faultCode</name><value><int>410</int></value></member>`+
			`<member><name>faultString</name><value>over</value></member></struct></value></fault></methodResponse>`)
	})
	for _, method := range []string{"Bug.expire", "Bug.get"} {
		if _, body := b.post(call(method)); body != trueAnswer {
			t.Errorf("%s: %s", method, body)
		}
	}
	if b.logins != 2 {
		t.Errorf("%d log-ins, want 2", b.logins)
	}
}
