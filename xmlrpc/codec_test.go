package xmlrpc

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Commits of gorilla/rpc after v1.2.0 make the codec's request twice for one HTTP
// request, when its body can be read only once.
func TestTheCodecGivesTheSameRequestEachTimeItIsAsked(t *testing.T) {
	const doc = `<methodCall><methodName>a.b.c</methodName></methodCall>`
	h, ok := NewHandler(NewRegistry()).(*handler)
	if !ok {
		t.Fatal("the handler is of another type")
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader(doc))
	x := &exchange{handler: h, r: r, w: httptest.NewRecorder(), in: borrowDocument(), out: borrowDocument()}
	defer x.release()
	if err := x.readBody(); err != nil {
		t.Fatal(err)
	}
	r.Body = x
	for range 2 {
		request := codec{}.NewRequest(r)
		name, err := request.Method()
		if err != nil || name != dispatchMethod || x.call.Method != "a.b.c" {
			t.Errorf("got %q for %v, error %v", name, x.call, err)
		}
	}
}

func TestTheServiceIsOneThatTheDispatcherTakes(t *testing.T) {
	if !newDispatch().HasMethod(dispatchMethod) {
		t.Error("the dispatcher does not know the one method")
	}
}
