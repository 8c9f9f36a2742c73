package vips

import (
	"image"
	"image/color"
	"math"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestMoire: stripes finer than what is left of them come out grey, at sizes to which a decoder could
// shrink by itself too.
func TestMoire(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 960, 540))
	for y := range 540 {
		for x := range 960 {
			fx, fy := float64(x), float64(y)
			v := 127 + 100*math.Sin(2*math.Pi*(fx+0.12*fy)/(3+3*fy/540))
			m.SetGray(x, y, color.Gray{Y: uint8(v)})
		}
	}
	in, h := fileOf(t, encodedJPEG(t, m))
	webIn, webH := fileOf(t, made(t, in, render.Job{Header: h, Format: imagefile.WebP,
		Options: render.Options{Fit: render.ScaleDown, Quality: 95}}))
	for _, width := range []int{240, 120} {
		o := render.Options{Width: width, Fit: render.ScaleDown}
		jpeg := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG})
		webp := made(t, webIn, render.Job{Header: webH, Options: o, Format: imagefile.PNG})
		for name, data := range map[string][]byte{"JPEG": jpeg, "WebP": webp} {
			if d := deviation(eightBits(t, data)); d > 5 {
				t.Errorf("%s, %d wide: greys deviate by %.1f", name, width, d)
			}
		}
	}
}

// deviation is the standard deviation of the greens.
func deviation(m *image.NRGBA) float64 {
	var sum, squares, n float64
	for i := 1; i < len(m.Pix); i += 4 {
		v := float64(m.Pix[i])
		sum, squares, n = sum+v, squares+v*v, n+1
	}
	return math.Sqrt(squares/n - sum*sum/n/n)
}

// TestHiddenColours: the colour of transparent pixels of a WebP does not show at the edges of others
// when it is made smaller.
func TestHiddenColours(t *testing.T) {
	m := flat(512, 512, color.NRGBA{0, 255, 0, 0})
	for y := range 512 {
		for x := range 512 {
			if (x-256)*(x-256)+(y-256)*(y-256) < 200*200 {
				m.SetNRGBA(x, y, color.NRGBA{220, 20, 20, 255})
			}
		}
	}
	in, h := fileOf(t, encodePNG(t, m))
	webp := made(t, in, render.Job{Header: h, Format: imagefile.WebP,
		Options: render.Options{Fit: render.ScaleDown, Quality: 90}})
	full := pictureOf(t, webp, whole)
	for _, width := range []int{64, 60, 100} {
		got := pictureOf(t, webp, render.Options{Width: width, Fit: render.ScaleDown})
		if g, want := edgeGreen(got), edgeGreen(averaged(full, width)); g > want+15 {
			t.Errorf("%d wide: the edge has a green of %.0f, by averages %.0f", width, g, want)
		}
	}
}

// edgeGreen is the mean green of pixels that are partly transparent.
func edgeGreen(m *image.NRGBA) float64 {
	sum, n := 0.0, 0.0
	for i := 0; i < len(m.Pix); i += 4 {
		if a := m.Pix[i+3]; a > 8 && a < 250 {
			sum, n = sum+float64(m.Pix[i+1]), n+1
		}
	}
	return sum / n
}

// averaged shrinks a square picture by the means of premultiplied pixels.
func averaged(m *image.NRGBA, width int) *image.NRGBA {
	out, size := image.NewNRGBA(image.Rect(0, 0, width, width)), m.Rect.Dx()
	for y := range width {
		for x := range width {
			var r, g, b, a, n float64
			for sy := y * size / width; sy < (y+1)*size/width; sy++ {
				for sx := x * size / width; sx < (x+1)*size/width; sx++ {
					c := m.NRGBAAt(sx, sy)
					w := float64(c.A)
					r, g, b = r+w*float64(c.R), g+w*float64(c.G), b+w*float64(c.B)
					a, n = a+w, n+1
				}
			}
			if a > 0 {
				out.SetNRGBA(x, y, color.NRGBA{uint8(r / a), uint8(g / a), uint8(b / a), uint8(a / n)})
			}
		}
	}
	return out
}

// TestPadOfTransparency: the bars around a transparent picture are transparent, unless a background
// is asked for or the format has no transparency.
func TestPadOfTransparency(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, flat(40, 20, color.NRGBA{200, 30, 30, 128})))
	for _, c := range []struct {
		f          imagefile.Format
		background string
		want       color.NRGBA
	}{
		{imagefile.PNG, "", nothing}, {imagefile.PNG, "#1e1edc", blue}, {imagefile.JPEG, "", white},
	} {
		o := render.Options{Width: 40, Height: 40, Fit: render.Pad, Background: c.background}
		m := decode(t, made(t, in, render.Job{Header: h, Options: o, Format: c.f}))
		wantAt(t, m, 20, 2, c.want, 12)
	}
}

// TestCoverByALine: a line of one pixel covers a box, in all orientations.
func TestCoverByALine(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 1, 12_000))
	for y := range 12_000 {
		c := red
		if y >= 6000 {
			c = blue
		}
		m.SetNRGBA(0, y, c)
	}
	in, h := fileOf(t, encodePNG(t, m))
	for o, at := range map[int][2]image.Point{
		1: {{100, 5}, {100, 195}}, 3: {{100, 195}, {100, 5}}, 6: {{195, 100}, {5, 100}},
		8: {{5, 100}, {195, 100}},
	} {
		h.Orientation = o
		m := picture(t, in, h, render.Options{Width: 200, Height: 200, Fit: render.Cover})
		if m.Bounds().Dx() != 200 || m.Bounds().Dy() != 200 {
			t.Fatalf("orientation %d: %v", o, m.Bounds())
		}
		wantAt(t, m, at[0].X, at[0].Y, red, 3)
		wantAt(t, m, at[1].X, at[1].Y, blue, 3)
	}
}

// TestCropOfATurnedPicture: what is cut out of a picture is the same however it is stored.
func TestCropOfATurnedPicture(t *testing.T) {
	upright := image.NewNRGBA(image.Rect(0, 0, 61, 40))
	for y := range 40 {
		for x := range 61 {
			upright.SetNRGBA(x, y, color.NRGBA{uint8(4 * x), uint8(6 * y), 99, 255})
		}
	}
	o := render.Options{Width: 30, Height: 40, Fit: render.Cover}
	in, h := fileOf(t, encodePNG(t, upright))
	want := picture(t, in, h, o)
	for orientation := 2; orientation <= 8; orientation++ {
		stored := image.NewNRGBA(image.Rect(0, 0, 61, 40))
		if orientation >= 5 {
			stored = image.NewNRGBA(image.Rect(0, 0, 40, 61))
		}
		for y := range 40 {
			for x := range 61 {
				p := map[int]image.Point{
					2: {60 - x, y}, 3: {60 - x, 39 - y}, 4: {x, 39 - y}, 5: {y, x},
					6: {y, 60 - x}, 7: {39 - y, 60 - x}, 8: {39 - y, x},
				}[orientation]
				stored.Set(p.X, p.Y, upright.At(x, y))
			}
		}
		in, h := fileOf(t, encodePNG(t, stored))
		h.Orientation = orientation
		if d := distance(t, want, picture(t, in, h, o)); d > 0 {
			t.Errorf("orientation %d differs by %.2f", orientation, d)
		}
	}
}

// TestTinyThumbhash: the hash of a picture of few pixels is that of a large one of the same colours.
func TestTinyThumbhash(t *testing.T) {
	large, err := examined(t, encodePNG(t, flat(64, 64, green)))
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []int{1, 2, 3} {
		f, err := examined(t, encodePNG(t, flat(side, side, green)))
		if err != nil || string(f.Thumbhash[:3]) != string(large.Thumbhash[:3]) {
			t.Errorf("of %d x %d pixels: %x, %v, want %x", side, side, f.Thumbhash, err, large.Thumbhash)
		}
	}
}
