package vips

import (
	"math"

	"calotype/internal/render"
)

// This file finds what attracts attention in a picture, by maximum symmetric surround saliency (Achanta and
// Süsstrunk, 2010): a pixel attracts attention as its colour differs from the mean of the largest part of the picture
// of which it is the centre. Colours of skin attract more, and pixels near the edges of the picture less.

// focus returns the point that a crop to fractions of a picture's sides leaves most of what attracts attention
// around. A crop that leaves as much elsewhere is as close to the middle as possible.
func focus(w, h int, rgba []byte, fractionW, fractionH float64) render.Gravity {
	s, total := saliency(w, h, rgba), 0.0
	for _, v := range s {
		total += v
	}
	columns, rows := make([]float64, w), make([]float64, h)
	for y := range h {
		for x := range w {
			i := y*w + x
			v := (s[i] + skinShare*skin(rgba[4*i:4*i+3])*total/float64(w*h)) * centred(x, w) * centred(y, h)
			columns[x] += v
			rows[y] += v
		}
	}
	return render.PointGravity(bestWindow(columns, fractionW), bestWindow(rows, fractionH))
}

// skinShare is the weight of skin, in means of the saliency of a picture. It and the weight of the centre are those
// with which most subjects of TestSubjects are inside the crop.
const skinShare = 2

// skin returns how much a colour is one of skin, 0 to 1: its direction in RGB counts, not its brightness.
func skin(rgb []byte) float64 {
	const darkest, near = 60, 0.2
	r, g, b := float64(rgb[0]), float64(rgb[1]), float64(rgb[2])
	length := math.Sqrt(r*r + g*g + b*b)
	if length < darkest {
		return 0
	}
	away := math.Hypot(math.Hypot(r/length-0.78, g/length-0.57), b/length-0.44)
	return max(0, 1-away/near)
}

// centred returns the weight of a pixel of a side: 1 in the middle, less at the ends.
func centred(i, n int) float64 {
	away := (float64(i)+0.5)/float64(n) - 0.5
	return math.Exp(-4 * away * away)
}

// bestWindow returns where the window of a fraction of a side with the largest sum begins: 0 to 1 of the rest.
func bestWindow(sums []float64, fraction float64) float64 {
	n := min(max(int(math.Round(fraction*float64(len(sums)))), 1), len(sums))
	rest := len(sums) - n
	if rest == 0 {
		return 0.5
	}
	sum := 0.0
	for _, v := range sums[:n] {
		sum += v
	}
	best, at := sum, 0
	for i := 1; i <= rest; i++ {
		sum += sums[i+n-1] - sums[i-1]
		const close = 1e-9 // of a sum, by which rounding may change it
		if sum > best*(1+close) || sum >= best*(1-close) && abs(2*i-rest) < abs(2*at-rest) {
			best, at = max(sum, best), i
		}
	}
	if abs(2*at-rest) <= 1 { // the middle, which may be between two pixels of the copy
		return 0.5
	}
	return float64(at) / float64(rest)
}

func abs(n int) int { return max(n, -n) }

// saliency returns how much each pixel of a picture attracts attention.
func saliency(w, h int, rgba []byte) []float64 {
	lab := labOf(rgba)
	out := make([]float64, w*h)
	for c := range lab {
		smooth := smoothed(w, h, lab[c])
		total := summed(w, h, lab[c])
		for y := range h {
			dy := min(y, h-1-y)
			for x := range w {
				dx := min(x, w-1-x)
				x0, y0, x1, y1 := x-dx, y-dy, x+dx+1, y+dy+1
				sum := total[y1*(w+1)+x1] - total[y0*(w+1)+x1] - total[y1*(w+1)+x0] + total[y0*(w+1)+x0]
				d := sum/float64((x1-x0)*(y1-y0)) - smooth[y*w+x]
				out[y*w+x] += d * d
			}
		}
	}
	for i := range out {
		if out[i] < 1e-6 { // what is left of equal colours by rounding
			out[i] = 0
		}
		out[i] *= float64(rgba[4*i+3]) / 255
	}
	return out
}

// labOf returns L, a and b of the pixels.
func labOf(rgba []byte) (lab [3][]float64) {
	var linear [256]float64
	for i := range linear {
		v := float64(i) / 255
		linear[i] = v / 12.92
		if v > 0.04045 {
			linear[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	for c := range lab {
		lab[c] = make([]float64, len(rgba)/4)
	}
	for i := range len(rgba) / 4 {
		r, g, b := linear[rgba[4*i]], linear[rgba[4*i+1]], linear[rgba[4*i+2]]
		fx := labRoot((0.4124*r + 0.3576*g + 0.1805*b) / 0.9505)
		fy := labRoot(0.2126*r + 0.7152*g + 0.0722*b)
		fz := labRoot((0.0193*r + 0.1192*g + 0.9505*b) / 1.0890)
		lab[0][i], lab[1][i], lab[2][i] = 116*fy-16, 500*(fx-fy), 200*(fy-fz)
	}
	return lab
}

func labRoot(t float64) float64 {
	if t > 216.0/24389 {
		return math.Cbrt(t)
	}
	return (24389.0/27*t + 16) / 116
}

// smoothed returns the weighted means of 5 x 5 values.
func smoothed(w, h int, in []float64) []float64 {
	pass := func(in []float64, n, step, lines, lineStep int) []float64 {
		out := make([]float64, len(in))
		for l := range lines {
			for i := range n {
				at := func(k int) float64 { return in[l*lineStep+min(max(i+k, 0), n-1)*step] }
				out[l*lineStep+i*step] = (at(-2) + 4*at(-1) + 6*at(0) + 4*at(1) + at(2)) / 16
			}
		}
		return out
	}
	return pass(pass(in, w, 1, h, w), h, w, w, 1)
}

// summed returns the sums of all values above and left of each corner of the pixels, w+1 to a row.
func summed(w, h int, in []float64) []float64 {
	out := make([]float64, (w+1)*(h+1))
	for y := range h {
		row := 0.0
		for x := range w {
			row += in[y*w+x]
			out[(y+1)*(w+1)+x+1] = out[y*(w+1)+x+1] + row
		}
	}
	return out
}
