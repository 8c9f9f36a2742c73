package vips

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// This file makes the pictures of pictures_*_test.go.

func be32(v ...uint32) (b []byte) {
	for _, n := range v {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func pngChunk(kind string, content []byte) []byte {
	body := append([]byte(kind), content...)
	return slices.Concat(be32(uint32(len(content))), body, be32(crc32.ChecksumIEEE(body)))
}

// pngWith encodes a PNG with chunks behind IHDR.
func pngWith(t testing.TB, m image.Image, chunks ...[]byte) []byte {
	t.Helper()
	const ihdrEnd = 8 + 12 + 13
	data := encodePNG(t, m)
	return slices.Concat(data[:ihdrEnd], slices.Concat(chunks...), data[ihdrEnd:])
}

func iccp(profile []byte) []byte {
	var b bytes.Buffer
	b.WriteString("x\x00\x00")
	z := zlib.NewWriter(&b)
	z.Write(profile)
	z.Close()
	return pngChunk("iCCP", b.Bytes())
}

// profile makes a version 2 ICC profile of a display: a space of "RGB " in the primaries of sRGB, or
// "GRAY", with a gamma of 2.2; in any other space it is of no use.
func profile(space string) []byte {
	xyz := func(x, y, z float64) []byte {
		fixed := func(v float64) uint32 { return uint32(int32(math.Round(v * 65536))) }
		return append([]byte("XYZ \x00\x00\x00\x00"), be32(fixed(x), fixed(y), fixed(z))...)
	}
	curve := append([]byte("curv\x00\x00\x00\x00"), 0, 0, 0, 1, 0x02, 0x33, 0, 0)
	desc := slices.Concat([]byte("desc\x00\x00\x00\x00"), be32(2), []byte("p\x00"), make([]byte, 82))
	type tag struct {
		name  string
		value []byte
	}
	tags := []tag{{"desc", desc}, {"cprt", []byte("text\x00\x00\x00\x00x\x00\x00\x00")},
		{"wtpt", xyz(0.9642, 1, 0.8249)}}
	if space == "GRAY" {
		tags = append(tags, tag{"kTRC", curve})
	} else {
		tags = append(tags, tag{"rXYZ", xyz(0.4361, 0.2225, 0.0139)},
			tag{"gXYZ", xyz(0.3851, 0.7169, 0.0971)}, tag{"bXYZ", xyz(0.1431, 0.0606, 0.7141)},
			tag{"rTRC", curve}, tag{"gTRC", curve}, tag{"bTRC", curve})
	}
	at := uint32(128 + 4 + 12*len(tags))
	table, values := be32(uint32(len(tags))), []byte(nil)
	for _, g := range tags {
		table = slices.Concat(table, []byte(g.name), be32(at+uint32(len(values)), uint32(len(g.value))))
		values = append(values, g.value...)
		for len(values)%4 != 0 {
			values = append(values, 0)
		}
	}
	head := slices.Concat(be32(at+uint32(len(values))), []byte("lcms\x02\x10\x00\x00mntr"+space+"XYZ "),
		[]byte{7, 232, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0}, []byte("acsp"), make([]byte, 28),
		be32(63190, 65536, 54061))
	head = append(head, make([]byte, 128-len(head))...)
	return slices.Concat(head, table, values)
}

// insert puts bytes into others.
func insert(data []byte, at int, more []byte) []byte {
	return slices.Concat(data[:at], more, data[at:])
}

func jpegSegment(marker byte, content []byte) []byte {
	n := len(content) + 2
	return append([]byte{0xff, marker, byte(n >> 8), byte(n)}, content...)
}

func withProfile(jpeg, profile []byte) []byte {
	return insert(jpeg, 2, jpegSegment(0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"), profile...)))
}

// flat is a picture of one colour, in 8 bits.
func flat(w, h int, c color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetNRGBA(i%w, i/w, c)
	}
	return m
}

// uniform is a picture of one colour, in 16 bits.
func uniform(w, h int, c color.Color) image.Image {
	m := image.NewNRGBA64(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, c)
		}
	}
	return m
}

// smooth is a picture of slow waves in three colours.
func smooth(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	wave := func(v float64) uint8 { return uint8(127 + 120*math.Sin(v)) }
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			m.SetNRGBA(x, y, color.NRGBA{wave(fx / 23), wave(fy/17 + fx/90), wave((fx + fy) / 31), 255})
		}
	}
	return m
}

func eightBits(t testing.TB, data []byte) *image.NRGBA {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	n := image.NewNRGBA(m.Bounds())
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			n.Set(x, y, m.At(x, y))
		}
	}
	return n
}

// pictureOf renders a file to PNG.
func pictureOf(t testing.TB, data []byte, o render.Options) *image.NRGBA {
	t.Helper()
	in, h := fileOf(t, data)
	return eightBits(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
}

// examined examines a file.
func examined(t testing.TB, data []byte) (render.Properties, error) {
	t.Helper()
	in, h := fileOf(t, data)
	return newEngine(t).Examine(in, h)
}

func encodedJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var whole = render.Options{Fit: render.ScaleDown}
