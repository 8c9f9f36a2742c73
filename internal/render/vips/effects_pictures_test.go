package vips

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// withOptions parses options.
func withOptions(t testing.TB, text string) render.Options {
	t.Helper()
	o, err := render.ParseOptions(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// effects has each way in which pixels are computed.
var effects = []string{"brightness=1.3,contrast=0.8,gamma=1.2,saturation=0.4", "saturation=0", "sharpen=4", "blur=2", "blur=20",
	"blur=250,sharpen=1,brightness=1.1"}

// TestEffectsOnEdges: the hidden colours of transparent pixels do not appear, and alpha stays.
func TestEffectsOnEdges(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 61, 47))
	for y := range 47 {
		for x := range 61 {
			c := color.NRGBA{0, 255, 0, 0} // hidden green
			switch {
			case x >= 40:
				c = color.NRGBA{200, 40, 40, 255}
			case x >= 30:
				c = color.NRGBA{200, 40, 40, 90}
			case x == 7 && y == 7:
				c = color.NRGBA{30, 30, 220, 255} // a blue island
			}
			m.SetNRGBA(x, y, c)
		}
	}
	data := encodePNG(t, m)
	for _, text := range []string{"sharpen=10", "blur=1", "blur=4.5", "blur=5", "blur=250"} {
		got := pictureOf(t, data, withOptions(t, text))
		for y := range 47 {
			for x := range 61 {
				a, b := m.NRGBAAt(x, y), got.NRGBAAt(x, y)
				if a.A != b.A {
					t.Fatalf("%s: alpha at %d,%d is %d, was %d", text, x, y, b.A, a.A)
				}
				// Red stays as it is, mixed with a little of the island's blue by a large blur.
				if a.A > 0 && b.G > 45 || x >= 30 && (b.R < 195 || b.B > 48) {
					t.Fatalf("%s: the colour at %d,%d is %v, was %v", text, x, y, b, a)
				}
			}
		}
	}
}

// TestFlatColoursStay: a blur and a sharpen change nothing of a picture of one colour, of any size.
func TestFlatColoursStay(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {2, 1}, {1, 300}, {301, 1}, {3, 5}, {67, 131}, {200, 166}} {
		for _, c := range []color.NRGBA{{200, 120, 7, 255}, {255, 255, 255, 255}, {0, 0, 0, 255}, {200, 120, 7, 128}} {
			data := encodePNG(t, flat(size.X, size.Y, c))
			for _, text := range []string{"blur=0.001", "blur=1", "blur=4.5", "blur=4.501", "blur=33.3", "blur=250", "sharpen=10"} {
				got := pictureOf(t, data, withOptions(t, text))
				if got.Rect.Size() != size {
					t.Fatalf("%s of %v made %v", text, size, got.Rect)
				}
				for i := range size.X * size.Y {
					if p := got.NRGBAAt(i%size.X, i/size.X); p != c {
						t.Fatalf("%s of %v: %v at %d became %v", text, size, c, i, p)
					}
				}
			}
		}
	}
}

// TestBlurDoesNotShift: the middle of a blurred dot is the dot, and the blur is the same to all sides.
func TestBlurDoesNotShift(t *testing.T) {
	const middle = 150
	m := flat(2*middle+1, 2*middle+1, color.NRGBA{0, 0, 0, 255})
	draw.Draw(m, image.Rect(middle-20, middle-20, middle+21, middle+21), image.NewUniform(white), image.Point{}, draw.Src)
	data := encodePNG(t, m)
	for _, text := range []string{"blur=3", "blur=5", "blur=7.5", "blur=13", "blur=30"} {
		got := pictureOf(t, data, withOptions(t, text))
		sum, x, y := 0.0, 0.0, 0.0
		for i := range got.Rect.Dx() * got.Rect.Dy() {
			v := float64(got.Pix[4*i])
			sum, x, y = sum+v, x+v*float64(i%got.Rect.Dx()), y+v*float64(i/got.Rect.Dx())
		}
		if dx, dy := x/sum-middle, y/sum-middle; dx*dx+dy*dy > 0.1*0.1 {
			t.Errorf("%s: the middle moved by %.3f, %.3f", text, dx, dy)
		}
	}
}

// TestEffectsOfTurnedPictures: an effect is the same however the picture is stored.
func TestEffectsOfTurnedPictures(t *testing.T) {
	upright := eightBits(t, photograph(t))
	w, h := upright.Rect.Dx(), upright.Rect.Dy()
	o := withOptions(t, "blur=20,brightness=1.1,sharpen=1,height=100,width=101,fit=cover")
	in, header := fileOf(t, encodePNG(t, upright))
	want := eightBits(t, made(t, in, render.Job{Header: header, Options: o, Format: imagefile.PNG}))
	for orientation, at := range map[int]func(x, y int) (int, int){
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		6: func(x, y int) (int, int) { return y, w - 1 - x },
		8: func(x, y int) (int, int) { return h - 1 - y, x },
	} {
		size := image.Rect(0, 0, w, h)
		if orientation >= 5 {
			size = image.Rect(0, 0, h, w)
		}
		stored := image.NewNRGBA(size)
		for y := range h {
			for x := range w {
				sx, sy := at(x, y)
				stored.SetNRGBA(sx, sy, upright.NRGBAAt(x, y))
			}
		}
		in, header := fileOf(t, encodePNG(t, stored))
		header.Orientation = orientation
		got := eightBits(t, made(t, in, render.Job{Header: header, Options: o, Format: imagefile.PNG}))
		if db := psnr(t, got, want); db < 45 {
			t.Errorf("orientation %d: %.1f dB", orientation, db)
		}
	}
}

// TestEffectsOnAllKinds renders pictures of all kinds of pixels with each effect into all formats: what is red in the
// original is reddish, or grey.
func TestEffectsOnAllKinds(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: each effect on each kind of picture")
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 64, 48))
	draw.Draw(deep, deep.Bounds(), image.NewUniform(red), image.Point{}, draw.Src)
	plain16 := image.NewGray16(deep.Bounds())
	draw.Draw(plain16, plain16.Bounds(), image.NewUniform(grey), image.Point{}, draw.Src)
	palette := image.NewPaletted(deep.Bounds(), color.Palette{nothing, red})
	draw.Draw(palette, image.Rect(8, 8, 64, 48), image.NewUniform(red), image.Point{}, draw.Src)
	for name, data := range map[string][]byte{
		"16 bits": encodePNG(t, deep), "grey of 16 bits": encodePNG(t, plain16), "palette": encodePNG(t, palette),
		"JPEG": encodeJPEG(t, flat(64, 48, red)), "CMYK": cmyk(t), "profile": pngWith(t, flat(64, 48, red), iccp(profile("RGB "))),
	} {
		in, h := fileOf(t, data)
		for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.PNG, imagefile.WebP, imagefile.GIF} {
			for _, text := range effects {
				bytes := made(t, in, render.Job{Header: h, Options: withOptions(t, text), Format: f})
				out, made := fileOf(t, bytes)
				if made.Width != h.Width || made.Height != h.Height || made.Format != f {
					t.Fatalf("%s, %s as %s: %+v", name, text, f, made)
				}
				m := picture(t, out, made, whole)
				c := color.NRGBAModel.Convert(m.At(40, 30)).(color.NRGBA)
				if c.A < 250 || c.R < 60 || c.R < c.G || c.G > 180 {
					t.Errorf("%s, %s as %s: %v", name, text, f, c)
				}
			}
		}
	}
}

// cmyk is a JPEG of one reddish colour in CMYK, of 64 x 48 pixels.
func cmyk(t testing.TB) []byte {
	t.Helper()
	return magickTo(t, encodePNG(t, flat(64, 48, red)), "jpeg:", "-colorspace", "CMYK", "-quality", "95")
}

// TestEffectsOfAnimations: each frame has the effect, and none of its neighbours'.
func TestEffectsOfAnimations(t *testing.T) {
	in, h := fileOf(t, animation(t))
	for text, grey := range map[string]bool{"saturation=0": true, "blur=3": false, "blur=30": false, "sharpen=2": false} {
		g, err := gif.DecodeAll(bytes.NewReader(made(t, in,
			render.Job{Header: h, Options: withOptions(t, text), Format: imagefile.GIF})))
		if err != nil || len(g.Image) != 3 || g.Delay[1] != 10 {
			t.Fatalf("%s: %v", text, err)
		}
		canvas := image.NewNRGBA(image.Rect(0, 0, 60, 40))
		for i, want := range []color.NRGBA{red, green, blue} {
			draw.Draw(canvas, g.Image[i].Bounds(), g.Image[i], g.Image[i].Bounds().Min, draw.Over)
			if grey {
				l := uint8(0.2126*float64(want.R) + 0.7152*float64(want.G) + 0.0722*float64(want.B) + 0.5)
				want = color.NRGBA{l, l, l, 255}
			}
			if text != "blur=30" { // there the colours of the earlier frames reach everywhere
				wantAt(t, canvas, 2, 2, want, 12)
			}
			wantAt(t, canvas, 50, 30, nothing, 0)
		}
	}
}

// TestEffectsWhileDecoding renders pictures that are too large to be in memory, so effects read the rows as the decoder
// makes them, and turned ones.
func TestEffectsWhileDecoding(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: 24 megapixels")
	}
	whole := smooth(6000, 4000)
	for name, data := range map[string][]byte{"JPEG": encodeJPEG(t, whole), "PNG": encodePNG(t, whole)} {
		for _, orientation := range []int{1, 6} {
			in, h := fileOf(t, data)
			h.Orientation = orientation
			for _, text := range []string{"", "blur=1", "blur=10", "sharpen=1,saturation=0.5"} {
				_, got := fileOf(t, made(t, in, render.Job{Header: h, Options: withOptions(t, text), Format: imagefile.JPEG}))
				if w, hh := h.Shown(); got.Width != w || got.Height != hh {
					t.Errorf("%s, orientation %d, %q: %+v", name, orientation, text, got)
				}
			}
		}
	}
}

// TestBackgrounds: a background that is not opaque keeps transparency, is drawn on white in a JPEG, and is the same
// around a pad and under the picture. Effects do not change it.
func TestBackgrounds(t *testing.T) {
	halfBlue := color.NRGBA{30, 30, 220, 128}
	onWhite := color.NRGBA{142, 142, 237, 255}
	pictures := map[string][]byte{
		"opaque":      encodePNG(t, flat(40, 20, red)),
		"transparent": encodePNG(t, quarters(40, 20, [4]color.NRGBA{red, red, nothing, nothing})),
		"grey":        grayPNG(t, 40, 20),
	}
	for name, data := range pictures {
		in, h := fileOf(t, data)
		for _, c := range []struct {
			background string
			f          imagefile.Format
			bar, under color.NRGBA
		}{
			{"rgba(30,30,220,0.5)", imagefile.PNG, halfBlue, halfBlue},
			{"rgba(30,30,220,0.5)", imagefile.WebP, halfBlue, halfBlue},
			{"rgba(30,30,220,0.5)", imagefile.JPEG, onWhite, onWhite},
			{"transparent", imagefile.PNG, nothing, nothing},
			{"transparent", imagefile.WebP, nothing, nothing},
			{"transparent", imagefile.JPEG, white, white},
			{"hsl(240deg 76% 49%)", imagefile.PNG, blue, blue},
			{"hsl(240deg 76% 49%)", imagefile.JPEG, blue, blue},
		} {
			for _, effect := range []string{"", ",saturation=1.5", ",brightness=1.01", ",blur=1", ",sharpen=0.1"} {
				o := withOptions(t, "fit=pad,height=40,width=40,quality=100,background="+c.background+effect)
				bytes := made(t, in, render.Job{Header: h, Options: o, Format: c.f})
				out, made := fileOf(t, bytes)
				m := picture(t, out, made, render.Options{Fit: render.ScaleDown})
				tolerance := 14 // of JPEG and WebP, and of the effects on the edge
				wantAt(t, m, 20, 3, c.bar, tolerance)
				wantAt(t, m, 20, 37, c.bar, tolerance)
				if name == "transparent" {
					wantAt(t, m, 20, 27, c.under, tolerance)
				}
				if name != "grey" && effect == "" {
					wantAt(t, m, 20, 13, red, tolerance)
				}
				if t.Failed() {
					t.Fatalf("%s on %s%s as %s", name, c.background, effect, c.f)
				}
			}
		}
	}
}

// TestHalfTransparentOnHalfTransparent: opacities add up as light does.
func TestHalfTransparentOnHalfTransparent(t *testing.T) {
	data := encodePNG(t, flat(8, 8, color.NRGBA{200, 0, 0, 128}))
	got := pictureOf(t, data, withOptions(t, "background=rgba(0,0,200,0.5)"))
	wantAt(t, got, 4, 4, color.NRGBA{133, 0, 67, 192}, 2)
	got = pictureOf(t, data, withOptions(t, "background=transparent"))
	wantAt(t, got, 4, 4, color.NRGBA{200, 0, 0, 128}, 0)
}

func grayPNG(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = 128
	}
	return encodePNG(t, m)
}
