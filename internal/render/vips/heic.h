/* The decoder of HEIC: libheif with a decoder of HEVC, opened when the worker starts. The libheif inside of libvips
 * decodes AVIF only. */
#ifndef CALOTYPE_VIPS_HEIC_H
#define CALOTYPE_VIPS_HEIC_H

#include "shim.h"

/* heic_open opens the library of a name. Returns NULL, or why it cannot decode HEIC. */
const char *heic_open(const char *name);

/* heic_describe writes the name and version of the open library and of its decoder. */
void heic_describe(char *out, size_t size);

/* heic_load decodes the primary picture of a file, which must have a size in pixels, after its transformations, of
 * width x height. Its pixels are RGB or RGBA, of 8 bits, or of 16 bits if the file has more than 8. */
VipsImage *heic_load(const void *file, size_t size, int width, int height);

#endif
