/* A second look at a JPEG, by libjpeg alone, for which kind of complaint it is refused. */
#ifndef CALOTYPE_JPEGCHECK_H
#define CALOTYPE_JPEGCHECK_H

#include <stddef.h>

/* jpegcheck decodes the JPEG in data, 8 times smaller. It returns 0 when all of the picture is
 * there, else -1 with the reason in why. */
int jpegcheck(const unsigned char *data, size_t size, char *why, size_t why_size);

#endif
