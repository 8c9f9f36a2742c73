package imagefile

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestReadHeaderUnsupported(t *testing.T) {
	t.Parallel()
	ftyp := func(brands string) []byte { return heifBoxBytes("ftyp", []byte(brands)) }
	nested := sampleGrid(100, 60)
	nested.items[2].madeOf = []byte{1, 3}
	for name, data := range map[string][]byte{
		"nothing":           nil,
		"a byte":            {0x89},
		"text":              []byte("push graphic-context\nviewbox 0 0 640 480"),
		"xml":               []byte("<?xml version=\"1.0\"?>\n<x><svg/></x>"),
		"svg in gzip":       []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"),
		"svg in upper case": []byte("<SVG/>"),
		"html":              []byte("<!DOCTYPE html><script>alert(1)</script>"),
		"pdf":               []byte("%PDF-1.7\n"),
		"zip":               []byte("PK\x03\x04"),
		"bmp":               []byte("BM\x36\x03\x00\x00"),
		"tiff":              []byte("II\x2a\x00\x08\x00\x00\x00"),
		"big tiff":          []byte("MM\x00\x2b\x00\x08\x00\x00"),
		"jxl":               []byte("\xff\x0a\xfa\x1f"),
		"jxl in boxes":      []byte("\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"),
		"jp2":               []byte("\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"),
		"wav":               []byte("RIFF\x24\x00\x00\x00WAVEfmt "),
		"short riff":        []byte("RIFF\x24\x00\x00\x00WEB"),
		"gif88a":            []byte("GIF88a\x01\x00\x01\x00\x00\x00\x00"),
		"mp4":               ftyp("isom\x00\x00\x02\x00isomiso2avc1mp41"),
		"brand as version":  ftyp("isomavif"),
		"a film in avif":    ftyp("avis\x00\x00\x00\x00avis"),
		"jpeg in heif":      sampleStill(mif1Brands, "jpeg", ispe(30, 20)).bytes(),
		"grid of grids":     nested.bytes(),
	} {
		if h, err := readHeader(data); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %+v, %v", name, h, err)
		}
	}
}

// A malformedCase is a file and a part of the reason why it is refused.
type malformedCase struct {
	name   string
	data   []byte
	reason string
}

func checkMalformed(t *testing.T, cases []malformedCase) {
	t.Helper()
	for _, c := range cases {
		h, err := readHeader(c.data)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: got %+v, %v; want %q", c.name, h, err, c.reason)
		}
	}
}

func TestReadHeaderMalformedJPEG(t *testing.T) {
	t.Parallel()
	soi := []byte{0xff, 0xd8}
	frame := jpegSegment(0xc0, []byte{8, 0, 20, 0, 30, 1, 1, 0x11, 0})
	flat := bytes.Replace(frame, []byte{0, 20}, []byte{0, 0}, 1)
	brief := jpegSegment(0xc0, []byte{8, 0, 20, 0, 30})
	empty := jpegSegment(0xc0, []byte{8, 0, 20, 0, 30, 0})
	odd := jpegSegment(0xc0, []byte{8, 0, 20, 0, 30, 1, 1, 0x11})
	scan := []byte{0xff, 0xda, 0, 2}
	file := func(segments ...[]byte) []byte { return join(soi, join(segments...)) }
	if _, err := readHeader(file(frame, scan)); err != nil {
		t.Fatalf("the file that the others are made of: %v", err)
	}
	checkMalformed(t, []malformedCase{
		{"SOI alone", soi, "cut short"},
		{"SOI and EOI", file([]byte{0xff, 0xd9}), "no picture data"},
		{"a second SOI", file(soi, frame, scan), "no picture data"},
		{"no frame", file(scan), "before its size"},
		{"two frames", file(frame, frame, scan), "size twice"},
		{"brief frame", file(brief, scan), "too short"},
		{"no components", file(empty, scan), "wrong length"},
		{"half a component", file(odd, scan), "wrong length"},
		{"height 0", file(flat, scan), "zero"},
		{"length 1", file([]byte{0xff, 0xfe, 0, 1}, frame, scan), "own length"},
		{"segment too long", file(frame, []byte{0xff, 0xfe, 0xff, 0xff, 1, 2}), "cut short"},
		{"all stray bytes", file(make([]byte, 2*maxJPEGJunk), frame, scan), "stray bytes"},
		{"all fill bytes", file(bytes.Repeat(soi[:1], 2*maxJPEGJunk), frame, scan), "stray bytes"},
		{"many segments", file(bytes.Repeat(jpegSegment(0xfe, nil), maxJPEGSegments), frame, scan),
			"segments"},
	})
}

func TestReadHeaderMalformedPNG(t *testing.T) {
	t.Parallel()
	signature, idat := []byte("\x89PNG\r\n\x1a\n"), pngChunkBytes("IDAT", []byte{1})
	file := func(chunks ...[]byte) []byte { return join(signature, join(chunks...)) }
	good := ihdr(1, 1, 8, 0, 0, 0, 0)
	wrong := bytes.Clone(good)
	wrong[11]++ // width, so that the checksum is wrong
	long := func(n int) []byte { return join(be32(n), []byte("tEXt"), make([]byte, 20)) }
	if _, err := readHeader(file(good, idat)); err != nil {
		t.Fatalf("the file that the others are made of: %v", err)
	}
	checkMalformed(t, []malformedCase{
		{"signature alone", file(), "cut short"},
		{"IHDR not first", file(idat, good), "IHDR"},
		{"IHDR twice", file(good, ihdr(9, 9, 8, 0, 0, 0, 0), idat), "one IHDR"},
		{"IHDR long", file(ihdr(1, 1, 8, 0, 0, 0, 0, 0), idat), "wrong length"},
		{"no IDAT", file(good, pngChunkBytes("IEND", nil)), "no picture data"},
		{"width 0", file(ihdr(0, 1, 8, 0, 0, 0, 0), idat), "zero"},
		{"width 1<<31", file(ihdr(1<<31, 1, 8, 0, 0, 0, 0), idat), "2,147,483,647"},
		{"depth 3", file(ihdr(1, 1, 3, 0, 0, 0, 0), idat), "does not know"},
		{"palette of 16 bit", file(ihdr(1, 1, 16, 3, 0, 0, 0), idat), "does not know"},
		{"colour type 5", file(ihdr(1, 1, 8, 5, 0, 0, 0), idat), "does not know"},
		{"interlace 2", file(ihdr(1, 1, 8, 0, 0, 0, 2), idat), "does not know"},
		{"wrong checksum", file(wrong, idat), "checksum"},
		{"absurd length", file(good, long(0xfffffff0), idat), "claims"},
		{"length past the end", file(good, idat, long(1000)), "cut short"},
		{"type of digits", file(good, pngChunkBytes("1234", nil), idat), "valid type"},
		{"half a chunk", file(good, idat, []byte("\x00\x00\x00\x09tEX")), "cut short"},
		{"many chunks", file(good, bytes.Repeat(pngChunkBytes("tEXt", nil), maxPNGChunks)),
			"chunks"},
	})
}

func TestReadHeaderMalformedGIF(t *testing.T) {
	t.Parallel()
	screen, frame := gifScreen(1, 1), gifFrame(0, 0, 1, 1)
	checkMalformed(t, []malformedCase{
		{"a script", []byte("GIF89a/*\x00\x00\x00*/=1;alert(1)"), "stray"},
		{"another script", []byte("GIF89a=1;alert(document.domain)"), "GIF"},
		{"signature alone", []byte("GIF89a"), "cut short"},
		{"no picture", join(screen, []byte{gifTrailer}), "no picture"},
		{"screen alone", screen, "no picture"},
		{"nothing has a size", join(gifScreen(0, 0), gifFrame(0, 0, 0, 0)), "zero"},
		{"stray byte", join(screen, frame, []byte{7}, frame), "stray bytes"},
		{"table cut", join([]byte("GIF89a"), le16(1), le16(1), []byte{0x87, 0, 0, 1}), "cut short"},
		{"data cut", join(screen, frame[:18]), "cut short"},
		{"descriptor cut", join(screen, frame, frame[:8]), "cut short"},
		{"extension cut", join(screen, frame, []byte{0x21, 0xfe, 9, 'x'}), "cut short"},
		{"label cut", join(screen, frame, []byte{0x21}), "cut short"},
		{"many blocks", join(screen, frame, bytes.Repeat([]byte{0x21, 1, 0}, maxGIFBlocks)),
			"blocks"},
	})
}

func TestReadHeaderMalformedWebP(t *testing.T) {
	t.Parallel()
	px, still, anim := losslessChunk(30, 20), vp8x(0, 30, 20), vp8x(webpAnimation, 30, 20)
	loop, frame := webpANIMChunk(), anmf(0, 0, 30, 20, px)
	exact := webpFile(px)
	lossless := func(b ...byte) []byte { return webpFile(webpChunkBytes("VP8L", b)) }
	lossy := func(b []byte) []byte { return webpFile(webpChunkBytes("VP8 ", b)) }
	animated := func(chunks ...[]byte) []byte { return webpFile(anim, loop, join(chunks...)) }
	short := []byte("VP8L\xff\x00\x00\x00\x2f")
	manyChunks := bytes.Repeat(webpChunkBytes("????", nil), maxWebPChunks)
	if _, err := readHeader(animated(frame)); err != nil {
		t.Fatalf("the file that the others are made of: %v", err)
	}
	checkMalformed(t, []malformedCase{
		{"RIFF longer than the file", exact[:len(exact)-1], "cut short"},
		{"nothing in it", webpFile(), "empty"},
		{"unknown first chunk", webpFile(webpChunkBytes("EXIF", nil), px), "begin with"},
		{"chunk longer than RIFF", webpFile(short), "longer than what holds it"},
		{"half a chunk", webpFile(still, px, []byte("EXI")), "chunk is cut short"},
		{"many chunks", webpFile(still, manyChunks), "chunks"},

		{"lossless, too short", lossless(0x2f, 0, 0, 0), "too short"},
		{"lossless, wrong signature", lossless(0x2e, 0, 0, 0, 0), "signature"},
		{"lossless, wrong version", lossless(0x2f, 0, 0, 0, 0x20), "signature"},
		{"lossy, too short", lossy(lossyWebP(1, 1)[:9]), "too short"},
		{"lossy, not a key frame", lossy(append([]byte{1}, lossyWebP(1, 1)[1:]...)), "key frame"},
		{"lossy, width 0", lossy(lossyWebP(0, 20)), "zero"},

		{"VP8X too short", webpFile(webpChunkBytes("VP8X", make([]byte, 9)), px), "too short"},
		{"VP8X twice", webpFile(still, still, px), "two VP8X"},
		{"canvas over 32 bits", webpFile(vp8x(0, 1<<24, 1<<24), px), "4,294,967,295"},
		{"picture not of the canvas", webpFile(still, losslessChunk(16384, 16384)), "announced"},
		{"broken picture", webpFile(still, webpChunkBytes("VP8L", nil)), "too short"},
		{"two pictures", webpFile(still, px, px), "picture too many"},
		{"alpha behind the picture", webpFile(still, px, webpChunkBytes("ALPH", nil)), "alpha"},
		{"no picture", webpFile(still), "no picture"},
		{"still with ANIM", webpFile(still, loop, px), "picture too many"},

		{"no frame", animated(), "no picture"},
		{"frame, no animation", webpFile(still, loop, frame), "no animation"},
		{"frame before ANIM", webpFile(anim, frame, loop), "no animation"},
		{"ANIM too short", webpFile(anim, webpChunkBytes("ANIM", []byte{1}), frame), "ANIM"},
		{"still among frames", animated(frame, px), "picture too many"},
		{"alpha among frames", animated(frame, webpChunkBytes("ALPH", nil)), "alpha"},
		{"frame outside the canvas", animated(anmf(2, 0, 30, 20, px)), "not inside"},
		{"frame of another size", animated(anmf(0, 0, 30, 20, losslessChunk(31, 20))), "announced"},
		{"frame without picture", animated(anmf(0, 0, 30, 20)), "no picture"},
		{"frame too short", animated(webpChunkBytes("ANMF", make([]byte, 15))), "too short"},
		{"picture past its frame", animated(anmf(0, 0, 30, 20, short)), "longer than"},
	})
}
