/* The whole of libvips that the render worker may use. Every function returns 0 or a new image on
 * success; on failure libvips' error buffer says why. Nothing else of libvips is called from Go. */
#ifndef CALOTYPE_VIPS_SHIM_H
#define CALOTYPE_VIPS_SHIM_H

#include <stddef.h>

/* The headers of libvips are not included: for each build of the package, cgo has the compiler read all headers that Go
 * sees, several times. C files include them before this one. */
typedef struct _VipsImage VipsImage;
typedef struct _VipsRegion VipsRegion;
typedef struct _VipsSource VipsSource;
typedef struct _VipsTarget VipsTarget;

/* Values of VipsBandFormat, VipsInterpretation, VipsAngle and VipsDirection, as shim.c verifies. */
enum { FORMAT_UCHAR = 0, FORMAT_USHORT = 2, FORMAT_FLOAT = 6 };
enum { SPACE_GREY = 1, SPACE_CMYK = 15, SPACE_SRGB = 22 };
enum { ANGLE_90 = 1, ANGLE_180 = 2, ANGLE_270 = 3 };
enum { FLIP_HORIZONTAL = 0, FLIP_VERTICAL = 1 };

typedef enum { KIND_JPEG, KIND_PNG, KIND_GIF, KIND_WEBP, KIND_HEIF } Kind;

/* Start. */
int shim_init(void);
const char *shim_version(void);
const char *shim_missing(void);
void shim_take_error(char *buf, size_t size);
void shim_clear_error(void);

/* The library of a codec with its version; "" if that is not known. Returns 1 if the codec is inside the libvips
 * that the program brings, else 0. */
int shim_library(Kind kind, char *buf, size_t size);
/* The libjpeg that jpegcheck.c is compiled with; the library has no function for it. */
void shim_jpegcheck_library(char *buf, size_t size);
/* The name of libheif's decoder for a compression. Returns 0 if there is no decoder, and a negative
 * number if that is not known. */
int shim_heif_decoder(int compression, char *buf, size_t size);

/* In and out, by file descriptor. */
VipsSource *shim_source(int fd);
VipsSource *shim_source_memory(void *data, size_t size);
VipsTarget *shim_target(int fd);
VipsTarget *shim_target_memory(void);
/* The bytes of a saved target in memory, which belong to it; NULL if there are none. */
const void *shim_target_bytes(VipsTarget *t, size_t *size);
void shim_unref(void *object);
VipsImage *shim_load(VipsSource *s, Kind kind, int shrink, double scale, int pages, int strict);
VipsImage *shim_from_memory(void *data, size_t size, int width, int height, int bands);

/* Facts about an image. */
int shim_width(VipsImage *in);
int shim_height(VipsImage *in);
int shim_count_bands(VipsImage *in);
int shim_format(VipsImage *in);
int shim_space(VipsImage *in);
int shim_has_alpha(VipsImage *in);

/* Pixels. */
VipsImage *shim_resize(VipsImage *in, double hscale, double vscale);
VipsImage *shim_enlarge(VipsImage *in, int width, int height);
VipsImage *shim_premultiply(VipsImage *in);
VipsImage *shim_unpremultiply(VipsImage *in, int format);
VipsImage *shim_icc_to_srgb(VipsImage *in, const char *fallback, int black_point);
VipsImage *shim_bands(VipsImage *in, int first, int n);
VipsImage *shim_join_bands(VipsImage *in, VipsImage *more);
VipsImage *shim_high_byte(VipsImage *in);
VipsImage *shim_table(VipsImage *in, void *table, int n, int format);
VipsImage *shim_tone(VipsImage *in);
VipsImage *shim_linear_to_srgb(VipsImage *in, double *matrix);
VipsImage *shim_colourspace(VipsImage *in, int space);
VipsImage *shim_add_alpha(VipsImage *in);
VipsImage *shim_rotate(VipsImage *in, int angle);
VipsImage *shim_flip(VipsImage *in, int direction);
VipsImage *shim_copy_memory(VipsImage *in);
VipsImage *shim_copy(VipsImage *in);
VipsImage *shim_crop(VipsImage *in, int left, int top, int width, int height);
VipsImage *shim_embed(VipsImage *in, int x, int y, int width, int height, double *fill, int n);
VipsImage *shim_flatten(VipsImage *in, double *background, int n);
int shim_find_inside(VipsImage *in, double *colour, int given, int tolerance, int right, int bottom, double *used,
	int *edges);
VipsRegion *shim_region(VipsImage *in);
int shim_read_rows(VipsRegion *reader, int top, int height, void *out);
int shim_write_all(VipsImage *in, void *out, size_t size);

/* Effects, of images of 8 bits. */
/* Maps colours by a table of 256 values, and then by a matrix of 3 x 3, if there is one. */
VipsImage *shim_adjust(VipsImage *in, const float *table, const float *matrix);
/* Draws an image with alpha on a colour, whose opacity is 0 to 255. */
VipsImage *shim_under(VipsImage *in, const double *colour, double opacity);
/* Increases the difference of pixels and their weighted means; amount -1 makes the means. weights are those of the
 * pixel and of its neighbours at 1 to reach pixels from it, at most 31. */
VipsImage *shim_unsharp(VipsImage *in, const float *weights, int reach, double amount);
/* Sums the pixels of boxes of side x side, times their alpha, and returns a copy of the alpha, if there is any. It reads
 * in once from top to bottom. */
int shim_boxes(VipsImage *in, int side, VipsImage **sums, VipsImage **alpha);
/* Computes weighted means by a separable mask of n weights. */
VipsImage *shim_mean(VipsImage *in, double *mask, int n);
/* Computes the pixels, without their alpha, from sums of boxes. */
VipsImage *shim_pixels(VipsImage *sums, int side, int width, int height);

/* Metadata. */
int shim_has(VipsImage *in, const char *name);
int shim_get_int(VipsImage *in, const char *name, int fallback);
void shim_set_int(VipsImage *in, const char *name, int value);
int shim_get_ints(VipsImage *in, const char *name, int *out, int max);
void shim_set_ints(VipsImage *in, const char *name, int *values, int n);
void shim_copy_field(VipsImage *to, VipsImage *from, const char *name);
void shim_remove(VipsImage *in, const char *name);
void shim_set_string(VipsImage *in, const char *name, const char *value);
const void *shim_blob(VipsImage *in, const char *name, size_t *size);
char **shim_fields(VipsImage *in);
const char *shim_field(char **fields, int i);
void shim_free_fields(char **fields);

/* Encoders. */
int shim_save_jpeg(VipsImage *in, VipsTarget *t, int quality, int progressive, int optimize, int strip);
int shim_save_png(VipsImage *in, VipsTarget *t, int compression);
int shim_save_webp(VipsImage *in, VipsTarget *t, int quality, int effort, int lossless);
int shim_save_avif(VipsImage *in, VipsTarget *t, int quality, int effort, int subsample);
int shim_save_gif(VipsImage *in, VipsTarget *t, int effort, int reuse);

#endif
