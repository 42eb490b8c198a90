/* Plans from outside: whatever is wrong with one is found. */
#include "cnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every byte of what a plan uses, set to several values: refused, or costed, never worse. */
static void mutate(const struct csl_plan *good, struct csl_plan *p, size_t first, size_t n) {
    static const uint8_t values[] = {0, 1, 2, 7, 16, 63, 64, 127, 255};
    for (size_t at = first; at < first + n; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            memcpy(p, good, sizeof *p);
            ((uint8_t *)p)[at] = values[v];
            struct csl_diag diag = {""};
            struct csl_cost cost;
            if (csl_plan_check(p, &diag) == CSL_OK) {
                assert_int_equal(csl_plan_cost(p, &cost, 16, CSL_PLAN_MAX_BATCH, CSL_PROFILE_LAN, false),
                                 CSL_OK);
                enum csl_err err = csl_plan_cost(p, &cost, 16, 1, CSL_PROFILE_LAN, true);
                assert_true(err == CSL_OK || err == CSL_EUSAGE || err == CSL_EDATA);
            } else {
                assert_true(strncmp(diag.text, "plan: ", 6) == 0);
            }
        }
    }
}

static void test_check_mutations(void **state) {
    (void)state;
    static const int networks[] = {2, 5, 6, 9, 10};
    struct csl_plan *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < 5; i++) {
        struct built *b = build(cnn(networks[i]), NULL);
        mutate(&b->plan, p, 0, offsetof(struct csl_plan, values));
        mutate(&b->plan, p, offsetof(struct csl_plan, values),
               (b->plan.n_steps + 1) * sizeof(struct csl_value));
        mutate(&b->plan, p, offsetof(struct csl_plan, steps), b->plan.n_steps * sizeof(struct csl_step));
        mutate(&b->plan, p, offsetof(struct csl_plan, head), 2);
        built_free(b);
    }
    free(p);
}

#define WRONG(word, ...)                                                                                     \
    do {                                                                                                     \
        struct csl_diag diag = {""};                                                                         \
        *p = b->plan;                                                                                        \
        __VA_ARGS__;                                                                                         \
        assert_int_equal(csl_plan_check(p, &diag), CSL_EDATA);                                               \
        if (strstr(diag.text, word) == NULL) {                                                               \
            fail_msg("\"%s\" is not in: %s", word, diag.text);                                               \
        }                                                                                                    \
    } while (0)

static void test_check(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(1, 1, true), NULL);
    struct csl_plan *p = calloc(1, sizeof *p);
    struct csl_step *s = p->steps;
    struct csl_value *v = p->values;
    WRONG("0 steps", p->n_steps = 0);
    WRONG("257 steps", p->n_steps = 257);
    WRONG("4294967295 steps", p->n_steps = UINT32_MAX);
    WRONG("linear pieces", p->n_arms = 1025);
    WRONG("rank", p->input_rank = 0);
    WRONG("rank", p->input_rank = 9);
    WRONG("dimension", p->input_shape[0] = 0);
    WRONG("7 elements", p->input_shape[0] = 7);
    WRONG("dimension 1", p->input_rank = 2; p->input_shape[0] = 1 << 20; p->input_shape[1] = 1 << 20);
    WRONG("shape", p->input_rank = 3; p->input_shape[0] = 1; p->input_shape[1] = 2; p->input_shape[2] = 3);
    WRONG("interval", p->input.hi = NAN);
    WRONG("interval", p->input.lo = 2);
    WRONG("interval", p->input.hi = 1e30);
    WRONG("normalisation", p->input.kind = CSL_NORMALIZE_COUNT);
    WRONG("name", memset(p->name, 'a', sizeof p->name));
    WRONG("step 1: its name", memset(s[1].name, 'a', sizeof p->name));
    WRONG("name", s[0].name[0] = '\x1b');
    WRONG("value 1: its size", v[1].dim.c = 0);
    WRONG("value 1: its size", v[1].dim.h = UINT32_MAX; v[1].dim.w = UINT32_MAX);
    WRONG("value 2: its ring", v[2].bits = 63);
    WRONG("value 2: its ring", v[2].bits = 1);
    WRONG("value 2: its fraction", v[2].frac = 62);
    WRONG("value 2: its scale", v[2].scale = NAN);
    WRONG("value 2: its scale", v[2].scale = 0);
    WRONG("step 0: its shape", v[1].dim.c = 4);
    WRONG("step 0: its shape", s[0].shape.groups = 2);
    WRONG("step 0: its shape", s[0].shape.stride_h = 0);
    WRONG("step 0: its layer", s[0].layer = 1);
    WRONG("step 0: its fraction", s[0].w_frac = 21);
    WRONG("step 0: its ring", s[0].l_bits++);
    WRONG("step 0: its ring", v[0].bits--);
    WRONG("step 0: its input", s[0].in[0] = 1);
    WRONG("step 1: its input", s[1].in[0] = 65535);
    WRONG("step 1: its number of inputs", s[1].n_in = 0);
    WRONG("step 1: its number of inputs", s[1].n_in = 2);
    WRONG("step 1: its kind", s[1].kind = CSL_STEP_COUNT);
    WRONG("step 1: its ring", s[1].trunc.k++);
    WRONG("step 1: its ring", s[1].trunc.out_bits++);
    WRONG("fraction", s[1].trunc.f--);
    WRONG("correlation 1", s[1].trunc.n_digits = 255);
    WRONG("correlation 1", s[1].trunc.digit_bits[0]++);
    WRONG("correlation 1", s[1].kind = CSL_STEP_TRUNC);
    WRONG("layers", p->n_layers = 1);
    WRONG("layers", p->n_layers = 300);
    WRONG("head", p->head = CSL_HEAD_COUNT);
    WRONG("cut", p->output_cut = v[3].bits);
    free(p);
    built_free(b);
}

static void test_check_windows(void **state) {
    (void)state;
    struct built *b = build(cnn(9), NULL);
    struct csl_plan *p = calloc(1, sizeof *p);
    struct csl_step *s = p->steps;
    WRONG("step 1: its window", s[1].shape.pad_top = 2; s[1].shape.pad_left = 2);
    WRONG("step 1: its window", s[1].shape.kernel_h = 1 << 20);
    WRONG("step 1: its window", s[1].shape.kernel_h = s[1].shape.kernel_w = 1 << 23);
    WRONG("step 1: its shape", s[1].shape.groups = 3);
    WRONG("step 1: its ring", s[1].exact = true; s[1].trunc.out_bits--);
    WRONG("step 1: its ring", s[1].l_bits--);
    WRONG("step 3: its truncation", s[3].trunc.f = 2; s[3].trunc.k--);
    built_free(b);
    b = build(cnn(6), NULL);
    const struct csl_step *pwl = plan_step(&b->plan, CSL_STEP_PWL);
    ptrdiff_t at = pwl - b->plan.steps;
    WRONG("its arms", s[at].n_arms = 0);
    WRONG("its arms", s[at].first_arm = 65535);
    WRONG("its arms", s[at].n_arms = 65535);
    WRONG("its arms", p->n_arms = s[at].n_arms - 1);
    WRONG("its arms", p->arms[s[at].first_arm].slope = INT64_MIN);
    WRONG("its arms", p->arms[s[at].first_arm].knot = INT64_MAX);
    WRONG("its c0", s[at].c0 = INT64_MIN);
    built_free(b);
    b = build(cnn(4), NULL);
    at = plan_step(&b->plan, CSL_STEP_CONCAT) - b->plan.steps;
    WRONG("its size", s[at].in[1] = s[at].in[0]);
    WRONG("number of inputs", s[at].n_in = 9);
    WRONG("its input", s[at].in[1] = (uint16_t)(at + 1));
    built_free(b);
    b = build(cnn(2), NULL);
    at = plan_step(&b->plan, CSL_STEP_ADD) - b->plan.steps;
    WRONG("its factor", s[at].factor[1] = INT64_MIN);
    free(p);
    built_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_mutations),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
