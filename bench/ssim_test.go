package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// noisy returns a plane of slow waves with noise of an amplitude.
func noisy(width, height int, amplitude float64) frames {
	random := rand.New(rand.NewPCG(1, 2))
	plane := make([]float64, width*height)
	for i := range plane {
		x, y := float64(i%width), float64(i/width)
		plane[i] = 128 + 60*math.Sin(x/9)*math.Cos(y/7) + amplitude*(random.Float64()*2-1)
	}
	return frames{width: width, height: height, luma: [][]float64{plane}}
}

// slowSSIM is the definition: each window for itself.
func slowSSIM(a, b frames) float64 {
	const c1, c2 = 6.5025, 58.5225
	n, sum, count := len(window), 0.0, 0.0
	for top := range a.height - n + 1 {
		for left := range a.width - n + 1 {
			var ma, mb, aa, bb, ab float64
			for i := range n * n {
				at, weight := (top+i/n)*a.width+left+i%n, window[i/n]*window[i%n]
				p, q := a.luma[0][at], b.luma[0][at]
				ma, mb = ma+weight*p, mb+weight*q
				aa, bb, ab = aa+weight*p*p, bb+weight*q*q, ab+weight*p*q
			}
			sum += (2*ma*mb + c1) * (2*(ab-ma*mb) + c2) / ((ma*ma + mb*mb + c1) * (aa - ma*ma + bb - mb*mb + c2))
			count++
		}
	}
	return sum / count
}

func TestSSIM(t *testing.T) {
	plain := noisy(41, 29, 0)
	last := 1.0
	for _, amplitude := range []float64{0, 4, 16, 64} {
		other := noisy(41, 29, amplitude)
		got, err := ssim(plain, other)
		if err != nil {
			t.Fatal(err)
		}
		if want := slowSSIM(plain, other); math.Abs(got-want) > 1e-9 {
			t.Errorf("noise of %v: %v, want %v", amplitude, got, want)
		}
		if amplitude == 0 && math.Abs(got-1) > 1e-9 || amplitude > 0 && got >= last-0.01 {
			t.Errorf("noise of %v: %v, after %v for less noise", amplitude, got, last)
		}
		last = got
	}
	if _, err := ssim(plain, noisy(41, 30, 0)); err == nil {
		t.Error("pictures of different sizes were compared")
	}
}

// TestShrunkTo: a ramp stays a ramp, the first axis is not the second, and detail finer than a pixel is gone.
func TestShrunkTo(t *testing.T) {
	const width, height = 90, 60
	f := frames{width: width, height: height, luma: [][]float64{make([]float64, width*height)}}
	for i := range f.luma[0] {
		x, y := i%width, i/width
		f.luma[0][i] = 20 + float64(x) + float64((x+y)%2*100)
	}
	small := f.shrunkTo(30, 20)
	if small.width != 30 || small.height != 20 || len(small.luma[0]) != 600 {
		t.Fatalf("%d pixels of %d x %d", len(small.luma[0]), small.width, small.height)
	}
	for y := range 20 {
		for x := 3; x < 27; x++ { // the edge repeats its pixel
			got, want := small.luma[0][y*30+x], 20+float64(3*x+1)+50
			if math.Abs(got-want) > 0.5 {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, got, want)
			}
		}
	}
}

func TestParsePixels(t *testing.T) {
	f, err := parsePixels([]byte("2 1 1\n\xff\x00\x00\xff\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if f.width != 2 || f.height != 1 || math.Abs(f.luma[0][0]-76.245) > 1e-9 || f.luma[0][1] != 255 {
		t.Errorf("red and a clear pixel are %+v", f)
	}
	for _, bad := range []string{"", "2 1\n", "2 1 1\n1234567"} {
		if _, err := parsePixels([]byte(bad)); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}
