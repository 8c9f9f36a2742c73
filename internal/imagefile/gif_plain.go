package imagefile

import (
	"compress/lzw"
	"encoding/binary"
	"io"
)

// maxPlainGIF limits the GIF that is copied into memory, in bytes.
const maxPlainGIF = 64 << 20

// PlainGIF returns the GIF in the first size bytes of r in a form that libnsgif, the decoder of
// libvips, shows as browsers do, and whether that form differs from the file:
//
// The canvas has the size of ReadHeader, and there are no stray bytes between blocks, which libnsgif
// refuses.
//
// Pixels that no frame covers are transparent, also where a frame is cleared. libvips has no alpha if
// no frame has a transparent colour, and libnsgif clears to the background colour if the frame has
// none. So such frames get a transparent colour that none of their pixels has, and an additional last
// frame of one pixel, which is not shown, has one for the file. A frame that is cleared and uses all
// 256 colours is unchanged.
func PlainGIF(r io.ReaderAt, size int64) (plain []byte, changed bool, err error) {
	w := newWindow(r, size)
	h, err := readGIF(w)
	if err != nil || size > maxPlainGIF {
		return nil, false, err
	}
	p := gifPlainer{w: w, h: h}
	if err := p.read(); err != nil {
		return nil, false, err
	}
	if !p.stray && !p.shows() {
		return nil, false, nil
	}
	return p.write(), true, p.err
}

// A gifPlainer is the state of PlainGIF.
type gifPlainer struct {
	w      *window
	h      Header
	screen int64 // where the first block begins
	stray  bool  // libnsgif would refuse bytes of the file, or the canvas has no size
	frames []gifPicture
	keeps  []gifBlock // extensions to copy, by the following frame
	see    bool       // a frame has a transparent colour
	holes  bool       // the first frame does not cover the canvas
	err    error
}

// A gifPicture is an image with its graphic control.
type gifPicture struct {
	gifBlock
	control []byte // flags, delay (16 bits), transparent colour; nil if absent
}

const (
	gifSeeThrough = 1      // of a control's flags: there is a transparent colour
	gifDisposal   = 7 << 2 // how the frame is cleared away
	gifToEmpty    = 2 << 2
)

// read reads the blocks.
func (p *gifPlainer) read() error {
	g, err := openGIF(p.w)
	if err != nil {
		return err
	}
	p.screen = g.pos
	p.stray = g.width == 0 || g.height == 0
	var control []byte
	for {
		b, err := g.next()
		if err != nil {
			return err
		}
		p.stray = p.stray || b.stray
		switch {
		case b.kind == gifTrailer:
			return nil
		case b.kind == gifImage:
			if len(p.frames) == 0 {
				p.holes = b.left > 0 || b.top > 0 || b.right < p.h.Width || b.bottom < p.h.Height
			}
			p.see = p.see || control != nil && control[0]&gifSeeThrough != 0
			p.frames = append(p.frames, gifPicture{b, control})
			control = nil
		case b.label == gifControl:
			if control, err = gifControlContent(p.w, b, control); err != nil {
				return err
			}
		case b.label == gifApplication:
			p.keeps = append(p.keeps, b)
		}
	}
}

// shows reports whether libvips might show transparent pixels wrongly.
func (p *gifPlainer) shows() bool {
	if p.holes && !p.see {
		return true
	}
	for i, f := range p.frames {
		last := i == len(p.frames)-1
		if f.control != nil && !last && f.control[0]&(gifDisposal|gifSeeThrough) == gifToEmpty {
			return true
		}
	}
	return false
}

// write writes the plain form.
func (p *gifPlainer) write() []byte {
	out := p.piece(nil, 0, p.screen)
	if p.err != nil {
		return nil
	}
	binary.LittleEndian.PutUint16(out[6:], uint16(p.h.Width))
	binary.LittleEndian.PutUint16(out[8:], uint16(p.h.Height))
	for _, b := range p.keeps {
		out = p.piece(out, b.start, b.end)
	}
	see := p.see
	for _, f := range p.frames {
		data := p.piece(nil, f.start, f.end)
		if p.err != nil {
			return nil
		}
		if c := clearable(f.control, data); c != nil {
			see = see || c[0]&gifSeeThrough != 0
			out = append(out, gifExtension, gifControl, 4)
			out = append(append(out, c...), 0)
		}
		out = append(out, data...)
	}
	if see || !p.holes {
		return append(out, gifTrailer)
	}
	return append(out, gifSeeThroughFrame...)
}

// gifSeeThroughFrame is a frame of one transparent pixel, and the trailer.
const gifSeeThroughFrame = "\x21\xf9\x04\x01\x00\x00\x00\x00" +
	"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x80\x00\x00\x00\xff\xff\xff\x02\x02\x44\x01\x00\x3b"

// piece appends the bytes of the file at [off, end) to b.
func (p *gifPlainer) piece(b []byte, off, end int64) []byte {
	for off < end && p.err == nil {
		n := min(end-off, windowBytes)
		var part []byte
		if part, p.err = p.w.at(off, int(n)); p.err == nil {
			b = append(b, part...)
		}
		off += n
	}
	return b
}

// clearable returns the control of a frame with the image block data, with a transparent colour that no
// pixel has if the frame needs one.
func clearable(control, data []byte) []byte {
	if control == nil || control[0]&(gifDisposal|gifSeeThrough) != gifToEmpty {
		return control
	}
	free, ok := unusedColour(data)
	if !ok {
		return control
	}
	c := append([]byte(nil), control...)
	c[0] |= gifSeeThrough
	c[3] = free
	return c
}

// unusedColour returns a colour that no pixel of an image block has.
func unusedColour(data []byte) (free byte, ok bool) {
	at := gifImageBytes + int(gifTableBytes(data[gifImageBytes-1]))
	if at >= len(data) || data[at] > 8 {
		return 0, false
	}
	bits := int(data[at])
	if bits < 8 {
		return 255, true // the codes end below
	}
	var used [256]bool
	r := lzw.NewReader(&gifData{data[at+1:], 0}, lzw.LSB, bits)
	defer r.Close()
	var buf [windowBytes]byte
	for {
		n, err := r.Read(buf[:])
		for _, v := range buf[:n] {
			used[v] = true
		}
		if err != nil {
			break // the end, or an error that the decoder finds too
		}
	}
	for i, u := range used {
		if !u {
			return byte(i), true
		}
	}
	return 0, false
}

// gifData reads the content of a chain of data sub-blocks.
type gifData struct {
	b    []byte
	left int // in the sub-block
}

func (d *gifData) ReadByte() (byte, error) {
	if d.left == 0 {
		if len(d.b) < 1 || d.b[0] == 0 {
			return 0, io.EOF
		}
		d.left, d.b = int(d.b[0]), d.b[1:]
	}
	if len(d.b) < 1 {
		return 0, io.EOF
	}
	c := d.b[0]
	d.b, d.left = d.b[1:], d.left-1
	return c, nil
}

func (d *gifData) Read(p []byte) (int, error) {
	for i := range p {
		c, err := d.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = c
	}
	return len(p), nil
}
