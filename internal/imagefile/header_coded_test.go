package imagefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile/imagefiletest"
)

// A bitWriter makes what a bitReader reads.
type bitWriter struct {
	b []byte
	n int // bits
}

func (w *bitWriter) put(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

func (w *bitWriter) golomb(v uint64) {
	n := bits.Len64(v + 1)
	w.put(0, n-1)
	w.put(v+1, n)
}

// The parts of an AV1 sequence header that may stand before the size.
type av1Sample struct {
	reduced, timing, equal, model, display bool
	points                                 int // operating points
}

func (s av1Sample) sequence(width, height int) []byte {
	w := &bitWriter{}
	flag := func(b bool) bool {
		w.put(map[bool]uint64{true: 1}[b], 1)
		return b
	}
	w.put(0, 3+1)
	if flag(s.reduced) {
		w.put(8, 5)
	} else {
		if flag(s.timing) {
			w.put(25<<32|1, 64)
			if flag(s.equal) {
				w.golomb(1000)
			}
			if flag(s.model) {
				w.put(19, 5)
				w.put(90_000, 32)
				w.put(9<<5|9, 10)
			}
		}
		flag(s.display)
		w.put(uint64(s.points), 5)
		for i := range s.points + 1 {
			w.put(0x101, 12)
			w.put(uint64(7+i%2), 5)
			if i%2 == 1 {
				w.put(1, 1)
			}
			if s.timing && s.model && flag(i%2 == 0) {
				w.put(1<<41-1, 2*20+1)
			}
			if s.display && flag(i%3 == 0) {
				w.put(9, 4)
			}
		}
	}
	bitsW, bitsH := bits.Len(uint(width-1)), bits.Len(uint(height-1))
	w.put(uint64(bitsW-1), 4)
	w.put(uint64(bitsH-1), 4)
	w.put(uint64(width-1), bitsW)
	w.put(uint64(height-1), bitsH)
	return append(w.b, 0xaa)
}

// av1Units makes a temporal delimiter and units of a kind.
func av1Units(kind byte, bodies ...[]byte) []byte {
	units := []byte{2<<3 | 2, 0}
	for _, body := range bodies {
		units = append(units, kind<<3|4|2, 0, // extended; 2 bytes of LEB128
			0x80|byte(len(body)&0x7f), byte(len(body)>>7))
		units = append(units, body...)
	}
	return units
}

var av1Samples = []av1Sample{
	{}, {reduced: true}, {display: true, points: 5}, {timing: true}, {timing: true, equal: true},
	{timing: true, equal: true, model: true, points: 3},
	{timing: true, model: true, display: true, points: 31},
}

func TestAV1SequenceHeaders(t *testing.T) {
	t.Parallel()
	for _, s := range av1Samples {
		for _, size := range []codedSize{{2, 3}, {7000, 64}, {65536, 65536}} {
			b := s.sequence(int(size.w), int(size.h))
			if got := av1Sequence(b); got != size {
				t.Errorf("%+v: got %v, want %v", s, got, size)
			}
			if got := av1ConfigSize(join(make([]byte, 4), av1Units(1, b))); got != size {
				t.Errorf("%+v in av1C: got %v, want %v", s, got, size)
			}
		}
	}
}

// hevcSample makes a sequence parameter set with a number of temporal layers.
func hevcSample(layers, chroma, width, height int) []byte {
	w := &bitWriter{}
	w.put(0, 4)
	w.put(uint64(layers), 3)
	w.put(1, 1)
	w.put(0, 88) // zeros, which need escapes
	w.put(93, 8)
	for i := range layers {
		w.put(uint64(i%2<<1|1), 2)
	}
	if layers > 0 {
		w.put(0, 2*(8-layers))
	}
	for i := range layers {
		w.put(0, 88*(i%2)+8)
	}
	w.golomb(0)
	w.golomb(uint64(chroma))
	if chroma == 3 {
		w.put(0, 1)
	}
	w.golomb(uint64(width))
	w.golomb(uint64(height))
	w.put(0xff, 8)
	escaped, zeros := []byte{hevcParameterSet << 1, 1}, 0
	for _, b := range w.b {
		if zeros == 2 && b <= 3 {
			escaped, zeros = append(escaped, 3), 0
		}
		escaped = append(escaped, b)
		if zeros++; b != 0 {
			zeros = 0
		}
	}
	return escaped
}

// hevcUnits puts the length before each unit.
func hevcUnits(units ...[]byte) (b []byte) {
	for _, u := range units {
		b = append(append(b, be32(len(u))...), u...)
	}
	return b
}

// hvcC makes a configuration of sequence parameter sets.
func hvcC(sets ...[]byte) []byte {
	b := join(make([]byte, 22), []byte{2, 0x80 | 32}, be16(1), be16(2), []byte{64, 1},
		[]byte{0x80 | hevcParameterSet}, be16(len(sets)))
	for _, s := range sets {
		b = append(append(b, be16(len(s))...), s...)
	}
	return b
}

func TestHEVCParameterSets(t *testing.T) {
	t.Parallel()
	for layers := range 7 {
		for chroma := range 4 {
			want := codedSize{8192, 6144}
			set := hevcSample(layers, chroma, 8192, 6144)
			if got := hevcSet(set); got != want {
				t.Errorf("%d layers, chroma %d: got %v", layers, chroma, got)
			}
			if got := hevcConfigSize(hvcC(hevcSample(0, 1, 8, 8), set)); got != want {
				t.Errorf("%d layers, chroma %d, in hvcC: got %v", layers, chroma, got)
			}
		}
	}
	second := hevcSample(0, 1, 8192, 6144)
	second[1] |= 1 << 3
	if got := hevcSet(second); got != (codedSize{}) {
		t.Errorf("of the second layer: got %v", got)
	}
}

// coded makes a file of one item whose container says 64 x 64.
func coded(kind string, config []byte, data ...[]byte) []byte {
	brands, property := avifBrands, "av1C"
	if kind == "hvc1" {
		brands, property = heicBrands, "hvcC"
	}
	s := sampleStill(brands, kind, ispe(64, 64), heifBoxBytes(property, config))
	s.idat = join(data...)
	s.items[0].length = len(s.idat)
	return s.bytes()
}

// TestLiesAboutTheSize: a file whose bitstream has another size than the container states is refused,
// wherever the bitstream has the size.
func TestLiesAboutTheSize(t *testing.T) {
	t.Parallel()
	large := av1Sample{timing: true, display: true}.sequence(7000, 7000)
	small := av1Sample{}.sequence(64, 64)
	largeSet, smallSet := hevcSample(2, 1, 7000, 7000), hevcSample(0, 1, 64, 128)
	slice := []byte{20 << 1, 1, 9, 9, 9}
	none := make([]byte, 4)
	for name, c := range map[string]struct {
		file []byte
		lies bool
	}{
		"AVIF, true":           {coded("av01", none, av1Units(1, small), av1Units(6, slice)), false},
		"AVIF, without a size": {coded("av01", none, av1Units(6, slice)), false},
		"AVIF, in the property": {
			coded("av01", join(none, av1Units(1, large)), av1Units(1, small)), true},
		"AVIF, in the data": {coded("av01", none, av1Units(1, large)), true},
		"AVIF, behind": {
			coded("av01", none, av1Units(1, small), av1Units(6, slice), av1Units(1, large)), true},
		"AVIF, without a length": {
			coded("av01", none, av1Units(6, slice), []byte{1 << 3}, large), true},
		"HEIC, true":            {coded("hvc1", hvcC(smallSet), hevcUnits(slice)), false},
		"HEIC, without a size":  {coded("hvc1", hvcC(), hevcUnits(slice)), false},
		"HEIC, in the property": {coded("hvc1", hvcC(smallSet, largeSet), hevcUnits(slice)), true},
		"HEIC, in the data":     {coded("hvc1", hvcC(smallSet), hevcUnits(slice, largeSet, slice)), true},
	} {
		h, err := readHeader(c.file)
		refused := errors.Is(err, ErrMalformed) &&
			strings.Contains(err.Error(), "coded are 7000 x 7000")
		if c.lies != refused {
			t.Errorf("%s: got %+v, %v", name, h, err)
		}
		if !c.lies && (err != nil || h.Width != 64 || h.Height != 64) {
			t.Errorf("%s: got %+v, %v", name, h, err)
		}
	}
	h, err := readHeader(coded("hvc1", hvcC(smallSet), nil))
	if err != nil || h.MaxPixels != 64*128 {
		t.Errorf("the coded size is not what counts: %+v, %v", h, err)
	}
}

// TestSizesOfOtherItems: what is not shown is weighed by its coded size, too.
func TestSizesOfOtherItems(t *testing.T) {
	t.Parallel()
	s := sampleStill(avifBrands, "av01", ispe(64, 64))
	s.idat = av1Units(1, av1Sample{}.sequence(7000, 7000))
	s.items = append(s.items, heifSampleItem{kind: "av01", properties: []byte{1}, length: len(s.idat)})
	h, err := readHeader(s.bytes())
	if err != nil || h.Width != 64 || h.MaxPixels != 7000*7000 {
		t.Errorf("got %+v, %v", h, err)
	}
}

// TestDataInPieces: a decoder is given all pieces of an item's data as one.
func TestDataInPieces(t *testing.T) {
	t.Parallel()
	units := av1Units(1, av1Sample{}.sequence(7000, 7000))
	file := append([]byte("head"), units...)
	tables := newHEIFTables(newWindow(bytes.NewReader(file), int64(len(file))))
	it := &heifItem{kind: "av01"}
	for i := range units {
		it.extents = append(it.extents, extent(uint64(4+i), 1), extent(0, 0))
	}
	if s, err := tables.codedSize(it); err != nil || s != (codedSize{7000, 7000}) {
		t.Errorf("got %v, %v", s, err)
	}
	it = &heifItem{kind: "av01", extents: []heifExtent{extent(1<<63, 1<<63), extent(4, 1<<62)}}
	if s, err := tables.codedSize(it); err != nil || s != (codedSize{}) {
		t.Errorf("of data that is not there: got %v, %v", s, err)
	}
}

func TestUnitsAreBounded(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte{15<<3 | 2, 0}, maxCodedUnits+1)
	if h, err := readHeader(coded("av01", make([]byte, 4), data)); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %+v, %v", h, err)
	}
}

// TestCodedSizesOfRealFiles: encoders of others write what is read here.
func TestCodedSizesOfRealFiles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"16x12.avif", "16x12.heic"} {
		b := readTestdata(t, name)
		at := bytes.Index(b, []byte("ispe")) + 8
		binary.BigEndian.PutUint32(b[at:], 160)
		if h, err := readHeader(b); err == nil || !strings.Contains(err.Error(), "160 x") {
			t.Errorf("%s with another width: %+v, %v", name, h, err)
		}
	}
	names, err := filepath.Glob(filepath.Join(imagefiletest.Corpus(t), "*", "*.[ah][ve]i[fc]"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tables := newHEIFTables(newWindow(bytes.NewReader(b), int64(len(b))))
		if tables.file(0) != nil || tables.items[tables.primary] == nil {
			continue
		}
		it := tables.items[tables.primary]
		for _, id := range it.derived {
			it = tables.items[id]
		}
		if s, err := tables.codedSize(it); err == nil && s != (codedSize{}) {
			found++
		}
	}
	if found < 15 {
		t.Errorf("the coded size is found in %d of %d files only", found, len(names))
	}
}

// FuzzCodedSize has the parsers read anything as parameters and as data.
func FuzzCodedSize(f *testing.F) {
	for _, s := range av1Samples {
		f.Add(join(make([]byte, 4), av1Units(1, s.sequence(70, 7000))))
	}
	f.Add(hvcC(hevcSample(3, 3, 64, 640)))
	f.Add(hevcUnits(hevcSample(6, 1, 64, 640)))
	f.Fuzz(func(t *testing.T, b []byte) {
		av1ConfigSize(b)
		hevcConfigSize(b)
		tables := newHEIFTables(newWindow(bytes.NewReader(b), int64(len(b))))
		for _, kind := range []string{"av01", "hvc1"} {
			it := &heifItem{kind: kind, extents: []heifExtent{{0, int64(len(b))}, {1, 3}}}
			if _, err := tables.codedSize(it); err != nil && !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
		}
	})
}
