package vips

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/color"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// scan returns where the header of the first scan of a JPEG ends.
func scan(jpeg []byte) int {
	at := bytes.Index(jpeg, []byte{0xff, 0xda})
	return at + 2 + int(binary.BigEndian.Uint16(jpeg[at+2:]))
}

func changed(data []byte, at int, to byte) []byte {
	out := bytes.Clone(data)
	out[at] = to
	return out
}

// TestWholeJPEG: a JPEG is taken when all of its pixels are there, whatever a decoder has to say of
// it, and refused when some are missing.
func TestWholeJPEG(t *testing.T) {
	in, h := fileOf(t, encodePNG(t, smooth(400, 300)))
	o := render.Options{Fit: render.ScaleDown, Quality: 85}
	progressive := made(t, in, render.Job{Header: h, Options: o, Format: imagefile.JPEG})
	data := encodedJPEG(t, smooth(160, 120))
	end := scan(data)
	dqt := bytes.Index(data, []byte{0xff, 0xdb})
	jfif := jpegSegment(0xe0, []byte("JFIF\x00\x02\x01\x00\x00\x01\x00\x01\x00\x00"))
	lastScan := bytes.LastIndex(progressive, []byte{0xff, 0xda})
	if !bytes.Contains(progressive, []byte{0xff, 0xc2}) {
		t.Fatal("the JPEG is not progressive")
	}
	for _, c := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"whole", data, true},
		{"Se = 0", changed(data, end-2, 0), true},
		{"Ah, Al = 1", changed(data, end-1, 0x11), true},
		{"JFIF 2.1", insert(data, 2, jfif), true},
		{"zeros before a table", insert(data, dqt, make([]byte, 4)), true},
		{"no end", data[:len(data)-2], true},
		{"zeros for the end", append(bytes.Clone(data[:len(data)-2]), make([]byte, 100)...), true},
		{"no end, other data", append(bytes.Clone(data[:len(data)-2]), "SEFH trailer"...), true},
		{"progressive, whole", progressive, true},
		{"progressive, no end", progressive[:len(progressive)-2], true},
		{"progressive, other data for the end",
			append(bytes.Clone(progressive[:len(progressive)-2]), "SEFH trailer"...), true},
		{"cut", data[:len(data)*2/3], false},
		{"cut near the end", data[:len(data)-40], false},
		{"a few bytes lost", append(bytes.Clone(data[:end+200]), data[end+260:]...), false},
		{"progressive, cut", progressive[:len(progressive)/2], false},
		{"progressive, the last scan lost", progressive[:lastScan], false},
		{"progressive, the last scan cut", progressive[:len(progressive)-40], false},
	} {
		_, err := examined(t, c.data)
		if c.ok && err != nil || !c.ok && !errors.Is(err, render.ErrUndecodable) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestWholePNG: a PNG is taken without the checksum behind its pixels, not without pixels.
func TestWholePNG(t *testing.T) {
	data := encodePNG(t, smooth(160, 120))
	at := bytes.Index(data, []byte("IDAT")) - 4
	content := data[at+8 : len(data)-16]
	with := func(content []byte) []byte {
		return append(append(bytes.Clone(data[:at]), pngChunk("IDAT", content)...),
			pngChunk("IEND", nil)...)
	}
	if _, err := examined(t, with(content)); err != nil {
		t.Fatal(err)
	}
	if _, err := examined(t, with(content[:len(content)-4])); err != nil {
		t.Errorf("without a checksum: %v", err)
	}
	for _, n := range []int{8, 100, len(content) / 2} {
		_, err := examined(t, with(content[:len(content)-n]))
		if !errors.Is(err, render.ErrUndecodable) {
			t.Errorf("%d bytes lost: %v", n, err)
		}
	}
}

// TestOverlay: a HEIC whose main picture is an overlay is shown.
func TestOverlay(t *testing.T) {
	needsHEIC(t)
	data := testdata(t, "overlay.heic")
	f, err := examined(t, data)
	if err != nil || f.Width < 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	t.Logf("%+v", f)
	m := pictureOf(t, data, whole)
	if c := m.NRGBAAt(f.Width/2, f.Height/2); c == (color.NRGBA{}) {
		t.Error("nothing is shown")
	}
}

// metaRefs is the content of a meta box with a main item 1 and references.
func metaRefs(refs ...[]byte) []byte {
	return append([]byte{0, 0, 0, 0}, bytes.Join([][]byte{
		box("pitm", []byte{0, 0, 0, 0, 0, 1}),
		box("iref", append([][]byte{{0, 0, 0, 0}}, refs...)...),
		box("idat", []byte("data")),
	}, nil)...)
}

// TestOneOwner: an auxiliary picture of several others becomes one of the main picture.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	ref := func(kind string, ids ...byte) []byte {
		content := []byte{0, 3, 0, byte(len(ids))}
		for _, id := range ids {
			content = append(content, 0, id)
		}
		return box(kind, content)
	}
	for _, c := range []struct {
		in, want []byte
	}{
		{metaRefs(ref("auxl", 2, 1)), metaRefs(ref("auxl", 1))},
		{metaRefs(ref("dimg", 2, 1), ref("auxl", 2, 4)), metaRefs(ref("dimg", 2, 1), ref("auxl", 2))},
		{metaRefs(ref("auxl", 1)), nil}, {metaRefs(ref("dimg", 1, 2)), nil}, {nil, nil},
		{metaRefs(box("auxl", []byte{0, 3, 0, 9, 0, 1})), nil}, // fewer than announced
	} {
		got, changed := oneOwner(bytes.Clone(c.in))
		want := c.want
		if want == nil {
			want = c.in
		}
		if changed != (c.want != nil) || !bytes.Equal(got, want) {
			t.Errorf("%x became %x (%v), want %x", c.in, got, changed, want)
		}
	}
}

func FuzzOneOwner(f *testing.F) {
	f.Add(metaRefs(box("auxl", []byte{0, 3, 0, 2, 0, 2, 0, 1})))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, changed := oneOwner(bytes.Clone(data))
		if !changed && !bytes.Equal(got, data) || len(got) > len(data) && changed {
			t.Errorf("%x became %x", data, got)
		}
	})
}
