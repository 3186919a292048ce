package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/plot.svg")

// TestTheSameFiguresGiveTheSameDrawing holds the drawing of some figures, to be
// looked at after a change and written anew with -update.
func TestTheSameFiguresGiveTheSameDrawing(t *testing.T) {
	t.Parallel()
	in, err := os.Open("testdata/figures.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var drawn strings.Builder
	if err := run(in, &drawn); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/plot.svg", []byte(drawn.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile("testdata/plot.svg")
	if err != nil {
		t.Fatal(err)
	}
	if drawn.String() != string(kept) {
		t.Error("testdata/plot.svg is not what testdata/figures.tsv gives; run the test with -update and look at it")
	}
}

func TestADrawingIsWellFormedAndNamesEveryStoreAndMark(t *testing.T) {
	t.Parallel()
	figures := "tokens\tone & <two>\t10\tmint_p50_ms\t0.5\n" +
		"tokens\tone & <two>\t1000\tmint_p50_ms\t50\n" +
		"tokens\tone & <two>\t1000\tbytes_per_token\t187\n" +
		"tokens\tother\t10\tany_p99_ms\t2\n" +
		"cpu\tone Redis\t1\tmint_gateway_us\t100\n"
	words := wordsOf(t, figures)
	for _, want := range []string{"one & <two>", "other", "100 ms", "0.1 ms", "1 k", "live tokens", "200 bytes", "0 bytes"} {
		if !strings.Contains(words, "\n"+want+"\n") {
			t.Errorf("the drawing does not say %q", want)
		}
	}
	if strings.Contains(words, "one Redis") {
		t.Error("figures of another part are drawn")
	}
}

func TestOneSizeWithoutMemoryIsDrawnToo(t *testing.T) {
	t.Parallel()
	words := wordsOf(t, "tokens\tbolt\t1000\tmint_p50_ms\t1\n")
	if !strings.Contains(words, "1 ms") || strings.Contains(words, "bytes") {
		t.Errorf("the drawing says %q", words)
	}
}

// wordsOf are the texts of the drawing of some figures, one a line.
func wordsOf(t *testing.T, figures string) string {
	t.Helper()
	var drawn strings.Builder
	if err := run(strings.NewReader(figures), &drawn); err != nil {
		t.Fatal(err)
	}
	words := "\n"
	decoder := xml.NewDecoder(strings.NewReader(drawn.String()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return words
		}
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := token.(xml.CharData); ok && strings.TrimSpace(string(data)) != "" {
			words += string(data) + "\n"
		}
	}
}

func TestFiguresThatCannotBeDrawnAreErrors(t *testing.T) {
	t.Parallel()
	for name, figures := range map[string]string{
		"none":                  "",
		"only of another part":  "cpu\tone Redis\t1\tmint_gateway_us\t100\n",
		"none in milliseconds":  "tokens\tbolt\t10\tbytes_per_token\t60\n",
		"a field too few":       "tokens\tbolt\t10\tmint_p50_ms\n",
		"a number that is none": "tokens\tbolt\tmany\tmint_p50_ms\t1\n",
		"no tokens":             "tokens\tbolt\t0\tmint_p50_ms\t1\n",
		"a value that is none":  "tokens\tbolt\t10\tmint_p50_ms\tfast\n",
		"not a number":          "tokens\tbolt\t10\tmint_p50_ms\tNaN\n",
		"too small a number":    "tokens\tbolt\t10\tbytes_per_token\t1e-320\n",
		"a name that is binary": "tokens\t\xff\t10\tmint_p50_ms\t1\n",
		"infinity":              "tokens\tbolt\t10\tmint_p50_ms\t+Inf\n",
		"a latency of nothing":  "tokens\tbolt\t10\tmint_p50_ms\t0\n",
		"a latency below":       "tokens\tbolt\t10\tmint_p50_ms\t-1\n",
		"more stores than inks": "tokens\ta\t1\tx_ms\t1\ntokens\tb\t1\tx_ms\t1\ntokens\tc\t1\tx_ms\t1\ntokens\td\t1\tx_ms\t1\ntokens\te\t1\tx_ms\t1\n",
		"a line without an end": "tokens\tbolt\t10\tmint_p50_ms\t" + strings.Repeat("1", 1<<17),
	} {
		if err := run(strings.NewReader(figures), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzRun: whatever comes in, what comes out is an error or well formed.
func FuzzRun(f *testing.F) {
	f.Add("tokens\tbolt\t10\tmint_p50_ms\t1\n")
	f.Add("tokens\tbolt\t9223372036854775807\tbytes_per_token\t1e-300\ntokens\t\xff\x00<\t1\tx_ms\t1e9\n")
	f.Fuzz(func(t *testing.T, figures string) {
		var drawn strings.Builder
		if run(strings.NewReader(figures), &drawn) != nil {
			return
		}
		if strings.Contains(drawn.String(), "NaN") || strings.Contains(drawn.String(), "Inf") {
			t.Errorf("a coordinate is no number: %s", drawn.String())
		}
		decoder := xml.NewDecoder(strings.NewReader(drawn.String()))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
