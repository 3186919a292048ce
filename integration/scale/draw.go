package main

import (
	"fmt"
	"html"
	"strings"
)

// The drawing in pixels: two rows of panels, a legend below.
const (
	columns     = 2
	panelWidth  = 350
	panelHeight = 200
	left        = 92 // for the labels of a vertical axis
	above       = 36 // for the title of a panel
	below       = 52 // for the labels of a horizontal axis
	top         = 44 // for the title of all
	bottom      = 40 // for the legend
	right       = 48
)

// panel is one diagram: figures against the number of live tokens.
type panel struct {
	title string
	// median and slow are the names of the figures that are drawn with a whole and
	// with a broken line.
	median, slow string
	unit         string
	linear       bool // from zero, instead of by logarithm
}

var panels = []panel{
	{title: "Mint", median: "mint_p50_ms", slow: "mint_p99_ms", unit: "ms"},
	{title: "Consume a token minted lately", median: "young_p50_ms", slow: "young_p99_ms", unit: "ms"},
	{title: "Consume a token of any age", median: "any_p50_ms", slow: "any_p99_ms", unit: "ms"},
	{title: "Memory in Redis, disk in bolt, a token", median: "bytes_per_token", unit: "bytes", linear: true},
}

var colours = []string{"#1b6ca8", "#c2410c", "#2e7d32", "#6d28d9"}

// draw returns the SVG.
func draw(all []figure) (string, error) {
	names := stores(all)
	if len(names) > len(colours) {
		return "", fmt.Errorf("there are %d stores and %d colours", len(names), len(colours))
	}
	x := horizontal(all)
	times, err := decades(all)
	if err != nil {
		return "", err
	}
	const cellWidth, cellHeight = left + panelWidth, above + panelHeight + below
	rows := (len(panels) + columns - 1) / columns
	width, height := columns*cellWidth+right, top+rows*cellHeight+bottom
	var d strings.Builder
	fmt.Fprintf(&d, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" font-family="system-ui, sans-serif" font-size="13" fill="#222">`+"\n", width, height)
	d.WriteString(`<title>Latency and size against the number of live tokens</title>` + "\n")
	fmt.Fprintf(&d, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	text(&d, left, 26, "start", `font-size="16" font-weight="600"`, "What grows with the number of live tokens")
	for i, p := range panels {
		y := times
		if p.linear {
			if y = fromZero(all, p.median); y.to == 0 {
				continue
			}
		}
		x.start, x.length = float64(left+i%columns*cellWidth), panelWidth
		y.start, y.length = float64(top+i/columns*cellHeight+above+panelHeight), -panelHeight
		grid(&d, p, x, y)
		for j, store := range names {
			line(&d, p, x, y, series(all, store, p.median), colours[j], "")
			line(&d, p, x, y, series(all, store, p.slow), colours[j], dashed)
		}
	}
	legend(&d, names, float64(height-16))
	d.WriteString("</svg>\n")
	return d.String(), nil
}

func grid(d *strings.Builder, p panel, x, y axis) {
	roof := y.start + y.length
	text(d, x.start, roof-12, "start", `font-weight="600"`, p.title)
	for _, v := range y.marks() {
		fmt.Fprintf(d, `<path d="M%.1f %.1fh%d" stroke="#d4d4d4"/>`+"\n", x.start, y.at(v), panelWidth)
		text(d, x.start-8, y.at(v)+4, "end", "", fmt.Sprintf("%g %s", v, p.unit))
	}
	for _, v := range x.marks() {
		fmt.Fprintf(d, `<path d="M%.1f %.1fv%d" stroke="#ececec"/>`+"\n", x.at(v), roof, panelHeight)
		text(d, x.at(v), y.start+18, "middle", "", count(v))
	}
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="none" stroke="#888"/>`+"\n", x.start, roof, panelWidth, panelHeight)
	text(d, x.start+panelWidth/2, y.start+36, "middle", `fill="#555"`, "live tokens")
}

// count is a number in words as short as they get.
func count(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g million", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g k", v/1e3)
	default:
		return fmt.Sprintf("%g", v)
	}
}

// dashed is how a line of the slowest requests looks.
const dashed = ` stroke-dasharray="6 4"`

func line(d *strings.Builder, p panel, x, y axis, points []figure, colour, dash string) {
	if len(points) == 0 {
		return
	}
	var path strings.Builder
	for i, f := range points {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x.at(float64(f.tokens)), y.at(f.value))
	}
	fmt.Fprintf(d, `<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", path.String(), colour, dash)
	for _, f := range points {
		fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s, %s tokens: %.3g %s</title></circle>`+"\n",
			x.at(float64(f.tokens)), y.at(f.value), colour, html.EscapeString(f.store), count(float64(f.tokens)), f.value, p.unit)
	}
}

func legend(d *strings.Builder, names []string, y float64) {
	const sample, letter, space = 28, 7.2, 26
	x := float64(left)
	mark := func(label, colour, dash string) {
		fmt.Fprintf(d, `<path d="M%.1f %.1fh%d" stroke="%s" stroke-width="2"%s/>`+"\n", x, y-4, sample, colour, dash)
		text(d, x+sample+8, y, "start", "", label)
		x += sample + 8 + letter*float64(len(label)) + space
	}
	for i, name := range names {
		mark(name, colours[i], "")
	}
	mark("median", "#555", "")
	mark("99 of 100 are faster", "#555", dashed)
}

func text(d *strings.Builder, x, y float64, anchor, more, words string) {
	if more != "" {
		more = " " + more
	}
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(words))
}
