package imagefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// jpegOfScans is a JPEG of side x side in a number of scans, with their headers only.
func jpegOfScans(frame byte, side, scans int) []byte {
	b := []byte{0xff, 0xd8, 0xff, frame, 0, 11, 8}
	b = binary.BigEndian.AppendUint16(b, uint16(side))
	b = binary.BigEndian.AppendUint16(b, uint16(side))
	b = append(b, 1, 1, 0x11, 0)
	for range scans {
		// The data holds an escaped 0xff, a restart marker, a fill byte and a table in between.
		b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 1, 2, 0xff, 0, 0xff, 0xd0, 3, 0xff)
		b = append(b, 0xff, 0xc4, 0, 4, 0xff, 0xda)
	}
	return append(b, 0xff, 0xd9, 0xff, 0xda, 0xff, 0xda)
}

func TestScansOfAJPEGAreCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		frame       byte
		side, scans int
		want        int
		refused     bool
	}{
		{0xc2, 6000, 1, 2, false}, // read, and gone over when it is shown
		{0xc2, 6000, 14, 14, false},
		{0xc2, 10_000, 14, 14, false}, // a camera's
		{0xc2, 6000, 55, 55, false},
		{0xc2, 6000, 56, 56, true},
		{0xc2, 100, 5000, 5000, false}, // many, but quickly done
		{0xc0, 6000, 5000, 1, false},   // a decoder stops behind the first
	} {
		b := jpegOfScans(c.frame, c.side, c.scans)
		h, err := ReadHeader(bytes.NewReader(b), int64(len(b)))
		if err != nil || h.Scans != c.want {
			t.Errorf("%+v: got %d scans, %v", c, h.Scans, err)
		}
		limit := new(LimitError)
		if err := DefaultLimits.Check(h); errors.As(err, &limit) != c.refused {
			t.Errorf("%+v: got %v", c, err)
		}
		cut := b[:len(b)-12]
		if _, err := ReadHeader(bytes.NewReader(cut), int64(len(cut))); err != nil {
			t.Errorf("%+v, cut short in its pixels: %v", c, err)
		}
	}
}
