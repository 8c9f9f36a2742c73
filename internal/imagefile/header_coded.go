package imagefile

import "math"

// The coded size of a picture is in the parameters of its decoder: in the sequence header of an AV1
// picture, in the sequence parameter set of an HEVC picture. These are in the configuration, a property
// of the item (av1C, hvcC), in the item's data, or in both. A decoder uses them, not the size in the
// container, so limits and estimates of memory must use them too.

const (
	// maxCodedSurplus is the number of pixels by which a coded side may be longer than the shown one: a
	// coding block.
	maxCodedSurplus = 64
	// maxCodedUnits limits the units that are read in the data of all items. A tile of a phone has one
	// or two.
	maxCodedUnits = 1 << 16
	// maxParameterBytes limits the bytes that are read of a decoder's parameters: the size is at their
	// beginning.
	maxParameterBytes = 4 << 10
)

// A codedSize is a width and a height in the bitstream that a decoder reads, 0 if absent.
type codedSize struct{ w, h uint32 }

// largest returns the one with more pixels.
func (s codedSize) largest(o codedSize) codedSize {
	if uint64(o.w)*uint64(o.h) > uint64(s.w)*uint64(s.h) {
		return o
	}
	return s
}

// holds reports whether a picture of w x h pixels may be coded in this size.
func (s codedSize) holds(w, h uint32) bool {
	side := func(coded, shown uint32) bool {
		return coded >= shown && coded-shown <= maxCodedSurplus
	}
	return side(s.w, w) && side(s.h, h)
}

// checkCoded refuses an item whose bitstream has another size than the container states: the decoder
// uses the first one, limits and estimates of memory the second one.
func (t *heifTables) checkCoded(it *heifItem, w, h uint32) error {
	s, err := t.codedSize(it)
	if err == nil && s != (codedSize{}) && !s.holds(w, h) {
		err = malformed("the file says that a picture has %d x %d pixels; coded are %d x %d",
			w, h, s.w, s.h)
	}
	return err
}

// codedSize returns the largest size in the bitstream of an item.
func (t *heifTables) codedSize(it *heifItem) (codedSize, error) {
	if it.sized {
		return it.coded, nil
	}
	var s codedSize
	for _, i := range it.properties {
		p, err := t.propertyAt(i)
		if err == nil && (p.kind == "av1C" || p.kind == "hvcC") {
			s = s.largest(codedSize{p.u[0], p.u[1]})
		}
	}
	var err error
	var inData codedSize
	switch heifCodings[it.kind] {
	case AVIF:
		inData, err = t.av1Size(t.itemData(it))
	case HEIC:
		inData, err = t.hevcSize(t.itemData(it))
	}
	it.coded, it.sized = s.largest(inData), true
	return it.coded, err
}

// unit counts a unit of coded data; it returns an error over maxCodedUnits.
func (t *heifTables) unit() error {
	if t.units++; t.units > maxCodedUnits {
		return malformed("the pictures of the file are coded in more than %d units", maxCodedUnits)
	}
	return nil
}

// heifData reads the data of an item, which may have several extents, from its beginning on.
type heifData struct {
	w         *window
	base, end int64 // of the part of the file that the offsets count in
	extents   []heifExtent
	before    int64 // bytes of the extents that were passed
}

func (t *heifTables) itemData(it *heifItem) *heifData {
	d := &heifData{w: t.w, extents: it.extents}
	d.base, d.end = t.place(it)
	return d
}

// at returns up to n bytes from an offset of the data on, which must not decrease: fewer at the
// end of the data or of the file.
func (d *heifData) at(off int64, n int) ([]byte, error) {
	for len(d.extents) > 0 && off-d.before >= d.extents[0].length {
		d.before += d.extents[0].length
		d.extents = d.extents[1:]
	}
	var b []byte
	off -= d.before
	for _, e := range d.extents {
		if e.length == 0 {
			continue
		}
		part := min(int64(n-len(b)), e.length-off, d.end-d.base-e.offset-off)
		if part <= 0 {
			break
		}
		read, err := d.w.at(d.base+e.offset+off, int(part))
		if err != nil {
			return nil, err
		}
		b = append(b, read...)
		if off = 0; len(b) == n {
			break
		}
	}
	return b, nil
}

// extent returns an extent that is within the file.
func extent(offset, length uint64) heifExtent {
	return heifExtent{int64(min(offset, math.MaxInt64/4)), int64(min(length, math.MaxInt64/4))}
}

// A bitReader reads fields of bits. After the end every read returns zero, and over is true.
type bitReader struct {
	b    []byte
	pos  int // bits
	over bool
}

// bits returns the next n bits, at most 32.
func (r *bitReader) bits(n int) (v uint32) {
	for range n {
		i := r.pos >> 3
		if i >= len(r.b) {
			r.over = true
			return 0
		}
		v = v<<1 | uint32(r.b[i]>>(7-r.pos&7)&1)
		r.pos++
	}
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) == 1 }

func (r *bitReader) skip(n int) { r.pos += n }

// golomb returns an unsigned Exp-Golomb code, as section 9.2 of H.265 and section 4.10.3 of the AV1
// specification have it.
func (r *bitReader) golomb() uint32 {
	zeros := 0
	for !r.over && zeros < 32 && !r.flag() {
		zeros++
	}
	if zeros >= 32 {
		r.over = true
		return 0
	}
	return 1<<zeros - 1 + r.bits(zeros)
}
