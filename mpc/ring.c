#include "crypto/cpu.h"
#define CSL__RING csl__ring_portable
#include "mpc/ring_body.h"

static const struct csl__ring_kernels *kernels(void) {
    switch (csl_cpu_level()) {
    case CSL_CPU_AVX512:
        return &csl__ring_avx512;
    case CSL_CPU_AVX2:
        return &csl__ring_avx2;
    case CSL_CPU_PORTABLE:
        break;
    }
    return &csl__ring_portable;
}

void csl_add_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits) {
    kernels()->add(out, a, b, n, csl_ring_mask(bits));
}

void csl_sub_mod(uint64_t *out, const uint64_t *a, const uint64_t *b, size_t n, unsigned bits) {
    kernels()->sub(out, a, b, n, csl_ring_mask(bits));
}

void csl_neg_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = (0 - a[i]) & mask;
    }
}

void csl_reduce_mod(uint64_t *out, const uint64_t *a, size_t n, unsigned bits) {
    kernels()->reduce(out, a, n, csl_ring_mask(bits));
}

void csl_add_row_mod(uint64_t *out, const uint64_t *a, const uint64_t *row, size_t m, size_t n,
                     unsigned bits) {
    for (size_t i = 0; i < m; i++) {
        csl_add_mod(out + i * n, a + i * n, row, n, bits);
    }
}
