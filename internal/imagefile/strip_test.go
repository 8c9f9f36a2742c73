package imagefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/gif"
	"reflect"
	"slices"
	"testing"
)

func stripBytes(b []byte, f Format) ([]byte, error) {
	var out bytes.Buffer
	err := Strip(&out, bytes.NewReader(b), int64(len(b)), f)
	return out.Bytes(), err
}

// checkStripped strips b and checks what holds for every copy: same header, a copy of the copy is
// the same, and the size grows by no more than an EXIF block.
func checkStripped(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	before, err := readHeader(b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out, err := stripBytes(b, before.Format)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if after, err := readHeader(out); err != nil || after != before {
		t.Fatalf("%s: the copy is %+v, %v; the original %+v", name, after, err, before)
	}
	again, err := stripBytes(out, before.Format)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("%s: a copy of the copy differs: %v", name, err)
	}
	if len(out) > len(b)+40 {
		t.Fatalf("%s: %d bytes became %d", name, len(b), len(out))
	}
	return out
}

// sameGIF checks that two GIFs show the same, as the standard library decodes them.
func sameGIF(t *testing.T, name string, a, b []byte) {
	t.Helper()
	wantGIF, err := gif.DecodeAll(bytes.NewReader(a))
	if err != nil {
		t.Logf("%s: the library does not read the original: %v", name, err)
		return
	}
	got, err := gif.DecodeAll(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(got.Image) != len(wantGIF.Image) {
		t.Fatalf("%s: the copy has %d frames of %d", name, len(got.Image), len(wantGIF.Image))
	}
	for i, m := range got.Image { // by hand: DeepEqual looks at each pixel for itself
		w := wantGIF.Image[i]
		if !bytes.Equal(m.Pix, w.Pix) || m.Rect != w.Rect || !slices.Equal(m.Palette, w.Palette) {
			t.Fatalf("%s: frame %d of the copy differs", name, i)
		}
	}
	got.Image, wantGIF.Image = nil, nil
	if !reflect.DeepEqual(got, wantGIF) {
		t.Fatalf("%s: the copy plays otherwise", name)
	}
}

func TestStripGIF(t *testing.T) {
	t.Parallel()
	const canary = "CANARY"
	xmp := gifExtensionBytes(0xff, "XMP DataXMP", "<x>"+canary+"</x>")
	noisy := sampleGIF(t, 30, 20, 4,
		gifExtensionBytes(0xfe, canary, canary), xmp, gifExtensionBytes(0x77, canary),
		gifExtensionBytes(0x01, "123456789012", canary),
		gifExtensionBytes(0xff, "NETSCAPE2.0", canary),
		gifExtensionBytes(0xff, "NETSCAPE2.1", "\x01\x05\x00"+canary),
		gifExtensionBytes(0xf9, "\x01\x02"), // a control that is too short
	)
	noisy = join(noisy, []byte(canary))
	clean := sampleGIF(t, 30, 20, 4)
	got := checkStripped(t, "noisy", noisy)
	if bytes.Contains(got, []byte(canary)) {
		t.Errorf("the canary is in the copy: %q", got)
	}
	if !bytes.Equal(got, clean) {
		t.Errorf("the copy is not the clean picture")
	}
	sameGIF(t, "noisy", noisy, got)
	if got := checkStripped(t, "clean", clean); !bytes.Equal(got, clean) {
		t.Errorf("a clean picture was changed")
	}
	if got := checkStripped(t, "no trailer", clean[:len(clean)-1]); !bytes.Equal(got, clean) {
		t.Errorf("the trailer was not put back")
	}
}

// TestStripGIFParts looks at single blocks.
func TestStripGIFParts(t *testing.T) {
	t.Parallel()
	screen, frame, trailer := gifScreen(9, 9), gifFrame(0, 0, 9, 9), []byte{gifTrailer}
	loop := gifExtensionBytes(0xff, "NETSCAPE2.0", "\x01\x05\x00")
	anime := gifExtensionBytes(0xff, "ANIMEXTS1.0", "\x01\x05\x00")
	control := gifExtensionBytes(0xf9, "\x05\x0a\x00\x01")
	other := gifExtensionBytes(0xf9, "\x04\x0b\x00\x00")
	for _, c := range []struct {
		name     string
		in, want [][]byte
	}{
		{"loop kept", [][]byte{loop, frame}, [][]byte{loop, frame}},
		{"the other loop kept", [][]byte{anime, frame}, [][]byte{anime, frame}},
		{"loop without its appendix", [][]byte{gifExtensionBytes(0xff, "NETSCAPE2.0",
			"\x01\x05\x00more", "and more"), frame}, [][]byte{loop, frame}},
		{"buffering dropped", [][]byte{gifExtensionBytes(0xff, "NETSCAPE2.0",
			"\x02\x05\x00\x00\x00"), frame}, [][]byte{frame}},
		{"loop behind a frame", [][]byte{frame, loop}, [][]byte{frame, loop}},
		{"control kept", [][]byte{control, frame, frame}, [][]byte{control, frame, frame}},
		{"control without its appendix", [][]byte{gifExtensionBytes(0xf9,
			"\x05\x0a\x00\x01more", "and more"), frame}, [][]byte{control, frame}},
		{"the last control counts", [][]byte{other, control, frame}, [][]byte{control, frame}},
		{"control over text", [][]byte{control, gifExtensionBytes(1, "x"), frame},
			[][]byte{control, frame}},
		{"control of nothing", [][]byte{frame, control}, [][]byte{frame}},
	} {
		in, want := join(screen, join(c.in...), trailer), join(screen, join(c.want...), trailer)
		if got := checkStripped(t, c.name, in); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", c.name, got, want)
		}
	}
}

func TestStripWebP(t *testing.T) {
	t.Parallel()
	const all = webpAnimation | webpEXIF | webpICC | webpAlpha | 0x04 // 0x04 is XMP
	px, loop := losslessChunk(30, 20), webpANIMChunk()
	junk := webpChunkBytes("JUNK", []byte("CANARY!"))
	xmp := webpChunkBytes("XMP ", []byte("CANARY"))
	exif := webpChunkBytes("EXIF", append(sampleExif(binary.BigEndian, 1), "CANARY"...))
	profile := webpChunkBytes("ICCP", []byte("profile"))
	alpha := webpChunkBytes("ALPH", []byte{0, 1, 2})
	lossy := webpChunkBytes("VP8 ", lossyWebP(30, 20))
	turned := webpChunkBytes("EXIF", append(sampleExif(binary.BigEndian, 6), "CANARY"...))
	noisyHead := vp8x(all|0xc1, 30, 20)
	noisyHead[9], noisyHead[10], noisyHead[11] = 'C', 'A', 'N' // reserved
	for _, c := range []struct {
		name     string
		in, want []byte
	}{
		{"lossless", join(webpFile(px, junk), junk), webpFile(px)},
		{"lossy", webpFile(lossy, exif, xmp), webpFile(lossy)},
		{"still", webpFile(vp8x(all&^webpAnimation, 30, 20), junk, profile, junk, alpha, junk,
			lossy, exif, xmp, junk),
			webpFile(vp8x(webpICC|webpAlpha, 30, 20), profile, alpha, lossy)},
		{"profile without its flag", webpFile(vp8x(0, 30, 20), profile, px),
			webpFile(vp8x(0, 30, 20), px)},
		{"flag without a profile", webpFile(vp8x(webpICC, 30, 20), px),
			webpFile(vp8x(0, 30, 20), px)},
		{"two profiles", webpFile(vp8x(webpICC, 30, 20), profile, junk, profile, px),
			webpFile(vp8x(webpICC, 30, 20), profile, px)},
		{"profile too late", webpFile(vp8x(webpICC, 30, 20), px, profile),
			webpFile(vp8x(0, 30, 20), px)},
		{"animation", join(webpFile(noisyHead, junk, profile, loop, junk,
			anmf(0, 0, 30, 20, junk, alpha, junk, lossy, junk), xmp, loop,
			anmf(0, 0, 30, 20, px, junk), exif), junk),
			webpFile(vp8x(webpAnimation|webpICC|webpAlpha, 30, 20), profile, loop,
				anmf(0, 0, 30, 20, alpha, lossy), anmf(0, 0, 30, 20, px))},
	} {
		got := checkStripped(t, c.name, c.in)
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
	got := checkStripped(t, "turned", webpFile(vp8x(webpEXIF|webpAnimation, 30, 20), loop,
		anmf(0, 0, 30, 20, px), turned, xmp))
	if h, _ := readHeader(got); h.Orientation != 6 || bytes.Contains(got, []byte("CANARY")) {
		t.Errorf("turned: got %+v, %q", h, got)
	}
}

func TestStripRefuses(t *testing.T) {
	t.Parallel()
	animation := sampleGIF(t, 9, 9, 2)
	jpeg := sampleJPEG(t, 9, 9)
	for _, c := range []struct {
		name string
		in   []byte
		f    Format
		want error
	}{
		{"jpeg", jpeg, JPEG, ErrUnsupported},
		{"jpeg as gif", jpeg, GIF, ErrUnsupported},
		{"gif as webp", animation, WebP, ErrUnsupported},
		{"cut gif", animation[:len(animation)-2], GIF, ErrMalformed},
		{"cut webp", webpFile(losslessChunk(9, 9))[:20], WebP, ErrMalformed},
		{"nothing", nil, GIF, ErrUnsupported},
	} {
		if _, err := stripBytes(c.in, c.f); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// A fullDisk accepts a number of bytes, then returns an error.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestStripPassesErrors(t *testing.T) {
	t.Parallel()
	animation := join(gifScreen(9, 9), bytes.Repeat(gifFrame(0, 0, 9, 9), 1000))
	film := webpFile(vp8x(webpAnimation, 30, 20), webpANIMChunk(),
		bytes.Repeat(anmf(0, 0, 30, 20, losslessChunk(30, 20)), 1000))
	for f, data := range map[Format][]byte{GIF: animation, WebP: film} {
		for _, room := range []int{0, 5000, 10_000} {
			err := Strip(&fullDisk{room}, bytes.NewReader(data), int64(len(data)), f)
			if !errors.Is(err, errDisk) {
				t.Errorf("%s, room for %d bytes: got %v", f, room, err)
			}
		}
		err := Strip(&fullDisk{1 << 20}, failingReader{data, 9000}, int64(len(data)), f)
		if !errors.Is(err, errDisk) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s, a reader that fails: got %v", f, err)
		}
	}
}

// gifPixels returns all images of a GIF, undecoded.
func gifPixels(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	g, err := openGIF(newWindow(bytes.NewReader(b), int64(len(b))))
	if err != nil {
		t.Fatal(err)
	}
	for {
		k, err := g.next()
		if err != nil {
			t.Fatal(err)
		}
		switch k.kind {
		case gifImage:
			all = append(all, b[k.start:k.end])
		case gifTrailer:
			return all
		}
	}
}

// webpPixels returns the content of all chunks of a WebP that hold pixels.
func webpPixels(t *testing.T, b []byte) (all [][]byte) {
	t.Helper()
	var walk func(r webpReader)
	walk = func(r webpReader) {
		for {
			c, more, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				return
			}
			switch c.kind {
			case "ANMF":
				walk(r.inside(c, webpANMF))
			case "VP8 ", "VP8L", "ALPH":
				all = append(all, b[c.body:c.end()])
			}
		}
	}
	r, err := openWebP(newWindow(bytes.NewReader(b), int64(len(b))))
	if err != nil {
		t.Fatal(err)
	}
	walk(r)
	return all
}

// TestStripCorpus: no metadata is left, the pixels are all there.
func TestStripCorpus(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, c := range readHeaderCorpus(t) {
		h, err := c.header()
		if err != nil || h.Format != GIF && h.Format != WebP {
			continue
		}
		checked++
		out := checkStripped(t, c.path, c.data)
		for _, word := range []string{"CANARY", "XMP", "ICCRGBG1", "Exif\x00", "<script"} {
			if bytes.Contains(out, []byte(word)) {
				t.Errorf("%s: %q is in the copy", c.path, word)
			}
		}
		pixels := webpPixels
		if h.Format == GIF {
			pixels = gifPixels
		}
		if !slices.EqualFunc(pixels(t, c.data), pixels(t, out), bytes.Equal) {
			t.Errorf("%s: the pixels differ", c.path)
		}
		if h.Format == GIF && h.Pixels() < 5_000_000 { // the others take long to decode
			sameGIF(t, c.path, c.data, out)
		}
	}
	if checked < 50 {
		t.Errorf("%d files checked only", checked)
	}
}

// FuzzStrip wants what checkStripped wants, of whatever ReadHeader takes; and no copy of what it
// does not take.
func FuzzStrip(f *testing.F) {
	for _, c := range append(gifCases(f), webpCases()...) {
		f.Add(c.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(data)
		if err == nil && (h.Format == GIF || h.Format == WebP) {
			checkStripped(t, "fuzzed", data)
			return
		}
		for _, format := range []Format{GIF, WebP, JPEG} {
			if out, err := stripBytes(data, format); err == nil {
				t.Fatalf("a copy of %d bytes as %s", len(out), format)
			}
		}
	})
}
