package vips

import (
	"bytes"
	"math"
	"testing"
)

// solid is a picture of one colour.
func solid(w, h int, r, g, b, a byte) []byte { return bytes.Repeat([]byte{r, g, b, a}, w*h) }

// averageOf reads the average colour out of a hash, 0 to 1, as a page would.
func averageOf(hash []byte) (r, g, b float64) {
	head := int(hash[0]) | int(hash[1])<<8 | int(hash[2])<<16
	l := float64(head&63) / 63
	p := float64(head>>6&63)/31.5 - 1
	q := float64(head>>12&63)/31.5 - 1
	b = l - 2.0/3*p
	r = (3*l - b + q) / 2
	return r, r - q, b
}

func TestThumbhashAverage(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]byte{{0, 0, 0}, {255, 255, 255}, {200, 40, 90}, {10, 200, 30}, {128, 128, 128}} {
		r, g, b := averageOf(thumbhash(40, 30, solid(40, 30, c[0], c[1], c[2], 255)))
		for i, got := range []float64{r, g, b} {
			if want := float64(c[i]) / 255; math.Abs(got-want) > 0.04 {
				t.Errorf("%v: channel %d is %.3f, want %.3f", c, i, got, want)
			}
		}
	}
}

func TestThumbhashShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		w, h  int
		alpha byte
		bytes int
	}{
		{100, 100, 255, 24}, // 27 + 5 + 5 coefficients
		{100, 50, 255, 0}, {50, 100, 255, 0}, {100, 1, 255, 0}, {1, 100, 255, 0}, {1, 1, 255, 0},
		{100, 100, 128, 25}, {1, 1, 0, 0}, {100, 3, 7, 0},
	} {
		hash := thumbhash(c.w, c.h, solid(c.w, c.h, 9, 99, 199, c.alpha))
		if len(hash) < 5 || len(hash) > 25 || c.bytes > 0 && len(hash) != c.bytes {
			t.Errorf("%+v: %d bytes", c, len(hash))
		}
		if opaque := hash[2]&0x80 == 0; opaque != (c.alpha == 255) {
			t.Errorf("%+v: opaque is %v", c, opaque)
		}
		if wide := hash[4]&0x80 != 0; wide != (c.w > c.h) {
			t.Errorf("%+v: wide is %v", c, wide)
		}
		again := thumbhash(c.w, c.h, solid(c.w, c.h, 9, 99, 199, c.alpha))
		if !bytes.Equal(hash, again) {
			t.Errorf("%+v: %x, then %x", c, hash, again)
		}
	}
}

// TestThumbhashDirection: a picture that is brighter on its right has a negative first cosine
// across, one that is brighter below has it downwards, and mirrored they have the opposite.
func TestThumbhashDirection(t *testing.T) {
	t.Parallel()
	const n = 32
	ramp := make([]float64, n*n)
	down := make([]float64, n*n)
	back := make([]float64, n*n)
	for i := range ramp {
		ramp[i] = float64(i%n) / n
		back[i] = 1 - ramp[i]
		down[i] = float64(i/n) / n
	}
	right, left := encodeChannel(ramp, n, n, 3, 3), encodeChannel(back, n, n, 3, 3)
	below := encodeChannel(down, n, n, 3, 3)
	// The order of the coefficients is (1,0) (2,0) (0,1) (1,1) (0,2).
	if right.ac[0] > 0.01 || left.ac[0] < 0.99 || math.Abs(right.ac[2]-0.5) > 0.01 {
		t.Errorf("across: %v and back %v", right.ac, left.ac)
	}
	if below.ac[2] > 0.01 || math.Abs(below.ac[0]-0.5) > 0.01 {
		t.Errorf("down: %v", below.ac)
	}
	if math.Abs(right.dc-0.484) > 0.001 || math.Abs(right.scale-left.scale) > 1e-9 {
		t.Errorf("average %v, scales %v and %v", right.dc, right.scale, left.scale)
	}
}

func TestToRGBA(t *testing.T) {
	t.Parallel()
	for bands, want := range map[int][]byte{
		1: {7, 7, 7, 255, 8, 8, 8, 255}, 2: {7, 7, 7, 8}, 3: {7, 8, 9, 255}, 4: {7, 8, 9, 10},
	} {
		in := map[int][]byte{1: {7, 8}, 2: {7, 8}, 3: {7, 8, 9}, 4: {7, 8, 9, 10}}[bands]
		if got, err := toRGBA(in, bands); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bands: %v, %v", bands, got, err)
		}
	}
	for _, bands := range []int{0, 5} {
		if _, err := toRGBA([]byte{1, 2, 3, 4, 5}, bands); err == nil {
			t.Errorf("%d bands were taken", bands)
		}
	}
}
