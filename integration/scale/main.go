// Command scale draws what BenchmarkScale measured: it reads its figures from
// standard input and writes an SVG to standard output: latency and size against
// the number of live tokens.
//
// A figure is a line of five fields with tabs between: part, subject, number,
// name, value. Only those of the part "tokens" are drawn. The same figures give the
// same bytes.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	all, err := readFigures(in)
	if err != nil {
		return err
	}
	drawing, err := draw(all)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, drawing)
	return err
}
