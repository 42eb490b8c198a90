#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

void csl_wipe(void *p, size_t n) {
    if (n != 0) {
        OPENSSL_cleanse(p, n);
    }
}

/* The length stands in the 64 bytes before the caller's pointer, so that free can wipe. */
void *csl_secret_alloc(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * (size_t)ALIGN) {
        return NULL;
    }
    size_t total = (bytes + 2 * (size_t)ALIGN - 1) / ALIGN * ALIGN;
    unsigned char *base = aligned_alloc(ALIGN, total);
    if (base == NULL) {
        return NULL;
    }
    memset(base, 0, total);
    memcpy(base, &total, sizeof total);
    return base + ALIGN;
}

void csl_secret_free(void *p) {
    if (p != NULL) {
        unsigned char *base = (unsigned char *)p - ALIGN;
        size_t total;
        memcpy(&total, base, sizeof total);
        OPENSSL_cleanse(base, total);
        free(base);
    }
}
