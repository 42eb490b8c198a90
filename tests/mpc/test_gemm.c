/* Matrix products: the portable path against GMP, every other path against the portable one. */
#include "mpc/gemm.h"

#include "crypto/secret.h"
#include "mpc/gemm_internal.h"
#include "mpc/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gmp.h>

static const struct {
    const char *name;
    enum csl__gemm_kind kind;
    csl__gemm_fn *fn;
    unsigned bits; /* the result is right mod 2^bits */
} paths[] = {
    {"portable", CSL__GEMM_PORTABLE, csl__gemm_portable, 64},
#if defined(__x86_64__)
    {"avx2", CSL__GEMM_AVX2, csl__gemm_avx2, 64},
    {"avx512", CSL__GEMM_AVX512, csl__gemm_avx512, 64},
    {"ifma", CSL__GEMM_IFMA_LOW, csl__gemm_ifma_low, 52},
    {"ifma wide", CSL__GEMM_IFMA_WIDE, csl__gemm_ifma_wide, 64},
#endif
};
enum { N_PATHS = sizeof paths / sizeof *paths };

/* xorshift64*: fixed seed, so that a failure repeats. */
static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t next_random(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1d;
}

/* Exactly n values at the end of an allocation, so that a sanitizer sees every step outside, and 8 bytes off
 * a cache line. */
struct values {
    uint64_t *at, *block;
    size_t n;
};

static struct values values_new(size_t n) {
    struct values v = {.n = n};
    size_t lead = 9; /* 72 bytes: the values start 8 bytes after a 64-byte boundary, where malloc gives one */
    v.block = malloc((n + lead) * sizeof *v.block);
    assert_non_null(v.block);
    v.at = v.block + lead;
    for (size_t i = 0; i < n; i++) {
        v.at[i] = next_random();
    }
    return v;
}

static struct values values_copy(const struct values *from) {
    struct values v = values_new(from->n);
    if (v.n > 0) {
        memcpy(v.at, from->at, v.n * sizeof *v.at);
    }
    return v;
}

/* In the ct build memcheck then reports every branch or index on them. */
static void values_secret(const struct values *v) {
    CSL_SECRET(v->at, v->n * sizeof *v->at);
}

static void values_public(const struct values *v) {
    CSL_PUBLIC(v->at, v->n * sizeof *v->at);
}

static void values_free(struct values *v) {
    free(v->block);
}

/* y += d.w over the integers, then mod 2^64; *wrapped tells whether the integer was 2^64 or more. */
static uint64_t gmp_element(uint64_t y, const uint64_t *d, const uint64_t *w, size_t k, size_t n,
                            bool *wrapped) {
    mpz_t sum, a, b;
    mpz_inits(sum, a, b, NULL);
    mpz_import(sum, 1, -1, sizeof y, 0, 0, &y);
    for (size_t p = 0; p < k; p++) {
        mpz_import(a, 1, -1, sizeof *d, 0, 0, &d[p]);
        mpz_import(b, 1, -1, sizeof *w, 0, 0, &w[p * n]);
        mpz_addmul(sum, a, b);
    }
    *wrapped = mpz_sizeinbase(sum, 2) > 64;
    mpz_fdiv_r_2exp(sum, sum, 64);
    uint64_t r = 0;
    mpz_export(&r, NULL, -1, sizeof r, 0, 0, sum);
    mpz_clears(sum, a, b, NULL);
    return r;
}

/* Every path on values below 2^bits; expect_wrap: whether some sum must exceed 2^64, or none may. */
static void check_against_gmp(size_t m, size_t k, size_t n, unsigned bits, bool expect_wrap) {
    struct values y0 = values_new(m * n), d = values_new(m * k), w = values_new(k * n);
    csl_reduce_mod(y0.at, y0.at, y0.n, bits);
    csl_reduce_mod(d.at, d.at, d.n, bits);
    csl_reduce_mod(w.at, w.at, w.n, bits);
    struct values want = values_copy(&y0);
    bool any_wrapped = false;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            bool wrapped;
            want.at[i * n + j] = gmp_element(y0.at[i * n + j], d.at + i * k, w.at + j, k, n, &wrapped);
            any_wrapped |= wrapped;
        }
    }
    assert_int_equal(any_wrapped, expect_wrap);
    for (size_t x = 0; x < N_PATHS; x++) {
        if (csl__gemm_has(paths[x].kind)) {
            struct values y = values_copy(&y0);
            paths[x].fn(y.at, d.at, w.at, m, k, n);
            for (size_t i = 0; i < y.n; i++) {
                assert_int_equal((y.at[i] ^ want.at[i]) & csl_ring_mask(paths[x].bits), 0);
            }
            values_free(&y);
        }
    }
    values_free(&y0), values_free(&d), values_free(&w), values_free(&want);
}

static void test_against_gmp(void **state) {
    (void)state;
    for (size_t m = 1; m <= 5; m++) {
        for (size_t k = 2; k <= 9; k++) {
            for (size_t n = 1; n <= 9; n++) {
                check_against_gmp(m, k, n, 64, true);
                check_against_gmp(m, k, n, 30, false);
            }
        }
    }
    check_against_gmp(3, 784, 17, 64, true);
    check_against_gmp(13, 201, 33, 64, true);
    check_against_gmp(13, 201, 33, 28, false);
}

/* Y += D.W by every path and by the public functions, compared with the portable path. */
static void check_shape(size_t m, size_t k, size_t n) {
    struct values y0 = values_new(m * n), d = values_new(m * k), w = values_new(k * n);
    struct values want = values_copy(&y0);
    csl__gemm_portable(want.at, d.at, w.at, m, k, n);
    for (size_t x = 0; x < N_PATHS; x++) {
        if (csl__gemm_has(paths[x].kind)) {
            struct values y = values_copy(&y0);
            values_secret(&y), values_secret(&d), values_secret(&w);
            paths[x].fn(y.at, d.at, w.at, m, k, n);
            values_public(&y), values_public(&d), values_public(&w);
            uint64_t differ = 0;
            for (size_t i = 0; i < y.n; i++) {
                differ |= (y.at[i] ^ want.at[i]) & csl_ring_mask(paths[x].bits);
            }
            if (differ != 0) {
                fail_msg("%s differs at %zux%zux%zu", paths[x].name, m, k, n);
            }
            values_free(&y);
        }
    }
    values_free(&y0), values_free(&d), values_free(&w), values_free(&want);
}

static void test_all_small_shapes(void **state) {
    (void)state;
    for (size_t m = 0; m <= 20; m++) {
        for (size_t k = 0; k <= 20; k++) {
            for (size_t n = 0; n <= 20; n++) {
                check_shape(m, k, n);
            }
        }
    }
}

static void test_network_shapes(void **state) {
    (void)state;
    static const size_t batches[] = {1, 2, 7, 12, 13, 64, 128};
    static const size_t layers[][2] = {{784, 128}, {128, 128}, {128, 10}, {200, 64},
                                       {201, 65},  {400, 1},   {599, 79}, {61, 331}};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
            check_shape(batches[b], layers[l][0], layers[l][1]);
        }
    }
}

static void test_extreme_values(void **state) {
    (void)state;
    static const uint64_t extremes[] = {0,
                                        1,
                                        UINT64_MAX,
                                        (uint64_t)1 << 63,
                                        UINT32_MAX,
                                        (uint64_t)1 << 32,
                                        ((uint64_t)1 << 52) - 1,
                                        (uint64_t)1 << 52};
    enum { COUNT = sizeof extremes / sizeof *extremes };
    for (size_t a = 0; a < COUNT; a++) {
        for (size_t b = 0; b < COUNT; b++) {
            uint64_t d[12 * 3], w[3 * 16];
            for (size_t i = 0; i < 36; i++) {
                d[i] = extremes[a];
            }
            for (size_t i = 0; i < 48; i++) {
                w[i] = extremes[b];
            }
            for (size_t x = 0; x < N_PATHS; x++) {
                uint64_t y[12 * 16] = {0};
                if (csl__gemm_has(paths[x].kind)) {
                    paths[x].fn(y, d, w, 12, 3, 16);
                    for (size_t i = 0; i < 192; i++) {
                        assert_int_equal(
                            (y[i] ^ 3 * extremes[a] * extremes[b]) & csl_ring_mask(paths[x].bits), 0);
                    }
                }
            }
        }
    }
}

static void test_public_functions(void **state) {
    (void)state;
    enum { M = 14, K = 70, N = 19 };
    struct values y0 = values_new(M * N), d = values_new(M * K), w = values_new(K * N);
    struct values want = values_copy(&y0), y = values_copy(&y0);
    csl__gemm_portable(want.at, d.at, w.at, M, K, N);
    csl_gemm_acc(y.at, d.at, w.at, M, K, N);
    assert_memory_equal(y.at, want.at, y.n * sizeof *y.at);
    for (unsigned bits = 1; bits <= 64; bits++) {
        memcpy(y.at, y0.at, y.n * sizeof *y.at);
        csl_gemm_acc_mod(y.at, d.at, w.at, M, K, N, bits);
        for (size_t i = 0; i < y.n; i++) {
            assert_int_equal(y.at[i], want.at[i] & csl_ring_mask(bits));
        }
    }
    memset(want.at, 0, want.n * sizeof *want.at);
    csl__gemm_portable(want.at, d.at, w.at, M, K, N);
    csl_gemm(y.at, d.at, w.at, M, K, N);
    assert_memory_equal(y.at, want.at, y.n * sizeof *y.at);
    csl_gemm(y.at, d.at, w.at, M, 0, N); /* an empty sum is zero */
    for (size_t i = 0; i < y.n; i++) {
        assert_int_equal(y.at[i], 0);
    }
    csl_gemm(NULL, NULL, NULL, 0, 0, 0);
    csl_gemm_acc_mod(NULL, NULL, NULL, 0, 5, 0, 43);
    values_free(&y0), values_free(&d), values_free(&w), values_free(&want), values_free(&y);
    assert_non_null(csl_gemm_path());
}

int main(void) {
    for (size_t x = 0; x < N_PATHS; x++) {
        print_message("path %s: %s\n", paths[x].name,
                      csl__gemm_has(paths[x].kind) ? "tested" : "not on this CPU");
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_gmp),      cmocka_unit_test(test_all_small_shapes),
        cmocka_unit_test(test_network_shapes),   cmocka_unit_test(test_extreme_values),
        cmocka_unit_test(test_public_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
