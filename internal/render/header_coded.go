package render

import "math/bits"

// The coded size of a picture stands in its decoder's configuration: in the sequence header of an
// AV1 picture (av1C), in the sequence parameter set of an HEVC one (hvcC). A decoder goes by that,
// whatever the container says, so limits and memory must too.

// A bitReader reads fields of bits. After the end every read gives zero; over says so.
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

// golomb returns an unsigned Exp-Golomb code, as H.265 section 9.2 has it.
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

// av1CodedSize returns the size in the sequence header that an av1C property holds, as section 5.5
// of the AV1 specification has it. ok is false where it holds none, which the format allows.
func av1CodedSize(config []byte) (w, h uint32, ok bool) {
	const head = 4
	if len(config) <= head {
		return 0, 0, false
	}
	for obus := config[head:]; len(obus) > 0; {
		r := &bitReader{b: obus}
		r.skip(1)
		kind, extended, sized := r.bits(4), r.flag(), r.flag()
		body := obus[1:]
		if extended && len(body) > 0 {
			body = body[1:]
		}
		size := uint64(len(body))
		if sized {
			var n int
			if size, n = leb128(body); n == 0 {
				return 0, 0, false
			}
			body = body[n:]
		}
		if size > uint64(len(body)) {
			return 0, 0, false
		}
		const sequenceHeader = 1
		if kind == sequenceHeader {
			return av1Sequence(body[:size])
		}
		obus = body[size:]
	}
	return 0, 0, false
}

// leb128 reads a length of AV1 and returns how many bytes it has; 0 where it is none.
func leb128(b []byte) (v uint64, n int) {
	for n < 8 && n < len(b) {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			return v, n
		}
	}
	return 0, 0
}

// av1Sequence reads the size in a sequence header.
func av1Sequence(b []byte) (w, h uint32, ok bool) {
	r := &bitReader{b: b}
	r.skip(3 + 1) // profile, still picture
	if reduced := r.flag(); reduced {
		r.skip(5) // level
	} else {
		if timing := r.flag(); timing {
			return 0, 0, false // of films; what follows has another form
		}
		r.skip(1) // initial display delay
		for range r.bits(5) + 1 {
			r.skip(12) // operating point
			if level := r.bits(5); level > 7 {
				r.skip(1) // tier
			}
		}
	}
	bitsW, bitsH := int(r.bits(4))+1, int(r.bits(4))+1
	w, h = r.bits(bitsW)+1, r.bits(bitsH)+1
	return w, h, !r.over
}

// hevcCodedSize returns the largest size in the sequence parameter sets that an hvcC property
// holds, as sections 7.3.2.2 and 7.3.3 of H.265 have them. It is that of the coded picture, of which
// the conformance window may cut up to 64 pixels a side off. ok is false where there is none.
func hevcCodedSize(config []byte) (w, h uint32, ok bool) {
	const head, set = 22, 33 // NAL unit type of a sequence parameter set
	r := &heifBytes{b: config}
	r.take(head)
	for range r.uint(1) {
		kind := r.uint(1) & 0x3f
		for range r.uint(2) {
			unit := r.take(int(r.uint(2)))
			if r.over || kind != set {
				continue
			}
			uw, uh, found := hevcSet(unit)
			if found && uint64(uw)*uint64(uh) > uint64(w)*uint64(h) {
				w, h, ok = uw, uh, true
			}
		}
		if r.over {
			break
		}
	}
	return w, h, ok
}

// heifBytes takes numbers and bytes off a property.
type heifBytes struct {
	b    []byte
	over bool
}

func (r *heifBytes) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.over = nil, true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *heifBytes) uint(n int) (v uint32) {
	for _, b := range r.take(n) {
		v = v<<8 | uint32(b)
	}
	return v
}

// hevcSet reads the size in a sequence parameter set.
func hevcSet(unit []byte) (w, h uint32, ok bool) {
	const unitHead = 16
	r := &bitReader{b: withoutEscapes(unit)}
	r.skip(unitHead + 4) // and the video parameter set's id
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
	w, h = r.golomb(), r.golomb()
	return w, h, !r.over && w > 0 && h > 0 && bits.Len32(w) < 31 && bits.Len32(h) < 31
}

// withoutEscapes returns a unit without the bytes 3 that keep start codes out of it.
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
