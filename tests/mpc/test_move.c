/* Rows that move from a chunk into a batch's correlation: the same ones, once. */
#include "checking.h"

#include "crypto/secret.h"

#include <stdlib.h>
#include <string.h>

static void check_rows(const struct csl_corr *got, const struct csl_corr *was, size_t first, size_t n) {
    assert_int_equal(csl_corr_batch(got), n);
    assert_int_equal(csl_corr_n_demands(got), csl_corr_n_demands(was));
    for (size_t d = 0; d < was->n_demands; d++) {
        const struct csl__corr_demand *a = &got->demands[d], *b = &was->demands[d];
        assert_int_equal(a->bound, b->bound);
        for (unsigned f = 0; f < a->n_fields; f++) {
            size_t n_bytes = n * a->fields[f].row_words * sizeof(uint64_t);
            if (n_bytes != 0) {
                CSL_PUBLIC(csl__corr_row(a, f, 0), n_bytes);
                CSL_PUBLIC(csl__corr_row(b, f, first), n_bytes);
                assert_memory_equal(csl__corr_row(a, f, 0), csl__corr_row(b, f, first), n_bytes);
            }
        }
    }
}

static void check_wiped(const struct csl_corr *c, size_t first, size_t n) {
    for (size_t d = 0; d < c->n_demands; d++) {
        const struct csl__corr_demand *cd = &c->demands[d];
        for (unsigned f = 0; f < cd->n_fields; f++) {
            for (size_t i = 0; i < n * cd->fields[f].row_words; i++) {
                assert_int_equal(csl__corr_row(cd, f, first)[i], 0);
            }
        }
    }
}

static void bind(struct csl_corr *c, const struct world *w) {
    uint64_t *e = alloc_words(1024);
    memset(e, 0x5a, 1024 * sizeof *e);
    for (size_t d = 0; d < w->n_demands; d++) {
        if (w->demands[d].kind == CSL_DEMAND_LINEAR) {
            assert_true(csl_conv_weights(&w->demands[d].conv) <= 1024);
            assert_int_equal(csl_corr_bind_weights(c, d, e, NULL), CSL_OK);
        }
    }
    free(e);
}

/* At the first and the last party; bound, as a pool has them, and not. */
static void rows_move_once(void **state) {
    (void)state;
    for (unsigned t = 0; t < 4; t++) {
        struct world w;
        struct parties all, was;
        world_init(&w, &all, 3, 0);
        parties_init(&was, w.n);
        expand(&w, &was);
        unsigned p = t % 2 == 0 ? 0 : w.n - 1;
        struct csl_corr *c = all.party[p].corr, *before = was.party[p].corr, *a, *b, *again;
        if (t >= 2) {
            bind(c, &w);
            bind(before, &w);
        }
        assert_int_equal(csl_corr_move(&a, c, 0, 2, NULL), CSL_OK);
        assert_int_equal(csl_corr_move(&b, c, 2, T - 2, NULL), CSL_OK);
        check_rows(a, before, 0, 2);
        check_rows(b, before, 2, T - 2);
        check_wiped(c, 0, T);
        for (size_t first = 0; first < T; first++) { /* what was moved is gone */
            assert_int_equal(csl_corr_move(&again, c, first, 1, NULL), CSL_EINTERNAL);
            assert_null(again);
        }
        csl_corr_free(a);
        csl_corr_free(b);
        parties_clear(&was);
        world_clear(&w, &all);
    }
}

static void rows_that_are_not_there(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    struct csl_corr *out, *fresh;
    world_init(&w, &all, 2, 0);
    struct csl_corr *c = all.party[0].corr;
    const size_t bad[][2] = {{0, 0}, {0, T + 1}, {T, 1}, {T - 1, 2}, {1, SIZE_MAX}, {SIZE_MAX, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(csl_corr_move(&out, c, bad[i][0], bad[i][1], NULL), CSL_EINTERNAL);
        assert_null(out);
    }
    assert_int_equal(csl_corr_new(&fresh, w.demands, w.n_demands, 2, 0, T, NULL), CSL_OK);
    assert_int_equal(csl_corr_move(&out, fresh, 0, 1, NULL), CSL_EINTERNAL); /* not filled yet */
    csl_corr_free(fresh);
    assert_int_equal(csl_corr_move(&out, c, 0, T, NULL), CSL_OK); /* all of that left c as it was */
    csl_corr_free(out);
    world_clear(&w, &all);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_move_once),
                                       cmocka_unit_test(rows_that_are_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
