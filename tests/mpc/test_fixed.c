/* Fixed point at the edges of its range, and its rounding against exact rationals. */
#include "mpc/fixed.h"

#include "mpc/ring.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <gmp.h>

static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t next_random(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1d;
}

static void expect(double x, unsigned frac_bits, unsigned bits, enum csl_err err, uint64_t want) {
    uint64_t v = 99;
    assert_int_equal(csl_fixed_encode(&v, x, frac_bits, bits), err);
    assert_true(v == want);
}

static void test_edges(void **state) {
    (void)state;
    for (unsigned bits = 1; bits <= 64; bits++) {
        double limit = ldexp(1.0, (int)bits - 1);
        expect(limit, 0, bits, CSL_EDATA, 0);
        expect(-limit, 0, bits, CSL_OK, (uint64_t)1 << (bits - 1));
        expect(-limit * (1 + 1e-15) - 0.500001, 0, bits, CSL_EDATA, 0);
        if (bits <= 36) { /* the sums below are exact enough */
            expect(limit - 1, 0, bits, CSL_OK, csl_ring_mask(bits) >> 1);
            expect(limit - 0.5, 0, bits, bits == 1 ? CSL_OK : CSL_EDATA,
                   0); /* a tie goes to the even neighbour */
            expect(limit - 0.50001, 0, bits, CSL_OK, csl_ring_mask(bits) >> 1);
            expect(-limit - 0.49999, 0, bits, CSL_OK, (uint64_t)1 << (bits - 1));
        }
    }
    expect(nextafter(0x1p63, 0), 0, 64, CSL_OK, 0x7ffffffffffffc00);
}

static void test_rounding(void **state) {
    (void)state;
    expect(0.5, 0, 8, CSL_OK, 0);
    expect(1.5, 0, 8, CSL_OK, 2);
    expect(2.5, 0, 8, CSL_OK, 2);
    expect(-0.5, 0, 8, CSL_OK, 0);
    expect(-1.5, 0, 8, CSL_OK, 254);
    expect(-1.0 / 3, 8, 16, CSL_OK, 65536 - 85);
    expect(0x1p-1074, 63, 64, CSL_OK, 0);
    expect(-0.0, 16, 43, CSL_OK, 0);
    expect(1.0, 16, 43, CSL_OK, 65536);
    expect(-1.0, 16, 43, CSL_OK, ((uint64_t)1 << 43) - 65536);
}

/* |2^f x - v| <= 1/2 over the rationals. */
static void check_nearest(double x, unsigned frac_bits, unsigned bits) {
    uint64_t v;
    assert_int_equal(csl_fixed_encode(&v, x, frac_bits, bits), CSL_OK);
    mpq_t exact, rounded, half;
    mpq_inits(exact, rounded, half, NULL);
    mpq_set_d(exact, x);
    mpq_mul_2exp(exact, exact, frac_bits);
    int64_t value = csl_ring_signed(v, bits);
    mpq_set_si(rounded, value, 1);
    mpq_sub(exact, exact, rounded);
    mpq_abs(exact, exact);
    mpq_set_ui(half, 1, 2);
    assert_true(mpq_cmp(exact, half) <= 0);
    mpq_clears(exact, rounded, half, NULL);
    double back = csl_fixed_decode(v, frac_bits, bits);
    assert_true(fabs(back - x) <= ldexp(0.5, -(int)frac_bits));
}

static void test_nearest(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        double x = ldexp((double)(int64_t)next_random(), -63); /* -1..1 */
        check_nearest(x, (unsigned)(next_random() % 41), 43);
        check_nearest(x * 63, 16, 24);
    }
}

static void test_refused(void **state) {
    (void)state;
    expect(NAN, 16, 43, CSL_EDATA, 0);
    expect(INFINITY, 16, 43, CSL_EDATA, 0);
    expect(-INFINITY, 0, 64, CSL_EDATA, 0);
    expect(1e308, 63, 64, CSL_EDATA, 0); /* infinite once scaled */
    expect(0.0, 64, 64, CSL_EUSAGE, 0);
    expect(0.0, 16, 0, CSL_EUSAGE, 0);
    expect(0.0, 16, 65, CSL_EUSAGE, 0);
}

static void test_arrays(void **state) {
    (void)state;
    const float in[] = {0.5f, -0.25f, 100.0f};
    const double in64[] = {0.5, NAN, 1.0};
    uint64_t out[3];
    double back[3];
    struct csl_diag diag;
    assert_int_equal(csl_fixed_encode_f32(out, in, 3, 8, 20, &diag), CSL_OK);
    csl_fixed_decode_f64(back, out, 3, 8, 20);
    for (int i = 0; i < 3; i++) {
        assert_true(back[i] == (double)in[i]);
    }
    assert_int_equal(csl_fixed_encode_f32(out, in, 3, 8, 15, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "value 2 is 100"));
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0);
    assert_int_equal(csl_fixed_encode_f64(out, in64, 3, 8, 15, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "value 1 is nan"));
    assert_int_equal(csl_fixed_encode_f64(out, in64, 3, 64, 15, &diag), CSL_EUSAGE);
    assert_int_equal(csl_fixed_encode_f64(NULL, NULL, 0, 8, 15, NULL), CSL_OK);
}

static void test_decode(void **state) {
    (void)state;
    assert_true(csl_fixed_decode(((uint64_t)1 << 43) - 1, 0, 43) == -1.0);
    assert_true(csl_fixed_decode(((uint64_t)0xabc << 43) + 1, 1, 43) == 0.5); /* what is above is ignored */
    assert_true(csl_fixed_decode((uint64_t)1 << 63, 63, 64) == -1.0);
    assert_true(csl_fixed_decode(1, 63, 64) == 0x1p-63);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),   cmocka_unit_test(test_rounding), cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_arrays),   cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
