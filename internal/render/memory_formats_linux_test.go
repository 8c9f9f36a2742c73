package render_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// noise returns a PNG of random pixels, which cost an encoder most.
func noise(t *testing.T, w, h int, alpha bool) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	random := rand.NewChaCha8([32]byte{1})
	random.Read(m.Pix)
	for i := 3; i < len(m.Pix) && !alpha; i += 4 {
		m.Pix[i] = 255
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestEstimatesOfFormats: the largest AVIFs and lossless WebPs, and searches of a quality, are rendered within the
// estimates of memory.
func TestEstimatesOfFormats(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: encodes large pictures of noise")
	}
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	for _, c := range []struct {
		w, h    int
		alpha   bool
		options string
		format  imagefile.Format
	}{
		{1, 1, false, "", imagefile.AVIF},
		{1612, 1612, false, "", imagefile.AVIF},
		{1612, 1612, true, "quality=100", imagefile.AVIF}, // colours of the full resolution
		{12_000, 216, false, "", imagefile.AVIF},
		{2000, 2000, true, "quality=100,format=webp", imagefile.WebP},
		{3535, 3535, false, "quality=100,format=webp", imagefile.WebP},
		{3162, 3162, false, "quality=auto", imagefile.JPEG},
		{1600, 1600, true, "quality=auto", imagefile.WebP},
		{900, 900, true, "quality=auto", imagefile.AVIF},
	} {
		name := fmt.Sprintf("%dx%d, alpha %v, as %s with %q", c.w, c.h, c.alpha, c.format, c.options)
		path := filepath.Join(t.TempDir(), "noise.png")
		if err := os.WriteFile(path, noise(t, c.w, c.h, c.alpha), 0o600); err != nil {
			t.Fatal(err)
		}
		o := openOriginal(t, path, name, "accept")
		if o.err != nil {
			t.Fatal(o.err)
		}
		options, err := render.ParseOptions(c.options)
		if err != nil {
			t.Fatal(err)
		}
		j := render.Job{Header: o.header, Alpha: c.alpha, Options: options, Format: c.format}
		if want := c.format == imagefile.WebP && options.Quality > 0; j.Lossless() != want {
			t.Errorf("%s: lossless is %v", name, !want)
		}
		wantWithin(t, name, render.RenderCost(j), func(p *render.Pool) error {
			_, err := p.Render(t.Context(), o.file, tempFile(t), j)
			return err
		})
	}
}
