package vips

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// gifOf encodes an animation on a screen of w x h pixels, which may be smaller than its frames.
func gifOf(t testing.TB, w, h int, disposal byte, frames ...*image.Paletted) []byte {
	t.Helper()
	g := gif.GIF{Image: frames, Config: image.Config{ColorModel: frames[0].Palette}}
	for _, f := range frames {
		g.Delay = append(g.Delay, 10)
		g.Disposal = append(g.Disposal, disposal)
		g.Config.Width = max(g.Config.Width, f.Rect.Max.X)
		g.Config.Height = max(g.Config.Height, f.Rect.Max.Y)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	binary.LittleEndian.PutUint16(data[6:], uint16(w))
	binary.LittleEndian.PutUint16(data[8:], uint16(h))
	return data
}

var colours = color.Palette{red, green, blue, white}

// frameOf is a frame at a place, of one colour of the palette.
func frameOf(x, y, w, h int, p color.Palette, colour uint8) *image.Paletted {
	m := image.NewPaletted(image.Rect(x, y, x+w, y+h), p)
	for i := range m.Pix {
		m.Pix[i] = colour
	}
	return m
}

// TestUncovered: what no frame of a GIF covers is transparent, in stills and animations, also where a
// frame is cleared away.
func TestUncovered(t *testing.T) {
	still := gifOf(t, 100, 100, 0, frameOf(25, 25, 48, 48, colours, 0))
	m := pictureOf(t, still, whole)
	wantAt(t, m, 5, 5, nothing, 0)
	wantAt(t, m, 50, 50, red, 0)
	if f, err := examined(t, still); err != nil || !f.Alpha {
		t.Errorf("properties %+v, %v", f, err)
	}
	many := make(color.Palette, 256)
	for i := range many {
		many[i] = color.NRGBA{uint8(i), 40, 80, 255}
	}
	for name, c := range map[string]struct {
		palette  color.Palette
		disposal byte
	}{
		"kept": {colours, gif.DisposalNone}, "cleared": {colours, gif.DisposalBackground},
		"256 colours, cleared": {many, gif.DisposalBackground},
	} {
		data := gifOf(t, 100, 100, c.disposal, frameOf(10, 10, 20, 20, c.palette, 1),
			frameOf(50, 50, 20, 20, c.palette, 2))
		in, h := fileOf(t, data)
		if h.Frames != 2 {
			t.Fatalf("%s: %+v", name, h)
		}
		out := made(t, in, render.Job{Header: h, Format: imagefile.GIF})
		g, err := gif.DecodeAll(bytes.NewReader(out))
		if err != nil || len(g.Image) != 2 {
			t.Fatalf("%s: %d frames, %v", name, len(g.Image), err)
		}
		shown := shownFrames(g)
		wantAt(t, shown[0], 5, 5, nothing, 0)
		wantAt(t, shown[0], 20, 20, color.NRGBAModel.Convert(c.palette[1]).(color.NRGBA), 12)
		wantAt(t, shown[1], 95, 95, nothing, 0)
		wantAt(t, shown[1], 60, 60, color.NRGBAModel.Convert(c.palette[2]).(color.NRGBA), 12)
		if c.disposal == gif.DisposalBackground {
			wantAt(t, shown[1], 20, 20, nothing, 0)
		}
		if t.Failed() {
			t.Fatalf("wrong picture of %s", name)
		}
	}
}

// shownFrames draws what is seen of each frame.
func shownFrames(g *gif.GIF) (shown []*image.NRGBA) {
	canvas := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	for i, f := range g.Image {
		for y := f.Rect.Min.Y; y < f.Rect.Max.Y; y++ {
			for x := f.Rect.Min.X; x < f.Rect.Max.X; x++ {
				if c := color.NRGBAModel.Convert(f.At(x, y)).(color.NRGBA); c.A > 0 {
					canvas.SetNRGBA(x, y, c)
				}
			}
		}
		seen := image.NewNRGBA(canvas.Rect)
		copy(seen.Pix, canvas.Pix)
		shown = append(shown, seen)
		if g.Disposal[i] == gif.DisposalBackground {
			for y := f.Rect.Min.Y; y < f.Rect.Max.Y; y++ {
				for x := f.Rect.Min.X; x < f.Rect.Max.X; x++ {
					canvas.SetNRGBA(x, y, nothing)
				}
			}
		}
	}
	return shown
}

// TestCanvas: the first frame enlarges the screen of a GIF, the others are clipped by it.
func TestCanvas(t *testing.T) {
	for _, c := range []struct {
		screenW, screenH int
		frames           []*image.Paletted
		w, h             int
	}{
		{32, 32, []*image.Paletted{frameOf(0, 0, 32, 32, colours, 0),
			frameOf(16, 16, 32, 32, colours, 1)}, 32, 32},
		{32, 32, []*image.Paletted{frameOf(0, 0, 64, 48, colours, 0),
			frameOf(16, 16, 32, 32, colours, 1)}, 64, 48},
		{0, 0, []*image.Paletted{frameOf(0, 0, 64, 48, colours, 0)}, 64, 48},
		{0, 0, []*image.Paletted{frameOf(0, 0, 64, 48, colours, 0),
			frameOf(0, 0, 64, 48, colours, 1)}, 64, 48},
	} {
		data := gifOf(t, c.screenW, c.screenH, 0, c.frames...)
		in, h := fileOf(t, data)
		f, err := newEngine(t).Examine(in, h)
		if err != nil || f.Width != c.w || f.Height != c.h || f.Frames != len(c.frames) {
			t.Errorf("%+v: properties %+v, %v", c, f, err)
		}
		got, err := gif.DecodeAll(bytes.NewReader(made(t, in,
			render.Job{Header: h, Format: imagefile.GIF})))
		if err != nil || got.Config.Width != c.w || len(got.Image) != len(c.frames) {
			t.Fatalf("%+v: %v, %v", c, got.Config, err)
		}
		wantAt(t, shownFrames(got)[0], 3, 3, red, 3)
		if len(c.frames) > 1 {
			wantAt(t, shownFrames(got)[1], 20, 20, green, 3)
		}
	}
}

// TestStrayZeros: zero bytes between the blocks of a GIF, or for its trailer, hide no frame.
func TestStrayZeros(t *testing.T) {
	data := gifOf(t, 32, 32, 0, frameOf(0, 0, 32, 32, colours, 0), frameOf(0, 0, 32, 32, colours, 1))
	end := len(data) - 1
	for name, c := range map[string][]byte{
		"before the trailer": insert(data, end, []byte{0}),
		"for the trailer":    append(bytes.Clone(data[:end]), make([]byte, 20)...),
		"between frames": insert(data, bytes.LastIndex(data, []byte("\x21\xf9\x04")),
			[]byte{0, 0}),
	} {
		if f, err := examined(t, c); err != nil || f.Frames != 2 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		wantAt(t, pictureOf(t, c, whole), 3, 3, red, 0)
	}
}

// TestNewPalette: a scaled or padded picture gets a new palette.
func TestNewPalette(t *testing.T) {
	blues := color.Palette{color.NRGBA{0, 0, 64, 255}, color.NRGBA{0, 0, 128, 255},
		color.NRGBA{0, 0, 192, 255}, color.NRGBA{0, 0, 255, 255}}
	in, h := fileOf(t, gifOf(t, 64, 64, 0, frameOf(0, 0, 64, 64, blues, 1),
		frameOf(0, 0, 64, 64, blues, 2)))
	for background, want := range map[string]color.NRGBA{"#ff0000": {255, 0, 0, 255}, "": white} {
		o := render.Options{Width: 128, Height: 64, Fit: render.Pad, Background: background}
		g, err := gif.DecodeAll(bytes.NewReader(made(t, in,
			render.Job{Header: h, Options: o, Format: imagefile.GIF})))
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range shownFrames(g) {
			wantAt(t, m, 5, 5, want, 3)
			wantAt(t, m, 64, 32, blues[i+1].(color.NRGBA), 6)
		}
	}
	var discs []*image.Paletted
	for i := range 2 {
		m := frameOf(0, 0, 128, 128, color.Palette{color.Black, color.White}, 0)
		for y := range 128 {
			for x := range 128 {
				if r := 40 + 4*i; (x-64)*(x-64)+(y-64)*(y-64) < r*r {
					m.SetColorIndex(x, y, 1)
				}
			}
		}
		discs = append(discs, m)
	}
	in, h = fileOf(t, gifOf(t, 128, 128, 0, discs...))
	g, err := gif.DecodeAll(bytes.NewReader(made(t, in, render.Job{
		Header: h, Options: render.Options{Width: 48, Fit: render.ScaleDown}, Format: imagefile.GIF,
	})))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[color.NRGBA]bool{}
	for _, m := range shownFrames(g)[:1] {
		for i := 0; i < len(m.Pix); i += 4 {
			seen[color.NRGBA{m.Pix[i], m.Pix[i+1], m.Pix[i+2], 255}] = true
		}
	}
	if len(seen) < 16 {
		t.Errorf("a scaled disc has %d greys", len(seen))
	}
}

// TestEqualFrames: a GIF has all frames of its original, also those that are equal to the frame before them.
func TestEqualFrames(t *testing.T) {
	still := image.NewPaletted(image.Rect(0, 0, 40, 40), color.Palette{red, blue})
	in, h := fileOf(t, gifOf(t, 40, 40, gif.DisposalNone, still, still, still, still))
	o := render.Options{Width: 20, Fit: render.ScaleDown}
	if _, got := fileOf(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.GIF})); got.Frames != 4 {
		t.Errorf("%d frames of 4", got.Frames)
	}
}
