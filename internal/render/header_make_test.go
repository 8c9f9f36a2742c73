package render

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"
)

// This file makes small pictures for the tests of headers and Strip.

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func be32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func le16(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func le32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func le24(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

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

func jpegSegment(marker byte, content []byte) []byte {
	return join([]byte{0xff, marker}, be16(len(content)+2), content)
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

func pngChunkBytes(kind string, content []byte) []byte {
	body := join([]byte(kind), content)
	return join(be32(len(content)), body, be32(int(crc32.ChecksumIEEE(body))))
}

func ihdr(width, height int, rest ...byte) []byte {
	return pngChunkBytes("IHDR", join(be32(width), be32(height), rest))
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

// losslessWebP makes the content of a VP8L chunk: a picture of a single colour, whose every
// prefix code has one symbol, so that no bits are spent on pixels.
func losslessWebP(width, height int) []byte {
	bits, n := uint64(0), 0
	put := func(v uint64, count int) { bits |= v << n; n += count }
	put(uint64(width-1), 14)
	put(uint64(height-1), 14)
	put(0, 1) // no alpha
	put(0, 3) // version
	put(0, 3) // no transform, no colour cache, no further prefix codes
	for range 5 {
		put(0b0001, 4) // a simple code of one symbol, which is 0
	}
	return append([]byte{0x2f}, binary.LittleEndian.AppendUint64(nil, bits)[:7]...)
}

// lossyWebP makes the beginning of a VP8 chunk, as far as a header goes.
func lossyWebP(width, height int) []byte {
	return join([]byte{0x10, 0, 0, 0x9d, 0x01, 0x2a}, le16(width), le16(height), make([]byte, 6))
}

func webpChunkBytes(kind string, content []byte) []byte {
	return join([]byte(kind), le32(len(content)), content, make([]byte, len(content)&1))
}

func webpFile(chunks ...[]byte) []byte {
	body := join(chunks...)
	return join([]byte("RIFF"), le32(len(body)+4), []byte("WEBP"), body)
}

func vp8x(flags byte, width, height int) []byte {
	return webpChunkBytes("VP8X", join([]byte{flags, 0, 0, 0}, le24(width-1), le24(height-1)))
}

func webpANIMChunk() []byte { return webpChunkBytes("ANIM", []byte{1, 2, 3, 4, 5, 0}) }

// anmf makes a frame at (x, y), which must be even, from chunks.
func anmf(x, y, width, height int, chunks ...[]byte) []byte {
	head := join(le24(x/2), le24(y/2), le24(width-1), le24(height-1), le24(100), []byte{2})
	return webpChunkBytes("ANMF", join(head, join(chunks...)))
}

func losslessChunk(width, height int) []byte {
	return webpChunkBytes("VP8L", losslessWebP(width, height))
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
