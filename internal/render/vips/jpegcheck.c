#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "jpegcheck.h"

typedef struct {
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	jmp_buf fail;
	int cut;			   /* the data ended before the picture did */
	int seen[MAX_COMPONENTS]; /* components of which a scan has begun */
	char *why;
	size_t why_size;
} Check;

static const JOCTET end_of_image[] = {0xff, JPEG_EOI};

static void say(j_common_ptr j)
{
	Check *c = (Check *) j->client_data;
	char text[JMSG_LENGTH_MAX];
	(*j->err->format_message)(j, text);
	snprintf(c->why, c->why_size, "%s", text);
}

static void on_error(j_common_ptr j)
{
	say(j);
	longjmp(((Check *) j->client_data)->fail, 1);
}

/* on_message is called with warnings (level -1) and traces. These do not say that pixels are missing:
 * parameters of a scan or a version that a decoder does not need, bytes that it passes over, and
 * the end of the file where the end of the picture should be announced. Any other does. */
static void on_message(j_common_ptr j, int level)
{
	if (level >= 0)
		return;
	switch (j->err->msg_code) {
	case JWRN_NOT_SEQUENTIAL:
	case JWRN_JFIF_MAJOR:
	case JWRN_EXTRANEOUS_DATA:
	case JWRN_ADOBE_XFORM:
	case JWRN_JPEG_EOF:
		return;
	}
	on_error(j);
}

static void no_output(j_common_ptr j)
{
}

static void init_source(j_decompress_ptr d)
{
}

static boolean fill(j_decompress_ptr d)
{
	((Check *) d->client_data)->cut = 1;
	WARNMS(d, JWRN_JPEG_EOF);
	d->src->next_input_byte = end_of_image;
	d->src->bytes_in_buffer = sizeof end_of_image;
	return TRUE;
}

static void skip(j_decompress_ptr d, long n)
{
	while (n > (long) d->src->bytes_in_buffer) {
		n -= (long) d->src->bytes_in_buffer;
		(*d->src->fill_input_buffer)(d);
	}
	if (n > 0) {
		d->src->next_input_byte += n;
		d->src->bytes_in_buffer -= n;
	}
}

/* on_progress is called while scans are read: which components has each? */
static void on_progress(j_common_ptr j)
{
	j_decompress_ptr d = (j_decompress_ptr) j;
	Check *c = (Check *) d->client_data;
	for (int i = 0; i < d->comps_in_scan; i++)
		if (d->cur_comp_info[i])
			c->seen[d->cur_comp_info[i]->component_index] = 1;
}

/* whole reports whether a picture without an announced end has all its scans. */
static int whole(j_decompress_ptr d, Check *c)
{
	for (int i = 0; i < d->num_components; i++) {
		if (!c->seen[i])
			return 0;
		for (int k = 0; d->coef_bits && k < DCTSIZE2; k++)
			if (d->coef_bits[i][k] != 0) /* precise to the last bit is 0 */
				return 0;
	}
	return 1;
}

static int decode(j_decompress_ptr d, Check *c)
{
	jpeg_read_header(d, TRUE);
	d->scale_num = 1;
	d->scale_denom = 8;
	d->dct_method = JDCT_IFAST;
	d->do_fancy_upsampling = FALSE;
	d->progress = &c->progress;
	int several = jpeg_has_multiple_scans(d);
	jpeg_start_decompress(d);
	JSAMPARRAY row = (*d->mem->alloc_sarray)(
		(j_common_ptr) d, JPOOL_IMAGE, d->output_width * d->output_components, 1);
	while (d->output_scanline < d->output_height)
		jpeg_read_scanlines(d, row, 1);
	if (c->cut && several && !whole(d, c)) {
		snprintf(c->why, c->why_size, "the file ends before the last scan");
		return -1;
	}
	return 0;
}

int jpegcheck(const unsigned char *data, size_t size, char *why, size_t why_size)
{
	Check c;
	struct jpeg_decompress_struct d;
	memset(&c, 0, sizeof c);
	memset(&d, 0, sizeof d);
	c.why = why;
	c.why_size = why_size;
	d.err = jpeg_std_error(&c.errors);
	d.client_data = &c;
	c.errors.error_exit = on_error;
	c.errors.emit_message = on_message;
	c.errors.output_message = no_output;
	if (setjmp(c.fail)) {
		jpeg_destroy_decompress(&d);
		return -1;
	}
	jpeg_create_decompress(&d);
	c.source.next_input_byte = data;
	c.source.bytes_in_buffer = size;
	c.source.init_source = init_source;
	c.source.fill_input_buffer = fill;
	c.source.skip_input_data = skip;
	c.source.resync_to_restart = jpeg_resync_to_restart;
	c.source.term_source = init_source;
	c.progress.progress_monitor = on_progress;
	d.src = &c.source;
	int bad = decode(&d, &c);
	jpeg_destroy_decompress(&d);
	return bad;
}
