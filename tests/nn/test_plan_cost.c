/* What a plan costs, and the report that says so. */
#include "cnn.h"
#include "mpc/correlation.h"
#include "nn/model_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same demands in the same order; comparisons alone change, and those of one digit not. */
static void test_profiles(void **state) {
    (void)state;
    static struct csl_demand d[2][CSL_PLAN_MAX_DEMANDS];
    enum csl_profile p;
    struct csl_diag diag = {""};
    for (int i = 0; i < N_CNNS; i++) {
        struct built *b = build(cnn(i), NULL);
        size_t n[2], changed = 0;
        for (p = CSL_PROFILE_LAN; p < CSL_PROFILE_COUNT; p++) {
            assert_int_equal(csl_plan_demands(&b->plan, p, true, d[p], &n[p]), CSL_OK);
        }
        assert_int_equal(n[0], n[1]);
        for (size_t j = 0; j < n[0]; j++) {
            bool wan = d[1][j].form == CSL_FORM_WAN;
            assert_int_equal(d[0][j].form, CSL_FORM_LAN);
            assert_int_equal(wan, d[0][j].trunc.n_digits > 1);
            assert_true(d[0][j].kind == d[1][j].kind && d[0][j].count == d[1][j].count);
            assert_int_equal(csl_demand_check(&d[1][j], NULL), CSL_OK);
            changed += wan;
        }
        assert_true(changed > 0);
        built_free(b);
    }
    assert_int_equal(csl_profile_parse(&p, "wan", &diag), CSL_OK);
    assert_int_equal(p, CSL_PROFILE_WAN);
    assert_int_equal(csl_profile_parse(&p, "lan", &diag), CSL_OK);
    assert_int_equal(p, CSL_PROFILE_LAN);
    assert_int_equal(csl_profile_parse(&p, "LAN", &diag), CSL_EUSAGE);
    assert_int_equal(csl_profile_parse(&p, "", &diag), CSL_EUSAGE);
    assert_string_equal(csl_profile_name(CSL_PROFILE_WAN), "wan");
}

static void test_cost(void **state) {
    (void)state;
    struct built *b = build(net_two_layers(1, 1, true), NULL);
    struct csl_cost cost;
    const struct csl_step *s = b->plan.steps;
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_LAN, false), CSL_OK);
    assert_int_equal(cost.rounds, 6); /* D c u e D output */
    uint64_t online = (2 * 6 * s[0].l_bits + 7U) / 8 + (2 * 5 * (s[1].trunc.k + 4U) + 7) / 8 +
                      2 * (2 * (s[1].trunc.n_digits - 1U) + 1) + (2 * 5 * s[2].l_bits + 7U) / 8;
    assert_int_equal(cost.online_bytes, online);
    assert_int_equal(cost.output_bytes, (2 * 3 * (unsigned)(s[2].l_bits - b->plan.output_cut) + 7) / 8);
    assert_int_equal(cost.total_sent_bytes, 2 * online + cost.output_bytes);
    assert_true(cost.ahead_memory > 2 * cost.offline_bytes && cost.ahead_memory < cost.party_memory);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_LAN, true), CSL_OK);
    assert_int_equal(cost.rounds, 6 + 2 * 3); /* a tree of three outputs */
    assert_int_equal(cost.output_bytes, 1);   /* two labels of two bits */
    assert_int_equal(csl_plan_label_bits(&b->plan), 2);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_WAN, false), CSL_OK);
    unsigned bits = s[1].trunc.k - 1U, inputs = bits <= 16 ? 3 : 5; /* l and e of two digits, or of three */
    assert_int_equal(cost.rounds, 5);                               /* D c u D output */
    assert_int_equal(cost.online_bytes, online - 2 * (2 * (s[1].trunc.n_digits - 1U) + 1) + 2 * inputs);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_WAN, true), CSL_OK);
    assert_int_equal(cost.rounds, 5 + 2 * 2);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 3, 2, CSL_PROFILE_COUNT, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 1, 1, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 17, 1, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, 0, CSL_PROFILE_LAN, false), CSL_EUSAGE);
    assert_int_equal(csl_plan_cost(&b->plan, &cost, 2, CSL_PLAN_MAX_BATCH + 1, CSL_PROFILE_LAN, false),
                     CSL_EUSAGE);
    built_free(b);
}

static uint64_t memory_of(const struct csl_plan *plan, uint32_t batch) {
    struct csl_cost cost;
    assert_int_equal(csl_plan_cost(plan, &cost, 2, batch, CSL_PROFILE_LAN, false), CSL_OK);
    return cost.party_memory;
}

/* Pictures with zeros around, 22 x 22 x 3 of 20 x 20 x 3, are copied 22 at a time into 256 KB: each costs
 * memory up to there, and none after it. Without padding, and in dense layers, there are none. */
static void test_cost_of_padding(void **state) {
    (void)state;
    enum { PICTURE = 22 * 22 * 3 * 8, ROUNDING = 64 };
    for (uint32_t pad = 0; pad < 2; pad++) {
        struct csl_network *net = net_new(20, 20, 3);
        (void)net_conv(net, 0, 4, WINDOW(3, 1, pad), 1, 1);
        struct built *b = build(net, NULL);
        int64_t few = (int64_t)(memory_of(&b->plan, 21) - memory_of(&b->plan, 20));
        int64_t many = (int64_t)(memory_of(&b->plan, 24) - memory_of(&b->plan, 23));
        int64_t want = pad == 1 ? PICTURE : 0;
        assert_true(few - many > want - ROUNDING && few - many < want + ROUNDING);
        built_free(b);
    }
}

static char *printed(const struct csl_model_report *r) {
    char *text = NULL;
    size_t n_text;
    FILE *out = open_memstream(&text, &n_text);
    assert_non_null(out);
    csl_model_report_print(r, out);
    fclose(out);
    return text;
}

static void test_report(void **state) {
    (void)state;
    struct csl_plan_options opt = csl_plan_options_default();
    struct csl_model_report *r = calloc(1, sizeof *r);
    struct csl_diag diag = {""};
    assert_non_null(r);
    struct csl_network *net = cnn(6);
    assert_int_equal(csl_model_report_make(r, NULL, net, NULL, &opt, 3, 1, CSL_PROFILE_LAN, true, &diag),
                     CSL_OK);
    assert_true(r->ok);
    uint64_t bytes = 0;
    uint32_t rounds = 1;
    for (uint32_t i = 0; i <= r->plan.n_steps; i++) {
        bytes += r->steps[i].online_bytes;
        rounds += r->steps[i].rounds;
    }
    assert_int_equal(bytes, r->cost.online_bytes);
    assert_int_equal(rounds, r->cost.rounds);
    char *text = printed(r);
    assert_non_null(strstr(text, "conv #1"));
    assert_non_null(strstr(text, "pieces, within"));
    assert_non_null(strstr(text, "labels only"));
    free(text);
    csl_model_report_clear(r);
    assert_int_equal(csl_model_report_make(r, NULL, net, NULL, &opt, 1, 1, CSL_PROFILE_LAN, false, &diag),
                     CSL_EUSAGE);
    csl_network_free(net);
    struct csl_issues issues = {0};
    assert_int_equal(csl_issues_add(&issues, "node 7", "Erf", "replace it by Relu", "no such function"),
                     CSL_OK);
    assert_int_equal(csl_model_report_make(r, NULL, NULL, &issues, &opt, 3, 1, CSL_PROFILE_LAN, false, &diag),
                     CSL_OK);
    assert_false(r->ok);
    text = printed(r);
    assert_non_null(strstr(text, "node 7 (Erf)"));
    assert_non_null(strstr(text, "replace it by Relu"));
    free(text);
    csl_model_report_clear(r);
    csl_issues_clear(&issues);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_cost_of_padding),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
