package imagefiletest

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/color/palette"
	"image/gif"
	"testing"
)

// Flags of the VP8X chunk.
const (
	webpAnimation = 0x02
	webpAlpha     = 0x10
)

// A CostlyPicture is a large picture whose decoder needs most memory.
type CostlyPicture struct {
	Name    string
	Content []byte
	Alpha   bool
}

// CostlyPictures returns one picture of each such kind that needs no codec to be built.
func CostlyPictures(t testing.TB) []CostlyPicture {
	const still, moving = 5_000, 2_500 // pixels a side
	return []CostlyPicture{
		{"progressive.jpg", progressiveCMYK(still, still), false},
		{"interlaced.png", interlacedPNG(t, still, still), true},
		{"lossless.webp", WebPFile(VP8X(webpAlpha, still, still), LosslessChunk(still, still)), true},
		{"still.gif", flatGIF(t, still, still, 1), false},
		{"moving.gif", flatGIF(t, moving, moving, 2), false},
		{"moving.webp", WebPFile(VP8X(webpAnimation|webpAlpha, moving, moving), ANIMChunk(),
			ANMF(0, 0, moving, moving, LosslessChunk(moving, moving)),
			ANMF(0, 0, moving, moving, LosslessChunk(moving, moving))), true},
	}
}

// progressiveCMYK makes a progressive JPEG of one colour, of four channels at full size.
func progressiveCMYK(width, height int) []byte {
	quants := Join([]byte{0}, bytes.Repeat([]byte{1}, 64))
	frame, scan := Join([]byte{8}, BE16(height), BE16(width), []byte{4}), []byte{4}
	for channel := range byte(4) {
		frame = append(frame, channel+1, 0x11, 0)
		scan = append(scan, channel+1, 0)
	}
	// One code of one bit, which stands for "as the block before": all bits are zero.
	codes := Join([]byte{0, 1}, make([]byte, 15), []byte{0})
	blocks := ((width + 7) / 8) * ((height + 7) / 8) * 4
	return Join([]byte{0xff, 0xd8},
		JPEGSegment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")),
		JPEGSegment(0xdb, quants), JPEGSegment(0xc2, frame), JPEGSegment(0xc4, codes),
		JPEGSegment(0xda, append(scan, 0, 0, 0)), make([]byte, (blocks+7)/8), []byte{0xff, 0xd9})
}

// interlacedPNG makes a transparent PNG in 16 bits, in the seven passes of Adam7.
func interlacedPNG(t testing.TB, width, height int) []byte {
	t.Helper()
	var data bytes.Buffer
	z, err := zlib.NewWriterLevel(&data, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ x, y, dx, dy int }{
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	} {
		row := make([]byte, 1+8*((width-p.x+p.dx-1)/p.dx))
		for y := p.y; y < height; y += p.dy {
			if _, err := z.Write(row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return Join([]byte("\x89PNG\r\n\x1a\n"), IHDR(width, height, 16, 6, 0, 0, 1),
		PNGChunk("IDAT", data.Bytes()), PNGChunk("IEND", nil))
}

// flatGIF makes a GIF of full frames of one colour each.
func flatGIF(t testing.TB, width, height, frames int) []byte {
	t.Helper()
	g := gif.GIF{}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, width, height), palette.WebSafe)
		for p := range m.Pix {
			m.Pix[p] = byte(i)
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
