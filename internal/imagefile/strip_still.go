package imagefile

import (
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
	c := newCopier(&out, newWindow(r, size), h)
	switch h.Format {
	case JPEG:
		_, err = stripJPEG(c)
	case PNG:
		err = stripPNG(c)
	case GIF, WebP:
		err = Strip(&out, r, size, h.Format)
	case AVIF:
		err = stripHEIF(c, "")
	default:
		return h, nil, false, nil
	}
	if c.flush(err) != nil {
		return h, nil, false, nil
	}
	return h, out.Bytes(), true, nil
}

// stripJPEG writes the first picture of a JPEG: its tables, colour profile and scans, c.exif and c.added. It returns
// where the picture ends.
func stripJPEG(c *copier) (end int64, err error) {
	j := jpegHeader{w: c.w}
	c.put(0xff, jpegSOI)
	find, added := j.nextMarker, false
	for pos := int64(2); c.err == nil; {
		marker, next, err := find(pos)
		if err != nil {
			return 0, err
		}
		if marker != jpegAPP0 && !added { // JFIF comes first
			c.addSegments()
			added = true
		}
		if marker == jpegEOI {
			c.put(0xff, jpegEOI)
			return next, nil
		}
		if marker == jpegTEM || marker >= jpegRST0 && marker <= jpegRST7 {
			pos = next
			continue
		}
		if pos, err = c.segment(marker, next); err != nil {
			return 0, err
		}
		if marker == jpegSOS {
			find = j.markerInData
			if pos, err = c.scan(&j, pos); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

// addSegments writes the segments of a JPEG that the copy has instead of those of the file.
func (c *copier) addSegments() {
	if c.exif != nil {
		c.put(0xff, jpegAPP1)
		c.put(binary.BigEndian.AppendUint16(nil, uint16(2+len(exifPrefix)+len(c.exif)))...)
		c.put([]byte(exifPrefix)...)
		c.put(c.exif...)
	}
	if c.added != nil {
		c.written = c.added(c.count)
		c.put(c.written...)
	}
}

// segment copies the JPEG segment whose length field is at pos if it is needed to show the picture, and returns its
// end.
func (c *copier) segment(marker byte, pos int64) (end int64, err error) {
	b, err := c.w.at(pos, 2)
	if err != nil {
		return 0, err
	}
	length := int64(binary.BigEndian.Uint16(b))
	if length < 2 { // the length counts itself
		return 0, malformed("the JPEG has a segment of %d bytes", length)
	}
	end = pos + length
	if end > c.w.size {
		return 0, errCutShort
	}
	switch kept, err := c.keepsJPEG(marker, pos+2, end); {
	case err != nil:
		return 0, err
	case marker == jpegAPP0 && kept:
		err = c.jfif(pos+2, end)
		return end, err
	case kept:
		c.put(0xff, marker)
		c.copy(pos, end)
	}
	return end, nil
}

// jfif writes the JFIF segment with its content at [off, end) without its thumbnail.
func (c *copier) jfif(off, end int64) error {
	b, err := c.w.at(off, jfifBytes-2)
	if err != nil {
		return err
	}
	c.put(0xff, jpegAPP0, 0, jfifBytes+2)
	c.put(b...)
	c.put(0, 0) // columns and rows of the thumbnail
	if end-off > jfifBytes {
		c.removed.add(RemovedThumbnail)
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

// The JPEG markers, and the first bytes of their segments, that matter to a copy.
const (
	jpegAPP0  = 0xe0
	jpegAPP2  = 0xe2
	jpegAPP13 = 0xed
	jpegAPP14 = 0xee
	jpegDQT   = 0xdb
	jpegEXP   = 0xdf
	jpegCOM   = 0xfe

	jfifPrefix  = "JFIF\x00"
	jfifBytes   = 14 // before the thumbnail
	iccPrefix   = "ICC_PROFILE\x00"
	adobePrefix = "Adobe"
	xmpPrefix   = "http://ns.adobe.com/x" // the extension too
)

// keepsJPEG reports whether a segment with its content at [off, end) is needed to show the picture: a frame, tables,
// a scan, or what says of which colours they are.
func (c *copier) keepsJPEG(marker byte, off, end int64) (kept bool, err error) {
	var head []byte
	if head, err = c.w.at(off, int(min(end-off, int64(len(xmpPrefix))))); err != nil {
		return false, err
	}
	begins := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	xmp := marker == jpegAPP1 && begins(xmpPrefix) // head is valid until rewrites reads
	switch {
	case marker >= jpegSOF0 && marker <= 0xcf && marker != jpegJPG, marker == jpegSOS,
		marker >= jpegDQT && marker <= jpegEXP:
		return true, nil
	case marker == jpegAPP0 && begins(jfifPrefix) && end-off >= jfifBytes:
		return true, nil
	case marker == jpegAPP2 && begins(iccPrefix), marker == jpegAPP14 && begins(adobePrefix):
		return true, nil
	case marker == jpegAPP1 && len(head) >= len(exifPrefix) && isExifPrefix(head[:len(exifPrefix)]):
		if c.w.exif != (span{off, end}) {
			c.removed.add(RemovedExif) // not the one that is rewritten
		}
	case c.rewrites(marker, off, end):
	case xmp:
		c.removed.add(RemovedXMP)
	case marker == jpegAPP13, marker == jpegCOM:
		c.removed.add(RemovedText)
	default:
		c.removed.add(RemovedOther)
	}
	return false, nil
}

// pngShown are the chunks of a PNG that determine what is shown, animations included.
var pngShown = strings.Fields("IHDR PLTE tRNS IDAT IEND iCCP sRGB gAMA cHRM cICP sBIT bKGD pHYs acTL fcTL fdAT")

// stripPNG writes the chunks of a PNG that determine what is shown, and c.exif.
func stripPNG(c *copier) error {
	const signature = 8
	c.copy(0, signature)
	for pos := int64(signature); c.err == nil && pos < c.w.size; {
		k, err := nextPNGChunk(c.w, pos)
		if err != nil {
			return err
		}
		switch {
		case slices.Contains(pngShown, k.kind):
			c.copy(pos, min(k.body+k.length+4, c.w.size))
		case k.kind == "eXIf" && c.w.exif == span{k.body, k.body + k.length}: // the one that is rewritten
		case k.kind == "tEXt", k.kind == "zTXt", k.kind == "iTXt":
			c.removed.add(RemovedText)
		default:
			c.removed.add(RemovedOther)
		}
		if k.kind == "IHDR" && c.exif != nil {
			body := append([]byte("eXIf"), c.exif...)
			c.put(binary.BigEndian.AppendUint32(nil, uint32(len(body)-4))...)
			c.put(body...)
			c.put(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))...)
		}
		if k.kind == "IEND" {
			if k.body+k.length+4 < c.w.size {
				c.removed.add(RemovedTrailing)
			}
			return nil
		}
		pos = k.body + k.length + 4
	}
	return nil
}
