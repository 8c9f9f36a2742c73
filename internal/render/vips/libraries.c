#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <vips/vips.h>

#include "shim.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* The id of the build of a loaded library: a note that its linker wrote. */
typedef struct {
	ElfW(Addr) inside; /* an address in the library */
	char id[65];       /* in hex digits; "" if it has no id */
} Build;

static void copy_build_id(const char *note, size_t size, Build *b)
{
	while (size >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) head;
		memcpy(&head, note, sizeof(head));
		size_t name = (head.n_namesz + 3) & ~(size_t) 3, desc = (head.n_descsz + 3) & ~(size_t) 3;
		if (name > size - sizeof(head) || desc > size - sizeof(head) - name)
			return;
		const unsigned char *id = (const unsigned char *) note + sizeof(head) + name;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_descsz * 2 < sizeof(b->id)) {
			for (size_t i = 0; i < head.n_descsz; i++)
				snprintf(b->id + 2 * i, 3, "%02x", id[i]);
			return;
		}
		note += sizeof(head) + name + desc;
		size -= sizeof(head) + name + desc;
	}
}

static int find_build(struct dl_phdr_info *library, size_t size, void *data)
{
	Build *b = data;
	int here = 0;
	for (int i = 0; i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &library->dlpi_phdr[i];
		ElfW(Addr) from = library->dlpi_addr + p->p_vaddr;
		here |= p->p_type == PT_LOAD && b->inside >= from && b->inside - from < p->p_memsz;
	}
	for (int i = 0; here && i < library->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &library->dlpi_phdr[i];
		if (p->p_type == PT_NOTE && b->id[0] == 0)
			copy_build_id((const char *) library->dlpi_addr + p->p_vaddr, p->p_memsz, b);
	}
	return here;
}

/* bundled reports whether the loaded libvips is the one whose versions scripts/engine wrote into vips.pc: it has
 * its codecs inside, and publishes no function of them. */
static int bundled(void)
{
#ifdef ENGINE_BUILD
	Build b = {(ElfW(Addr)) &vips_init, ""};
	dl_iterate_phdr(find_build, &b);
	return strcmp(b.id, TEXT(ENGINE_BUILD)) == 0;
#else
	return 0;
#endif
}

#ifndef ENGINE_BUILD
#define ENGINE_MOZJPEG
#define ENGINE_PNG
#define ENGINE_CGIF
#define ENGINE_WEBP
#define ENGINE_HEIF
#define ENGINE_AOM
#endif

static const char *bundled_library(Kind kind)
{
	switch (kind) {
	case KIND_JPEG:
		return "mozjpeg " TEXT(ENGINE_MOZJPEG);
	case KIND_PNG:
		return "libpng " TEXT(ENGINE_PNG);
	case KIND_GIF: /* libnsgif is a part of libvips */
		return "libnsgif and cgif " TEXT(ENGINE_CGIF);
	case KIND_WEBP:
		return "libwebp " TEXT(ENGINE_WEBP);
	case KIND_HEIF:
		return "libheif " TEXT(ENGINE_HEIF) " with aom " TEXT(ENGINE_AOM);
	}
	return "";
}

/* symbol returns a function of a library that this process has loaded; NULL if no library has it. This program
 * does not link the codecs of libvips, except libjpeg. The module of libvips for HEIF does not publish libheif
 * to the process, so it is searched by its name. */
static void *symbol(const char *name)
{
	void *found = dlsym(RTLD_DEFAULT, name);
	void *heif = found ? NULL : dlopen("libheif.so.1", RTLD_LAZY | RTLD_NOLOAD);
	return heif ? dlsym(heif, name) : found;
}

/* system_library returns the library by its functions. */
static void system_library(Kind kind, char *buf, size_t size)
{
	const char *(*text)(void);
	int (*number)(void);
	unsigned (*png)(void);
	switch (kind) {
	case KIND_JPEG:
		if (symbol("jpeg_std_error"))
			shim_jpegcheck_library(buf, size);
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

int shim_library(Kind kind, char *buf, size_t size)
{
	int inside = bundled();
	buf[0] = 0;
	if (inside)
		snprintf(buf, size, "%s", bundled_library(kind));
	else
		system_library(kind, buf, size);
	return inside;
}

void shim_jpegcheck_library(char *buf, size_t size)
{
#ifdef LIBJPEG_TURBO_VERSION
	snprintf(buf, size, "libjpeg-turbo %s", TEXT(LIBJPEG_TURBO_VERSION));
#else
	snprintf(buf, size, "libjpeg %d", JPEG_LIB_VERSION / 10);
#endif
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
