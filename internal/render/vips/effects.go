package vips

// #include "shim.h"
import "C"

import (
	"math"
	"strings"
	"unsafe"

	"calotype/internal/render"
)

// adjust applies brightness, contrast, gamma and saturation, in this order, to the values of sRGB. The formulas of
// brightness, contrast and saturation are those of the CSS filters of these names.
func (r *rendering) adjust() error {
	o := &r.job.Options
	if o.Brightness == 0 && o.Contrast == 0 && o.Gamma == 0 && (o.Saturation == 0 || r.im.bands() < 3) {
		return nil
	}
	r.changed = true
	table := adjustTable(o)
	var matrix *[9]float32
	if o.Saturation != 0 {
		matrix = saturationMatrix(o.Saturation.Float())
	}
	return r.im.adjust(&table, matrix)
}

// adjustTable returns the result of brightness, contrast and gamma for each value.
func adjustTable(o *render.Options) (table [256]float32) {
	clip := func(v float64) float64 { return min(max(v, 0), 1) }
	for i := range table {
		v := clip(float64(i) / 255 * o.Brightness.Float())
		v = clip((v-0.5)*o.Contrast.Float() + 0.5)
		table[i] = float32(255 * math.Pow(v, 1/o.Gamma.Float()))
	}
	return table
}

// saturationMatrix moves a colour away from the grey of the same luminance, or towards it.
func saturationMatrix(factor float64) *[9]float32 {
	luminance := [3]float64{0.2126, 0.7152, 0.0722}
	var m [9]float32
	for i := range 3 {
		for j, l := range luminance {
			v := (1 - factor) * l
			if i == j {
				v += factor
			}
			m[3*i+j] = float32(v)
		}
	}
	return &m
}

const (
	// directBlur is the standard deviation up to which a blur computes means of pixels. A larger blur computes means
	// of boxes, so that its cost hardly depends on its size.
	directBlur = 4.5 // pixels
	// boxesPerDeviation determines the size of boxes: the standard deviation of a blur, in boxes, is at least this.
	boxesPerDeviation = 1.5
	// maskReach is the length of a mask to each side, in standard deviations.
	maskReach = 3
)

// blur applies a Gaussian blur to the colours. Each pixel counts as much as it is opaque, so the colours of transparent
// pixels do not appear. Beyond its edges the picture continues with the colours of the edge.
func (r *rendering) blur() error {
	deviation := r.job.Options.Blur.Float()
	if deviation == 0 {
		return nil
	}
	r.changed = true
	if deviation <= directBlur {
		return r.im.unsharp(deviation, -1)
	}
	return r.im.blurBoxes(deviation, int(deviation/boxesPerDeviation))
}

// sharpenDeviation is the standard deviation of the blur that sharpen subtracts, in pixels.
const sharpenDeviation = 1

// sharpen applies an unsharp mask: it increases the difference of the picture and its blur.
func (r *rendering) sharpen() error {
	amount := r.job.Options.Sharpen.Float()
	if amount == 0 {
		return nil
	}
	r.changed = true
	return r.im.unsharp(sharpenDeviation, amount)
}

// gaussian returns the weights of a Gaussian mask at 0, 1, 2 ... pixels from its middle. The sum of the mask is 1.
func gaussian(deviation float64) []float64 {
	weights := make([]float64, 1+int(math.Ceil(maskReach*deviation)))
	sum := 0.0
	for i := range weights {
		// The area below the curve is closer to a blur of small deviation than the curve itself.
		at := func(x float64) float64 { return math.Erf(x / (deviation * math.Sqrt2)) }
		weights[i] = at(float64(i)+0.5) - at(float64(i)-0.5)
		sum += weights[i]
		if i > 0 {
			sum += weights[i]
		}
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// blurBoxes blurs by the means of boxes of side x side pixels, which are blurred and enlarged by a cubic B-spline.
func (im *vipsImage) blurBoxes(deviation float64, side int) error {
	width, height := im.width(), im.height()
	var sums, plane *C.VipsImage
	if C.shim_boxes(im.c, C.int(side), &sums, &plane) != 0 {
		return takeError()
	}
	var alpha *vipsImage
	if plane != nil {
		alpha = &vipsImage{plane}
	}
	boxes := &vipsImage{sums}
	defer boxes.close()
	// The variance of a box is (side² - 1) / 12 pixels, that of the spline is side² / 3.
	square := float64(side * side)
	variance := (deviation*deviation-(square-1)/12)/square - 1./3
	half := gaussian(math.Sqrt(variance))
	mask := make([]C.double, 2*len(half)-1)
	for i, weight := range half {
		mask[len(half)-1-i], mask[len(half)-1+i] = C.double(weight), C.double(weight)
	}
	err := boxes.become(C.shim_mean(boxes.c, &mask[0], C.int(len(mask))))
	if err == nil {
		from := &vipsImage{im.c}
		defer from.close()
		im.c = nil
		err = im.become(C.shim_pixels(boxes.c, C.int(side), C.int(width), C.int(height)))
		if err == nil {
			err = im.copyEXIF(from)
		}
	}
	if err != nil {
		alpha.close()
		return err
	}
	return im.putAlpha(alpha)
}

// copyEXIF copies EXIF from another image: one that was made of sums has no fields.
func (im *vipsImage) copyEXIF(from *vipsImage) error {
	if err := im.own(); err != nil {
		return err
	}
	for _, name := range from.fields() {
		if strings.HasPrefix(name, "exif-") {
			im.copyField(from, name)
		}
	}
	return nil
}

// unsharp increases the difference of the colours and their Gaussian blur. The amount -1 makes the blur.
func (im *vipsImage) unsharp(deviation, amount float64) error {
	weights := make([]C.float, 0, 16)
	for _, weight := range gaussian(deviation) {
		weights = append(weights, C.float(weight))
	}
	return im.become(C.shim_unsharp(im.c, &weights[0], C.int(len(weights)-1), C.double(amount)))
}

// adjust maps colours by a table, and mixes them by a matrix of 3 x 3, if there is one.
func (im *vipsImage) adjust(table *[256]float32, matrix *[9]float32) error {
	var m *C.float
	if matrix != nil {
		m = (*C.float)(unsafe.Pointer(&matrix[0]))
	}
	return im.become(C.shim_adjust(im.c, (*C.float)(unsafe.Pointer(&table[0])), m))
}

// under draws an image with alpha on a colour of an opacity from 0 to 255.
func (im *vipsImage) under(colour []float64, opacity float64) error {
	return im.become(C.shim_under(im.c, (*C.double)(&colour[0]), C.double(opacity)))
}
