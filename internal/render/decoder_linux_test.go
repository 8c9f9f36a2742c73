package render_test

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestMissingDecoder: originals of a format without a decoder are refused with the reason, before a worker gets
// them, and the log says so.
func TestMissingDecoder(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := newFakePool(t, "no-heic", render.PoolConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if s := log.String(); !strings.Contains(s, "format=heic") || !strings.Contains(s, "no libheif here") {
		t.Errorf("the log is %q", s)
	}
	heic := pngHeader
	heic.Format = imagefile.HEIC
	job := pngJob
	job.Header = heic
	_, examining := p.Examine(t.Context(), command(t, "crash"), heic)
	_, rendering := p.Render(t.Context(), command(t, "crash"), command(t, ""), job)
	for _, err := range []error{examining, rendering} {
		missing := new(render.NoDecoderError)
		if !errors.As(err, &missing) || missing.Format != imagefile.HEIC || missing.Reason != "no libheif here" {
			t.Errorf("got %v", err)
		}
	}
	if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil || p.Status().Lost > 0 {
		t.Errorf("another format: %v, %+v", err, p.Status())
	}
}

// TestMissingEncoder: a format without an encoder is not made, the log says so, and other formats are made.
func TestMissingEncoder(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := newFakePool(t, "no-avif", render.PoolConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if s := log.String(); !strings.Contains(s, "format=avif") || !strings.Contains(s, "no aom here") {
		t.Errorf("the log is %q", s)
	}
	job := pngJob
	job.Format = imagefile.AVIF
	if p.Makes(job, 100) || !p.Makes(pngJob, 100) || !newFakePool(t, "engine", render.PoolConfig{}).Makes(job, 100) {
		t.Error("Makes is wrong")
	}
	if _, err := p.Render(t.Context(), command(t, "crash"), command(t, ""), job); !errors.Is(err, render.ErrEncode) ||
		!strings.Contains(err.Error(), "no aom here") || p.Status().Lost > 0 {
		t.Errorf("got %v, %+v", err, p.Status())
	}
}

// TestAVIFIsMadeWithinLimits: an AVIF is a still of at most 2.6 megapixels, if the server has the memory.
func TestAVIFIsMadeWithinLimits(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Memory: 1 << 30})
	for _, c := range []struct {
		width, height, frames int
		options               string
		made                  bool
	}{
		{1000, 2600, 1, "", true}, {1000, 2601, 1, "", false}, {12_000, 216, 1, "", true},
		{6000, 4000, 1, "", false}, {6000, 4000, 1, "width=1900", true}, {6000, 4000, 1, "width=2000", false},
		{100, 100, 2, "", false}, {100, 100, 2, "anim=false", true},
	} {
		o, err := render.ParseOptions(c.options)
		if err != nil {
			t.Fatal(err)
		}
		h := imagefile.Header{Format: imagefile.WebP, Width: c.width, Height: c.height, Frames: c.frames, Orientation: 1}
		j := render.Job{Header: h, Options: o, Format: imagefile.AVIF}
		if got := p.Makes(j, 1000); got != c.made {
			t.Errorf("%+v: made is %v", c, got)
		}
	}
}

// TestDamagedHEIC sends damaged copies of small HEICs to real workers. None is lost: the header or the decoder
// refuses a copy, or it can be shown.
func TestDamagedHEIC(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: decodes many damaged files")
	}
	p := newVipsPool(t)
	files, err := filepath.Glob("vips/testdata/*.heic")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	refused, shown := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = examineBytes(t, p, data)
		if missing := new(render.NoDecoderError); errors.As(err, &missing) && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		random := rand.New(rand.NewPCG(1, uint64(len(data))))
		for range 20 {
			damaged := bytes.Clone(data)
			for range 1 + random.IntN(4) {
				damaged[random.IntN(len(data))] ^= 1 << random.IntN(8)
			}
			switch _, err := examineBytes(t, p, damaged[:len(data)-random.IntN(2)*random.IntN(len(data)/2)]); {
			case err == nil:
				shown++
			case errors.Is(err, render.ErrWorker):
				t.Errorf("%s: %v, from %x", file, err, damaged)
			default:
				refused++
			}
		}
	}
	t.Logf("%d refused, %d shown, %+v", refused, shown, p.Status())
	if s := p.Status(); refused == 0 || shown == 0 || s.Lost > 0 {
		t.Errorf("%d refused, %d shown, %d workers lost", refused, shown, s.Lost)
	}
}

// examineBytes examines a file with a content.
func examineBytes(t *testing.T, p *render.Pool, data []byte) (render.Properties, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "original")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	o := openOriginal(t, path, path, "")
	defer o.file.Close()
	if o.err != nil {
		return render.Properties{}, o.err
	}
	return p.Examine(t.Context(), o.file, o.header)
}
