package imagefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Privacy says which metadata StripOriginal removes from a picture.
type Privacy string

// The values of Privacy.
const (
	PrivacyNone Privacy = "none"
	// PrivacyGPS removes what may hold a position, a serial number or a maker note. The EXIF fields on the picture, the
	// exposure, the lens, the time and the author stay.
	PrivacyGPS Privacy = "gps"
	// PrivacyAll removes all but the orientation, the colour profile, the copyright and the artist.
	PrivacyAll Privacy = "all"
)

// Privacies are the values of Privacy, from the least to the most.
var Privacies = []Privacy{PrivacyNone, PrivacyGPS, PrivacyAll}

// The names of what StripOriginal removes.
const (
	RemovedGPS           = "gps"           // the GPS fields of EXIF
	RemovedSerialNumbers = "serialNumbers" // of the camera, the lens and the picture, and the name of the owner
	RemovedMakerNote     = "makerNote"
	RemovedThumbnail     = "thumbnail" // embedded in EXIF or JFIF
	RemovedExif          = "exif"      // other fields of EXIF
	RemovedXMP           = "xmp"
	RemovedText          = "text"     // comments, IPTC and text
	RemovedOther         = "other"    // other parts that do not show the picture
	RemovedTrailing      = "trailing" // bytes behind the picture: other pictures and films too
)

// removals are the names of what was removed.
type removals struct{ names []string }

func (r *removals) add(name string) {
	if r != nil && !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
}

// StripOriginal copies the picture in the first size bytes of r to out without the metadata that p removes, and
// returns the sorted names of what it removed. Pixels, orientation and colour profile are unchanged: ReadHeader
// returns h, which it has returned for r, for the copy too. XMP, IPTC, comments, thumbnails and bytes behind the
// picture are always removed, because each of them may hold a position; only the gain map of a JPEG stays, without its
// metadata. In a HEIC or AVIF zeros replace what is removed. An SVG is for SanitiseSVG.
//
// An error wraps ErrMalformed or ErrUnsupported if the structure cannot be copied, or is one of r or out; then the
// output is incomplete.
func StripOriginal(out io.Writer, r io.ReaderAt, size int64, h Header, p Privacy) (removed []string, err error) {
	w := newWindow(r, size)
	if now, err := headerOf(w); err != nil || now != h { // it finds the EXIF block too
		return nil, errors.Join(err, malformed("the picture has another header than before"))
	}
	exif, err := bytesOf(w, w.exif)
	if err != nil {
		return nil, err
	}
	var names removals
	if exif == nil && w.exif != (span{}) {
		names.add(RemovedExif)
	}
	c := newCopier(out, w, h)
	c.removed, c.exif = &names, rewriteExif(exif, p, h.Orientation, &names)
	switch h.Format {
	case JPEG:
		err = stripWithGainMap(c)
	case PNG:
		err = stripPNG(c)
	case GIF:
		err = stripGIF(c)
	case WebP:
		err = stripWebP(c)
	case AVIF, HEIC:
		err = stripHEIF(c, p)
	default:
		err = fmt.Errorf("%w: %q cannot be rewritten", ErrUnsupported, h.Format)
	}
	slices.Sort(names.names)
	return names.names, c.flush(err)
}

// bytesOf returns an EXIF block; nil if it is larger than maxExifBytes.
func bytesOf(w *window, at span) ([]byte, error) {
	if at.end-at.off > maxExifBytes {
		return nil, nil
	}
	var b bytes.Buffer
	c := &copier{w: w, out: bufio.NewWriter(&b)}
	c.copy(at.off, at.end)
	err := c.flush(nil)
	return b.Bytes(), err
}
