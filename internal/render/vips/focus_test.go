package vips

import (
	"image"
	"image/color"
	"os"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// subjects are photographs of the corpus, and the rectangle of what each is about, in fractions of the upright
// picture: left, top, right, bottom.
var subjects = []struct {
	name string
	at   [4]float64
	what string
}{
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

// wantedSubjects is the number of subjects that a crop must show whole: crops of the middle show 13.
const wantedSubjects = 16

// TestSubjects crops photographs to squares, and a square one to 3:5, by the gravity auto.
func TestSubjects(t *testing.T) {
	needsHEIC(t)
	inside, centred := 0, 0
	for _, s := range subjects {
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
		ok := shows(j.Options)
		if ok {
			inside++
		} else {
			t.Logf("%s: %s is not inside the crop at %s", s.name, s.what, j.Options.Gravity)
		}
		if o.Gravity = ""; shows(o) {
			centred++
		}
	}
	t.Logf("%d of %d subjects are inside the crop; of crops of the middle %d", inside, len(subjects), centred)
	if inside < wantedSubjects {
		t.Errorf("%d of %d subjects are inside the crop, less than %d", inside, len(subjects), wantedSubjects)
	}
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
