#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#include "shim.h"

_Static_assert(FORMAT_UCHAR == VIPS_FORMAT_UCHAR && FORMAT_USHORT == VIPS_FORMAT_USHORT &&
	FORMAT_FLOAT == VIPS_FORMAT_FLOAT, "formats");
_Static_assert(SPACE_GREY == VIPS_INTERPRETATION_B_W && SPACE_CMYK == VIPS_INTERPRETATION_CMYK &&
	SPACE_SRGB == VIPS_INTERPRETATION_sRGB, "colour spaces");
_Static_assert(ANGLE_90 == VIPS_ANGLE_D90 && ANGLE_180 == VIPS_ANGLE_D180 && ANGLE_270 == VIPS_ANGLE_D270 &&
	FLIP_HORIZONTAL == VIPS_DIRECTION_HORIZONTAL && FLIP_VERTICAL == VIPS_DIRECTION_VERTICAL, "turns");

/* What is served: everything else that libvips or its modules register stays blocked. */
static const char *loaders[] = {"VipsForeignLoadJpegSource", "VipsForeignLoadPngSource",
	"VipsForeignLoadNsgifSource", "VipsForeignLoadWebpSource", "VipsForeignLoadHeifSource", NULL};
static const char *savers[] = {"VipsForeignSaveJpegTarget", "VipsForeignSavePngTarget",
	"VipsForeignSaveWebpTarget", "VipsForeignSaveCgifTarget", NULL};
/* A libvips may lack it: then there is no AVIF. */
static const char *avif_saver = "VipsForeignSaveHeifTarget";

static void drop_log(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer data)
{
}

/* A libvips of the system keeps the HEIF loader in a module. It would load all its modules, ImageMagick, Poppler
 * and OpenSlide among them: VIPSHOME points to no folder, and this function loads the one module. The libvips that
 * the program brings has the loader inside, has no modules and does not export g_module_open. */
static void load_heif_module(void)
{
	void *(*open_module)(const char *, int) = dlsym(RTLD_DEFAULT, "g_module_open");
	Dl_info where;
	if (!open_module || dladdr((void *) &vips_init, &where) == 0 || where.dli_fname == NULL)
		return;
	char *dir = g_path_get_dirname(where.dli_fname);
	char *name = g_strdup_printf("vips-modules-%d.%d", vips_version(0), vips_version(1));
	char *path = g_build_filename(dir, name, "vips-heif.so", NULL);
	const int lazy = 1, local = 2; /* GModuleFlags */
	open_module(path, lazy | local);
	g_free(path);
	g_free(name);
	g_free(dir);
}

int shim_init(void)
{
	g_setenv("VIPSHOME", "/nonexistent", TRUE);
	g_log_set_default_handler(drop_log, NULL);
	if (VIPS_INIT("calotype"))
		return -1;
	load_heif_module();
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	vips_operation_block_set("VipsForeignLoad", TRUE);
	vips_operation_block_set("VipsForeignSave", TRUE);
	for (int i = 0; loaders[i]; i++)
		vips_operation_block_set(loaders[i], FALSE);
	for (int i = 0; savers[i]; i++)
		vips_operation_block_set(savers[i], FALSE);
	if (g_type_from_name(avif_saver) != 0)
		vips_operation_block_set(avif_saver, FALSE);
	return 0;
}

const char *shim_version(void)
{
	return vips_version_string();
}

/* shim_missing names the first loader or saver that this libvips was built without. */
const char *shim_missing(void)
{
	for (int i = 0; loaders[i]; i++)
		if (g_type_from_name(loaders[i]) == 0)
			return loaders[i];
	for (int i = 0; savers[i]; i++)
		if (g_type_from_name(savers[i]) == 0)
			return savers[i];
	return NULL;
}

void shim_clear_error(void)
{
	vips_error_clear();
}

void shim_take_error(char *buf, size_t size)
{
	g_strlcpy(buf, vips_error_buffer(), size);
	vips_error_clear();
}

VipsSource *shim_source(int fd)
{
	return vips_source_new_from_descriptor(fd);
}

VipsSource *shim_source_memory(void *data, size_t size)
{
	return vips_source_new_from_memory(data, size);
}

VipsTarget *shim_target(int fd)
{
	return vips_target_new_to_descriptor(fd);
}

VipsTarget *shim_target_memory(void)
{
	return vips_target_new_to_memory();
}

const void *shim_target_bytes(VipsTarget *t, size_t *size)
{
	VipsBlob *blob = NULL;
	g_object_get(t, "blob", &blob, NULL);
	if (blob == NULL)
		return NULL;
	const void *data = vips_blob_get(blob, size);
	vips_area_unref(VIPS_AREA(blob));
	return data;
}

void shim_unref(void *object)
{
	if (object)
		g_object_unref(object);
}

VipsImage *shim_load(VipsSource *s, Kind kind, int shrink, double scale, int pages, int strict)
{
	VipsImage *out = NULL;
	VipsAccess access = VIPS_ACCESS_SEQUENTIAL;
	VipsFailOn fail = strict ? VIPS_FAIL_ON_WARNING : VIPS_FAIL_ON_NONE;
	int bad = -1;
	switch (kind) {
	case KIND_JPEG:
		bad = vips_jpegload_source(
			s, &out, "shrink", shrink, "access", access, "fail_on", fail, NULL);
		break;
	case KIND_PNG:
		bad = vips_pngload_source(s, &out, "access", access, "fail_on", fail, NULL);
		break;
	case KIND_GIF:
		bad = vips_gifload_source(s, &out, "n", pages, "access", access, "fail_on", fail, NULL);
		break;
	case KIND_WEBP:
		bad = vips_webpload_source(
			s, &out, "n", pages, "scale", scale, "access", access, "fail_on", fail, NULL);
		break;
	case KIND_HEIF:
		bad = vips_heifload_source(s, &out, "access", access, "fail_on", fail, NULL);
		break;
	}
	return bad ? NULL : out;
}

VipsImage *shim_from_memory(void *data, size_t size, int width, int height, int bands)
{
	VipsImage *out =
		vips_image_new_from_memory(data, size, width, height, bands, VIPS_FORMAT_UCHAR);
	if (out)
		out->Type = bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
	return out;
}

int shim_width(VipsImage *in)
{
	return in->Xsize;
}

int shim_height(VipsImage *in)
{
	return in->Ysize;
}

int shim_count_bands(VipsImage *in)
{
	return in->Bands;
}

int shim_format(VipsImage *in)
{
	return in->BandFmt;
}

int shim_space(VipsImage *in)
{
	return vips_image_guess_interpretation(in);
}

int shim_has_alpha(VipsImage *in)
{
	return vips_image_hasalpha(in);
}

VipsImage *shim_resize(VipsImage *in, double hscale, double vscale)
{
	VipsImage *out = NULL;
	return vips_resize(in, &out, hscale, "vscale", vscale, NULL) ? NULL : out;
}

/* shim_enlarge enlarges by bicubic interpolation, to width x height pixels. The edges of both pictures are at the same
 * places, as in browsers; vips_resize would shift an enlarged picture by half a pixel. */
VipsImage *shim_enlarge(VipsImage *in, int width, int height)
{
	double h = (double) width / in->Xsize, v = (double) height / in->Ysize;
	int area[] = {0, 0, width, height};
	VipsInterpolate *bicubic = vips_interpolate_new("bicubic");
	if (bicubic == NULL)
		return NULL;
	VipsArrayInt *output = vips_array_int_new(area, 4);
	VipsImage *out = NULL;
	int bad = vips_affine(in, &out, h, 0, 0, v, "interpolate", bicubic, "odx", (h - 1) / 2, "ody", (v - 1) / 2,
		"oarea", output, "extend", VIPS_EXTEND_COPY, "premultiplied", TRUE, NULL);
	vips_area_unref(VIPS_AREA(output));
	g_object_unref(bicubic);
	return bad ? NULL : out;
}

/* shim_premultiply returns an image of the format of in: libvips resizes integers faster than floating-point numbers. */
VipsImage *shim_premultiply(VipsImage *in)
{
	VipsImage *exact = NULL, *out = NULL;
	if (vips_premultiply(in, &exact, NULL))
		return NULL;
	int bad = vips_cast(exact, &out, in->BandFmt, NULL);
	g_object_unref(exact);
	return bad ? NULL : out;
}

VipsImage *shim_unpremultiply(VipsImage *in, int format)
{
	VipsImage *straight = NULL, *out = NULL;
	if (vips_unpremultiply(in, &straight, NULL))
		return NULL;
	int bad = vips_cast(straight, &out, format, NULL);
	g_object_unref(straight);
	return bad ? NULL : out;
}

VipsImage *shim_icc_to_srgb(VipsImage *in, const char *fallback, int black_point)
{
	VipsImage *out = NULL;
	int bad = vips_icc_transform(in, &out, "srgb", "embedded", TRUE, "input_profile", fallback,
		"intent", VIPS_INTENT_PERCEPTUAL, "depth", 8, "black_point_compensation", black_point,
		NULL);
	return bad ? NULL : out;
}

VipsImage *shim_bands(VipsImage *in, int first, int n)
{
	VipsImage *out = NULL;
	return vips_extract_band(in, &out, first, "n", n, NULL) ? NULL : out;
}

VipsImage *shim_join_bands(VipsImage *in, VipsImage *more)
{
	VipsImage *out = NULL;
	return vips_bandjoin2(in, more, &out, NULL) ? NULL : out;
}

/* shim_high_byte makes 8 bits of 16. */
VipsImage *shim_high_byte(VipsImage *in)
{
	VipsImage *out = NULL;
	return vips_cast(in, &out, VIPS_FORMAT_UCHAR, "shift", TRUE, NULL) ? NULL : out;
}

/* shim_table replaces each value of each band by that of a table, of which it makes a copy. */
VipsImage *shim_table(VipsImage *in, void *table, int n, int format)
{
	VipsImage *out = NULL;
	size_t size = n * vips_format_sizeof(format);
	VipsImage *lut = vips_image_new_from_memory_copy(table, size, n, 1, 1, format);
	if (lut == NULL)
		return NULL;
	int bad = vips_maplut(in, &out, lut, NULL);
	g_object_unref(lut);
	if (bad)
		return NULL;
	/* Savers go by the type: one of 16 bits would have them read bytes in pairs. */
	if (format == VIPS_FORMAT_UCHAR)
		out->Type = out->Bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
	return out;
}

/* shim_linear_to_srgb takes linear light in any primaries, of which a matrix of 3 x 3 makes those
 * of sRGB, and clips what sRGB cannot show. */
VipsImage *shim_linear_to_srgb(VipsImage *in, double *matrix)
{
	VipsImage *linear = NULL, *typed = NULL, *out = NULL;
	VipsImage *m = vips_image_new_matrix_from_array(3, 3, matrix, 9);
	if (m == NULL)
		return NULL;
	int bad = vips_recomb(in, &linear, m, NULL);
	g_object_unref(m);
	if (bad)
		return NULL;
	bad = vips_copy(linear, &typed, "interpretation", VIPS_INTERPRETATION_scRGB, NULL);
	g_object_unref(linear);
	if (bad)
		return NULL;
	bad = vips_scRGB2sRGB(typed, &out, NULL);
	g_object_unref(typed);
	return bad ? NULL : out;
}

VipsImage *shim_colourspace(VipsImage *in, int space)
{
	VipsImage *out = NULL;
	return vips_colourspace(in, &out, space, NULL) ? NULL : out;
}

VipsImage *shim_add_alpha(VipsImage *in)
{
	VipsImage *out = NULL;
	return vips_addalpha(in, &out, NULL) ? NULL : out;
}

VipsImage *shim_rotate(VipsImage *in, int angle)
{
	VipsImage *out = NULL;
	return vips_rot(in, &out, angle, NULL) ? NULL : out;
}

VipsImage *shim_flip(VipsImage *in, int direction)
{
	VipsImage *out = NULL;
	return vips_flip(in, &out, direction, NULL) ? NULL : out;
}

VipsImage *shim_copy_memory(VipsImage *in)
{
	return vips_image_copy_memory(in);
}

/* shim_copy makes an image whose metadata may be changed. */
VipsImage *shim_copy(VipsImage *in)
{
	VipsImage *out = NULL;
	return vips_copy(in, &out, NULL) ? NULL : out;
}

VipsImage *shim_crop(VipsImage *in, int left, int top, int width, int height)
{
	VipsImage *out = NULL;
	return vips_extract_area(in, &out, left, top, width, height, NULL) ? NULL : out;
}

VipsImage *shim_embed(VipsImage *in, int x, int y, int width, int height, double *fill, int n)
{
	VipsImage *out = NULL;
	VipsArrayDouble *background = vips_array_double_new(fill, n);
	int bad = vips_embed(in, &out, x, y, width, height, "extend", VIPS_EXTEND_BACKGROUND,
		"background", background, NULL);
	vips_area_unref(VIPS_AREA(background));
	return bad ? NULL : out;
}

VipsImage *shim_flatten(VipsImage *in, double *background, int n)
{
	VipsImage *out = NULL;
	VipsArrayDouble *colour = vips_array_double_new(background, n);
	int bad = vips_flatten(in, &out, "background", colour, NULL);
	vips_area_unref(VIPS_AREA(colour));
	return bad ? NULL : out;
}

VipsRegion *shim_region(VipsImage *in)
{
	return vips_region_new(in);
}

/* shim_read_rows reads whole rows of a sequential image, in order, into out. */
int shim_read_rows(VipsRegion *reader, int top, int height, void *out)
{
	VipsRect rect = {0, top, reader->im->Xsize, height};
	size_t line = VIPS_IMAGE_SIZEOF_LINE(reader->im);
	if (vips_region_prepare(reader, &rect))
		return -1;
	for (int y = 0; y < height; y++)
		memcpy((char *) out + line * y, VIPS_REGION_ADDR(reader, 0, top + y), line);
	return 0;
}

int shim_write_all(VipsImage *in, void *out, size_t size)
{
	size_t n = 0;
	void *data = vips_image_write_to_memory(in, &n);
	if (data == NULL)
		return -1;
	int bad = n != size;
	if (bad)
		vips_error("calotype", "%zu bytes of pixels, not %zu", n, size);
	else
		memcpy(out, data, n);
	g_free(data);
	return bad ? -1 : 0;
}

int shim_has(VipsImage *in, const char *name)
{
	return vips_image_get_typeof(in, name) != 0;
}

int shim_get_int(VipsImage *in, const char *name, int fallback)
{
	int value;
	if (!shim_has(in, name) || vips_image_get_int(in, name, &value)) {
		vips_error_clear();
		return fallback;
	}
	return value;
}

void shim_set_int(VipsImage *in, const char *name, int value)
{
	vips_image_set_int(in, name, value);
}

/* shim_get_ints copies at most max integers of an array field and returns their number. */
int shim_get_ints(VipsImage *in, const char *name, int *out, int max)
{
	int *values, n;
	if (!shim_has(in, name) || vips_image_get_array_int(in, name, &values, &n)) {
		vips_error_clear();
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(out, values, n * sizeof(int));
	return n;
}

void shim_set_ints(VipsImage *in, const char *name, int *values, int n)
{
	vips_image_set_array_int(in, name, values, n);
}

void shim_copy_field(VipsImage *to, VipsImage *from, const char *name)
{
	GValue value = {0};
	if (!shim_has(from, name))
		return;
	if (vips_image_get(from, name, &value)) {
		vips_error_clear();
		return;
	}
	vips_image_set(to, name, &value);
	g_value_unset(&value);
}

void shim_remove(VipsImage *in, const char *name)
{
	vips_image_remove(in, name);
}

void shim_set_string(VipsImage *in, const char *name, const char *value)
{
	vips_image_set_string(in, name, value);
}

/* shim_blob returns the bytes of a field, which belong to the image; NULL when there are none. */
const void *shim_blob(VipsImage *in, const char *name, size_t *size)
{
	const void *data = NULL;
	if (!shim_has(in, name) || vips_image_get_blob(in, name, &data, size)) {
		vips_error_clear();
		return NULL;
	}
	return data;
}

char **shim_fields(VipsImage *in)
{
	return vips_image_get_fields(in);
}

const char *shim_field(char **fields, int i)
{
	return fields[i];
}

void shim_free_fields(char **fields)
{
	g_strfreev(fields);
}

int shim_save_jpeg(VipsImage *in, VipsTarget *t, int quality, int progressive, int optimize, int strip)
{
	return vips_jpegsave_target(in, t, "Q", quality, "optimize_coding", optimize, "interlace",
		progressive, "subsample_mode", VIPS_FOREIGN_SUBSAMPLE_AUTO, "strip", strip, NULL);
}

int shim_save_png(VipsImage *in, VipsTarget *t, int compression)
{
	return vips_pngsave_target(in, t, "compression", compression, "strip", TRUE, NULL);
}

int shim_save_webp(VipsImage *in, VipsTarget *t, int quality, int effort, int lossless)
{
	return vips_webpsave_target(in, t, "Q", quality, "effort", effort, "lossless", lossless, "strip",
		TRUE, NULL);
}

/* libvips takes the number of threads of the encoder from its own, which is one. */
int shim_save_avif(VipsImage *in, VipsTarget *t, int quality, int effort, int subsample)
{
	return vips_heifsave_target(in, t, "Q", quality, "effort", effort, "bitdepth", 8, "compression",
		VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "encoder", VIPS_FOREIGN_HEIF_ENCODER_AOM,
		"subsample_mode", subsample ? VIPS_FOREIGN_SUBSAMPLE_ON : VIPS_FOREIGN_SUBSAMPLE_OFF,
		"strip", TRUE, NULL);
}

/* libvips from 8.15 joins frames that are equal to the frame before them, if it is not forbidden. The rendition has
 * the frames of its original. */
int shim_save_gif(VipsImage *in, VipsTarget *t, int effort, int reuse)
{
#if VIPS_MAJOR_VERSION > 8 || VIPS_MINOR_VERSION >= 15
	return vips_gifsave_target(in, t, "effort", effort, "reuse", reuse, "strip", TRUE,
		"keep_duplicate_frames", TRUE, NULL);
#else
	return vips_gifsave_target(in, t, "effort", effort, "reuse", reuse, "strip", TRUE, NULL);
#endif
}
