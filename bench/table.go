package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// A row compares two things that were measured in turn, several times.
type row struct {
	name, unit string
	peer       string // what it is measured beside; "" for a figure that stands alone
	ours       []float64
	theirs     []float64
	aim        float64 // the largest ratio, or the largest figure of a row that stands alone; 0: none
	least      float64 // the least ratio; 0: none
}

// quartiles returns the three of values: the middle one is the median.
func quartiles(values []float64) (q [3]float64) {
	for i := range q {
		q[i] = quantile(values, float64(i+1)/4)
	}
	return q
}

// quantile returns the value below which a part of the values lies; NaN of no values.
func quantile(values []float64, part float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := float64(len(sorted)-1) * part
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

func median(values []float64) float64 { return quartiles(values)[1] }

// ratios are those of the rounds: what disturbs a round disturbs both sides of it.
func (r row) ratios() []float64 {
	out := make([]float64, len(r.ours))
	for i := range r.ours {
		out[i] = r.ours[i] / r.theirs[i]
	}
	return out
}

func printTable(w io.Writer, rows []row) {
	fmt.Fprintln(w, "| what | unit | ours | beside | theirs | ratio | noise | aim |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		cells := []string{r.name, r.unit, figure(median(r.ours)), "", "", "", "", ""}
		judged, spread := median(r.ours), quartiles(r.ours)
		if r.peer != "" {
			spread = quartiles(r.ratios())
			judged = spread[1]
			cells[3], cells[4], cells[5] = r.peer, figure(median(r.theirs)), figure(judged)
		}
		cells[6] = figure(spread[0]) + " to " + figure(spread[2])
		switch {
		case r.aim > 0:
			cells[7] = "<= " + figure(r.aim) + verdict(judged <= r.aim)
		case r.least > 0:
			cells[7] = ">= " + figure(r.least) + verdict(judged >= r.least)
		}
		fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |")
	}
}

func verdict(met bool) string {
	if met {
		return ": met"
	}
	return ": MISSED"
}

// figure writes three digits that count.
func figure(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Sprint(v)
	}
	places := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	return fmt.Sprintf("%.*f", places, v)
}
