/* Identifiers and digests as people write them. */
#ifndef CSL_CLI_HEX_H
#define CSL_CLI_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Exactly 2n lower-case hex digits. */
static inline bool csl_hex_parse(uint8_t *out, size_t n, const char *hex) {
    if (strlen(hex) != 2 * n || strspn(hex, "0123456789abcdef") != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        (void)sscanf(hex + 2 * i, "%2x", &v);
        out[i] = (uint8_t)v;
    }
    return true;
}

/* out has room for 2n digits and the 0. */
static inline void csl_hex_write(char *out, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", p[i]);
    }
}

#endif
