package imagefile

import (
	"encoding/binary"
	"hash/crc32"
)

// maxPNGChunks bounds the chunks of a PNG. Encoders write an IDAT chunk for every 8 KiB or more.
const maxPNGChunks = 100_000

// pngChunkOverhead is length, type and checksum of a chunk.
const pngChunkOverhead = 12

// readPNG checks the order of chunks as far as every decoder insists on it, and looks for the
// EXIF block, which may stand behind the pixels. No chunk is inflated.
func readPNG(w *window) (Header, error) {
	h := Header{Format: PNG, Orientation: 1, Frames: 1}
	pos := int64(8)
	var pixels, exif bool
	for i := range maxPNGChunks {
		c, err := nextPNGChunk(w, pos)
		if err != nil {
			return Header{}, err
		}
		if c.kind == "CgBI" && i == 0 {
			return Header{}, malformed("the PNG is in the form of iOS apps (CgBI), which is no PNG:" +
				" export it again")
		}
		if (c.kind == "IHDR") != (i == 0) {
			return Header{}, malformed("the PNG does not begin with its one IHDR chunk")
		}
		switch {
		case c.kind == "IHDR":
			err = pngSize(w, c, &h)
		case c.kind == "IDAT":
			pixels = true
		case c.kind == "eXIf" && !exif:
			exif = true
			h.Orientation, err = exifOrientation(w, c.body, c.body+c.length)
		}
		if err != nil {
			return Header{}, err
		}
		pos = c.body + c.length + 4
		if ended := c.kind == "IEND" || pos == w.size; !ended {
			continue
		}
		// A missing IEND is left to the decoder: the pixels may be whole.
		if !pixels {
			return Header{}, malformed("the PNG holds no picture data")
		}
		return h, nil
	}
	return Header{}, malformed("the PNG has more than %d chunks", maxPNGChunks)
}

// A pngChunk has its content at body; a checksum of 4 bytes stands behind it.
type pngChunk struct {
	kind         string
	body, length int64
}

// nextPNGChunk reads the head of the chunk at pos. Where no more than an IEND is cut, it gives an
// IEND, since the picture before it is whole.
func nextPNGChunk(w *window, pos int64) (pngChunk, error) {
	if w.size-pos < pngChunkOverhead {
		return cutPNGChunk(w, pos)
	}
	b, err := w.at(pos, 8)
	if err != nil {
		return pngChunk{}, err
	}
	c := pngChunk{kind: string(b[4:8]), body: pos + 8, length: int64(binary.BigEndian.Uint32(b))}
	for _, letter := range b[4:8] {
		if letter|0x20 < 'a' || letter|0x20 > 'z' {
			return pngChunk{}, malformed("a PNG chunk has no valid type")
		}
	}
	if c.length > 1<<31-1 {
		return pngChunk{}, malformed("a PNG chunk claims %d bytes", c.length)
	}
	if c.length > w.size-pos-pngChunkOverhead {
		return pngChunk{}, errCutShort
	}
	return c, nil
}

func cutPNGChunk(w *window, pos int64) (pngChunk, error) {
	const end = "\x00\x00\x00\x00IEND"
	rest, err := w.at(pos, int(w.size-pos))
	if err != nil {
		return pngChunk{}, err
	}
	if n := min(len(rest), len(end)); n == 0 || string(rest[:n]) != end[:n] {
		return pngChunk{}, errCutShort
	}
	return pngChunk{kind: "IEND", body: w.size}, nil
}

// pngSize reads the IHDR chunk: width, height (32 bits each), bit depth, colour type,
// compression, filter, interlace (8 bits each).
func pngSize(w *window, c pngChunk, h *Header) error {
	const length = 13
	if c.length != length {
		return malformed("the PNG's IHDR chunk has a wrong length")
	}
	b, err := w.at(c.body-4, 4+length+4)
	if err != nil {
		return err
	}
	if crc32.ChecksumIEEE(b[:4+length]) != binary.BigEndian.Uint32(b[4+length:]) {
		return malformed("the PNG's IHDR chunk fails its checksum")
	}
	width, height := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if width > 1<<31-1 || height > 1<<31-1 {
		return malformed("a side of the PNG is over 2,147,483,647 pixels")
	}
	if !validPNGDepth(b[12], b[13]) || b[14] != 0 || b[15] != 0 || b[16] > 1 {
		return malformed("the PNG's IHDR chunk holds values that the format does not know")
	}
	h.Width, h.Height = int(width), int(height)
	return nil
}

// validPNGDepth reports whether the format knows depth bits a sample for a colour type.
func validPNGDepth(depth, colour byte) bool {
	switch colour {
	case 0: // grey
		return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
	case 3: // palette
		return depth == 1 || depth == 2 || depth == 4 || depth == 8
	case 2, 4, 6: // RGB, grey with alpha, RGB with alpha
		return depth == 8 || depth == 16
	}
	return false
}
