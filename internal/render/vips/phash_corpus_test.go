package vips

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"slices"
	"testing"

	"calotype/internal/phash"
	"calotype/internal/render"
)

// photographs are the pictures of the corpus for the measurement of hashes, with the rows and columns of regions that a
// large one is cut into, each of which counts as a photograph.
var photographs = []struct {
	name    string
	regions int
}{
	{"bench/bimg__vertical.jpg", 4}, {"bench/coil__large.jpg", 4}, {"bench/coil__large.png", 4},
	{"bench/image__test.jpg", 4}, {"bench/transformimgs__big-jpeg.jpg", 4}, {"bench/exifr__heic-iphone.heic", 4},
	{"bench/uhdr__Ultra_HDR_Samples_Originals_04.jpg", 4}, {"bench/c2pa__truepic-20230212-landscape.jpg", 4},
	{"bench/exifr__IMG_20180725_163423.jpg", 3}, {"bench/exifr__heic-iphone7.heic", 3},
	{"c2pa/c2pa__nikon-20221019-building.jpeg", 3}, {"bench/bimg__test_exif_full.jpg", 3}, {"bench/bimg__test.heic", 2},
	{"c2pa/c2pa__adobe-20220124-E-sig-CA.jpg", 1}, {"avif/linku__fox.profile0.8bpc.yuv420.avif", 1},
	{"avif/linku__kimono.rotate90.avif", 1}, {"heic/coil__basic.heic", 1}, {"heic/coil__static.heif", 1},
	{"heic/exifr__heic-single.heic", 1}, {"icc/bimg__test_icc_prophoto.jpg", 1}, {"jpeg-multi/pillow__frozenpond.mpo", 1},
	{"jpeg/coil__normal_grayscale.jpg", 1}, {"jpeg/image__3.jpg", 1}, {"jpeg/libvips__sample.jpg", 1},
	{"jpeg/zune-image__fox410.jpg", 1}, {"orientation/orient__Portrait_1.jpg", 1}, {"webp/pillow__flower.webp", 1},
	{"metadata/pillow__iptc.jpg", 1}, {"metadata/exifr__iptc-independent-photographer-example.jpg", 1},
	{"webp/libwebp-test-data__lossy_extreme_probabilities.webp", 1}, {"heic/libheif__example.heic", 1},
}

// An edit makes a copy of a picture that a person takes for the same picture.
type edit struct {
	name string
	do   func(*image.NRGBA) []byte
}

var edits = []edit{
	{"JPEG of quality 85", func(p *image.NRGBA) []byte { return asJPEG(p, 85) }},
	{"JPEG of quality 50", func(p *image.NRGBA) []byte { return asJPEG(p, 50) }},
	{"JPEG of quality 20", func(p *image.NRGBA) []byte { return asJPEG(p, 20) }},
	{"half the size", func(p *image.NRGBA) []byte { return asJPEG(resized(p, 1, 2), 85) }},
	{"a quarter of the size", func(p *image.NRGBA) []byte { return asJPEG(resized(p, 1, 4), 85) }},
	{"grey", func(p *image.NRGBA) []byte { return asJPEG(mapped(p, toGrey), 85) }},
	{"lighter", func(p *image.NRGBA) []byte { return asJPEG(mapped(p, curve(1, 25)), 85) }},
	{"more contrast", func(p *image.NRGBA) []byte { return asJPEG(mapped(p, curve(1.25, -32)), 85) }},
	{"a caption", func(p *image.NRGBA) []byte { return asJPEG(captioned(p), 85) }},
	{"cropped by 5 %", func(p *image.NRGBA) []byte { return asJPEG(framed(p, -0.025, color.White), 85) }},
	{"a white border of 2 %", func(p *image.NRGBA) []byte { return asJPEG(framed(p, 0.02, color.White), 85) }},
	{"a black border of 5 %", func(p *image.NRGBA) []byte { return asJPEG(framed(p, 0.05, color.Black), 85) }},
}

func asJPEG(p image.Image, quality int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, p, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // a size of zero
	}
	return b.Bytes()
}

// resized scales a picture by averages.
func resized(p *image.NRGBA, up, down int) *image.NRGBA {
	w, h := p.Rect.Dx()*up/down, p.Rect.Dy()*up/down
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			var sum [4]int
			for dy := range down {
				for dx := range down {
					c := p.NRGBAAt(x*down/up+dx, y*down/up+dy)
					for i, v := range []uint8{c.R, c.G, c.B, c.A} {
						sum[i] += int(v)
					}
				}
			}
			n := down * down
			out.SetNRGBA(x, y, color.NRGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), uint8(sum[3] / n)})
		}
	}
	return out
}

// mapped changes each pixel.
func mapped(p *image.NRGBA, change func(color.NRGBA) color.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(p.Rect)
	for y := range p.Rect.Dy() {
		for x := range p.Rect.Dx() {
			out.SetNRGBA(x, y, change(p.NRGBAAt(x, y)))
		}
	}
	return out
}

func toGrey(c color.NRGBA) color.NRGBA {
	y := color.GrayModel.Convert(c).(color.Gray).Y
	return color.NRGBA{y, y, y, c.A}
}

// curve multiplies and adds, within the levels.
func curve(by, more float64) func(color.NRGBA) color.NRGBA {
	level := func(v uint8) uint8 { return uint8(min(255, max(0, math.Round(float64(v)*by+more)))) }
	return func(c color.NRGBA) color.NRGBA { return color.NRGBA{level(c.R), level(c.G), level(c.B), c.A} }
}

// captioned draws a white bar with black blocks over a corner: a third of the width, a twelfth of the height.
func captioned(p *image.NRGBA) *image.NRGBA {
	out := mapped(p, func(c color.NRGBA) color.NRGBA { return c })
	w, h := p.Rect.Dx()/3, p.Rect.Dy()/12
	at := image.Rect(p.Rect.Dx()-w-w/10, p.Rect.Dy()-h-h/2, p.Rect.Dx()-w/10, p.Rect.Dy()-h/2)
	draw.Draw(out, at, image.White, image.Point{}, draw.Src)
	for x := at.Min.X + h/4; x < at.Max.X-h/4; x += h / 2 {
		letter := image.Rect(x, at.Min.Y+h/4, x+h/3, at.Max.Y-h/4)
		draw.Draw(out, letter, image.Black, image.Point{}, draw.Src)
	}
	return out
}

// framed adds a border on each side, or crops the sides, by a part of the shorter side.
func framed(p *image.NRGBA, part float64, c color.Color) *image.NRGBA {
	by := int(math.Round(part * float64(min(p.Rect.Dx(), p.Rect.Dy()))))
	out := image.NewNRGBA(image.Rect(0, 0, p.Rect.Dx()+2*by, p.Rect.Dy()+2*by))
	draw.Draw(out, out.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	draw.Draw(out, p.Rect.Add(image.Pt(by, by)), p, image.Point{}, draw.Src)
	return out
}

// regions renders a photograph of the corpus to 400 pixels for each of its rows of regions, and cuts it.
func regions(t testing.TB, name string, n int) (all []*image.NRGBA) {
	t.Helper()
	in, h := corpusFile(t, name)
	whole := picture(t, in, h, render.Options{Width: 400 * n, Height: 400 * n, Fit: render.ScaleDown})
	size := whole.Bounds().Size().Div(n)
	for y := range n {
		for x := range n {
			one := image.NewNRGBA(image.Rectangle{Max: size})
			draw.Draw(one, one.Rect, whole, image.Pt(x*size.X, y*size.Y), draw.Src)
			all = append(all, one)
		}
	}
	return all
}

// hashOf examines a picture as an upload is examined.
// ok is false for one without a hash.
func hashOf(t testing.TB, data []byte) (hash phash.Hash, ok bool) {
	t.Helper()
	in, h := fileOf(t, data)
	found, err := newEngine(t).Examine(in, h)
	if err != nil {
		t.Fatal(err)
	}
	hash, err = phash.Parse(found.Phash)
	return hash, err == nil
}

// TestPhashOfPhotographs measures the recall of edits and the false pairs at each distance. With CALOTYPE_PHOTOGRAPHS it
// measures all, for the figures of decision 49; without it a few.
func TestPhashOfPhotographs(t *testing.T) {
	most := math.MaxInt
	var hashes []phash.Hash
	distances := map[string][]int{}
	for _, p := range photographs {
		if os.Getenv("CALOTYPE_PHOTOGRAPHS") == "" {
			if p.regions > 1 {
				continue
			}
			most = 5
		}
		for _, one := range regions(t, p.name, p.regions) {
			if len(hashes) == most {
				break
			}
			var original bytes.Buffer
			if err := png.Encode(&original, one); err != nil {
				t.Fatal(err)
			}
			hash, ok := hashOf(t, original.Bytes())
			if !ok {
				t.Logf("a region of %s is of one tone", p.name)
				continue
			}
			hashes = append(hashes, hash)
			for _, e := range edits {
				d := 64
				if edited, ok := hashOf(t, e.do(one)); ok {
					d = phash.Distance(hash, edited)
				}
				distances[e.name] = append(distances[e.name], d)
			}
		}
	}
	report(t, hashes, distances)
}

func report(t *testing.T, hashes []phash.Hash, distances map[string][]int) {
	var all []int
	for _, e := range edits {
		d := distances[e.name]
		all = append(all, d...)
		line := fmt.Sprintf("%-24s", e.name)
		for _, most := range []int{0, 2, 4, 6, 8, 10, 12, 14, 16} {
			line += fmt.Sprintf(" %5.1f", 100*within(d, most))
		}
		t.Log(line, slices.Max(d))
	}
	var pairs []int
	for i, a := range hashes {
		for _, b := range hashes[:i] {
			pairs = append(pairs, phash.Distance(a, b))
		}
	}
	for _, most := range []int{0, 2, 4, 6, 8, 10, 12, 14, 16} {
		t.Logf("distance %d: recall %.2f %%, %d of %d pairs are false", most, 100*within(all, most),
			int(math.Round(within(pairs, most)*float64(len(pairs)))), len(pairs))
	}
	if recall := within(all, phash.MaxDistance); recall < 0.85 {
		t.Errorf("at the largest distance the recall is %.2f", recall)
	}
	if within(pairs, phash.MaxDistance) > 0 {
		t.Error("different photographs are within the largest distance")
	}
}

// within returns the part of distances up to most.
func within(distances []int, most int) float64 {
	n := 0
	for _, d := range distances {
		if d <= most {
			n++
		}
	}
	return float64(n) / float64(len(distances))
}
