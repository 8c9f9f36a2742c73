package main

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
	"calotype/internal/render/vips"
)

// TestQualities prints what the qualities of JPEG, WebP and AVIF cost and show: the means of the JPEG photographs in the
// folder bench of the corpus, 800 pixels wide. It measures the libvips that the test is built with, for decision 28, if
// CALOTYPE_QUALITIES is set:
//
//	CALOTYPE_QUALITIES=1 go test ./bench -run Qualities -v
func TestQualities(t *testing.T) {
	if os.Getenv("CALOTYPE_QUALITIES") == "" {
		t.Skip("CALOTYPE_QUALITIES is not set")
	}
	paths, err := filepath.Glob(filepath.Join(imagefiletest.Corpus(t), "bench", "*.jpg"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no photographs: %v", err)
	}
	engine, err := vips.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d photographs, libvips %s", len(paths), engine.Version())
	type photograph struct {
		file   *os.File
		header imagefile.Header
		luma   frames
	}
	var all []photograph
	for _, path := range paths {
		in, h := readPicture(t, path)
		small := rendered(t, engine, in, render.Job{Header: h, Format: imagefile.PNG,
			Options: render.Options{Width: 800, Fit: render.ScaleDown, Metadata: render.MetadataNone}})
		file, header := readPicture(t, small.Name())
		all = append(all, photograph{file, header, lumaOf(t, small.Name())})
	}
	var decoding time.Duration // of the small PNG, which is part of each rendition
	for _, p := range all {
		began := processorTime(t)
		if _, err := engine.Examine(p.file, p.header); err != nil {
			t.Fatal(err)
		}
		decoding += processorTime(t) - began
	}
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.WebP, imagefile.AVIF} {
		for _, quality := range []int{0, 20, 35, 50, 60, 70, 75, 80, 85, 90, 95} {
			bytes, similarity, took := 0.0, 0.0, -decoding
			for _, p := range all {
				began := processorTime(t)
				out := rendered(t, engine, p.file, render.Job{Header: p.header, Format: f, Options: render.Options{
					Quality: quality, Fit: render.ScaleDown, Metadata: render.MetadataNone}})
				took += processorTime(t) - began
				info, err := out.Stat()
				if err != nil {
					t.Fatal(err)
				}
				in, h := readPicture(t, out.Name())
				again := rendered(t, engine, in, render.Job{Header: h, Format: imagefile.PNG,
					Options: render.Options{Fit: render.ScaleDown, Metadata: render.MetadataNone}})
				same, err := ssim(p.luma, lumaOf(t, again.Name()))
				if err != nil {
					t.Fatal(err)
				}
				bytes, similarity = bytes+float64(info.Size()), similarity+same
			}
			n := float64(len(all))
			t.Logf("%-5s %3d: %7.0f bytes, SSIM %.4f, %4d ms", f, quality, math.Round(bytes/n), similarity/n,
				(took / time.Duration(len(all))).Milliseconds())
		}
	}
}

// rendered returns the file of a rendition.
func rendered(t *testing.T, engine render.Engine, in *os.File, j render.Job) *os.File {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), fmt.Sprintf("*.%s", j.Format))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if _, err := engine.Render(in, out, j); err != nil {
		t.Fatal(err)
	}
	return out
}

func readPicture(t *testing.T, path string) (*os.File, imagefile.Header) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	h, err := imagefile.ReadHeader(in, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return in, h
}

// lumaOf reads the luma of a PNG without transparency.
func lumaOf(t *testing.T, path string) frames {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	f := frames{width: m.Bounds().Dx(), height: m.Bounds().Dy()}
	plane := make([]float64, 0, f.width*f.height)
	for y := range f.height {
		for x := range f.width {
			r, g, b, _ := m.At(x, y).RGBA()
			plane = append(plane, (0.299*float64(r)+0.587*float64(g)+0.114*float64(b))/257)
		}
	}
	f.luma = [][]float64{plane}
	return f
}

// processorTime returns the CPU time of this process.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
