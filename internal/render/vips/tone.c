#include <vips/vips.h>

#include "shim.h"

/* By how much light is dimmed where pictures of high dynamic range, up to 1000 candela per square
 * metre, are shown on a screen without: in and out, of which 1 is the brightest that the screen
 * shows. Measured at Chromium, whose rule this is: light up to the half stays as it is. */
static const double from[] = {0.5, 0.6182, 0.7788, 1.0442, 1.3969, 1.8654, 2.463};
static const double to[] = {0.5, 0.5906, 0.6654, 0.7605, 0.8469, 0.9216, 1.0};
enum { knots = sizeof from / sizeof from[0] };

static double dim(double v)
{
	if (v <= from[0])
		return 1;
	for (int i = 1; i < knots; i++)
		if (v < from[i]) {
			double part = (v - from[i - 1]) / (from[i] - from[i - 1]);
			return (to[i - 1] + part * (to[i] - to[i - 1])) / v;
		}
	return 1 / v;
}

/* tone_rect dims pixels by how bright they are, all their bands alike: hues stay. */
static int tone_rect(VipsRegion *out, void *seq, void *a, void *b, gboolean *stop)
{
	VipsRegion *in = (VipsRegion *) seq;
	VipsRect *r = &out->valid;
	int bands = in->im->Bands;
	if (vips_region_prepare(in, r))
		return -1;
	for (int y = r->top; y < r->top + r->height; y++) {
		float *p = (float *) VIPS_REGION_ADDR(in, r->left, y);
		float *q = (float *) VIPS_REGION_ADDR(out, r->left, y);
		for (int x = 0; x < r->width; x++, p += bands, q += bands) {
			double sum = 0, most = 0;
			for (int i = 0; i < bands; i++) {
				sum += p[i];
				most = VIPS_MAX(most, p[i]);
			}
			double gain = dim((sum / bands + most) / 2);
			for (int i = 0; i < bands; i++)
				q[i] = p[i] * gain;
		}
	}
	return 0;
}

VipsImage *shim_tone(VipsImage *in)
{
	VipsImage *out = vips_image_new();
	if (vips_image_pipelinev(out, VIPS_DEMAND_STYLE_THINSTRIP, in, NULL) ||
		vips_image_generate(
			out, vips_start_one, tone_rect, vips_stop_one, in, NULL)) {
		g_object_unref(out);
		return NULL;
	}
	/* in must live as long as out */
	g_object_ref(in);
	g_signal_connect_swapped(out, "close", G_CALLBACK(g_object_unref), in);
	return out;
}
