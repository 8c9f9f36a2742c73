package vips

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// exifJPEG puts an EXIF block into a JPEG: orientation, maker, artist and copyright.
func exifJPEG(jpeg []byte, orientation uint16) []byte {
	texts := []struct {
		tag  uint16
		text string
	}{{0x010f, "MAKER-CANARY"}, {0x013b, "ARTIST-NAME"}, {0x8298, "COPYRIGHT-NOTE"}}
	var tiff, data bytes.Buffer
	le := binary.LittleEndian
	put := func(v any) { binary.Write(&tiff, le, v) }
	tiff.WriteString("II*\x00")
	put(uint32(8))
	put(uint16(1 + len(texts)))
	begin := 8 + 2 + 12*(1+len(texts)) + 4
	entry := func(tag, kind uint16, n, value uint32) { put(tag); put(kind); put(n); put(value) }
	for i, s := range texts {
		if i == 1 {
			entry(0x0112, 3, 1, uint32(orientation))
		}
		entry(s.tag, 2, uint32(len(s.text)+1), uint32(begin+data.Len()))
		data.WriteString(s.text + "\x00")
	}
	put(uint32(0))
	tiff.Write(data.Bytes())
	app1 := append([]byte("Exif\x00\x00"), tiff.Bytes()...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, 0, 0)
	binary.BigEndian.PutUint16(out[4:], uint16(len(app1)+2))
	out = append(out, app1...)
	return append(out, jpeg[2:]...)
}

func TestMetadata(t *testing.T) {
	plain := encodeJPEG(t, quarters(80, 60, [4]color.NRGBA{red, green, blue, grey}))
	in, h := fileOf(t, exifJPEG(plain, 6))
	if h.Orientation != 6 {
		t.Fatalf("header %+v", h)
	}
	for _, c := range []struct {
		rule render.Metadata
		f    imagefile.Format
		has  map[string]bool
	}{
		{render.MetadataNone, imagefile.JPEG, nil},
		{"", imagefile.JPEG, nil},
		{render.MetadataCopyright, imagefile.JPEG,
			map[string]bool{"ARTIST-NAME": true, "COPYRIGHT-NOTE": true, "Exif": true}},
		{render.MetadataKeep, imagefile.JPEG, map[string]bool{
			"ARTIST-NAME": true, "COPYRIGHT-NOTE": true, "MAKER-CANARY": true, "Exif": true}},
		{render.MetadataKeep, imagefile.PNG, nil},
		{render.MetadataKeep, imagefile.WebP, nil},
		{render.MetadataCopyright, imagefile.WebP, nil},
	} {
		o := render.Options{Width: 30, Fit: render.ScaleDown, Metadata: c.rule}
		data := made(t, in, render.Job{Header: h, Options: o, Format: c.f})
		for _, s := range []string{"ARTIST-NAME", "COPYRIGHT-NOTE", "MAKER-CANARY", "Exif", "EXIF"} {
			if got := bytes.Contains(data, []byte(s)); got != c.has[s] {
				t.Errorf("%s, %s: %q in the output is %v", c.f, c.rule, s, got)
			}
		}
		if _, got := fileOf(t, data); got.Orientation != 1 || got.Width != 30 || got.Height != 40 {
			t.Errorf("%s, %s: header %+v", c.f, c.rule, got)
		}
	}
}

// TestCutShort: the examination refuses what rendering would paper over.
func TestCutShort(t *testing.T) {
	whole := quarters(400, 300, [4]color.NRGBA{red, green, blue, grey})
	for name, data := range map[string][]byte{
		"jpeg": encodeJPEG(t, whole), "png": encodePNG(t, whole),
	} {
		in, h := fileOf(t, data)
		if _, err := newEngine(t).Examine(in, h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		name := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(name, data[:len(data)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		cut, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer cut.Close()
		if _, err := newEngine(t).Examine(cut, h); !errors.Is(err, render.ErrUndecodable) {
			t.Errorf("%s cut short: %v", name, err)
		}
	}
}

// TestHeaderLies: pixels of another size than the header promised are refused.
func TestHeaderLies(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, quarters(40, 30, [4]color.NRGBA{red, green, blue, grey})))
	h.Width++
	if _, err := newEngine(t).Examine(in, h); !errors.Is(err, render.ErrUndecodable) {
		t.Errorf("got %v", err)
	}
	h.Width, h.Format = 40, imagefile.JPEG
	if _, err := newEngine(t).Examine(in, h); !errors.Is(err, render.ErrUndecodable) {
		t.Errorf("a PNG as a JPEG: %v", err)
	}
}
