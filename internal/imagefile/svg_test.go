package imagefile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/svg"
)

// svgWith returns an SVG with embedded pictures, whose declared type is wrong.
func svgWith(pictures ...[]byte) []byte {
	var b bytes.Buffer
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg">`)
	for _, picture := range pictures {
		fmt.Fprintf(&b, `<image href="data:image/x;base64,%s"/>`, base64.StdEncoding.EncodeToString(picture))
	}
	b.WriteString(`</svg>`)
	return b.Bytes()
}

func sanitiseSVG(body []byte) (string, error) {
	var out strings.Builder
	err := SanitiseSVG(&out, bytes.NewReader(body), int64(len(body)))
	return out.String(), err
}

// embeddedIn returns the type and the bytes of the picture in a sanitised SVG, "" if it has none.
func embeddedIn(t *testing.T, body []byte) (mime string, picture []byte) {
	t.Helper()
	out, err := sanitiseSVG(body)
	if err != nil {
		t.Fatal(err)
	}
	_, data, found := strings.Cut(out, "data:")
	if !found {
		return "", nil
	}
	mime, coded, _ := strings.Cut(data, ";base64,")
	coded, _, _ = strings.Cut(coded, `"`)
	if picture, err = base64.StdEncoding.DecodeString(coded); err != nil {
		t.Fatal(err)
	}
	return mime, picture
}

// describedJPEG returns a JPEG with a comment, EXIF with an orientation, XMP, a profile and bytes behind its end.
func describedJPEG(t testing.TB, canary string) (whole, plain []byte) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 40, 30))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	segment := imagefiletest.JPEGSegment
	exif := imagefiletest.Join([]byte(exifPrefix), orientationTIFF(6), []byte(canary))
	return imagefiletest.Join(b.Bytes()[:2], segment(jpegAPP1, exif), segment(0xfe, []byte(canary)),
		segment(jpegAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00"+canary)),
		segment(0xe2, []byte("ICC_PROFILE\x00\x01\x01profile")), segment(0xe2, []byte("MPF\x00"+canary)),
		segment(0xed, []byte(canary)), b.Bytes()[2:], []byte(canary), b.Bytes()), b.Bytes()
}

// TestEmbeddedJPEG: an embedded JPEG has the same pixels, orientation and profile, and nothing else.
func TestEmbeddedJPEG(t *testing.T) {
	t.Parallel()
	const canary = "CANARY of a place"
	whole, plain := describedJPEG(t, canary)
	mime, got := embeddedIn(t, svgWith(whole))
	if mime != "image/jpeg" || bytes.Contains(got, []byte(canary)) || !bytes.Contains(got, []byte("profile")) ||
		bytes.Contains(got, []byte("MPF")) {
		t.Fatalf("%s: %q", mime, got)
	}
	h, err := readHeader(got)
	if err != nil || h.Orientation != 6 || h.Width != 40 {
		t.Errorf("%+v, %v", h, err)
	}
	want, _, err := image.Decode(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(got))
	if err != nil || !samePixels(img, want) {
		t.Errorf("other pixels, %v", err)
	}
	if mime, got := embeddedIn(t, svgWith(whole[:len(whole)-len(plain)-len(canary)-10])); mime != "" {
		t.Errorf("a JPEG without an end is kept: %q", got)
	}
}

func samePixels(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if color.RGBAModel.Convert(a.At(x, y)) != color.RGBAModel.Convert(b.At(x, y)) {
				return false
			}
		}
	}
	return true
}

func TestEmbeddedPNG(t *testing.T) {
	t.Parallel()
	const canary = "CANARY of a place"
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 20, 10))); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	chunk := imagefiletest.PNGChunk
	const ihdr = 8 + 25
	whole := imagefiletest.Join(plain[:ihdr], chunk("tEXt", []byte(canary)), chunk("eXIf", append(orientationTIFF(3), canary...)),
		chunk("gAMA", []byte{0, 0, 0xb1, 0x8f}), plain[ihdr:], []byte(canary))
	mime, got := embeddedIn(t, svgWith(whole))
	h, err := readHeader(got)
	if mime != "image/png" || bytes.Contains(got, []byte(canary)) || err != nil || h.Orientation != 3 ||
		!bytes.Contains(got, []byte("gAMA")) {
		t.Fatalf("%s: %+v, %v: %q", mime, h, err, got)
	}
	img, err := png.Decode(bytes.NewReader(got))
	if err != nil || img.Bounds() != image.Rect(0, 0, 20, 10) {
		t.Error(err)
	}
}

// TestEmbeddedLeftOut: what is no picture that browsers show in an SVG is left out.
func TestEmbeddedLeftOut(t *testing.T) {
	t.Parallel()
	heic, err := os.ReadFile("testdata/header/16x12.heic")
	if err != nil {
		t.Fatal(err)
	}
	avif, err := os.ReadFile("testdata/header/16x12.avif")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(avif, []byte("0210")) {
		t.Fatal("the AVIF has no EXIF block")
	}
	mime, kept := embeddedIn(t, svgWith(avif))
	if mime != "image/avif" || len(kept) != len(avif) || bytes.Contains(kept, []byte("0210")) {
		t.Errorf("an AVIF: %q, %q", mime, kept)
	}
	for name, picture := range map[string][]byte{
		"HEIC": heic, "SVG": svgWith(), "text": []byte("text"), "nothing": nil, "a part of a PNG": []byte("\x89PNG\r\n\x1a\n"),
	} {
		if mime, _ := embeddedIn(t, svgWith(picture)); mime != "" {
			t.Errorf("%s is kept as %s", name, mime)
		}
	}
}

// TestEmbeddedLimits: the pixels of embedded pictures are limited, of one and of all.
func TestEmbeddedLimits(t *testing.T) {
	t.Parallel()
	half := imagefiletest.WebPFile(imagefiletest.LosslessChunk(10_000, 5_000))
	if _, err := sanitiseSVG(svgWith(half, half)); err != nil {
		t.Errorf("100 megapixels: %v", err)
	}
	for what, body := range map[string][]byte{
		LimitEmbeddedPixels: svgWith(half, half, imagefiletest.WebPFile(imagefiletest.LosslessChunk(1, 1))),
		LimitWidth:          svgWith(imagefiletest.WebPFile(imagefiletest.LosslessChunk(12_001, 1))),
	} {
		limit := new(LimitError)
		if _, err := sanitiseSVG(body); !errors.As(err, &limit) || limit.What != what {
			t.Errorf("want the limit of %s: %v", what, err)
		}
	}
}

// TestSVGErrors: each kind of error of package svg has one of this package.
func TestSVGErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"<svg": ErrMalformed, "<x/>": ErrUnsupported, "<svg xmlns='x'/>": ErrUnsupported,
		`<?xml version="1.0" encoding="x"?><svg/>`: ErrUnsupported, "<!DOCTYPE svg []><svg/>": ErrUnsupported,
	} {
		if _, err := sanitiseSVG([]byte(in)); !errors.Is(err, want) {
			t.Errorf("%s: %v", in, err)
		}
	}
	limit := new(LimitError)
	_, err := sanitiseSVG([]byte("<svg>" + strings.Repeat("<g>", 300)))
	if !errors.As(err, &limit) || limit.Allowed != 256 || limit.Measured != 257 {
		t.Errorf("levels: %v", err)
	}
	err = SanitiseSVG(io.Discard, bytes.NewReader(nil), svg.MaxBytes+1)
	if !errors.As(err, &limit) || limit.Allowed != svg.MaxBytes {
		t.Errorf("bytes: %v", err)
	}
	h := Header{Format: SVG, Width: 1_000_000, Height: 1_000_000, Frames: 1, MaxPixels: 1e12}
	if err := DefaultLimits.Check(h); err != nil {
		t.Errorf("a large one: %v", err)
	}
	h.Height++
	if err := DefaultLimits.Check(h); !errors.As(err, &limit) || limit.What != LimitHeight {
		t.Errorf("a larger one: %v", err)
	}
}

// TestSVGCorpus: the SVGs of the corpus with embedded pictures keep them; no canary is left.
func TestSVGCorpus(t *testing.T) {
	t.Parallel()
	dir := imagefiletest.Corpus(t)
	for name, pictures := range map[string]int{
		"svg/sharp__struct-image-04-t.svg": 2, "svg/resvg__embedded-png.svg": 1, "svg-hostile/imgproxy__test1.svg": 1,
		"svg-hostile/resvg__external-png.svg": 0,
	} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out, err := sanitiseSVG(body)
		if err != nil || strings.Count(out, ";base64,") != pictures {
			t.Errorf("%s: %d pictures, %v", name, strings.Count(out, ";base64,"), err)
		}
	}
}

func FuzzEmbedded(f *testing.F) {
	whole, _ := describedJPEG(f, "canary")
	f.Add(whole)
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, picture []byte) {
		h, clean, ok, err := embedded(picture)
		if err != nil || !ok {
			return
		}
		got, err := readHeader(clean)
		if err != nil || got.Format != h.Format || got.Width != h.Width || got.Height != h.Height ||
			got.Orientation != h.Orientation {
			t.Errorf("%+v of %+v: %v", got, h, err)
		}
		if _, again, ok, err := embedded(clean); err != nil || !ok || !bytes.Equal(again, clean) {
			t.Errorf("cleaned again: %v, %v", ok, err)
		}
	})
}
