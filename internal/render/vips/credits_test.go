package vips

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// exifOf makes an EXIF block with entries of kind ASCII, in one directory.
func exifOf(order binary.AppendByteOrder, texts map[uint16]string) []byte {
	out := []byte(exifPrefix + "II\x2a\x00")
	if order.String() == "BigEndian" {
		out = []byte(exifPrefix + "MM\x00\x2a")
	}
	out = order.AppendUint32(out, 8)
	out = order.AppendUint16(out, uint16(len(texts)))
	at := 8 + 2 + 12*len(texts) + 4
	values := ""
	for _, tag := range []uint16{0x010f, tagArtist, tagCopyright} {
		text, ok := texts[tag]
		if !ok {
			continue
		}
		out = order.AppendUint16(order.AppendUint16(out, tag), 2)
		out = order.AppendUint32(out, uint32(len(text)))
		if len(text) <= 4 {
			out = append(out, (text + "\x00\x00\x00\x00")[:4]...)
			continue
		}
		out = order.AppendUint32(out, uint32(at+len(values)))
		values += text
	}
	return append(order.AppendUint32(out, 0), values...)
}

// TestCredits: artist and copyright are those of the original, byte for byte.
func TestCredits(t *testing.T) {
	plain := encodedJPEG(t, smooth(160, 120))
	o := render.Options{Width: 64, Fit: render.ScaleDown, Metadata: render.MetadataCopyright}
	for _, texts := range []map[uint16]string{
		{0x010f: "MAKER\x00", tagArtist: "Ann Example\x00", tagCopyright: "(c) 2024 Ann Example\x00"},
		{tagArtist: "Zoë Ünal\x00", tagCopyright: "© 2024 Zoë Ünal 写真\x00"},
		{tagCopyright: "Ann\x00Bob\x00"}, {tagCopyright: "Al\x00"},
		{tagCopyright: strings.Repeat("long ", 100) + "\x00"},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			in, h := fileOf(t, insert(plain, 2, jpegSegment(0xe1, exifOf(order, texts))))
			got := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.JPEG})
			delete(texts, 0x010f)
			at := bytes.Index(got, []byte(exifPrefix))
			if at < 0 {
				t.Fatalf("%v: no EXIF", texts)
			}
			length := int(binary.BigEndian.Uint16(got[at-2:])) - 2
			entries := exifTexts(got[at : at+length])
			if len(entries) != len(texts) {
				t.Errorf("%v: %d entries", texts, len(entries))
			}
			for _, e := range entries {
				if string(e.value) != texts[e.tag] || e.kind != 2 {
					t.Errorf("%#x is %q, want %q", e.tag, e.value, texts[e.tag])
				}
			}
			if _, h := fileOf(t, got); h.Width != 64 {
				t.Errorf("the JPEG is %+v", h)
			}
		}
	}
	for name, data := range map[string][]byte{
		"no EXIF": plain,
		"others": insert(plain, 2, jpegSegment(0xe1, exifOf(binary.BigEndian,
			map[uint16]string{0x010f: "MAKER\x00"}))),
	} {
		in, h := fileOf(t, data)
		got := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.JPEG})
		if bytes.Contains(got, []byte("Exif")) {
			t.Errorf("%s in the original, EXIF in the rendition", name)
		}
	}
}

// FuzzCredits: no block makes it fail, and what it makes it reads again.
func FuzzCredits(f *testing.F) {
	f.Add(exifOf(binary.LittleEndian, map[uint16]string{tagArtist: "Ann\x00", tagCopyright: "(c) Ann\x00"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c := credits(data); c != nil && !bytes.Equal(credits(c), c) {
			t.Errorf("%x made %x, that %x", data, c, credits(c))
		}
	})
}
