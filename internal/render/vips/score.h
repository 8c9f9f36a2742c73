/* The likeness of an encoded picture and of the pixels that were encoded: docs/decisions/0046-quality-by-target.md. */
#ifndef CALOTYPE_VIPS_SCORE_H
#define CALOTYPE_VIPS_SCORE_H

#include "shim.h"

typedef struct Score Score;

/* Reads the pixels of a picture of 8 bits, from top to bottom. NULL on failure; then libvips' error buffer says why. */
Score *score_new(VipsImage *lossless);
/* Returns the score of a picture of the same size: 100 for the same pixels, less for others. Negative on failure. */
double score_of(Score *s, VipsImage *encoded);
void score_free(Score *s);

#endif
