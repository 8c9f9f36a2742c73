package imagefile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"calotype/internal/imagefile/imagefiletest"
)

// A corpusFile is a line of the corpus's MANIFEST.tsv.
type corpusFile struct {
	path, category, expected, format string
	width, height, frames            int
	orientation                      int
	data                             []byte
}

// readHeaderCorpus returns the files of the corpus that CALOTYPE_CORPUS names.
func readHeaderCorpus(t *testing.T) []corpusFile {
	t.Helper()
	dir := imagefiletest.Corpus(t)
	var files []corpusFile
	for _, f := range imagefiletest.CorpusFiles(t) {
		c := corpusFile{path: f.Path, category: f.Category, expected: f.Expected, format: f.Format,
			width: f.Width, height: f.Height, frames: f.Frames, orientation: 1}
		if n, err := strconv.Atoi(f.Orientation); err == nil && n >= 1 && n <= 8 {
			c.orientation = n // "xmp:3" and 0 stay 1
		}
		var err error
		if c.data, err = os.ReadFile(filepath.Join(dir, f.Path)); err != nil {
			t.Fatal(err)
		}
		files = append(files, c)
	}
	return files
}

var corpusFormats = map[string]Format{
	"JPEG": JPEG, "PNG": PNG, "GIF": GIF, "WEBP": WebP, "AVIF": AVIF, "HEIC": HEIC,
	"SVG": SVG,
}

func (c corpusFile) header() (Header, error) {
	return ReadHeader(bytes.NewReader(c.data), int64(len(c.data)))
}

// want is the header that the manifest states.
func (c corpusFile) want() Header {
	h := Header{
		Format: corpusFormats[c.format], Width: c.width, Height: c.height,
		Orientation: c.orientation, Frames: c.frames,
	}
	switch h.Format {
	case PNG:
		h.Frames = 1 // an animated PNG counts as a still
	case AVIF, HEIC:
		h.Orientation = 1 // the manifest gives the EXIF tag, which counts for nothing there
	}
	return h
}

func TestHeaderCorpusAccepted(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, c := range readHeaderCorpus(t) {
		if c.expected != "accept" || corpusFormats[c.format] == "" {
			continue
		}
		checked++
		got, err := c.header()
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		if err := DefaultLimits.Check(got); err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		if got.MaxPixels < int64(got.Width)*int64(got.Height) {
			t.Errorf("%s: the largest picture is smaller than the picture: %+v", c.path, got)
		}
		got.MaxPixels, got.Scans = 0, 0
		if c.path == "svg/resvg__no-size.svg" {
			// The manifest has the size of what it draws. Browsers show an SVG without a size in 300 x 150.
			c.width, c.height = 300, 150
		}
		if want := c.want(); got != want {
			t.Errorf("%s: got %+v, want %+v", c.path, got, want)
		}
	}
	if checked < 100 {
		t.Errorf("%d files checked only", checked)
	}
}

// TestHeaderCorpusRefused: what a header, or the sanitiser of SVG, can show to be refusable is refused, by the right
// error.
func TestHeaderCorpusRefused(t *testing.T) {
	t.Parallel()
	for _, c := range readHeaderCorpus(t) {
		h, err := c.header()
		if err == nil {
			err = DefaultLimits.Check(h)
		}
		if err == nil && h.Format == SVG {
			err = SanitiseSVG(io.Discard, bytes.NewReader(c.data), int64(len(c.data)))
			if err == nil && c.expected == "refuse" || err != nil && c.expected == "accept" {
				t.Errorf("%s (%s): %v", c.path, c.expected, err)
			}
		}
		listed := corpusFormats[c.format] != ""
		switch {
		case c.expected == "refuse" && (c.category == "bomb" || c.category == "limits"):
			if err == nil {
				t.Errorf("%s: accepted as %+v", c.path, h)
			}
		case c.category == "unsupported", c.format == "SVGZ", c.expected == "refuse" && !listed:
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: got %v, want ErrUnsupported", c.path, err)
			}
		}
		var limit *LimitError
		if err != nil && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) &&
			!errors.As(err, &limit) {
			t.Errorf("%s: an error of no kind: %v", c.path, err)
		}
	}
}
