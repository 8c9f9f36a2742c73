package vips

import (
	"math"
	"slices"
	"sync"
)

// thumbhash returns the ThumbHash (evanw.github.io/thumbhash) of at most 100x100 straight RGBA pixels: a few cosine
// coefficients of brightness, of two colour differences and, if any pixel is not opaque, of opacity. A page can show
// a blurred preview of these 25 bytes or fewer while the picture loads.
func thumbhash(w, h int, rgba []byte) []byte {
	floats := planesPool.Get().(*[]float64)
	defer planesPool.Put(floats)
	*floats = slices.Grow((*floats)[:0], len(rgba))
	l, p, q, a, opaque := planes(rgba, (*floats)[:len(rgba)])
	limit := 7
	if !opaque {
		limit = 5 // opacity needs the space
	}
	longest := max(w, h)
	lx := max(1, int(math.Round(float64(limit*w)/float64(longest))))
	ly := max(1, int(math.Round(float64(limit*h)/float64(longest))))
	lc := encodeChannel(l, w, h, max(3, lx), max(3, ly))
	pc := encodeChannel(p, w, h, 3, 3)
	qc := encodeChannel(q, w, h, 3, 3)

	head := bits(63, lc.dc) | bits(31.5, 1+pc.dc)<<6 | bits(31.5, 1+qc.dc)<<12 |
		bits(31, lc.scale)<<18
	tail := bits(63, pc.scale)<<3 | bits(63, qc.scale)<<9
	if w > h {
		tail |= ly | 1<<15
	} else {
		tail |= lx
	}
	channels := []channel{lc, pc, qc}
	hash := []byte{0, 0, 0, byte(tail), byte(tail >> 8)}
	if !opaque {
		ac := encodeChannel(a, w, h, 5, 5)
		head |= 1 << 23
		hash = append(hash, byte(bits(15, ac.dc)|bits(15, ac.scale)<<4))
		channels = append(channels, ac)
	}
	hash[0], hash[1], hash[2] = byte(head), byte(head>>8), byte(head>>16)
	return appendNibbles(hash, channels)
}

// appendNibbles packs the coefficients of all channels, four bits each, low half first.
func appendNibbles(hash []byte, channels []channel) []byte {
	half := false
	for _, c := range channels {
		for _, f := range c.ac {
			n := byte(bits(15, f))
			if half {
				hash[len(hash)-1] |= n << 4
			} else {
				hash = append(hash, n)
			}
			half = !half
		}
	}
	return hash
}

// bits scales f to an integer from 0 to about most.
func bits(most, f float64) int { return int(math.Round(most * f)) }

// planesPool reuses the planes of thumbnails, because they are most of the garbage of a job.
var planesPool = sync.Pool{New: func() any { return new([]float64) }}

// planes blends pixels with their average colour and splits them into brightness, yellow against blue, red against
// green, and opacity: slices of all, with a float for each byte.
func planes(rgba []byte, all []float64) (l, p, q, a []float64, opaque bool) {
	n := len(rgba) / 4
	l, p, q, a = all[:n], all[n:2*n], all[2*n:3*n], all[3*n:]
	var sum [4]float64
	for i := range n {
		alpha := float64(rgba[4*i+3]) / 255
		for c := range 3 {
			sum[c] += alpha / 255 * float64(rgba[4*i+c])
		}
		sum[3] += alpha
		a[i] = alpha
	}
	var average [3]float64
	for c := range 3 {
		if sum[3] > 0 {
			average[c] = sum[c] / sum[3]
		}
	}
	opaque = true
	for i := range n {
		opaque = opaque && rgba[4*i+3] == 255
		var rgb [3]float64
		for c := range 3 {
			rgb[c] = average[c]*(1-a[i]) + a[i]/255*float64(rgba[4*i+c])
		}
		l[i] = (rgb[0] + rgb[1] + rgb[2]) / 3
		p[i] = (rgb[0]+rgb[1])/2 - rgb[2]
		q[i] = rgb[0] - rgb[1]
	}
	return l, p, q, a, opaque
}

// A channel is one plane as cosine coefficients.
type channel struct {
	dc    float64   // the average
	ac    []float64 // the others, 0 to 1, where 0.5 is nothing
	scale float64   // the largest of them in size
}

// encodeChannel computes the lower left triangle of the first nx x ny cosine coefficients of a
// plane.
func encodeChannel(plane []float64, w, h, nx, ny int) channel {
	var c channel
	sums := make([]float64, w) // of each column, weighed by the cosine of cy
	for cy := range ny {
		clear(sums)
		for y := range h {
			fy := math.Cos(math.Pi / float64(h) * float64(cy) * (float64(y) + 0.5))
			for x, v := range plane[y*w : (y+1)*w] {
				sums[x] += v * fy
			}
		}
		for cx := 0; cx*ny < nx*(ny-cy); cx++ {
			f := 0.0
			for x, v := range sums {
				f += v * math.Cos(math.Pi/float64(w)*float64(cx)*(float64(x)+0.5))
			}
			f /= float64(w * h)
			if cx == 0 && cy == 0 {
				c.dc = f
				continue
			}
			c.ac = append(c.ac, f)
			c.scale = max(c.scale, math.Abs(f))
		}
	}
	for i := range c.ac {
		if c.scale > 0 {
			c.ac[i] = 0.5 + 0.5/c.scale*c.ac[i]
		}
	}
	return c
}
