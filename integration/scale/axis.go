package main

import (
	"fmt"
	"math"
	"strings"
)

// axis maps a range of values to pixels, by logarithm unless it is linear.
type axis struct {
	from, to      float64
	linear        bool
	start, length float64 // in pixels
}

func (a axis) at(v float64) float64 {
	if a.linear {
		return a.start + a.length*(v-a.from)/(a.to-a.from)
	}
	return a.start + a.length*(math.Log10(v)-math.Log10(a.from))/(math.Log10(a.to)-math.Log10(a.from))
}

// marks are the values that get a line and a label: powers of ten, or some even
// steps.
func (a axis) marks() []float64 {
	var found []float64
	if a.linear {
		step := evenStep(a.to)
		for i := range int(math.Round(a.to/step)) + 1 {
			found = append(found, float64(i)*step)
		}
		return found
	}
	for e := math.Ceil(math.Log10(a.from) - 1e-9); e <= math.Log10(a.to)+1e-9; e++ {
		found = append(found, math.Pow(10, e))
	}
	return found
}

// evenStep is 1, 2 or 5 times a power of ten, of which at most five reach a value.
func evenStep(most float64) float64 {
	for step := math.Pow(10, math.Floor(math.Log10(most))-1); ; step *= 10 {
		for _, times := range []float64{1, 2, 5} {
			if step*times*5 >= most {
				return step * times
			}
		}
	}
}

// horizontal is the axis of the numbers of tokens.
func horizontal(all []figure) axis {
	fewest, most := math.Inf(1), 0.0
	for _, f := range all {
		fewest, most = min(fewest, float64(f.tokens)), max(most, float64(f.tokens))
	}
	if fewest == most {
		fewest, most = fewest/10, most*10
	}
	return axis{from: fewest, to: most}
}

// decades is the axis of times, the same for all panels, in whole powers of ten.
func decades(all []figure) (axis, error) {
	low, high := math.Inf(1), 0.0
	for _, f := range all {
		if !strings.HasSuffix(f.name, "_ms") {
			continue
		}
		if f.value <= 0 {
			return axis{}, fmt.Errorf("%s of %s at %d tokens is %v ms, which cannot be drawn", f.name, f.store, f.tokens, f.value)
		}
		low, high = min(low, f.value), max(high, f.value)
	}
	if high == 0 {
		return axis{}, errNoFigures
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if from == to {
		to++
	}
	return axis{from: math.Pow(10, from), to: math.Pow(10, to)}, nil
}

// fromZero is the axis of one kind of figures; its end is zero when there are none.
func fromZero(all []figure, name string) axis {
	most := 0.0
	for _, f := range all {
		if f.name == name {
			most = max(most, f.value)
		}
	}
	if most == 0 {
		return axis{}
	}
	step := evenStep(most)
	return axis{to: math.Ceil(most/step) * step, linear: true}
}
