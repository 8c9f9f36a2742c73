package render

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// This file has the options that move, turn and cut a picture, besides its size.

// A Gravity is the part of a picture that a crop leaves, and the position of a picture in a pad: "" for the middle, a
// side, a corner such as "top-left", a point such as "0.25x0.7", GravityAuto or GravityFace.
type Gravity string

// GravityAuto is the part that attracts attention. GravityFace is the middle, because no faces are looked for.
const (
	GravityAuto Gravity = "auto"
	GravityFace Gravity = "face"
)

// corners are the points with a name: 0 is left and top, 1 is right and bottom.
var corners = map[Gravity][2]float64{
	"top-left": {0, 0}, "top": {0.5, 0}, "top-right": {1, 0},
	"left": {0, 0.5}, "": {0.5, 0.5}, "right": {1, 0.5},
	"bottom-left": {0, 1}, "bottom": {0.5, 1}, "bottom-right": {1, 1},
}

// gravitySteps is the precision of a point: the smallest distance is 1/gravitySteps of what a crop cuts off.
const gravitySteps = 10_000

// PointGravity returns the Gravity of a point, whose coordinates are limited to 0 to 1 and rounded.
func PointGravity(x, y float64) Gravity {
	x, y = fraction(x), fraction(y)
	for name, at := range corners {
		if at == [2]float64{x, y} {
			return name
		}
	}
	return Gravity(strconv.FormatFloat(x, 'f', -1, 64) + "x" + strconv.FormatFloat(y, 'f', -1, 64))
}

func fraction(f float64) float64 {
	return math.Round(min(max(f, 0), 1)*gravitySteps) / gravitySteps
}

// point returns the point of a Gravity, from 0 (left, top) to 1 (right, bottom); the middle for auto and face.
func (g Gravity) point() (x, y float64) {
	if at, ok := corners[g]; ok {
		return at[0], at[1]
	}
	if x, y, ok := coordinates(string(g)); ok {
		return x, y
	}
	return 0.5, 0.5
}

// coordinates parses a point such as "0.25x0.7".
func coordinates(text string) (x, y float64, ok bool) {
	first, second, ok := strings.Cut(text, "x")
	x, okX := plainNumber(first)
	y, okY := plainNumber(second)
	return x, y, ok && okX && okY && x <= 1 && y <= 1
}

// readGravity returns the normal form of a Gravity in a URL. Both orders of a corner's words are valid.
func readGravity(text string) (Gravity, bool) {
	switch text {
	case "auto", "entropy":
		return GravityAuto, true
	case "face":
		return GravityFace, true
	}
	if x, y, ok := coordinates(text); ok {
		return PointGravity(x, y), true
	}
	first, second, two := strings.Cut(text, "-")
	if !two {
		second = "center"
	}
	for _, order := range [][2]string{{first, second}, {second, first}} {
		x, okX := map[string]float64{"left": 0, "center": 0.5, "right": 1}[order[0]]
		y, okY := map[string]float64{"top": 0, "center": 0.5, "bottom": 1}[order[1]]
		if okX && okY {
			return PointGravity(x, y), true
		}
	}
	return "", false
}

// gravityKind also has the parts x, y and mode. The coordinates are of what a crop cuts off, which is the mode
// "remainder".
var gravityKind = kind{
	must: "auto, face, center, left, right, top, bottom, a corner such as top-left, or a point such as 0.5x0.25",
	read: func(o *Options, text string) (ok bool) {
		o.Gravity, ok = readGravity(text)
		return ok
	},
	valid: func(o *Options) bool {
		g, ok := readGravity(string(o.Gravity))
		return o.Gravity == "" || ok && g == o.Gravity
	},
	text: func(o *Options) string { return string(o.Gravity) },
	json: func(o *Options) any { return unlessZero(o.Gravity) },
	part: func(o *Options, name, text string) bool {
		n, ok := plainNumber(text)
		x, y := o.Gravity.point()
		switch name {
		case "x":
			o.Gravity = PointGravity(n, y)
		case "y":
			o.Gravity = PointGravity(x, n)
		default:
			return name == "mode" && text == "remainder"
		}
		return ok && n <= 1
	},
}

// A Flip mirrors a picture: "" not, "h" left and right, "v" top and bottom, "hv" both.
type Flip string

var flipKind = kind{
	must: "h, v or hv",
	read: func(o *Options, text string) bool {
		if text == "vh" {
			text = "hv"
		}
		o.Flip = Flip(text)
		return text != "" && isFlip(o.Flip)
	},
	valid: func(o *Options) bool { return isFlip(o.Flip) },
	text:  func(o *Options) string { return string(o.Flip) },
	json:  func(o *Options) any { return unlessZero(o.Flip) },
}

func isFlip(f Flip) bool { return slices.Contains([]Flip{"", "h", "v", "hv"}, f) }

var rotateKind = kind{
	must: "0, 90, 180, 270 or 360",
	read: func(o *Options, text string) bool {
		n, ok := pixelNumber(text, 360)
		o.Rotate = n % 360
		return ok && n%90 == 0 && text == strconv.Itoa(n)
	},
	valid: func(o *Options) bool { return o.Rotate%90 == 0 && o.Rotate >= 0 && o.Rotate < 360 },
	text: func(o *Options) string {
		if o.Rotate == 0 {
			return ""
		}
		return strconv.Itoa(o.Rotate)
	},
	json: func(o *Options) any { return unlessZero(o.Rotate) },
}

// maxDPR is the largest factor of dpr, and minDPR the smallest; a smaller one is taken as minDPR.
const maxDPR, minDPR = 3, 0.001

var dprKind = kind{
	must: fmt.Sprintf("a number above 0, at most %d", maxDPR),
	read: func(o *Options, text string) bool {
		n, ok := plainNumber(text)
		o.DPR = max(n, minDPR)
		if n == 1 {
			o.DPR = 0
		}
		return ok && n > 0 && n <= maxDPR
	},
	valid: func(o *Options) bool { return o.DPR == 0 || o.DPR >= minDPR && o.DPR <= maxDPR },
	text: func(o *Options) string {
		if o.DPR == 0 {
			return ""
		}
		return strconv.FormatFloat(o.DPR, 'f', -1, 64)
	},
	json: func(o *Options) any { return unlessZero(o.DPR) },
}

// Scaled returns the Options in pixels of the picture: DPR is applied to all lengths, and 0. AutoWidth stays: the
// client's density is in it.
func (o Options) Scaled() Options {
	if o.DPR == 0 {
		return o
	}
	scaled := func(length, least, most int) int {
		if length <= 0 {
			return length
		}
		return min(max(int(math.Round(float64(length)*o.DPR)), least), most)
	}
	o.Width, o.Height = scaled(o.Width, 1, MaxOptionSide), scaled(o.Height, 1, MaxOptionSide)
	for _, side := range o.Trim.lengths() {
		*side = scaled(*side, 0, MaxOptionSide)
	}
	for _, size := range []*int{&o.Trim.Width, &o.Trim.Height} {
		*size = scaled(*size, 1, MaxOptionSide)
	}
	for _, side := range o.Border.sides() {
		*side = scaled(*side, 0, MaxBorder)
	}
	o.DPR = 0
	return o
}
