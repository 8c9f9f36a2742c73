package imagefile

import (
	"bytes"
	"encoding/binary"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func stripOriginal(b []byte, p Privacy) (out []byte, removed []string, h Header, err error) {
	if h, err = readHeader(b); err != nil {
		return nil, nil, h, err
	}
	var w bytes.Buffer
	removed, err = StripOriginal(&w, bytes.NewReader(b), int64(len(b)), h, p)
	return w.Bytes(), removed, h, err
}

// checkPrivate strips b, and checks what holds for each copy: the same header, nothing left to remove, and the same
// copy of the copy.
func checkPrivate(t *testing.T, name string, b []byte, p Privacy) (out []byte, removed []string) {
	t.Helper()
	out, removed, h, err := stripOriginal(b, p)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !slices.IsSorted(removed) {
		t.Errorf("%s: the names are not sorted: %v", name, removed)
	}
	again, rest, after, err := stripOriginal(out, p)
	if err != nil || after != h {
		t.Fatalf("%s: the copy is %+v, %v; the original %+v", name, after, err, h)
	}
	if !bytes.Equal(again, out) || len(rest) > 0 {
		t.Fatalf("%s: a copy of the copy differs, and lacks %v", name, rest)
	}
	if (h.Format == HEIC || h.Format == AVIF) && len(out) != len(b) {
		t.Fatalf("%s: %d bytes became %d", name, len(b), len(out))
	}
	return out, removed
}

// samePicture compares what the standard library decodes.
func samePicture(t *testing.T, name string, a, b []byte) {
	t.Helper()
	want, _, err := image.Decode(bytes.NewReader(a))
	if err != nil {
		return // a format, or a fault, that the library does not know
	}
	got, _, err := image.Decode(bytes.NewReader(b))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: the pixels of the copy differ: %v", name, err)
	}
}

// exifCanaries are values of an EXIF block, by directory and tag, and whether PrivacyGPS keeps them.
var exifCanaries = []struct {
	ifd, tag  uint16
	gps, kept bool
	name      string
}{
	{0, 0x010e, true, false, RemovedExif}, {0, 0x010f, true, false, RemovedExif},
	{0, tagArtist, true, true, ""}, {0, tagCopyright, true, true, ""},
	{0, 0xc62f, false, false, RemovedSerialNumbers}, {0, 0x9c9b, false, false, RemovedExif},
	{tagExifIFD, 0x9003, true, false, RemovedExif}, {tagExifIFD, 0x9286, true, false, RemovedExif},
	{tagExifIFD, 0xa434, true, false, RemovedExif}, {tagExifIFD, 0xa431, false, false, RemovedSerialNumbers},
	{tagExifIFD, 0xa420, false, false, RemovedSerialNumbers}, {tagExifIFD, tagMakerNote, false, false, RemovedMakerNote},
	{tagExifIFD, 0xea1c, false, false, RemovedExif}, {tagGPSIFD, 0x001d, false, false, RemovedGPS},
	{1, 0x010e, false, false, RemovedThumbnail},
}

func exifCanary(i int) string { return "CANARY-" + string(rune('a'+i)) + "-odd" }

// canaryExif returns an EXIF block with exifCanaries and an orientation.
func canaryExif(order binary.AppendByteOrder, orientation int) []byte {
	ifds := map[uint16][]exifEntry{0: {{tagOrientation, 3, 1, order.AppendUint16(nil, uint16(orientation))}}}
	for i, c := range exifCanaries {
		value := []byte(exifCanary(i))
		ifds[c.ifd] = append(ifds[c.ifd], exifEntry{c.tag, 2, uint32(len(value)), value})
	}
	ifds[tagExifIFD] = append(ifds[tagExifIFD],
		exifEntry{0x8827, 3, 1, order.AppendUint16(nil, 400)},
		exifEntry{0x829a, 5, 1, order.AppendUint32(order.AppendUint32(nil, 1), 250)})
	out := []byte("II\x2a\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		out = []byte("MM\x00\x2a")
	}
	out = order.AppendUint32(out, 8)
	places := map[uint16]int{}
	write := func(ifd uint16, pointers ...uint16) {
		places[ifd] = len(out)
		entries := ifds[ifd]
		for _, p := range pointers {
			entries = append(entries, exifEntry{p, 4, 1, nil})
		}
		out = order.AppendUint16(out, uint16(len(entries)))
		values := len(out) + 12*len(entries) + 4
		var long []byte
		for _, e := range entries {
			out = order.AppendUint16(order.AppendUint16(out, e.tag), e.kind)
			out = order.AppendUint32(out, e.count)
			switch {
			case e.value == nil:
				places[e.tag] = -len(out)
				out = append(out, 0, 0, 0, 0)
			case len(e.value) <= 4:
				out = append(append(out, e.value...), make([]byte, 4-len(e.value))...)
			default:
				out = order.AppendUint32(out, uint32(values+len(long)))
				long = append(long, e.value...)
			}
		}
		places[2000+ifd] = len(out)
		out = append(order.AppendUint32(out, 0), long...)
	}
	point := func(at int) { copy(out[at:], order.AppendUint32(nil, uint32(len(out)))) }
	write(0, tagExifIFD, tagGPSIFD)
	for _, ifd := range []uint16{tagExifIFD, tagGPSIFD} {
		point(-places[ifd])
		write(ifd)
	}
	point(places[2000])
	write(1)
	return out
}

func TestRewriteExif(t *testing.T) {
	t.Parallel()
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, p := range []Privacy{PrivacyGPS, PrivacyAll} {
			var names removals
			block := canaryExif(order, 6)
			out := rewriteExif(block, p, 6, &names)
			e, ok := openExif(out)
			if !ok || e.order != order {
				t.Fatalf("%s: the block is not valid, or in another byte order", p)
			}
			for i, c := range exifCanaries {
				keeps := c.kept || c.gps && p == PrivacyGPS
				if got := bytes.Contains(out, []byte(exifCanary(i))); got != keeps {
					t.Errorf("%s, tag %#x of %#x: kept is %v", p, c.tag, c.ifd, got)
				}
				if !keeps && !slices.Contains(names.names, c.name) {
					t.Errorf("%s: %v does not name %s", p, names.names, c.name)
				}
			}
			w := newWindow(bytes.NewReader(out), int64(len(out)))
			if o, err := exifOrientation(w, 0, w.size); o != 6 || err != nil {
				t.Errorf("%s: the orientation is %d, %v", p, o, err)
			}
			main, _ := e.directory(e.first)
			off, _ := e.pointer(main, tagExifIFD)
			camera, _ := e.directory(off)
			iso := slices.IndexFunc(camera, func(x exifEntry) bool { return x.tag == 0x8827 })
			if (iso >= 0) != (p == PrivacyGPS) || iso >= 0 && e.byteOrder().Uint16(camera[iso].value) != 400 {
				t.Errorf("%s: the ISO speed is at %d", p, iso)
			}
		}
	}
}

// TestRewriteExifPads: values of odd lengths make the copy longer than the block, and stay.
func TestRewriteExifPads(t *testing.T) {
	t.Parallel()
	packed := []byte("II\x2a\x00\x08\x00\x00\x00\x02\x00" +
		"\x0f\x01\x02\x00\x07\x00\x00\x00\x26\x00\x00\x00" + "\x98\x82\x02\x00\x09\x00\x00\x00\x2d\x00\x00\x00" +
		"\x00\x00\x00\x00" + "Maker!\x00" + "(c) Ann!\x00")
	for _, p := range []Privacy{PrivacyGPS, PrivacyAll} {
		if out := rewriteExif(packed, p, 1, nil); !bytes.Contains(out, []byte("(c) Ann!")) {
			t.Errorf("%s: the copyright is not in %q", p, out)
		}
	}
}

// TestRewriteExifBounded: values that overlap in the file do not make the copy larger than the block, and directories
// that are no good are left out.
func TestRewriteExifBounded(t *testing.T) {
	t.Parallel()
	order := binary.LittleEndian
	overlapping := append([]byte("II\x2a\x00\x08\x00\x00\x00"), order.AppendUint16(nil, 40)...)
	for i := range 40 {
		overlapping = order.AppendUint16(overlapping, uint16(0x9003+i%2))
		overlapping = order.AppendUint16(overlapping, 2)
		overlapping = order.AppendUint32(overlapping, 400)
		overlapping = order.AppendUint32(overlapping, 8)
	}
	overlapping = append(overlapping, make([]byte, 4)...)
	loop := append([]byte("II\x2a\x00\x08\x00\x00\x00\x01\x00"), 0x69, 0x87, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0)
	for name, block := range map[string][]byte{
		"overlapping": overlapping, "loop": loop, "no head": []byte("hello, this is no EXIF"), "short": []byte("II"),
		"directory beyond the end": []byte("II\x2a\x00\xff\xff\xff\xff"),
		"large":                    bytes.Repeat([]byte("MM\x00\x2a\x00\x00\x00\x08\x03\xe8"), 3000),
	} {
		for _, orientation := range []int{1, 3} {
			out := rewriteExif(block, PrivacyGPS, orientation, nil)
			if len(out) > len(block)+2*maxExifEntries && len(out) > len(orientationTIFF(1)) || len(out) > maxExifCopy {
				t.Errorf("%s: %d bytes became %d", name, len(block), len(out))
			}
			w := newWindow(bytes.NewReader(out), int64(len(out)))
			if o, err := exifOrientation(w, 0, w.size); o != orientation || err != nil {
				t.Errorf("%s: the orientation is %d, %v", name, o, err)
			}
		}
	}
}

// canaryFiles returns a file of each format with CANARY in each place where metadata stands, and the names of what
// must be removed.
func canaryFiles(t testing.TB) map[string]struct {
	b       []byte
	removed string
} {
	const canary = "CANARY"
	exif := canaryExif(binary.BigEndian, 6)
	app := func(marker byte, content string) []byte { return jpegSegment(marker, []byte(content)) }
	jpeg := sampleJPEG(t, 40, 30,
		app(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x02CANARY"), app(0xe0, "JFXX\x00CANARY"),
		app(0xe1, "Exif\x00\x00"+string(exif)), app(0xe1, "http://ns.adobe.com/xap/1.0/\x00<CANARY/>"),
		app(0xe1, "Exif\x00\x00CANARY"), app(0xe2, "MPF\x00CANARY"), app(0xe5, canary), app(0xeb, "JP CANARY"),
		app(0xed, "Photoshop 3.0\x00CANARY"), app(0xee, canary), app(0xef, canary), app(0xfe, canary),
		app(0xf4, canary))
	png := samplePNG(t, 40, 30, pngChunkBytes("eXIf", exif), pngChunkBytes("tEXt", []byte("Comment\x00CANARY")),
		pngChunkBytes("tIME", []byte("CANARY0")), pngChunkBytes("caBX", []byte(canary)), pngChunkBytes("eXIf", []byte(canary)))
	webp := webpFile(vp8x(webpEXIF|0x04, 30, 20), losslessChunk(30, 20), webpChunkBytes("EXIF", exif),
		webpChunkBytes("XMP ", []byte(canary)), webpChunkBytes("ABCD", []byte(canary)))
	gif := sampleGIF(t, 30, 20, 2, gifExtensionBytes(0xfe, canary), gifExtensionBytes(0xff, "XMP DataXMP", canary))
	type file = struct {
		b       []byte
		removed string
	}
	return map[string]file{
		"jpeg": {append(jpeg, "CANARY and a film"...),
			"exif gps makerNote other serialNumbers text thumbnail trailing xmp"},
		"png": {append(png, canary...), "exif gps makerNote other serialNumbers text thumbnail trailing"},
		"webp": {append(webp, canary...),
			"exif gps makerNote other serialNumbers thumbnail trailing xmp"},
		"gif":  {append(gif, canary...), "text trailing xmp"},
		"avif": {canaryHEIF(exif), "exif gps makerNote other serialNumbers thumbnail trailing xmp"},
	}
}

// canaryHEIF returns an AVIF with CANARY in its items, boxes and gaps.
func canaryHEIF(exif []byte) []byte {
	s := sampleStill(avifBrands, "av01", ispe(30, 20), fullBox("udes", 0, 0, []byte("CANARY\x00\x00\x00\x00")),
		fullBox("cmex", 0, 0, []byte("CANARY")))
	picture := s.idat
	block := join(be32(6), []byte("Exif\x00\x00"), exif)
	add := func(kind string, content []byte) {
		s.items = append(s.items, heifSampleItem{kind: kind, properties: []byte{1}, offset: len(s.idat),
			length: len(content)})
		s.idat = append(s.idat, content...)
	}
	s.idat = picture
	add("Exif", block)
	add("mime", []byte("<x>CANARY</x>"))
	add("uri ", []byte("CANARY"))
	add("jpeg", []byte("CANARY in a thumbnail"))
	s.idat = append(s.idat, "CANARY of no item"...)
	b := s.bytes()
	return join(b, heifBoxBytes("uuid", []byte("CANARY")), heifBoxBytes("free", []byte("CANARY")),
		heifBoxBytes("moov", fullBox("mvhd", 0, 0, []byte("film")), heifBoxBytes("udta", []byte("CANARY")),
			heifBoxBytes("trak", fullBox("tkhd", 0, 0, []byte("film")), heifBoxBytes("meta", []byte("CANARY")))),
		heifBoxBytes("mdat", []byte("a gap with CANARY")),
		[]byte("CANARY"))
}

func TestStripOriginal(t *testing.T) {
	t.Parallel()
	for name, f := range canaryFiles(t) {
		for _, p := range []Privacy{PrivacyGPS, PrivacyAll} {
			whole, removed := checkPrivate(t, name, f.b, p)
			out := whole
			for i, c := range exifCanaries {
				if name == "gif" {
					break
				}
				keeps := c.kept || c.gps && p == PrivacyGPS
				if bytes.Contains(out, []byte(exifCanary(i))) != keeps {
					t.Errorf("%s, %s: tag %#x of %#x is kept: %v", name, p, c.tag, c.ifd, !keeps)
				}
				out = bytes.ReplaceAll(out, []byte(exifCanary(i)), nil)
			}
			if at := bytes.Index(out, []byte("CANARY")); at >= 0 {
				t.Errorf("%s, %s: a canary is left at %d", name, p, at)
			}
			if got := strings.Join(removed, " "); got != f.removed {
				t.Errorf("%s, %s: removed %q, want %q", name, p, got, f.removed)
			}
			samePicture(t, name, f.b, whole)
		}
	}
}

// TestStripOriginalHEIFRefuses: metadata that has bytes of a picture cannot be removed from it.
func TestStripOriginalHEIFRefuses(t *testing.T) {
	t.Parallel()
	s := sampleStill(avifBrands, "av01", ispe(30, 20))
	s.idat = make([]byte, 20)
	s.items[0].offset, s.items[0].length = 0, 10
	s.items = append(s.items, heifSampleItem{kind: "mime", properties: []byte{1}, offset: 10, length: 10})
	if _, _, _, err := stripOriginal(s.bytes(), PrivacyAll); err != nil {
		t.Errorf("beside each other: %v", err)
	}
	s.items[1].offset = 9
	if _, _, _, err := stripOriginal(s.bytes(), PrivacyAll); !isMalformed(err) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

// TestStripOriginalCorpus: each real picture has a copy with the same header and the same pixels, and no position.
func TestStripOriginalCorpus(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, c := range readHeaderCorpus(t) {
		h, err := c.header()
		if c.expected != "accept" || err != nil || h.Format == SVG {
			continue
		}
		checked++
		for _, p := range []Privacy{PrivacyGPS, PrivacyAll} {
			out, _ := checkPrivate(t, c.path, c.data, p)
			if len(c.data) < 100_000 {
				samePicture(t, c.path, c.data, out)
			}
			for _, kept := range []string{"CANARY-S-ARTIST", "CANARY-S-COPYRIGHT", "CANARY-S-USERCOMMENT"} {
				if kept != "CANARY-S-USERCOMMENT" || p == PrivacyGPS {
					out = bytes.Replace(out, []byte(kept), make([]byte, len(kept)), 1)
				}
			}
			if bytes.Contains(out, []byte("CANARY-S-")) {
				t.Errorf("%s, %s: a canary is left", c.path, p)
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d files checked only", checked)
	}
}

func FuzzStripOriginal(f *testing.F) {
	for _, name := range []string{"jpeg", "png", "webp", "gif", "avif"} {
		f.Add(canaryFiles(f)[name].b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, all bool) {
		p := PrivacyGPS
		if all {
			p = PrivacyAll
		}
		out, _, h, err := stripOriginal(b, p)
		if err != nil || h.Format == SVG {
			return
		}
		again, rest, after, err := stripOriginal(out, p)
		if err != nil || after != h || !bytes.Equal(again, out) || len(rest) > 0 {
			t.Fatalf("%+v became %+v, %v; a copy of the copy removes %v", h, after, err, rest)
		}
	})
}
