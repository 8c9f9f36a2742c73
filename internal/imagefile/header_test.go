package imagefile

import (
	"bytes"
	"errors"
	"image"
	"io"
	"os"
	"testing"
)

func readHeader(b []byte) (Header, error) {
	return ReadHeader(bytes.NewReader(b), int64(len(b)))
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/header/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadHeader(t *testing.T) {
	t.Parallel()
	for _, c := range headerCases(t) {
		got, err := readHeader(c.data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if want := c.header(); got != want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
	}
}

// TestReadHeaderCut cuts every sample everywhere: nothing panics, and a cut that is taken has the
// size of the whole.
func TestReadHeaderCut(t *testing.T) {
	t.Parallel()
	for _, c := range headerCases(t) {
		for n := range c.data {
			h, err := readHeader(c.data[:n])
			same := h.Format == GIF || h.Width == c.want.Width // a GIF may lose frames
			switch {
			case err == nil && (h.Format != c.want.Format || !same):
				t.Errorf("%s: the first %d bytes give %+v", c.name, n, h)
			case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported):
				t.Errorf("%s: the first %d bytes give an error of no kind: %v", c.name, n, err)
			}
		}
	}
}

var errDisk = errors.New("the disk is on fire")

// A failingReader fails from an offset on.
type failingReader struct {
	data []byte
	from int64
}

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > r.from {
		return 0, errDisk
	}
	return copy(p, r.data[off:]), nil
}

// TestReadHeaderPassesReadErrors: a file that cannot be read is not a malformed one.
func TestReadHeaderPassesReadErrors(t *testing.T) {
	t.Parallel()
	for _, c := range headerCases(t) {
		_, err := ReadHeader(failingReader{c.data, 3}, int64(len(c.data)))
		if !errors.Is(err, errDisk) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", c.name, err)
		}
		_, err = ReadHeader(bytes.NewReader(c.data[:4]), int64(len(c.data)))
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s, shrunk while it is read: got %v", c.name, err)
		}
	}
}

// A countingReader counts the bytes that are read.
type countingReader struct {
	r     io.ReaderAt
	bytes int64
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.r.ReadAt(p, off)
	r.bytes += int64(n)
	return n, err
}

// TestReadHeaderSkips: pixels and metadata are jumped over, not read.
func TestReadHeaderSkips(t *testing.T) {
	t.Parallel()
	const large = 1 << 20
	var segments []byte
	for range large / 65000 {
		segments = append(segments, jpegSegment(0xe2, make([]byte, 65000))...)
	}
	mdat := sampleStill(avifBrands, "av01", ispe(30, 20))
	mdat.tail = heifBoxBytes("mdat", make([]byte, large))
	for name, data := range map[string][]byte{
		"jpeg": join(sampleJPEG(t, 30, 20, segments), make([]byte, large)),
		"png":  samplePNG(t, 30, 20, pngChunkBytes("tEXt", make([]byte, large))),
		"webp": webpFile(vp8x(0, 30, 20), losslessChunk(30, 20),
			webpChunkBytes("XMP ", make([]byte, large))),
		"avif": mdat.bytes(),
	} {
		r := &countingReader{r: bytes.NewReader(data)}
		if _, err := ReadHeader(r, int64(len(data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.bytes > 16<<10 {
			t.Errorf("%s: %d of %d bytes were read", name, r.bytes, len(data))
		}
	}
}

func TestFormatMIME(t *testing.T) {
	t.Parallel()
	if got := WebP.MIME(); got != "image/webp" {
		t.Errorf("got %q", got)
	}
}

func TestHeaderShown(t *testing.T) {
	t.Parallel()
	for o := 1; o <= 8; o++ {
		w, h := Header{Width: 3, Height: 2, Orientation: o}.Shown()
		if turned := o >= 5; turned != (w == 2) || w+h != 5 {
			t.Errorf("orientation %d: %d x %d", o, w, h)
		}
	}
}

// FuzzReadHeader wants no panic, errors of the two kinds, and headers that make sense. Where the
// standard library can read the file as well, it must find the same size.
func FuzzReadHeader(f *testing.F) {
	for _, c := range headerCases(f) {
		if len(c.data) < 4096 {
			f.Add(c.data)
		}
	}
	for _, e := range heifEdits() {
		f.Add(e.file.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if h.Width < 1 || h.Height < 1 || h.Frames < 1 || h.Orientation < 1 || h.Orientation > 8 {
			t.Fatalf("%+v", h)
		}
		if h.MaxPixels < int64(h.Width)*int64(h.Height) {
			t.Fatalf("the largest picture is smaller than the picture: %+v", h)
		}
		if h.Format != JPEG && h.Format != PNG {
			return // a GIF's canvas may be grown; the others are unknown to the library
		}
		c, name, err := image.DecodeConfig(bytes.NewReader(data))
		if err == nil && (name != string(h.Format) || c.Width != h.Width || c.Height != h.Height) {
			t.Fatalf("got %+v, the library a %s of %d x %d", h, name, c.Width, c.Height)
		}
	})
}

func BenchmarkReadHeader(b *testing.B) {
	for _, c := range headerCases(b) {
		switch c.name {
		default:
			continue
		case "jpeg, exif", "png, exif", "gif", "webp, exif", "avif, real", "heic, grid":
		}
		b.Run(c.name, func(b *testing.B) {
			r := bytes.NewReader(c.data)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ReadHeader(r, int64(len(c.data))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
