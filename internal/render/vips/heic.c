#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libheif/heif.h>
#include <vips/vips.h>

#include "heic.h"

/* The functions of libheif that this file calls. The headers may be newer than the library. */
#define FUNCTIONS(X) \
	X(heif_init) \
	X(heif_get_version) \
	X(heif_get_decoder_descriptors) \
	X(heif_decoder_descriptor_get_name) \
	X(heif_have_decoder_for_format) \
	X(heif_context_alloc) \
	X(heif_context_free) \
	X(heif_context_read_from_memory_without_copy) \
	X(heif_context_get_primary_image_handle) \
	X(heif_image_handle_release) \
	X(heif_image_handle_get_width) \
	X(heif_image_handle_get_height) \
	X(heif_image_handle_has_alpha_channel) \
	X(heif_image_handle_get_luma_bits_per_pixel) \
	X(heif_image_handle_get_list_of_metadata_block_IDs) \
	X(heif_image_handle_get_metadata_size) \
	X(heif_image_handle_get_metadata) \
	X(heif_image_handle_get_color_profile_type) \
	X(heif_image_handle_get_raw_color_profile_size) \
	X(heif_image_handle_get_raw_color_profile) \
	X(heif_decode_image) \
	X(heif_image_release) \
	X(heif_image_get_width) \
	X(heif_image_get_height) \
	X(heif_image_get_bits_per_pixel_range) \
	X(heif_image_get_plane)

/* The open library; without one, all members are NULL. */
static struct functions {
#define MEMBER(name) typeof(name) *name;
	FUNCTIONS(MEMBER)
} lib;

/* open_library opens the library beside libvips, which the program brings, or that of the system. Its functions stay
 * private, because libvips may use another libheif. why gets the errors of both. */
static void *open_library(const char *name, char *why, size_t size)
{
	const int how = RTLD_NOW | RTLD_LOCAL;
	Dl_info where;
	void *found = NULL;
	size_t used;
	snprintf(why, size, "install libheif 1.15 or newer");
	if (dladdr((void *) &vips_init, &where) && where.dli_fname) {
		char *dir = g_path_get_dirname(where.dli_fname);
		char *path = g_build_filename(dir, name, NULL);
		found = dlopen(path, how);
		if (found == NULL && access(path, F_OK) == 0) { /* else it is not expected to be there */
			used = strlen(why);
			snprintf(why + used, size - used, ": %s", dlerror());
		}
		g_free(path);
		g_free(dir);
	}
	if (found == NULL && (found = dlopen(name, how)) == NULL) {
		used = strlen(why);
		snprintf(why + used, size - used, ": %s", dlerror());
	}
	return found;
}

const char *heic_open(const char *name)
{
	static char why[400];
	struct functions f;
	void *library = open_library(name, why, sizeof why);
	if (library == NULL)
		return why;
#define RESOLVE(function) \
	if ((f.function = (typeof(f.function)) dlsym(library, #function)) == NULL) \
		return "libheif is older than 1.15: it has no function " #function;
	FUNCTIONS(RESOLVE)
	/* It loads plug-ins, which a sealed worker could not open. */
	f.heif_init(NULL);
	if (!f.heif_have_decoder_for_format(heif_compression_HEVC))
		return "libheif has no decoder of HEVC, such as libde265";
	lib = f;
	return NULL;
}

void heic_describe(char *out, size_t size)
{
	const struct heif_decoder_descriptor *decoder;
	out[0] = 0;
	if (lib.heif_init == NULL)
		return;
	if (lib.heif_get_decoder_descriptors(heif_compression_HEVC, &decoder, 1) == 1)
		snprintf(out, size, "libheif %s with %s", lib.heif_get_version(),
			lib.heif_decoder_descriptor_get_name(decoder));
}

/* failed records an error of libheif, and returns whether there is one. */
static int failed(struct heif_error e)
{
	if (e.code == heif_error_Ok)
		return 0;
	/* libheif has one code for this and for memory that cannot be had. */
	if (e.code == heif_error_Memory_allocation_error && e.subcode == heif_suberror_Security_limit_exceeded)
		vips_error("heic", "a limit of libheif is exceeded");
	else
		vips_error("heic", "%s (%d.%d)", e.message, e.code, e.subcode);
	return 1;
}

/* attach makes a field of metadata, without its first bytes. read reads it into a buffer of its size. */
static int attach(VipsImage *image, const char *field, size_t skip, size_t size,
	struct heif_error (*read)(const struct heif_image_handle *, heif_item_id, void *),
	const struct heif_image_handle *handle, heif_item_id id)
{
	if (size <= skip)
		return 0;
	char *data = g_try_malloc(size);
	if (data == NULL) {
		vips_error("heic", "out of memory: %zu bytes of metadata", size);
		return -1;
	}
	int bad = failed(read(handle, id, data));
	if (!bad)
		vips_image_set_blob_copy(image, field, data + skip, size - skip);
	g_free(data);
	return bad ? -1 : 0;
}

static struct heif_error read_profile(const struct heif_image_handle *handle, heif_item_id id, void *data)
{
	return lib.heif_image_handle_get_raw_color_profile(handle, data);
}

/* set_metadata sets the fields that the pipeline reads: the EXIF block and the profile. */
static int set_metadata(VipsImage *image, const struct heif_image_handle *handle)
{
	heif_item_id id;
	/* The block begins with the offset of its TIFF header, in 4 bytes. */
	if (lib.heif_image_handle_get_list_of_metadata_block_IDs(handle, "Exif", &id, 1) == 1 &&
		attach(image, VIPS_META_EXIF_NAME, 4, lib.heif_image_handle_get_metadata_size(handle, id),
			lib.heif_image_handle_get_metadata, handle, id))
		return -1;
	/* libheif has turned the pixels. */
	vips_autorot_remove_angle(image);
	enum heif_color_profile_type type = lib.heif_image_handle_get_color_profile_type(handle);
	if (type != heif_color_profile_type_prof && type != heif_color_profile_type_rICC)
		return 0;
	return attach(image, VIPS_META_ICC_NAME, 0,
		lib.heif_image_handle_get_raw_color_profile_size(handle), read_profile, handle, 0);
}

/* join_rows moves the rows of a picture together, without gaps between them. Values of more than 8 bits move to the
 * high bits. */
static void join_rows(unsigned char *data, size_t stride, size_t line, size_t height, int shift)
{
	if (stride > line)
		for (size_t y = 1; y < height; y++)
			memmove(data + y * line, data + y * stride, line);
	if (shift > 0) {
		guint16 *values = (guint16 *) data;
		for (size_t i = 0; i < line * height / 2; i++)
			values[i] <<= shift;
	}
}

/* wrap makes an image of decoded pixels, which belong to the image on success. */
static VipsImage *wrap(struct heif_image *pixels, int width, int height, int bands, int bits)
{
	int stride = 0;
	if (lib.heif_image_get_bits_per_pixel_range(pixels, heif_channel_interleaved) != bits) {
		vips_error("heic", "the decoded picture has another number of bits than the file states");
		return NULL;
	}
	unsigned char *data = lib.heif_image_get_plane(pixels, heif_channel_interleaved, &stride);
	int deep = bits > 8;
	size_t line = (size_t) width * bands << deep;
	if (data == NULL || lib.heif_image_get_width(pixels, heif_channel_interleaved) != width ||
		lib.heif_image_get_height(pixels, heif_channel_interleaved) != height ||
		stride < 0 || (size_t) stride < line) {
		vips_error("heic", "the decoded picture has another size than the file states");
		return NULL;
	}
	join_rows(data, stride, line, height, deep ? 16 - bits : 0);
	VipsImage *image = vips_image_new_from_memory(data, line * height, width, height, bands,
		deep ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR);
	if (image == NULL)
		return NULL;
	image->Type = deep ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
	g_signal_connect_swapped(image, "postclose", G_CALLBACK(lib.heif_image_release), pixels);
	return image;
}

static VipsImage *decode(const struct heif_image_handle *handle, int width, int height)
{
	if (lib.heif_image_handle_get_width(handle) != width || lib.heif_image_handle_get_height(handle) != height) {
		vips_error("heic", "the picture has another size than the file states");
		return NULL;
	}
	int bits = lib.heif_image_handle_get_luma_bits_per_pixel(handle);
	int alpha = lib.heif_image_handle_has_alpha_channel(handle);
	if (bits < 1 || bits > 16) {
		vips_error("heic", "the picture has %d bits", bits);
		return NULL;
	}
	enum heif_chroma chroma = alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
	if (bits > 8 && G_BYTE_ORDER == G_LITTLE_ENDIAN)
		chroma = alpha ? heif_chroma_interleaved_RRGGBBAA_LE : heif_chroma_interleaved_RRGGBB_LE;
	else if (bits > 8)
		chroma = alpha ? heif_chroma_interleaved_RRGGBBAA_BE : heif_chroma_interleaved_RRGGBB_BE;
	struct heif_image *pixels = NULL;
	if (failed(lib.heif_decode_image(handle, &pixels, heif_colorspace_RGB, chroma, NULL)))
		return NULL;
	VipsImage *image = wrap(pixels, width, height, alpha ? 4 : 3, bits);
	if (image == NULL)
		lib.heif_image_release(pixels);
	return image;
}

VipsImage *heic_load(const void *file, size_t size, int width, int height)
{
	if (lib.heif_init == NULL) {
		vips_error("heic", "there is no decoder of HEIC");
		return NULL;
	}
	struct heif_context *context = lib.heif_context_alloc();
	struct heif_image_handle *handle = NULL;
	VipsImage *image = NULL;
	if (!failed(lib.heif_context_read_from_memory_without_copy(context, file, size, NULL)) &&
		!failed(lib.heif_context_get_primary_image_handle(context, &handle)))
		image = decode(handle, width, height);
	if (image != NULL && set_metadata(image, handle)) {
		g_object_unref(image);
		image = NULL;
	}
	if (handle != NULL)
		lib.heif_image_handle_release(handle);
	lib.heif_context_free(context);
	return image;
}
