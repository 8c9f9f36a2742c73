package imagefile

import (
	"bytes"

	"calotype/internal/svg"
)

// A Format is the format of a picture file, determined by its bytes.
type Format string

// The formats of originals. All except HEIC and SVG are also output formats. An SVG is delivered as an SVG only.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
	AVIF Format = "avif"
	HEIC Format = "heic"
	SVG  Format = "svg"
)

// MIME returns the media type of a Format, such as "image/jpeg".
func (f Format) MIME() string {
	if f == SVG {
		return "image/svg+xml"
	}
	return "image/" + string(f)
}

// signatures are the first bytes of formats. A RIFF file is a WebP only if "WEBP" is at byte 8. AVIF
// and HEIC have no signature but the brands in their first box, an SVG has only its root element.
var signatures = []struct {
	prefix string
	read   func(*window) (Header, error)
}{
	{"\xff\xd8", readJPEG},
	{"\x89PNG\r\n\x1a\n", readPNG},
	{"GIF87a", readGIF},
	{"GIF89a", readGIF},
	{"RIFF", readWebP},
}

// MayBePicture reports whether a file that begins with head, SniffBytes bytes or the whole file, may have a format
// that ReadHeader knows.
func MayBePicture(head []byte) bool { return headerReader(head) != nil }

// headerReader returns the reader for a file that begins with head, at most SniffBytes bytes of
// it; nil if the bytes have no listed format. The order of the tests does not matter, because no file
// matches two of them.
func headerReader(head []byte) func(*window) (Header, error) {
	for _, s := range signatures {
		if !bytes.HasPrefix(head, []byte(s.prefix)) {
			continue
		}
		if s.prefix == "RIFF" && (len(head) < 12 || string(head[8:12]) != "WEBP") {
			return nil // a WAV, an AVI
		}
		return s.read
	}
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		return readHEIF
	}
	if svg.MaybeSVG(head) {
		return readSVG
	}
	return nil
}
