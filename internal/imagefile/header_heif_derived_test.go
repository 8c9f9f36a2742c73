package imagefile

import (
	"errors"
	"testing"
)

// sampleOverlay is a HEIC of one picture of 64 x 64 on a canvas of width x height.
func sampleOverlay(width, height int) heifSample {
	const length = 2 + 8 + 4 + 8 // version and flags, colour, size, one place
	return heifSample{
		brands: heicBrands, primary: 2,
		items: []heifSampleItem{
			{kind: "hvc1", properties: []byte{1}},
			{kind: "iovl", properties: []byte{2}, madeOf: []byte{1}, length: length},
		},
		properties: [][]byte{ispe(64, 64), ispe(width, height)},
		idat:       join(make([]byte, 10), be16(width), be16(height), make([]byte, 8)),
	}
}

func TestReadHeaderOverlay(t *testing.T) {
	t.Parallel()
	s := sampleOverlay(30, 20)
	h, err := readHeader(s.bytes())
	if err != nil || h.Format != HEIC || h.Width != 30 || h.Height != 20 || h.MaxPixels != 64*64 {
		t.Errorf("got %+v, %v", h, err)
	}
	large := sampleOverlay(30_000, 20_000)
	if h, err := readHeader(large.bytes()); err != nil || h.MaxPixels != 600_000_000 {
		t.Errorf("a large canvas: %+v, %v", h, err)
	}
	same := sampleOverlay(30, 20)
	same.items[1].kind = "iden"
	if h, err := readHeader(same.bytes()); err != nil || h.Width != 64 || h.Height != 64 {
		t.Errorf("the same as another: %+v, %v", h, err)
	}
	thrice := sampleOverlay(30, 20)
	thrice.items[1].madeOf = []byte{1, 1, 1}
	if h, err := readHeader(thrice.bytes()); err != nil || h.MaxPixels != 3*64*64 {
		t.Errorf("three pictures: %+v, %v", h, err)
	}
	for name, change := range map[string]func(*heifSample){
		"made of nothing": func(s *heifSample) { s.items[1].madeOf = nil },
		"made of 9 x 9": func(s *heifSample) {
			nine := []byte{1, 1, 1, 1, 1, 1, 1, 1, 1}
			s.items[1].madeOf = []byte{3, 3, 3, 3, 3, 3, 3, 3, 3}
			s.items = append(s.items, s.items[1])
			s.items[2].madeOf = nine
		},
		"made of itself":            func(s *heifSample) { s.items[1].madeOf = []byte{2} },
		"made of what is not there": func(s *heifSample) { s.items[1].madeOf = []byte{9} },
		"no data":                   func(s *heifSample) { s.idat = nil },
		"data too short":            func(s *heifSample) { s.items[1].length = 9 },
		"new version":               func(s *heifSample) { s.idat[0] = 1 },
	} {
		s := sampleOverlay(30, 20)
		change(&s)
		if h, err := readHeader(s.bytes()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}
