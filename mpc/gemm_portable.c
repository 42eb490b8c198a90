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
    for (size_t p = 0; p < k; p += K_BLOCK) {
        size_t kc = k - p < K_BLOCK ? k - p : K_BLOCK;
        for (size_t j = 0; j < n; j += N_BLOCK) {
            size_t nc = n - j < N_BLOCK ? n - j : N_BLOCK;
            for (size_t i = 0; i < m; i++) {
                row_times_block(y + i * n + j, d + i * k + p, w + p * n + j, n, kc, nc);
            }
        }
    }
}
