package render_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestTrimmedAnimations: an animation that is trimmed of a border and has one dimension is rendered if the real size of
// its frames permits that, and refused otherwise, by the worker. The worker remains in use.
func TestTrimmedAnimations(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders many animations")
	}
	t.Parallel()
	const side, frames = 60, 20
	p, err := render.NewPool(render.KeepWorn(render.PoolConfig{Command: vipsWorker(t), Workers: 1}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, c := range []struct {
		left          image.Rectangle // what is not of the edges' colour
		text          string
		width, height int // 0 if it is refused
	}{
		{image.Rect(20, 10, 30, 50), "trim=border,width=240,fit=contain", 240, 960},
		{image.Rect(20, 10, 30, 50), "trim=border,width=900,fit=contain", 0, 0}, // 900 x 3600
		{image.Rect(0, 0, side, side), "trim=border,width=300", 60, 60},
		{image.Rect(5, 50, 55, 60), "trim=border,height=80,fit=squeeze", 400, 80},
		{image.Rect(0, 0, side, side), "width=1582,fit=contain", 0, 0}, // by its Plan alone
	} {
		options, err := render.ParseOptions(c.text)
		if err != nil {
			t.Fatal(err)
		}
		in, h := animationOf(t, side, frames, c.left)
		for _, f := range []imagefile.Format{imagefile.GIF, imagefile.WebP} {
			out, err := p.Render(t.Context(), in, tempFile(t), render.Job{Header: h, Options: options, Format: f})
			limit := new(imagefile.LimitError)
			switch {
			case c.width == 0 && (!errors.As(err, &limit) || limit.Measured <= limit.Allowed ||
				limit.Allowed != imagefile.MaxTransformPixels):
				t.Errorf("%s as %s: %+v, %v; want a refusal", c.text, f, out, err)
			case c.width != 0 && (err != nil || out.Width != c.width || out.Height != c.height || out.Frames != frames):
				t.Errorf("%s as %s: %+v, %v; want %d x %d", c.text, f, out, err, c.width, c.height)
			}
		}
	}
	if s := p.Status(); s.Lost > 0 {
		t.Errorf("%d workers were lost", s.Lost)
	}
}

// animationOf makes a GIF of side x side pixels, white except a part that changes.
func animationOf(t *testing.T, side, frames int, part image.Rectangle) (*os.File, imagefile.Header) {
	t.Helper()
	palette := color.Palette{color.White, color.NRGBA{200, 30, 30, 255}, color.NRGBA{30, 30, 200, 255}}
	g := gif.GIF{}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, side, side), palette)
		for y := part.Min.Y; y < part.Max.Y; y++ {
			for x := part.Min.X; x < part.Max.X; x++ {
				m.SetColorIndex(x, y, uint8(1+(i+x/4+y/4)%2))
			}
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "animation.gif")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := openOriginal(t, name, "animation.gif", "accept")
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.file, o.header
}
