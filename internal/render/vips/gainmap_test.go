package vips

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// phoneGain is the XMP of a gain map.
const phoneGain = `hdrgm:GainMapMin="0" hdrgm:GainMapMax="2" hdrgm:HDRCapacityMax="2" hdrgm:OffsetSDR="0" ` +
	`hdrgm:OffsetHDR="0">`

// blobs is a picture without symmetry, of few high frequencies.
func blobs(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := (float64(x)+0.5)/float64(w), (float64(y)+0.5)/float64(h)
			v := 90*fx + 50*fy + 30*(1+math.Sin(31*fx+4*fy))
			for _, b := range [][3]float64{{0.2, 0.3, 110}, {0.75, 0.6, -70}, {0.55, 0.2, 60}} {
				v += b[2] * math.Exp(-60*((fx-b[0])*(fx-b[0])+(fy-b[1])*(fy-b[1])))
			}
			c := byte(min(max(v, 0), 255))
			m.SetNRGBA(x, y, color.NRGBA{c, c, c, 255})
		}
	}
	return m
}

// ultraHDR is a picture in an orientation, and a map of w x h pixels with the same content. So the map of a rendition
// must look like the rendition.
func ultraHDR(t testing.TB, orientation, w, h int, coloured bool) []byte {
	t.Helper()
	gains := image.Image(stored(blobs(w, h), orientation))
	if !coloured {
		grey := image.NewGray(gains.Bounds())
		for i := range grey.Pix {
			grey.Pix[i] = gains.(*image.NRGBA).Pix[4*i]
		}
		gains = grey
	}
	return imagefiletest.UltraHDR{
		Picture: exifJPEG(encodedJPEG(t, stored(blobs(400, 300), orientation)), uint16(orientation)),
		Map:     encodedJPEG(t, gains), XMP: phoneGain, MPF: binary.LittleEndian,
	}.Bytes()
}

// hdrJob returns the job of a rendition with the gain map of a file, which the file must have.
func hdrJob(t testing.TB, in *os.File, h imagefile.Header, options string) render.Job {
	t.Helper()
	o, err := render.ParseOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := imagefile.FindGainMap(in, info.Size())
	if err != nil || m == nil {
		t.Fatalf("the gain map: %+v, %v", m, err)
	}
	return render.Job{Header: h, Options: o, Format: imagefile.JPEG, HDR: true, GainMap: m}
}

// gainMapOf returns the picture in a rendition, and its gain map.
func gainMapOf(t testing.TB, data []byte) (picture, gains image.Image, m *imagefile.GainMap) {
	t.Helper()
	m, err := imagefile.FindGainMap(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if m == nil {
		return decode(t, data), nil, nil
	}
	if m.Off+m.Size != int64(len(data)) {
		t.Errorf("the map ends at %d of %d bytes", m.Off+m.Size, len(data))
	}
	return decode(t, data), decode(t, data[m.Off:]), m
}

// maxMisfit is the bound of the misfit of a gain map that covers its picture, about half a pixel of the map.
const maxMisfit = 2.5

// misfit is the mean difference of a gain map and the picture that it should look like.
func misfit(picture, gains image.Image) float64 {
	p, g := picture.Bounds().Size(), gains.Bounds().Size()
	grey := func(c color.Color) float64 { return float64(color.GrayModel.Convert(c).(color.Gray).Y) }
	sum := 0.0
	for y := range g.Y {
		for x := range g.X {
			// The pixels of the picture below the middle of that of the map.
			x1, y1 := ((2*x+1)*p.X-g.X)/(2*g.X), ((2*y+1)*p.Y-g.Y)/(2*g.Y)
			x2, y2 := ((2*x+1)*p.X+g.X-1)/(2*g.X), ((2*y+1)*p.Y+g.Y-1)/(2*g.Y)
			mean := (grey(picture.At(x1, y1)) + grey(picture.At(x2, y1)) + grey(picture.At(x1, y2)) +
				grey(picture.At(x2, y2))) / 4
			sum += math.Abs(grey(gains.At(x, y)) - mean)
		}
	}
	return sum / float64(g.X*g.Y)
}

// TestGainMapFollows: a gain map has the crop, the size and the turn of its picture, which is the same without it.
func TestGainMapFollows(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders many gain maps")
	}
	sizes := [][3]int{{100, 75, 0}, {400, 300, 1}, {57, 41, 0}} // of maps; coloured
	for orientation := 1; orientation <= 8; orientation++ {
		size := sizes[orientation%len(sizes)]
		w, h := size[0], size[1]
		in, header := fileOf(t, ultraHDR(t, orientation, w, h, size[2] == 1))
		for i, options := range []string{
			"", "width=200", "width=37", "width=800,fit=contain", "fit=cover,width=150,height=150",
			"fit=cover,width=90,height=200,gravity=0.1x0.9", "fit=cover,width=160,height=60,gravity=auto",
			"fit=squeeze,width=300,height=100", "rotate=90", "rotate=270,flip=h,width=111", "flip=hv",
			"trim=31;7;52;99", "trim=31;7;52;99,rotate=180,fit=cover,width=77,height=130", "trim.left=17,width=91,dpr=2",
			"fit=cover,width=64,height=290,trim.top=9", "metadata=keep", "metadata=none,quality=60",
			"format=baseline-jpeg", "compression=fast", "sharpen=1", "trim=border",
		} {
			if (i+orientation)%2 == 0 {
				continue // half of them are enough for each
			}
			name := fmt.Sprintf("orientation %d, %q", orientation, options)
			job := hdrJob(t, in, header, options)
			made1 := made(t, in, job)
			job.HDR, job.GainMap = false, nil
			without := made(t, in, job)
			picture, gains, m := gainMapOf(t, made1)
			if m == nil {
				t.Errorf("%s: no gain map", name)
				continue
			}
			if d := misfit(picture, gains); d > maxMisfit {
				t.Errorf("%s: the map of %v differs by %.2f from the picture of %v", name, gains.Bounds().Size(), d,
					picture.Bounds().Size())
			}
			p, g := picture.Bounds().Size(), gains.Bounds().Size()
			if math.Abs(float64(p.X*g.Y)/float64(p.Y*g.X)-1) > 0.015 && min(p.X, p.Y) > 8 || g.X > p.X || g.Y > p.Y {
				t.Errorf("%s: a map of %v for %v", name, g, p)
			}
			checkSamePicture(t, name, made1[:m.Off], without)
		}
	}
}

// checkSamePicture wants two JPEGs to have the same bytes, further segments before the first table aside.
func checkSamePicture(t testing.TB, name string, with, without []byte) {
	t.Helper()
	table := []byte{0xff, 0xdb, 0, 67}
	a, b := bytes.Index(with, table), bytes.Index(without, table)
	if a < b || b < 0 || !bytes.Equal(with[a:], without[b:]) || !bytes.HasPrefix(with, without[:b]) {
		t.Errorf("%s: the picture of %d bytes is another one than without the map, of %d bytes", name, len(with),
			len(without))
	}
}

// TestMisfit: the measure of TestGainMapFollows finds a map that is turned, or cropped elsewhere.
func TestMisfit(t *testing.T) {
	m := blobs(400, 300)
	if d := misfit(m, blobs(100, 75)); d > 1 {
		t.Errorf("the same: %.2f", d)
	}
	for name, other := range map[string]image.Image{
		"mirrored": mirrored(m), "turned": turned(m, 2), "half a pixel of the map to the right": part(m, 4, 0, 396, 300),
	} {
		if d := misfit(m, other); d < maxMisfit {
			t.Errorf("%s: %.2f only", name, d)
		}
	}
}

// TestGainMapDiscarded: what changes the tones, or draws around the picture, leaves no map; nor does a damaged one.
func TestGainMapDiscarded(t *testing.T) {
	whole := ultraHDR(t, 6, 100, 75, false)
	in, h := fileOf(t, whole)
	for _, options := range []string{"fit=pad,width=200,height=200", "border=%23ff0000;3", "trim=border,border=%23ff0000;3"} {
		if _, gains, _ := gainMapOf(t, made(t, in, hdrJob(t, in, h, options))); gains != nil {
			t.Errorf("%q has a gain map", options)
		}
	}
	for _, options := range []string{"fit=pad,width=200,height=150", "trim=border,fit=pad,width=80,height=60"} {
		if _, gains, _ := gainMapOf(t, made(t, in, hdrJob(t, in, h, options))); gains == nil {
			t.Errorf("%q fills the box, and has no gain map", options)
		}
	}
	job := hdrJob(t, in, h, "width=200")
	damaged := bytes.Clone(whole)
	clear(damaged[job.GainMap.Off+job.GainMap.Size-400:])
	broken, _ := fileOf(t, damaged)
	withMap := made(t, broken, job)
	if _, gains, _ := gainMapOf(t, withMap); gains != nil {
		t.Error("a damaged map is in the rendition")
	}
	job.GainMap = nil
	if !bytes.Equal(withMap, made(t, in, job)) {
		t.Error("beside a damaged map the picture is another one")
	}
}

// TestGainMapColours: gains in colours of the map keep its profile, and are nothing without it.
func TestGainMapColours(t *testing.T) {
	own := imagefile.Gain{FullHeadroom: 2_000_000, Max: [3]int32{2_000_000, 1_500_000, 1_000_000},
		Gamma: [3]int32{1_000_000, 1_000_000, 1_000_000}, OwnColours: true}
	gains := encodedJPEG(t, blobs(100, 75))
	for _, profiled := range []bool{true, false} {
		gainMap := gains
		if profiled {
			gainMap = withProfile(gains, profile("RGB "))
		}
		joined, err := imagefile.JoinGainMap(encodedJPEG(t, blobs(400, 300)), gainMap, own)
		if err != nil {
			t.Fatal(err)
		}
		in, h := fileOf(t, joined)
		data := made(t, in, hdrJob(t, in, h, "width=300"))
		_, shown, m := gainMapOf(t, data)
		if (shown != nil) != profiled {
			t.Fatalf("profile %v, gain map %v", profiled, shown != nil)
		}
		if m != nil && (m.Gain != own || !bytes.Contains(data[m.Off:], profile("RGB "))) {
			t.Errorf("the map has %+v, or lacks its profile", m.Gain)
		}
	}
}

// TestUltraHDRReader has libultrahdr read renditions: of three pictures made here, and of a phone's.
func TestUltraHDRReader(t *testing.T) {
	program := filepath.Join(t.TempDir(), "uhdr")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/uhdr").CombinedOutput(); err != nil {
		t.Fatalf("building the reader: %v: %s", err, out)
	}
	var files []string
	add := func(data []byte, options string) {
		in, h := fileOf(t, data)
		name := filepath.Join(t.TempDir(), "rendition.jpg")
		if err := os.WriteFile(name, made(t, in, hdrJob(t, in, h, options)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	add(ultraHDR(t, 6, 100, 75, false), "width=200")
	add(ultraHDR(t, 1, 400, 300, true), "fit=cover,width=150,height=250")
	add(ultraHDR(t, 3, 57, 41, false), "trim=31;7;52;99,rotate=90")
	phone, err := os.ReadFile(filepath.Join(imagefiletest.Corpus(t), "bench/uhdr__Ultra_HDR_Samples_Originals_04.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(t.TempDir(), "original.jpg")
	if err := os.WriteFile(original, phone, 0o600); err != nil {
		t.Fatal(err)
	}
	add(phone, "width=1366")
	out, err := exec.Command(program, append(files, original)...).Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) && failed.ExitCode() == 3 {
		t.Skip("this libvips has no libultrahdr")
	}
	if err != nil {
		t.Fatal(err)
	}
	type reading struct{ Width, Height, MapWidth, MapHeight, MapBands, Capacity, Largest, Mean, MeanHDR float64 }
	var got []reading
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r reading
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	for i, want := range []reading{
		{Width: 200, Height: 150, MapWidth: 171, MapHeight: 128, MapBands: 1, Capacity: 4},
		{Width: 150, Height: 250, MapWidth: 128, MapHeight: 213, MapBands: 3, Capacity: 4},
		{Width: 217, Height: 294, MapWidth: 128, MapHeight: 173, MapBands: 1, Capacity: 4},
		{Width: 1366, Height: 1029, MapWidth: 683, MapHeight: 515, MapBands: 1, Capacity: math.Exp2(2.057993)},
	} {
		r := got[i]
		t.Logf("%+v", r)
		if math.Abs(r.Capacity-want.Capacity) > 0.001 || r.MeanHDR < 1.1*r.Mean || r.Largest < 0.2 {
			t.Errorf("file %d: %+v", i, r)
		}
		r.Capacity, r.Largest, r.Mean, r.MeanHDR = want.Capacity, 0, 0, 0
		if r != want {
			t.Errorf("file %d: %+v, want %+v", i, r, want)
		}
	}
	if a, b := got[3], got[4]; math.Abs(a.MeanHDR/a.Mean-b.MeanHDR/b.Mean) > 0.02*b.MeanHDR/b.Mean {
		t.Errorf("the rendition is %.3f times as bright as its SDR, the original %.3f times", a.MeanHDR/a.Mean,
			b.MeanHDR/b.Mean)
	}
}
