package e2e

import (
	"bytes"
	endian "encoding/binary" // binary is the program under test
	"fmt"
	"image"
	"image/gif"
	_ "image/png" // JPEG is registered by the maker of photographs
	"slices"
	"strings"

	"calotype/internal/imagefile"
)

// A delivered is what a delivered picture is found to be.
type delivered struct {
	mime          string
	width, height int
	frames        int
	plays         int      // for how long the frames are shown together, in milliseconds
	metadata      []string // the names of blocks that a delivered picture must not have
}

// inspect reads a delivered picture. Those that Go can decode are decoded.
func inspect(content []byte) (d delivered, err error) {
	h, err := imagefile.ReadHeader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return d, err
	}
	d = delivered{mime: h.Format.MIME(), width: h.Width, height: h.Height, frames: h.Frames}
	switch h.Format {
	case imagefile.JPEG:
		d.metadata = jpegMetadata(content)
	case imagefile.PNG:
		d.metadata = pngMetadata(content)
	case imagefile.SVG, imagefile.AVIF:
		return d, nil
	case imagefile.WebP:
		d.metadata, d.plays = webpMetadata(content)
		return d, nil
	case imagefile.GIF:
		all, err := gif.DecodeAll(bytes.NewReader(content))
		if err != nil {
			return d, err
		}
		if len(all.Image) != h.Frames {
			err = fmt.Errorf("%d frames, the header says %d", len(all.Image), h.Frames)
		}
		for _, delay := range all.Delay {
			d.plays += shownFor(delay * 10)
		}
		d.metadata = gifMetadata(content)
		return d, err
	}
	img, _, err := image.Decode(bytes.NewReader(content))
	if err == nil && img.Bounds().Size() != image.Pt(h.Width, h.Height) {
		err = fmt.Errorf("%v of pixels, the header says %dx%d", img.Bounds(), h.Width, h.Height)
	}
	return d, err
}

// jpegMetadata names the segments that are neither picture nor colour profile.
func jpegMetadata(b []byte) (found []string) {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; {
		marker, size := b[i+1], int(endian.BigEndian.Uint16(b[i+2:]))
		body := b[i+4 : min(len(b), i+2+size)]
		switch {
		case marker == 0xda: // entropy-coded data follow, up to the end
			if end := bytes.LastIndex(b, []byte{0xff, 0xd9}); end != len(b)-2 {
				found = append(found, "bytes after the end")
			}
			return found
		case marker == 0xfe:
			found = append(found, "COM")
		case marker >= 0xe1 && marker <= 0xef && marker != 0xee &&
			!bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")):
			found = append(found, fmt.Sprintf("APP%d %.12q", marker-0xe0, body))
		}
		i += 2 + size
	}
	return append(found, "no scan")
}

// pngMetadata names the chunks that are neither picture nor colour.
func pngMetadata(b []byte) (found []string) {
	known := []string{"IHDR", "PLTE", "tRNS", "IDAT", "IEND", "iCCP", "sRGB", "gAMA", "cHRM",
		"cICP", "sBIT", "bKGD", "pHYs"}
	for i := 8; i+12 <= len(b); {
		size, name := int(endian.BigEndian.Uint32(b[i:])), string(b[i+4:i+8])
		if !slices.Contains(known, name) {
			found = append(found, name)
		}
		i += 12 + size
		if name == "IEND" && i != len(b) {
			found = append(found, "bytes after the end")
		}
	}
	return found
}

// webpMetadata names the chunks that are neither picture nor colour profile, and sums the durations
// of the frames in milliseconds. An EXIF block with an orientation and nothing else is allowed: it
// is 26 bytes, the least that one can be.
func webpMetadata(b []byte) (found []string, plays int) {
	known := []string{"VP8X", "VP8 ", "VP8L", "ALPH", "ANIM", "ANMF", "ICCP"}
	for i := 12; i+8 <= len(b); {
		name, size := string(b[i:i+4]), int(endian.LittleEndian.Uint32(b[i+4:]))
		if !slices.Contains(known, name) && !(name == "EXIF" && size <= 26) {
			found = append(found, name)
		}
		if name == "ANMF" && i+24 <= len(b) {
			plays += shownFor(int(b[i+20]) | int(b[i+21])<<8 | int(b[i+22])<<16)
		}
		i += 8 + size + size&1
	}
	if want := 8 + int(endian.LittleEndian.Uint32(b[4:])); want != len(b) {
		found = append(found, "bytes after the end")
	}
	return found, plays
}

// shownFor returns the time for which browsers show a frame of ms milliseconds.
func shownFor(ms int) int {
	if ms <= 10 {
		return 100
	}
	return ms
}

// gifMetadata names the extensions that are neither timing nor looping nor colour profile.
func gifMetadata(b []byte) (found []string) {
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1)
	}
	for i < len(b) {
		switch b[i] {
		case ';':
			if i != len(b)-1 {
				found = append(found, "bytes after the end")
			}
			return found
		case '!':
			name := fmt.Sprintf("extension %x", b[i+1])
			if b[i+1] == 0xff {
				name = string(b[i+3 : i+3+int(b[i+2])])
			}
			known := []string{"extension f9", "NETSCAPE2.0", "ANIMEXTS1.0", "ICCRGBG1012"}
			if !slices.Contains(known, name) {
				found = append(found, name)
			}
			i = gifBlocks(b, i+2)
		case ',':
			flags := b[i+9]
			i += 10
			if flags&0x80 != 0 {
				i += 3 << (flags&7 + 1)
			}
			i = gifBlocks(b, i+1)
		default:
			return append(found, fmt.Sprintf("byte %x", b[i]))
		}
	}
	return append(found, "no end")
}

// gifBlocks returns where a row of sub-blocks ends.
func gifBlocks(b []byte, i int) int {
	for i < len(b) && b[i] != 0 {
		i += 1 + int(b[i])
	}
	return i + 1
}

// canaries are strings that the corpus hides in metadata, and the names of the blocks that hold
// positions.
var canaries = []string{"CANARY-S-", "CANARY-POLYGLOT", "GPSLatitude", "GPSLongitude", "exif:GPS",
	"http://ns.adobe.com/xap/", "Photoshop 3.0", "Exif\x00\x00"}

func canariesIn(content []byte) (found []string) {
	for _, canary := range canaries {
		if strings.Contains(string(content), canary) {
			found = append(found, canary)
		}
	}
	return found
}
