package xmlrpc

import (
	"errors"
	"testing"
)

func TestTheUsualDeclarationsReadAsAnyOtherDoes(t *testing.T) {
	for _, declaration := range append(quickDeclarations[:],
		// What begins like one of them, and is not.
		`<?xml version="1.0"  ?>`, `<?xml version="1.0" standalone="yes"?>`, `<?xml version='1.0' encoding='Utf-8'?>`, "") {
		var got string
		if err := Unmarshal([]byte(declaration+"\n<value>é</value>"), &got); err != nil || got != "é" {
			t.Errorf("%s: got %q, %v", declaration, got, err)
		}
		err := Unmarshal([]byte(declaration+declaration+"<value/>"), &got)
		var refused *DecodeError
		if declaration != "" && (!errors.As(err, &refused) || refused.FaultCode() != CodeNotWellFormed) {
			t.Errorf("%s twice: got error %v", declaration, err)
		}
	}
	// The charset of the Content-Type still counts more than the declaration.
	var got string
	latin := "<?xml version=\"1.0\" encoding=\"UTF-8\"?><value>\xe9</value>"
	if err := Unmarshal([]byte(latin), &got, WithCharset("iso-8859-1")); err != nil || got != "é" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := Unmarshal([]byte(latin), &got); err == nil {
		t.Errorf("a byte that is no UTF-8 was read as %q", got)
	}
}
