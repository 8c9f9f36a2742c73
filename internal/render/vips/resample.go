package vips

import "math"

// A grid is 8-bit pixels in memory.
type grid struct {
	values               []byte
	width, height, bands int
}

// weights are those of the pixels from first on that make a scaled pixel. Their sum is 1.
type weights struct {
	first  int
	values []float32
}

// scale writes the part of g at (x, y), w x h pixels large, to another grid. The edges of the part may be between
// pixels, which those of vips_resize may not. Each pixel is a mean by a triangle: of its neighbours where the part is
// enlarged, of all pixels below it where it is made smaller.
func (g grid) scale(to grid, x, y, w, h float64) {
	columns, rows := triangles(x, w, to.width, g.width), triangles(y, h, to.height, g.height)
	line := make([]float32, g.width*g.bands)
	for i, row := range rows {
		clear(line)
		for k, weight := range row.values {
			for n, v := range g.values[(row.first+k)*len(line):][:len(line)] {
				line[n] += weight * float32(v)
			}
		}
		out := to.values[i*to.width*to.bands:]
		for n, column := range columns {
			for band := range g.bands {
				sum := float32(0)
				for k, weight := range column.values {
					sum += weight * line[(column.first+k)*g.bands+band]
				}
				out[n*g.bands+band] = byte(min(max(sum+0.5, 0), 255))
			}
		}
	}
}

// triangles returns the weights of n pixels that show the part of a side that begins at start, length pixels long.
func triangles(start, length float64, n, side int) []weights {
	step := length / float64(n)
	reach := max(step, 1)
	all := make([]weights, n)
	for i := range all {
		middle := start + (float64(i)+0.5)*step
		first := min(max(int(math.Ceil(middle-reach-0.5)), 0), side-1)
		last := max(min(int(math.Floor(middle+reach-0.5)), side-1), first)
		one := weights{first, make([]float32, last-first+1)}
		sum := 0.0
		for k := range one.values {
			weight := max(1-math.Abs(float64(first+k)+0.5-middle)/reach, 1e-9)
			one.values[k] = float32(weight)
			sum += weight
		}
		for k := range one.values {
			one.values[k] /= float32(sum)
		}
		all[i] = one
	}
	return all
}
