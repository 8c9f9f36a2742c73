package vips

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"math/rand/v2"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// This file has the options that move pixels without a change of their values: the results are exact.

// noise is a picture in which no two parts are equal.
func noise(w, h int) *image.NRGBA {
	r := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

// moved returns a picture of w x h pixels, each of which comes from a point of m.
func moved(m *image.NRGBA, w, h int, from func(x, y int) image.Point) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := from(x, y)
			out.SetNRGBA(x, y, m.NRGBAAt(p.X, p.Y))
		}
	}
	return out
}

func part(m *image.NRGBA, x, y, w, h int) *image.NRGBA {
	return moved(m, w, h, func(px, py int) image.Point { return image.Pt(px+x, py+y) })
}

// mirrored mirrors left and right, turned rotates by 90 degrees clockwise.
func mirrored(m *image.NRGBA) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	return moved(m, w, h, func(x, y int) image.Point { return image.Pt(w-1-x, y) })
}

func turned(m *image.NRGBA, times int) *image.NRGBA {
	for range times {
		h := m.Rect.Dy()
		m = moved(m, h, m.Rect.Dx(), func(x, y int) image.Point { return image.Pt(y, h-1-x) })
	}
	return m
}

// edged draws edges around a picture: top, right, bottom, left.
func edged(m *image.NRGBA, c color.NRGBA, e [4]int) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := flat(w+e[1]+e[3], h+e[0]+e[2], c)
	draw.Draw(out, image.Rect(e[3], e[0], e[3]+w, e[0]+h), m, image.Point{}, draw.Src)
	return out
}

// stored returns the picture that an EXIF orientation shows as m.
func stored(m *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return mirrored(m)
	case 3:
		return turned(m, 2)
	case 4:
		return mirrored(turned(m, 2))
	case 5:
		return mirrored(turned(m, 1))
	case 6:
		return turned(m, 3)
	case 7:
		return mirrored(turned(m, 3))
	case 8:
		return turned(m, 1)
	}
	return m
}

// movements are options, and what they do with an upright picture.
var movements = map[string]func(m *image.NRGBA) *image.NRGBA{
	"flip=h":             mirrored,
	"flip=v":             func(m *image.NRGBA) *image.NRGBA { return turned(mirrored(m), 2) },
	"flip=hv":            func(m *image.NRGBA) *image.NRGBA { return turned(m, 2) },
	"rotate=90":          func(m *image.NRGBA) *image.NRGBA { return turned(m, 1) },
	"rotate=180":         func(m *image.NRGBA) *image.NRGBA { return turned(m, 2) },
	"rotate=270":         func(m *image.NRGBA) *image.NRGBA { return turned(m, 3) },
	"flip=h,rotate=90":   func(m *image.NRGBA) *image.NRGBA { return turned(mirrored(m), 1) },
	"flip=v,rotate=270":  func(m *image.NRGBA) *image.NRGBA { return turned(mirrored(m), 1) },
	"flip=hv,rotate=180": func(m *image.NRGBA) *image.NRGBA { return m },
	"trim=1;2;3;4": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 4, 1, m.Rect.Dx()-6, m.Rect.Dy()-4)
	},
	"trim.left=5,trim.top=6,trim.width=17,trim.height=9": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 5, 6, 17, 9)
	},
	"trim.width=9999,trim.top=6": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 0, 6, m.Rect.Dx(), m.Rect.Dy()-6)
	},
	"dpr=2,trim=1;2;3;4": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 8, 2, m.Rect.Dx()-12, m.Rect.Dy()-8)
	},
	"trim=1;2;3;4,flip=h,rotate=90": func(m *image.NRGBA) *image.NRGBA {
		return turned(mirrored(part(m, 4, 1, m.Rect.Dx()-6, m.Rect.Dy()-4)), 1)
	},
	"border=%231eb41e;1;2;3;4": func(m *image.NRGBA) *image.NRGBA { return edged(m, green, [4]int{1, 2, 3, 4}) },
	"border=%231eb41e;3,rotate=90": func(m *image.NRGBA) *image.NRGBA {
		return edged(turned(m, 1), green, [4]int{3, 3, 3, 3})
	},
	"border=%231eb41e;1;0;0;2,dpr=2.5": func(m *image.NRGBA) *image.NRGBA {
		return edged(m, green, [4]int{3, 0, 0, 5})
	},
	"width=30,height=500,fit=crop": func(m *image.NRGBA) *image.NRGBA {
		return part(m, (m.Rect.Dx()-30)/2, 0, 30, m.Rect.Dy())
	},
	"width=30,height=500,fit=crop,gravity=left": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 0, 0, 30, m.Rect.Dy())
	},
	"width=500,height=20,fit=crop,gravity=bottom,rotate=90": func(m *image.NRGBA) *image.NRGBA {
		m = turned(m, 1)
		return part(m, 0, m.Rect.Dy()-20, m.Rect.Dx(), 20)
	},
	"width=500,height=20,fit=crop,gravity=0.5x0.25,trim=2;0;3;0": func(m *image.NRGBA) *image.NRGBA {
		return part(m, 0, 2+(m.Rect.Dy()-25)/4, m.Rect.Dx(), 20)
	},
	"width=61,height=80,fit=pad,gravity=bottom-right,background=%231eb41e": func(m *image.NRGBA) *image.NRGBA {
		return edged(m, green, [4]int{80 - m.Rect.Dy(), 0, 0, 61 - m.Rect.Dx()})
	},
	"width=61,height=70,fit=pad,gravity=0x0.5,background=%231eb41e,border=%231e1edc;5": func(
		m *image.NRGBA) *image.NRGBA {
		above := (70 - m.Rect.Dy()) / 2
		m = edged(m, green, [4]int{above, 61 - m.Rect.Dx(), 70 - m.Rect.Dy() - above, 0})
		return edged(m, blue, [4]int{5, 5, 5, 5})
	},
}

// TestMovements wants each pixel where it belongs, of odd sides and in all orientations.
func TestMovements(t *testing.T) {
	upright := noise(61, 43)
	for text, change := range movements {
		want := change(upright)
		o, err := render.ParseOptions(text)
		if err != nil {
			t.Fatal(err)
		}
		for orientation := 1; orientation <= 8; orientation++ {
			in, h := fileOf(t, encodePNG(t, stored(upright, orientation)))
			h.Orientation = orientation
			got := eightBits(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
			if got.Rect != want.Rect || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("%s, orientation %d: %v, want %v, or other pixels", text, orientation, got.Rect, want.Rect)
			}
		}
	}
}

// TestMovementsOfFrames: all frames of an animation move alike.
func TestMovementsOfFrames(t *testing.T) {
	for _, c := range []struct {
		text       string
		w, h       int
		x, y       int // where the frame's colour is
		outX, outY int // where the canvas without it is
	}{
		{"rotate=90", 40, 60, 35, 5, 5, 50},
		{"flip=h", 60, 40, 55, 5, 5, 35},
		{"flip=v,rotate=270", 40, 60, 35, 55, 5, 5},
		{"trim=0;40;20;0", 20, 20, 2, 2, -1, -1},
		{"fit=crop,width=500,height=20,gravity=top", 60, 20, 2, 2, 55, 10},
		{"border=%238080dc;4", 68, 48, 6, 6, 60, 40},
		{"trim=border", 60, 40, 2, 2, 55, 35},
		{"fit=cover,width=30,height=40,gravity=auto", 30, 40, 2, 2, 15, 35},
	} {
		o, err := render.ParseOptions(c.text)
		if err != nil {
			t.Fatal(err)
		}
		in, h := fileOf(t, animation(t))
		for _, f := range []imagefile.Format{imagefile.GIF, imagefile.WebP} {
			data := made(t, in, render.Job{Header: h, Options: o, Format: f})
			out, header := fileOf(t, data)
			if header.Frames != 3 || header.Width != c.w || header.Height != c.h {
				t.Errorf("%s: %s of %d frames, %d x %d", c.text, f, header.Frames, header.Width, header.Height)
				continue
			}
			if f != imagefile.GIF { // again as GIF, whose frames Go decodes
				data = made(t, out, render.Job{Header: header, Options: whole, Format: imagefile.GIF})
			}
			g, err := gif.DecodeAll(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			canvas := image.NewNRGBA(image.Rect(0, 0, c.w, c.h))
			for i, want := range []color.NRGBA{red, green, blue} {
				draw.Draw(canvas, g.Image[i].Bounds(), g.Image[i], g.Image[i].Bounds().Min, draw.Over)
				wantAt(t, canvas, c.x, c.y, want, 24)
				if c.outX >= 0 {
					wantAt(t, canvas, c.outX, c.outY, nothing, 12)
				}
			}
		}
	}
}

// TestTrimBorder cuts off edges of one colour, however the picture is stored, and nothing of a picture without
// edges or of one colour only.
func TestTrimBorder(t *testing.T) {
	inner := noise(31, 23)
	for i := range 31 { // so that each side has a pixel which is far from all colours of edges
		inner.SetNRGBA(i, 0, green)
		inner.SetNRGBA(i, 22, green)
	}
	for i := range 23 {
		inner.SetNRGBA(0, i, green)
		inner.SetNRGBA(30, i, green)
	}
	almost := edged(inner, color.NRGBA{250, 250, 250, 255}, [4]int{7, 5, 3, 2})
	almost.SetNRGBA(0, 3, color.NRGBA{241, 255, 250, 255})
	for name, c := range map[string]struct {
		m, want *image.NRGBA
		text    string
	}{
		"white edges": {edged(inner, white, [4]int{7, 5, 3, 2}), inner, "trim=border"},
		"another edge": {edged(inner, red, [4]int{0, 0, 4, 0}), part(edged(inner, red, [4]int{0, 0, 4, 0}), 0, 1, 31, 26),
			"trim=border"},
		"one edge, named": {edged(inner, red, [4]int{0, 0, 4, 0}), inner, "trim=border;%23dc1e1e;5;0"},
		"another colour": {edged(inner, white, [4]int{1, 1, 1, 1}), edged(inner, white, [4]int{1, 1, 1, 1}),
			"trim=border;%23dc1e1e;5;0"},
		"almost":  {almost, inner, "trim=border"},
		"exactly": {almost, part(almost, 0, 3, 33, 27), "trim=border;;5;0"},
		"kept": {edged(inner, white, [4]int{7, 5, 3, 2}), edged(inner, white, [4]int{4, 4, 3, 2}),
			"trim=border;;0;4"},
		"the last pixel differs": {edged(edged(inner, white, [4]int{7, 5, 3, 2}), red, [4]int{0, 0, 1, 0}),
			part(edged(edged(inner, white, [4]int{7, 5, 3, 2}), red, [4]int{0, 0, 1, 0}), 0, 7, 38, 27), "trim=border"},
		"nothing else": {flat(20, 10, blue), flat(20, 10, blue), "trim=border"},
		"transparent":  {edged(inner, nothing, [4]int{7, 5, 3, 2}), inner, "trim=border"},
		"then rotated": {edged(inner, white, [4]int{7, 5, 3, 2}), turned(mirrored(inner), 1),
			"trim=border,flip=h,rotate=90"},
	} {
		o, err := render.ParseOptions(c.text)
		if err != nil {
			t.Fatal(err)
		}
		for orientation := 1; orientation <= 8; orientation++ {
			m := stored(c.m, orientation)
			in, h := fileOf(t, encodePNG(t, m))
			h.Orientation = orientation
			got := eightBits(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
			if got.Rect != c.want.Rect || !bytes.Equal(got.Pix, c.want.Pix) {
				t.Errorf("%s, orientation %d: %v, want %v, or other pixels", name, orientation, got.Rect, c.want.Rect)
			}
		}
	}
}

// TestTrimThenShrink: a decoder that shrinks a JPEG or a WebP finds the same part as one that does not.
func TestTrimThenShrink(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 1203, 807))
	draw.Draw(m, m.Rect, smooth(1203, 807), image.Point{}, draw.Src)
	for _, trim := range []string{"8;16;24;32", "3;8;4;8", "7;5;9;11"} {
		o, err := render.ParseOptions("width=100,trim=" + trim)
		if err != nil {
			t.Fatal(err)
		}
		var n [4]int
		if _, err := fmt.Sscanf(strings.ReplaceAll(trim, ";", " "), "%d%d%d%d", &n[0], &n[1], &n[2], &n[3]); err != nil {
			t.Fatal(err)
		}
		want := pictureOf(t, encodePNG(t, part(m, n[3], n[0], 1203-n[1]-n[3], 807-n[0]-n[2])),
			render.Options{Width: 100, Fit: render.ScaleDown})
		in, h := fileOf(t, encodedJPEG(t, m))
		webp := made(t, in, render.Job{Header: h, Format: imagefile.WebP,
			Options: render.Options{Fit: render.ScaleDown, Quality: 100}})
		for name, data := range map[string][]byte{"JPEG": encodedJPEG(t, m), "WebP": webp} {
			if d := distance(t, want, pictureOf(t, data, o)); d > 1 {
				t.Errorf("%s, trim=%s: differs by %.2f", name, trim, d)
			}
		}
	}
}
