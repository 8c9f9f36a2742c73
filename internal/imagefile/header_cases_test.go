package imagefile

import (
	"encoding/binary"
	"math"
	"testing"
)

// A headerCase is a small picture and what is to be read from it. A zero orientation, number of
// frames or of pixels stands for the usual: 1, 1, width x height.
type headerCase struct {
	name string
	data []byte
	want Header
}

func (c headerCase) header() Header {
	h := c.want
	h.Orientation, h.Frames = max(h.Orientation, 1), max(h.Frames, 1)
	h.MaxPixels = max(h.MaxPixels, int64(h.Width)*int64(h.Height))
	if h.Format == JPEG {
		h.Scans = max(h.Scans, 1)
	}
	return h
}

// headerCases are pictures that are taken; they seed the fuzzers as well.
func headerCases(t testing.TB) []headerCase {
	var all []headerCase
	all = append(all, jpegCases(t)...)
	all = append(all, pngCases(t)...)
	all = append(all, gifCases(t)...)
	all = append(all, webpCases()...)
	return append(all, heifCases(t)...)
}

func jpegCases(t testing.TB) []headerCase {
	plain := Header{Format: JPEG, Width: 30, Height: 20}
	turned := plain
	turned.Orientation = 6
	little := join([]byte(exifPrefix), sampleExif(binary.LittleEndian, 6))
	xmp := jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>"))
	whole := sampleJPEG(t, 30, 20)
	return []headerCase{
		{"jpeg", whole, plain},
		{"jpeg, exif", sampleJPEG(t, 30, 20, jpegExif(6)), turned},
		{"jpeg, little-endian exif", sampleJPEG(t, 30, 20, jpegSegment(0xe1, little)), turned},
		{"jpeg, the first exif counts", sampleJPEG(t, 30, 20, jpegExif(6), jpegExif(8)), turned},
		{"jpeg, xmp before exif", sampleJPEG(t, 30, 20, xmp, jpegExif(6)), turned},
		{"jpeg, orientation 0", sampleJPEG(t, 30, 20, jpegExif(0)), plain},
		{"jpeg, orientation 9", sampleJPEG(t, 30, 20, jpegExif(9)), plain},
		{"jpeg, exif cut", sampleJPEG(t, 30, 20, jpegSegment(0xe1, little[:20])), plain},
		{"jpeg, exif of nothing", sampleJPEG(t, 30, 20, jpegSegment(0xe1, little[:6])), plain},
		{"jpeg, exif directory far away", sampleJPEG(t, 30, 20, jpegSegment(0xe1,
			[]byte("Exif\x00\x00II\x2a\x00\xff\xff\xff\xff"))), plain},
		{"jpeg, fill bytes and a restart marker", sampleJPEG(t, 30, 20,
			[]byte{0xff, 0xff, 0xff, 0xd3}, jpegSegment(0xfe, []byte("text"))), plain},
		{"jpeg, stray bytes", sampleJPEG(t, 30, 20, []byte("junk\xff\x00")), plain},
		{"jpeg, a zip appended", join(whole, []byte("PK\x03\x04")), plain},
		{"jpeg, cut in its pixels", whole[:len(whole)-10], plain},
	}
}

func pngCases(t testing.TB) []headerCase {
	plain := Header{Format: PNG, Width: 30, Height: 20}
	turned := plain
	turned.Orientation = 3
	whole := samplePNG(t, 30, 20)
	exif := pngChunkBytes("eXIf", sampleExif(binary.BigEndian, 3))
	behind := join(whole[:len(whole)-12], exif, whole[len(whole)-12:])
	prefixed := pngChunkBytes("eXIf",
		join([]byte(exifPrefix), sampleExif(binary.LittleEndian, 3)))
	animated := join(pngChunkBytes("acTL", join(be32(1000), be32(0))),
		pngChunkBytes("fcTL", make([]byte, 26)))
	return []headerCase{
		{"png", whole, plain},
		{"png, exif", samplePNG(t, 30, 20, exif), turned},
		{"png, exif behind the pixels", behind, turned},
		{"png, exif with the prefix of jpeg", samplePNG(t, 30, 20, prefixed), turned},
		{"png, broken exif", samplePNG(t, 30, 20, pngChunkBytes("eXIf", []byte("II"))), plain},
		{"png, animated", samplePNG(t, 30, 20, animated), plain},
		{"png, no IEND", whole[:len(whole)-12], plain},
		{"png, IEND cut", whole[:len(whole)-5], plain},
		{"png, text appended", join(whole, []byte("<script>")), plain},
		{"png, the largest", join([]byte("\x89PNG\r\n\x1a\n"),
			ihdr(math.MaxInt32, math.MaxInt32, 16, 6, 0, 0, 1), pngChunkBytes("IDAT", nil)),
			Header{Format: PNG, Width: math.MaxInt32, Height: math.MaxInt32}},
	}
}

func gifCases(t testing.TB) []headerCase {
	anim := Header{Format: GIF, Width: 30, Height: 20, Frames: 3}
	whole := sampleGIF(t, 30, 20, 3)
	return []headerCase{
		{"gif", sampleGIF(t, 30, 20, 1), Header{Format: GIF, Width: 30, Height: 20}},
		{"gif, animated", whole, anim},
		{"gif, extensions", sampleGIF(t, 30, 20, 3, gifExtensionBytes(0xfe, "a comment", "in two"),
			gifExtensionBytes(0x01, "123456789012", "plain text"),
			gifExtensionBytes(0xff, "XMP DataXMP", "<x/>")), anim},
		{"gif, no trailer", whole[:len(whole)-1], anim},
		{"gif, a zip appended", join(whole, []byte("PK\x03\x04")), anim},
		{"gif, zero bytes between blocks", join(gifScreen(10, 10), []byte{0, 0}, gifFrame(0, 0, 10, 10),
			[]byte{0}, gifFrame(0, 0, 10, 10), []byte{0, 0x3b}),
			Header{Format: GIF, Width: 10, Height: 10, Frames: 2}},
		{"gif, zero bytes for a trailer", join(gifScreen(10, 10), gifFrame(0, 0, 10, 10),
			make([]byte, 20)), Header{Format: GIF, Width: 10, Height: 10}},
		{"gif, a canvas without a size", join(gifScreen(0, 0), gifFrame(0, 0, 10, 20), []byte{0x3b}),
			Header{Format: GIF, Width: 10, Height: 20}},
		{"gif, the second frame outside the canvas", join(gifScreen(10, 10),
			gifFrame(0, 0, 10, 10), gifFrame(5, 0, 20, 10), []byte{0x3b}),
			Header{Format: GIF, Width: 10, Height: 10, Frames: 2, MaxPixels: 250}},
		{"gif, a frame outside the canvas", join(gifScreen(10, 10), gifFrame(8, 1, 12, 30),
			gifFrame(0, 0, 25, 2)), Header{Format: GIF, Width: 20, Height: 31, Frames: 2, MaxPixels: 775}},
		{"gif, the largest", join(gifScreen(1, 1), gifFrame(65535, 65535, 65535, 65535)),
			Header{Format: GIF, Width: 131070, Height: 131070}},
	}
}

func webpCases() []headerCase {
	still := Header{Format: WebP, Width: 30, Height: 20}
	turned := Header{Format: WebP, Width: 30, Height: 20, Orientation: 8}
	anim := Header{Format: WebP, Width: 30, Height: 20, Frames: 2}
	exif := webpChunkBytes("EXIF", sampleExif(binary.LittleEndian, 8))
	px, extended := losslessChunk(30, 20), vp8x(0, 30, 20)
	lossy := func(w, h int) []byte { return webpChunkBytes("VP8 ", lossyWebP(w, h)) }
	second := anmf(10, 4, 20, 16, webpChunkBytes("ALPH", []byte{0}),
		webpChunkBytes("????", []byte("x")), lossy(20, 16))
	return []headerCase{
		{"webp, lossless", webpFile(px), still},
		{"webp, lossy", webpFile(lossy(30, 20)), still},
		{"webp, lossy, with a scale", webpFile(lossy(30|3<<14, 20)), still},
		{"webp, the largest", webpFile(losslessChunk(16384, 16384)),
			Header{Format: WebP, Width: 16384, Height: 16384}},
		{"webp, text appended", join(webpFile(px), []byte("<svg>")), still},
		{"webp, looks like svg", webpFile(px, webpChunkBytes("<svg", []byte("<svg>"))), still},
		{"webp, extended", webpFile(extended, px), still},
		{"webp, exif", webpFile(vp8x(webpEXIF, 30, 20), px, exif), turned},
		{"webp, exif without its flag", webpFile(extended, px, exif), still},
		{"webp, alpha", webpFile(vp8x(webpAlpha, 30, 20), webpChunkBytes("ALPH", []byte{0, 1, 2}),
			lossy(30, 20)), still},
		{"webp, animated", webpFile(vp8x(webpAnimation, 30, 20), webpANIMChunk(),
			anmf(0, 0, 30, 20, px), second), anim},
	}
}

func heifCases(t testing.TB) []headerCase {
	avif := func(w, h int) Header { return Header{Format: AVIF, Width: w, Height: h} }
	heic := func(w, h int, most int64) Header {
		return Header{Format: HEIC, Width: w, Height: h, MaxPixels: most}
	}
	thumbnail := sampleStill(heicBrands, "hvc1", ispe(30, 20))
	thumbnail.items = append(thumbnail.items, heifSampleItem{kind: "hvc1", properties: []byte{2}})
	thumbnail.properties = append(thumbnail.properties, ispe(9000, 9000))
	hiddenGrid := sampleStill(avifBrands, "av01", ispe(30, 20))
	hiddenGrid.items = append(hiddenGrid.items, heifSampleItem{kind: "grid", length: 8})
	hiddenGrid.idat = join([]byte{0, 0, 9, 9}, be16(50_000), be16(50_000))
	appended := sampleStill(avifBrands, "av01", ispe(30, 20))
	appended.tail = []byte("PK\x03\x04 and so on")
	ids := sampleGrid(100, 60)
	ids.wide = true
	ids.items[2].properties = []byte{0, 2} // 0 is no property
	toTheEnd := sampleStill(avifBrands, "av01", ispe(30, 20))
	toTheEnd.tail = []byte("\x00\x00\x00\x00mdat and so on")
	long := sampleStill(avifBrands, "av01", ispe(30, 20))
	long.tail = join(be32(1), []byte("mdat"), be32(0), be32(20), make([]byte, 4))
	wide := sampleGrid(0, 0)
	wide.properties[1] = ispe(100, 60)
	wide.items[2].length = 12
	wide.idat = join([]byte{0, 1, 0, 1}, be32(100), be32(60))
	return []headerCase{
		{"avif, real", readTestdata(t, "16x12.avif"), avif(16, 12)},
		{"heic, real", readTestdata(t, "16x12.heic"), Header{Format: HEIC, Width: 16, Height: 12,
			MaxPixels: 64 * 64}}, // the encoder pads to 64 x 64 and cuts by clap
		{"avif", sampleStill(avifBrands, "av01", ispe(30, 20)).bytes(), avif(30, 20)},
		{"heic", sampleStill(heicBrands, "hvc1", ispe(30, 20)).bytes(), heic(30, 20, 0)},
		{"the item type is avif", sampleStill("mif1\x00\x00\x00\x00mif1", "av01",
			ispe(30, 20)).bytes(), avif(30, 20)},
		{"the item type is heic", sampleStill("mif1\x00\x00\x00\x00avif", "hvc1",
			ispe(30, 20)).bytes(), heic(30, 20, 0)},
		{"avif, turned", sampleStill(avifBrands, "av01", irot(3), ispe(30, 20)).bytes(),
			avif(20, 30)},
		{"avif, on its head", sampleStill(avifBrands, "av01", ispe(30, 20), irot(2)).bytes(),
			avif(30, 20)},
		{"heic, cut then turned", sampleStill(heicBrands, "hvc1", ispe(30, 20),
			clap(10, 1, 15, 2, -10, 1, 0, 1), irot(1)).bytes(), heic(8, 10, 600)},
		{"heic, turned then cut", sampleStill(heicBrands, "hvc1", ispe(30, 20), irot(1),
			clap(20, 1, 5, 1, 0, 7, 25, 2)).bytes(), heic(20, 5, 600)},
		{"heic, grid", sampleGrid(100, 60).bytes(), heic(100, 60, 0)},
		{"heic, grid with long sides", wide.bytes(), heic(100, 60, 0)},
		{"heic, grid with long ids", ids.bytes(), heic(100, 60, 0)},
		{"avif, pixels to the end", toTheEnd.bytes(), avif(30, 20)},
		{"avif, a length of 64 bits", long.bytes(), avif(30, 20)},
		{"heic, large thumbnail", thumbnail.bytes(), heic(30, 20, 81_000_000)},
		{"avif, large hidden grid", hiddenGrid.bytes(), Header{Format: AVIF, Width: 30, Height: 20,
			MaxPixels: 2_500_000_000}},
		{"avif, a zip appended", appended.bytes(), avif(30, 20)},
	}
}
