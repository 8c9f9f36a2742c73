package imagefile

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// HEIC and AVIF have one container format, ISO/IEC 14496-12 boxes with the rules of ISO/IEC 23008-12: a
// meta box that lists items (coded pictures, grids of pictures, EXIF, ...) and gives each a list of
// properties. This file reads the boxes into tables; header_heif.go interprets them.

// The limits of the tables. A 48-megapixel phone picture has about 200 items and 30 properties.
const (
	maxHEIFBoxes      = 20_000 // in the whole file
	maxHEIFItems      = 4096
	maxHEIFProperties = 4096
	maxHEIFLinks      = 1 << 16 // uses of properties, references and extents, all together
)

// A heifBox has its content at [body, end) of the file.
type heifBox struct {
	kind      string
	body, end int64
}

// A heifProperty is an entry of the ipco box. Its meaning depends on its kind; other kinds than
// those named here are stored without content.
type heifProperty struct {
	kind string
	// u holds: ispe width, height; irot quarter turns; clap width, height, horizontal and
	// vertical offset, each as numerator and denominator; av1C and hvcC the coded width and height,
	// 0 if absent.
	u         [8]uint32
	body, end int64 // its content in the file
}

// A heifItem is one item, joined from iinf, ipma, iref and iloc.
type heifItem struct {
	kind       string   // such as "hvc1"; empty if iinf does not list it
	properties []uint16 // 1-based, in the order of ipma; 0 for no property
	associated bool     // ipma lists it
	derived    []uint32 // its parts (dimg), in order
	located    bool     // iloc lists it
	inIdat     bool     // its data is in the idat box, not counted from the file's beginning
	offset     uint64   // of the data's first extent
	length     uint64   // of the first extent
	readable   bool     // the data is one extent, by a supported method
	last       uint64   // upper bound of the data's end; 0 if it is elsewhere
	extents    []heifExtent
	coded      codedSize // by codedSize, once sized
	sized      bool
}

// A heifExtent is a part of an item's data, in bytes.
type heifExtent struct{ offset, length int64 }

// heifTables are the contents of the meta box.
type heifTables struct {
	w          *window
	boxes      int // read so far
	links      int
	units      int             // of coded data, read so far
	parts      int             // parts of overlays, read so far
	partPixels int64           // of these together
	seen       map[string]bool // boxes that may occur only once
	primary    uint32
	items      map[uint32]*heifItem
	properties []heifProperty
	idat       heifBox
}

func newHEIFTables(w *window) *heifTables {
	return &heifTables{w: w, seen: map[string]bool{}, items: map[uint32]*heifItem{}}
}

// each calls do for every box in [pos, end).
func (t *heifTables) each(pos, end int64, do func(heifBox) error) error {
	for pos < end {
		b, err := t.next(pos, end)
		if err != nil {
			return err
		}
		if err := do(b); err != nil {
			return err
		}
		pos = b.end
	}
	return nil
}

// next reads the head of the box at pos, which must end by end: size (32 bits), type, and the
// size again in 64 bits when the first was 1. A size of 0 is "to the end of the file".
func (t *heifTables) next(pos, end int64) (heifBox, error) {
	if t.boxes++; t.boxes > maxHEIFBoxes {
		return heifBox{}, malformed("the file has more than %d boxes", maxHEIFBoxes)
	}
	if end-pos < 8 {
		return heifBox{}, malformed("a box is cut short")
	}
	b, err := t.w.at(pos, int(min(16, end-pos)))
	if err != nil {
		return heifBox{}, err
	}
	head, size := int64(8), uint64(binary.BigEndian.Uint32(b))
	switch {
	case size == 0 && end == t.w.size:
		size = uint64(end - pos)
	case size == 1 && len(b) == 16:
		head, size = 16, binary.BigEndian.Uint64(b[8:])
	}
	if size < uint64(head) {
		return heifBox{}, malformed("a box is shorter than its own head")
	}
	box := heifBox{kind: string(b[4:8]), body: pos + head, end: end}
	if size > uint64(end-pos) {
		if end == t.w.size {
			return box, errCutShort
		}
		return box, malformed("a box is longer than what holds it")
	}
	box.end = pos + int64(size)
	return box, nil
}

// file reads the boxes of the file from pos on. What does not look like a box behind the meta box
// was appended to the picture, unless it is the pixels that are cut short.
func (t *heifTables) file(pos int64) error {
	for pos < t.w.size {
		b, err := t.next(pos, t.w.size)
		if errors.Is(err, ErrMalformed) && t.seen["meta"] && b.kind != "mdat" {
			return nil
		}
		if err != nil {
			return err
		}
		if b.kind == "meta" {
			if err := t.meta(b); err != nil {
				return err
			}
		}
		pos = b.end
	}
	return nil
}

// once refuses the second box of a kind that may stand but once.
func (t *heifTables) once(b heifBox) error {
	if t.seen[b.kind] {
		return malformed("the file has two boxes of a kind that it may hold once")
	}
	t.seen[b.kind] = true
	return nil
}

// item returns the item with an id; it is made when it is named for the first time.
func (t *heifTables) item(id uint32) (*heifItem, error) {
	if it := t.items[id]; it != nil {
		return it, nil
	}
	if len(t.items) == maxHEIFItems {
		return nil, malformed("the file has more than %d items", maxHEIFItems)
	}
	it := &heifItem{}
	t.items[id] = it
	return it, nil
}

// linked returns the item with an id and counts its n links, unless reading them from f has failed.
func (t *heifTables) linked(f *heifFields, id uint32, n int) (*heifItem, error) {
	if f.err != nil {
		return nil, f.err
	}
	if t.links += n; t.links > maxHEIFLinks {
		return nil, malformed("the file has more than %d references", maxHEIFLinks)
	}
	return t.item(id)
}

// meta reads the meta box: the children may stand in any order.
func (t *heifTables) meta(b heifBox) error {
	if err := t.once(b); err != nil {
		return err
	}
	return t.each(b.body+4, b.end, func(b heifBox) error {
		var read func(heifBox) error
		switch b.kind {
		case "pitm":
			read = t.pitm
		case "iinf":
			read = t.iinf
		case "iloc":
			read = t.iloc
		case "iref":
			read = t.iref
		case "iprp":
			read = t.iprp
		case "idat":
			read = func(b heifBox) error { t.idat = b; return nil }
		default:
			return nil
		}
		if err := t.once(b); err != nil {
			return err
		}
		return read(b)
	})
}

// pitm names the primary item.
func (t *heifTables) pitm(b heifBox) error {
	f := t.fields(b)
	t.primary = f.id(1)
	return f.err
}

// iinf lists the items, each in an infe box.
func (t *heifTables) iinf(b heifBox) error {
	f := t.fields(b)
	f.id(1) // how many: we count for ourselves
	if f.err != nil {
		return f.err
	}
	return t.each(f.pos, b.end, func(b heifBox) error {
		if b.kind != "infe" {
			return nil
		}
		f := t.fields(b)
		if f.version < 2 {
			return f.err // older than pictures in this container
		}
		id := f.id(3)
		f.uint(2) // protection
		kind := f.text(4)
		if f.err != nil {
			return f.err
		}
		it, err := t.item(id)
		if err != nil {
			return err
		}
		if it.kind != "" {
			return malformed("the file lists an item twice")
		}
		it.kind = kind
		return nil
	})
}

// iref says which items are made of which. Only dimg matters; references from alpha planes and
// thumbnails need no reading, since every item's size is bounded anyway.
func (t *heifTables) iref(b heifBox) error {
	f := t.fields(b)
	if f.err != nil {
		return f.err
	}
	return t.each(f.pos, b.end, func(b heifBox) error {
		if b.kind != "dimg" {
			return nil
		}
		refs := t.plainFields(b)
		refs.version = f.version
		return t.dimg(refs)
	})
}

// dimg lists the items that an item is made of.
func (t *heifTables) dimg(f *heifFields) error {
	from, count := f.id(1), int(f.uint(2))
	it, err := t.linked(f, from, count)
	if err != nil {
		return err
	}
	if it.derived != nil {
		return malformed("the file says twice what an item is made of")
	}
	for range count {
		it.derived = append(it.derived, f.id(1))
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

// iloc says where the data of items is. Only grids need it: their data is their size.
func (t *heifTables) iloc(b heifBox) error {
	f := t.fields(b)
	sizes := f.uint(2)
	l := heifLocation{
		offset: int(sizes >> 12), length: int(sizes >> 8 & 15), base: int(sizes >> 4 & 15),
	}
	if f.version > 0 {
		l.index = int(sizes & 15)
	}
	for range f.id(2) {
		if err := t.location(f, l); err != nil {
			return err
		}
	}
	return f.err
}

// heifLocation holds the bytes of each number in an iloc box.
type heifLocation struct{ offset, length, base, index int }

// location reads where one item is.
func (t *heifTables) location(f *heifFields, l heifLocation) error {
	id, method := f.id(2), uint32(0)
	if f.version > 0 {
		method = f.uint(2) & 15
	}
	external := f.uint(2) != 0
	base := f.long(l.base)
	extents := int(f.uint(2))
	it, err := t.linked(f, id, extents)
	if err != nil {
		return err
	}
	if it.located {
		return malformed("the file says twice where an item is")
	}
	it.located, it.inIdat = true, method == 1
	it.readable = extents == 1 && method <= 1 && !external
	for i := range extents {
		f.skip(int64(l.index))
		offset, carry := bits.Add64(base, f.long(l.offset), 0)
		length := f.long(l.length)
		if i == 0 {
			it.offset, it.length = offset, length
		}
		end, carryEnd := bits.Add64(offset, length, 0)
		if carry+carryEnd > 0 {
			return malformed("the data of an item ends beyond 64 bits")
		}
		if method <= 1 && !external {
			it.last = max(it.last, end)
			it.extents = append(it.extents, extent(offset, length))
		}
	}
	return f.err
}
