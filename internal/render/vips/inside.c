#include <stdlib.h>
#include <vips/vips.h>

#include "shim.h"

/* differs reports whether a pixel of 8-bit values is another colour than reference. The colour of a transparent pixel
 * does not matter. */
static int differs(const VipsPel *p, const int *reference, int bands, int alpha, int tolerance)
{
	if (alpha && p[bands - 1] == 0 && reference[bands - 1] == 0)
		return 0;
	for (int b = 0; b < bands; b++)
		if (abs(p[b] - reference[b]) > tolerance)
			return 1;
	return 0;
}

/* grow extends the edges left, top, right and bottom by the pixels of a row that differ. */
static void grow(int *edges, const VipsPel *row, int y, int width, const int *reference, int bands, int alpha,
	int tolerance)
{
	int first = 0, last = width - 1;
	while (first < width && !differs(row + first * bands, reference, bands, alpha, tolerance))
		first++;
	if (first == width)
		return;
	while (!differs(row + last * bands, reference, bands, alpha, tolerance))
		last--;
	if (edges[2] == 0)
		edges[1] = y;
	edges[0] = VIPS_MIN(edges[0], first);
	edges[2] = VIPS_MAX(edges[2], last + 1);
	edges[3] = y + 1;
}

/* shim_find_inside finds the smallest part of an image of 1 to 4 bands that has all pixels other than a reference: the
 * colour that is given, or else the first pixel on the left or the right side. It reads from the top, a few rows at a
 * time. The part is empty if there are no such pixels. It sets used to the reference, and colour to the pixel of the
 * corner at the left or right, top or bottom. */
int shim_find_inside(VipsImage *in, double *colour, int given, int tolerance, int right, int bottom, double *used,
	int *edges)
{
	const int step = 16;
	int reference[4] = {0}, alpha = vips_image_hasalpha(in), corner = right ? in->Xsize - 1 : 0;
	if (in->BandFmt != VIPS_FORMAT_UCHAR || in->Bands > 4) {
		vips_error("calotype", "%d bands of format %d", in->Bands, in->BandFmt);
		return -1;
	}
	VipsRegion *reader = vips_region_new(in);
	edges[0] = in->Xsize;
	edges[1] = edges[2] = edges[3] = 0;
	for (int top = 0; top < in->Ysize; top += step) {
		VipsRect rect = {0, top, in->Xsize, VIPS_MIN(step, in->Ysize - top)};
		if (vips_region_prepare(reader, &rect)) {
			g_object_unref(reader);
			return -1;
		}
		if (top == 0)
			for (int b = 0; b < in->Bands; b++)
				used[b] = reference[b] = given ? (int) colour[b] : VIPS_REGION_ADDR(reader, corner, 0)[b];
		for (int y = top; y < top + rect.height; y++)
			grow(edges, VIPS_REGION_ADDR(reader, 0, y), y, in->Xsize, reference, in->Bands, alpha, tolerance);
		if (top == 0 || bottom)
			for (int b = 0; b < in->Bands; b++)
				colour[b] = VIPS_REGION_ADDR(reader, corner, bottom ? top + rect.height - 1 : 0)[b];
	}
	g_object_unref(reader);
	if (edges[2] == 0)
		edges[0] = 0;
	return 0;
}
