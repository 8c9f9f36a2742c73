package phash

import (
	"math"
	"math/bits"
	"slices"
)

const (
	side  = 32 // of the square that a picture is scaled to, in pixels
	waves = 8  // of each direction: the lowest ones

	// maxTone is the most by which the levels of a frame differ, and leastFramed the shortest side of a picture whose
	// frame is left out, in pixels.
	maxTone     = 8
	leastFramed = 16

	// minContrast is the least amplitude of the strongest wave, in levels of 0 to 255. Below it noise decides the
	// bits.
	minContrast = 1.5
)

// Of returns the hash of pixels: 8-bit sRGB with straight opacity, 4 bytes for each. The luma is shown on white, or on
// black if nothing is to be seen on white, without its frame, and scaled to a square of 32 x 32 pixels. A bit is set if
// the coefficient of its wave is over the median of all 64: those of the cosine transform with 0 to 7 half periods in
// each direction, from the lowest bit on by rows. Instead of the average, the first one has 8 half periods across. ok
// is false for a picture of one tone, which has no hash: all such pictures would look alike.
func Of(w, h int, rgba []byte) (hash Hash, ok bool) {
	for _, ground := range []float64{255, 0} {
		square := shrink(unframed(w, h, luma(rgba, ground)))
		if hash, ok = hashOf(transform(square)); ok {
			break
		}
	}
	return hash, ok
}

// luma returns the luma of pixels on a ground, 0 to 255.
func luma(rgba []byte, ground float64) []float64 {
	out := make([]float64, len(rgba)/4)
	for i := range out {
		p := rgba[4*i : 4*i+4]
		y := 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
		a := float64(p[3]) / 255
		out[i] = y*a + ground*(1-a)
	}
	return out
}

// shrink scales a plane to the square, by the average of the area of each pixel.
func shrink(w, h int, plane []float64) []float64 {
	rows := make([]float64, 0, side*h)
	for y := range h {
		rows = append(rows, average(plane[y*w:(y+1)*w])...)
	}
	square := make([]float64, side*side)
	column := make([]float64, h)
	for x := range side {
		for y := range h {
			column[y] = rows[y*side+x]
		}
		for y, v := range average(column) {
			square[y*side+x] = v
		}
	}
	return square
}

// average scales a line to a side of the square.
func average(line []float64) []float64 {
	out := make([]float64, side)
	step := float64(len(line)) / side
	for i := range out {
		from, to := float64(i)*step, float64(i+1)*step
		sum := 0.0
		for j := int(from); j < len(line) && float64(j) < to; j++ {
			sum += line[j] * (min(to, float64(j+1)) - max(from, float64(j)))
		}
		out[i] = sum / step
	}
	return out
}

// cosines has the waves of a line, by their half periods.
var cosines = func() (c [waves + 1][side]float64) {
	for u := range c {
		for x := range c[u] {
			c[u][x] = math.Cos(math.Pi / side * float64(u) * (float64(x) + 0.5))
		}
	}
	return c
}()

// transform returns the amplitudes of the waves of the square, those of a row of the result with one vertical wave.
func transform(square []float64) (amplitudes [waves * waves]float64) {
	for v := range waves {
		var sums [side]float64 // of each column
		for y := range side {
			for x, value := range square[y*side : (y+1)*side] {
				sums[x] += value * cosines[v][y]
			}
		}
		for u := range waves {
			wave := cosines[u]
			if u == 0 && v == 0 {
				wave = cosines[waves] // instead of the average
			}
			for x, sum := range sums {
				amplitudes[v*waves+u] += sum * wave[x] * 4 / (side * side)
			}
		}
	}
	return amplitudes
}

// hashOf compares each amplitude with the median.
func hashOf(amplitudes [waves * waves]float64) (hash Hash, ok bool) {
	sorted := slices.Clone(amplitudes[:])
	slices.Sort(sorted)
	if max(-sorted[0], sorted[len(sorted)-1]) < minContrast {
		return 0, false
	}
	median := (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
	for i, a := range amplitudes {
		if a > median {
			hash |= 1 << i
		}
	}
	return hash, bits.OnesCount64(uint64(hash)) > 0
}
