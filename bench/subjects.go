package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// largeTarget is the width of renditions of 12-megapixel photographs.
const largeTarget = 800 // pixels

// A subject is a picture and the rendition that is made of it.
type subject struct {
	name    string
	file    string // the picture's name in the scratch folder
	picture []byte
	source  []byte // what picture was made of, if sharp cannot decode it
	width   int    // of the rendition
	moving  bool
	accept  string
	format  string // of our pipeline
	peer    string // the format of the server on sharp; "" if sharp cannot decode the picture
	suffix  string // the file of vipsthumbnail, with the same settings of its encoder
}

func (s subject) options() string { return fmt.Sprintf("width=%d", s.width) }

// reference returns the picture that a rendition should be like.
func (s subject) reference() []byte {
	if s.source != nil {
		return s.source
	}
	return s.picture
}

// Settings of encoders, as internal/render/vips/encode.go has them.
var (
	toJPEG = subject{accept: acceptJPEG, format: "jpeg", peer: "jpeg",
		suffix: ".jpg[Q=85,strip,optimize_coding,interlace]"}
	toWebP   = subject{accept: acceptWebP, format: "webp", peer: "webp", suffix: ".webp[Q=80,strip,effort=4]"}
	toAVIF   = subject{accept: acceptAVIF, format: "avif", peer: "avif", suffix: ".avif[Q=64,strip,effort=2]"}
	toPNG    = subject{accept: acceptJPEG, format: "png", peer: "png", suffix: ".png[compression=6,strip]"}
	toMoving = subject{accept: acceptWebP, format: "webp", peer: "moving-webp", moving: true,
		suffix: ".webp[Q=80,strip,effort=2]"}
)

// of returns the rendition of a picture in the format of s.
func (s subject) of(name, file string, picture []byte, width int) subject {
	s.name, s.file, s.picture, s.width = name, file, picture, width
	return s
}

// paintSubjects returns all subjects.
func (b *bench) paintSubjects() ([]subject, error) {
	large, err := photograph(largeWidth, largeHeight, largeSize, grainOfSensor)
	if err != nil {
		return nil, err
	}
	cut, err := cutOut(1600)
	if err != nil {
		return nil, err
	}
	moving, err := animation(480, 360, 24)
	if err != nil {
		return nil, err
	}
	all := []subject{
		toJPEG.of("12 MP JPEG to JPEG", "large.jpg", large, largeTarget),
		toWebP.of("12 MP JPEG to WebP", "large.jpg", large, largeTarget),
		toAVIF.of("12 MP JPEG to AVIF", "large.jpg", large, largeTarget),
		toPNG.of("PNG with alpha to PNG", "cut.png", cut, 600),
		toWebP.of("PNG with alpha to WebP", "cut.png", cut, 600),
		toMoving.of("animated GIF to WebP", "moving.gif", moving, 320),
	}
	heic, err := b.heic(large)
	if err != nil {
		return nil, err
	}
	still := toJPEG.of("12 MP HEIC to JPEG", "large.heic", heic, largeTarget)
	still.source, still.peer = large, ""
	all = append(all, still)
	real, err := corpusPhotograph()
	if err != nil || real == nil {
		return all, err
	}
	return append(all, toJPEG.of("corpus photograph to JPEG", "corpus.jpg", real, largeTarget),
		toWebP.of("corpus photograph to WebP", "corpus.jpg", real, largeTarget)), nil
}

// heic makes a HEIC of a JPEG, as vipsthumbnail of the system encodes it.
func (b *bench) heic(picture []byte) ([]byte, error) {
	from := filepath.Join(b.scratch, "heic.jpg")
	if err := os.WriteFile(from, picture, 0o600); err != nil {
		return nil, err
	}
	size := fmt.Sprintf("%dx%d>", largeWidth, largeHeight)
	to := filepath.Join(b.scratch, "made.heic")
	if _, err := runCommand("vipsthumbnail", "--size", size, "-o", to+"[compression=hevc,Q=60]", from); err != nil {
		return nil, err
	}
	return os.ReadFile(to)
}

// corpusPhotograph returns the first upright JPEG of the corpus' photographs for benchmarks, nil without a corpus.
func corpusPhotograph() ([]byte, error) {
	folder := os.Getenv("CALOTYPE_CORPUS")
	if folder == "" {
		return nil, nil
	}
	manifest, err := os.ReadFile(filepath.Join(folder, "MANIFEST.tsv"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(manifest)) {
		// path, category, expected, why, format, width, height, frames, orientation
		columns := strings.Split(line, "\t")
		if len(columns) > 8 && columns[1] == "bench" && columns[4] == "JPEG" && columns[8] == "1" {
			return os.ReadFile(filepath.Join(folder, columns[0]))
		}
	}
	return nil, fmt.Errorf("%s names no upright JPEG of the category bench", folder)
}

// cutOut makes a square PNG of a thing that was cut out of a photograph, with a soft edge.
func cutOut(side int) ([]byte, error) {
	from := paint(side, side, grainOfSensor)
	im := image.NewNRGBA(from.Rect)
	for y := range side {
		for x := range side {
			c := from.YCbCrAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			// A disc whose radius swings, with an edge of 12 pixels.
			dx, dy := float64(x)-float64(side)/2, float64(y)-float64(side)/2
			radius := float64(side) * (0.4 + 0.05*math.Sin(7*math.Atan2(dy, dx)))
			opacity := min(max((radius-math.Hypot(dx, dy))/12, 0), 1)
			if opacity == 0 {
				r, g, b = 0, 0, 0
			}
			im.SetNRGBA(x, y, color.NRGBA{r, g, b, byte(255*opacity + 0.5)})
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, im)
	return out.Bytes(), err
}

// animation makes a GIF of frames that pan over a photograph, dithered to the colours of a fixed palette.
func animation(width, height, n int) ([]byte, error) {
	const step = 6 // pixels from frame to frame
	wide := paint(width+n*step, height, 0)
	var moving gif.GIF
	for i := range n {
		frame := image.NewPaletted(image.Rect(0, 0, width, height), palette.Plan9)
		draw.FloydSteinberg.Draw(frame, frame.Rect, wide, image.Pt(i*step, 0))
		moving.Image = append(moving.Image, frame)
		moving.Delay = append(moving.Delay, 4)
	}
	var out bytes.Buffer
	err := gif.EncodeAll(&out, &moving)
	return out.Bytes(), err
}
