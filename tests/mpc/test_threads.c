/* Large layers over the pool: the same results with one to eight threads, and with several callers at once.
 */
#include "mpc/gemm.h"
#include "mpc/threads.h"
#include "parties.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, LONG_NS = 100 * 1000 * 1000 };

/* ---- the pool itself ---- */

struct tally {
    _Atomic unsigned count[1000];
    _Atomic unsigned bad;
    size_t n, step;
};

static void count_items(void *arg, size_t first, size_t n) {
    struct tally *t = arg;
    if (first % t->step != 0 || first + n > t->n || (n % t->step != 0 && first + n != t->n)) {
        atomic_fetch_add(&t->bad, 1);
        return;
    }
    for (size_t i = first; i < first + n; i++) {
        atomic_fetch_add(&t->count[i], 1);
    }
}

static void check_split(size_t n, size_t step, double ns) {
    struct tally t = {.n = n, .step = step};
    csl__threads_split(count_items, &t, n, step, ns);
    assert_int_equal(atomic_load(&t.bad), 0);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(atomic_load(&t.count[i]), i < n ? 1 : 0);
    }
}

static void every_item_once(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= MOST; threads++) {
        assert_int_equal(csl_threads_start(threads, NULL), CSL_OK);
        assert_int_equal(csl_threads(), threads);
        for (size_t n = 0; n <= 130; n++) {
            check_split(n, 1, LONG_NS);
            check_split(n, 7, LONG_NS);
        }
        check_split(1000, 64, LONG_NS);
        check_split(1000, 1, 0);
        csl_threads_stop();
        assert_int_equal(csl_threads(), 1);
    }
    check_split(1000, 3, LONG_NS); /* without a pool */
}

static void is_started_once(void **state) {
    (void)state;
    struct csl_diag diag;
    assert_int_equal(csl_threads_start(0, &diag), CSL_EUSAGE);
    assert_int_equal(csl_threads_start(CSL_MAX_THREADS + 1, &diag), CSL_EUSAGE);
    assert_int_equal(csl_threads_start(3, &diag), CSL_OK);
    assert_int_equal(csl_threads_start(2, &diag), CSL_EUSAGE);
    assert_int_equal(csl_threads(), 3);
    csl_threads_stop();
    csl_threads_stop();
    assert_true(csl_threads_default(1) >= 1 && csl_threads_default(0) == csl_threads_default(1));
    assert_int_equal(csl_threads_default(1u << 20), 1);
}

/* ---- products ---- */

struct layer {
    struct csl_conv_shape shape;
    size_t batch;
    unsigned bits;
};

static const struct layer layers[] = {
    {{1, 1, 700, 1, 1, 600, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 37, 44},  /* columns */
    {{1, 1, 2100, 1, 1, 1501, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 1, 64}, /* one row */
    {{1, 1, 300, 1, 1, 10, 1, 1, 1, 1, 0, 0, 1, 1, 1}, 1501, 50}, /* rows */
    {{16, 16, 16, 16, 16, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1}, 9, 40}, /* pictures with zeros around */
    {{96, 90, 3, 92, 86, 8, 5, 5, 1, 1, 0, 0, 1, 1, 1}, 1, 36},   /* lines of one picture */
};

static uint64_t *layer_result(const struct layer *l) {
    size_t n_d = l->batch * csl_conv_inputs(&l->shape), n_y = l->batch * csl_conv_outputs(&l->shape);
    size_t n_w = csl_conv_weights(&l->shape);
    uint64_t *d = alloc_words(n_d), *w = alloc_words(n_w), *y = alloc_words(n_y);
    test_random(d, n_d, 64, 1);
    test_random(w, n_w, 64, 2);
    test_random(y, n_y, l->bits, 3);
    assert_int_equal(csl_conv_acc(y, d, w, &l->shape, l->batch, l->bits, true), CSL_OK);
    free(d), free(w);
    return y;
}

static void layers_are_the_same(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const struct layer *l = &layers[i];
        uint64_t *want = layer_result(l);
        for (unsigned threads = 2; threads <= MOST; threads += 1 + threads / 3) {
            assert_int_equal(csl_threads_start(threads, NULL), CSL_OK);
            uint64_t *y = layer_result(l);
            csl_threads_stop();
            assert_memory_equal(y, want, l->batch * csl_conv_outputs(&l->shape) * sizeof *y);
            free(y);
        }
        free(want);
    }
}

/* ---- a ReLU, at parties that share the pool ---- */

struct relu {
    uint64_t *z[CSL_MAX_PARTIES], *y[CSL_MAX_PARTIES];
};

static enum csl_err run_relu(struct party *p) {
    struct relu *r = p->arg;
    return csl_relu(&p->s, r->y[p->s.self], r->z[p->s.self], p->corr, 0);
}

static void relu_shares(struct relu *r, struct csl_demand d, size_t batch) {
    struct parties all;
    size_t n = batch * d.count;
    uint64_t *z = alloc_words(n);
    test_random(z, n, 30, 4);
    make_shares(r->z, 2, z, n, 40, 5);
    alloc_shares(r->y, 2, n);
    parties_init(&all, 2);
    parties_deal(&all, &d, 1, NULL, batch, 6);
    parties_run_ok(&all, run_relu, r);
    parties_clear(&all);
    free_shares(r->z, 2);
    free(z);
}

static void check_relu(struct csl_demand d, size_t batch) {
    struct relu want, got;
    relu_shares(&want, d, batch);
    for (unsigned threads = 2; threads <= MOST; threads *= 4) {
        assert_int_equal(csl_threads_start(threads, NULL), CSL_OK);
        relu_shares(&got, d, batch);
        csl_threads_stop();
        for (unsigned p = 0; p < 2; p++) {
            assert_memory_equal(got.y[p], want.y[p], batch * d.count * sizeof *want.y[p]);
        }
        free_shares(got.y, 2);
    }
    free_shares(want.y, 2);
}

static void relus_are_the_same(void **state) {
    (void)state;
    check_relu(csl_demand_relu(70003, 24, 16, 40), 1);
    check_relu(csl_demand_relu(1003, 24, 16, 40), 70);
    check_relu(csl_demand_wan(csl_demand_relu(70003, 9, 16, 40)), 1);
}

/* ---- several callers ---- */

static void *compute(void *arg) {
    uint64_t *want = arg;
    for (int i = 0; i < 4; i++) {
        uint64_t *y = layer_result(&layers[0]);
        bool same = memcmp(y, want, layers[0].batch * csl_conv_outputs(&layers[0].shape) * sizeof *y) == 0;
        free(y);
        if (!same) {
            return arg;
        }
    }
    return NULL;
}

static void lanes_share_the_pool(void **state) {
    (void)state;
    pthread_t lanes[3];
    uint64_t *want = layer_result(&layers[0]);
    assert_int_equal(csl_threads_start(4, NULL), CSL_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&lanes[i], NULL, compute, want), 0);
    }
    for (int i = 0; i < 3; i++) {
        void *wrong;
        assert_int_equal(pthread_join(lanes[i], &wrong), 0);
        assert_null(wrong);
    }
    csl_threads_stop();
    free(want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once),      cmocka_unit_test(is_started_once),
        cmocka_unit_test(layers_are_the_same),  cmocka_unit_test(relus_are_the_same),
        cmocka_unit_test(lanes_share_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
