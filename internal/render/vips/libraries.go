package vips

// #include "shim.h"
import "C"

import "calotype/internal/imagefile"

// The numbers of libheif for the compressions of HEIC and AVIF.
var compressions = map[imagefile.Format]struct {
	number C.int
	name   string
}{imagefile.HEIC: {1, "HEVC"}, imagefile.AVIF: {4, "AV1"}}

// Libraries returns the libraries of each format.
func (e *engine) Libraries() map[imagefile.Format]string {
	libraries := map[imagefile.Format]string{}
	for format, kind := range kinds {
		var buf [160]C.char
		C.shim_library(kind, &buf[0], C.size_t(len(buf)))
		library := C.GoString(&buf[0])
		if c, ok := compressions[format]; ok && library != "" {
			n := C.shim_heif_decoder(c.number, &buf[0], C.size_t(len(buf)))
			switch {
			case n == 0:
				library += " without a decoder of " + c.name
			case n > 0:
				library += " with " + C.GoString(&buf[0])
			}
		}
		libraries[format] = library
	}
	return libraries
}
