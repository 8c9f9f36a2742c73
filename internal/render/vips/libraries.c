#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

#include <jpeglib.h>

#include "shim.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* symbol returns a function of a library that this process has loaded; NULL if no library has it. This program
 * does not link the codecs of libvips, except libjpeg. The module of libvips for HEIF does not publish libheif
 * to the process, so it is searched by its name. */
static void *symbol(const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);
	void *heif = found ? NULL : dlopen("libheif.so.1", RTLD_LAZY | RTLD_NOLOAD);
	return heif ? dlsym(heif, name) : found;
}

void shim_library(Kind kind, char *buf, size_t size)
{
	const char *(*text)(void);
	int (*number)(void);
	unsigned (*png)(void);
	buf[0] = 0;
	switch (kind) {
	case KIND_JPEG: /* the version of the headers: the library has no function for it */
#ifdef LIBJPEG_TURBO_VERSION
		snprintf(buf, size, "libjpeg-turbo %s", TEXT(LIBJPEG_TURBO_VERSION));
#else
		snprintf(buf, size, "libjpeg %d", JPEG_LIB_VERSION / 10);
#endif
		break;
	case KIND_PNG: /* libvips prefers libspng */
		if ((text = symbol("spng_version_string")))
			snprintf(buf, size, "libspng %s", text());
		else if ((png = symbol("png_access_version_number")))
			snprintf(buf, size, "libpng %u.%u.%u", png() / 10000, png() / 100 % 100, png() % 100);
		break;
	case KIND_GIF: /* neither library has a version */
		snprintf(buf, size, "libnsgif%s", symbol("cgif_newgif") ? " and cgif" : "");
		break;
	case KIND_WEBP:
		if ((number = symbol("WebPGetDecoderVersion")))
			snprintf(buf, size, "libwebp %d.%d.%d", number() >> 16, number() >> 8 & 255, number() & 255);
		break;
	case KIND_HEIF:
		if ((text = symbol("heif_get_version")))
			snprintf(buf, size, "libheif %s", text());
		break;
	}
}

int shim_heif_decoder(int compression, char *buf, size_t size)
{
	int (*list)(int, const void **, int) = symbol("heif_get_decoder_descriptors");
	const char *(*name)(const void *) = symbol("heif_decoder_descriptor_get_name");
	const void *first[1];
	buf[0] = 0;
	if (list == NULL || name == NULL)
		return -1;
	int n = list(compression, first, 1);
	if (n > 0)
		snprintf(buf, size, "%s", name(first[0]));
	return n;
}
