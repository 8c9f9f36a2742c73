package vips

import (
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// corpusFile opens a file of the corpus that CALOTYPE_CORPUS names.
func corpusFile(t testing.TB, name string) (*os.File, imagefile.Header) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(imagefiletest.Corpus(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, data)
}

// distance is the root mean square of the differences of two pictures of one size, 0 to 255, after
// both were made small, so that it is about what they show and not about noise.
func distance(t *testing.T, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Errorf("sizes %v and %v", a.Bounds(), b.Bounds())
		return math.Inf(1)
	}
	var sum float64
	size := a.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			p := color.NRGBAModel.Convert(a.At(x, y)).(color.NRGBA)
			q := color.NRGBAModel.Convert(b.At(x, y)).(color.NRGBA)
			for _, d := range []float64{
				float64(p.R) - float64(q.R), float64(p.G) - float64(q.G), float64(p.B) - float64(q.B),
			} {
				sum += d * d
			}
		}
	}
	return math.Sqrt(sum / float64(3*size.X*size.Y))
}

// shown renders a file of the corpus to a small PNG.
func shown(t *testing.T, name string, edit func(*imagefile.Header)) image.Image {
	t.Helper()
	in, h := corpusFile(t, name)
	if edit != nil {
		edit(&h)
	}
	return picture(t, in, h, render.Options{Width: 60, Fit: render.ScaleDown})
}

func TestCorpusOrientation(t *testing.T) {
	first := shown(t, "orientation/orient__Portrait_1.jpg", nil)
	for _, n := range "0234567" + "8" {
		name := "orientation/orient__Portrait_" + string(n) + ".jpg"
		if d := distance(t, first, shown(t, name, nil)); d > 12 {
			t.Errorf("%s differs from the first by %.1f", name, d)
		}
	}
	ignored := func(h *imagefile.Header) { h.Orientation = 2 }
	if d := distance(t, first, shown(t, "orientation/orient__Portrait_1.jpg", ignored)); d < 20 {
		t.Errorf("mirrored it differs by %.1f only: the measure is no good", d)
	}
}

// TestCorpusTurnedInContainer: HEIC and AVIF are turned and cut by their container, once.
func TestCorpusTurnedInContainer(t *testing.T) {
	plain := shown(t, "avif/linku__kimono.rotate90.avif", nil)
	canary := shown(t, "metadata-canary/gps-everywhere.avif", nil)
	if d := distance(t, plain, canary); d > 8 {
		t.Errorf("the same picture with metadata differs by %.1f", d)
	}
	cut := shown(t, "avif/linku__kimono.crop.avif", nil)
	turned := shown(t, "avif/linku__kimono.mirror-vertical.rotate270.crop.avif", nil)
	if d := distance(t, cut, turned); d > 12 {
		t.Errorf("turned, mirrored and cut it differs from cut by %.1f", d)
	}
	in, h := corpusFile(t, "avif/libvips__avif-orientation-6.avif")
	m := picture(t, in, h, render.Options{Width: 60, Fit: render.ScaleDown})
	if m.Bounds().Dx() != 60 || m.Bounds().Dy() != 80 {
		t.Errorf("irot and EXIF orientation made %v", m.Bounds())
	}
}

// TestCorpusProfiles: profiles that swap channels are applied, which shows at once, and CMYK is not
// inverted.
func TestCorpusProfiles(t *testing.T) {
	for _, name := range []string{"rgb-to-gbr-test.png", "sideways_bench.jpg"} {
		in, h := corpusFile(t, "icc/testdata__"+name)
		h.Orientation = 1 // as Go does
		raw, err := os.ReadFile(in.Name())
		if err != nil {
			t.Fatal(err)
		}
		stored := decode(t, raw) // Go ignores profiles
		full := picture(t, in, h, render.Options{})
		if d := distance(t, stored, full); d < 30 {
			t.Errorf("the profile of %s changed the picture by %.1f only", name, d)
		}
	}
	withProfile := shown(t, "jpeg-cmyk/sharp__Channel_digital_image_CMYK_color.jpg", nil)
	without := shown(t, "jpeg-cmyk/sharp__Channel_digital_image_CMYK_color_no_profile.jpg", nil)
	if d := distance(t, withProfile, without); d > 40 {
		t.Errorf("CMYK with and without a profile differ by %.1f", d)
	}
	// The XYB JPEG and the plain one show the same.
	plain := shown(t, "jpeg/libvips__sample.jpg", nil)
	xyb := shown(t, "jpeg-exotic/libvips__sample-xyb.jpg", nil)
	if d := distance(t, plain, xyb); d > 15 {
		t.Errorf("XYB differs from the plain JPEG by %.1f", d)
	}
}

// BenchmarkRender is a photograph of 12 megapixels made 800 pixels wide.
func BenchmarkRender(b *testing.B) {
	in, h := corpusFile(b, "bench/image__test.jpg")
	out, err := os.CreateTemp(b.TempDir(), "out")
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.WebP, imagefile.PNG} {
		b.Run(string(f), func(b *testing.B) {
			e := newEngine(b)
			j := render.Job{
				Header: h, Format: f, Options: render.Options{Width: 800, Fit: render.ScaleDown},
			}
			for b.Loop() {
				if err := out.Truncate(0); err != nil {
					b.Fatal(err)
				}
				if _, err := e.Render(in, out, j); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkExamine takes the properties of large originals.
func BenchmarkExamine(b *testing.B) {
	for _, name := range []string{
		"image__test.jpg", "bimg__vertical.jpg", "transformimgs__big-jpeg.jpg", "coil__large.png",
		"exifr__heic-iphone.heic",
	} {
		b.Run(name, func(b *testing.B) {
			in, h := corpusFile(b, "bench/"+name)
			e := newEngine(b)
			for b.Loop() {
				if _, err := e.Examine(in, h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
