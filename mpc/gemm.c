#include "mpc/gemm.h"

#include "crypto/cpu.h"
#include "mpc/gemm_internal.h"
#include "mpc/ring.h"
#include "mpc/threads.h"

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
    case CSL__GEMM_IFMA_WIDE:
        return avx512 && __builtin_cpu_supports("avx512ifma");
    }
    return false;
#else
    return kind == CSL__GEMM_PORTABLE;
#endif
}

/* Intel's vpmullq is three micro-operations, AMD's one. */
static bool has_slow_mullq(void) {
#if defined(__x86_64__)
    return __builtin_cpu_is("intel") != 0;
#else
    return false;
#endif
}

enum csl__gemm_kind csl__gemm_kind_get(unsigned bits) {
    switch (csl_cpu_level()) {
    case CSL_CPU_AVX512:
        if (!csl__gemm_has(CSL__GEMM_IFMA_LOW)) {
            return CSL__GEMM_AVX512;
        }
        return bits <= 52 ? CSL__GEMM_IFMA_LOW : has_slow_mullq() ? CSL__GEMM_IFMA_WIDE : CSL__GEMM_AVX512;
    case CSL_CPU_AVX2:
        return CSL__GEMM_AVX2;
    case CSL_CPU_PORTABLE:
        break;
    }
    return CSL__GEMM_PORTABLE;
}

static csl__windows_fn *path_of(unsigned bits) {
#if defined(__x86_64__)
    switch (csl__gemm_kind_get(bits)) {
    case CSL__GEMM_IFMA_LOW:
        return csl__windows_ifma_low;
    case CSL__GEMM_IFMA_WIDE:
        return csl__windows_ifma_wide;
    case CSL__GEMM_AVX512:
        return csl__windows_avx512;
    case CSL__GEMM_AVX2:
        return csl__windows_avx2;
    case CSL__GEMM_PORTABLE:
        break;
    }
#else
    (void)bits;
#endif
    return csl__windows_portable;
}

void csl__mul_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t n) {
#if defined(__x86_64__)
    if (csl_cpu_level() == CSL_CPU_AVX512) {
        csl__mul_acc_avx512(y, d, w, n);
        return;
    }
#endif
    for (size_t i = 0; i < n; i++) {
        y[i] += d[i] * w[i];
    }
}

/* ---- threads ---- */

struct shared {
    struct csl__windows p;
    csl__windows_fn *fn;
};

static void some_columns(void *arg, size_t first, size_t n) {
    const struct shared *s = arg;
    struct csl__windows p = s->p;
    p.y += first;
    p.w += first;
    p.n = n;
    s->fn(&p);
}

/* The number of its pictures, or of a picture's lines, or of a line's windows: what is cut into parts. */
static size_t *row_count(struct csl__windows *p) {
    return p->pictures > 1 ? &p->pictures : p->high > 1 ? &p->high : &p->wide;
}

static void some_rows(void *arg, size_t first, size_t n) {
    const struct shared *s = arg;
    struct csl__windows p = s->p;
    bool pictures = p.pictures > 1, lines = !pictures && p.high > 1;
    p.d += first * (pictures ? p.d_next : lines ? p.d_down : p.d_right);
    p.y += first * p.ldy * (pictures ? p.high * p.wide : lines ? p.wide : 1);
    *row_count(&p) = n;
    s->fn(&p);
}

void csl__windows_acc(const struct csl__windows *p, unsigned bits) {
    enum { COLUMNS = 64, ROWS = 12, PRODUCTS_A_NS = 10 };
    struct shared s = {*p, path_of(bits)};
    size_t n_rows = p->pictures * p->high * p->wide;
    double ns = (double)n_rows * (double)p->runs * (double)p->run * (double)p->n / PRODUCTS_A_NS;
    if (p->n >= (size_t)COLUMNS * csl_threads()) {
        csl__threads_split(some_columns, &s, p->n, COLUMNS, ns);
    } else {
        csl__threads_split(some_rows, &s, *row_count(&s.p), n_rows == p->wide ? ROWS : 1, ns);
    }
}

/* ---- matrices ---- */

static void gemm_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n,
                     unsigned bits) {
    if (m > 0 && k > 0 && n > 0) {
        const struct csl__windows p = csl__dense(y, d, w, m, k, n);
        csl__windows_acc(&p, bits);
    }
}

void csl_gemm_acc(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    gemm_acc(y, d, w, m, k, n, 64);
}

void csl_gemm(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n) {
    if (m > 0 && n > 0) {
        memset(y, 0, m * n * sizeof *y);
    }
    csl_gemm_acc(y, d, w, m, k, n);
}

void csl_gemm_acc_mod(uint64_t *y, const uint64_t *d, const uint64_t *w, size_t m, size_t k, size_t n,
                      unsigned bits) {
    gemm_acc(y, d, w, m, k, n, bits);
    csl_reduce_mod(y, y, m * n, bits);
}

const char *csl_gemm_path(void) {
    return csl_cpu_name(csl_cpu_level());
}
