package xmlrpc

import (
	"syscall"
	"testing"
	"time"

	kolo "github.com/kolo/xmlrpc"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano())
}

func TestCPU(t *testing.T) {
	var typed benchBugs
	var untyped any
	doc := benchAnswer(1000)
	ParseResponse(doc, &typed, benchLimits)
	ParseResponse(doc, &untyped, benchLimits)
	ints := benchInts(10000)
	intdoc, _ := AppendResponse(nil, ints)
	theirs := withTimes(untyped)
	run := func(name string, n int, f func()) time.Duration {
		best := time.Hour
		for range 5 {
			s := cpu()
			for range n {
				f()
			}
			best = min(best, (cpu()-s)/time.Duration(n))
		}
		t.Logf("%s %v", name, best)
		return best
	}
	pair := func(name string, ours, kolos func()) {
		a := run(name+" ours", 40, ours)
		b := run(name+" kolo", 5, kolos)
		t.Logf("   ratio %.1f", float64(b)/float64(a))
	}
	pair("enc typed", func() { AppendCall(nil, "m", []any{&typed}) }, func() { kolo.EncodeMethodCall("m", &typed) })
	pair("enc any", func() { AppendCall(nil, "m", []any{untyped}) }, func() { kolo.EncodeMethodCall("m", theirs) })
	pair("enc ints", func() { AppendCall(nil, "m", []any{ints}) }, func() { kolo.EncodeMethodCall("m", ints) })
	pair("dec any", func() { var v any; ParseResponse(doc, &v, benchLimits) }, func() { var v any; kolo.Response(doc).Unmarshal(&v) })
	pair("dec typed", func() { var v benchBugs; ParseResponse(doc, &v, benchLimits) }, func() { var v benchBugs; kolo.Response(doc).Unmarshal(&v) })
	pair("dec ints", func() { var v any; ParseResponse(intdoc, &v, benchLimits) }, func() { var v any; kolo.Response(intdoc).Unmarshal(&v) })
	pair("dec intst", func() { var v []int; ParseResponse(intdoc, &v, benchLimits) }, func() { var v []int; kolo.Response(intdoc).Unmarshal(&v) })
}
