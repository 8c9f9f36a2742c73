package uploadpolicy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/imagefile"
)

// A Refusal says why a policy refuses a picture. Its text is a sentence for the end user.
type Refusal struct{ text string }

func (r *Refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// A Picture has the properties of a picture that a policy is about: its format, its size as shown, and its number of
// frames. An SVG has the size that it states.
type Picture struct {
	Format        imagefile.Format
	Width, Height int
	Frames        int // 1 for a still picture
}

// Check returns a *Refusal with the measured and the accepted figure for the first key that refuses the picture, nil
// if the policy accepts it. A picture at a bound is accepted.
func (p Policy) Check(pic Picture) error {
	if len(p.Formats) > 0 && !slices.Contains(p.Formats, pic.Format) {
		verb := "is"
		if len(p.Formats) > 1 {
			verb = "are"
		}
		name := func(f imagefile.Format) string { return formatNames[f] }
		return refuse("%s is not accepted here; %s %s", name(pic.Format), join(p.Formats, "or", name), verb)
	}
	if p.Animated != nil && !*p.Animated && pic.Frames > 1 {
		return refuse("The picture is an animation of %d frames; only still pictures are accepted here", pic.Frames)
	}
	pixels := int64(pic.Width) * int64(pic.Height)
	switch {
	case pic.Width < p.MinWidth:
		return refuse("The picture is %d pixels wide; at least %d are required here", pic.Width, p.MinWidth)
	case pic.Height < p.MinHeight:
		return refuse("The picture is %d pixels high; at least %d are required here", pic.Height, p.MinHeight)
	case p.MaxWidth > 0 && pic.Width > p.MaxWidth:
		return refuse("The picture is %d pixels wide; at most %d are accepted here", pic.Width, p.MaxWidth)
	case p.MaxHeight > 0 && pic.Height > p.MaxHeight:
		return refuse("The picture is %d pixels high; at most %d are accepted here", pic.Height, p.MaxHeight)
	case p.MaxPixels > 0 && pixels > p.MaxPixels:
		return refuse("The picture has %d pixels (%d x %d); at most %d are accepted here",
			pixels, pic.Width, pic.Height, p.MaxPixels)
	}
	return p.checkRatio(pic)
}

func (p Policy) checkRatio(pic Picture) error {
	if p.AspectRatio == nil {
		return nil
	}
	measured, bound, which := float64(pic.Width)/float64(pic.Height), 0.0, ""
	switch r := *p.AspectRatio; {
	case measured < r.Min:
		bound, which = r.Min, "at least"
	case r.Max > 0 && measured > r.Max:
		bound, which = r.Max, "at most"
	default:
		return nil
	}
	is, allowed := ratioTexts(measured, bound)
	return refuse("The picture is %d x %d pixels: its width / height is %s; %s %s is accepted here",
		pic.Width, pic.Height, is, which, allowed)
}

// ratioTexts returns two different numbers with the same number of decimals, at least two, by which they differ.
func ratioTexts(a, b float64) (string, string) {
	for decimals := 2; ; decimals++ {
		x, y := strconv.FormatFloat(a, 'f', decimals, 64), strconv.FormatFloat(b, 'f', decimals, 64)
		if x != y || decimals > 20 {
			return x, y
		}
	}
}

// Oversize returns the *Refusal of a file that has more than MaxBytes. size is its size in bytes, 0 if it is not known
// because its reception ended at MaxBytes.
func (p Policy) Oversize(size int64) error {
	most := fmt.Sprintf("%d bytes", p.MaxBytes)
	const mib = 1 << 20
	if p.MaxBytes%mib == 0 {
		most = fmt.Sprintf("%d MiB (%s)", p.MaxBytes/mib, most)
	}
	if size == 0 {
		return refuse("The file is larger than the %s accepted here", most)
	}
	return refuse("The file has %d bytes, and is larger than the %s accepted here", size, most)
}

// AllowsOrigin reports whether the policy accepts a request with a value of the header Origin. A request without the
// header, "", is accepted: browsers send it with every request of a page of another origin that can upload.
func (p Policy) AllowsOrigin(origin string) bool {
	return len(p.Origins) == 0 || origin == "" || p.Origins[0] == AnyOrigin || slices.Contains(p.Origins, origin)
}

// formatNames are the names of formats as people write them.
var formatNames = map[imagefile.Format]string{
	imagefile.JPEG: "JPEG", imagefile.PNG: "PNG", imagefile.WebP: "WebP", imagefile.GIF: "GIF",
	imagefile.AVIF: "AVIF", imagefile.HEIC: "HEIC", imagefile.SVG: "SVG",
}

// join writes formats in a sentence: "JPEG, PNG or WebP". There must be one at least.
func join(formats []imagefile.Format, conjunction string, name func(imagefile.Format) string) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = name(f)
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " " + conjunction + " " + names[last]
}

// Types returns the media types of Formats in a sentence: "image/jpeg or image/webp".
func (p Policy) Types() string {
	return join(p.Formats, "or", func(f imagefile.Format) string { return f.MIME() })
}
