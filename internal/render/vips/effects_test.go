package vips

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// psnr compares the colours of two pictures as they are shown on black, in dB; equal ones have 99.
func psnr(t testing.TB, a, b *image.NRGBA) float64 {
	t.Helper()
	if a.Rect != b.Rect {
		t.Fatalf("%v and %v differ in size", a.Rect, b.Rect)
	}
	sum := 0.0
	for i := 0; i < len(a.Pix); i += 4 {
		for k := range 3 {
			d := float64(a.Pix[i+k])*float64(a.Pix[i+3]) - float64(b.Pix[i+k])*float64(b.Pix[i+3])
			sum += d * d / 255 / 255
		}
	}
	if sum == 0 {
		return 99
	}
	return min(99, 10*math.Log10(255*255*3*float64(len(a.Pix)/4)/sum))
}

// photograph returns a PNG of at most 301 x 241 pixels: of a photograph of the corpus, or else of the one that
// ImageMagick brings.
func photograph(t testing.TB) []byte {
	t.Helper()
	if os.Getenv("CALOTYPE_CORPUS") == "" {
		return magick(t, encodePNG(t, flat(1, 1, red)), "-delete", "0", "rose:", "-resize", "301x241")
	}
	data, err := os.ReadFile(filepath.Join(imagefiletest.Corpus(t), "bench/image__test.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return magick(t, data, "-auto-orient", "-resize", "301x241", "-strip", "-alpha", "off")
}

// holed makes a picture transparent outside of an ellipse with a soft edge. Its hidden pixels are green.
func holed(t testing.TB, data []byte) []byte {
	t.Helper()
	m := eightBits(t, data)
	w, h := float64(m.Rect.Dx()), float64(m.Rect.Dy())
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			r := math.Hypot(2*float64(x)/w-1, 2*float64(y)/h-1)
			c := m.NRGBAAt(x, y)
			c.A = uint8(255 * min(max((0.9-r)*10, 0), 1))
			if c.A == 0 {
				c = color.NRGBA{0, 255, 0, 0}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return encodePNG(t, m)
}

// weighted are the arguments that blur colours by their alpha, which ImageMagick 6 does not do: the blur of the
// colours on black, divided by that of alpha. A sharpen doubles the picture's difference from that, or more. Alpha is
// the picture's.
func weighted(deviation string, amount float64) []string {
	arguments := []string{
		"(", "-clone", "0", "-background", "black", "-alpha", "remove", "-alpha", "off", "-blur", deviation, ")",
		"(", "-clone", "0", "-alpha", "extract", "-blur", deviation, ")",
		"(", "-clone", "1,2", "-compose", "Divide_Src", "-composite", ")", "-delete", "1,2"}
	if amount > 0 {
		arguments = append(arguments, "(", "-clone", "0", "-alpha", "off", ")",
			"(", "-clone", "1,2", "-compose", "Mathematics",
			"-define", fmt.Sprintf("compose:args=0,%g,%g,0", 1+amount, -amount), "-composite", ")", "-delete", "1,2")
	}
	return append(arguments, "(", "-clone", "0", "-alpha", "extract", ")", "-delete", "0",
		"-compose", "CopyOpacity", "-composite")
}

// TestEffectsLikeImageMagick compares each effect with the same operation of ImageMagick.
func TestEffectsLikeImageMagick(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: compares with ImageMagick")
	}
	photo := photograph(t)
	pictures := map[string][]byte{"photograph": photo, "alpha": holed(t, photo),
		"grey": magick(t, photo, "-grayscale", "Rec709Luma", "-depth", "8")}
	grey := image.NewGray(eightBits(t, pictures["grey"]).Rect)
	draw.Draw(grey, grey.Rect, eightBits(t, pictures["grey"]), image.Point{}, draw.Src)
	pictures["grey"] = encodePNG(t, grey)
	const bound = 46 // dB
	const saturation = "0.2126 0.7152 0.0722"
	for _, c := range []struct {
		options string
		twin    []string
	}{
		{"brightness=0.5", []string{"-evaluate", "Multiply", "0.5"}},
		{"brightness=2", []string{"-evaluate", "Multiply", "2"}},
		{"contrast=0.5", []string{"-function", "Polynomial", "0.5,0.25"}},
		{"contrast=2", []string{"-function", "Polynomial", "2,-0.5"}},
		{"gamma=0.5", []string{"-gamma", "0.5"}},
		{"gamma=2.2", []string{"-gamma", "2.2"}},
		{"saturation=0", []string{"-color-matrix", saturation + " " + saturation + " " + saturation}},
		{"saturation=0", []string{"-grayscale", "Rec709Luma"}},
		{"saturation=2", []string{"-color-matrix",
			"1.7874 -0.7152 -0.0722 -0.2126 1.2848 -0.0722 -0.2126 -0.7152 1.9278"}},
		{"blur=1", []string{"-blur", "0x1"}},
		{"blur=2.5", []string{"-blur", "0x2.5"}},
		{"blur=4.5", []string{"-blur", "0x4.5"}},
		{"blur=4.6", []string{"-blur", "0x4.6"}},
		{"blur=10", []string{"-blur", "0x10"}},
		{"blur=40", []string{"-blur", "0x40"}},
		{"blur=250", []string{"-blur", "0x250"}},
		{"sharpen=1", []string{"-unsharp", "0x1+1+0"}},
		{"sharpen=3.5", []string{"-unsharp", "0x1+3.5+0"}},
		{"sharpen=10", []string{"-unsharp", "0x1+10+0"}},
	} {
		o, err := render.ParseOptions(c.options)
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range pictures {
			got := pictureOf(t, data, o)
			twin := append([]string{"-channel", "RGB"}, c.twin...)
			if name == "alpha" && (c.twin[0] == "-blur" || c.twin[0] == "-unsharp") {
				deviation, _, _ := strings.Cut(c.twin[1], "+")
				twin = weighted(deviation, o.Sharpen.Float())
			}
			want := eightBits(t, magick(t, data, twin...))
			db := psnr(t, got, want)
			if db < bound {
				t.Errorf("%s of %s: %.1f dB from %q, want %d", c.options, name, db, twin, bound)
			}
			for i := 3; i < len(got.Pix); i += 4 {
				if got.Pix[i] != want.Pix[i] {
					t.Fatalf("%s of %s: alpha is %d, was %d", c.options, name, got.Pix[i], want.Pix[i])
				}
			}
		}
	}
}

// BenchmarkEffects has the processor time of each effect on 12 megapixels, in ms: the median of renditions of a JPEG
// at its full size, in turn with the plain one.
func BenchmarkEffects(b *testing.B) {
	in, h := fileOf(b, encodeJPEG(b, smooth(4000, 3000)))
	spent := func(o render.Options) float64 {
		before := processorTime(b)
		made(b, in, render.Job{Header: h, Options: o, Format: imagefile.JPEG})
		return float64(processorTime(b)-before) / float64(time.Millisecond)
	}
	for _, text := range []string{
		"brightness=1.1", "saturation=0.5", "brightness=1.1,contrast=1.1,gamma=1.1,saturation=1.1", "sharpen=1",
		"blur=1", "blur=2", "blur=4.5", "blur=5", "blur=10", "blur=50", "blur=250",
	} {
		o, err := render.ParseOptions(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			var plain, more []float64
			for b.Loop() {
				p := spent(render.DefaultOptions())
				plain, more = append(plain, p), append(more, spent(o)-p)
			}
			slices.Sort(plain)
			slices.Sort(more)
			b.ReportMetric(plain[len(plain)/2], "plain-ms")
			b.ReportMetric(more[len(more)/2], "effect-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// processorTime is the processor time of this process until now.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
