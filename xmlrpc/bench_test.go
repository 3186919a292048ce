package xmlrpc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	kolo "github.com/kolo/xmlrpc"
)

// benchBug has the members that the Launchpad plugin of Bugzilla gives a bug.
type benchBug struct {
	ID             int       `xmlrpc:"id"`
	Alias          []string  `xmlrpc:"alias"`
	Summary        string    `xmlrpc:"summary"`
	Product        string    `xmlrpc:"product"`
	Component      string    `xmlrpc:"component"`
	Status         string    `xmlrpc:"status"`
	Resolution     string    `xmlrpc:"resolution"`
	Severity       string    `xmlrpc:"severity"`
	Priority       string    `xmlrpc:"priority"`
	IsOpen         bool      `xmlrpc:"is_open"`
	AssignedTo     string    `xmlrpc:"assigned_to"`
	CreationTime   time.Time `xmlrpc:"creation_time"`
	LastChangeTime time.Time `xmlrpc:"last_change_time"`
	Internals      struct {
		LaunchpadID int `xmlrpc:"launchpad_id"`
	} `xmlrpc:"internals"`
}

type benchBugs struct {
	Bugs []benchBug `xmlrpc:"bugs"`
}

// benchAnswer is an answer of that many bugs as Bugzilla's SOAP::Lite writes
// it: members in the changing order of a Perl hash, <string /> for empty, one line.
func benchAnswer(bugs int) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><methodResponse><params><param><value><struct><member><name>bugs</name><value><array><data>`)
	statuses := []string{"CONFIRMED", "RESOLVED", "IN_PROGRESS", "UNCONFIRMED"}
	severities := []string{"blocker", "minor", "normal", "enhancement"}
	for i := range bugs {
		alias := "<data />"
		if i%3 == 0 {
			alias = fmt.Sprintf("<data><value><string>crash-%d</string></value></data>", i)
		}
		members := []string{
			"<name>last_change_time</name><value><dateTime.iso8601>20250305T08:15:01</dateTime.iso8601></value>",
			"<name>assigned_to</name><value><string>rene@bugs.example</string></value>",
			fmt.Sprintf("<name>creation_time</name><value><dateTime.iso8601>202503%02dT08:01:01</dateTime.iso8601></value>", i%28+1),
			fmt.Sprintf("<name>internals</name><value><struct><member><name>launchpad_id</name><value><int>%d</int></value></member></struct></value>", i%7*100),
			"<name>alias</name><value><array>" + alias + "</array></value>",
			"<name>severity</name><value><string>" + severities[i%4] + "</string></value>",
			"<name>resolution</name><value><string /></value>",
			"<name>status</name><value><string>" + statuses[i%4] + "</string></value>",
			fmt.Sprintf("<name>id</name><value><int>%d</int></value>", i+1),
			fmt.Sprintf("<name>is_open</name><value><boolean>%d</boolean></value>", i%2),
			"<name>priority</name><value><string>Highest</string></value>",
			fmt.Sprintf("<name>summary</name><value><string>Crash &amp; burn number %d when opening an empty file 🐛</string></value>", i),
			"<name>component</name><value><string>core</string></value>",
			"<name>product</name><value><string>Widgets</string></value>",
		}
		b.WriteString("<value><struct>")
		for k := range members {
			b.WriteString("<member>" + members[(k*5+i)%len(members)] + "</member>")
		}
		b.WriteString("</struct></value>")
	}
	b.WriteString("</data></array></value></member></struct></value></param></params></methodResponse>")
	return b.Bytes()
}

var benchLimits = WithLimits(Limits{Bytes: 32 << 20})

func benchInts(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i * 37
	}
	return list
}

// peer is what a benchmark is compared with in the same run.
type peer struct {
	name string
	run  func() error
}

// compare measures ours with the benchmark's own loop, then ours and the peers
// in turns, and reports how many times as long, and as many allocations, each
// peer took. The best of several turns counts, so that other work on the machine
// falls out.
func compare(b *testing.B, size int, ours func() error, peers ...peer) {
	b.Helper()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if err := ours(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	all := append([]peer{{"ours", ours}}, peers...)
	best := make([]time.Duration, len(all))
	allocs := make([]float64, len(all))
	repeat := max(1, 1<<20/size)
	for range 8 {
		for i, p := range all {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			for range repeat {
				if err := p.run(); err != nil {
					b.Fatal(p.name, err)
				}
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if best[i] == 0 || took < best[i] {
				best[i] = took
			}
			allocs[i] = float64(after.Mallocs-before.Mallocs) / float64(repeat)
		}
	}
	for i, p := range all[1:] {
		b.ReportMetric(float64(best[i+1])/float64(best[0]), "x_"+p.name)
		b.ReportMetric(allocs[i+1], "allocs_"+p.name)
	}
}

func encodingXML(doc []byte) peer {
	return peer{"encoding/xml", func() error {
		d := xml.NewDecoder(bytes.NewReader(doc))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}}
}

func koloReads[T any](doc []byte) peer {
	return peer{"kolo", func() error {
		var v T
		return kolo.Response(doc).Unmarshal(&v)
	}}
}

func koloWrites(params ...any) peer {
	return peer{"kolo", func() error {
		_, err := kolo.EncodeMethodCall("bridge.echo", params...)
		return err
	}}
}

func BenchmarkDecodeThousandBugsIntoAny(b *testing.B) {
	doc := benchAnswer(1000)
	compare(b, len(doc), func() error {
		var v any
		return ParseResponse(doc, &v, benchLimits)
	}, koloReads[any](doc), encodingXML(doc))
}

func BenchmarkDecodeThousandBugsIntoStructs(b *testing.B) {
	doc := benchAnswer(1000)
	compare(b, len(doc), func() error {
		var v benchBugs
		return ParseResponse(doc, &v, benchLimits)
	}, koloReads[benchBugs](doc), encodingXML(doc))
}

func BenchmarkDecodeTenThousandInts(b *testing.B) {
	doc, err := AppendResponse(nil, benchInts(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("any", func(b *testing.B) {
		compare(b, len(doc), func() error {
			var v any
			return ParseResponse(doc, &v)
		}, koloReads[any](doc), encodingXML(doc))
	})
	b.Run("typed", func(b *testing.B) {
		compare(b, len(doc), func() error {
			var v []int
			return ParseResponse(doc, &v)
		}, koloReads[[]int](doc), encodingXML(doc))
	})
}

// The gateway's commonest call and its answer.
func BenchmarkDecodeMintCall(b *testing.B) {
	doc := []byte("<?xml version='1.0'?>\n<methodCall>\n<methodName>newBugTrackerToken</methodName>\n<params>\n</params>\n</methodCall>\n")
	compare(b, len(doc), func() error {
		_, err := ParseCall(doc)
		return err
	}, encodingXML(doc))
}

func BenchmarkDecodeMintAnswer(b *testing.B) {
	doc, err := AppendResponse(nil, "FAKETOKEN0000000000000000000000one")
	if err != nil {
		b.Fatal(err)
	}
	compare(b, len(doc), func() error {
		var token string
		return ParseResponse(doc, &token)
	}, koloReads[string](doc), encodingXML(doc))
}

func BenchmarkEncodeThousandBugs(b *testing.B) {
	var typed benchBugs
	var untyped any
	doc := benchAnswer(1000)
	if err := ParseResponse(doc, &typed, benchLimits); err != nil {
		b.Fatal(err)
	}
	if err := ParseResponse(doc, &untyped, benchLimits); err != nil {
		b.Fatal(err)
	}
	for name, v := range map[string]any{"structs": &typed, "any": untyped} {
		theirs := v
		if name == "any" {
			theirs = withTimes(v)
		}
		b.Run(name, func(b *testing.B) {
			out, err := AppendCall(nil, "bridge.echo", []any{v})
			if err != nil {
				b.Fatal(err)
			}
			compare(b, len(out), func() error {
				_, err := AppendCall(nil, "bridge.echo", []any{v})
				return err
			}, koloWrites(theirs))
		})
	}
}

// withTimes replaces each DateTime, which kolo does not know, by a time.Time.
func withTimes(v any) any {
	switch v := v.(type) {
	case DateTime:
		return v.Time(nil)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withTimes(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, inner := range v {
			out[name] = withTimes(inner)
		}
		return out
	}
	return v
}

func BenchmarkEncodeTenThousandInts(b *testing.B) {
	list := benchInts(10_000)
	out, err := AppendCall(nil, "bridge.echo", []any{list})
	if err != nil {
		b.Fatal(err)
	}
	compare(b, len(out), func() error {
		_, err := AppendCall(nil, "bridge.echo", []any{list})
		return err
	}, koloWrites(list))
}

func BenchmarkEncodeMintCall(b *testing.B) {
	out, err := AppendCall(nil, "newBugTrackerToken", nil)
	if err != nil {
		b.Fatal(err)
	}
	compare(b, len(out), func() error {
		_, err := AppendCall(nil, "newBugTrackerToken", nil)
		return err
	}, koloWrites())
}
