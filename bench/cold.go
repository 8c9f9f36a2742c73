package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The 12-megapixel photograph: the default variant, at most 1366 x 768, makes 800 x 768 of it.
const (
	largeWidth, largeHeight = 3536, 3395
	largeSize               = 3_500_000 // bytes
	box                     = "1366x768"
)

// coldAtOnce is the number of renditions of one round.
const coldAtOnce = 4

// cold measures making renditions of a 12-megapixel JPEG, beside vipsthumbnail, which makes the
// same size by the same encoder settings, alone as a command and without its start.
func (b *bench) cold() error {
	picture, err := photograph(largeWidth, largeHeight, largeSize, grainOfSensor)
	if err != nil {
		return err
	}
	file := filepath.Join(b.scratch, "large.jpg")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		return err
	}
	s, err := b.startServer("cold", "")
	if err != nil {
		return err
	}
	defer s.stop()
	for _, format := range []struct{ name, accept, suffix string }{
		{"JPEG", acceptJPEG, ".jpg[Q=85,strip,optimize_coding,interlace]"},
		{"WebP", acceptWebP, ".webp[Q=80,strip,effort=4]"},
	} {
		// One picture for each render: the same one again would come from the cache.
		fresh, err := s.uploadMany(picture, (b.rounds+1)*coldAtOnce+10)
		if err != nil {
			return err
		}
		if err := b.coldFormat(s, file, fresh, format.name, format.accept, format.suffix); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) uploadMany(picture []byte, n int) ([]string, error) {
	paths := make([]string, n)
	for i := range paths {
		var err error
		if paths[i], err = s.upload(picture); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func (b *bench) coldFormat(
	s *server, file string, fresh []string, name, accept, suffix string,
) error {
	take := func(n int) []string {
		taken := fresh[:n]
		fresh = fresh[n:]
		return taken
	}
	ours := func() ([]float64, error) {
		cpu, err := renderAll(s, take(coldAtOnce), accept)
		each := millis(cpu) / coldAtOnce
		return []float64{each, each}, err
	}
	theirs := func() ([]float64, error) {
		var commands time.Duration
		for range coldAtOnce {
			cpu, err := b.thumbnails(file, box, suffix, 1)
			if err != nil {
				return nil, err
			}
			commands += cpu
		}
		bare, err := b.bareThumbnail(file, box, suffix, coldAtOnce)
		return []float64{millis(commands) / coldAtOnce, millis(bare)}, err
	}
	err := b.inTurn([]row{
		{name: "cold 12 MP to " + name + ", CPU", unit: "ms", peer: "vipsthumbnail", aim: 1},
		{name: "cold 12 MP to " + name + ", CPU", unit: "ms", peer: "vipsthumbnail without its start"},
	}, ours, theirs)
	if err != nil {
		return err
	}
	return b.profiled(s, "cold-"+name, func() error {
		_, err := renderAll(s, fresh, accept)
		return err
	})
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// renderAll asks for pictures that were never asked for, two at once.
func renderAll(s *server, paths []string, accept string) (time.Duration, error) {
	cpu, _, err := s.send(2, len(paths), http.StatusOK,
		func(i int) request { return pictureRequest(s.address, paths[i], accept) }, nil)
	return cpu, err
}

// thumbnails runs one vipsthumbnail that makes n thumbnails of a file and returns its CPU time.
func (b *bench) thumbnails(file, size, suffix string, n int) (time.Duration, error) {
	args := []string{"--size", size + ">", "-o", filepath.Join(b.scratch, "thumbnail") + suffix}
	return runCommand("vipsthumbnail", append(args, slices.Repeat([]string{file}, n)...)...)
}

// bareThumbnail returns the CPU time of one thumbnail without that of starting the command: what
// n more of them in one command take.
func (b *bench) bareThumbnail(file, size, suffix string, n int) (time.Duration, error) {
	one, err := b.thumbnails(file, size, suffix, 1)
	if err != nil {
		return 0, err
	}
	more, err := b.thumbnails(file, size, suffix, n+1)
	if err == nil && more <= one {
		err = fmt.Errorf("%d thumbnails took %s, one took %s", n+1, more, one)
	}
	return (more - one) / time.Duration(n), err
}
