package vips

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// photo makes a picture with structure at several scales, and grain.
func photo(width, height int, grain float64) image.Image {
	random := rand.New(rand.NewPCG(1, 2))
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			fx, fy := float64(x), float64(y)
			light := 128 + 40*math.Sin(fx/37)*math.Cos(fy/29) + 30*math.Sin(fx/7+fy/11) + 20*math.Sin(fx*fy/900)
			light += grain * (random.Float64() - 0.5)
			at := func(v float64) uint8 { return uint8(min(max(v, 0), 255)) }
			r, b := light+20*math.Sin(fy/50), light-20*math.Cos(fx/60)
			m.SetNRGBA(x, y, color.NRGBA{at(r), at(light), at(b), 255})
		}
	}
	return m
}

var searched = []imagefile.Format{imagefile.JPEG, imagefile.WebP, imagefile.AVIF}

// scoreOf returns the score of a rendition of in against its PNG.
func scoreOf(t *testing.T, lossless, rendition []byte) float64 {
	t.Helper()
	a, from := fileOf(t, lossless)
	b, to := fileOf(t, rendition)
	s, err := Score(a, b, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScore: equal pixels have the score 100, and the score falls with the quality.
func TestScore(t *testing.T) {
	for name, m := range map[string]image.Image{
		"photo": photo(203, 131, 20), "tiny": photo(1, 1, 0), "thin": photo(3, 70, 5), "small": photo(9, 7, 20),
		"grey": image.NewGray(image.Rect(0, 0, 40, 30)),
	} {
		in, h := fileOf(t, encodePNG(t, m))
		job := render.Job{Header: h, Options: render.DefaultOptions(), Format: imagefile.PNG}
		lossless := made(t, in, job)
		if s := scoreOf(t, lossless, lossless); s != 100 {
			t.Errorf("%s: the score of equal pictures is %v", name, s)
		}
		if name != "photo" {
			continue
		}
		for _, job.Format = range searched {
			last := 100.0
			for _, job.Options.Quality = range []int{95, 80, 65, 45, 25, 5} {
				s := scoreOf(t, lossless, made(t, in, job))
				if s >= last || s < 0 {
					t.Errorf("%s: the score at %d is %v, above it %v", job.Format, job.Options.Quality, s, last)
				}
				last = s
			}
		}
	}
	a, from := fileOf(t, encodePNG(t, photo(20, 20, 1)))
	b, to := fileOf(t, encodePNG(t, photo(20, 21, 1)))
	if s, err := Score(a, b, from, to); err == nil {
		t.Errorf("the score of pictures of different sizes is %v", s)
	}
}

// TestTransparentScore: a change of transparency alone is an error.
func TestTransparentScore(t *testing.T) {
	with := func(alpha uint8) []byte {
		m := image.NewNRGBA(image.Rect(0, 0, 64, 64))
		for i := range 64 * 64 {
			m.SetNRGBA(i%64, i/64, color.NRGBA{200, 40, 40, 255 - alpha*uint8(i/64%2)})
		}
		return encodePNG(t, m)
	}
	if s := scoreOf(t, with(0), with(200)); s >= targetScore {
		t.Errorf("the score without transparency of every other row is %v", s)
	}
}

// found renders a job and returns the bytes with the quality of the output.
func found(t *testing.T, in *os.File, j render.Job) (rendition []byte, quality int) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	o, err := newEngine(t).Render(in, out, j)
	if err != nil {
		t.Fatal(err)
	}
	if rendition, err = os.ReadFile(out.Name()); err != nil {
		t.Fatal(err)
	}
	return rendition, o.Quality
}

// TestAutoQuality: a search makes the bytes of the quality that it returns, which reaches the target.
func TestAutoQuality(t *testing.T) {
	for name, original := range map[string][]byte{
		"grain": encodePNG(t, photo(240, 180, 40)), "smooth": encodeJPEG(t, photo(320, 200, 0)),
		"small":       encodePNG(t, photo(5, 4, 10)),
		"transparent": encodePNG(t, quarters(80, 60, [4]color.NRGBA{red, green, blue, nothing})),
	} {
		in, h := fileOf(t, original)
		for _, f := range searched {
			job := render.Job{Header: h, Format: f, Alpha: name == "transparent", Options: render.DefaultOptions()}
			job.Options.Quality = render.AutoQuality
			rendition, quality := found(t, in, job)
			if quality < minQuality || quality > maxQuality {
				t.Fatalf("%s, %s: the quality %d", name, f, quality)
			}
			job.Options.Quality = quality
			if plain, none := found(t, in, job); !bytes.Equal(rendition, plain) || none != 0 {
				t.Errorf("%s, %s: the rendition is not that of the quality %d", name, f, quality)
			}
			job.Format, job.Options.Background = imagefile.PNG, "#ffffff"
			if name == "transparent" {
				continue // a JPEG has no transparency
			}
			if s := scoreOf(t, made(t, in, job), rendition); s < targetScore && quality < maxQuality {
				t.Errorf("%s, %s: the score at %d is %v", name, f, quality, s)
			}
		}
	}
}

// TestNoSearch: other formats and animations have the default quality.
func TestNoSearch(t *testing.T) {
	for f, original := range map[imagefile.Format][]byte{
		imagefile.PNG: encodePNG(t, photo(40, 30, 9)), imagefile.WebP: animation(t), imagefile.GIF: animation(t),
	} {
		in, h := fileOf(t, original)
		job := render.Job{Header: h, Format: f, Options: render.DefaultOptions()}
		want := made(t, in, job)
		job.Options.Quality = render.AutoQuality
		if got, quality := found(t, in, job); quality != 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: quality %d, or other bytes than at the default", f, quality)
		}
	}
}

// TestFinder: a search makes at most render.MaxEncodes encodings, and finds a low quality that reaches the target if
// there is one, for errors that fall in other ways than the usual one too.
func TestFinder(t *testing.T) {
	tries, searches := 0, 0
	for f, usual := range curves {
		for _, slope := range []float64{-0.01, -0.02, -0.033, -0.05, -0.1} {
			for at := 20; at <= 110; at += 3 { // the quality that has the target
				for _, wave := range []float64{0, 0.05} {
					count, scores := 0, map[int]float64{}
					quality, err := usual.quality(func(q int) (float64, error) {
						count++
						error := (100 - targetScore) * math.Exp(slope*float64(q-at)+wave*math.Sin(float64(q)))
						scores[q] = 100 - error
						return scores[q], nil
					})
					if usual.again {
						count++
					}
					tries, searches = tries+count, searches+1
					score, tried := scores[quality]
					switch {
					case err != nil || count > render.MaxEncodes || quality < minQuality || quality > maxQuality:
						t.Fatalf("%s, %v, %d: %d encodings, %d, %v", f, slope, at, count, quality, err)
					case !tried && !usual.again:
						t.Errorf("%s, %v, %d: the quality %d was not encoded", f, slope, at, quality)
					case !tried && quality < maxQuality && float64(at)-float64(quality) > 2*wave/-slope:
						t.Errorf("%s, %v, %d: the quality %d, which was not scored, is below the target", f, slope, at, quality)
					}
					for q, s := range scores {
						if tried && (s >= targetScore && (q < quality || score < targetScore)) {
							t.Errorf("%s, %v, %d: %d of %v", f, slope, at, quality, scores)
						}
					}
				}
			}
		}
	}
	t.Logf("%.2f encodings for a search", float64(tries)/float64(searches))
	failure := errors.New("no memory")
	if _, err := curves[imagefile.WebP].quality(func(int) (float64, error) { return 0, failure }); err != failure {
		t.Errorf("a failure: %v", err)
	}
}

// TestFirstQuality: a search that begins with the right quality makes one scored encoding.
func TestFirstQuality(t *testing.T) {
	count := 0
	f := curves[imagefile.WebP]
	f.usual = 57
	quality, err := f.quality(func(q int) (float64, error) {
		count++
		return 98 + float64(q)*0.0165, nil // 98.94 at 57
	})
	if quality != 57 || count != 1 || err != nil {
		t.Errorf("%d after %d encodings, %v", quality, count, err)
	}
}
