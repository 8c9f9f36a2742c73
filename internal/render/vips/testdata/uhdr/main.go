// Command uhdr reads Ultra HDR JPEGs with libultrahdr, through the libvips that it is linked with, and prints a line
// of JSON for each. It ends with 3 if that libvips has no libultrahdr.
package main

/*
#cgo pkg-config: vips
#include <stdlib.h>
#include <vips/vips.h>

typedef struct {
	int width, height, map_width, map_height, map_bands;
	double capacity, largest, mean_picture, mean_hdr;
} Reading;

static int mean(VipsImage *im, double *mean, double *largest) {
	return vips_avg(im, mean, NULL) || vips_max(im, largest, NULL);
}

static int has_reader(void) {
	return vips_type_find("VipsOperation", "uhdrload") != 0;
}

// read_file fills r. linear light: 1 is the white of the picture.
static int read_file(const char *name, Reading *r) {
	VipsImage *im = NULL, *hdr = NULL, *sdr = NULL, *map = NULL;
	const void *blob;
	size_t length;
	double ignored;
	int bad = 1;
	if (vips_call("uhdrload", name, &im, NULL))
		return 1;
	r->width = im->Xsize;
	r->height = im->Ysize;
	if (vips_image_get_blob(im, "gainmap-data", &blob, &length) ||
		vips_jpegload_buffer((void *) blob, length, &map, NULL) ||
		vips_image_get_double(im, "gainmap-hdr-capacity-max", &r->capacity) ||
		vips_call("uhdr2scRGB", im, &hdr, NULL) ||
		vips_colourspace(im, &sdr, VIPS_INTERPRETATION_scRGB, NULL) ||
		mean(sdr, &r->mean_picture, &ignored) || mean(hdr, &r->mean_hdr, &r->largest))
		goto end;
	r->map_width = map->Xsize;
	r->map_height = map->Ysize;
	r->map_bands = map->Bands;
	bad = 0;
end:
	g_object_unref(im);
	if (hdr) g_object_unref(hdr);
	if (sdr) g_object_unref(sdr);
	if (map) g_object_unref(map);
	return bad;
}
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"os"
	"unsafe"
)

func main() {
	name := C.CString(os.Args[0])
	defer C.free(unsafe.Pointer(name))
	if C.vips_init(name) != 0 || C.has_reader() == 0 {
		os.Exit(3)
	}
	for _, file := range os.Args[1:] {
		var r C.Reading
		path := C.CString(file)
		if C.read_file(path, &r) != 0 {
			fmt.Fprintln(os.Stderr, C.GoString(C.vips_error_buffer()))
			os.Exit(1)
		}
		C.free(unsafe.Pointer(path))
		json.NewEncoder(os.Stdout).Encode(map[string]float64{
			"width": float64(r.width), "height": float64(r.height), "mapWidth": float64(r.map_width),
			"mapHeight": float64(r.map_height), "mapBands": float64(r.map_bands), "capacity": float64(r.capacity),
			"largest": float64(r.largest), "mean": float64(r.mean_picture), "meanHDR": float64(r.mean_hdr),
		})
	}
}
