#include "mpc/gemm_internal.h"

enum { K_BLOCK = 64, N_BLOCK = 64 }; /* a block of W is 32 KB */

/* y[0..n) += D[0..k) . W, four rows of W at a time so that y is loaded and stored less often. */
static void row_times_block(uint64_t *restrict y, const uint64_t *d, const uint64_t *restrict w, size_t ldw,
                            size_t k, size_t n) {
    size_t p = 0;
    for (; p + 4 <= k; p += 4, w += 4 * ldw) {
        uint64_t d0 = d[p], d1 = d[p + 1], d2 = d[p + 2], d3 = d[p + 3];
        for (size_t j = 0; j < n; j++) {
            y[j] += d0 * w[j] + d1 * w[ldw + j] + d2 * w[2 * ldw + j] + d3 * w[3 * ldw + j];
        }
    }
    for (; p < k; p++, w += ldw) {
        for (size_t j = 0; j < n; j++) {
            y[j] += d[p] * w[j];
        }
    }
}

void csl__gemm_portable(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && k > 0 && n > 0) {
        const struct csl__windows p = csl__dense(y, d, w, m, k, n);
        csl__windows_portable(&p);
    }
}

/* A block of W for all rows. */
static void block_product(const struct csl__windows *p, const uint64_t *d, const uint64_t *w, size_t k,
                          size_t j, size_t n) {
    uint64_t *y = p->y + j;
    for (size_t q = 0; q < p->pictures; q++) {
        for (size_t i = 0; i < p->high; i++) {
            const uint64_t *line = d + q * p->d_next + i * p->d_down;
            for (size_t at = 0; at < p->wide; at++, y += p->ldy) {
                row_times_block(y, line + at * p->d_right, w + j, p->ldw, k, n);
            }
        }
    }
}

void csl__windows_portable(const struct csl__windows *p) {
    for (size_t s = 0; s < p->runs; s++) {
        for (size_t at = 0; at < p->run; at += K_BLOCK) {
            for (size_t j = 0; j < p->n; j += N_BLOCK) {
                block_product(p, p->d + s * p->d_step + at, p->w + (s * p->run + at) * p->ldw,
                              p->run - at < K_BLOCK ? p->run - at : K_BLOCK, j,
                              p->n - j < N_BLOCK ? p->n - j : N_BLOCK);
            }
        }
    }
}
