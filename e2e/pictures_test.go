package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand"
	"testing"
)

// photo returns a JPEG of w x h with detail and noise, like a photograph. Each seed has
// different bytes.
func photo(t testing.TB, w, h, seed int) []byte {
	t.Helper()
	rnd := rand.New(rand.NewSource(int64(seed)))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			n := uint8(rnd.Intn(12))
			img.SetRGBA(x, y, color.RGBA{
				uint8(x*255/w) + n, uint8(y*255/h) + n, uint8((x^y)>>3) + n, 255,
			})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return tagged(b.Bytes(), seed)
}

// tagged adds a comment to a JPEG, so that each seed has different bytes.
func tagged(picture []byte, seed int) []byte {
	comment := fmt.Appendf(nil, "seed %08d", seed)
	out := append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
	return append(out, picture[2:]...)
}
