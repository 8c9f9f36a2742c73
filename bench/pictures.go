package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// photograph makes a JPEG of width x height pixels that costs a decoder and an encoder what a
// photograph does: its detail falls off with its scale as in nature (each octave has about the
// same contrast), colours change slowly, and a sensor's grain lies over all. Equal arguments make
// equal bytes, at most size of them and as many as an even quality allows.
func photograph(width, height, size int, grain float64) ([]byte, error) {
	im := paint(width, height, grain)
	var best []byte
	for low, high := 20, 96; low <= high; {
		quality := (low + high) / 2
		var out bytes.Buffer
		if err := jpeg.Encode(&out, im, &jpeg.Options{Quality: quality}); err != nil {
			return nil, err
		}
		if best == nil || out.Len() <= size {
			best = out.Bytes()
		}
		if out.Len() > size {
			high = quality - 1
		} else {
			low = quality + 1
		}
	}
	return best, nil
}

// grainOfSensor is the usual grain, in levels of 256 up and down.
const grainOfSensor = 3.0

// paint makes the pixels, 4:2:0.
func paint(width, height int, grain float64) *image.YCbCr {
	random := rand.New(rand.NewPCG(uint64(width), uint64(height)))
	im := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	longest := max(width, height)
	paintPlane(random, im.Y, im.YStride, width, height, longest, longest/4, 2, grain)
	w, h := (width+1)/2, (height+1)/2
	paintPlane(random, im.Cb, im.CStride, w, h, longest/2, longest/4, longest/64, 1)
	paintPlane(random, im.Cr, im.CStride, w, h, longest/2, longest/4, longest/64, 1)
	return im
}

// paintPlane sums octaves of smooth noise, whose cells are between coarse and fine pixels wide,
// and grain of a number of levels.
func paintPlane(
	random *rand.Rand, plane []byte, stride, width, height, longest, coarse, fine int, grain float64,
) {
	sum := make([]float32, width*height)
	for cell := max(coarse, 1); cell >= max(fine, 1); cell /= 2 {
		// A step of one octave down loses a bit of contrast: edges are rarer than areas.
		contrast := 34 * math.Pow(float64(cell)/float64(longest), 0.28)
		addOctave(random, sum, width, height, cell, float32(contrast))
	}
	for y := range height {
		line := plane[y*stride:]
		for x := range width {
			v := 128 + float64(sum[y*width+x]) + (random.Float64()-0.5)*2*grain
			line[x] = byte(min(max(v, 0), 255))
		}
	}
}

// addOctave adds noise that is smooth within cells, by two linear interpolations.
func addOctave(random *rand.Rand, sum []float32, width, height, cell int, contrast float32) {
	columns := width/cell + 2
	lattice := make([]float32, columns*(height/cell+2))
	for i := range lattice {
		lattice[i] = (random.Float32()*2 - 1) * contrast * 2
	}
	for y := range height {
		above := lattice[y/cell*columns:]
		below := lattice[(y/cell+1)*columns:]
		down := float32(y%cell) / float32(cell)
		out := sum[y*width : (y+1)*width]
		for x := range out {
			i, right := x/cell, float32(x%cell)/float32(cell)
			top := above[i] + (above[i+1]-above[i])*right
			bottom := below[i] + (below[i+1]-below[i])*right
			out[x] += top + (bottom-top)*down
		}
	}
}
