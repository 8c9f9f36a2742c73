package vips

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// chunksOf returns the contents of the chunks of a kind in a PNG.
func chunksOf(data []byte, kind string) (all [][]byte) {
	for i := 8; i+12 <= len(data); {
		size := int(binary.BigEndian.Uint32(data[i:]))
		if string(data[i+4:i+8]) == kind {
			all = append(all, data[i+8:i+8+size])
		}
		i += size + 12
	}
	return all
}

// control returns an fcTL chunk of a frame of the whole canvas.
func control(sequence, width, height int) []byte {
	be := imagefiletest.BE32
	return imagefiletest.PNGChunk("fcTL", imagefiletest.Join(be(sequence), be(width), be(height), be(0), be(0),
		imagefiletest.BE16(1), imagefiletest.BE16(10), []byte{0, 0}))
}

// animatedPNG returns an APNG whose default picture is shown by decoders that know no animation. The other ones
// follow as frames; inside says whether the default picture is the first frame too.
func animatedPNG(t *testing.T, inside bool, shown image.Image, frames ...image.Image) []byte {
	t.Helper()
	first := encodePNG(t, shown)
	b := shown.Bounds()
	count, sequence := len(frames), 0
	const ihdr = 8 + 25
	parts := [][]byte{first[:ihdr], nil}
	if inside {
		count++
		parts = append(parts, control(sequence, b.Dx(), b.Dy()))
		sequence++
	}
	parts[1] = imagefiletest.PNGChunk("acTL", imagefiletest.Join(imagefiletest.BE32(count), imagefiletest.BE32(0)))
	for _, data := range chunksOf(first, "IDAT") {
		parts = append(parts, imagefiletest.PNGChunk("IDAT", data))
	}
	for _, frame := range frames {
		parts = append(parts, control(sequence, b.Dx(), b.Dy()))
		sequence++
		for _, data := range chunksOf(encodePNG(t, frame), "IDAT") {
			parts = append(parts, imagefiletest.PNGChunk("fdAT", append(imagefiletest.BE32(sequence), data...)))
			sequence++
		}
	}
	return imagefiletest.Join(append(parts, imagefiletest.PNGChunk("IEND", nil))...)
}

func plainPicture(c color.Color) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 32, 24))
	for y := range 24 {
		for x := range 32 {
			m.Set(x, y, c)
		}
	}
	return m
}

// TestAnimatedPNGIsAStill: of an animated PNG its default picture is shown, in every format and without the frames.
func TestAnimatedPNGIsAStill(t *testing.T) {
	t.Parallel()
	for _, inside := range []bool{true, false} {
		data := animatedPNG(t, inside, plainPicture(red), plainPicture(green), plainPicture(blue))
		in, h := fileOf(t, data)
		if h.Frames != 1 || h.Width != 32 || h.Format != imagefile.PNG {
			t.Errorf("the header is %+v", h)
		}
		if properties, err := newEngine(t).Examine(in, h); err != nil || properties.Width != 32 {
			t.Errorf("examined: %+v, %v", properties, err)
		}
		for _, f := range []imagefile.Format{imagefile.PNG, imagefile.JPEG, imagefile.WebP} {
			out := made(t, in, render.Job{Header: h, Format: f, Options: render.Options{Width: 16}})
			again, got := fileOf(t, out)
			if got.Frames != 1 || got.Width != 16 || bytes.Contains(out, []byte("fdAT")) {
				t.Errorf("%s: %+v", f, got)
			}
			if c := color.NRGBAModel.Convert(picture(t, again, got, render.Options{}).At(8, 6)).(color.NRGBA); !nearly(c, red) {
				t.Errorf("%s: the colour is %v, not that of the default picture", f, c)
			}
		}
	}
}

// nearly reports whether two colours differ by no more than the loss of a coder.
func nearly(a, b color.NRGBA) bool {
	near := func(x, y uint8) bool { return x-y < 8 || y-x < 8 }
	return near(a.R, b.R) && near(a.G, b.G) && near(a.B, b.B) && a.A == b.A
}

// TestMPOIsItsFirstPicture: of a Multi-Picture file, two JPEGs in sequence, the first one is shown.
func TestMPOIsItsFirstPicture(t *testing.T) {
	t.Parallel()
	first, second := encodeJPEG(t, plainPicture(red)), encodeJPEG(t, plainPicture(blue))
	index := imagefiletest.Join([]byte("MPF\x00MM\x00\x2a"), imagefiletest.BE32(8), imagefiletest.BE16(1), // an entry:
		imagefiletest.BE16(0xb001), imagefiletest.BE16(4), imagefiletest.BE32(1), imagefiletest.BE32(2), // two pictures
		imagefiletest.BE32(0))
	for name, data := range map[string][]byte{
		"with an index":    imagefiletest.Join(first[:2], imagefiletest.JPEGSegment(0xe2, index), first[2:], second),
		"without an index": imagefiletest.Join(first, second),
		"with a broken index": imagefiletest.Join(first[:2], imagefiletest.JPEGSegment(0xe2, index[:9]), first[2:], second,
			[]byte("\xff\xd8\xff")),
	} {
		in, h := fileOf(t, data)
		if h.Format != imagefile.JPEG || h.Frames != 1 || h.Width != 32 {
			t.Errorf("%s: the header is %+v", name, h)
		}
		if properties, err := newEngine(t).Examine(in, h); err != nil || properties.Height != 24 {
			t.Errorf("%s: examined: %+v, %v", name, properties, err)
		}
		for _, f := range []imagefile.Format{imagefile.PNG, imagefile.JPEG, imagefile.WebP} {
			out := made(t, in, render.Job{Header: h, Format: f})
			again, got := fileOf(t, out)
			c := color.NRGBAModel.Convert(picture(t, again, got, render.Options{}).At(8, 6)).(color.NRGBA)
			if !nearly(c, red) || bytes.Contains(out, []byte("MPF")) {
				t.Errorf("%s as %s: the colour is %v, not that of the first picture", name, f, c)
			}
		}
	}
}
