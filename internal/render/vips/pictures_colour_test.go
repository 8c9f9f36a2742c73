package vips

import (
	"encoding/binary"
	"image"
	"image/color"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestAlphaOf16Bits: the alpha channel of more than 8 bits is scaled with the colours when a profile
// converts these.
func TestAlphaOf16Bits(t *testing.T) {
	m := image.NewNRGBA64(image.Rect(0, 0, 64, 8))
	for x := range 64 {
		for y := range 8 {
			m.SetNRGBA64(x, y, color.NRGBA64{60000, 20000, 10000, uint16(x * 65535 / 63)})
		}
	}
	data := pngWith(t, m, iccp(profile("RGB ")))
	for _, width := range []int{64, 32} {
		got := pictureOf(t, data, render.Options{Width: width, Fit: render.ScaleDown})
		for _, x := range []int{4, width / 2, width - 5} {
			want := float64(x) / float64(width-1) * 255
			if d := float64(got.NRGBAAt(x, 2).A) - want; d < -4 || d > 4 {
				t.Errorf("%d wide, at %d: alpha %d, want %.0f", width, x, got.NRGBAAt(x, 2).A, want)
			}
		}
	}
}

// TestStatedColours: what a PNG or an AVIF says of its colours without a profile is converted to
// sRGB. The wanted values are those of Chromium's canvas.
func TestStatedColours(t *testing.T) {
	brown := color.NRGBA{200, 120, 80, 255}
	grey := color.NRGBA{128, 128, 128, 255}
	gama := func(v uint32) []byte { return pngChunk("gAMA", be32(v)) }
	p3 := pngChunk("cHRM", be32(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
	cicp := func(primaries, transfer byte) []byte {
		return pngChunk("cICP", []byte{primaries, transfer, 0, 1})
	}
	srgb := pngChunk("sRGB", []byte{0})
	for name, c := range map[string]struct {
		chunks     []byte
		from, want color.NRGBA
	}{
		"gamma 1":            {gama(100_000), brown, color.NRGBA{229, 183, 152, 255}},
		"gamma 1, grey":      {gama(100_000), grey, color.NRGBA{188, 188, 188, 255}},
		"gamma of old Macs":  {gama(55_556), brown, color.NRGBA{210, 139, 99, 255}},
		"gamma of sRGB":      {gama(45_455), brown, brown},
		"sRGB beside gamma":  {append(gama(100_000), srgb...), brown, brown},
		"P3":                 {append(gama(45_455), p3...), brown, color.NRGBA{214, 115, 69, 255}},
		"primaries alone":    {p3, brown, brown},
		"coded P3":           {cicp(12, 13), brown, color.NRGBA{213, 115, 70, 255}},
		"coded BT.2020":      {cicp(9, 13), brown, color.NRGBA{238, 104, 71, 255}},
		"coded linear":       {cicp(1, 8), grey, color.NRGBA{188, 188, 188, 255}},
		"coded over profile": {append(cicp(1, 8), iccp(profile("RGB "))...), grey, color.NRGBA{188, 188, 188, 255}},
		"PQ":                 {cicp(1, 16), grey, color.NRGBA{132, 132, 132, 255}},
		"PQ, BT.2020":        {cicp(9, 16), brown, color.NRGBA{255, 0, 0, 255}},
		"HLG":                {cicp(1, 18), grey, color.NRGBA{99, 99, 99, 255}},
		"of no sense":        {append(gama(100_000), pngChunk("cHRM", make([]byte, 32))...), grey, color.NRGBA{188, 188, 188, 255}},
	} {
		for _, m := range []image.Image{flat(16, 16, c.from), uniform(16, 16, c.from)} {
			wantAt(t, pictureOf(t, pngWith(t, m, c.chunks), whole), 8, 8, c.want, 2)
		}
		if t.Failed() {
			t.Fatalf("wrong colours of %s", name)
		}
	}
	palette := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{brown, grey})
	wantAt(t, pictureOf(t, pngWith(t, palette, gama(100_000)), whole), 4, 4,
		color.NRGBA{229, 183, 152, 255}, 2)
	plain := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range plain.Pix {
		plain.Pix[i] = 128
	}
	wantAt(t, pictureOf(t, pngWith(t, plain, gama(100_000)), whole), 4, 4,
		color.NRGBA{188, 188, 188, 255}, 2)
	half := color.NRGBA{200, 120, 80, 100}
	wantAt(t, pictureOf(t, pngWith(t, uniform(8, 8, half), gama(100_000)), whole), 4, 4,
		color.NRGBA{229, 183, 152, 100}, 2)
}

func TestStatedColoursOfAVIF(t *testing.T) {
	at := func(m image.Image, stripe int, want color.NRGBA) {
		t.Helper()
		wantAt(t, m, 16*stripe+8, 16, want, 3)
	}
	m := pictureOf(t, testdata(t, "p3.avif"), whole)
	at(m, 4, color.NRGBA{212, 114, 72, 255})
	m = pictureOf(t, testdata(t, "bt2020-pq.avif"), whole)
	at(m, 4, color.NRGBA{255, 0, 0, 255})
	at(m, 5, color.NRGBA{132, 132, 132, 255})
	m = pictureOf(t, testdata(t, "grey-narrow.avif"), whole)
	at(m, 0, color.NRGBA{76, 76, 76, 255})
	at(m, 4, color.NRGBA{140, 140, 140, 255})
	at(m, 7, color.NRGBA{230, 230, 230, 255})
}

// TestForeignProfiles: a profile for another colour space than the picture's is ignored.
func TestForeignProfiles(t *testing.T) {
	plain := encodedJPEG(t, smooth(160, 120))
	want := pictureOf(t, plain, whole)
	link := profile("RGB ")
	copy(link[12:], "link")
	for name, p := range map[string][]byte{
		"Lab": profile("Lab "), "grey": profile("GRAY"), "CMYK": profile("CMYK"), "a link": link,
		"nothing": []byte("no profile"),
	} {
		data := withProfile(plain, p)
		if _, err := examined(t, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := distance(t, want, pictureOf(t, data, whole)); d > 0.5 {
			t.Errorf("%s changes the picture by %.1f", name, d)
		}
	}
}

// TestLight: what light says of the ends of its curves.
func TestLight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		c    imagefile.Colour
		v    float64
		want float64
	}{
		{imagefile.Colour{}, 0, 0}, {imagefile.Colour{}, 1, 1},
		{imagefile.Colour{Transfer: imagefile.TransferGamma, Gamma: 2}, 0.5, 0.25},
		{imagefile.Colour{Transfer: imagefile.TransferPQ}, 1, 10_000.0 / 406},
		{imagefile.Colour{Transfer: imagefile.TransferHLG}, 1, 1000.0 / 406},
	} {
		if got := light(c.c, c.v); got < c.want-0.001 || got > c.want+0.001 {
			t.Errorf("%+v of %v is %v, want %v", c.c, c.v, got, c.want)
		}
	}
	same, ok := toLinearSRGB(imagefile.Colour{Primaries: srgbPrimaries})
	for i, v := range same {
		if want := float64((i%4+3)/4 ^ 1); !ok || v < want-1e-6 || v > want+1e-6 {
			t.Errorf("sRGB to sRGB is %v", same)
		}
	}
}

// cmykBlack is a JPEG of 8 x 8 pixels of black ink alone, inverted as Adobe writes them.
func cmykBlack() []byte {
	out := []byte("\xff\xd8")
	out = append(out, jpegSegment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00"))...)
	table := make([]byte, 65)
	for i := range table[1:] {
		table[i+1] = 8
	}
	out = append(out, jpegSegment(0xdb, table)...)
	out = append(out, jpegSegment(0xc0, []byte{8, 0, 8, 0, 8, 4,
		1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0})...)
	counts := make([]byte, 16)
	counts[1] = 2 // two codes of 2 bits
	out = append(out, jpegSegment(0xc4, append(append([]byte{0x00}, counts...), 7, 8))...)
	out = append(out, jpegSegment(0xc4, append(append([]byte{0x10}, counts...), 0, 1))...)
	out = append(out, jpegSegment(0xda, []byte{4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0})...)
	// Each block has one value: 127 for no ink (a code, 7 bits), -128 for full (a code, 8 bits).
	bits, n := uint64(0), 0
	put := func(v uint64, k int) { bits, n = bits<<k|v, n+k }
	for range 3 {
		put(0b00, 2)
		put(127, 7)
		put(0b00, 2)
	}
	put(0b01, 2)
	put(127, 8)
	put(0b00, 2)
	binary.BigEndian.PutUint64(table[:8], bits<<(64-n)|(1<<(64-n)-1))
	for _, b := range table[:6] {
		if out = append(out, b); b == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

// TestBlackInk: black ink alone is nearly black: all four inks together are blacker.
func TestBlackInk(t *testing.T) {
	c := pictureOf(t, cmykBlack(), whole).NRGBAAt(4, 4)
	if max(c.R, c.G, c.B) > 25 || c.A != 255 {
		t.Errorf("black ink is %v", c)
	}
}
