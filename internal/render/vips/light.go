package vips

import (
	"math"

	"calotype/internal/imagefile"
)

// This file computes the tables and the matrix that convert an imagefile.Colour to sRGB.

// srgbPrimaries are the chromaticities of red, green, blue and white of sRGB.
var srgbPrimaries = [8]float64{0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290}

// brightest is the light, in candela per square metre, that is shown with the screen's maximum if
// no part is brighter: twice that of a white page beside pictures of high dynamic range (ITU-R
// BT.2408), as in Chromium.
const brightest = 2 * 203

// likeSRGB reports whether a Colour is visually the same as sRGB.
func likeSRGB(c imagefile.Colour) bool {
	return c.Transfer == imagefile.TransferSRGB && samePrimaries(c)
}

// bright reports whether a Colour is of high dynamic range.
func bright(c imagefile.Colour) bool {
	return c.Transfer == imagefile.TransferPQ || c.Transfer == imagefile.TransferHLG
}

func samePrimaries(c imagefile.Colour) bool {
	if c.Primaries == ([8]float64{}) {
		return true
	}
	for i, v := range c.Primaries {
		if math.Abs(v-srgbPrimaries[i]) > 0.003 {
			return false
		}
	}
	return true
}

// light returns the light of a value from 0 to 1; the result is above 1 if it is brighter than a screen.
func light(c imagefile.Colour, v float64) float64 {
	switch {
	case c.Transfer == imagefile.TransferPQ:
		const m1, m2 = 2610.0 / 16384, 2523.0 / 4096 * 128
		const c1, c2, c3 = 3424.0 / 4096, 2413.0 / 4096 * 32, 2392.0 / 4096 * 32
		p := math.Pow(v, 1/m2)
		return math.Pow(max(p-c1, 0)/(c2-c3*p), 1/m1) * 10_000 / brightest
	case c.Transfer == imagefile.TransferHLG:
		const a, b, d = 0.17883277, 0.28466892, 0.55991073
		scene := v * v / 3
		if v > 0.5 {
			scene = (math.Exp((v-d)/a) + b) / 12
		}
		return math.Pow(scene, 1.2) * 1000 / brightest
	case c.Transfer == imagefile.TransferGamma:
		return math.Pow(v, c.Gamma)
	case v <= 0.04045:
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// srgbByte returns the value of a light in sRGB.
func srgbByte(l float64) byte {
	l = min(max(l, 0), 1)
	if l <= 0.0031308 {
		l *= 12.92
	} else {
		l = 1.055*math.Pow(l, 1/2.4) - 0.055
	}
	return byte(math.Round(255 * l))
}

func srgbBytes(table []float32) []byte {
	out := make([]byte, len(table))
	for i, l := range table {
		out[i] = srgbByte(float64(l))
	}
	return out
}

// A matrix of 3 x 3, row after row.
type matrix [9]float64

func (a matrix) times(b matrix) (p matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				p[3*i+j] += a[3*i+k] * b[3*k+j]
			}
		}
	}
	return p
}

func (a matrix) apply(x, y, z float64) (float64, float64, float64) {
	return a[0]*x + a[1]*y + a[2]*z, a[3]*x + a[4]*y + a[5]*z, a[6]*x + a[7]*y + a[8]*z
}

// inverse returns the inverse matrix; ok is false if it does not exist.
func (a matrix) inverse() (inv matrix, ok bool) {
	minor := func(i, j int) float64 {
		r, s := (i+1)%3, (i+2)%3
		p, q := (j+1)%3, (j+2)%3
		return a[3*r+p]*a[3*s+q] - a[3*r+q]*a[3*s+p]
	}
	det := a[0]*minor(0, 0) + a[1]*minor(0, 1) + a[2]*minor(0, 2)
	if math.Abs(det) < 1e-9 {
		return matrix{}, false
	}
	for i := range 3 {
		for j := range 3 {
			inv[3*j+i] = minor(i, j) / det
		}
	}
	return inv, true
}

// toXYZ returns the matrix from linear light in some primaries to CIE XYZ.
func toXYZ(p [8]float64) (m matrix, ok bool) {
	var columns matrix
	for i := range 4 {
		if p[2*i+1] < 1e-4 {
			return matrix{}, false
		}
	}
	for i := range 3 {
		x, y := p[2*i], p[2*i+1]
		columns[i], columns[3+i], columns[6+i] = x/y, 1, (1-x-y)/y
	}
	inv, ok := columns.inverse()
	if !ok {
		return matrix{}, false
	}
	r, g, b := inv.apply(p[6]/p[7], 1, (1-p[6]-p[7])/p[7])
	return columns.times(matrix{r, 0, 0, 0, g, 0, 0, 0, b}), true
}

// bradford is the matrix of chromatic adaptation from one white point to another.
var bradford = matrix{0.8951, 0.2664, -0.1614, -0.7502, 1.7135, 0.0367, 0.0389, -0.0685, 1.0296}

// adapt returns the matrix that adapts the white point of p to sRGB's, in CIE XYZ.
func adapt(p [8]float64) (m matrix, ok bool) {
	from := func(p [8]float64) (l, m, s float64) {
		return bradford.apply(p[6]/p[7], 1, (1-p[6]-p[7])/p[7])
	}
	l, mm, s := from(p)
	if l < 1e-4 || mm < 1e-4 || s < 1e-4 {
		return matrix{}, false
	}
	l2, m2, s2 := from(srgbPrimaries)
	back, ok := bradford.inverse()
	return back.times(matrix{l2 / l, 0, 0, 0, m2 / mm, 0, 0, 0, s2 / s}).times(bradford), ok
}

// toLinearSRGB returns the matrix from linear light in a Colour's primaries to that in sRGB's; ok is
// false for invalid primaries.
func toLinearSRGB(c imagefile.Colour) (m matrix, ok bool) {
	xyz, ok := toXYZ(c.Primaries)
	if !ok {
		return matrix{}, false
	}
	adapted, ok := adapt(c.Primaries)
	if !ok {
		return matrix{}, false
	}
	srgb, _ := toXYZ(srgbPrimaries)
	back, _ := srgb.inverse()
	return back.times(adapted).times(xyz), true
}
