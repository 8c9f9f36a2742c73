#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

#include "score.h"

/* The score is a structural similarity at several scales, as MS-SSIM and DSSIM compute it, of brightness and of two
 * colour differences. Windows have 8 x 8 values and overlap by half, so that four sums of 4 x 4 values make each. */

enum {
	BLOCK = 4,
	WINDOW = 2 * BLOCK,
	SCALES = 5,
	STRIP = 16, /* rows that are read at once; even */
	GREY = 128  /* under transparent pixels */
};

/* The weights of the scales, from the finest one; those of DSSIM. */
static const double scale_weights[SCALES] = {0.028, 0.197, 0.322, 0.298, 0.155};

/* The weights of brightness and of each colour difference, whose finest scale has half the resolution. */
static const double luma_weight = 0.8, chroma_weight = 0.1;

/* The constants of SSIM, for values to 255. */
static const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;

typedef struct {
	int width, height; /* multiples of BLOCK, at least WINDOW: the edge is repeated */
	int used_width, used_height;
	uint8_t *values;
} Plane;

enum { LUMA, BLUE, RED, PLANES };

typedef struct {
	Plane planes[PLANES];
} Planes;

struct Score {
	int width, height;
	Planes lossless;
};

static int whole_blocks(int n)
{
	n = (n + BLOCK - 1) / BLOCK * BLOCK;
	return n < WINDOW ? WINDOW : n;
}

static int plane_new(Plane *p, int width, int height)
{
	p->used_width = width;
	p->used_height = height;
	p->width = whole_blocks(width);
	p->height = whole_blocks(height);
	p->values = malloc((size_t) p->width * p->height);
	if (p->values)
		return 0;
	vips_error("score", "out of memory");
	return -1;
}

/* plane_fill repeats the right and the lower edge. */
static void plane_fill(Plane *p)
{
	for (int y = 0; y < p->used_height; y++) {
		uint8_t *row = p->values + (size_t) y * p->width;
		memset(row + p->used_width, row[p->used_width - 1], p->width - p->used_width);
	}
	const uint8_t *last = p->values + (size_t) (p->used_height - 1) * p->width;
	for (int y = p->used_height; y < p->height; y++)
		memcpy(p->values + (size_t) y * p->width, last, p->width);
}

static void planes_free(Planes *p)
{
	for (int i = 0; i < PLANES; i++) {
		free(p->planes[i].values);
		p->planes[i].values = NULL;
	}
}

/* over draws a value on grey. */
static inline int over(int value, int alpha)
{
	return (value * alpha + GREY * (255 - alpha) + 127) / 255;
}

/* read_row adds a row of pixels to a row of brightness, and to sums of colour differences, one for two pixels. */
static void read_row(const uint8_t *pixels, int width, int bands, uint8_t *luma, uint16_t *blue, uint16_t *red)
{
	for (int x = 0; x < width; x++, pixels += bands) {
		int r = pixels[0], g = r, b = r;
		if (bands > 2)
			g = pixels[1], b = pixels[2];
		if (bands == 2 || bands == 4) {
			int alpha = pixels[bands - 1];
			r = over(r, alpha), g = over(g, alpha), b = over(b, alpha);
		}
		luma[x] = (77 * r + 150 * g + 29 * b + 128) >> 8;
		blue[x / 2] += (-43 * r - 85 * g + 128 * b + 32768 + 128) >> 8;
		red[x / 2] += (128 * r - 107 * g - 21 * b + 32768 + 128) >> 8;
	}
}

/* halve_sums makes values of the sums of up to 2 x 2 colour differences, and clears the sums. */
static void halve_sums(uint16_t *sums, int width, int rows, uint8_t *out)
{
	for (int x = 0; x < (width + 1) / 2; x++) {
		int n = rows * (2 * x + 1 < width ? 2 : 1), mean = (sums[x] + n / 2) / n;
		out[x] = mean > 255 ? 255 : mean;
		sums[x] = 0;
	}
}

/* read_planes reads an image from top to bottom. */
static int read_planes(VipsImage *im, Planes *p, uint16_t *blue, uint16_t *red)
{
	VipsRegion *region = vips_region_new(im);
	Plane *all = p->planes;
	for (int top = 0; top < im->Ysize; top += STRIP) {
		VipsRect strip = {0, top, im->Xsize, VIPS_MIN(STRIP, im->Ysize - top)};
		if (vips_region_prepare(region, &strip)) {
			g_object_unref(region);
			return -1;
		}
		for (int y = top; y < top + strip.height; y++) {
			read_row(VIPS_REGION_ADDR(region, 0, y), im->Xsize, im->Bands,
				all[LUMA].values + (size_t) y * all[LUMA].width, blue, red);
			if (y % 2 == 0 && y + 1 < im->Ysize)
				continue;
			halve_sums(blue, im->Xsize, 1 + y % 2, all[BLUE].values + (size_t) (y / 2) * all[BLUE].width);
			halve_sums(red, im->Xsize, 1 + y % 2, all[RED].values + (size_t) (y / 2) * all[RED].width);
		}
	}
	g_object_unref(region);
	for (int i = 0; i < PLANES; i++)
		plane_fill(&all[i]);
	return 0;
}

/* planes_of makes the planes of an image. */
static int planes_of(VipsImage *im, Planes *p)
{
	memset(p, 0, sizeof(*p));
	if (im->BandFmt != VIPS_FORMAT_UCHAR || im->Coding != VIPS_CODING_NONE || im->Bands < 1 || im->Bands > 4) {
		vips_error("score", "%d bands of format %d", im->Bands, im->BandFmt);
		return -1;
	}
	int width = (im->Xsize + 1) / 2, height = (im->Ysize + 1) / 2;
	uint16_t *sums = calloc(2 * (size_t) width, sizeof(uint16_t));
	int bad = sums == NULL || plane_new(&p->planes[LUMA], im->Xsize, im->Ysize) ||
		plane_new(&p->planes[BLUE], width, height) || plane_new(&p->planes[RED], width, height) ||
		read_planes(im, p, sums, sums + width);
	if (sums == NULL)
		vips_error("score", "out of memory");
	free(sums);
	if (bad)
		planes_free(p);
	return bad ? -1 : 0;
}

/* The sums of a block: of the values of two planes, of all their squares, and of their products. */
typedef struct {
	uint32_t a, b, squares, products;
} Sums;

/* sum_blocks sums a row of blocks. */
static void sum_blocks(const Plane *a, const Plane *b, int top, Sums *out)
{
	for (int block = 0; block < a->width / BLOCK; block++) {
		Sums s = {0, 0, 0, 0};
		size_t at = (size_t) top * a->width + block * BLOCK;
		for (int y = 0; y < BLOCK; y++, at += a->width)
			for (int x = 0; x < BLOCK; x++) {
				uint32_t v = a->values[at + x], w = b->values[at + x];
				s.a += v;
				s.b += w;
				s.squares += v * v + w * w;
				s.products += v * w;
			}
		out[block] = s;
	}
}

/* window_error returns 1 less the SSIM of a window of four blocks. */
static double window_error(const Sums *upper, const Sums *lower)
{
	const double n = WINDOW * WINDOW;
	double a = (double) (upper[0].a + upper[1].a + lower[0].a + lower[1].a) / n;
	double b = (double) (upper[0].b + upper[1].b + lower[0].b + lower[1].b) / n;
	double squares = (double) (upper[0].squares + upper[1].squares + lower[0].squares + lower[1].squares) / n;
	double products = (double) (upper[0].products + upper[1].products + lower[0].products + lower[1].products) / n;
	double means = a * a + b * b, both = a * b;
	return 1 - (2 * both + c1) * (2 * (products - both) + c2) / ((means + c1) * (squares - means + c2));
}

/* plane_error returns the error of a plane at one scale: half of it is the mean of all windows, and half their norm of
 * the fourth power, in which the worst windows weigh most. */
static double plane_error(const Plane *a, const Plane *b, Sums *rows)
{
	int blocks = a->width / BLOCK;
	Sums *upper = rows, *lower = rows + blocks;
	double sum = 0, fourth = 0;
	sum_blocks(a, b, 0, upper);
	for (int top = BLOCK; top < a->height; top += BLOCK) {
		sum_blocks(a, b, top, lower);
		for (int block = 0; block + 1 < blocks; block++) {
			double e = window_error(upper + block, lower + block);
			sum += e;
			fourth += e * e * e * e;
		}
		Sums *swap = upper;
		upper = lower;
		lower = swap;
	}
	double windows = (double) (blocks - 1) * (a->height / BLOCK - 1);
	return 0.5 * sum / windows + 0.5 * sqrt(sqrt(fourth / windows));
}

/* halve makes a plane of half the resolution. */
static int halve(const Plane *from, Plane *to)
{
	if (plane_new(to, from->used_width / 2, from->used_height / 2))
		return -1;
	for (int y = 0; y < to->used_height; y++) {
		const uint8_t *upper = from->values + (size_t) 2 * y * from->width, *lower = upper + from->width;
		uint8_t *out = to->values + (size_t) y * to->width;
		for (int x = 0; x < to->used_width; x++)
			out[x] = (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1] + 2) / 4;
	}
	plane_fill(to);
	return 0;
}

/* halve_both replaces two planes by halves, and frees them if they are no originals. */
static int halve_both(Plane *a, Plane *b, int originals)
{
	Plane half_a = {0}, half_b = {0};
	int bad = halve(a, &half_a) || halve(b, &half_b);
	if (!originals) {
		free(a->values);
		free(b->values);
	}
	*a = half_a;
	*b = half_b;
	return bad;
}

/* error_of returns the error of a plane at all scales from first on; negative on failure. A scale that is smaller than
 * a window does not count, except the finest one. */
static double error_of(const Plane *lossless, const Plane *encoded, int first)
{
	Plane a = *lossless, b = *encoded;
	Sums *rows = malloc(2 * (a.width / BLOCK) * sizeof(Sums));
	if (rows == NULL) {
		vips_error("score", "out of memory");
		return -1;
	}
	double sum = 0, weights = 0;
	int bad = 0, scale = first;
	for (; scale < SCALES; scale++) {
		sum += scale_weights[scale] * plane_error(&a, &b, rows);
		weights += scale_weights[scale];
		if (scale + 1 == SCALES || a.used_width < 2 * WINDOW || a.used_height < 2 * WINDOW)
			break;
		if ((bad = halve_both(&a, &b, scale == first)))
			break;
	}
	if (a.values != lossless->values) {
		free(a.values);
		free(b.values);
	}
	free(rows);
	return bad ? -1 : sum / weights;
}

Score *score_new(VipsImage *lossless)
{
	Score *s = calloc(1, sizeof(Score));
	if (s == NULL) {
		vips_error("score", "out of memory");
		return NULL;
	}
	s->width = lossless->Xsize;
	s->height = lossless->Ysize;
	if (planes_of(lossless, &s->lossless)) {
		free(s);
		return NULL;
	}
	return s;
}

double score_of(Score *s, VipsImage *encoded)
{
	Planes p;
	if (encoded->Xsize != s->width || encoded->Ysize != s->height) {
		vips_error("score", "%d x %d pixels, not %d x %d", encoded->Xsize, encoded->Ysize, s->width, s->height);
		return -1;
	}
	if (planes_of(encoded, &p))
		return -1;
	double error = 0;
	for (int i = 0; i < PLANES && error >= 0; i++) {
		double one = error_of(&s->lossless.planes[i], &p.planes[i], i == LUMA ? 0 : 1);
		error = one < 0 ? -1 : error + one * (i == LUMA ? luma_weight : chroma_weight);
	}
	planes_free(&p);
	if (error < 0)
		return -1;
	return error >= 1 ? 0 : 100 * (1 - error);
}

void score_free(Score *s)
{
	if (s == NULL)
		return;
	planes_free(&s->lossless);
	free(s);
}
