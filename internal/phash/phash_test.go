package phash_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"calotype/internal/phash"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, h := range []phash.Hash{0, 1, 0xfedcba9876543210, math.MaxUint64} {
		got, err := phash.Parse(h.String())
		if err != nil || got != h || len(h.String()) != phash.TextLength {
			t.Errorf("%q is read as %v, %v", h.String(), got, err)
		}
	}
	for _, text := range []string{"", "0", "fedcba987654321", "fedcba98765432100", "gedcba9876543210", "-edcba9876543210",
		"0x00000000000000", "fedc_ba987654321"} {
		if h, err := phash.Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, h)
		}
	}
}

// TestProbes: each hash within a distance has a probed value in a band, and the values of a band are those of a radius.
func TestProbes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for distance := range phash.MaxDistance + 1 {
		h := phash.Hash(r.Uint64())
		var bands [phash.Bands]map[int]bool
		for band := range bands {
			values := h.Probes(band, distance)
			bands[band] = map[int]bool{}
			most := 0
			for _, v := range values {
				if v < 0 || v >= 1<<phash.BandBits || bands[band][v] {
					t.Fatalf("distance %d, band %d: the value %d is wrong, or there twice", distance, band, v)
				}
				bands[band][v] = true
				most = max(most, bits.OnesCount(uint(v^values[0])))
			}
			want := map[int]int{0: 1, 1: 17, 2: 137}[most]
			if len(values) > 0 && (len(values) != want || values[0] != int(h>>(16*band))&0xffff) {
				t.Errorf("distance %d, band %d: %d values up to %d bits", distance, band, len(values), most)
			}
		}
		for range 3000 {
			near := h
			for _, bit := range r.Perm(64)[:distance] {
				near ^= 1 << bit
			}
			found := false
			for band := range bands {
				found = found || bands[band][int(near>>(16*band))&0xffff]
			}
			if phash.Distance(h, near) != distance || !found {
				t.Fatalf("distance %d: %v is not found from %v", distance, near, h)
			}
		}
	}
}

// waves is a picture of soft shapes that a seed chooses.
func waves(w, h int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	var all [40][4]float64
	for i := range all {
		all[i] = [4]float64{r.Float64() * 10, r.Float64() * 10, r.Float64() * 6, 5 + 10*r.Float64()}
	}
	out := make([]byte, 0, 4*w*h)
	for y := range h {
		for x := range w {
			v := 128.0
			for _, a := range all {
				v += a[3] * math.Cos(math.Pi*(a[0]*float64(x)/float64(w)+a[1]*float64(y)/float64(h))+a[2])
			}
			level := byte(min(255, max(0, v)))
			out = append(out, level, level, level, 255)
		}
	}
	return out
}

func TestOfPictures(t *testing.T) {
	t.Parallel()
	var all []phash.Hash
	for seed := range uint64(10) {
		h, ok := phash.Of(100, 75, waves(100, 75, seed))
		if !ok || bits.OnesCount64(uint64(h)) != 32 {
			t.Fatalf("%v has not the half of its bits set, %v", h, ok)
		}
		for _, size := range [][2]int{{80, 60}, {50, 38}, {40, 40}} {
			scaled, ok := phash.Of(size[0], size[1], waves(size[0], size[1], seed))
			if d := phash.Distance(h, scaled); !ok || d > 8 {
				t.Errorf("scaled to %v it differs by %d", size, d)
			}
		}
		all = append(all, h)
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if d := phash.Distance(a, b); d <= phash.MaxDistance {
				t.Errorf("two pictures differ by %d", d)
			}
		}
	}
}

func TestOfOneTone(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]byte{{0, 0, 0, 255}, {255, 255, 255, 255}, {9, 99, 199, 255}, {255, 255, 255, 0}} {
		for _, size := range [][2]int{{1, 1}, {100, 1}, {1, 100}, {100, 100}} {
			if h, ok := phash.Of(size[0], size[1], slices.Repeat(c[:], size[0]*size[1])); ok {
				t.Errorf("one tone %v of %v has the hash %v", c, size, h)
			}
		}
	}
}

// TestOfTransparent: a white drawing and a black one have a hash, and that on white is the hash of the flattened picture.
func TestOfTransparent(t *testing.T) {
	t.Parallel()
	for _, level := range []byte{0, 255} {
		drawing, flat := waves(64, 64, 3), waves(64, 64, 3)
		for i := 0; i < len(drawing); i += 4 {
			opacity := drawing[i]
			drawing[i], drawing[i+1], drawing[i+2], drawing[i+3] = level, level, level, opacity
			shown := byte((int(level)*int(opacity) + 255*(255-int(opacity))) / 255)
			flat[i], flat[i+1], flat[i+2] = shown, shown, shown
		}
		h, ok := phash.Of(64, 64, drawing)
		if !ok {
			t.Fatalf("a drawing of level %d has no hash", level)
		}
		if f, ok := phash.Of(64, 64, flat); level == 0 && (!ok || phash.Distance(h, f) > 2) {
			t.Errorf("flattened it is %v, %v, not %v", f, ok, h)
		}
	}
}
