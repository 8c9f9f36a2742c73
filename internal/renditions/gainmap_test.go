package renditions_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"io"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/renditions"
)

// TestGainMap: JPEG renditions of an Ultra HDR JPEG have its gain map, unless the server is set to SDR. The name of a
// rendition changes with the setting only where there may be a gain map.
func TestGainMap(t *testing.T) {
	t.Parallel()
	encoded := func(w, h int) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	original := imagefiletest.UltraHDR{Picture: encoded(400, 300), Map: encoded(100, 75), MPF: binary.LittleEndian,
		XMP: `hdrgm:GainMapMax="2" hdrgm:HDRCapacityMax="2">`}.Bytes()
	dsn := filepath.Join(t.TempDir(), "calotype.db")
	core := imagestest.OpenWith(t, images.Config{}, renditions.Config{}, dsn)
	img := imagestest.Upload(t, core, images.NewDraft{}, original)
	tags := map[string]string{}
	check := func(name string, width int, f imagefile.Format, blurred, want bool) {
		t.Helper()
		r := imagestest.Resolve(t, core, img.ID)
		r.Variant.Options.Width, r.Variant.Options.Blur = width, 0
		if blurred {
			r.Variant.Options.Blur = 1000
		}
		rendition, err := core.Renditions.Rendition(t.Context(), r, f)
		if err != nil {
			t.Fatal(err)
		}
		defer rendition.Content.Close()
		b, err := io.ReadAll(rendition.Content)
		if err != nil {
			t.Fatal(err)
		}
		m, err := imagefile.FindGainMap(bytes.NewReader(b), int64(len(b)))
		if err != nil || (m != nil) != want {
			t.Errorf("%s: the gain map is %+v, %v; want one: %v", name, m, err, want)
		}
		if m != nil && (m.Gain.FullHeadroom != 2_000_000 || m.Header.Width != 171 || m.Header.Height != 128) {
			t.Errorf("%s: the gain map is %+v", name, m)
		}
		tag := core.Renditions.ETag(r, f)
		if before, ok := tags[name]; ok && (before == tag) == (name == "jpeg") {
			t.Errorf("%s: the tag is %s, and was %s", name, tag, before)
		}
		tags[name] = tag
	}
	for _, hdr := range []bool{true, false} {
		if !hdr {
			core.Close()
			core = imagestest.OpenWith(t, images.Config{Dir: core.Dir, Blobs: core.Blobs}, renditions.Config{SDR: true}, dsn)
		}
		check("jpeg", 200, imagefile.JPEG, false, hdr)
		check("webp", 200, imagefile.WebP, false, false)
		check("blurred", 200, imagefile.JPEG, true, false)
	}
}
