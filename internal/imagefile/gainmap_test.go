package imagefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"calotype/internal/imagefile/imagefiletest"
)

// numbersOf returns the numbers of a Gain in the form of ISO 21496-1, as n/d.
func numbersOf(flags byte, numbers ...[2]int) []byte {
	b := []byte{0, 0, 0, 0, flags}
	for _, n := range numbers {
		b = append(b, be32(n[0])...)
		b = append(b, be32(n[1])...)
	}
	return b
}

func of3(a, b, c int32) [3]int32 { return [3]int32{a, b, c} }

func all3(n int32) [3]int32 { return of3(n, n, n) }

// greyMap encodes a JPEG of one channel that is brighter to the right.
func greyMap(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(i % w * 255 / w)
	}
	return encodeJPEG(t, m)
}

func colourMap(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{byte(x * 5), byte(y * 5), 90, 255})
		}
	}
	return encodeJPEG(t, m)
}

func encodeJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ultraHDRs are files as phones, Adobe and Apple write them, with the Gain that each means.
func ultraHDRs(t testing.TB) map[string]struct {
	file imagefiletest.UltraHDR
	gain Gain
} {
	picture := sampleJPEG(t, 80, 60, jpegExif(6))
	type sample = struct {
		file imagefiletest.UltraHDR
		gain Gain
	}
	phone := Gain{FullHeadroom: 2_057_993, Max: all3(2_057_993), Gamma: all3(million)}
	return map[string]sample{
		"phone": {imagefiletest.UltraHDR{Picture: picture, Map: greyMap(t, 20, 15), MPF: binary.LittleEndian,
			XMP: `hdrgm:GainMapMin="0.000000" hdrgm:GainMapMax="2.057993" hdrgm:HDRCapacityMin="0.0" ` +
				`hdrgm:HDRCapacityMax="2.057993" hdrgm:OffsetHDR="0" hdrgm:OffsetSDR="0.000000">`}, phone},
		"lists": {imagefiletest.UltraHDR{Picture: picture, Map: colourMap(t, 40, 30),
			XMP: `hdrgm:HDRCapacityMax="3.5" hdrgm:BaseRenditionIsHDR="False"><hdrgm:GainMapMin><rdf:Seq>` +
				`<rdf:li>-0.5</rdf:li> <rdf:li>0</rdf:li> <rdf:li>-0.25</rdf:li></rdf:Seq></hdrgm:GainMapMin>` +
				`<hdrgm:GainMapMax><rdf:Seq><rdf:li>3</rdf:li><rdf:li>3.25</rdf:li><rdf:li>3.5</rdf:li></rdf:Seq>` +
				`</hdrgm:GainMapMax><hdrgm:Gamma>0.8</hdrgm:Gamma>`},
			Gain{FullHeadroom: 3_500_000, Min: of3(-500_000, 0, -250_000), Max: of3(3_000_000, 3_250_000, 3_500_000),
				Gamma: all3(800_000), PictureOffset: all3(15_625), FullOffset: all3(15_625)}},
		"iso": {imagefiletest.UltraHDR{Picture: picture, Map: greyMap(t, 80, 60), MPF: binary.BigEndian,
			ISO: numbersOf(isoBaseColours, [2]int{0, 1}, [2]int{5, 2}, [2]int{-1, 4}, [2]int{7, 3}, [2]int{1, 1},
				[2]int{1, 64}, [2]int{1, 64})},
			Gain{FullHeadroom: 2_500_000, Min: all3(-250_000), Max: all3(2_333_333), Gamma: all3(million),
				PictureOffset: all3(15_625), FullOffset: all3(15_625)}},
		"common denominator": {imagefiletest.UltraHDR{Picture: picture, Map: colourMap(t, 40, 30),
			MPF: binary.BigEndian, ISO: slices.Concat([]byte{0, 0, 0, 0, isoColours | isoCommon}, be32(4), be32(1),
				be32(9), be32(-1), be32(8), be32(4), be32(0), be32(1), be32(0), be32(7), be32(5), be32(0), be32(0),
				be32(0), be32(9), be32(4), be32(2), be32(2))},
			Gain{PictureHeadroom: 250_000, FullHeadroom: 2_250_000, Min: of3(-250_000, 0, 0),
				Max: of3(2_000_000, 1_750_000, 2_250_000), Gamma: of3(1_000_000, 1_250_000, 1_000_000),
				PictureOffset: of3(0, 0, 500_000), FullOffset: of3(250_000, 0, 500_000), OwnColours: true}},
		"iso counts": {imagefiletest.UltraHDR{Picture: picture, Map: greyMap(t, 20, 15), MPF: binary.BigEndian,
			XMP: `hdrgm:GainMapMax="1" hdrgm:HDRCapacityMax="1">`, ISO: phone.iso()}, phone},
	}
}

func findIn(t testing.TB, b []byte) *GainMap {
	t.Helper()
	m, err := FindGainMap(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFindGainMap(t *testing.T) {
	t.Parallel()
	for name, c := range ultraHDRs(t) {
		b := c.file.Bytes()
		m := findIn(t, b)
		if m == nil || m.Gain != c.gain {
			t.Errorf("%s: got %+v, want %+v", name, m, c.gain)
			continue
		}
		if m.Off+m.Size != int64(len(b)) || m.Header.Width%20 != 0 || m.Header.Width*3 != m.Header.Height*4 {
			t.Errorf("%s: %+v of %d bytes", name, m, len(b))
		}
		// Its segments mean the same, in both forms.
		parts := m.Gain.segments()
		iso, ok := isoGain(m.Gain.iso())
		if !ok || iso != m.Gain || bytes.Count(parts, []byte(isoGainPrefix)) != 1 {
			t.Errorf("%s: its ISO is that of %+v", name, iso)
		}
		inXMP := m.Gain
		inXMP.OwnColours = false // XMP cannot say so
		if x, ok := xmpGain(parts[4+len(xmpPacket) : bytes.Index(parts, []byte(isoGainPrefix))-4]); !ok || x != inXMP {
			t.Errorf("%s: its XMP is that of %+v", name, x)
		}
		joined, err := JoinGainMap(c.file.Picture, c.file.Map, m.Gain)
		if err != nil {
			t.Fatal(err)
		}
		if again := findIn(t, joined); again == nil || again.Gain != m.Gain || again.Header != m.Header ||
			again.Off+again.Size != int64(len(joined)) {
			t.Errorf("%s: joined it is %+v", name, again)
		}
		samePicture(t, name, c.file.Picture, joined)
		// Where MPF is no good, the map is behind the picture.
		if damaged := bytes.Replace(joined, []byte("MPF\x00MM"), []byte("MPF\x00XX"), 1); findIn(t, damaged) == nil {
			t.Errorf("%s: not found without MPF", name)
		}
	}
}

// TestFindNoGainMap: what is no map, cannot be right, or would cost more than the picture.
func TestFindNoGainMap(t *testing.T) {
	t.Parallel()
	const phone = `hdrgm:GainMapMax="2" hdrgm:HDRCapacityMax="2">`
	good := imagefiletest.UltraHDR{Picture: sampleJPEG(t, 80, 60), Map: greyMap(t, 20, 15), XMP: phone,
		MPF: binary.LittleEndian}
	with := func(change func(*imagefiletest.UltraHDR)) []byte {
		u := good
		change(&u)
		return u.Bytes()
	}
	xmp := func(text string) []byte { return with(func(u *imagefiletest.UltraHDR) { u.XMP = text }) }
	iso := func(content []byte) []byte {
		return with(func(u *imagefiletest.UltraHDR) { u.XMP, u.ISO = "", content })
	}
	one, zero := [2]int{1, 1}, [2]int{0, 1}
	b := good.Bytes()
	if findIn(t, b) == nil {
		t.Fatal("the good file has no map")
	}
	if findIn(t, iso(numbersOf(0, zero, one, zero, one, one, zero, zero))) == nil {
		t.Fatal("the good ISO has no map")
	}
	for name, b := range map[string][]byte{
		"no map": good.Picture, "a PNG": samplePNG(t, 8, 8), "empty": nil, "cut short": b[:len(b)-len(good.Map)-500],
		"a stereo pair":           with(func(u *imagefiletest.UltraHDR) { u.XMP = "" }),
		"larger than the picture": with(func(u *imagefiletest.UltraHDR) { u.Map = greyMap(t, 81, 60) }),
		"no JPEG":                 with(func(u *imagefiletest.UltraHDR) { u.Map = samplePNG(t, 20, 15) }),
		"no largest gain":         xmp(`hdrgm:HDRCapacityMax="2">`),
		"no headroom":             xmp(`hdrgm:GainMapMax="2">`),
		"headroom of nothing":     xmp(`hdrgm:GainMapMax="2" hdrgm:HDRCapacityMax="0">`),
		"a bright picture":        xmp(`hdrgm:BaseRenditionIsHDR="True" ` + phone),
		"largest below smallest":  xmp(`hdrgm:GainMapMin="2.1" ` + phone),
		"no number":               xmp(`hdrgm:GainMapMin="low" ` + phone),
		"not finite":              xmp(`hdrgm:GainMapMin="-Inf" ` + phone),
		"NaN":                     xmp(`hdrgm:Gamma="NaN" ` + phone),
		"over the bound":          xmp(`hdrgm:GainMapMax="33" hdrgm:HDRCapacityMax="2">`),
		"gamma 0":                 xmp(`hdrgm:Gamma="0" ` + phone),
		"offset below 0":          xmp(`hdrgm:OffsetSDR="-0.1" ` + phone),
		"two colours":             xmp(phone + `<hdrgm:Gamma><rdf:li>1</rdf:li><rdf:li>1</rdf:li></hdrgm:Gamma>`),
		"four colours":            xmp(phone + `<hdrgm:Gamma>` + strings.Repeat(`<rdf:li>1</rdf:li>`, 4) + `</hdrgm:Gamma>`),
		"many colours":            xmp(phone + `<hdrgm:Gamma>` + strings.Repeat(`<rdf:li>1</rdf:li>`, 400) + `</hdrgm:Gamma>`),
		"ISO of nothing":          iso([]byte{0, 0, 0, 0}),
		"newer ISO":               iso(append([]byte{0, 1}, numbersOf(0, zero, one, zero, one, one, zero, zero)[2:]...)),
		"ISO cut short":           iso(numbersOf(0, zero, one, zero, one, one, zero)),
		"ISO of one colour":       iso(numbersOf(isoColours, zero, one, zero, one, one, zero, zero)),
		"ISO over nothing":        iso(numbersOf(0, zero, [2]int{1, 0}, zero, one, one, zero, zero)),
		"common nothing":          iso(numbersOf(isoCommon, zero, one, zero, one, one, zero, zero)),
		"ISO backward":            iso(numbersOf(isoBackward, zero, one, zero, one, one, zero, zero)),
		"ISO bright picture":      iso(numbersOf(0, one, zero, zero, one, one, zero, zero)),
	} {
		if m := findIn(t, b); m != nil {
			t.Errorf("%s: found %+v", name, m)
		}
	}
}

func TestJoinGainMapRefuses(t *testing.T) {
	t.Parallel()
	picture := greyMap(t, 8, 8)
	for _, bad := range [][]byte{nil, picture[:3], samplePNG(t, 8, 8), {0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff}} {
		for _, pair := range [][2][]byte{{bad, picture}, {picture, bad}} {
			if _, err := JoinGainMap(pair[0], pair[1], Gain{}); err == nil {
				t.Errorf("%.20q was joined", bad)
			}
		}
	}
}

// TestStripKeepsGainMap: the gain map of an original stays, without its metadata and what is around it.
func TestStripKeepsGainMap(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	for name, c := range ultraHDRs(t) {
		u := c.file
		u.Picture = join(u.Picture[:2], jpegSegment(0xe1, []byte(exifPrefix+string(canaryExif(binary.BigEndian, 6)))),
			u.Picture[2:])
		u.Map = join(u.Map[:2], jpegExif(3), jpegSegment(0xe1, []byte(exifPrefix+canary)), jpegSegment(0xfe,
			[]byte(canary)), u.Map[2:])
		if u.MPF != nil {
			u.Between = []byte(canary)
		}
		b := append(u.Bytes(), canary...)
		for _, p := range []Privacy{PrivacyGPS, PrivacyAll} {
			out, removed := checkPrivate(t, name, b, p)
			m := findIn(t, out)
			if m == nil || m.Gain != c.gain || m.Off+m.Size != int64(len(out)) {
				t.Fatalf("%s: the copy has %+v", name, m)
			}
			samePicture(t, name, u.Picture, out)
			samePicture(t, name, u.Map, out[m.Off:])
			for _, secret := range []string{canary, "CANARY-l"} {
				if bytes.Contains(out[m.Off:], []byte(secret)) || bytes.HasSuffix(out[:m.Off], []byte(secret)) {
					t.Errorf("%s, %s: %q is left", name, p, secret)
				}
			}
			if !slices.Contains(removed, RemovedTrailing) || !slices.Contains(removed, RemovedText) {
				t.Errorf("%s: %v removed", name, removed)
			}
		}
		// A map that ends within its pixels is no picture.
		u.Map = u.Map[:len(u.Map)-30]
		if out, removed := checkPrivate(t, name, u.Bytes(), PrivacyAll); findIn(t, out) != nil ||
			!slices.Contains(removed, RemovedTrailing) {
			t.Errorf("%s: a map that is cut short stays, %v removed", name, removed)
		}
	}
}

// TestGainMapCorpus: the pictures of phones in the corpus have a map, in copies too.
func TestGainMapCorpus(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"bench/uhdr__Ultra_HDR_Samples_Originals_04.jpg": "1020x768 2.057993",
		"jpeg-multi/pillow__frozenpond.mpo":              "",
		"jpeg-multi/pillow__ultrahdr.jpg":                "", // its map was cut off
	} {
		b, err := os.ReadFile(filepath.Join(imagefiletest.Corpus(t), name))
		if err != nil {
			t.Fatal(err)
		}
		m := findIn(t, b)
		if (m == nil) != (want == "") {
			t.Fatalf("%s: %+v", name, m)
		}
		if m == nil {
			continue
		}
		if m.Header.Width != 1020 || m.Header.Height != 768 || m.Gain.Max != all3(2_057_993) {
			t.Errorf("%s: %+v, want %s", name, m, want)
		}
		out, _ := checkPrivate(t, name, b, PrivacyGPS)
		if kept := findIn(t, out); kept == nil || kept.Gain != m.Gain || kept.Header != m.Header {
			t.Errorf("%s: the copy has %+v", name, kept)
		}
	}
}

func FuzzFindGainMap(f *testing.F) {
	for _, c := range ultraHDRs(f) {
		f.Add(c.file.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := FindGainMap(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if m != nil && (!m.Gain.valid() || m.Off <= 0 || m.Size <= 0 || m.Off+m.Size > int64(len(b))) {
			t.Fatalf("%+v", m)
		}
		out, _, h, err := stripOriginal(b, PrivacyAll)
		if err != nil || h.Format != JPEG {
			return
		}
		again, rest, after, err := stripOriginal(out, PrivacyAll)
		if err != nil || after != h || !bytes.Equal(again, out) || len(rest) > 0 {
			t.Fatalf("%+v became %+v, %v; a copy of the copy removes %v", h, after, err, rest)
		}
		if kept := findIn(t, out); kept != nil && (m == nil || kept.Gain != m.Gain) {
			t.Fatalf("%+v became %+v", m, kept)
		}
	})
}

// TestGainMapXMPIsBounded: a file may have many segments of XMP, but only the first ones are parsed.
func TestGainMapXMPIsBounded(t *testing.T) {
	t.Parallel()
	g := ultraHDRs(t)["phone"].gain
	valid := g.segments()
	valid = valid[:2+binary.BigEndian.Uint16(valid[2:])] // without that of ISO 21496-1
	for _, others := range []int{0, maxGainXMP - 1, maxGainXMP} {
		gray := greyMap(t, 20, 15)
		u := imagefiletest.UltraHDR{Picture: sampleJPEG(t, 80, 60, nil), MPF: binary.BigEndian,
			Map: join(gray[:2], bytes.Repeat(appSegment(jpegAPP1, xmpPacket, "<a/>"), others), valid, gray[2:])}
		if m := findIn(t, u.Bytes()); (m != nil) != (others < maxGainXMP) {
			t.Errorf("behind %d segments of XMP: %+v", others, m)
		}
	}
}

// failingAt fails one read at or behind an offset, and those after it.
type failingAt struct {
	*bytes.Reader
	from int64
	left int // such reads that succeed
}

func (f *failingAt) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		if f.left--; f.left < 0 {
			return 0, errBroken
		}
	}
	return f.Reader.ReadAt(b, off)
}

var errBroken = errors.New("broken disk")

// TestStripReportsAReadOfAGainMap: whichever read of the map fails, no copy without its end is complete.
func TestStripReportsAReadOfAGainMap(t *testing.T) {
	t.Parallel()
	b := ultraHDRs(t)["phone"].file.Bytes()
	m, size := findIn(t, b), int64(len(b))
	h, err := ReadHeader(bytes.NewReader(b), size)
	if err != nil {
		t.Fatal(err)
	}
	for left := range 1000 {
		var out bytes.Buffer
		r := &failingAt{bytes.NewReader(b), m.Off, left}
		_, err := StripOriginal(&out, r, size, h, PrivacyAll)
		if r.left >= 0 { // no read has failed
			if left == 0 || err != nil || findIn(t, out.Bytes()) == nil {
				t.Errorf("after %d reads: %v", left, err)
			}
			return
		}
		if !errors.Is(err, errBroken) {
			t.Fatalf("read %d fails, and the copy of %d bytes has the error %v", left, out.Len(), err)
		}
	}
	t.Error("the copy has no end")
}
