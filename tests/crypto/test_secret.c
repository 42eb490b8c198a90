/* Wiping. The program is linked with --wrap=free, so that each block is looked at just before it is freed. */
#include "tests/crypto/crypto_test.h"

#include "crypto/rand.h"

void __real_free(void *p);
void __wrap_free(void *p);

static const uint8_t *watched; /* within the block that the next free should give back */
static size_t n_watched;
static int seen_wiped, seen_dirty;

void __wrap_free(void *p) {
    const uint8_t *base = p;
    if (watched != NULL && base != NULL && watched - base == 64) {
        int dirty = 0;
        for (size_t i = 0; i < 64 + n_watched; i++) {
            dirty |= base[i];
        }
        seen_dirty += dirty != 0;
        seen_wiped += dirty == 0;
        watched = NULL;
    }
    __real_free(p);
}

static void wipe_zeroes_exactly_its_range(void **state) {
    (void)state;
    for (size_t n = 0; n <= 70; n++) {
        uint8_t b[80], want[80];
        memset(b, 0xa5, sizeof b);
        memset(want, 0xa5, sizeof want);
        memset(want + 5, 0, n);
        csl_wipe(b + 5, n);
        assert_memory_equal(b, want, sizeof b);
    }
    csl_wipe(NULL, 0);
}

static void alloc_is_zeroed_and_aligned(void **state) {
    (void)state;
    const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = csl_secret_alloc(sizes[i], 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_zero(p, sizes[i]);
        memset(p, 0xff, sizes[i]);
        csl_secret_free(p);
    }
}

static void alloc_refuses_overflow(void **state) {
    (void)state;
    assert_null(csl_secret_alloc(SIZE_MAX, 1));
    assert_null(csl_secret_alloc(SIZE_MAX, 2));
    assert_null(csl_secret_alloc((size_t)1 << 33, (size_t)1 << 33));
    assert_null(csl_secret_alloc(SIZE_MAX - 127, 1));
    assert_null(csl_secret_alloc(1, SIZE_MAX - 64));
}

static void free_wipes_the_whole_allocation(void **state) {
    (void)state;
    const size_t sizes[] = {1, 32, 64, 65, 5000};
    seen_wiped = seen_dirty = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *p = csl_secret_alloc(sizes[i], 1);
        assert_non_null(p);
        memset(p, 0xff, sizes[i]);
        watched = p;
        n_watched = sizes[i];
        csl_secret_free(p);
        assert_int_equal(seen_wiped, i + 1);
        assert_int_equal(seen_dirty, 0);
    }
    csl_secret_free(NULL);
}

/* Large blocks are kept when they are freed: what is given out again is zero, whatever its size was. */
static void large_blocks_come_back_wiped(void **state) {
    (void)state;
    const size_t sizes[] = {65536, 70000, 100003, 99000, 101000, 1 << 20, (1 << 20) + 1, 65536 - 128, 65536};
    enum { N = sizeof sizes / sizeof *sizes };
    uint8_t *p[N];
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < N; i++) {
            p[i] = csl_secret_alloc(sizes[(i + (size_t)turn) % N], 1);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % 64, 0);
            assert_zero(p[i], sizes[(i + (size_t)turn) % N]);
            memset(p[i], 0xff, sizes[(i + (size_t)turn) % N]);
        }
        for (size_t i = 0; i < N; i++) {
            csl_secret_free(p[i]);
        }
    }
}

/* More than is kept: the oldest go back to the system, wiped. */
static void the_oldest_blocks_go(void **state) {
    (void)state;
    enum { N = 300, SIZE = 1 << 20 };
    uint8_t *p[N];
    for (size_t i = 0; i < N; i++) {
        p[i] = csl_secret_alloc(SIZE, 1);
        assert_non_null(p[i]);
        p[i][0] = p[i][SIZE - 1] = 0xff;
    }
    seen_wiped = seen_dirty = 0;
    watched = p[0];
    n_watched = SIZE;
    for (size_t i = 0; i < N; i++) {
        csl_secret_free(p[i]);
    }
    watched = NULL;
    assert_int_equal(seen_wiped, 1);
    assert_int_equal(seen_dirty, 0);
}

static int n_set_bits(const uint8_t *p, size_t n) {
    int bits = 0;
    for (size_t i = 0; i < n; i++) {
        bits += __builtin_popcount(p[i]);
    }
    return bits;
}

/* 80000 fair bits: 12 standard deviations are 1700 bits. */
static void random_bytes_are_written_and_balanced(void **state) {
    (void)state;
    static uint8_t a[10001], b[10001];
    a[10000] = b[10000] = 0x5a;
    assert_ok(csl_rand(a, 10000));
    assert_ok(csl_rand_secret(b, 10000));
    CSL_PUBLIC(b, 10000);
    assert_in_range(n_set_bits(a, 10000), 40000 - 1700, 40000 + 1700);
    assert_in_range(n_set_bits(b, 10000), 40000 - 1700, 40000 + 1700);
    assert_memory_not_equal(a, b, 10000);
    assert_int_equal(a[10000], 0x5a);
    assert_int_equal(b[10000], 0x5a);
    assert_ok(csl_rand(NULL, 0));
}

/* More than one draw of the generator: every 4 KiB of it is filled. */
static void random_bytes_fill_more_than_one_chunk(void **state) {
    (void)state;
    const size_t n = ((size_t)1 << 24) + 4096;
    uint8_t *p = csl_secret_alloc(n, 1);
    assert_non_null(p);
    assert_ok(csl_rand(p, n));
    for (size_t i = 0; i < n; i += 4096) {
        assert_in_range(n_set_bits(p + i, 4096), 16384 - 1100, 16384 + 1100);
    }
    csl_secret_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wipe_zeroes_exactly_its_range),
        cmocka_unit_test(alloc_is_zeroed_and_aligned),
        cmocka_unit_test(alloc_refuses_overflow),
        cmocka_unit_test(free_wipes_the_whole_allocation),
        cmocka_unit_test(large_blocks_come_back_wiped),
        cmocka_unit_test(the_oldest_blocks_go),
        cmocka_unit_test(random_bytes_are_written_and_balanced),
        cmocka_unit_test(random_bytes_fill_more_than_one_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
