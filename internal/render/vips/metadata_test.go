package vips

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// gpsJPEG puts an EXIF block with a position, a comment, an XMP and an IPTC block into a JPEG, as cameras and programs
// do. The position is 0xABCD / 0x1234 degrees north.
func gpsJPEG(jpeg []byte) []byte {
	be := binary.BigEndian
	tiff := []byte("MM\x00\x2a\x00\x00\x00\x08")
	entry := func(tag, kind uint16, n, value uint32) {
		tiff = be.AppendUint16(be.AppendUint16(tiff, tag), kind)
		tiff = be.AppendUint32(be.AppendUint32(tiff, n), value)
	}
	const gps, values = 8 + 2 + 2*12 + 4, 8 + 2 + 2*12 + 4 + 2 + 2*12 + 4
	tiff = be.AppendUint16(tiff, 2)
	entry(0x8298, 2, 15, values+24)
	entry(0x8825, 4, 1, gps)
	tiff = be.AppendUint32(tiff, 0)
	tiff = be.AppendUint16(tiff, 2)
	entry(1, 2, 2, uint32('N')<<24)
	entry(2, 5, 3, values)
	tiff = be.AppendUint32(tiff, 0)
	for range 3 {
		tiff = be.AppendUint32(be.AppendUint32(tiff, 0xABCD), 0x1234)
	}
	tiff = append(tiff, "COPYRIGHT-NOTE\x00"...)
	xmp := append([]byte("http://ns.adobe.com/xap/1.0/\x00"), `<x:xmpmeta exif:GPSLatitude="XMP-CANARY"/>`...)
	iptc := append([]byte("Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x10\x1c\x02\x5a\x00\x0b"), "IPTC-CANARY"...)
	return insert(jpeg, 2, slices.Concat(jpegSegment(0xe1, append([]byte("Exif\x00\x00"), tiff...)), jpegSegment(0xe1, xmp),
		jpegSegment(0xed, iptc), jpegSegment(0xfe, []byte("COMMENT-CANARY"))))
}

// TestPositions: only metadata=keep shows where a photograph was made, and only in a JPEG. Effects and sizes change
// nothing of that.
func TestPositions(t *testing.T) {
	data := gpsJPEG(encodeJPEG(t, quarters(80, 60, [4]color.NRGBA{red, green, blue, grey})))
	in, h := fileOf(t, data)
	positions := [][]byte{{0, 0, 0xAB, 0xCD, 0, 0, 0x12, 0x34}, {0xCD, 0xAB, 0, 0, 0x34, 0x12, 0, 0}}
	has := func(data []byte, texts ...[]byte) bool {
		return slices.ContainsFunc(texts, func(s []byte) bool { return bytes.Contains(data, s) })
	}
	if !has(data, positions...) {
		t.Fatal("the original has no position")
	}
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.PNG, imagefile.WebP, imagefile.GIF} {
		for _, rule := range []string{"", "metadata=none", "metadata=copyright", "metadata=keep"} {
			for _, more := range []string{"", "width=20", "blur=2", "blur=9", "sharpen=3", "background=red"} {
				text := strings.Trim(rule+","+more, ",")
				out := made(t, in, render.Job{Header: h, Options: withOptions(t, text), Format: f})
				keeps := f == imagefile.JPEG && rule == "metadata=keep"
				if got := has(out, positions...); got != keeps {
					t.Errorf("%s, %q: the output has a position: %v", f, text, got)
				}
				credits := f == imagefile.JPEG && rule != "metadata=none"
				if got := has(out, []byte("COPYRIGHT-NOTE")); got != credits {
					t.Errorf("%s, %q: the output has the copyright: %v", f, text, got)
				}
				if has(out, []byte("XMP-CANARY"), []byte("IPTC-CANARY"), []byte("COMMENT-CANARY")) {
					t.Errorf("%s, %q: the output has XMP, IPTC or a comment", f, text)
				}
			}
		}
	}
}
