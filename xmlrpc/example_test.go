package xmlrpc_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

func ExampleParseCall() {
	call, err := xmlrpc.ParseCall([]byte(`<?xml version="1.0"?>
<methodCall>
  <methodName>trackers.getBugs</methodName>
  <params>
    <param><value>upstream</value></param>
    <param><value><array><data><value><int>4</int></value><value>crash</value></data></array></value></param>
  </params>
</methodCall>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	var name string
	var ids []string
	if err := errors.Join(call.DecodeParam(0, &name), call.DecodeParam(1, &ids)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(call.Method, name, ids)
	// Output: trackers.getBugs upstream [4 crash]
}

func ExampleParseResponse() {
	doc := []byte(`<methodResponse><params><param><value><struct>
<member><name>bugs</name><value><array><data><value><struct>
<member><name>id</name><value><int>1</int></value></member>
<member><name>changed</name><value><dateTime.iso8601>20250305T08:15:01</dateTime.iso8601></value></member>
</struct></value></data></array></value></member>
</struct></value></param></params></methodResponse>`)
	var answer struct {
		Bugs []struct {
			ID      int       `xmlrpc:"id"`
			Changed time.Time `xmlrpc:"changed"`
		} `xmlrpc:"bugs"`
	}
	if err := xmlrpc.ParseResponse(doc, &answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Bugs[0].ID, answer.Bugs[0].Changed)
	// Output: 1 2025-03-05 08:15:01 +0000 UTC
}

func ExampleParseResponse_fault() {
	err := xmlrpc.ParseResponse(xmlrpc.AppendFault(nil, 101, "Bug #99999 does not exist."), nil)
	var fault *xmlrpc.Fault
	if errors.As(err, &fault) {
		fmt.Println(fault.Code, fault.String)
	}
	// Output: 101 Bug #99999 does not exist.
}

func ExampleMarshal() {
	type bug struct {
		ID     int    `xmlrpc:"id"`
		Title  string `xmlrpc:"title"`
		Parent *int   `xmlrpc:"parent"`
	}
	doc, err := xmlrpc.Marshal(bug{ID: 5, Title: "a < b"})
	fmt.Println(string(doc), err)
	doc, err = xmlrpc.Marshal(bug{ID: 5}, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true}))
	fmt.Println(strings.Contains(string(doc), "<nil/>"), err)
	// Output:
	// <value><struct><member><name>id</name><value><int>5</int></value></member><member><name>title</name><value><string>a &lt; b</string></value></member></struct></value> <nil>
	// true <nil>
}

func ExampleWithRepair() {
	doc := []byte("<methodResponse><params><param><value>beep \x07</value></param></params></methodResponse>")
	var text string
	fmt.Println(xmlrpc.ParseResponse(doc, &text))
	fmt.Println(xmlrpc.ParseResponse(doc, &text, xmlrpc.WithRepair()), text)
	// Output:
	// xmlrpc: not well formed: the character U+0007 is forbidden in XML (line 1, column 44)
	// <nil> beep �
}

func ExampleEncoder() {
	if err := xmlrpc.NewEncoder(os.Stdout).Call("trackers.retry", "upstream"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <methodCall><methodName>trackers.retry</methodName><params><param><value><string>upstream</string></value></param></params></methodCall>
}

func ExampleDateTime() {
	d, err := xmlrpc.ParseDateTime("2026-11-21T19:35:03+02:00")
	fmt.Println(d, d.Extended(), d.HasZone(), err)
	// Output: 20261121T17:35:03 2026-11-21T19:35:03+02:00 true <nil>
}
