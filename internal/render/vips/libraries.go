package vips

// #include "shim.h"
import "C"

import (
	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// av1 is the number of libheif for the compression of AVIF.
const av1 = 4

// Libraries returns the libraries of each format.
func (e *engine) Libraries() map[imagefile.Format]string {
	libraries := map[imagefile.Format]string{imagefile.HEIC: render.NoHEVC}
	if e.missing[imagefile.HEIC] == "" {
		libraries[imagefile.HEIC] = describeHEIC()
	}
	for format, kind := range kinds {
		libraries[format] = library(format, kind)
	}
	return libraries
}

// library returns the library of a format that libvips uses. The versions of the codecs inside the bundled libvips are
// those of its build, which the id of the loaded build confirms.
func library(format imagefile.Format, kind C.Kind) string {
	var buf [160]C.char
	size := C.size_t(len(buf))
	bundled := C.shim_library(kind, &buf[0], size) != 0
	name := C.GoString(&buf[0])
	switch {
	case bundled && format == imagefile.JPEG:
		C.shim_jpegcheck_library(&buf[0], size)
		return name + ", damage checked by " + C.GoString(&buf[0])
	case bundled || name == "" || format != imagefile.AVIF:
		return name
	}
	switch n := C.shim_heif_decoder(av1, &buf[0], size); {
	case n == 0:
		name += " without a decoder of AV1"
	case n > 0:
		name += " with " + C.GoString(&buf[0])
	}
	return name
}
