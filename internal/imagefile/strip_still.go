package imagefile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
)

// embedded returns the bytes of a picture to embed in an SVG: without its metadata, with unchanged pixels. ok is
// false for a picture that is not valid, or of another format than browsers show.
func embedded(picture []byte) (h Header, clean []byte, ok bool, err error) {
	r, size := bytes.NewReader(picture), int64(len(picture))
	if h, err = ReadHeader(r, size); err != nil {
		return h, nil, false, nil
	}
	if err := DefaultLimits.Check(h); err != nil {
		return h, nil, false, err
	}
	var out bytes.Buffer
	c := &copier{w: newWindow(r, size), out: bufio.NewWriter(&out)}
	switch h.Format {
	case JPEG:
		err = stripJPEG(c, h)
	case PNG:
		err = stripPNG(c, h)
	case GIF, WebP:
		err = Strip(&out, r, size, h.Format)
	case AVIF:
		clean, ok = blankAVIF(picture)
		return h, clean, ok, nil
	default:
		return h, nil, false, nil
	}
	if err != nil || c.err != nil || c.out.Flush() != nil {
		return h, nil, false, nil
	}
	return h, out.Bytes(), true, nil
}

// stripJPEG writes the first picture of a JPEG: its tables, colour profile and scans, and its orientation.
func stripJPEG(c *copier, h Header) error {
	j := jpegHeader{w: c.w}
	c.put(0xff, jpegSOI)
	if h.Orientation != 1 {
		tiff := orientationTIFF(h.Orientation)
		c.put(0xff, jpegAPP1, 0, byte(2+len(exifPrefix)+len(tiff)))
		c.put([]byte(exifPrefix)...)
		c.put(tiff...)
	}
	find := j.nextMarker
	for pos := int64(2); c.err == nil; {
		marker, next, err := find(pos)
		if err != nil {
			return err
		}
		if marker == jpegEOI {
			c.put(0xff, jpegEOI)
			return nil
		}
		if marker == jpegTEM || marker >= jpegRST0 && marker <= jpegRST7 {
			pos = next
			continue
		}
		b, err := c.w.at(next, 2)
		if err != nil {
			return err
		}
		length := int64(binary.BigEndian.Uint16(b))
		if length < 2 { // the length counts itself
			return malformed("the JPEG has a segment of %d bytes", length)
		}
		end := next + length
		kept, err := c.keepsJPEG(marker, next+2, end)
		if err != nil {
			return err
		}
		if kept {
			c.put(0xff, marker)
			c.copy(next, end)
		}
		pos = end
		if marker == jpegSOS {
			find = j.markerInData
			if pos, err = c.scan(&j, end); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan copies the coded data at pos up to the next marker, and returns where that begins.
func (c *copier) scan(j *jpegHeader, pos int64) (int64, error) {
	_, next, err := j.markerInData(pos)
	if err != nil {
		return 0, err
	}
	c.copy(pos, next-2)
	return next - 2, nil
}

// keepsJPEG reports whether a segment with its content at [off, end) is needed to show the picture.
func (c *copier) keepsJPEG(marker byte, off, end int64) (bool, error) {
	const (
		app0, app2, app14, app15 = 0xe0, 0xe2, 0xee, 0xef
		comment                  = 0xfe
		profile                  = "ICC_PROFILE\x00"
	)
	switch {
	case marker == comment:
		return false, nil
	case marker == app2 && end-off >= int64(len(profile)):
		b, err := c.w.at(off, len(profile))
		return string(b) == profile, err
	case marker >= app0 && marker <= app15:
		return marker == app0 || marker == app14, nil
	}
	return true, nil
}

// pngShown are the chunks of a PNG that determine what is shown, animations included.
var pngShown = strings.Fields("IHDR PLTE tRNS IDAT IEND iCCP sRGB gAMA cHRM cICP sBIT bKGD pHYs acTL fcTL fdAT")

// stripPNG writes the chunks of a PNG that determine what is shown, and its orientation.
func stripPNG(c *copier, h Header) error {
	const signature = 8
	c.copy(0, signature)
	for pos := int64(signature); c.err == nil && pos < c.w.size; {
		k, err := nextPNGChunk(c.w, pos)
		if err != nil {
			return err
		}
		if slices.Contains(pngShown, k.kind) {
			c.copy(pos, min(k.body+k.length+4, c.w.size))
		}
		if k.kind == "IHDR" && h.Orientation != 1 {
			body := append([]byte("eXIf"), orientationTIFF(h.Orientation)...)
			c.put(binary.BigEndian.AppendUint32(nil, uint32(len(body)-4))...)
			c.put(body...)
			c.put(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))...)
		}
		if k.kind == "IEND" {
			return nil
		}
		pos = k.body + k.length + 4
	}
	return nil
}

// blankAVIF returns a copy of an AVIF in which zeros replace the data of metadata, and boxes that show nothing. ok is
// false if its tables cannot be read.
func blankAVIF(picture []byte) (clean []byte, ok bool) {
	clean = bytes.Clone(picture)
	blank := func(from, to int64) bool {
		if from < 0 || to < from || to > int64(len(clean)) {
			return false
		}
		clear(clean[from:to])
		return true
	}
	t := newHEIFTables(newWindow(bytes.NewReader(picture), int64(len(picture))))
	if t.file(0) != nil {
		return nil, false
	}
	total := int64(0) // extents may overlap, but not so that the work is more than that of the file
	for _, item := range t.items {
		if item.kind != "Exif" && item.kind != "mime" && item.kind != "uri " {
			continue
		}
		if !item.located || item.inIdat || len(item.extents) == 0 {
			return nil, false
		}
		for _, e := range item.extents {
			if total += e.length; e.length <= 0 || total > int64(len(clean)) || !blank(e.offset, e.offset+e.length) {
				return nil, false
			}
		}
	}
	for pos := int64(0); pos < t.w.size; {
		b, err := t.next(pos, t.w.size)
		if err != nil {
			return nil, false
		}
		if b.kind != "ftyp" && b.kind != "meta" && b.kind != "mdat" {
			blank(b.body, b.end)
		}
		pos = b.end
	}
	return clean, true
}
