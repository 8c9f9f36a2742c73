package vips

import (
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// animationFields belong to the picture, not to its metadata.
var animationFields = map[string]bool{
	"page-height": true, "n-pages": true, "delay": true, "loop": true, "gif-palette": true,
}

// metadata removes all fields that the rendition must not have. It does not use the encoders' "strip",
// which the WebP saver of libvips 8.14 ignores.
func (r *rendering) metadata() error {
	if err := r.im.own(); err != nil {
		return err
	}
	if r.rule() == render.MetadataCopyright {
		r.credits = credits(r.im.blob(exifField, maxEXIF))
	}
	for _, name := range r.im.fields() {
		if !r.keeps(name) {
			r.im.remove(name)
		}
	}
	if r.rule() == render.MetadataKeep && r.im.has(exifField) {
		r.im.setInt("orientation", 1)
		// The pixels are sRGB after the conversion: EXIF 2.32, 4.6.6.
		if r.im.has(colourSpaceField) {
			r.im.setString(colourSpaceField, "1")
		}
		r.im.remove(interoperabilityField)
	}
	return nil
}

const (
	exifField             = "exif-data"
	colourSpaceField      = "exif-ifd2-ColorSpace"
	interoperabilityField = "exif-ifd4-InteroperabilityIndex" // R03 is Adobe RGB
)

// rule is the metadata rule of the rendition. Only a JPEG has any.
func (r *rendering) rule() render.Metadata {
	if r.job.Format != imagefile.JPEG {
		return render.MetadataNone
	}
	return r.job.Options.Metadata
}

func (r *rendering) keeps(name string) bool {
	if animationFields[name] {
		return r.rows != nil
	}
	// The thumbnail inside EXIF shows the original before it was cropped.
	return r.rule() == render.MetadataKeep &&
		strings.HasPrefix(name, "exif-") && !strings.HasPrefix(name, "exif-ifd1-")
}
