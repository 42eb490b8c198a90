/* The bound of a workload, on machines that exist on paper only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/bench/bound.h"

/* 16 B in 10 us, a byte in 0.001 us; sleeping takes 20 us more; 1 and 4 G products a second, 2 cores. */
static struct csl_bench_machine paper(void) {
    struct csl_bench_machine m = {
        .cpu = {.cores = 2,
                .products = {{"plain", 64, 1e9}, {"wide", 52, 4e9}, {"absent", 32, 0}},
                .weights_bytes_per_s = 1e10},
        .rounds = {.n_parties = 2}};
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        m.rounds.spin_us[i] = 10 + 0.001 * (double)(csl_bench_sizes[i] - 16);
        m.rounds.block_us[i] = m.rounds.spin_us[i] + 20;
    }
    return m;
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void test_paths(void **state) {
    (void)state;
    struct csl_bench_machine m = paper();
    assert_string_equal(csl_bench_best_path(&m.cpu, 64)->name, "plain");
    assert_string_equal(csl_bench_best_path(&m.cpu, 52)->name, "wide");
    assert_string_equal(csl_bench_best_path(&m.cpu, 32)->name, "wide");
}

static void test_loopback(void **state) {
    (void)state;
    struct csl_bench_machine m = paper();
    struct csl_bench_work w = {.n_parties = 2, .openings = 9, .bytes = 100000, .products = {0, 8e6, 1e6}};
    struct csl_bench_bound b = csl_bench_bound_of(&m, &w, CSL_BENCH_BEST);
    assert_true(near(b.rounds_ms, 9 * 0.010) && near(b.bytes_ms, 0.1) && b.wire_ms == 0);
    assert_true(near(b.compute_ms, 2 + 1)); /* 2 parties on 2 cores */
    assert_true(near(b.bound_ms, 0.09 + 0.1 + 3));
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_SPIN).bound_ms, b.bound_ms));
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BLOCK).bound_ms, b.bound_ms + 9 * 0.020));
    w.n_parties =
        8; /* four parties a core; of the first round, the last party's part is sure to be measured */
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BEST).compute_ms, 12));
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BEST).rounds_ms, 8.25 * 0.010));
    w.products[1] = w.products[2] = 0; /* weights that take longer to read than to multiply */
    w.weight_bytes = 10000000;
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BEST).compute_ms, 4));
}

static void test_with_a_network(void **state) {
    (void)state;
    const struct csl_bench_profile net = {"paper", 1000, 8000000};
    struct csl_bench_machine m = paper();
    struct csl_bench_work w = {
        .n_parties = 2, .openings = 4, .bytes = 1000, .products = {0, 0, 5e5}, .net = &net};
    struct csl_bench_bound b = csl_bench_bound_of(&m, &w, CSL_BENCH_BEST);
    assert_true(near(b.rounds_ms, 4 * 0.510) && near(b.wire_ms, 1));
    assert_true(near(b.bound_ms, 2.04 + 1)); /* half a millisecond of products meanwhile */
    w.products[2] = 5e6;
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BEST).bound_ms, 2.04 + 0.001 + 5));
}

/* Noise: a message that is larger and took less time. */
static void test_noise(void **state) {
    (void)state;
    struct csl_bench_machine m = paper();
    struct csl_bench_work w = {.n_parties = 2, .openings = 1, .bytes = 1000};
    for (size_t i = 0; i < CSL_BENCH_SIZES; i++) {
        m.rounds.spin_us[i] = m.rounds.block_us[i] = 100;
    }
    m.rounds.spin_us[2] = 40;
    struct csl_bench_bound b = csl_bench_bound_of(&m, &w, CSL_BENCH_BEST);
    assert_true(near(b.round_us, 40) && b.us_per_byte == 0 && near(b.bound_ms, 0.040));
}

/* Measured before and after: the better one of each figure is what the machine permits. */
static void test_twice(void **state) {
    (void)state;
    struct csl_bench_machine m = paper(), after = paper();
    struct csl_bench_work w = {.n_parties = 2, .openings = 9, .products = {0, 8e6, 0}};
    after.rounds.spin_us[0] = 50; /* a slow phase, but for sleeping and for the wide products */
    after.rounds.block_us[0] = 20;
    after.cpu.products[0].per_s = 5e8;
    after.cpu.products[1].per_s = 8e9;
    after.cpu.prg_bytes_per_s = 3;
    after.cpu.prg_name = "after";
    csl_bench_machine_merge(&m, &after);
    assert_true(near(m.rounds.spin_us[0], 10) && near(m.rounds.block_us[0], 20));
    assert_true(near(m.rounds.block_us[1], paper().rounds.block_us[1]));
    assert_true(near(m.cpu.products[0].per_s, 1e9) && near(m.cpu.products[1].per_s, 8e9));
    assert_string_equal(m.cpu.prg_name, "after");
    assert_true(near(m.probes_quotient, 2)); /* 10 us before, 20 us after, each by its better way */
    assert_true(near(csl_bench_bound_of(&m, &w, CSL_BENCH_BEST).bound_ms, 0.09 + 1));
    struct csl_bench_machine first = paper();
    csl_bench_machine_merge(&after, &first); /* the other order makes no difference */
    assert_true(near(after.rounds.spin_us[0], 10) && near(after.cpu.products[1].per_s, 8e9));
    assert_true(near(after.probes_quotient, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths), cmocka_unit_test(test_loopback), cmocka_unit_test(test_with_a_network),
        cmocka_unit_test(test_noise), cmocka_unit_test(test_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
