package xmlrpc

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestWhatIsNoXMLIsRefusedAsNotWellFormed(t *testing.T) {
	const call = "<methodCall><methodName>m</methodName></methodCall>"
	for about, doc := range map[string]string{
		"no document":                               "",
		"a document type behind the root":           call + "<!DOCTYPE methodCall>",
		"a document type without a space":           "<!DOCTYPEa>" + call,
		"a document type without a name":            "<!DOCTYPE>" + call,
		"an end tag without a start tag":            "</methodCall>",
		"a space before the name of a tag":          "< methodCall><methodName>m</methodName></methodCall>",
		"a digit that begins a name":                "<methodCall><methodName>m</methodName><1/></methodCall>",
		"a name with two colons":                    "<methodCall><methodName>m</methodName><a:b:c/></methodCall>",
		"a letter that names cannot have":           "<methodCall><methodName>m</methodName><a×/></methodCall>",
		"attributes without a space between":        "<methodCall a='1'b='2'><methodName>m</methodName></methodCall>",
		"the same attribute twice":                  "<methodCall a='1' a='2'><methodName>m</methodName></methodCall>",
		"an attribute without a value":              "<methodCall a><methodName>m</methodName></methodCall>",
		"an attribute without an end":               "<methodCall a='><methodName>m</methodName></methodCall>",
		"< in an attribute":                         "<methodCall a='<'><methodName>m</methodName></methodCall>",
		"an undefined entity in an attribute":       "<methodCall a='&nbsp;'><methodName>m</methodName></methodCall>",
		"a control character in an attribute":       "<methodCall a='\x01'><methodName>m</methodName></methodCall>",
		"a slash inside a tag":                      "<methodCall / ><methodName>m</methodName></methodCall>",
		"an attribute on an end tag":                "<methodCall><methodName>m</methodName></methodCall a='1'>",
		"a comment without an end":                  "<!-- " + call,
		"a comment that ends in three dashes":       "<!-- a --->" + call,
		"a control character in a comment":          "<!-- \x02 -->" + call,
		"a PI without an end":                       "<?a " + call,
		"a PI without a target":                     "<? a?>" + call,
		"a PI named XML":                            "<?XML a?>" + call,
		"an XML declaration inside":                 "<methodCall><?xml version='1.0'?><methodName>m</methodName></methodCall>",
		"a control character in a PI":               "<?a \x02?>" + call,
		"CDATA before the root":                     "<![CDATA[]]>" + call,
		"CDATA after the root":                      call + "<![CDATA[]]>",
		"CDATA without an end":                      "<methodCall><![CDATA[" + call,
		"a control character in CDATA":              "<methodCall><![CDATA[\x03]]></methodCall>",
		"a DOCTYPE inside the root":                 "<methodCall><!DOCTYPE a><methodName>m</methodName></methodCall>",
		"a declaration of an element":               "<!ELEMENT a>" + call,
		"an empty reference":                        "<methodCall>&#;</methodCall>",
		"a reference in capital X":                  "<methodCall>&#X41;</methodCall>",
		"a reference past Unicode":                  "<methodCall>&#x110000;</methodCall>",
		"a reference with a very long number":       "<methodCall>&#99999999999999999999999;</methodCall>",
		"a reference to NUL":                        "<methodCall>&#0;</methodCall>",
		"a reference to U+FFFF":                     "<methodCall>&#xFFFF;</methodCall>",
		"low half before high half":                 "<methodCall>&#xDE00;&#xD83D;</methodCall>",
		"two high halves":                           "<methodCall>&#xD83D;&#xD83D;&#xDE00;</methodCall>",
		"a high half and a raw letter":              "<methodCall>&#xD83D;x</methodCall>",
		"a version of 2.0":                          "<?xml version='2.0'?>" + call,
		"a version that is none":                    "<?xml version='1.x'?>" + call,
		"a declaration without a version":           "<?xml encoding='UTF-8'?>" + call,
		"a declaration in the wrong order":          "<?xml version='1.0' standalone='yes' encoding='UTF-8'?>" + call,
		"standalone maybe":                          "<?xml version='1.0' standalone='maybe'?>" + call,
		"a declaration with something else":         "<?xml version='1.0' a='b'?>" + call,
		"a declaration without a space":             "<?xml version='1.0'encoding='UTF-8'?>" + call,
		"a declaration without an end":              "<?xml version='1.0'",
		"a fault in what follows a structure error": "<methodCall><x><methodName>m</methodName></methodCall>",
		"a fault in what follows a type error":      "<methodCall><methodName>m</methodName><params><param><value><int>x</int></value></param></params></methodCall",
		"a fault in what follows a limit":           string(fill("<methodCall><methodName>m</methodName><params>", "<param><value/></param>", "")),
		"a mark inside the text before the root":    "x\ufeff" + call,
	} {
		t.Run(about, func(t *testing.T) {
			call, err := ParseCall([]byte(doc))
			wantCode(t, err, CodeNotWellFormed, "not well formed")
			if call != nil {
				t.Error("a call beside the error")
			}
		})
	}
}

func TestWellFormedXMLThatIsNoXMLRPCIsAnInvalidRequest(t *testing.T) {
	for about, doc := range map[string]string{
		"a lower-case DOCTYPE is none, but the rest is": "<methodcall/>",
		"a response where a call is due":                "<methodResponse><params><param><value/></param></params></methodResponse>",
		"a prefix on the root":                          "<m:methodCall xmlns:m='urn:m'><methodName>m</methodName></m:methodCall>",
		"an extension type without a prefix":            string(callWith("<value><i1>4</i1></value>")),
		"a core type with a prefix":                     string(callWith("<value><ex:string>4</ex:string></value>")),
		"text around a type":                            string(callWith("<value>x<int>4</int></value>")),
		"text behind a type":                            string(callWith("<value><int>4</int>x</value>")),
		"two params elements":                           "<methodCall><methodName>m</methodName><params/><params/></methodCall>",
		"two method names":                              "<methodCall><methodName>m</methodName><methodName>m</methodName></methodCall>",
		"a fault in a call":                             "<methodCall><methodName>m</methodName><fault><value/></fault></methodCall>",
		"two data elements":                             string(callWith("<value><array><data/><data/></array></value>")),
		"a value before its name":                       string(callWith("<value><struct><member><value/><name>a</name></member></struct></value>")),
		"text in a struct":                              string(callWith("<value><struct>x</struct></value>")),
		"text in a member":                              string(callWith("<value><struct><member>x<name>a</name><value/></member></struct></value>")),
		"an empty member":                               string(callWith("<value><struct><member/></struct></value>")),
		"an int of nothing but a sign":                  string(callWith("<value><int>-</int></value>")),
		"an int past 64 bits":                           string(callWith("<value><int>9223372036854775808</int></value>")),
		"an i1 past its range":                          string(callWith("<value><ex:i1>128</ex:i1></value>")),
		"a boolean in capitals":                         string(callWith("<value><boolean>TRUE</boolean></value>")),
		"a double that is a point":                      string(callWith("<value><double>.</double></value>")),
		"a double with an underscore":                   string(callWith("<value><double>1_0.5</double></value>")),
		"a big integer with a point":                    string(callWith("<value><ex:biginteger>1.0</ex:biginteger></value>")),
		"a big decimal of letters":                      string(callWith("<value><ex:bigdecimal>x</ex:bigdecimal></value>")),
		"base64 with too much padding":                  string(callWith("<value><base64>YQ===</base64></value>")),
		"base64 of padding":                             string(callWith("<value><base64>====</base64></value>")),
		"base64 that ends in padding and one letter":    string(callWith("<value><base64>YWI=Y</base64></value>")),
	} {
		t.Run(about, func(t *testing.T) {
			_, err := ParseCall([]byte(doc))
			wantCode(t, err, CodeInvalidRequest, "not valid XML-RPC")
		})
	}
}

func TestXMLThatFewSendIsReadAllTheSame(t *testing.T) {
	for about, c := range map[string]struct {
		doc  string
		want any
	}{
		"a comment and a PI in every place": {
			"<?a?><!--1--><methodCall><!--2--><methodName>m<!--3--></methodName><?b c?><params><!--4--><param><!--5-->" +
				"<value><!--6--><int>1<!--7-->2</int><!--8--></value></param></params></methodCall><!--9--><?d?>", 12,
		},
		"spaces in tags":                  {"<methodCall ><methodName >m</methodName ><params ><param\n><value\t><string >a</string\r\n></value ></param ></params ></methodCall >", "a"},
		"attributes with references":      {string(callWith("<value a='&lt;&#65;&quot;' b = \"'\" ><string c='>'>x</string></value>")), "x"},
		"non-ASCII names of attributes":   {string(callWith("<value é='1' ü:ö='2'/>")), ""},
		"the namespace of the extensions": {string(callWith("<value><ex:i2 xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'>5</ex:i2></value>")), 5},
		"standalone":                      {"<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>" + string(callWith("<value>a</value>")), "a"},
		"version 1.1":                     {"<?xml version='1.1'?>" + string(callWith("<value>a</value>")), "a"},
		"a PI whose target begins as xml": {"<?xml-stylesheet href='a'?>" + string(callWith("<value>a</value>")), "a"},
		"]] and > apart in text":          {string(callWith("<value>a]]b]>c]] ></value>")), "a]]b]>c]] >"},
		"CDATA that holds ]]":             {string(callWith("<value><![CDATA[a]]b]]]]></value>")), "a]]b]]"},
		"CR LF in CDATA":                  {string(callWith("<value><![CDATA[a\r\nb\rc]]></value>")), "a\nb\nc"},
		"CR LF split by a comment":        {string(callWith("<value>a\r<!---->\nb</value>")), "a\n\nb"},
		"DEL and C1 control characters":   {string(callWith("<value>\x7f\u0085</value>")), "\x7f\u0085"},
		"a letter beside U+FFFE":          {string(callWith("<value>\uff21\uffbd</value>")), "\uff21\uffbd"},
		"an empty method name's spaces":   {"<methodCall><methodName>\n m </methodName><params><param><value>a</value></param></params></methodCall>", "a"},
		"nil with white space":            {string(callWith("<value> <nil> </nil> </value>")), nil},
		"a value in a self-closed param":  {string(callWith("<value />")), ""},
	} {
		t.Run(about, func(t *testing.T) {
			call, err := ParseCall([]byte(c.doc))
			if err != nil {
				t.Fatal(err)
			}
			if call.Method != "m" || !equalValue(call.Params()[0], c.want) {
				t.Errorf("got %q %#v, want %#v", call.Method, call.Params()[0], c.want)
			}
		})
	}
}

func TestRepairReplacesWhatXMLForbidsAndNothingElse(t *testing.T) {
	for about, c := range map[string]struct{ value, want string }{
		"raw control characters":         {"a\x01b\x00c\x1f", "a\ufffdb\ufffdc\ufffd"},
		"references to them":             {"a&#1;b&#x0;", "a\ufffdb\ufffd"},
		"in CDATA":                       {"<![CDATA[a\x08b]]>", "a\ufffdb"},
		"in a comment and in a PI":       {"a<!-- \x01 --><?p \x02?>b", "ab"},
		"U+FFFE raw and as a reference":  {"\ufffe&#xFFFE;", "\ufffd\ufffd"},
		"lone halves of surrogate pairs": {"&#xD83D;x&#xDE00;", "\ufffdx\ufffd"},
		"a whole pair stays a pair":      {"&#xD83D;&#xDE00;", "😀"},
		"tab, LF and CR stay":            {"\t\n&#13;", "\t\n\r"},
	} {
		t.Run(about, func(t *testing.T) {
			doc := callWith("<value><string>" + c.value + "</string></value>")
			if !strings.Contains(about, "stay") {
				_, err := ParseCall(doc)
				wantCode(t, err, CodeNotWellFormed, "forbidden")
			}
			call, err := ParseCall(doc, WithRepair())
			if err != nil {
				t.Fatal(err)
			}
			if got := call.Params()[0]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	_, err := ParseCall(callWith("<value a='\x01'>a & b</value>"), WithRepair())
	wantCode(t, err, CodeNotWellFormed, "entities")
	_, err = ParseCall(callWith("<value>\xff</value>"), WithRepair())
	wantCode(t, err, CodeInvalidCharacter, "byte")
}

func TestErrorsSayLineAndColumn(t *testing.T) {
	_, err := ParseCall([]byte("<methodCall>\n  <methodName>m</methodName>\n  <params><x/></params>\n</methodCall>"))
	var bad *DecodeError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	if line, column := bad.Position(); line != 3 || column != 11 {
		t.Errorf("line %d, column %d of %v", line, column, err)
	}
}

func encode16(text string, bigEndian, mark bool) []byte {
	var b bytes.Buffer
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xFEFF}, units...)
	}
	for _, u := range units {
		if bigEndian {
			b.Write([]byte{byte(u >> 8), byte(u)})
		} else {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.Bytes()
}

func TestEveryEncodingIsReadByDeclarationOrByCharset(t *testing.T) {
	value := func(text string) string { return string(callWith("<value>" + text + "</value>")) }
	for about, c := range map[string]struct {
		doc     []byte
		charset string
		want    string
		code    int
	}{
		"UTF-8 by default":                         {doc: []byte(value("é😀")), want: "é😀"},
		"UTF-8 with a mark and a declaration":      {doc: []byte("\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>" + value("é")), want: "é"},
		"ISO-8859-1 by charset":                    {doc: []byte(value("\xe9\x85")), charset: "ISO-8859-1", want: "é\u0085"},
		"the charset overrules the declaration":    {doc: []byte("<?xml version='1.0' encoding='ISO-8859-1'?>" + value("é")), charset: "utf-8", want: "é"},
		"a mark overrules the charset":             {doc: []byte("\xef\xbb\xbf" + value("é")), charset: "iso-8859-1", want: "é"},
		"a charset in quotes":                      {doc: []byte(value("\xe9")), charset: `"latin1"`, want: "é"},
		"US-ASCII":                                 {doc: []byte("<?xml version='1.0' encoding='us-ascii'?>" + value("a&#233;")), want: "aé"},
		"US-ASCII with another byte":               {doc: []byte("<?xml version='1.0' encoding='us-ascii'?>" + value("\xe9")), code: CodeInvalidCharacter},
		"windows-1252":                             {doc: []byte("<?xml version='1.0' encoding='windows-1252'?>" + value("\x80\x99")), want: "€™"},
		"windows-1252 with an undefined byte":      {doc: []byte("<?xml version='1.0' encoding='windows-1252'?>" + value("\x81")), code: CodeInvalidCharacter},
		"windows-1251 by charset":                  {doc: []byte(value("\xef\xf0\xa8")), charset: "Windows-1251", want: "прЁ"},
		"windows-1251 with an undefined byte":      {doc: []byte(value("\x98")), charset: "Windows-1251", code: CodeInvalidCharacter},
		"UTF-16 with a mark, undeclared":           {doc: encode16(value("é😀"), true, true), want: "é😀"},
		"UTF-16LE without a mark":                  {doc: encode16(value("é😀"), false, false), want: "é😀"},
		"UTF-16BE without a mark":                  {doc: encode16("<?xml version='1.0' encoding='UTF-16BE'?>"+value("é"), true, false), want: "é"},
		"UTF-16 by charset":                        {doc: encode16(value("é"), false, false), charset: "utf-16", want: "é"},
		"UTF-16 by charset, no < first":            {doc: encode16("\n"+value("é"), true, false), charset: "utf-16", want: "é"},
		"UTF-16LE by charset":                      {doc: encode16("\n"+value("é"), false, false), charset: "utf-16le", want: "é"},
		"UTF-16 that says it is UTF-8":             {doc: encode16("<?xml version='1.0' encoding='UTF-8'?>"+value("é"), true, true), code: CodeUnsupportedEncoding},
		"UTF-16 that says it is the other one":     {doc: encode16("<?xml version='1.0' encoding='UTF-16LE'?>"+value("é"), true, true), code: CodeUnsupportedEncoding},
		"UTF-16 that says Latin-1, by charset":     {doc: encode16("<?xml version='1.0' encoding='latin1'?>"+value("é"), true, false), charset: "utf-16", want: "é"},
		"a UTF-8 mark that says Latin-1":           {doc: []byte("\xef\xbb\xbf<?xml version='1.0' encoding='ISO-8859-1'?>" + value("é")), code: CodeUnsupportedEncoding},
		"UTF-32":                                   {doc: []byte("\x00\x00\xfe\xff\x00\x00\x00<"), code: CodeUnsupportedEncoding},
		"UTF-32, big endian, without a mark":       {doc: []byte("\x00\x00\x00<\x00\x00\x00m"), code: CodeUnsupportedEncoding},
		"UTF-32, little endian, without a mark":    {doc: []byte("<\x00\x00\x00m\x00\x00\x00"), code: CodeUnsupportedEncoding},
		"UTF-32 in the order 2143":                 {doc: []byte("\x00\x00<\x00\x00\x00m\x00"), code: CodeUnsupportedEncoding},
		"UTF-32 in the order 3412":                 {doc: []byte("\x00<\x00\x00\x00m\x00\x00"), code: CodeUnsupportedEncoding},
		"an unknown charset":                       {doc: []byte(value("a")), charset: "koi8-r", code: CodeUnsupportedEncoding},
		"an unknown declaration":                   {doc: []byte("<?xml version='1.0' encoding='koi8-r'?>" + value("a")), code: CodeUnsupportedEncoding},
		"an empty declaration":                     {doc: []byte("<?xml version='1.0' encoding=''?>" + value("a")), code: CodeUnsupportedEncoding},
		"a half of a surrogate pair as UTF-8":      {doc: []byte(value("\xed\xa0\xbd")), code: CodeInvalidCharacter},
		"two halves of a surrogate pair as UTF-8":  {doc: []byte(value("\xed\xa0\xbd\xed\xb8\x80")), code: CodeInvalidCharacter},
		"UTF-16 that ends in half a pair":          {doc: append(encode16(value("a"), true, true), 0xD8, 0x3D), code: CodeInvalidCharacter},
		"a word that only looks like a declarator": {doc: []byte("<?xml-x encoding='koi8-r'?>" + value("é")), want: "é"},
	} {
		t.Run(about, func(t *testing.T) {
			call, err := ParseCall(c.doc, WithCharset(c.charset))
			if c.code != 0 {
				wantCode(t, err, c.code, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := call.Params()[0]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
