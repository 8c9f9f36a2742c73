package vips

import (
	"strings"

	"calotype/internal/render"
)

// animationFields belong to the picture, not to its metadata.
var animationFields = map[string]bool{
	"page-height": true, "n-pages": true, "delay": true, "loop": true, "gif-palette": true,
}

// metadata removes every field that the rendition shall not carry. The encoders' own "strip" is not
// relied on: libvips 8.14's WebP saver ignores it.
func (r *rendering) metadata() error {
	if err := r.im.own(); err != nil {
		return err
	}
	for _, name := range r.im.fields() {
		if !r.keeps(name) {
			r.im.remove(name)
		}
	}
	if r.keepsExif() {
		r.im.setInt("orientation", 1)
	}
	return nil
}

// keepsExif tells whether some EXIF is to be written.
func (r *rendering) keepsExif() bool {
	m := r.job.Options.Metadata
	return r.job.Format == render.JPEG &&
		(m == render.MetadataCopyright || m == render.MetadataKeep)
}

// keeps tells whether a field stays.
func (r *rendering) keeps(name string) bool {
	if animationFields[name] {
		return r.rows != nil
	}
	if !r.keepsExif() {
		return false
	}
	if r.job.Options.Metadata == render.MetadataKeep {
		// The thumbnail inside EXIF shows the original before it was cropped.
		return strings.HasPrefix(name, "exif-") && !strings.HasPrefix(name, "exif-ifd1-")
	}
	return name == "exif-ifd0-Copyright" || name == "exif-ifd0-Artist"
}
