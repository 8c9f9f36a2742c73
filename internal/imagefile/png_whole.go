package imagefile

import (
	"bufio"
	"compress/flate"
	"errors"
	"io"
)

// WholePNG returns nil if a PNG file has all of its pixels, else an ErrMalformed. It is for a PNG that a decoder
// refuses: the decoder may only miss the checksum behind the pixels, which browsers do not need. It inflates all
// pixels.
func WholePNG(r io.ReaderAt, size int64) error {
	w := newWindow(r, size)
	need, err := pngDataSize(w)
	if err != nil {
		return err
	}
	data := &pngData{w: w, pos: 8}
	if err := data.skip(2); err != nil { // the header of the zlib stream
		return err
	}
	inflate := flate.NewReader(bufio.NewReaderSize(data, windowBytes))
	got, err := io.Copy(io.Discard, inflate)
	if data.err != nil && !errors.Is(data.err, io.EOF) {
		return data.err
	}
	if err != nil || got < need {
		return malformed("the PNG holds %d bytes of pixels, not %d", got, need)
	}
	return nil
}

// pngDataSize returns the bytes that the pixels of a PNG inflate to: rows, each with one byte for its
// filter; of an interlaced picture those of seven smaller ones.
func pngDataSize(w *window) (int64, error) {
	h := Header{}
	c, err := nextPNGChunk(w, 8)
	if err != nil {
		return 0, err
	}
	if err := pngSize(w, c, &h); err != nil {
		return 0, err
	}
	b, err := w.at(c.body+8, 5)
	if err != nil {
		return 0, err
	}
	samples := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[b[1]]
	bits, interlaced := int64(b[0])*samples, b[4] == 1
	rows := func(width, height int64) int64 {
		if width == 0 {
			return 0
		}
		return height * (1 + (width*bits+7)/8)
	}
	width, height := int64(h.Width), int64(h.Height)
	if !interlaced {
		return rows(width, height), nil
	}
	sum := int64(0)
	for _, p := range [7][4]int64{ // first column and row, steps between them
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	} {
		sum += rows(max(0, width-p[0]+p[2]-1)/p[2], max(0, height-p[1]+p[3]-1)/p[3])
	}
	return sum, nil
}

// pngData reads the content of all IDAT chunks as one.
type pngData struct {
	w    *window
	pos  int64 // of the next chunk
	body int64 // of what is left of this one
	left int64
	err  error
}

func (d *pngData) Read(p []byte) (int, error) {
	for d.left == 0 && d.err == nil {
		d.err = d.next()
	}
	if d.err != nil {
		return 0, d.err
	}
	n := min(int64(len(p)), d.left, windowBytes)
	b, err := d.w.at(d.body, int(n))
	if err != nil {
		d.err = err
		return 0, err
	}
	copy(p, b)
	d.body, d.left = d.body+n, d.left-n
	return int(n), nil
}

func (d *pngData) next() error {
	if d.pos >= d.w.size {
		return io.EOF
	}
	c, err := nextPNGChunk(d.w, d.pos)
	if err != nil {
		return err
	}
	if c.kind == "IEND" {
		return io.EOF
	}
	d.pos = c.body + c.length + 4
	if c.kind == "IDAT" {
		d.body, d.left = c.body, c.length
	}
	return nil
}

func (d *pngData) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, d, n); err != nil {
		return malformed("the PNG holds no picture data")
	}
	return nil
}
