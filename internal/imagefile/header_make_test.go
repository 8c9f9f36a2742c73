package imagefile

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"calotype/internal/imagefile/imagefiletest"
)

// This file makes small pictures for the tests of headers and Strip.

// The builders of parts of files, which other packages use too.
var (
	be16           = imagefiletest.BE16
	be32           = imagefiletest.BE32
	le16           = imagefiletest.LE16
	join           = imagefiletest.Join
	jpegSegment    = imagefiletest.JPEGSegment
	pngChunkBytes  = imagefiletest.PNGChunk
	ihdr           = imagefiletest.IHDR
	webpChunkBytes = imagefiletest.WebPChunk
	webpFile       = imagefiletest.WebPFile
	vp8x           = imagefiletest.VP8X
	webpANIMChunk  = imagefiletest.ANIMChunk
	anmf           = imagefiletest.ANMF
	losslessChunk  = imagefiletest.LosslessChunk
)

// sampleExif makes a TIFF structure with a Make entry and one for the orientation.
func sampleExif(order binary.AppendByteOrder, orientation int) []byte {
	b := []byte("II\x2a\x00\x08\x00\x00\x00")
	if order.String() == "BigEndian" {
		b = []byte("MM\x00\x2a\x00\x00\x00\x08")
	}
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 0x010f) // Make
	b = order.AppendUint16(b, 2)      // text
	b = order.AppendUint32(b, 4)
	b = append(b, "Ab\x00\x00"...)
	b = order.AppendUint16(b, orientationTagForTest)
	b = order.AppendUint16(b, 3) // SHORT
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, uint16(orientation))
	b = order.AppendUint16(b, 0)
	return order.AppendUint32(b, 0)
}

const orientationTagForTest = 0x0112

// sampleJPEG encodes a JPEG with segments, each with its marker, behind SOI.
func sampleJPEG(t testing.TB, width, height int, segments ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	return join(b.Bytes()[:2], join(segments...), b.Bytes()[2:])
}

func jpegExif(orientation int) []byte {
	return jpegSegment(0xe1, join([]byte(exifPrefix), sampleExif(binary.BigEndian, orientation)))
}

// samplePNG encodes a PNG with chunks behind IHDR.
func samplePNG(t testing.TB, width, height int, chunks ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	const ihdrEnd = 8 + 12 + 13
	return join(b.Bytes()[:ihdrEnd], join(chunks...), b.Bytes()[ihdrEnd:])
}

// sampleGIF encodes an animation of full frames, with blocks in front of the first.
func sampleGIF(t testing.TB, width, height, frames int, blocks ...[]byte) []byte {
	t.Helper()
	g := gif.GIF{LoopCount: 3}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, width, height), palette.WebSafe)
		for x := range width {
			m.Set(x, i%height, color.White)
		}
		g.Image = append(g.Image, m)
		g.Delay = append(g.Delay, 10+i)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	at := int(gifScreenBytes + gifTableBytes(b.Bytes()[10]))
	return join(b.Bytes()[:at], join(blocks...), b.Bytes()[at:])
}

// gifExtensionBytes makes an extension of sub-blocks.
func gifExtensionBytes(label byte, blocks ...string) []byte {
	b := []byte{0x21, label}
	for _, s := range blocks {
		b = append(append(b, byte(len(s))), s...)
	}
	return append(b, 0)
}

// gifScreen makes a header without a colour table.
func gifScreen(width, height int) []byte {
	return join([]byte("GIF89a"), le16(width), le16(height), []byte{0, 0, 0})
}

// gifFrame makes an image with a colour table of two, and a stub of data.
func gifFrame(x, y, width, height int) []byte {
	return join([]byte{0x2c}, le16(x), le16(y), le16(width), le16(height), []byte{0x80},
		[]byte{0, 0, 0, 255, 255, 255}, []byte{2, 2, 0x4c, 0x01, 0})
}

// lossyWebP makes the beginning of a VP8 chunk, as far as a header goes.
func lossyWebP(width, height int) []byte {
	return join([]byte{0x10, 0, 0, 0x9d, 0x01, 0x2a}, le16(width), le16(height), make([]byte, 6))
}

// heifBoxBytes makes a box; fullBox one with version and flags.
func heifBoxBytes(kind string, parts ...[]byte) []byte {
	body := join(parts...)
	return join(be32(len(body)+8), []byte(kind), body)
}

func fullBox(kind string, version byte, flags int, parts ...[]byte) []byte {
	head := be32(int(version)<<24 | flags)
	return heifBoxBytes(kind, join(head, join(parts...)))
}

// A heifSample describes a HEIC or AVIF file. Items have the ids 1, 2, ...
type heifSample struct {
	brands     string // major brand, version, compatible brands
	primary    int
	items      []heifSampleItem
	properties [][]byte
	idat       []byte
	tail       []byte // behind the meta box
	wide       bool   // ids of 32 bits, indices of 16 bits
}

type heifSampleItem struct {
	kind       string
	properties []byte // indices from 1
	madeOf     []byte // ids of tiles
	offset     int    // in idat
	length     int
}

func (s heifSample) bytes() []byte {
	// Versions of the boxes, and what is wide in them.
	v, id, index := byte(0), be16, func(i byte) []byte { return []byte{i} }
	if s.wide {
		v, id, index = 1, be32, func(i byte) []byte { return []byte{0, i} }
	}
	var infes, links, refs, locations []byte
	for i, it := range s.items {
		own := id(i + 1)
		infes = append(infes, fullBox("infe", 2+v, 0, own, be16(0), []byte(it.kind+"\x00"))...)
		links = append(links, join(own, []byte{byte(len(it.properties))})...)
		for _, p := range it.properties {
			links = append(links, index(p)...)
		}
		if it.madeOf != nil {
			ref := join(own, be16(len(it.madeOf)))
			for _, m := range it.madeOf {
				ref = append(ref, id(int(m))...)
			}
			refs = append(refs, heifBoxBytes("dimg", ref)...)
		}
		locations = append(locations, join(own, be16(1), be16(0), be16(1),
			be32(it.offset), be32(it.length))...)
	}
	n := len(s.items)
	return join(
		heifBoxBytes("ftyp", []byte(s.brands)),
		fullBox("meta", 0, 0,
			fullBox("hdlr", 0, 0, make([]byte, 20)),
			fullBox("pitm", v, 0, id(s.primary)),
			fullBox("iinf", v, 0, id(n), infes),
			fullBox("iref", v, 0, refs),
			fullBox("iloc", 1+v, 0, be16(0x4400), id(n), locations),
			heifBoxBytes("iprp", heifBoxBytes("ipco", s.properties...),
				fullBox("ipma", v, int(v), be32(n), links)),
			heifBoxBytes("idat", s.idat)),
		s.tail)
}

func ispe(width, height int) []byte { return fullBox("ispe", 0, 0, be32(width), be32(height)) }
func irot(turns byte) []byte        { return heifBoxBytes("irot", []byte{turns}) }

func clap(values ...int) []byte {
	var b []byte
	for _, v := range values {
		b = append(b, be32(v)...)
	}
	return heifBoxBytes("clap", b)
}

const (
	avifBrands = "avif\x00\x00\x00\x00mif1miaf"
	heicBrands = "heic\x00\x00\x00\x00mif1heic"
	mif1Brands = "mif1\x00\x00\x00\x00mif1"
)

// sampleStill is a HEIF file of one item with all the properties.
func sampleStill(brands, kind string, properties ...[]byte) heifSample {
	it := heifSampleItem{kind: kind}
	for i := range properties {
		it.properties = append(it.properties, byte(i+1))
	}
	return heifSample{
		brands: brands, primary: 1, items: []heifSampleItem{it}, properties: properties,
	}
}

// sampleGrid is a HEIC of 2 x 1 tiles of 64 x 64, which shows width x height.
func sampleGrid(width, height int) heifSample {
	return heifSample{
		brands: heicBrands, primary: 3,
		items: []heifSampleItem{
			{kind: "hvc1", properties: []byte{1}},
			{kind: "hvc1", properties: []byte{1}},
			{kind: "grid", properties: []byte{2}, madeOf: []byte{1, 2}, length: 8},
		},
		properties: [][]byte{ispe(64, 64), ispe(width, height)},
		idat:       join([]byte{0, 0, 0, 1}, be16(width), be16(height)),
	}
}
