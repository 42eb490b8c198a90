#include "mpc/gemm.h"

#include "crypto/cpu.h"
#include "mpc/gemm_internal.h"
#include "mpc/ring.h"

#include <string.h>

bool csl__gemm_has(enum csl__gemm_kind kind) {
#if defined(__x86_64__)
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    switch (kind) {
    case CSL__GEMM_PORTABLE:
        return true;
    case CSL__GEMM_AVX2:
        return __builtin_cpu_supports("avx2");
    case CSL__GEMM_AVX512:
        return avx512;
    case CSL__GEMM_IFMA_LOW:
        return avx512 && __builtin_cpu_supports("avx512ifma");
    }
    return false;
#else
    return kind == CSL__GEMM_PORTABLE;
#endif
}

static csl__gemm_fn *best_path(void) {
#if defined(__x86_64__)
    switch (csl_cpu_level()) {
    case CSL_CPU_AVX512:
        return csl__gemm_avx512;
    case CSL_CPU_AVX2:
        return csl__gemm_avx2;
    case CSL_CPU_PORTABLE:
        break;
    }
#endif
    return csl__gemm_portable;
}

/* The path for a result that is needed mod 2^bits only. */
static csl__gemm_fn *best_path_mod(unsigned bits) {
#if defined(__x86_64__)
    if (bits <= 52 && csl_cpu_level() == CSL_CPU_AVX512 && csl__gemm_has(CSL__GEMM_IFMA_LOW)) {
        return csl__gemm_ifma_low;
    }
#else
    (void)bits;
#endif
    return best_path();
}

void csl_gemm_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    best_path()(y, d, w, m, k, n);
}

void csl_gemm(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && n > 0) {
        memset(y, 0, m * n * sizeof *y);
    }
    csl_gemm_acc(y, d, w, m, k, n);
}

void csl_gemm_acc_mod(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n,
                      unsigned bits) {
    best_path_mod(bits)(y, d, w, m, k, n);
    csl_reduce_mod(y, y, m * n, bits);
}

const char *csl_gemm_path(void) {
    return csl_cpu_name(csl_cpu_level());
}
