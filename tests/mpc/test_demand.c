/* Demands of every kind at their limits, and which of their fields are the parties' own. */
#include "parties.h"

#include <string.h>

static void check(struct csl_demand d, enum csl_err want) {
    struct csl_diag diag = {""};
    assert_int_equal(csl_demand_check(&d, &diag), want);
    assert_true((diag.text[0] != '\0') == (want != CSL_OK));
    assert_int_equal(csl_correction_bytes(&d, 1) != 0, want == CSL_OK);
    assert_int_equal(csl_corr_bytes(&d, 1, 1) != 0, want == CSL_OK);
    struct csl_corr *c = NULL;
    if (want != CSL_OK) {
        assert_int_equal(csl_corr_new(&c, &d, 1, 2, 0, 1, &diag), want);
        assert_null(c);
        assert_non_null(strstr(diag.text, "demand 0"));
    }
}

static void demands_at_their_limits(void **state) {
    (void)state;
    check(csl_demand_linear(1, 1, 1), CSL_OK);
    check(csl_demand_linear(784, 128, 64), CSL_OK);
    check(csl_demand_linear(0, 1, 8), CSL_EDATA);
    check(csl_demand_linear(1, 0, 8), CSL_EDATA);
    check(csl_demand_linear(CSL_MAX_DIM + 1, 1, 8), CSL_EDATA);
    check(csl_demand_linear(1, UINT32_MAX, 8), CSL_EDATA);
    check(csl_demand_linear(1, 1, 0), CSL_EDATA);
    check(csl_demand_linear(1, 1, 65), CSL_EDATA);
    check(csl_demand_linear(1, 1, 1u << 31), CSL_EDATA);
    check(csl_demand_relu(1, 2, 1, 2), CSL_OK);
    check(csl_demand_relu(1, 37, 25, 64), CSL_OK);
    check(csl_demand_relu(0, 24, 16, 64), CSL_EDATA);
    check(csl_demand_relu(1, 1, 16, 64), CSL_EDATA);
    check(csl_demand_relu(1, 24, 0, 64), CSL_EDATA);
    check(csl_demand_relu(1, 37, 26, 64), CSL_EDATA);
    check(csl_demand_relu(1, 38, 16, 64), CSL_EDATA); /* seven digits */
    check(csl_demand_relu(1, 24, 16, 23), CSL_EDATA);
    check(csl_demand_relu(1, 24, 16, 65), CSL_EDATA);
    check(csl_demand_relu(1, 1000, 1000, 1000), CSL_EDATA);
    check(csl_demand_trunc(1, 61, 1, 61), CSL_OK);
    check(csl_demand_trunc(1, 2, 60, 2), CSL_OK);
    check(csl_demand_trunc(1, 2, 61, 2), CSL_EDATA);
    check(csl_demand_max(1, 2, 1), CSL_OK);
    check(csl_demand_max(1, 37, 25), CSL_OK);
    check(csl_demand_max(0, 24, 16), CSL_EDATA);
    check(csl_demand_max(CSL_MAX_DIM + 1, 24, 16), CSL_EDATA);
    check(csl_demand_max(1, 38, 16), CSL_EDATA);
    check(csl_demand_max(1, 24, 0), CSL_EDATA);
    check(csl_demand_max(1, 37, 26), CSL_EDATA);
    check(csl_demand_max(1, UINT32_MAX, UINT32_MAX), CSL_EDATA);
    check(csl_demand_argmax(1, 24, 16, 1), CSL_OK);
    check(csl_demand_argmax(1, 2, 1, 16), CSL_OK);
    check(csl_demand_argmax(1, 24, 16, 0), CSL_EDATA);
    check(csl_demand_argmax(1, 24, 16, 17), CSL_EDATA);
    check(csl_demand_argmax(1, 24, 16, UINT32_MAX), CSL_EDATA);
    check(csl_demand_argmax(0, 24, 16, 4), CSL_EDATA);
    struct csl_demand d = csl_demand_max(1, 24, 16);
    d.trunc.out_bits++;
    check(d, CSL_EDATA);
    d = csl_demand_argmax(1, 24, 16, 4);
    d.trunc.out_bits--;
    check(d, CSL_EDATA);
    d = csl_demand_linear(4, 4, 20);
    d.conv.groups = 3;
    check(d, CSL_EDATA);
    d.conv.groups = 2;
    check(d, CSL_OK);
    d = csl_demand_relu(1, 24, 16, 64);
    d.trunc.digit_bits[0]++;
    check(d, CSL_EDATA);
    d = csl_demand_relu(1, 24, 16, 64);
    d.trunc.digit_bits[0] = 0;
    check(d, CSL_EDATA);
    d.trunc.digit_bits[0] = 7;
    d.trunc.digit_bits[3] = 4;
    check(d, CSL_EDATA);
    d = csl_demand_relu(1, 24, 16, 64);
    d.trunc.n_digits = 7;
    check(d, CSL_EDATA);
    d = csl_demand_trunc(1, 24, 16, 64);
    d.trunc.n_digits = 1;
    check(d, CSL_EDATA);
    d.kind = (enum csl_demand_kind)9;
    check(d, CSL_EDATA);
}

static void wan_demands_at_their_limits(void **state) {
    (void)state;
    for (unsigned k = 2; k <= 37; k++) {
        struct csl_demand d = csl_demand_wan(csl_demand_relu(1, k, 25, 64));
        unsigned sum = 0;
        for (unsigned j = 0; j < d.trunc.n_digits; j++) {
            sum += d.trunc.digit_bits[j];
            assert_true(j == 0 || d.trunc.digit_bits[j] <= d.trunc.digit_bits[j - 1]);
        }
        assert_int_equal(sum, k - 1);
        assert_int_equal(d.form, CSL_FORM_WAN);
        check(d, CSL_OK);
        check(csl_demand_wan(csl_demand_max(1, k, 25)), CSL_OK);
        check(csl_demand_wan(csl_demand_argmax(1, k, 25, 16)), CSL_OK);
    }
    check(csl_demand_wan(csl_demand_relu(1, 38, 16, 64)), CSL_EDATA);
    check(csl_demand_wan(csl_demand_relu(1, 1, 16, 64)), CSL_EDATA);
    check(csl_demand_wan(csl_demand_relu(1, 0, 16, 64)), CSL_EDATA);
    check(csl_demand_wan(csl_demand_relu(1, 255, 16, 64)), CSL_EDATA);
    struct csl_demand d = csl_demand_wan(csl_demand_relu(1, 24, 16, 64));
    d.form = CSL_FORM_WAN + 1;
    check(d, CSL_EDATA);
    d.form = CSL_FORM_LAN; /* digits of 8 bits */
    check(d, CSL_EDATA);
    d = csl_demand_relu(1, 28, 16, 64);
    d.form = CSL_FORM_WAN; /* five digits */
    check(d, CSL_EDATA);
    d = csl_demand_wan(csl_demand_relu(1, 11, 16, 64));
    d.trunc.n_digits = 1;
    d.trunc.digit_bits[0] = 10;
    check(d, CSL_EDATA);
    d = csl_demand_wan(csl_demand_trunc(1, 24, 16, 64));
    assert_int_equal(d.form, CSL_FORM_LAN);
    d.form = CSL_FORM_WAN;
    check(d, CSL_EDATA);
    d = csl_demand_wan(csl_demand_linear(1, 1, 1));
    assert_int_equal(d.form, CSL_FORM_LAN);
    d.form = CSL_FORM_WAN;
    check(d, CSL_EDATA);
    check(csl_demand_wan(csl_demand_relu(CSL_MAX_DIM, 37, 25, 64)), CSL_OK);
}

/* A dealer's list of demands, and what of it must be refused. */
static void demands_as_bytes(void **state) {
    (void)state;
    const struct csl_demand d[4] = {csl_demand_linear(7, 3, 20), csl_demand_relu(5, 24, 16, 40),
                                    csl_demand_wan(csl_demand_relu(5, 24, 16, 40)),
                                    csl_demand_wan(csl_demand_argmax(5, 24, 16, 4))};
    uint8_t bytes[4 * CSL_DEMAND_BYTES], digest[3][32];
    struct csl_demand back[4];
    struct csl_diag diag;
    csl_demands_encode(bytes, d, 4);
    assert_int_equal(csl_demands_decode(back, bytes, 4, &diag), CSL_OK);
    for (size_t i = 0; i < 4; i++) {
        uint8_t again[CSL_DEMAND_BYTES];
        csl_demands_encode(again, &back[i], 1);
        assert_memory_equal(again, bytes + i * CSL_DEMAND_BYTES, CSL_DEMAND_BYTES);
        assert_int_equal(back[i].form, d[i].form);
        assert_int_equal(csl_correction_bytes(&back[i], 1), csl_correction_bytes(&d[i], 1));
    }
    assert_int_equal(csl_demands_digest(digest[0], d, 4), CSL_OK);
    assert_int_equal(csl_demands_digest(digest[1], back, 4), CSL_OK);
    back[3] = csl_demand_argmax(5, 24, 16, 4);
    assert_int_equal(csl_demands_digest(digest[2], back, 4), CSL_OK);
    assert_memory_equal(digest[0], digest[1], 32);
    assert_memory_not_equal(digest[0], digest[2], 32);
    bytes[3 * CSL_DEMAND_BYTES + 6] = CSL_FORM_WAN + 1;
    assert_int_equal(csl_demands_decode(back, bytes, 4, &diag), CSL_EDATA);
    assert_non_null(strstr(diag.text, "demand 3"));
}

static void default_digits_cover_k(void **state) {
    (void)state;
    for (unsigned k = 2; k <= 37; k++) {
        struct csl_trunc_params t = csl_trunc_params_default(k, 1, k);
        unsigned sum = 0;
        for (unsigned j = 0; j < t.n_digits; j++) {
            sum += t.digit_bits[j];
            assert_true(j == 0 || t.digit_bits[j] <= t.digit_bits[j - 1]);
        }
        assert_int_equal(sum, k - 1);
        assert_int_equal(t.n_digits, (k - 1 + 5) / 6);
    }
    assert_int_equal(csl_trunc_params_default(2, 1, 2).digit_bits[0], 1);
    assert_int_equal(csl_trunc_params_default(1, 1, 2).n_digits, 0);
}

static void shapes_that_overflow(void **state) {
    (void)state;
    struct csl_demand d[2] = {csl_demand_linear(CSL_MAX_DIM, CSL_MAX_DIM, 64),
                              csl_demand_relu(CSL_MAX_DIM, 37, 25, 64)};
    struct csl_corr *c = NULL;
    struct csl_diag diag;
    assert_int_equal(csl_corr_new(&c, d, 2, 2, 0, 0, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, 2, 2, 0, SIZE_MAX, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, 0, 2, 0, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, SIZE_MAX, 2, 0, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, 1, 1, 0, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, 1, 17, 0, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_new(&c, d, 1, 2, 2, 1, &diag), CSL_EDATA);
    assert_int_equal(csl_corr_bytes(d, 2, CSL_MAX_BATCH + 1), 0);
    assert_int_equal(csl_corr_bytes(d, 2, 0), 0);
    assert_null(c);
    csl_corr_free(NULL);
}

/* Every opening of every kind is padded by a field that is the parties' own. */
static void masks_of_openings_are_own(void **state) {
    (void)state;
    const struct csl_demand d[] = {csl_demand_linear(3, 2, 20),
                                   csl_demand_relu(3, 14, 9, 30),
                                   csl_demand_trunc(3, 14, 9, 30),
                                   csl_demand_max(3, 14, 9),
                                   csl_demand_argmax(3, 14, 9, 4),
                                   csl_demand_wan(csl_demand_relu(3, 14, 9, 30)),
                                   csl_demand_wan(csl_demand_max(3, 14, 9)),
                                   csl_demand_wan(csl_demand_argmax(3, 14, 9, 4))};
    const uint32_t own[] = {1u << CSL_LINEAR_A, 7, 1u << CSL_TRUNC_R, 7, 7 | 1u << CSL_MAX_P, 3, 3, 7};
    for (size_t i = 0; i < 8; i++) {
        struct csl_field f[CSL_MAX_FIELDS];
        size_t n = csl_demand_fields(f, &d[i]);
        uint32_t found = 0;
        for (size_t j = 0; j < n; j++) {
            found |= !f[j].dealt && f[j].row_words != 0 ? 1u << j : 0;
        }
        assert_int_equal(found, own[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demands_at_their_limits), cmocka_unit_test(wan_demands_at_their_limits),
        cmocka_unit_test(demands_as_bytes),        cmocka_unit_test(default_digits_cover_k),
        cmocka_unit_test(shapes_that_overflow),    cmocka_unit_test(masks_of_openings_are_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
