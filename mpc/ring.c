#include "mpc/ring.h"

void csl_add_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = (a[i] + b[i]) & mask;
    }
}

void csl_sub_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = (a[i] - b[i]) & mask;
    }
}

void csl_neg_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = (0 - a[i]) & mask;
    }
}

void csl_reduce_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = a[i] & mask;
    }
}

void csl_add_row_mod(uint64_t *out, const uint64_t *a, const uint64_t *row, size_t m, size_t n,
                     unsigned bits) {
    for (size_t i = 0; i < m; i++) {
        csl_add_mod(out + i * n, a + i * n, row, n, bits);
    }
}
