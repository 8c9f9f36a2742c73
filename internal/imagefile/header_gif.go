package imagefile

import "encoding/binary"

// maxGIFBlocks limits the blocks of a GIF, far above any limit on frames.
const maxGIFBlocks = 1 << 20

// The bytes that begin a block of a GIF, and the extension labels that matter here.
const (
	gifImage       = 0x2c
	gifExtension   = 0x21
	gifTrailer     = 0x3b
	gifControl     = 0xf9
	gifApplication = 0xff
)

const (
	gifScreenBytes = 13 // signature and logical screen descriptor
	gifImageBytes  = 10 // image descriptor
)

// readGIF reads all blocks and counts the frames.
func readGIF(w *window) (Header, error) {
	h := Header{Format: GIF, Orientation: 1}
	g, err := openGIF(w)
	if err != nil {
		return Header{}, err
	}
	h.Width, h.Height = g.width, g.height
	right, bottom := 0, 0 // of all frames: a decoder may need this canvas
	for {
		b, err := g.next()
		if err != nil {
			return Header{}, err
		}
		switch b.kind {
		case gifImage:
			if h.Frames++; h.Frames == 1 {
				// As in browsers, only the first frame enlarges the canvas.
				h.Width, h.Height = max(h.Width, b.right), max(h.Height, b.bottom)
			}
			right, bottom = max(right, b.right), max(bottom, b.bottom)
		case gifTrailer:
			if h.Frames == 0 {
				return Header{}, malformed("the GIF holds no picture")
			}
			h.MaxPixels = int64(max(right, h.Width)) * int64(max(bottom, h.Height))
			return h, nil
		}
	}
}

// A gifReader reads the blocks of a GIF.
type gifReader struct {
	w             *window
	width, height int   // of the logical screen
	pos           int64 // of the next block
	blocks        int
}

// A gifBlock is one block of a GIF at [start, end) of the file.
type gifBlock struct {
	kind          byte // gifImage, gifExtension or gifTrailer
	label         byte // of an extension
	start, end    int64
	left, top     int  // of an image: its first pixel on the canvas
	right, bottom int  // of an image: the end on the canvas
	stray         bool // zero bytes precede it
}

// openGIF reads the logical screen and skips the global colour table.
func openGIF(w *window) (*gifReader, error) {
	b, err := w.at(0, gifScreenBytes)
	if err != nil {
		return nil, err
	}
	g := &gifReader{
		w:      w,
		width:  int(binary.LittleEndian.Uint16(b[6:])),
		height: int(binary.LittleEndian.Uint16(b[8:])),
		pos:    gifScreenBytes + gifTableBytes(b[10]),
	}
	if g.pos > w.size {
		return nil, errCutShort
	}
	return g, nil
}

// gifTableBytes returns the size of the colour table that the flags of a screen or image
// descriptor announce.
func gifTableBytes(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// next returns the next block. Many files lack the trailer: a file that ends between two blocks
// gets one. Zero bytes between blocks are skipped.
func (g *gifReader) next() (gifBlock, error) {
	if g.blocks++; g.blocks > maxGIFBlocks {
		return gifBlock{}, malformed("the GIF has more than %d blocks", maxGIFBlocks)
	}
	var block gifBlock
	for block.start = g.pos; ; block.start++ {
		if block.start == g.w.size {
			block.kind, block.end = gifTrailer, block.start
			return block, nil
		}
		b, err := g.w.at(block.start, 1)
		if err != nil {
			return gifBlock{}, err
		}
		if block.kind = b[0]; block.kind != 0 {
			break
		}
		block.stray = true
	}
	var err error
	switch block.kind {
	case gifImage:
		err = g.image(&block)
	case gifExtension:
		err = g.extension(&block)
	case gifTrailer:
		block.end = block.start + 1
	default:
		return gifBlock{}, malformed("the GIF has stray bytes between its blocks")
	}
	g.pos = block.end
	return block, err
}

// image skips the image at block.start: descriptor, colour table, code size, data.
func (g *gifReader) image(block *gifBlock) error {
	b, err := g.w.at(block.start, gifImageBytes)
	if err != nil {
		return err
	}
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
	block.left, block.top = u16(1), u16(3)
	block.right, block.bottom = block.left+u16(5), block.top+u16(7)
	block.end, err = g.skipData(block.start + gifImageBytes + gifTableBytes(b[9]) + 1)
	return err
}

func (g *gifReader) extension(block *gifBlock) error {
	b, err := g.w.at(block.start, 2)
	if err != nil {
		return err
	}
	block.label = b[1]
	block.end, err = g.skipData(block.start + 2)
	return err
}

// skipData skips a chain of data sub-blocks, each a length byte and that number of bytes, including the
// empty one at the end.
func (g *gifReader) skipData(pos int64) (end int64, err error) {
	for {
		b, err := g.w.at(pos, 1)
		if err != nil {
			return pos, err
		}
		pos += 1 + int64(b[0])
		if b[0] == 0 {
			return pos, nil
		}
	}
}
