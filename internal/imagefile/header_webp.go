package imagefile

import "encoding/binary"

// maxWebPChunks bounds the chunks of a WebP, far above any limit on frames.
const maxWebPChunks = 1 << 20

// The flags of a VP8X chunk.
const (
	webpAnimation = 0x02
	webpEXIF      = 0x08
	webpAlpha     = 0x10
	webpICC       = 0x20
)

// The sizes, in bytes, of what stands at fixed places in a WebP.
const (
	webpFileHeader  = 12 // "RIFF", size, "WEBP"
	webpChunkHeader = 8  // type, size
	webpVP8X        = 10
	webpANIM        = 6
	webpANMF        = 16 // before the chunks of the frame
)

// A webpChunk has its content at body. Odd lengths are padded with a byte in the file.
type webpChunk struct {
	kind         string // such as "VP8 "
	body, length int64
}

func (c webpChunk) end() int64 { return c.body + c.length }

// A webpReader walks over the chunks in [pos, limit) of a file.
type webpReader struct {
	w          *window
	pos, limit int64
	chunks     *int // of the whole file, so far
}

// openWebP checks the RIFF header. What stands behind the RIFF is no part of the picture.
func openWebP(w *window) (webpReader, error) {
	b, err := w.at(0, webpFileHeader)
	if err != nil {
		return webpReader{}, err
	}
	limit := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
	if limit > w.size {
		return webpReader{}, errCutShort
	}
	return webpReader{w: w, pos: webpFileHeader, limit: limit, chunks: new(int)}, nil
}

// inside returns a reader of the chunks in c, behind its first skip bytes.
func (r *webpReader) inside(c webpChunk, skip int64) webpReader {
	return webpReader{w: r.w, pos: c.body + skip, limit: c.end(), chunks: r.chunks}
}

// next returns the next chunk; more is false at the end.
func (r *webpReader) next() (c webpChunk, more bool, err error) {
	if r.pos >= r.limit {
		return webpChunk{}, false, nil
	}
	if *r.chunks++; *r.chunks > maxWebPChunks {
		return webpChunk{}, false, malformed("the WebP has more than %d chunks", maxWebPChunks)
	}
	if r.limit-r.pos < webpChunkHeader {
		return webpChunk{}, false, malformed("a WebP chunk is cut short")
	}
	b, err := r.w.at(r.pos, webpChunkHeader)
	if err != nil {
		return webpChunk{}, false, err
	}
	c = webpChunk{
		kind:   string(b[:4]),
		body:   r.pos + webpChunkHeader,
		length: int64(binary.LittleEndian.Uint32(b[4:])),
	}
	if c.length > r.limit-c.body {
		return webpChunk{}, false, malformed("a WebP chunk is longer than what holds it")
	}
	r.pos = c.end() + c.length&1
	return c, true, nil
}

// readWebP reads the one picture of the simple forms, or all chunks of the extended form.
func readWebP(w *window) (Header, error) {
	r, err := openWebP(w)
	if err != nil {
		return Header{}, err
	}
	c, more, err := r.next()
	if err != nil {
		return Header{}, err
	}
	if !more {
		return Header{}, malformed("the WebP is empty")
	}
	h := Header{Format: WebP, Orientation: 1, Frames: 1}
	switch c.kind {
	case "VP8 ", "VP8L":
		h.Width, h.Height, err = webpImageSize(w, c)
		return h, err
	case "VP8X":
		x := webpExtended{r: r, h: h}
		return x.read(c)
	}
	return Header{}, malformed("the WebP does not begin with a picture or a VP8X chunk")
}

// webpImageSize reads the size from the bitstream of a VP8 (lossy) or VP8L (lossless) chunk.
func webpImageSize(w *window, c webpChunk) (width, height int, err error) {
	if c.kind == "VP8L" {
		return webpLosslessSize(w, c)
	}
	const frameHeader = 10 // frame tag (3 bytes), start code (3), width, height (16 bits each)
	if c.length < frameHeader {
		return 0, 0, malformed("a picture of the WebP is too short")
	}
	b, err := w.at(c.body, frameHeader)
	if err != nil {
		return 0, 0, err
	}
	if key := b[0]&1 == 0; !key || string(b[3:6]) != "\x9d\x01\x2a" {
		return 0, 0, malformed("a picture of the WebP does not begin with a key frame")
	}
	// The upper two bits of each hold a scale for the player, which decoders ignore.
	width = int(binary.LittleEndian.Uint16(b[6:]) & 0x3fff)
	height = int(binary.LittleEndian.Uint16(b[8:]) & 0x3fff)
	return width, height, nil
}

func webpLosslessSize(w *window, c webpChunk) (width, height int, err error) {
	// Signature, then in bits from the lowest: 14 width-1, 14 height-1, 1 alpha, 3 zero.
	const header = 5
	if c.length < header {
		return 0, 0, malformed("a picture of the WebP is too short")
	}
	b, err := w.at(c.body, header)
	if err != nil {
		return 0, 0, err
	}
	bits := binary.LittleEndian.Uint32(b[1:])
	if b[0] != 0x2f || bits>>29 != 0 {
		return 0, 0, malformed("a lossless picture of the WebP has a wrong signature")
	}
	return int(bits&0x3fff) + 1, int(bits>>14&0x3fff) + 1, nil
}

// A webpExtended is the state of reading the extended form.
type webpExtended struct {
	r     webpReader
	h     Header
	flags byte
	anim  bool // the ANIM chunk was seen
	still bool // the picture of a still was seen
	exif  bool // an EXIF block was seen; the first one counts
}

// read walks over the chunks behind the VP8X chunk c. It is as strict as the usual demuxer: each
// picture has the size that the canvas or its frame announces, so that no large one hides.
func (x *webpExtended) read(c webpChunk) (Header, error) {
	if c.length < webpVP8X {
		return Header{}, malformed("the WebP's VP8X chunk is too short")
	}
	b, err := x.r.w.at(c.body, webpVP8X)
	if err != nil {
		return Header{}, err
	}
	x.flags = b[0]
	x.h.Width, x.h.Height = u24(b[4:])+1, u24(b[7:])+1
	if int64(x.h.Width)*int64(x.h.Height) > 1<<32-1 {
		return Header{}, malformed("the WebP's canvas is over 4,294,967,295 pixels")
	}
	animated := x.flags&webpAnimation != 0
	if animated {
		x.h.Frames = 0
	}
	for {
		c, more, err := x.r.next()
		if err != nil {
			return Header{}, err
		}
		if !more {
			break
		}
		if err := x.chunk(c, animated); err != nil {
			return Header{}, err
		}
	}
	if x.h.Frames == 0 || !animated && !x.still {
		return Header{}, malformed("the WebP holds no picture")
	}
	return x.h, nil
}

func (x *webpExtended) chunk(c webpChunk, animated bool) (err error) {
	switch c.kind {
	case "VP8X":
		return malformed("the WebP has two VP8X chunks")
	case "ANIM":
		if c.length < webpANIM {
			return malformed("the WebP's ANIM chunk is too short")
		}
		x.anim = true
	case "ANMF":
		if !animated || !x.anim {
			return malformed("the WebP has a frame but no animation")
		}
		x.h.Frames++
		return x.frame(c)
	case "ALPH":
		if animated || x.anim || x.still {
			return malformed("the WebP has an alpha plane too many")
		}
	case "VP8 ", "VP8L":
		if animated || x.anim || x.still {
			return malformed("the WebP has a picture too many")
		}
		x.still = true
		return x.picture(c, x.h.Width, x.h.Height)
	case "EXIF":
		if x.flags&webpEXIF != 0 && !x.exif {
			x.exif = true
			x.h.Orientation, err = exifOrientation(x.r.w, c.body, c.end())
		}
	}
	return err
}

// picture checks that the picture in c is of the size that was announced.
func (x *webpExtended) picture(c webpChunk, width, height int) error {
	gotW, gotH, err := webpImageSize(x.r.w, c)
	if err != nil {
		return err
	}
	if gotW != width || gotH != height {
		return malformed("a picture of the WebP is %d x %d pixels where %d x %d were announced",
			gotW, gotH, width, height)
	}
	return nil
}

// frame checks one frame of an animation: half its x and y, width-1, height-1 and the duration
// (24 bits each), flags (8 bits), then chunks, the first picture of which counts.
func (x *webpExtended) frame(c webpChunk) error {
	if c.length < webpANMF {
		return malformed("a frame of the WebP is too short")
	}
	b, err := x.r.w.at(c.body, webpANMF)
	if err != nil {
		return err
	}
	left, top := 2*u24(b), 2*u24(b[3:])
	width, height := u24(b[6:])+1, u24(b[9:])+1
	if left+width > x.h.Width || top+height > x.h.Height {
		return malformed("a frame of the WebP is not inside the canvas")
	}
	inner := x.r.inside(c, webpANMF)
	for {
		c, more, err := inner.next()
		if err != nil {
			return err
		}
		if !more {
			return malformed("a frame of the WebP holds no picture")
		}
		if c.kind == "VP8 " || c.kind == "VP8L" {
			return x.picture(c, width, height)
		}
	}
}

// u24 reads 24 bits, the lowest byte first.
func u24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
