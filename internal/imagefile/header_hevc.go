package imagefile

import (
	"encoding/binary"
	"math/bits"
)

const (
	hevcParameterSet = 33 // type of the unit that is a sequence parameter set
	hevcUnitHead     = 2  // bytes
)

// hevcSize returns the largest size in the sequence parameter sets among the units of an HEVC
// picture. A length of 4 bytes precedes each unit: libheif uses 4 bytes, whatever hvcC states.
func (t *heifTables) hevcSize(d *heifData) (s codedSize, err error) {
	const length = 4
	for off := int64(0); ; {
		if err := t.unit(); err != nil {
			return s, err
		}
		b, err := d.at(off, length+1)
		if err != nil || len(b) < length+1 {
			return s, err
		}
		size := int64(binary.BigEndian.Uint32(b))
		if b[length]>>1&0x3f == hevcParameterSet {
			unit, err := d.at(off+length, int(min(size, maxParameterBytes)))
			if err != nil {
				return s, err
			}
			s = s.largest(hevcSet(unit))
		}
		off += length + size
	}
}

// hevcConfigSize returns the largest size in the sequence parameter sets that an hvcC property
// holds.
func hevcConfigSize(config []byte) (s codedSize) {
	const head = 22
	r := &byteReader{b: config}
	r.take(head)
	for range r.uint(1) {
		kind := r.uint(1) & 0x3f
		for range r.uint(2) {
			unit := r.take(int(r.uint(2)))
			if r.over {
				return s
			}
			if kind == hevcParameterSet {
				s = s.largest(hevcSet(unit))
			}
		}
	}
	return s
}

// A byteReader takes numbers and bytes off a property. After the end every read returns zero.
type byteReader struct {
	b    []byte
	over bool
}

func (r *byteReader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.over = nil, true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *byteReader) uint(n int) (v uint32) {
	for _, b := range r.take(n) {
		v = v<<8 | uint32(b)
	}
	return v
}

// hevcSet reads the size in a sequence parameter set, sections 7.3.2.2 and 7.3.3 of H.265: that of
// the coded picture, of which the conformance window may crop a margin. Zero if it is absent.
func hevcSet(unit []byte) codedSize {
	if len(unit) < hevcUnitHead || unit[0]&1 != 0 || unit[1]>>3 != 0 {
		return codedSize{} // of another layer than the first: no decoder here reads it
	}
	r := &bitReader{b: withoutEscapes(unit[hevcUnitHead:])}
	r.skip(4) // the video parameter set's id
	layers := int(r.bits(3))
	r.skip(1)  // nesting
	r.skip(88) // profile, tier, constraints of the whole
	r.skip(8)  // level
	var profiles, levels int
	for range layers {
		profiles += int(r.bits(1))
		levels += int(r.bits(1))
	}
	if layers > 0 {
		r.skip(2 * (8 - layers))
	}
	r.skip(88*profiles + 8*levels)
	r.golomb() // the set's own id
	const separatePlanes = 3
	if r.golomb() == separatePlanes {
		r.skip(1)
	}
	s := codedSize{r.golomb(), r.golomb()}
	if r.over || bits.Len32(s.w) > 30 || bits.Len32(s.h) > 30 {
		return codedSize{}
	}
	return s
}

// withoutEscapes returns a unit without its emulation prevention bytes (3).
func withoutEscapes(unit []byte) []byte {
	plain := make([]byte, 0, len(unit))
	zeros := 0
	for _, b := range unit {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		plain = append(plain, b)
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return plain
}
