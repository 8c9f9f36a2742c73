package imagefile

// The types of AV1's units (OBU) that matter here.
const av1SequenceHeader = 1

// av1Size returns the largest size in the sequence headers of an AV1 picture. At an invalid
// unit it stops, as decoders do.
func (t *heifTables) av1Size(d *heifData) (s codedSize, err error) {
	for off := int64(0); ; {
		if err := t.unit(); err != nil {
			return s, err
		}
		head, err := d.at(off, 10)
		if err != nil || len(head) == 0 {
			return s, err
		}
		u, ok := av1UnitOf(head)
		if !ok {
			return s, nil
		}
		if u.kind == av1SequenceHeader {
			body, err := d.at(off+u.head, int(min(u.size, maxParameterBytes)))
			if err != nil {
				return s, err
			}
			s = s.largest(av1Sequence(body))
		}
		if u.size > 1<<40 { // to the end, or beyond
			return s, nil
		}
		off += u.head + u.size
	}
}

// av1ConfigSize returns the largest size in the sequence headers that an av1C property holds.
func av1ConfigSize(config []byte) (s codedSize) {
	const head = 4
	for rest := config[min(head, len(config)):]; len(rest) > 0; {
		u, ok := av1UnitOf(rest[:min(10, len(rest))])
		if !ok {
			return s
		}
		body := rest[min(u.head, int64(len(rest))):]
		size := min(u.size, int64(len(body)))
		if u.kind == av1SequenceHeader {
			s = s.largest(av1Sequence(body[:size]))
		}
		rest = body[size:]
	}
	return s
}

// An av1Unit is the head of an OBU.
type av1Unit struct {
	kind uint32
	head int64 // bytes before the body
	size int64 // of the body; larger than any file if it extends to the end
}

// av1UnitOf reads the head of a unit, section 5.3 of the AV1 specification. b has up to 10 bytes of
// it; ok is false if it is invalid.
func av1UnitOf(b []byte) (u av1Unit, ok bool) {
	r := &bitReader{b: b}
	if forbidden := r.flag(); forbidden {
		return u, false
	}
	u.kind, u.head, u.size = r.bits(4), 1, 1<<62
	extended, sized := r.flag(), r.flag()
	r.skip(1)
	if extended {
		r.skip(8)
		u.head++
	}
	if sized { // in LEB128
		u.size = 0
		for i := 0; ; i++ {
			more, low := r.flag(), r.bits(7)
			if i == 8 || r.over {
				return u, false
			}
			u.size |= int64(low) << (7 * i)
			u.head++
			if !more {
				break
			}
		}
	}
	return u, !r.over
}

// av1Sequence reads the size in a sequence header, section 5.5 of the AV1 specification; zero if
// it is absent.
func av1Sequence(b []byte) codedSize {
	r := &bitReader{b: b}
	r.skip(3 + 1) // profile, still picture
	if reduced := r.flag(); reduced {
		r.skip(5) // level
	} else {
		av1Timing(r)
	}
	bitsW, bitsH := int(r.bits(4))+1, int(r.bits(4))+1
	s := codedSize{r.bits(bitsW) + 1, r.bits(bitsH) + 1}
	if r.over {
		return codedSize{}
	}
	return s
}

// av1Timing skips the timing and the operating points of a sequence header.
func av1Timing(r *bitReader) {
	delay := 0 // bits of a decoder's delay; 0 without a model of the decoder
	if timing := r.flag(); timing {
		r.skip(32 + 32)
		if equalInterval := r.flag(); equalInterval {
			r.golomb()
		}
		if model := r.flag(); model {
			delay = int(r.bits(5)) + 1
			r.skip(32 + 5 + 5)
		}
	}
	display := r.flag() // initial display delays are given
	for range r.bits(5) + 1 {
		r.skip(12)
		if level := r.bits(5); level > 7 {
			r.skip(1) // tier
		}
		if delay > 0 && r.flag() {
			r.skip(2*delay + 1)
		}
		if display && r.flag() {
			r.skip(4)
		}
	}
}
