// Command quality measures quality=auto beside the default quality, in one process: the bytes of renditions, their
// worst score and the CPU time. It takes photographs of a folder, of which it renders two parts each, and makes
// drawings and screenshots.
//
//	go run ./bench/quality -photographs /path/to/corpus/bench
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/render"
	"calotype/internal/render/vips"
)

// A picture is an original with the options of its renditions, and the pixels that they have without a loss.
type picture struct {
	name     string
	file     *os.File
	header   imagefile.Header
	options  string
	lossless *os.File
}

type bench struct {
	engine   render.Engine
	folder   string // of all files
	rounds   int
	pictures []picture
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	photographs := flag.String("photographs", "", "folder of photographs")
	rounds := flag.Int("rounds", 3, "measurements of each time, in turn")
	flag.Parse()
	b := &bench{rounds: max(1, *rounds)}
	if b.engine, err = vips.New(); err != nil {
		return err
	}
	if b.folder, err = os.MkdirTemp("", "calotype-quality-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	if err := b.collect(*photographs); err != nil {
		return err
	}
	fmt.Printf("%d pictures, libvips %s, medians of %d rounds\n\n", len(b.pictures), b.engine.Version(), b.rounds)
	fmt.Println("format  quality  bytes of all  worst score  CPU of all  of the default")
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.WebP, imagefile.AVIF} {
		if err := b.measure(f); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	return nil
}

// The size of all renditions.
const width, height = 640, 480

// collect opens the photographs and makes the other pictures.
func (b *bench) collect(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		for _, side := range []string{"left", "right"} {
			options := fmt.Sprintf("fit=cover,width=%d,height=%d,gravity=%s", width, height, side)
			if err := b.add(path, options); err != nil {
				return err
			}
		}
	}
	for i := range drawings {
		for _, draw := range []func(int) image.Image{drawing, screenshot} {
			path := filepath.Join(b.folder, fmt.Sprintf("made-%d.png", len(b.pictures)))
			if err := writePNG(path, draw(i)); err != nil {
				return err
			}
			if err := b.add(path, fmt.Sprintf("width=%d", width)); err != nil {
				return err
			}
		}
	}
	return nil
}

func writePNG(path string, m image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, m), f.Close())
}

// add adds a picture with its lossless rendition.
func (b *bench) add(path, options string) error {
	in, h, err := open(path)
	if err != nil {
		return err
	}
	p := picture{name: filepath.Base(path), file: in, header: h, options: options}
	made, err := b.render(p, imagefile.PNG, 0)
	p.lossless = made.file
	b.pictures = append(b.pictures, p)
	return err
}

func open(path string) (*os.File, imagefile.Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, imagefile.Header{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, imagefile.Header{}, err
	}
	h, err := imagefile.ReadHeader(f, info.Size())
	return f, h, err
}

// A result is a rendition with what it took.
type result struct {
	file    *os.File
	bytes   int64
	quality int // found by a search
	cpu     time.Duration
}

// render renders a picture in a quality.
func (b *bench) render(p picture, f imagefile.Format, quality int) (r result, err error) {
	o, err := render.ParseOptions(p.options)
	if err != nil {
		return r, err
	}
	o.Quality = quality
	if r.file, err = os.CreateTemp(b.folder, "rendition-"); err != nil {
		return r, err
	}
	before, err := processorTime()
	if err != nil {
		return r, err
	}
	out, err := b.engine.Render(p.file, r.file, render.Job{Header: p.header, Format: f, Options: o})
	if err != nil {
		return r, fmt.Errorf("rendering %s: %w", p.name, err)
	}
	after, err := processorTime()
	r.bytes, r.quality, r.cpu = out.Size, out.Quality, after-before
	return r, err
}

func processorTime() (time.Duration, error) {
	var used syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), err
}

// A sum has the figures of all pictures.
type sum struct {
	bytes int64
	worst float64
	name  string // of the picture with the worst score
	label string // of a fixed quality
	cpu   []time.Duration
}

func (s *sum) add(b *bench, p picture, r result, round int) error {
	defer r.file.Close()
	s.cpu[round] += r.cpu
	if round > 0 {
		return nil
	}
	score, err := b.score(p, r)
	if err != nil {
		return err
	}
	s.bytes += r.bytes
	if s.name == "" || score < s.worst {
		s.worst, s.name = score, p.name
	}
	return nil
}

func (b *bench) score(p picture, r result) (float64, error) {
	_, from, err := open(p.lossless.Name())
	if err != nil {
		return 0, err
	}
	_, to, err := open(r.file.Name())
	if err != nil {
		return 0, err
	}
	return vips.Score(p.lossless, r.file, from, to)
}

// measure prints the figures of a format: of the default quality, of a search and of a later rendition, whose quality
// is known. They are measured in turn.
func (b *bench) measure(f imagefile.Format) error {
	kinds := []string{"default", "auto, first", "auto, later"}
	sums := make([]sum, len(kinds))
	for i := range sums {
		sums[i].cpu = make([]time.Duration, b.rounds)
	}
	for round := range b.rounds {
		for _, p := range b.pictures {
			quality := 0
			for i := range kinds {
				r, err := b.render(p, f, []int{0, render.AutoQuality, quality}[i])
				if err != nil {
					return err
				}
				quality = r.quality
				if err := sums[i].add(b, p, r, round); err != nil {
					return err
				}
			}
		}
	}
	equal, err := b.equal(f, sums[1].worst)
	if err != nil {
		return err
	}
	if equal.label != "" {
		kinds, sums = append(kinds, equal.label), append(sums, equal)
	}
	fixed := median(sums[0].cpu)
	for i, s := range sums {
		cpu := median(s.cpu)
		fmt.Printf("%-5s %-12s %9d %+5.1f %%  %6.2f  %6d ms  %.2f  %s\n", f, kinds[i], s.bytes,
			100*(float64(s.bytes)/float64(sums[0].bytes)-1), s.worst, cpu.Milliseconds(),
			float64(cpu)/float64(fixed), s.name)
	}
	return nil
}

// equal returns the figures of the lowest quality, the same for all pictures, whose worst score is at least worst. The
// label is "" if there is no such quality below 95.
func (b *bench) equal(f imagefile.Format, worst float64) (sum, error) {
	least, most := 45, 95 // the quality is above least, or most
	best := sum{}
	for most-least > 1 {
		quality := (least + most) / 2
		s := sum{label: fmt.Sprintf("fixed, %d", quality), cpu: make([]time.Duration, 1)}
		for _, p := range b.pictures {
			r, err := b.render(p, f, quality)
			if err != nil {
				return s, err
			}
			if err := s.add(b, p, r, 0); err != nil {
				return s, err
			}
		}
		if s.worst >= worst {
			best, most = s, quality
		} else {
			least = quality
		}
	}
	return best, nil
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
