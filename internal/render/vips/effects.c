#include <string.h>
#include <vips/vips.h>

#include "shim.h"

/* The loops over floating-point numbers are three times as fast with vector instructions. */
#pragma GCC optimize("O3")

/* Images here have 8 bits, and 1 to 4 bands. Bands 2 and 4 are alpha. */
enum { max_bands = 4 };

static int alpha_of(int bands)
{
	return bands == 2 || bands == 4 ? bands - 1 : -1;
}

static VipsPel to_byte(float v)
{
	return v <= 0 ? 0 : v >= 255 ? 255 : (VipsPel) (v + 0.5f);
}

/* run makes an image of 8 bits that is computed from in when it is needed. It frees settings. */
static VipsImage *run(VipsImage *in, int width, int height, int bands, VipsDemandStyle style,
	VipsGenerateFn generate, void *settings)
{
	VipsImage *out = vips_image_new();
	/* in and settings must live as long as out */
	g_object_ref(in);
	g_signal_connect_swapped(out, "close", G_CALLBACK(g_object_unref), in);
	g_signal_connect_swapped(out, "close", G_CALLBACK(g_free), settings);
	if (vips_image_pipelinev(out, style, in, NULL) == 0) {
		out->Xsize = width;
		out->Ysize = height;
		out->Bands = bands;
		out->BandFmt = VIPS_FORMAT_UCHAR;
		out->Type = bands < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
		if (vips_image_generate(out, vips_start_one, generate, vips_stop_one, in, settings) == 0)
			return out;
	}
	g_object_unref(out);
	return NULL;
}

/* run_pixels makes an image of the size and the bands of in, pixel by pixel. */
static VipsImage *run_pixels(VipsImage *in, VipsGenerateFn generate, void *settings)
{
	return run(in, in->Xsize, in->Ysize, in->Bands, VIPS_DEMAND_STYLE_THINSTRIP, generate, settings);
}

/* A Tone maps each value of a colour by a table, and then mixes the three colours by a matrix. */
typedef struct {
	float table[256];
	float matrix[9];
	gboolean mixes;
} Tone;

static int tone_rect(VipsRegion *out, void *seq, void *a, void *b, gboolean *stop)
{
	VipsRegion *in = (VipsRegion *) seq;
	const Tone *t = (const Tone *) b;
	VipsRect *r = &out->valid;
	int bands = in->im->Bands, alpha = alpha_of(bands), colours = alpha < 0 ? bands : alpha;
	if (vips_region_prepare(in, r))
		return -1;
	for (int y = r->top; y < r->top + r->height; y++) {
		VipsPel *p = VIPS_REGION_ADDR(in, r->left, y);
		VipsPel *q = VIPS_REGION_ADDR(out, r->left, y);
		for (int x = 0; x < r->width; x++, p += bands, q += bands) {
			if (t->mixes && colours == 3) {
				float red = t->table[p[0]], green = t->table[p[1]], blue = t->table[p[2]];
				const float *m = t->matrix;
				for (int i = 0; i < 3; i++, m += 3)
					q[i] = to_byte(m[0] * red + m[1] * green + m[2] * blue);
			} else
				for (int i = 0; i < colours; i++)
					q[i] = to_byte(t->table[p[i]]);
			if (alpha >= 0)
				q[alpha] = p[alpha];
		}
	}
	return 0;
}

VipsImage *shim_adjust(VipsImage *in, const float *table, const float *matrix)
{
	Tone *t = g_new0(Tone, 1);
	memcpy(t->table, table, sizeof t->table);
	t->mixes = matrix != NULL;
	if (matrix)
		memcpy(t->matrix, matrix, sizeof t->matrix);
	return run_pixels(in, tone_rect, t);
}

/* A Ground is a colour under a picture, with its opacity, of 255 each. */
typedef struct {
	float colour[3], opacity;
} Ground;

static int under_rect(VipsRegion *out, void *seq, void *a, void *b, gboolean *stop)
{
	VipsRegion *in = (VipsRegion *) seq;
	const Ground *g = (const Ground *) b;
	VipsRect *r = &out->valid;
	int bands = in->im->Bands, alpha = bands - 1;
	if (vips_region_prepare(in, r))
		return -1;
	for (int y = r->top; y < r->top + r->height; y++) {
		VipsPel *p = VIPS_REGION_ADDR(in, r->left, y);
		VipsPel *q = VIPS_REGION_ADDR(out, r->left, y);
		for (int x = 0; x < r->width; x++, p += bands, q += bands) {
			float rest = g->opacity * (255 - p[alpha]) / 255, sum = p[alpha] + rest;
			for (int i = 0; i < alpha; i++)
				q[i] = sum > 0 ? to_byte((p[i] * p[alpha] + g->colour[i] * rest) / sum) : p[i];
			q[alpha] = to_byte(sum);
		}
	}
	return 0;
}

VipsImage *shim_under(VipsImage *in, const double *colour, double opacity)
{
	Ground *g = g_new0(Ground, 1);
	for (int i = 0; i < in->Bands - 1; i++)
		g->colour[i] = colour[i];
	g->opacity = opacity;
	return run_pixels(in, under_rect, g);
}

/* A Mask has the weights of a pixel and of its neighbours at 1 to reach pixels from it. Their sum, with each
 * neighbour counted twice, is 1. */
typedef struct {
	int reach;
	float amount;
	float weight[32];
} Mask;

/* weigh computes n weighted means of values that lie stride values apart. */
static void weigh(float *restrict out, const float *restrict in, int n, int stride, const Mask *m)
{
	for (int i = 0; i < n; i++)
		out[i] = m->weight[0] * in[i];
	for (int k = 1; k <= m->reach; k++) {
		const float *restrict before = in - k * stride, *restrict behind = in + k * stride;
		float weight = m->weight[k];
		for (int i = 0; i < n; i++)
			out[i] += weight * (before[i] + behind[i]);
	}
}

/* multiply writes n pixels as floating-point numbers, their colours times their alpha. */
static void multiply(float *restrict out, const VipsPel *restrict in, int n, int bands)
{
	int alpha = alpha_of(bands);
	if (alpha < 0) {
		for (int i = 0; i < n * bands; i++)
			out[i] = in[i];
		return;
	}
	for (int x = 0; x < n; x++, in += bands, out += bands) {
		for (int i = 0; i < alpha; i++)
			out[i] = (float) in[i] * in[alpha];
		out[alpha] = in[alpha];
	}
}

/* mix writes pixels that are further from their means by an amount: -1 makes the means. Alpha stays. */
static void mix(VipsPel *restrict out, const VipsPel *restrict in, const float *restrict mean, int n, int bands,
	float amount)
{
	int alpha = alpha_of(bands);
	if (alpha < 0) {
		for (int i = 0; i < n * bands; i++)
			out[i] = to_byte(in[i] + amount * (in[i] - mean[i]));
		return;
	}
	for (int x = 0; x < n; x++, in += bands, out += bands, mean += bands) {
		for (int i = 0; i < alpha; i++)
			out[i] = mean[alpha] > 0 ? to_byte(in[i] + amount * (in[i] - mean[i] / mean[alpha])) : in[i];
		out[alpha] = in[alpha];
	}
}

static int mean_rect(VipsRegion *out, void *seq, void *a, void *b, gboolean *stop)
{
	VipsRegion *in = (VipsRegion *) seq;
	const Mask *m = (const Mask *) b;
	VipsRect *r = &out->valid;
	VipsRect wide = {r->left, r->top, r->width + 2 * m->reach, r->height + 2 * m->reach};
	if (vips_region_prepare(in, &wide))
		return -1;
	int bands = in->im->Bands, row = r->width * bands;
	float *line = g_new(float, wide.width * bands + row);
	float *rows = g_new(float, (size_t) row * wide.height), *mean = line + wide.width * bands;
	for (int y = 0; y < wide.height; y++) {
		multiply(line, VIPS_REGION_ADDR(in, wide.left, wide.top + y), wide.width, bands);
		weigh(rows + (size_t) row * y, line + m->reach * bands, row, bands, m);
	}
	for (int y = 0; y < r->height; y++) {
		weigh(mean, rows + (size_t) row * (y + m->reach), row, row, m);
		mix(VIPS_REGION_ADDR(out, r->left, r->top + y),
			VIPS_REGION_ADDR(in, r->left + m->reach, r->top + y + m->reach), mean, r->width, bands, m->amount);
	}
	g_free(rows);
	g_free(line);
	return 0;
}

VipsImage *shim_unsharp(VipsImage *in, const float *weights, int reach, double amount)
{
	VipsImage *wide = NULL;
	Mask *m = g_new0(Mask, 1);
	m->reach = VIPS_MIN(reach, (int) G_N_ELEMENTS(m->weight) - 1);
	m->amount = amount;
	memcpy(m->weight, weights, (m->reach + 1) * sizeof *weights);
	if (vips_embed(in, &wide, m->reach, m->reach, in->Xsize + 2 * m->reach, in->Ysize + 2 * m->reach, "extend",
			VIPS_EXTEND_COPY, NULL)) {
		g_free(m);
		return NULL;
	}
	VipsImage *out =
		run(wide, in->Xsize, in->Ysize, in->Bands, VIPS_DEMAND_STYLE_SMALLTILE, mean_rect, m);
	g_object_unref(wide);
	return out;
}

/* in_memory makes an image whose pixels are in memory, to be written. */
static VipsImage *in_memory(int width, int height, int bands, VipsBandFormat format)
{
	VipsImage *im = vips_image_new_memory();
	vips_image_init_fields(im, width, height, bands, format, VIPS_CODING_NONE, VIPS_INTERPRETATION_MULTIBAND, 1, 1);
	if (vips_image_write_prepare(im)) {
		g_object_unref(im);
		return NULL;
	}
	return im;
}

/* Images of sums have more boxes at each end, in which the picture continues with the colours of its edge: as many as
 * spline_rect needs. */
enum { margin = 2 };

/* add adds a row of pixels, a number of times, to the sums of boxes that are side pixels wide. */
static void add(float *sums, const float *line, int width, int bands, int side, int times)
{
	const float *last = line + (width - 1) * bands;
	for (int k = 0; k < margin; k++, sums += bands)
		for (int i = 0; i < bands; i++)
			sums[i] += (float) times * side * line[i];
	for (int from = 0; from < width; from += side, line += side * bands, sums += bands) {
		int n = VIPS_MIN(side, width - from);
		for (int i = 0; i < bands; i++) {
			float sum = (side - n) * last[i];
			for (int x = 0; x < n; x++)
				sum += line[x * bands + i];
			sums[i] += times * sum;
		}
	}
	for (int k = 0; k < margin; k++, sums += bands)
		for (int i = 0; i < bands; i++)
			sums[i] += (float) times * side * last[i];
}

/* add_row adds row y of height rows to the boxes that it is in, and an edge to the boxes beyond it. */
static void add_row(VipsImage *sums, const float *line, int width, int y, int height, int side)
{
	int bands = sums->Bands, last = y == height - 1, missing = (sums->Ysize - 2 * margin) * side - height;
	add((float *) VIPS_IMAGE_ADDR(sums, 0, margin + y / side), line, width, bands, side, last ? 1 + missing : 1);
	for (int k = 0; k < margin; k++) {
		if (y == 0)
			add((float *) VIPS_IMAGE_ADDR(sums, 0, k), line, width, bands, side, side);
		if (last)
			add((float *) VIPS_IMAGE_ADDR(sums, 0, sums->Ysize - 1 - k), line, width, bands, side, side);
	}
}

/* sum_boxes reads in from top to bottom. */
static int sum_boxes(VipsImage *in, int side, VipsImage *sums, VipsImage *alpha)
{
	enum { strip = 16 };
	int width = in->Xsize, height = in->Ysize, bands = in->Bands, bad = 0;
	VipsRegion *reader = vips_region_new(in);
	float *line = g_new(float, width * bands);
	memset(VIPS_IMAGE_ADDR(sums, 0, 0), 0, VIPS_IMAGE_SIZEOF_IMAGE(sums));
	for (int y = 0; y < height; y++) {
		VipsRect rows = {0, y, width, VIPS_MIN(strip, height - y)};
		if (y % strip == 0 && (bad = vips_region_prepare(reader, &rows)))
			break;
		VipsPel *p = VIPS_REGION_ADDR(reader, 0, y);
		multiply(line, p, width, bands);
		add_row(sums, line, width, y, height, side);
		if (alpha) {
			VipsPel *q = VIPS_IMAGE_ADDR(alpha, 0, y);
			for (int x = 0; x < width; x++)
				q[x] = p[x * bands + bands - 1];
		}
	}
	g_free(line);
	g_object_unref(reader);
	return bad;
}

int shim_boxes(VipsImage *in, int side, VipsImage **sums, VipsImage **alpha)
{
	*alpha = NULL;
	int width = 2 * margin + (in->Xsize + side - 1) / side, height = 2 * margin + (in->Ysize + side - 1) / side;
	*sums = in_memory(width, height, in->Bands, VIPS_FORMAT_FLOAT);
	if (*sums == NULL)
		return -1;
	if (alpha_of(in->Bands) >= 0)
		*alpha = in_memory(in->Xsize, in->Ysize, 1, VIPS_FORMAT_UCHAR);
	if ((alpha_of(in->Bands) < 0 || *alpha) && sum_boxes(in, side, *sums, *alpha) == 0)
		return 0;
	shim_unref(*alpha);
	shim_unref(*sums);
	*sums = *alpha = NULL;
	return -1;
}

VipsImage *shim_mean(VipsImage *in, double *mask, int n)
{
	VipsImage *out = NULL, *m = vips_image_new_matrix_from_array(n, 1, mask, n);
	if (m == NULL)
		return NULL;
	int bad = vips_convsep(in, &out, m, "precision", VIPS_PRECISION_FLOAT, NULL);
	g_object_unref(m);
	return bad ? NULL : out;
}

/* Splines are what spline_rect computes pixels from the sums of boxes by: the cubic B-spline, so without steps and
 * without overshoot. weight has the four weights of each position within a box. */
typedef struct {
	int side;
	float weight[][4];
} Splines;

/* spline returns the first of the four boxes that a pixel is computed from, margin included. */
static int spline(const Splines *s, int at, const float **weight)
{
	*weight = s->weight[at % s->side];
	return at / s->side + (2 * (at % s->side) + 1 < s->side ? 0 : 1);
}

static int spline_rect(VipsRegion *out, void *seq, void *a, void *b, gboolean *stop)
{
	VipsRegion *in = (VipsRegion *) seq;
	const Splines *s = (const Splines *) b;
	VipsRect *r = &out->valid;
	const float *w;
	int bands = in->im->Bands, alpha = alpha_of(bands), colours = alpha < 0 ? bands : alpha;
	int left = spline(s, r->left, &w), top = spline(s, r->top, &w);
	VipsRect need = {left, top, spline(s, r->left + r->width - 1, &w) + 4 - left,
		spline(s, r->top + r->height - 1, &w) + 4 - top};
	if (vips_region_prepare(in, &need))
		return -1;
	int n = need.width * bands;
	float *line = g_new(float, n);
	for (int y = r->top; y < r->top + r->height; y++) {
		int first = spline(s, y, &w);
		const float *row[4];
		for (int i = 0; i < 4; i++)
			row[i] = (const float *) VIPS_REGION_ADDR(in, left, first + i);
		for (int i = 0; i < n; i++)
			line[i] = w[0] * row[0][i] + w[1] * row[1][i] + w[2] * row[2][i] + w[3] * row[3][i];
		VipsPel *q = VIPS_REGION_ADDR(out, r->left, y);
		for (int x = r->left; x < r->left + r->width; x++, q += colours) {
			const float *p = line + (spline(s, x, &w) - left) * bands;
			float v[max_bands];
			for (int i = 0; i < bands; i++)
				v[i] = w[0] * p[i] + w[1] * p[bands + i] + w[2] * p[2 * bands + i] + w[3] * p[3 * bands + i];
			float sum = alpha < 0 ? (float) s->side * s->side : v[alpha];
			for (int i = 0; i < colours; i++)
				q[i] = sum > 0 ? to_byte(v[i] / sum) : 0;
		}
	}
	g_free(line);
	return 0;
}

VipsImage *shim_pixels(VipsImage *sums, int side, int width, int height)
{
	int alpha = alpha_of(sums->Bands), colours = alpha < 0 ? sums->Bands : alpha;
	Splines *s = g_malloc(sizeof *s + side * sizeof s->weight[0]);
	s->side = side;
	for (int i = 0; i < side; i++) {
		float t = (i + 0.5) / side + (2 * i + 1 < side ? 0.5 : -0.5), u = 1 - t, *w = s->weight[i];
		w[0] = u * u * u / 6;
		w[1] = (3 * t * t * t - 6 * t * t + 4) / 6;
		w[3] = t * t * t / 6;
		w[2] = 1 - w[0] - w[1] - w[3];
	}
	return run(sums, width, height, colours, VIPS_DEMAND_STYLE_SMALLTILE, spline_rect, s);
}
