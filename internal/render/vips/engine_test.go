package vips

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// libvips starts once in a process.
var startOnce = sync.OnceValues(New)

func newEngine(t testing.TB) *engine {
	t.Helper()
	e, err := startOnce()
	if err != nil {
		t.Fatal(err)
	}
	return e.(*engine)
}

// fileOf writes a picture into a file and reads its header.
func fileOf(t testing.TB, data []byte) (*os.File, imagefile.Header) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	h, err := imagefile.ReadHeader(f, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f, h
}

// made renders a job and returns the bytes.
func made(t testing.TB, in *os.File, j render.Job) []byte {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := newEngine(t).Render(in, out, j); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// picture renders a job to PNG and decodes that.
func picture(t testing.TB, in *os.File, h imagefile.Header, o render.Options) image.Image {
	t.Helper()
	return decode(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
}

func decode(t testing.TB, data []byte) image.Image {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	red     = color.NRGBA{220, 30, 30, 255}
	green   = color.NRGBA{30, 180, 30, 255}
	blue    = color.NRGBA{30, 30, 220, 255}
	grey    = color.NRGBA{128, 128, 128, 255}
	white   = color.NRGBA{255, 255, 255, 255}
	nothing = color.NRGBA{}
)

// quarters has a colour in each quarter: top left, top right, bottom left, bottom right.
func quarters(w, h int, c [4]color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, at := range []image.Rectangle{
		image.Rect(0, 0, w/2, h/2), image.Rect(w/2, 0, w, h/2),
		image.Rect(0, h/2, w/2, h), image.Rect(w/2, h/2, w, h),
	} {
		draw.Draw(m, at, image.NewUniform(c[i]), image.Point{}, draw.Src)
	}
	return m
}

// wantAt compares one pixel, with some tolerance in each channel.
func wantAt(t *testing.T, m image.Image, x, y int, want color.NRGBA, tolerance int) {
	t.Helper()
	got := color.NRGBAModel.Convert(m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y)).(color.NRGBA)
	if want.A == 0 && got.A == 0 {
		return
	}
	for _, d := range []int{
		int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B),
		int(got.A) - int(want.A),
	} {
		if d > tolerance || d < -tolerance {
			t.Errorf("pixel %d, %d is %v, want %v", x, y, got, want)
			return
		}
	}
}

func TestFits(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, quarters(400, 200, [4]color.NRGBA{red, green, blue, grey})))
	for _, c := range []struct {
		o    render.Options
		w, h int
		at   map[image.Point]color.NRGBA
	}{
		{render.Options{Width: 100, Height: 100, Fit: render.ScaleDown}, 100, 50,
			map[image.Point]color.NRGBA{{5, 5}: red, {95, 5}: green, {5, 45}: blue, {95, 45}: grey}},
		{render.Options{Width: 800, Height: 800, Fit: render.ScaleDown}, 400, 200, nil},
		{render.Options{Width: 800, Height: 800, Fit: render.Contain}, 800, 400,
			map[image.Point]color.NRGBA{{5, 5}: red, {790, 390}: grey}},
		{render.Options{Width: 100, Height: 100, Fit: render.Cover}, 100, 100,
			map[image.Point]color.NRGBA{{5, 5}: red, {95, 5}: green, {5, 95}: blue, {95, 95}: grey}},
		{render.Options{Width: 50, Height: 200, Fit: render.Crop}, 50, 200,
			map[image.Point]color.NRGBA{{5, 5}: red, {45, 5}: green, {5, 195}: blue}},
		{render.Options{Width: 100, Height: 100, Fit: render.Pad}, 100, 100,
			map[image.Point]color.NRGBA{{5, 5}: white, {5, 35}: red, {95, 70}: grey, {5, 95}: white}},
		{render.Options{Width: 100, Height: 100, Fit: render.Pad, Background: "#1e1edc"}, 100, 100,
			map[image.Point]color.NRGBA{{5, 5}: blue, {5, 35}: red, {95, 95}: blue}},
	} {
		m := picture(t, in, h, c.o)
		if m.Bounds().Dx() != c.w || m.Bounds().Dy() != c.h {
			t.Errorf("%+v made %v, want %dx%d", c.o, m.Bounds(), c.w, c.h)
			continue
		}
		for p, want := range c.at {
			wantAt(t, m, p.X, p.Y, want, 3)
		}
	}
}

// TestOrientation stores one picture in the eight ways that EXIF knows. Upright they are all the
// same.
func TestOrientation(t *testing.T) {
	const w, h = 60, 40
	upright := quarters(w, h, [4]color.NRGBA{red, green, blue, grey})
	for o := 1; o <= 8; o++ {
		sw, sh := w, h
		if o >= 5 {
			sw, sh = h, w
		}
		stored := image.NewNRGBA(image.Rect(0, 0, sw, sh))
		for y := range sh {
			for x := range sw {
				ux, uy := map[int][2]int{
					1: {x, y}, 2: {w - 1 - x, y}, 3: {w - 1 - x, h - 1 - y}, 4: {x, h - 1 - y},
					5: {y, x}, 6: {w - 1 - y, x}, 7: {w - 1 - y, h - 1 - x}, 8: {y, h - 1 - x},
				}[o][0], map[int][2]int{
					1: {x, y}, 2: {w - 1 - x, y}, 3: {w - 1 - x, h - 1 - y}, 4: {x, h - 1 - y},
					5: {y, x}, 6: {w - 1 - y, x}, 7: {w - 1 - y, h - 1 - x}, 8: {y, h - 1 - x},
				}[o][1]
				stored.Set(x, y, upright.At(ux, uy))
			}
		}
		in, header := fileOf(t, encodePNG(t, stored))
		header.Orientation = o
		m := picture(t, in, header, render.Options{Width: 30, Fit: render.ScaleDown})
		if m.Bounds().Dx() != 30 || m.Bounds().Dy() != 20 {
			t.Errorf("orientation %d: %v", o, m.Bounds())
			continue
		}
		wantAt(t, m, 3, 3, red, 3)
		wantAt(t, m, 26, 3, green, 3)
		wantAt(t, m, 3, 16, blue, 3)
		wantAt(t, m, 26, 16, grey, 3)
		properties, err := newEngine(t).Examine(in, header)
		if err != nil || properties.Width != w || properties.Height != h {
			t.Errorf("orientation %d: %+v, %v", o, properties, err)
		}
	}
}

func TestTransparency(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, quarters(200, 200, [4]color.NRGBA{red, nothing, nothing, blue})))
	m := picture(t, in, h, render.Options{Width: 50, Fit: render.ScaleDown})
	wantAt(t, m, 5, 5, red, 3)
	wantAt(t, m, 45, 5, nothing, 3)
	// At the edge between red and nothing there must be no dark or light fringe.
	edge := color.NRGBAModel.Convert(m.At(24, 5)).(color.NRGBA)
	if edge.A > 0 && (edge.R < 190 || edge.G > 60) {
		t.Errorf("the edge is %v", edge)
	}
	for _, c := range []struct {
		f          imagefile.Format
		background string
		want       color.NRGBA
	}{
		{imagefile.JPEG, "", white}, {imagefile.JPEG, "#1eb41e", green}, {imagefile.PNG, "#1eb41e", green},
	} {
		o := render.Options{Width: 50, Fit: render.ScaleDown, Background: c.background}
		m := decode(t, made(t, in, render.Job{Header: h, Options: o, Format: c.f}))
		wantAt(t, m, 45, 5, c.want, 12)
		wantAt(t, m, 5, 5, red, 12)
	}
	properties, err := newEngine(t).Examine(in, h)
	if err != nil || !properties.Alpha || len(properties.Thumbhash) < 6 {
		t.Errorf("properties %+v, %v", properties, err)
	}
}

// TestDepths has pictures of other kinds of pixels than three bytes.
func TestDepths(t *testing.T) {
	deep := image.NewNRGBA64(image.Rect(0, 0, 64, 64))
	draw.Draw(deep, deep.Bounds(), image.NewUniform(red), image.Point{}, draw.Src)
	plain := image.NewGray(image.Rect(0, 0, 64, 64))
	draw.Draw(plain, plain.Bounds(), image.NewUniform(grey), image.Point{}, draw.Src)
	plain16 := image.NewGray16(image.Rect(0, 0, 64, 64))
	draw.Draw(plain16, plain16.Bounds(), image.NewUniform(grey), image.Point{}, draw.Src)
	palette := image.NewPaletted(image.Rect(0, 0, 64, 64), color.Palette{nothing, blue})
	draw.Draw(palette, palette.Bounds(), image.NewUniform(blue), image.Point{}, draw.Src)
	for name, c := range map[string]struct {
		m    image.Image
		want color.NRGBA
	}{
		"16 bits": {deep, red}, "grey": {plain, grey}, "grey 16 bits": {plain16, grey},
		"palette": {palette, blue},
	} {
		in, h := fileOf(t, encodePNG(t, c.m))
		for _, f := range []imagefile.Format{imagefile.PNG, imagefile.JPEG, imagefile.GIF} {
			for _, o := range []render.Options{
				{Width: 32, Fit: render.ScaleDown},
				{Width: 32, Height: 64, Fit: render.Pad, Background: "#1eb41e"},
			} {
				t.Run(name+" "+string(f)+" "+string(o.Fit), func(t *testing.T) {
					m := decode(t, made(t, in, render.Job{Header: h, Options: o, Format: f}))
					wantAt(t, m, 16, m.Bounds().Dy()/2, c.want, 8)
					if o.Fit == render.Pad {
						wantAt(t, m, 16, 2, green, 12)
					}
				})
			}
		}
	}
}

// animation is a GIF of three frames on a canvas of 60x40. Each covers the top left 40x20 at most,
// from which libvips would guess the size.
func animation(t testing.TB) []byte {
	t.Helper()
	palette := color.Palette{nothing, red, green, blue, grey}
	g := gif.GIF{
		Delay: []int{5, 10, 20}, LoopCount: 3, Disposal: []byte{1, 1, 1},
		Config: image.Config{ColorModel: palette, Width: 60, Height: 40},
	}
	for i, c := range []color.NRGBA{red, green, blue} {
		frame := image.NewPaletted(image.Rect(0, 0, 40-10*i, 20), palette)
		draw.Draw(frame, frame.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
		g.Image = append(g.Image, frame)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnimation(t *testing.T) {
	in, h := fileOf(t, animation(t))
	if h.Frames != 3 || h.Width != 60 {
		t.Fatalf("header %+v", h)
	}
	properties, err := newEngine(t).Examine(in, h)
	if err != nil || properties.Frames != 3 || properties.Width != 60 || properties.Height != 40 || !properties.Alpha {
		t.Errorf("properties %+v, %v", properties, err)
	}
	o := render.Options{Width: 30, Height: 30, Fit: render.Pad, Background: "#808080"}
	g, err := gif.DecodeAll(bytes.NewReader(made(t, in,
		render.Job{Header: h, Options: o, Format: imagefile.GIF})))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Image) != 3 || g.Config.Width != 30 || g.Config.Height != 30 || g.LoopCount != 3 ||
		g.Delay[0] != 5 || g.Delay[1] != 10 || g.Delay[2] != 20 {
		t.Fatalf("%d frames, %v, loop %d, delays %v", len(g.Image), g.Config, g.LoopCount, g.Delay)
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, 30, 30))
	for i, want := range []color.NRGBA{red, green, blue} {
		draw.Draw(canvas, g.Image[i].Bounds(), g.Image[i], g.Image[i].Bounds().Min, draw.Over)
		wantAt(t, canvas, 3, 8, want, 12)
		wantAt(t, canvas, 15, 2, grey, 12)
		wantAt(t, canvas, 27, 15, grey, 12)
	}
	for _, c := range []struct {
		f      imagefile.Format
		still  bool
		frames int
	}{
		{imagefile.WebP, false, 3}, {imagefile.WebP, true, 1}, {imagefile.GIF, true, 1},
		{imagefile.PNG, false, 1}, {imagefile.JPEG, false, 1},
	} {
		o := render.Options{Width: 30, Fit: render.ScaleDown, Still: c.still}
		data := made(t, in, render.Job{Header: h, Options: o, Format: c.f})
		_, got := fileOf(t, data)
		if got.Frames != c.frames || got.Width != 30 || got.Height != 20 || got.Format != c.f {
			t.Errorf("%+v made %+v", c, got)
		}
	}
	// And an animated WebP as the source.
	web := made(t, in, render.Job{Header: h, Options: render.Options{}, Format: imagefile.WebP})
	in, h = fileOf(t, web)
	o = render.Options{Width: 30, Height: 20, Fit: render.Cover}
	g, err = gif.DecodeAll(bytes.NewReader(made(t, in,
		render.Job{Header: h, Options: o, Format: imagefile.GIF})))
	if err != nil || len(g.Image) != 3 || g.Delay[2] != 20 || g.LoopCount != 3 {
		t.Errorf("back from WebP: %+v, %v", g, err)
	}
}
