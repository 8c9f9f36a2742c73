package delivery_test

import (
	"bytes"
	"image"
	"image/png"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

// TestLargeWebP has a WebP of more than 40 megapixels replaced by the format that all clients get.
func TestLargeWebP(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: encodes a large picture")
	}
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 6_500, 6_200))); err != nil {
		t.Fatal(err)
	}
	img := h.upload(large.Bytes(), "", false)
	h.variant("full", "width=12000,height=12000", false)
	path := "/" + h.hash + "/" + img.ID + "/"
	for _, c := range []struct {
		variant string
		want    imagefile.Format
	}{
		{"full", imagefile.PNG}, {"w=12000", imagefile.PNG}, {"w=12000,format=webp", imagefile.PNG},
		{"w=400", imagefile.WebP}, {"w=6200,h=6200,fit=cover", imagefile.WebP},
	} {
		r := h.served(path+c.variant, c.want, "Accept", "image/webp")
		if again := h.ask("GET", path+c.variant, "Accept", "image/webp",
			"If-None-Match", r.Header.Get("ETag")); again.StatusCode != 304 {
			t.Errorf("%s: asked again, got %d", c.variant, again.StatusCode)
		}
	}
}
