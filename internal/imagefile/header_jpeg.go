package imagefile

import (
	"bytes"
	"encoding/binary"
)

const (
	// maxJPEGSegments bounds the segments before the pixels; cameras write fewer than 100.
	maxJPEGSegments = 4096
	// maxJPEGJunk bounds the stray bytes between segments. Decoders skip them, and so do we, lest
	// we miss what a decoder finds behind them.
	maxJPEGJunk = 65536
)

// The second bytes of the JPEG markers that matter here.
const (
	jpegTEM  = 0x01
	jpegSOF0 = 0xc0
	jpegDHT  = 0xc4
	jpegJPG  = 0xc8
	jpegDAC  = 0xcc
	jpegRST0 = 0xd0
	jpegRST7 = 0xd7
	jpegSOI  = 0xd8
	jpegEOI  = 0xd9
	jpegSOS  = 0xda
	jpegAPP1 = 0xe1
)

// jpegProgressive is what the last two bits of a frame marker say of how the pixels are coded.
const jpegProgressive = 2

func isJPEGFrame(marker byte) bool {
	return marker >= jpegSOF0 && marker <= 0xcf &&
		marker != jpegDHT && marker != jpegJPG && marker != jpegDAC
}

// readJPEG reads all segments up to the first scan, as a decoder does: the frame header and the
// EXIF block may stand in either order.
func readJPEG(w *window) (Header, error) {
	j := jpegHeader{w: w, h: Header{Format: JPEG, Orientation: 1, Frames: 1, Scans: 1}}
	scan, err := j.segments(j.segment)
	if err != nil {
		return Header{}, err
	}
	if !j.sized {
		return Header{}, malformed("the JPEG has picture data before its size")
	}
	err = j.countScans(scan)
	return j.h, err
}

// segments calls do for each segment before the first scan, with its content at [off, end). It returns where the
// header of that scan begins, with its length.
func (j *jpegHeader) segments(do func(marker byte, off, end int64) error) (scan int64, err error) {
	pos := int64(2) // behind SOI
	for range maxJPEGSegments {
		marker, next, err := j.nextMarker(pos)
		if err != nil {
			return 0, err
		}
		switch {
		case marker == jpegTEM, marker >= jpegRST0 && marker <= jpegRST7:
			pos = next // these have no length
			continue
		case marker == jpegSOI, marker == jpegEOI:
			return 0, malformed("the JPEG holds no picture data")
		}
		b, err := j.w.at(next, 2)
		if err != nil {
			return 0, err
		}
		length := int64(binary.BigEndian.Uint16(b))
		if length < 2 {
			return 0, malformed("a JPEG segment is shorter than its own length field")
		}
		if length > j.w.size-next {
			return 0, errCutShort
		}
		if marker == jpegSOS {
			return next, nil
		}
		if err := do(marker, next+2, next+length); err != nil {
			return 0, err
		}
		pos = next + length
	}
	return 0, malformed("the JPEG has more than %d segments before its picture data", maxJPEGSegments)
}

// end returns where the picture ends whose first scan has its header at scan: behind its EOI.
func (j *jpegHeader) end(scan int64) (int64, error) {
	for pos := scan; ; {
		b, err := j.w.at(pos, 2)
		if err != nil {
			return 0, err
		}
		marker, next, err := j.markerInData(pos + int64(binary.BigEndian.Uint16(b)))
		if err != nil || marker == jpegEOI {
			return next, err
		}
		pos = next
	}
}

// countScans counts the scans of a picture that may have several, from the header of the first one at
// off. A scan of few bytes may still send the decoder over all pixels. Of a progressive picture of one
// scan there are two: its decoder keeps the coefficients of all pixels too, and goes over them again.
func (j *jpegHeader) countScans(off int64) error {
	b, err := j.w.at(off, 3) // length, components of this scan
	if err != nil {
		return ignoreEnd(err)
	}
	if j.whole && int(b[2]) == j.parts {
		return nil // a decoder stops behind it
	}
	defer func() { j.h.Scans = max(2, j.h.Scans) }()
	for {
		off += int64(binary.BigEndian.Uint16(b)) // to the coded data, or behind another segment
		marker, next, err := j.markerInData(off)
		if err != nil || marker == jpegEOI {
			return ignoreEnd(err)
		}
		if marker == jpegSOS {
			j.h.Scans++
		}
		off = next
		if b, err = j.w.at(off, 2); err != nil {
			return ignoreEnd(err)
		}
	}
}

// ignoreEnd makes nothing of a file that is cut short in its pixels: that is for the decoder.
func ignoreEnd(err error) error {
	if err == errCutShort {
		return nil
	}
	return err
}

// markerInData finds the next marker in coded data, where 0xff00 is a byte of data and restart
// markers belong to it.
func (j *jpegHeader) markerInData(pos int64) (marker byte, next int64, err error) {
	for {
		n := int(min(windowBytes, j.w.size-pos))
		if n < 2 {
			return 0, 0, errCutShort
		}
		b, err := j.w.at(pos, n)
		if err != nil {
			return 0, 0, err
		}
		at := bytes.IndexByte(b[:n-1], 0xff)
		if at < 0 {
			pos += int64(n - 1)
			continue
		}
		m := b[at+1]
		pos += int64(at) + 1
		if m == 0xff {
			continue // a fill byte
		}
		pos++
		if m != 0 && m != jpegTEM && (m < jpegRST0 || m > jpegRST7) {
			return m, pos, nil
		}
	}
}

// A jpegHeader is the state of readJPEG.
type jpegHeader struct {
	w     *window
	h     Header
	sized bool // a frame header was seen
	parts int  // components of the picture
	whole bool // all of the picture may come in one scan: it is not progressive
	exif  bool // an EXIF block was seen; the first one counts
	junk  int  // stray bytes so far
}

// nextMarker finds the marker at or after pos and returns it with the offset behind it. Any
// number of 0xff bytes may precede a marker; 0xff00 is not a marker.
func (j *jpegHeader) nextMarker(pos int64) (marker byte, next int64, err error) {
	for prefixed := false; j.junk <= maxJPEGJunk; pos++ {
		b, err := j.w.at(pos, 1)
		if err != nil {
			return 0, 0, err
		}
		switch {
		case b[0] == 0xff:
			if prefixed {
				j.junk++ // fill bytes are legal, but not without end
			}
			prefixed = true
		case prefixed && b[0] != 0:
			return b[0], pos + 1, nil
		default:
			prefixed = false
			j.junk++
		}
	}
	return 0, 0, malformed("the JPEG has more than %d stray bytes in its header", maxJPEGJunk)
}

// segment takes from the segment with its content at [off, end) what is wanted.
func (j *jpegHeader) segment(marker byte, off, end int64) error {
	switch {
	case isJPEGFrame(marker):
		j.whole = marker&3 != jpegProgressive
		return j.frame(off, end)
	case marker == jpegAPP1 && !j.exif && end-off >= int64(len(exifPrefix)):
		b, err := j.w.at(off, len(exifPrefix))
		if err != nil {
			return err
		}
		if !isExifPrefix(b) {
			return nil // XMP, most likely
		}
		j.exif = true
		j.h.Orientation, err = exifOrientation(j.w, off, end)
		return err
	}
	return nil
}

// frame reads a frame header: precision (8 bits), height, width (16 bits each), number of
// components (8 bits), three bytes a component.
func (j *jpegHeader) frame(off, end int64) error {
	if j.sized {
		return malformed("the JPEG states its size twice")
	}
	if end-off < 6 {
		return malformed("the JPEG's frame header is too short")
	}
	b, err := j.w.at(off, 6)
	if err != nil {
		return err
	}
	if n := int64(b[5]); n == 0 || end-off != 6+3*n {
		return malformed("the JPEG's frame header has a wrong length")
	}
	j.sized = true
	j.parts = int(b[5])
	j.h.Height = int(binary.BigEndian.Uint16(b[1:]))
	j.h.Width = int(binary.BigEndian.Uint16(b[3:]))
	return nil
}
