#include "cli/picture.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 160, GAP = 2 };

static char shade(unsigned gray) {
    static const char ramp[] = " .:-=+*#%@";
    return ramp[gray * (sizeof ramp - 2) / 255];
}

static void print_line(const struct csl_picture *p, size_t n, size_t height, size_t width, size_t y) {
    for (size_t i = 0; i < n; i++) {
        for (size_t x = 0; x < width; x++) {
            unsigned a = p[i].pixels[y * width + x];
            unsigned b = y + 1 < height ? p[i].pixels[(y + 1) * width + x] : a;
            (void)putchar(shade((a + b) / 2));
        }
        (void)printf("%*s", i + 1 < n ? GAP : 0, "");
    }
    (void)putchar('\n');
}

static void print_row(const struct csl_picture *p, size_t n, size_t height, size_t width) {
    for (size_t i = 0; i < n; i++) {
        (void)printf("%-*.*s%*s", (int)width, (int)width, p[i].caption, i + 1 < n ? GAP : 0, "");
    }
    (void)putchar('\n');
    for (size_t y = 0; y < height; y += 2) {
        print_line(p, n, height, width, y);
    }
}

void csl_pictures_print(const struct csl_picture *pictures, size_t n, size_t height, size_t width) {
    size_t fit = (COLUMNS + GAP) / (width + GAP);
    fit = fit == 0 ? 1 : fit;
    for (size_t at = 0; at < n; at += fit) {
        print_row(pictures + at, n - at < fit ? n - at : fit, height, width);
    }
}
