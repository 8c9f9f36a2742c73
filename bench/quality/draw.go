package main

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
)

// drawings is the number of drawings, and of screenshots.
const drawings = 12

// made is the size of drawings and screenshots; their renditions have half of it.
const madeWidth, madeHeight = 2 * width, 2 * height

func colour(random *rand.Rand) color.NRGBA {
	return color.NRGBA{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256)), 255}
}

// drawing makes coloured circles with outlines, of which some have a gradient.
func drawing(seed int) image.Image {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	m := image.NewNRGBA(image.Rect(0, 0, madeWidth, madeHeight))
	draw.Draw(m, m.Rect, image.NewUniform(color.NRGBA{250, 246, 235, 255}), image.Point{}, draw.Src)
	for range 8 + 4*seed {
		circle(m, random)
	}
	return m
}

func circle(m *image.NRGBA, random *rand.Rand) {
	x, y, radius := random.Float64()*madeWidth, random.Float64()*madeHeight, 20+random.Float64()*180
	outline, inside, shaded := 2+random.Float64()*6, colour(random), random.IntN(3) == 0
	for row := int(y - radius - 1); row <= int(y+radius+1); row++ {
		for column := int(x - radius - 1); column <= int(x+radius+1); column++ {
			far := math.Hypot(float64(column)-x, float64(row)-y)
			c := inside
			if shaded {
				light := 1 - 0.5*far/radius
				dim := func(v uint8) uint8 { return uint8(float64(v) * light) }
				c = color.NRGBA{dim(c.R), dim(c.G), dim(c.B), 255}
			}
			if far > radius-outline {
				c = color.NRGBA{30, 30, 40, 255}
			}
			if far < radius && image.Pt(column, row).In(m.Rect) {
				m.SetNRGBA(column, row, c)
			}
		}
	}
}

// screenshot makes a page: a bar, boxes and lines of small dark or coloured signs on a light ground.
func screenshot(seed int) image.Image {
	random := rand.New(rand.NewPCG(uint64(seed), 2))
	m := image.NewNRGBA(image.Rect(0, 0, madeWidth, madeHeight))
	fill := func(r image.Rectangle, c color.Color) { draw.Draw(m, r, image.NewUniform(c), image.Point{}, draw.Src) }
	fill(m.Rect, color.White)
	fill(image.Rect(0, 0, madeWidth, 60), colour(random))
	for range 6 {
		x, y := random.IntN(madeWidth), 80+random.IntN(madeHeight)
		fill(image.Rect(x, y, x+60+random.IntN(300), y+40+random.IntN(100)), colour(random))
	}
	for y := 80; y < madeHeight-20; y += 30 {
		ink := color.NRGBA{40, 40, 40, 255}
		if random.IntN(5) == 0 {
			ink = colour(random)
		}
		for x := 30; x < madeWidth-400+random.IntN(370); x += 14 {
			if random.IntN(6) > 0 {
				sign(fill, random, x, y, ink)
			}
		}
	}
	return m
}

// sign draws strokes of 2 pixels in a box of 10 x 18.
func sign(fill func(image.Rectangle, color.Color), random *rand.Rand, x, y int, ink color.Color) {
	for range 2 + random.IntN(3) {
		if random.IntN(2) == 0 {
			top := y + random.IntN(9)
			left := x + 4*random.IntN(3)
			fill(image.Rect(left, top, left+2, top+9), ink)
		} else {
			top := y + 4*random.IntN(4)
			fill(image.Rect(x, top, x+10, top+2), ink)
		}
	}
}
