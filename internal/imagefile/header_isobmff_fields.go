package imagefile

import "encoding/binary"

// heifFields reads the fields of a box one after the other. After an error every read gives zero;
// err is looked at where a value would be acted upon.
type heifFields struct {
	w        *window
	pos, end int64
	version  int    // of a full box
	flags    uint32 // of a full box
	err      error
}

// plainFields starts at the content of a box.
func (t *heifTables) plainFields(b heifBox) *heifFields {
	return &heifFields{w: t.w, pos: b.body, end: b.end}
}

// fields starts behind the version and flags that "full" boxes begin with.
func (t *heifTables) fields(b heifBox) *heifFields {
	f := t.plainFields(b)
	f.version, f.flags = int(f.uint(1)), f.uint(3)
	return f
}

// id reads the identifier of an item, or a number of items: 32 bits from a version of the box
// on, 16 bits before.
func (f *heifFields) id(wideFrom int) uint32 {
	if f.version >= wideFrom {
		return f.uint(4)
	}
	return f.uint(2)
}

// bytes returns the next n bytes, n being small; nil after an error.
func (f *heifFields) bytes(n int) []byte {
	if f.err == nil && int64(n) > f.end-f.pos {
		f.err = malformed("a box is shorter than its content")
	}
	if f.err != nil {
		return nil
	}
	var b []byte
	if b, f.err = f.w.at(f.pos, n); f.err != nil {
		return nil
	}
	f.pos += int64(n)
	return b
}

func (f *heifFields) text(n int) string { return string(f.bytes(n)) }

// uint reads an unsigned number of n bytes, at most 4.
func (f *heifFields) uint(n int) uint32 { return uint32(f.long(n)) }

// long reads an unsigned number of n bytes, at most 8; of 0 bytes it is 0.
func (f *heifFields) long(n int) uint64 {
	if n > 8 {
		f.err = malformed("a number has more than 8 bytes")
		return 0
	}
	var v [8]byte
	copy(v[8-n:], f.bytes(n))
	return binary.BigEndian.Uint64(v[:])
}

func (f *heifFields) skip(n int64) {
	if f.err == nil && n > f.end-f.pos {
		f.err = malformed("a box is shorter than its content")
	}
	if f.err == nil {
		f.pos += n
	}
}

// iprp holds the properties (ipco) and says which item has which (ipma).
func (t *heifTables) iprp(b heifBox) error {
	return t.each(b.body, b.end, func(b heifBox) error {
		switch b.kind {
		case "ipco":
			if err := t.once(b); err != nil {
				return err
			}
			return t.each(b.body, b.end, t.property)
		case "ipma":
			return t.ipma(b)
		}
		return nil
	})
}

// property reads an entry of ipco.
func (t *heifTables) property(b heifBox) error {
	if len(t.properties) == maxHEIFProperties {
		return malformed("the file has more than %d properties", maxHEIFProperties)
	}
	p := heifProperty{kind: b.kind, body: b.body, end: b.end}
	f := t.plainFields(b)
	switch b.kind {
	case "ispe":
		f.skip(4) // version and flags
		p.u[0], p.u[1] = f.uint(4), f.uint(4)
	case "irot":
		p.u[0] = f.uint(1) & 3
	case "clap":
		for i := range p.u {
			p.u[i] = f.uint(4)
		}
	case "av1C", "hvcC":
		size := av1ConfigSize
		if b.kind == "hvcC" {
			size = hevcConfigSize
		}
		coded := size(f.bytes(int(min(b.end-b.body, maxParameterBytes))))
		p.u[0], p.u[1] = coded.w, coded.h
	}
	t.properties = append(t.properties, p)
	return f.err
}

// ipma associates items with properties: item, count, then index with a top bit for "essential",
// in 8 or 16 bits.
func (t *heifTables) ipma(b heifBox) error {
	f := t.fields(b)
	width, mask := 1, uint32(0x7f)
	if f.flags&1 != 0 {
		width, mask = 2, 0x7fff
	}
	entries := f.uint(4)
	for range entries {
		id, count := f.id(1), int(f.uint(1))
		it, err := t.linked(f, id, count)
		if err != nil {
			return err
		}
		if it.associated {
			return malformed("the file lists the properties of an item twice")
		}
		it.associated = true
		for range count {
			it.properties = append(it.properties, uint16(f.uint(width)&mask))
		}
	}
	return f.err
}
