/* Small pictures in the terminal, side by side. */
#ifndef CSL_CLI_PICTURE_H
#define CSL_CLI_PICTURE_H

#include <stddef.h>
#include <stdint.h>

enum { CSL_PICTURES_MAX = 17 };

/* One gray picture with its caption; pixels 0 (dark) to 255, row-major. */
struct csl_picture {
    char caption[40];
    const uint8_t *pixels;
};

/* Prints n pictures of height x width in one row (as many as fit into 160 columns, then the next row). A
 * character is two pixels high. */
void csl_pictures_print(const struct csl_picture *pictures, size_t n, size_t height, size_t width);

#endif
