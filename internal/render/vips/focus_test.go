package vips

import (
	"image"
	"image/color"
	"os"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// A subject is a picture of the corpus, and the rectangle of what it is about, in fractions of the upright picture:
// left, top, right, bottom.
type subject struct {
	name string
	at   [4]float64
	what string
}

// tuned are the photographs with which the weights of focus were chosen.
var tuned = []subject{
	{"avif/libvips__avif-orientation-6.avif", [4]float64{0.08, 0.50, 0.98, 0.92}, "food on a table"},
	{"avif/linku__fox.profile0.8bpc.yuv420.avif", [4]float64{0.16, 0.07, 0.60, 1}, "a fox of stone"},
	{"bench/bimg__test_exif_full.jpg", [4]float64{0.20, 0.65, 0.80, 1}, "a motorcycle's dashboard"},
	{"bench/bimg__test.heic", [4]float64{0.25, 0.12, 0.84, 0.80}, "two bottles"},
	{"bench/c2pa__truepic-20230212-landscape.jpg", [4]float64{0.20, 0.58, 0.31, 0.66}, "a tree"},
	{"bench/coil__large.jpg", [4]float64{0.20, 0.45, 0.83, 0.74}, "yellow shoes"},
	{"bench/exifr__heic-iphone.heic", [4]float64{0.47, 0.60, 0.57, 0.76}, "a swimmer"},
	{"bench/image__test.jpg", [4]float64{0.20, 0.22, 0.60, 0.80}, "a building and cranes"},
	{"bench/transformimgs__big-jpeg.jpg", [4]float64{0.42, 0.50, 0.91, 0.87}, "a car"},
	{"heic/coil__basic.heic", [4]float64{0.20, 0.10, 0.75, 0.85}, "a face"},
	{"heic/coil__static.heif", [4]float64{0.30, 0.30, 0.44, 1}, "a man"},
	{"heic/exifr__heic-collection.heic", [4]float64{0.29, 0.28, 0.62, 1}, "a man with a bag"},
	{"jpeg-cmyk/zune-image__four_components.jpg", [4]float64{0.42, 0.70, 0.55, 0.95}, "a man before the sun"},
	{"jpeg/image__cat.jpg", [4]float64{0.15, 0.18, 0.55, 0.95}, "a cat"},
	{"jpeg/libvips__sample.jpg", [4]float64{0.30, 0.05, 0.70, 0.55}, "a man"},
	{"jpeg/pillow__hopper.jpg", [4]float64{0.28, 0.08, 0.72, 0.75}, "a face"},
	{"jpeg/zune-image__fox410.jpg", [4]float64{0.30, 0.08, 0.66, 0.70}, "a fox of stone"},
	{"orientation/orient__Portrait_1.jpg", [4]float64{0.36, 0.60, 0.52, 0.90}, "a man"},
	{"webp/pillow__flower.webp", [4]float64{0.36, 0.33, 0.62, 0.73}, "a flower"},
	{"c2pa/c2pa__nikon-20221019-building.jpeg", [4]float64{0.36, 0.45, 0.58, 0.62}, "a number on a door"},
}

// judged are other pictures, marked before focus had seen one of them. No weight may be chosen by them.
var judged = []subject{
	{"avif/linku__kimono.rotate90.avif", [4]float64{0.30, 0.04, 0.85, 0.60}, "a drawn woman"},
	{"bench/bimg__vertical.jpg", [4]float64{0, 0.66, 1, 0.90}, "mountains under the stars"},
	{"bench/exifr__IMG_20180725_163423.jpg", [4]float64{0.20, 0.58, 0.62, 1}, "a path"},
	{"bench/exifr__heic-iphone7.heic", [4]float64{0.40, 0.25, 0.60, 0.40}, "the light behind hills"},
	{"bench/uhdr__Ultra_HDR_Samples_Originals_04.jpg", [4]float64{0.43, 0.68, 0.50, 0.78}, "a fountain"},
	{"c2pa/c2pa__adobe-20220124-E-sig-CA.jpg", [4]float64{0.24, 0, 0.78, 1}, "ribbons"},
	{"heic/exifr__heic-single.heic", [4]float64{0.20, 0.38, 0.43, 0.70}, "a hut"},
	{"heic/libheif__example.heic", [4]float64{0.55, 0.10, 1, 0.75}, "houses"},
	{"jpeg-cmyk/sharp__Channel_digital_image_CMYK_color.jpg", [4]float64{0.54, 0.18, 0.77, 0.90}, "people"},
	{"jpeg-cmyk/zune-image__cymk.jpg", [4]float64{0.45, 0.03, 1, 0.66}, "the nearest parachutist"},
	{"jpeg-multi/pillow__sugarshack_bad_mpo_header.jpg", [4]float64{0.22, 0.20, 0.60, 0.80}, "a tree"},
	{"jpeg/coil__normal_grayscale.jpg", [4]float64{0.20, 0.60, 0.95, 1}, "a road"},
	{"webp/libwebp-test-data__lossy_extreme_probabilities.webp", [4]float64{0, 0.38, 0.52, 0.75}, "a cliff"},
	{"webp/image__anim.webp", [4]float64{0.03, 0.45, 0.38, 0.80}, "a ring"},
	{"gif/pillow__chi.gif", [4]float64{0.20, 0.25, 0.32, 0.36}, "a patch"},
	{"apng/pillow__iss634.apng", [4]float64{0.22, 0.05, 0.72, 0.98}, "a drawn figure"},
}

// The numbers of subjects that crops must show whole. Crops of the middle show 13 and 9.
const (
	wantedTuned  = 16
	wantedJudged = 12
)

// TestSubjects crops pictures to squares, and square ones to 3:5, by the gravity auto.
func TestSubjects(t *testing.T) {
	needsHEIC(t)
	for _, c := range []struct {
		name   string
		of     []subject
		wanted int
	}{{"tuned", tuned, wantedTuned}, {"judged", judged, wantedJudged}} {
		inside, centred := 0, 0
		for _, s := range c.of {
			auto, middle := shownBy(t, s)
			if auto {
				inside++
			}
			if middle {
				centred++
			}
		}
		t.Logf("%s: %d of %d subjects are inside the crop; of crops of the middle %d", c.name, inside, len(c.of), centred)
		if inside < c.wanted {
			t.Errorf("%s: %d subjects are inside the crop, less than %d", c.name, inside, c.wanted)
		}
	}
}

// shownBy reports whether a crop by the gravity auto, and one of the middle, shows a subject whole.
func shownBy(t *testing.T, s subject) (auto, middle bool) {
	t.Helper()
	in, h := corpusFile(t, s.name)
	w, hh := h.Shown()
	side := min(w, hh, 600)
	o := render.Options{Width: side, Height: side, Fit: render.Cover, Gravity: render.GravityAuto}
	if w == hh {
		o.Width = o.Height * 3 / 5
	}
	j := render.Job{Header: h, Options: o}
	if err := look(in, &j); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	shows := func(o render.Options) bool {
		p := o.Plan(w, hh)
		x0, y0 := float64(p.CropX)/float64(p.ScaleW), float64(p.CropY)/float64(p.ScaleH)
		x1, y1 := float64(p.CropX+p.CropW)/float64(p.ScaleW), float64(p.CropY+p.CropH)/float64(p.ScaleH)
		const rounding = 0.005
		return s.at[0] >= x0-rounding && s.at[1] >= y0-rounding && s.at[2] <= x1+rounding && s.at[3] <= y1+rounding
	}
	if auto = shows(j.Options); !auto {
		t.Logf("%s: %s is not inside the crop at %s", s.name, s.what, j.Options.Gravity)
	}
	o.Gravity = ""
	return auto, shows(o)
}

// TestFocus: a disc on a plain ground is inside a crop, wherever it is, also in a picture that is flipped, rotated,
// trimmed or stored in another orientation; a picture of one colour is cropped in its middle.
func TestFocus(t *testing.T) {
	for _, at := range []image.Point{{45, 50}, {150, 50}, {255, 50}} {
		m := flat(301, 101, color.NRGBA{200, 200, 190, 255})
		for y := range 101 {
			for x := range 301 {
				if d := image.Pt(x, y).Sub(at); d.X*d.X+d.Y*d.Y < 30*30 {
					m.SetNRGBA(x, y, red)
				}
			}
		}
		for _, text := range []string{"", ",flip=h", ",trim=3;0;5;0"} {
			o, err := render.ParseOptions("fit=cover,width=80,height=80,gravity=auto" + text)
			if err != nil {
				t.Fatal(err)
			}
			for orientation := 1; orientation <= 8; orientation++ {
				in, h := fileOf(t, encodePNG(t, stored(m, orientation)))
				h.Orientation = orientation
				got := pictureIn(t, in, h, o)
				if n := reds(got); n < 1650 || got.Rect.Dx() != 80 { // of pi x 30² x (80/101)²
					t.Errorf("disc at %v, orientation %d%s: %d red pixels in the crop", at, orientation, text, n)
				}
			}
		}
	}
	j := render.Job{Options: render.Options{Width: 10, Height: 10, Fit: render.Cover, Gravity: render.GravityAuto}}
	in, h := fileOf(t, encodePNG(t, flat(30, 11, blue)))
	j.Header = h
	if err := look(in, &j); err != nil || j.Options.Gravity != "" {
		t.Errorf("a picture of one colour: %q, %v", j.Options.Gravity, err)
	}
}

func reds(m *image.NRGBA) (n int) {
	for i := 0; i < len(m.Pix); i += 4 {
		if m.Pix[i] > 180 && m.Pix[i+1] < 80 {
			n++
		}
	}
	return n
}

// pictureIn is picture with pixels of 8 bits.
func pictureIn(t *testing.T, in *os.File, h imagefile.Header, o render.Options) *image.NRGBA {
	t.Helper()
	return eightBits(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
}
