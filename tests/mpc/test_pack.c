/* Bit packing against a bit-by-bit reference, and the ring helpers. */
#include "mpc/pack.h"

#include "crypto/secret.h"
#include "mpc/gemm_internal.h"
#include "mpc/pack_internal.h"
#include "mpc/ring.h"
#include "mpc/ring_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t next_random(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1d;
}

static void pack_by_bits(uint8_t *out, const uint64_t *in, size_t n, unsigned bits) {
    for (size_t i = 0; i < n; i++) {
        for (unsigned j = 0; j < bits; j++) {
            size_t at = i * bits + j;
            out[at / 8] = (uint8_t)(out[at / 8] | (in[i] >> j & 1) << at % 8);
        }
    }
}

/* Exact allocations, so that a sanitizer sees every step outside. */
static void check(size_t n, unsigned bits) {
    size_t n_bytes;
    assert_int_equal(csl_pack_size(&n_bytes, n, bits), CSL_OK);
    assert_int_equal(n_bytes, (n * bits + 7) / 8);
    uint64_t *in = malloc(n * 8 + 1), *back = malloc(n * 8 + 1);
    uint8_t *want = calloc(n_bytes + 1, 1), *got = malloc(n_bytes + 1),
            *exact = malloc(n_bytes > 0 ? n_bytes : 1);
    for (size_t i = 0; i < n; i++) {
        in[i] = next_random();
    }
    pack_by_bits(want, in, n, bits);
    memset(got, 0xff, n_bytes + 1);
    CSL_SECRET(in, n * 8);
    csl_pack_bits(got, in, n, bits);
    CSL_PUBLIC(in, n * 8);
    CSL_PUBLIC(got, n_bytes);
    assert_memory_equal(got, want, n_bytes);
    assert_int_equal(got[n_bytes], 0xff);
    memcpy(exact, got, n_bytes);
    CSL_SECRET(exact, n_bytes);
    csl_unpack_bits(back, exact, n, bits);
    CSL_PUBLIC(exact, n_bytes);
    CSL_PUBLIC(back, n * 8);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(back[i], in[i] & csl_ring_mask(bits));
    }
    memset(back, 0x5a, n * 8);
    assert_int_equal(csl_unpack_bits_strict(back, exact, n_bytes, n, bits, NULL), CSL_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(back[i], in[i] & csl_ring_mask(bits));
    }
    free(in), free(back), free(want), free(got), free(exact);
}

/* Memory that ends where a page ends, before one that may not be touched: vector instructions escape the
 * sanitizers. */
struct fence {
    uint8_t *base;
    size_t room;
};

static struct fence fence_new(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 4 * page;
    uint8_t *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + room, page, PROT_NONE), 0);
    return (struct fence){p, room};
}

static void *fence_end(const struct fence *f, size_t n) {
    assert_true(n <= f->room);
    return f->base + f->room - n;
}

static void fence_free(const struct fence *f) {
    assert_int_equal(munmap(f->base, f->room + (size_t)sysconf(_SC_PAGESIZE)), 0);
}

static void check_path(const struct csl__pack_path *path, const struct fence *wide,
                       const struct fence *packed, size_t n, unsigned bits) {
    size_t n_bytes = (n * bits + 7) / 8;
    uint64_t *in = fence_end(wide, n * 8), values[160];
    uint8_t *out = fence_end(packed, n_bytes), want[160 * 8] = {0};
    for (size_t i = 0; i < n; i++) {
        in[i] = values[i] = next_random();
    }
    pack_by_bits(want, values, n, bits);
    out[-1] = 0x5a;
    path->pack(out, in, n, bits);
    assert_int_equal(out[-1], 0x5a);
    if (memcmp(out, want, n_bytes) != 0) {
        fail_msg("%s packs %zu values of %u bits wrongly", path->name, n, bits);
    }
    in[-1] = 7;
    path->unpack(in, out, n, bits);
    assert_int_equal(in[-1], 7);
    for (size_t i = 0; i < n; i++) {
        if (in[i] != (values[i] & csl_ring_mask(bits))) {
            fail_msg("%s unpacks value %zu of %zu, %u bits, wrongly", path->name, i, n, bits);
        }
    }
}

static void test_all_paths(void **state) {
    (void)state;
    struct fence wide = fence_new(), packed = fence_new();
    for (unsigned p = 0; p < CSL__PACK_PATHS; p++) {
        const struct csl__pack_path *path = &csl__pack_paths[p];
        print_message("path %s: %s\n", path->name, path->available() ? "tested" : "not on this CPU");
        for (unsigned bits = 1; bits <= 64 && path->available(); bits++) {
            for (size_t n = 1; n <= 90; n++) {
                check_path(path, &wide, &packed, n, bits);
            }
            check_path(path, &wide, &packed, 128, bits);
            check_path(path, &wide, &packed, 159, bits);
        }
    }
    fence_free(&wide), fence_free(&packed);
}

static void test_round_trip(void **state) {
    (void)state;
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (size_t n = 0; n <= 40; n++) {
            check(n, bits);
        }
        check(784, bits);
        check(1001, bits);
    }
}

static void test_unaligned(void **state) {
    (void)state;
    uint64_t in[9], back[9];
    uint8_t bytes[72 + 8];
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (size_t offset = 0; offset < 8; offset++) {
            for (size_t i = 0; i < 9; i++) {
                in[i] = next_random() & csl_ring_mask(bits);
            }
            csl_pack_bits(bytes + offset, in, 9, bits);
            csl_unpack_bits(back, bytes + offset, 9, bits);
            assert_memory_equal(in, back, sizeof in);
        }
    }
}

static void test_known_bytes(void **state) {
    (void)state;
    const uint64_t in[] = {0x123, 0xffffffffffff456, 0x789};
    const uint8_t want[] = {0x23, 0x61, 0x45, 0x89, 0x07};
    uint8_t got[5];
    csl_pack_bits(got, in, 3, 12);
    assert_memory_equal(got, want, sizeof want);
}

static void test_strict(void **state) {
    (void)state;
    struct csl_diag diag;
    for (unsigned bits = 1; bits <= 64; bits++) {
        for (size_t n = 0; n <= 9; n++) {
            size_t n_bytes;
            assert_int_equal(csl_pack_size(&n_bytes, n, bits), CSL_OK);
            uint8_t bytes[72 + 1] = {0};
            uint64_t out[9];
            memset(out, 0x77, sizeof out);
            assert_int_equal(csl_unpack_bits_strict(out, bytes, n_bytes + 1, n, bits, &diag), CSL_EPROTO);
            if (n_bytes > 0) {
                assert_int_equal(csl_unpack_bits_strict(out, bytes, n_bytes - 1, n, bits, &diag), CSL_EPROTO);
            }
            for (size_t at = n * bits; at < n_bytes * 8; at++) {
                bytes[at / 8] = (uint8_t)(1u << at % 8);
                assert_int_equal(csl_unpack_bits_strict(out, bytes, n_bytes, n, bits, &diag), CSL_EPROTO);
                assert_non_null(strstr(diag.text, "padding"));
                bytes[at / 8] = 0;
            }
            for (size_t i = 0; i < 9; i++) { /* untouched by refused input */
                assert_int_equal(out[i], 0x7777777777777777);
            }
        }
    }
    uint64_t out[1];
    assert_int_equal(csl_unpack_bits_strict(out, NULL, 0, SIZE_MAX, 64, &diag), CSL_EPROTO);
    assert_int_equal(csl_unpack_bits_strict(out, NULL, 0, 1, 65, &diag), CSL_EPROTO);
}

static void test_size(void **state) {
    (void)state;
    size_t n_bytes = 1;
    assert_int_equal(csl_pack_size(&n_bytes, 1, 0), CSL_EDATA);
    assert_int_equal(n_bytes, 0);
    assert_int_equal(csl_pack_size(&n_bytes, 1, 65), CSL_EDATA);
    assert_int_equal(csl_pack_size(&n_bytes, SIZE_MAX, 1), CSL_EDATA);
    assert_int_equal(csl_pack_size(&n_bytes, SIZE_MAX / 8 + 1, 1), CSL_EDATA);
    assert_int_equal(csl_pack_size(&n_bytes, SIZE_MAX / 8, 64), CSL_OK);
    assert_int_equal(n_bytes, SIZE_MAX / 8 * 8);
    assert_int_equal(csl_pack_size(&n_bytes, 784, 43), CSL_OK);
    assert_int_equal(n_bytes, 4214);
}

static void test_ring(void **state) {
    (void)state;
    enum { N = 23 };
    uint64_t a[N], b[N], sum[N], back[N], negative[N], row[2 * N];
    for (unsigned bits = 1; bits <= 64; bits++) {
        uint64_t mask = csl_ring_mask(bits);
        for (size_t i = 0; i < N; i++) {
            a[i] = next_random();
            b[i] = i == 0 ? UINT64_MAX : next_random();
        }
        CSL_SECRET(a, sizeof a);
        CSL_SECRET(b, sizeof b);
        csl_add_mod(sum, a, b, N, bits);
        csl_sub_mod(back, sum, b, N, bits);
        csl_neg_mod(negative, a, N, bits);
        csl_add_mod(negative, negative, a, N, bits); /* in place */
        CSL_PUBLIC(a, sizeof a);
        CSL_PUBLIC(b, sizeof b);
        CSL_PUBLIC(sum, sizeof sum);
        CSL_PUBLIC(back, sizeof back);
        CSL_PUBLIC(negative, sizeof negative);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(sum[i], (a[i] + b[i]) & mask);
            assert_int_equal(back[i], a[i] & mask);
            assert_int_equal(negative[i], 0);
            row[i] = a[i];
            row[N + i] = b[i];
        }
        csl_add_row_mod(row, row, b, 2, N, bits);
        assert_memory_equal(row, sum, sizeof sum);
        csl_reduce_mod(a, a, N, bits);
        assert_memory_equal(a, back, sizeof a);
    }
    assert_int_equal(csl_ring_signed(7, 3), -1);
    assert_int_equal(csl_ring_signed(4, 3), -4);
    assert_int_equal(csl_ring_signed(0xfb, 3), 3);
    assert_int_equal(csl_ring_signed(1, 1), -1);
    assert_true(csl_ring_signed((uint64_t)1 << 63, 64) == INT64_MIN);
    csl_add_mod(NULL, NULL, NULL, 0, 64);
}

/* Every path of the ring's loops, at lengths around those of a vector, in place and not. */
static void test_ring_paths(void **state) {
    (void)state;
    enum { N = 70 };
    const struct {
        const struct csl__ring_kernels *kernels;
        enum csl__gemm_kind needs;
    } all[] = {{&csl__ring_portable, CSL__GEMM_PORTABLE},
               {&csl__ring_avx2, CSL__GEMM_AVX2},
               {&csl__ring_avx512, CSL__GEMM_AVX512}};
    uint64_t a[N], b[N], out[3][N];
    for (size_t p = 0; p < 3; p++) {
        for (size_t n = 0; n <= N && csl__gemm_has(all[p].needs); n++) {
            const struct csl__ring_kernels *k = all[p].kernels;
            uint64_t mask = csl_ring_mask((unsigned)(n % 64) + 1);
            for (size_t i = 0; i < N; i++) {
                a[i] = next_random(), b[i] = next_random();
                out[0][i] = out[1][i] = 7;
                out[2][i] = a[i];
            }
            k->add(out[0], a, b, n, mask);
            k->sub(out[1], a, b, n, mask);
            k->reduce(out[2], out[2], n, mask);
            for (size_t i = 0; i < N; i++) {
                assert_true(out[0][i] == (i < n ? (a[i] + b[i]) & mask : 7));
                assert_true(out[1][i] == (i < n ? (a[i] - b[i]) & mask : 7));
                assert_true(out[2][i] == (i < n ? a[i] & mask : a[i]));
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_all_paths),
        cmocka_unit_test(test_unaligned),  cmocka_unit_test(test_known_bytes),
        cmocka_unit_test(test_strict),     cmocka_unit_test(test_size),
        cmocka_unit_test(test_ring),       cmocka_unit_test(test_ring_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
