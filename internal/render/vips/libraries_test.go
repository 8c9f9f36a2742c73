package vips

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestLibraries: the library of each format is known, and the versions of the bundled libvips are those of its list.
func TestLibraries(t *testing.T) {
	t.Parallel()
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	without := engine{missing: map[imagefile.Format]string{imagefile.HEIC: "no libheif"}}
	if got := without.Libraries()[imagefile.HEIC]; got != render.NoHEVC {
		t.Errorf("without a decoder of HEIC its library is %q", got)
	}
	libraries := e.Libraries()
	for format := range kinds {
		if libraries[format] == "" {
			t.Errorf("the library of %s is not known", format)
		}
	}
	folder, _, ok := strings.Cut(os.Getenv("PKG_CONFIG_PATH"), "/pkgconfig")
	text, err := os.ReadFile(folder + "/versions.json")
	if !ok || errors.Is(err, fs.ErrNotExist) {
		return // the libvips of the system
	}
	if err != nil {
		t.Fatal(err)
	}
	var versions map[string]string
	if err := json.Unmarshal(text, &versions); err != nil {
		t.Fatal(err)
	}
	for format, names := range map[imagefile.Format][][2]string{
		imagefile.JPEG: {{"mozjpeg", "mozjpeg"}}, imagefile.PNG: {{"libpng", "png"}}, imagefile.GIF: {{"cgif", "cgif"}},
		imagefile.WebP: {{"libwebp", "webp"}}, imagefile.AVIF: {{"libheif", "heif"}, {"aom", "aom"}},
	} {
		for _, name := range names {
			if want := name[0] + " " + versions[name[1]]; !strings.Contains(libraries[format], want) {
				t.Errorf("the library of %s is %q, want %q", format, libraries[format], want)
			}
		}
	}
}
