package imagefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// A GainMap is the gain map of an Ultra HDR JPEG: a JPEG behind the picture, whose pixels say how much brighter a
// screen of high dynamic range shows each part of the picture. It covers the picture, in any size, and is turned by
// the orientation of the picture.
type GainMap struct {
	Off, Size int64  // of the JPEG in the file, in bytes
	Header    Header // of the JPEG
	Gain      Gain
}

// A Gain says what the values of a gain map mean. Its numbers are those of ISO 21496-1, in millionths: gains and
// headrooms are logarithms to the base 2. It has a value for each of red, green and blue.
type Gain struct {
	PictureHeadroom, FullHeadroom int32 // of a screen that shows the picture as it is, and with all of the gain
	Min, Max, Gamma               [3]int32
	PictureOffset, FullOffset     [3]int32
	// OwnColours: the gains are factors of colours in the profile of the gain map, not in that of the picture.
	OwnColours bool
}

const million = 1_000_000

// The bounds of the numbers of a Gain, in millionths. A gain of 2^32 is more than any screen has.
const (
	maxGainLog    = 32 * million
	maxGainGamma  = 100 * million
	maxGainOffset = 100 * million
)

// valid reports whether the picture is the darker one of the two that the map is between, and all numbers are within
// their bounds.
func (g Gain) valid() bool {
	ok := g.PictureHeadroom >= 0 && g.FullHeadroom > g.PictureHeadroom && g.FullHeadroom <= maxGainLog
	for i := range 3 {
		ok = ok && g.Min[i] >= -maxGainLog && g.Max[i] >= g.Min[i] && g.Max[i] <= maxGainLog &&
			g.Gamma[i] > 0 && g.Gamma[i] <= maxGainGamma &&
			min(g.PictureOffset[i], g.FullOffset[i]) >= 0 && max(g.PictureOffset[i], g.FullOffset[i]) <= maxGainOffset
	}
	return ok
}

// numbers are the numbers that each colour has, in the order of ISO 21496-1.
func (g *Gain) numbers() [5]*[3]int32 {
	return [5]*[3]int32{&g.Min, &g.Max, &g.Gamma, &g.PictureOffset, &g.FullOffset}
}

// grey reports whether the numbers are equal for all colours.
func (g *Gain) grey() bool {
	for _, n := range g.numbers() {
		if n[0] != n[1] || n[0] != n[2] {
			return false
		}
	}
	return true
}

// FindGainMap returns the gain map of the JPEG in the first size bytes of r: that of Adobe and Google, or of ISO
// 21496-1. It returns nil if there is no gain map, or it is not valid, or has more pixels than the picture, or the
// picture is the brighter one of the two that the map is between. It decodes no pixel. An error is one of r.
func FindGainMap(r io.ReaderAt, size int64) (*GainMap, error) {
	m, err := findGainMap(newWindow(r, size))
	if err != nil && !isMalformed(err) {
		return nil, err
	}
	return m, nil
}

const (
	// maxGainMapPictures bounds the pictures behind the first one of which one may be the gain map.
	maxGainMapPictures = 8
	// maxGainXMP bounds the segments of XMP of such a picture that are parsed. Cameras write one or two.
	maxGainXMP = 4
)

func findGainMap(w *window) (*GainMap, error) {
	b, err := w.at(0, 3)
	if err != nil || !bytes.Equal(b, []byte{0xff, jpegSOI, 0xff}) {
		return nil, err
	}
	j := jpegHeader{w: w, h: Header{Format: JPEG}}
	var claimed bool
	var others []span
	scan, err := j.fewSegments(func(marker byte, off, end int64) error {
		if isJPEGFrame(marker) {
			return j.frame(off, end)
		}
		content, err := gainSegment(w, marker, off, end)
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(content, []byte(mpfPrefix)):
			for _, at := range mpfPictures(content[len(mpfPrefix):], off+int64(len(mpfPrefix)), w.size) {
				if len(others) < maxGainMapPictures && !slices.Contains(others, at) {
					others = append(others, at)
				}
			}
		case bytes.HasPrefix(content, []byte(isoGainPrefix)), bytes.Contains(content, []byte(hdrgmSpace)):
			claimed = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, at := range others {
		if m, err := gainMapAt(w, at, j.h); m != nil || err != nil {
			return m, err
		}
	}
	if !claimed {
		return nil, nil
	}
	end, err := j.end(scan) // the MPF is wrong or was lost
	if err != nil {
		return nil, err
	}
	return gainMapAt(w, span{end, w.size}, j.h)
}

// maxGainSegments bounds the segments before the pixels of a picture whose gain map is of interest, so that a copy with
// further segments has at most maxJPEGSegments.
const maxGainSegments = maxJPEGSegments / 2

// fewSegments is segments with the bound maxGainSegments.
func (j *jpegHeader) fewSegments(do func(marker byte, off, end int64) error) (scan int64, err error) {
	n := 0
	return j.segments(func(marker byte, off, end int64) error {
		if n++; n > maxGainSegments {
			return malformed("the JPEG has more than %d segments", maxGainSegments)
		}
		return do(marker, off, end)
	})
}

// gainSegment returns the content of a segment that may belong to a gain map, nil for others. It is valid until the
// next read of w.
func gainSegment(w *window, marker byte, off, end int64) ([]byte, error) {
	if marker != jpegAPP1 && marker != jpegAPP2 {
		return nil, nil
	}
	head, err := w.at(off, int(min(end-off, int64(len(xmpPacket)))))
	if err != nil {
		return nil, err
	}
	begins := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	if marker == jpegAPP1 && !begins(xmpPacket) || marker == jpegAPP2 && !begins(mpfPrefix) && !begins(isoGainPrefix) {
		return nil, nil
	}
	return bytesOf(w, span{off, end})
}

// gainMapAt returns the gain map in a part of a file, nil if another thing is there. The picture has the size in h.
func gainMapAt(w *window, at span, h Header) (*GainMap, error) {
	part := newWindow(io.NewSectionReader(w.r, at.off, at.end-at.off), at.end-at.off)
	b, err := part.at(0, 3)
	if err != nil || !bytes.Equal(b, []byte{0xff, jpegSOI, 0xff}) {
		return nil, ignoreMalformed(err)
	}
	m := &GainMap{Off: at.off, Size: at.end - at.off}
	var found, iso bool
	xmps := 0
	j := jpegHeader{w: part}
	_, err = j.fewSegments(func(marker byte, off, end int64) error {
		content, err := gainSegment(part, marker, off, end)
		if err != nil || content == nil || iso {
			return err
		}
		g, ok := Gain{}, false
		if rest, is := bytes.CutPrefix(content, []byte(isoGainPrefix)); is {
			g, ok = isoGain(rest)
			iso = ok // it counts, as for libultrahdr
		} else if rest, is := bytes.CutPrefix(content, []byte(xmpPacket)); is && !found && xmps < maxGainXMP {
			xmps++
			g, ok = xmpGain(rest)
		}
		if ok {
			m.Gain, found = g, true
		}
		return nil
	})
	if err != nil || !found {
		return nil, ignoreMalformed(err)
	}
	if m.Header, err = headerOf(part); err != nil {
		return nil, ignoreMalformed(err)
	}
	m.Header.Orientation = 1 // that of the picture counts
	if m.Header.Pixels() > h.pixels() || DefaultLimits.Check(m.Header) != nil {
		return nil, nil
	}
	return m, nil
}

// pixels is Pixels of a Header of one frame, whose number may not be known.
func (h Header) pixels() int64 { return int64(h.Width) * int64(h.Height) }

func ignoreMalformed(err error) error {
	if isMalformed(err) {
		return nil
	}
	return err
}

const mpfPrefix = "MPF\x00"

// The tag of the list of pictures in an MPF segment (CIPA DC-007), and the size of each of them.
const (
	tagMPEntry   = 0xb002
	mpEntryBytes = 16 // attributes, size, offset (32 bits each), two numbers of 16 bits
)

// mpfPictures returns the pictures behind the first one that an MPF segment lists. b is its TIFF structure, which is at
// off in a file of size bytes.
func mpfPictures(b []byte, off, size int64) (pictures []span) {
	e, ok := openExif(b)
	if !ok {
		return nil
	}
	entries, _ := e.directory(e.first)
	at := slices.IndexFunc(entries, func(x exifEntry) bool { return x.tag == tagMPEntry })
	if at < 0 {
		return nil
	}
	order := e.byteOrder()
	for list := entries[at].value; len(list) >= mpEntryBytes; list = list[mpEntryBytes:] {
		length, begin := int64(order.Uint32(list[4:])), int64(order.Uint32(list[8:]))
		if begin == 0 || off+begin >= size {
			continue // the first picture, or no picture
		}
		pictures = append(pictures, span{off + begin, min(off+begin+length, size)})
	}
	return pictures
}

// isoGainPrefix begins a segment of ISO 21496-1: in a picture followed by a version only, in a map by the Gain.
const isoGainPrefix = "urn:iso:std:iso:ts:21496:-1\x00"

// The flags of the Gain in ISO 21496-1. The last two are of libultrahdr: the picture is the brighter one, and all
// numbers have the same denominator.
const (
	isoColours     = 0x80
	isoBaseColours = 0x40
	isoBackward    = 0x04
	isoCommon      = 0x08
)

// isoGain reads a Gain: version, version of the writer (16 bits each), flags (8 bits), two headrooms, and five numbers
// of all colours, or of each. A number is two of 32 bits, of which the second is the denominator.
func isoGain(b []byte) (g Gain, ok bool) {
	if len(b) < 5 || b[0] != 0 || b[1] != 0 || b[4]&isoBackward != 0 {
		return g, false
	}
	flags := b[4]
	r := rationals{b: b[5:], ok: true}
	if flags&isoCommon != 0 {
		r.common = int64(r.next())
		r.ok = r.common != 0
	}
	g.PictureHeadroom, g.FullHeadroom = r.number(), r.number()
	for colour := range 3 {
		for _, n := range g.numbers() {
			if n[colour] = n[0]; colour == 0 || flags&isoColours != 0 {
				n[colour] = r.number()
			}
		}
	}
	// A factor of all colours is the same in any profile.
	g.OwnColours = flags&isoBaseColours == 0 && flags&isoColours != 0
	return g, r.ok && g.valid()
}

// rationals reads numbers of 32 bits. ok becomes false at the first one that is not valid.
type rationals struct {
	b      []byte
	common int64 // the denominator of all; 0 if each has its own
	ok     bool
}

func (r *rationals) next() uint32 {
	if len(r.b) < 4 {
		r.ok = false
		return 0
	}
	n := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return n
}

// number returns a number in millionths. Numbers that cannot be negative are within the bounds of signed ones too.
func (r *rationals) number() int32 {
	n, d := int64(int32(r.next())), r.common
	if d == 0 {
		d = int64(r.next())
	}
	if r.ok = r.ok && d != 0; !r.ok {
		return 0
	}
	return r.millionths(float64(n) / float64(d))
}

func (r *rationals) millionths(v float64) int32 {
	n, ok := millionths(v)
	r.ok = r.ok && ok
	return n
}

// errNoJPEG: what should be joined is no JPEG.
var errNoJPEG = errors.New("imagefile: a gain map can be joined to a JPEG only")

// JoinGainMap returns an Ultra HDR JPEG of two JPEGs: a picture, and a gain map of it. Neither may have XMP or MPF.
func JoinGainMap(picture, gainMap []byte, g Gain) ([]byte, error) {
	at, atMap := behindHead(picture), behindHead(gainMap)
	if at == 0 || atMap == 0 {
		return nil, errNoJPEG
	}
	inMap := g.segments()
	mapSize := int64(len(gainMap) + len(inMap))
	size := int64(len(picture)) + int64(len(directorySegments(0, 0, mapSize)))
	return slices.Concat(picture[:at], directorySegments(int64(at), size, mapSize), picture[at:],
		gainMap[:atMap], inMap, gainMap[atMap:]), nil
}

// behindHead returns where the segments of JFIF and EXIF at the beginning of a JPEG end; 0 for what is no JPEG.
func behindHead(b []byte) int {
	if len(b) < 4 || b[0] != 0xff || b[1] != jpegSOI {
		return 0
	}
	at := 2
	for at+4 <= len(b) && b[at] == 0xff && (b[at+1] == jpegAPP0 || b[at+1] == jpegAPP1) {
		at += 2 + int(binary.BigEndian.Uint16(b[at+2:]))
	}
	if at > len(b) {
		return 0
	}
	return at
}
