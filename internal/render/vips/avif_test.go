package vips

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// needAVIF skips a test if this libvips has no encoder of AVIF. The pinned one has it.
func needAVIF(t *testing.T) {
	t.Helper()
	if why := newEngine(t).MissingEncoders()[imagefile.AVIF]; why != "" {
		if os.Getenv("VIPS") == "npm" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
}

// avifOf renders a file to AVIF, and returns it with its header.
func avifOf(t *testing.T, data []byte, o render.Options) ([]byte, imagefile.Header) {
	t.Helper()
	in, h := fileOf(t, data)
	avif := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.AVIF})
	h, err := imagefile.ReadHeader(bytes.NewReader(avif), int64(len(avif)))
	if err != nil || h.Format != imagefile.AVIF || h.Orientation != 1 || h.Frames != 1 {
		t.Fatalf("got %+v, %v", h, err)
	}
	return avif, h
}

// psnrIn returns the peak signal-to-noise ratio of the pixels of two pictures in a part of them, in dB. Pixels count by
// their opacity, and the opacity counts too.
func psnrIn(a, b *image.NRGBA, part image.Rectangle) float64 {
	sum, n := 0.0, 0.0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			p, q := a.NRGBAAt(x, y), b.NRGBAAt(x, y)
			for _, d := range [][2]uint8{{p.R, q.R}, {p.G, q.G}, {p.B, q.B}, {255, 255}} {
				e := (float64(d[0])*float64(p.A) - float64(d[1])*float64(q.A)) / 255
				sum, n = sum+e*e, n+1
			}
		}
	}
	return 10 * math.Log10(255*255*n/max(sum, 1e-9))
}

// secondDecoder decodes an AVIF with the program of the system's libheif.
func secondDecoder(t *testing.T, avif []byte) *image.NRGBA {
	t.Helper()
	program := ""
	for _, name := range []string{"heif-dec", "heif-convert"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
		}
	}
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("neither heif-dec nor heif-convert: scripts/setup test installs it")
		}
		return nil
	}
	folder := t.TempDir()
	from, to := filepath.Join(folder, "made.avif"), filepath.Join(folder, "decoded.png")
	if err := os.WriteFile(from, avif, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, from, to).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v, %s", program, err, out)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return eightBits(t, data)
}

// kindsOfPictures are originals of a size, by name.
func kindsOfPictures(t *testing.T, w, h int) map[string][]byte {
	t.Helper()
	plain := smooth(w, h).(*image.NRGBA)
	grey, deep, alpha := image.NewGray(plain.Rect), image.NewNRGBA64(plain.Rect), image.NewNRGBA(plain.Rect)
	for y := range h {
		for x := range w {
			c := plain.NRGBAAt(x, y)
			grey.Set(x, y, c)
			deep.SetNRGBA64(x, y, color.NRGBA64{uint16(c.R)*257 + 99, uint16(c.G) * 257, uint16(c.B) * 257, 65_535})
			alpha.SetNRGBA(x, y, color.NRGBA{c.R, c.G, c.B, 55 + c.G/2})
		}
	}
	return map[string][]byte{
		"colours": encodePNG(t, plain), "grey": encodePNG(t, grey), "16 bits": encodePNG(t, deep),
		"alpha": encodePNG(t, alpha), "turned": exifJPEG(encodeJPEG(t, plain), 6),
	}
}

// TestAVIFLikePNG: an AVIF of each kind and size looks like the PNG, at its edges too, in two decoders.
func TestAVIFLikePNG(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: encodes many AVIFs")
	}
	needAVIF(t)
	for _, size := range []image.Point{{1, 1}, {2, 1}, {1, 3}, {3, 3}, {17, 15}, {101, 67}, {64, 64}, {333, 1}} {
		for kind, data := range kindsOfPictures(t, size.X, size.Y) {
			name := fmt.Sprintf("%s of %v", kind, size)
			want := pictureOf(t, data, whole)
			avif, h := avifOf(t, data, whole)
			if h.Width != want.Rect.Dx() || h.Height != want.Rect.Dy() {
				t.Errorf("%s: the header says %d x %d", name, h.Width, h.Height)
				continue
			}
			likePNG(t, name, want, pictureOf(t, avif, whole))
			if second := secondDecoder(t, avif); second != nil {
				likePNG(t, name+", second decoder", want, second)
			}
		}
	}
}

// likePNG compares a decoded AVIF with the PNG, as a whole and along each edge.
func likePNG(t *testing.T, name string, want, got *image.NRGBA) {
	t.Helper()
	if got.Rect != want.Rect {
		t.Errorf("%s: decoded to %v, want %v", name, got.Rect, want.Rect)
		return
	}
	r := want.Rect
	for part, area := range map[string]image.Rectangle{
		"whole": r, "top": {r.Min, image.Pt(r.Max.X, 1)}, "left": {r.Min, image.Pt(1, r.Max.Y)},
		"bottom": {image.Pt(0, r.Max.Y-1), r.Max}, "right": {image.Pt(r.Max.X-1, 0), r.Max},
	} {
		if db := psnrIn(want, got, area); db < 30 {
			t.Errorf("%s: %s differs by %.1f dB", name, part, db)
		}
	}
}

// TestAVIFHasNoShift: a picture of one sharp edge has it at the same place.
func TestAVIFHasNoShift(t *testing.T) {
	needAVIF(t)
	for _, quality := range []int{0, 90} { // colours of half and of full resolution
		// Odd sizes with edges between pairs of pixels, which share their colour at half the resolution.
		m := quarters(77, 53, [4]color.NRGBA{red, blue, green, grey})
		o := whole
		o.Quality = quality
		avif, _ := avifOf(t, encodePNG(t, m), o)
		got := pictureOf(t, avif, whole)
		best, at := 0.0, image.Point{9, 9}
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				moved := image.NewNRGBA(m.Rect)
				for y := range 53 {
					for x := range 77 {
						moved.SetNRGBA(x, y, m.NRGBAAt(min(max(x+dx, 0), 76), min(max(y+dy, 0), 52)))
					}
				}
				if db := psnrIn(moved, got, m.Rect); db > best {
					best, at = db, image.Pt(dx, dy)
				}
			}
		}
		if at != (image.Point{}) {
			t.Errorf("quality %d: it is like the picture moved by %v", quality, at)
		}
	}
}

// TestAVIFHasNoMetadata: nothing of the original but its pixels is in an AVIF. If it states colours, which
// the pinned libvips leaves out, they are those of sRGB.
func TestAVIFHasNoMetadata(t *testing.T) {
	needAVIF(t)
	photo := withProfile(exifJPEG(encodeJPEG(t, smooth(64, 48)), 6), profile("RGB "))
	photo = insert(photo, 2, jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x:CANARY/>")))
	for _, rule := range []render.Metadata{render.MetadataKeep, render.MetadataCopyright, render.MetadataNone} {
		avif, _ := avifOf(t, photo, render.Options{Metadata: rule})
		for _, sign := range []string{"Exif", "CANARY", "ARTIST", "COPYRIGHT", "mime", "xap", "prof", "rICC", "acsp"} {
			if bytes.Contains(avif, []byte(sign)) {
				t.Errorf("metadata=%s: the AVIF has %q", rule, sign)
			}
		}
		nclx := bytes.Index(avif, []byte("colrnclx"))
		// Primaries of BT.709, the curve of sRGB, the matrix of BT.601, full range: ISO 23091-2.
		if want := []byte{0, 1, 0, 13, 0, 6, 0x80}; nclx >= 0 && !bytes.Equal(avif[nclx+8:nclx+15], want) {
			t.Errorf("metadata=%s: the AVIF has another nclx than that of sRGB", rule)
		}
		c, err := imagefile.ReadColour(bytes.NewReader(avif), int64(len(avif)), imagefile.AVIF)
		if err != nil || !likeSRGB(c) || c.Narrow {
			t.Errorf("metadata=%s: the colours are %+v, %v", rule, c, err)
		}
	}
}

// TestAVIFOfCMYK: the colours of CMYK and of a wide profile are those of the PNG.
func TestAVIFOfCMYK(t *testing.T) {
	needAVIF(t)
	avif, _ := avifOf(t, cmykBlack(), whole)
	wantAt(t, pictureOf(t, avif, whole), 4, 4, pictureOf(t, cmykBlack(), whole).NRGBAAt(4, 4), 3)
	p3 := testdata(t, "p3.avif")
	avif, _ = avifOf(t, p3, whole)
	want := pictureOf(t, p3, whole)
	if db := psnrIn(want, pictureOf(t, avif, whole), want.Rect); db < 30 {
		t.Errorf("Display P3 differs by %.1f dB", db)
	}
}

// TestAVIFOfAnAnimation is the first frame.
func TestAVIFOfAnAnimation(t *testing.T) {
	needAVIF(t)
	avif, h := avifOf(t, animation(t), render.Options{Still: true})
	if h.Width != 60 || h.Height != 40 {
		t.Errorf("got %d x %d", h.Width, h.Height)
	}
	wantAt(t, pictureOf(t, avif, whole), 10, 10, red, 12)
}

// TestAVIFQuality: the quality for the encoder grows with that of the options, and so does the file.
func TestAVIFQuality(t *testing.T) {
	last := 0
	for q := 1; q <= 100; q++ {
		if got := avifQuality(q); got < last || got < 1 || got > 100 {
			t.Errorf("%d becomes %d, after %d", q, got, last)
		} else {
			last = got
		}
	}
	for _, row := range avifQualities {
		if got := avifQuality(row.jpeg); got != row.avif {
			t.Errorf("%d becomes %d, want %d", row.jpeg, got, row.avif)
		}
	}
	needAVIF(t)
	sizes := []int{}
	for _, q := range []int{10, 50, 75, 85, 95, 100} {
		avif, _ := avifOf(t, encodePNG(t, smooth(300, 200)), render.Options{Quality: q})
		sizes = append(sizes, len(avif))
	}
	if !slices.IsSorted(sizes) || sizes[0] == sizes[len(sizes)-1] {
		t.Errorf("the sizes by quality are %v bytes", sizes)
	}
}

// TestLosslessWebP has all pixels of its original; another WebP of the quality 100 does not.
func TestLosslessWebP(t *testing.T) {
	m := smooth(90, 70).(*image.NRGBA)
	in, h := fileOf(t, encodePNG(t, m))
	for _, c := range []struct {
		format   render.OutputFormat
		lossless bool
	}{{render.FormatWebP, true}, {render.FormatAuto, false}} {
		o := render.Options{Quality: render.LosslessQuality, Format: c.format}
		webp := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.WebP})
		if got := pictureOf(t, webp, whole); slices.Equal(got.Pix, m.Pix) != c.lossless {
			t.Errorf("format=%s: equal pixels is %v", c.format, !c.lossless)
		}
	}
}

// TestBaselineJPEG: format=baseline-jpeg and compression=fast make no progressive JPEG, and no tiny picture is one.
func TestBaselineJPEG(t *testing.T) {
	photo := smooth(640, 480)
	for _, c := range []struct {
		options  render.Options
		baseline bool
	}{
		{render.Options{}, false}, {render.Options{Format: render.FormatBaseline}, true},
		{render.Options{Fast: true}, true}, {render.Options{Width: 49}, true},
	} {
		in, h := fileOf(t, encodePNG(t, photo))
		jpeg := made(t, in, render.Job{Header: h, Options: c.options, Format: imagefile.JPEG})
		h, err := imagefile.ReadHeader(bytes.NewReader(jpeg), int64(len(jpeg)))
		if err != nil || (h.Scans == 1) != c.baseline {
			t.Errorf("%s: %d scans, %v", c.options, h.Scans, err)
		}
	}
}

// TestFastPNG: compression=fast changes the bytes of a PNG, not its pixels.
func TestFastPNG(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, smooth(200, 100)))
	fast := made(t, in, render.Job{Header: h, Options: render.Options{Fast: true}, Format: imagefile.PNG})
	normal := made(t, in, render.Job{Header: h, Format: imagefile.PNG})
	a, errA := png.Decode(bytes.NewReader(fast))
	b, errB := png.Decode(bytes.NewReader(normal))
	if errA != nil || errB != nil || bytes.Equal(fast, normal) ||
		psnrIn(eightBits(t, fast), eightBits(t, normal), a.Bounds()) < 99 || a.Bounds() != b.Bounds() {
		t.Errorf("got %d and %d bytes, %v, %v", len(fast), len(normal), errA, errB)
	}
}
