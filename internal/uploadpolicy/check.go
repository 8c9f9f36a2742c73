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
		return refuse("%s is not accepted here; %s %s", formatNames[pic.Format], alternatives(p.Formats, "or"), verb)
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

// CheckSize returns a *Refusal if a file has more bytes than the policy accepts. It does not know the server's limit.
func (p Policy) CheckSize(bytes int64) error {
	if p.MaxBytes == 0 || bytes <= p.MaxBytes {
		return nil
	}
	return refuse("The file has %d bytes; at most %s are accepted here", bytes, byteText(p.MaxBytes))
}

// Oversize returns the *Refusal of a file whose size is not known because its reception ended at MaxBytes.
func (p Policy) Oversize() error {
	return refuse("The file has more than %s; at most these are accepted here", byteText(p.MaxBytes))
}

// byteText writes a number of bytes, also in MiB if it is a whole number of them.
func byteText(n int64) string {
	const mib = 1 << 20
	if n%mib == 0 {
		return fmt.Sprintf("%d bytes (%d MiB)", n, n/mib)
	}
	return fmt.Sprintf("%d bytes", n)
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

// alternatives returns the names of formats in a sentence: "JPEG, PNG or WebP".
func alternatives(formats []imagefile.Format, conjunction string) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = formatNames[f]
		if conjunction == "and" { // the values of the key
			names[i] = string(f)
		}
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " " + conjunction + " " + names[last]
}

// Accepted returns the media types of the accepted formats in a sentence, "" if all are accepted.
func (p Policy) Accepted() string {
	types := make([]string, len(p.Formats))
	for i, f := range p.Formats {
		types[i] = f.MIME()
	}
	return strings.Join(types, " or ")
}
