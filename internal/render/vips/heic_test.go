package vips

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/color"
	"os"
	"slices"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// needsHEIC skips a test where no decoder of HEIC is installed. In CI there must be one.
func needsHEIC(t testing.TB) {
	t.Helper()
	why, missing := newEngine(t).Missing()[imagefile.HEIC]
	switch {
	case missing && os.Getenv("CI") != "":
		t.Fatal(why)
	case missing:
		t.Skip(why)
	}
}

// TestOpenHEIC: each way in which libheif can be missing has a reason. It leaves an open libheif in use.
func TestOpenHEIC(t *testing.T) {
	newEngine(t)
	for name, want := range map[string]string{
		"libheif-missing.so.1": "cannot open shared object file", // of dlerror
		"libm.so.6":            "has no function heif_init",
	} {
		if why := openHEIC(name); !strings.Contains(why, want) {
			t.Errorf("%s: %q", name, why)
		}
	}
	needsHEIC(t)
	if got := describeHEIC(); !strings.HasPrefix(got, "libheif 1.") || !strings.Contains(got, " with ") {
		t.Errorf("described as %q", got)
	}
	if _, err := examined(t, testdata(t, "odd.heic")); err != nil {
		t.Error(err)
	}
}

// stripes are the colours of the pictures in testdata, each 16 pixels wide.
var stripes = []color.NRGBA{
	{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 0, 255},
	{200, 120, 80, 255}, {128, 128, 128, 255}, {64, 64, 64, 255}, {230, 230, 230, 255},
}

// TestHEIC decodes pictures of 8 and 10 bits, with and without alpha, and of an odd size, whose rows have gaps in
// libheif's memory.
func TestHEIC(t *testing.T) {
	needsHEIC(t)
	for _, c := range []struct {
		name          string
		width, height int
		alpha         bool
	}{
		{"odd.heic", 127, 31, false},
		{"alpha.heic", 128, 32, true},
		{"deep.heic", 128, 32, false},
		{"deep-alpha.heic", 128, 32, true},
		{"exif.heic", 128, 32, false}, // EXIF says that it is turned: HEIF has other means for that
	} {
		data := testdata(t, c.name)
		p, err := examined(t, data)
		if err != nil || p.Width != c.width || p.Height != c.height || p.Alpha != c.alpha {
			t.Errorf("%s: %+v, %v", c.name, p, err)
			continue
		}
		m := pictureOf(t, data, whole)
		for i, want := range stripes {
			wantAt(t, m, 16*i+8, 5, want, 8)
			wantAt(t, m, 16*i+8, 13, want, 8)
			if c.alpha {
				want = nothing
			}
			wantAt(t, m, 16*i+8, c.height-6, want, 8)
		}
	}
}

// TestHEICMetadata: the fields of EXIF are those of the file, as for the formats that libvips reads.
func TestHEICMetadata(t *testing.T) {
	needsHEIC(t)
	in, h := fileOf(t, testdata(t, "exif.heic"))
	for rule, want := range map[render.Metadata]bool{
		render.MetadataKeep: true, render.MetadataCopyright: true, render.MetadataNone: false,
	} {
		o := render.Options{Width: 64, Fit: render.ScaleDown, Metadata: rule}
		data := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.JPEG})
		for _, text := range []string{"ARTIST-NAME", "COPYRIGHT-NOTE"} {
			if got := bytes.Contains(data, []byte(text)); got != want {
				t.Errorf("%s: %q in the output is %v", rule, text, got)
			}
		}
		if _, got := fileOf(t, data); got.Orientation != 1 {
			t.Errorf("%s: header %+v", rule, got)
		}
	}
}

// withProperty replaces a property of all items of a HEIC by one of the same length.
func withProperty(t testing.TB, data []byte, kind string, content ...uint32) []byte {
	t.Helper()
	data = bytes.Clone(data)
	at, n := 0, 0
	for {
		next := bytes.Index(data[at:], []byte(kind))
		if next < 0 {
			break
		}
		at += next + len(kind)
		for i, v := range content {
			binary.BigEndian.PutUint32(data[at+4*i:], v)
		}
		n++
	}
	if n == 0 {
		t.Fatalf("no %s", kind)
	}
	return data
}

// TestHEICLies: a decoded picture of another size than the header is refused before its pixels are read.
func TestHEICLies(t *testing.T) {
	needsHEIC(t)
	data := testdata(t, "deep.heic")
	for _, size := range [][2]int{{127, 32}, {128, 31}, {129, 32}, {32, 128}, {1 << 20, 1 << 10}, {1, 1}} {
		in, h := fileOf(t, data)
		h.Width, h.Height = size[0], size[1]
		if _, err := newEngine(t).Examine(in, h); !errors.Is(err, render.ErrUndecodable) {
			t.Errorf("a header of %v: %v", size, err)
		}
		// The file states it too; the coded picture has its own size.
		lying, _ := fileOf(t, data)
		if err := os.WriteFile(lying.Name(), withProperty(t, data, "ispe", 0, uint32(size[0]), uint32(size[1])),
			0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newEngine(t).Examine(lying, h); err == nil {
			t.Errorf("a file that states %v is accepted", size)
		}
	}
}

// TestHEICCutShort: no beginning of a file is taken for the whole one.
func TestHEICCutShort(t *testing.T) {
	needsHEIC(t)
	data := testdata(t, "exif.heic")
	in, h := fileOf(t, data)
	for n := 0; n < len(data); n += 31 {
		if err := os.WriteFile(in.Name(), data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newEngine(t).Examine(in, h); !errors.Is(err, render.ErrUndecodable) {
			t.Errorf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

// TestHEICTwoOwners: a HEIC is shown whose auxiliary picture belongs to two others, as in photographs of iOS 18.
func TestHEICTwoOwners(t *testing.T) {
	needsHEIC(t)
	file := testdata(t, "alpha.heic")
	meta, begin, _, err := readMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	shared, owned := bytes.Clone(meta[:4]), 0
	boxes(meta[4:], func(kind string, content []byte) {
		if kind == "iref" {
			refs := bytes.Clone(content[:4])
			boxes(content[4:], func(kind string, ref []byte) {
				if owner := ref[4:]; kind == "auxl" {
					ref = slices.Concat(ref[:2], []byte{0, 2}, owner, owner)
					owned++
				}
				refs = appendBox(refs, kind, ref)
			})
			content = refs
		}
		shared = appendBox(shared, kind, content)
	})
	copy(file[begin+4:], "free") // the longer box is after all data
	file = appendBox(file, "meta", shared)
	if p, err := examined(t, file); err != nil || !p.Alpha || owned != 1 {
		t.Errorf("%+v, %v, %d references", p, err, owned)
	}
}
