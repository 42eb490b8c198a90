/* Comparisons go by blocks: what is sent, and every share of the results, is what it was before they did, at
 * the borders of blocks, words and rows. */
#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "parties.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PARTIES = 3 };

/* Where results go: apart from the operands, or over the first or the second one. */
enum place { APART, OVER_A, OVER_B, PLACES };

/* One run: operands and results of each party, and a digest of all that it sent. */
struct run {
    struct csl_demand demand;
    enum place place;
    uint64_t *in[4][CSL_MAX_PARTIES];
    uint64_t *out[2][CSL_MAX_PARTIES];
    struct csl_sha256 sent[MOST_PARTIES];
};

static void digest_words(struct csl_sha256 *h, const uint64_t *words, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[8];
        csl_store_u64(bytes, words[i]);
        assert_int_equal(csl_sha256_update(h, bytes, sizeof bytes), CSL_OK);
    }
}

static void tap(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n) {
    struct run *r = arg;
    const uint64_t head[2] = {round, n};
    digest_words(&r->sent[party], head, 2);
    assert_int_equal(csl_sha256_update(&r->sent[party], out, n), CSL_OK);
}

/* Of the value, or of its payload. */
static uint64_t *result(const struct run *r, int payload, unsigned party) {
    return r->place == APART ? r->out[payload][party] : r->in[2 * payload + (r->place == OVER_B)][party];
}

static enum csl_err step(struct party *p) {
    struct run *r = p->arg;
    unsigned me = p->s.self;
    uint64_t *y = result(r, 0, me), *yp = result(r, 1, me);
    const uint64_t *a = r->in[0][me], *b = r->in[1][me], *ap = r->in[2][me], *bp = r->in[3][me];
    switch (r->demand.kind) {
    case CSL_DEMAND_RELU:
        return csl_relu(&p->s, y, a, p->corr, 0);
    case CSL_DEMAND_TRUNC:
        return csl_trunc(&p->s, y, a, p->corr, 0);
    case CSL_DEMAND_MAX:
        return csl_max(&p->s, y, a, b, p->corr, 0);
    default:
        return csl_argmax_step(&p->s, y, yp, a, ap, b, bp, p->corr, 0);
    }
}

/* Operands in range: what does not fit would be a wrong result, not another message. */
static struct run new_run(unsigned n_parties, struct csl_demand d, size_t n, uint32_t salt) {
    struct run r = {.demand = d};
    uint64_t *x = alloc_words(n);
    for (uint32_t i = 0; i < 4; i++) {
        test_random(x, n, d.trunc.k + d.trunc.f - 2, salt + i);
        make_shares(r.in[i], n_parties, x, n, 64, salt + 10 * i);
    }
    free(x);
    alloc_shares(r.out[0], n_parties, n);
    alloc_shares(r.out[1], n_parties, n);
    return r;
}

static void free_run(struct run *r, unsigned n_parties) {
    for (int i = 0; i < 4; i++) {
        free_shares(r->in[i], n_parties);
    }
    free_shares(r->out[0], n_parties);
    free_shares(r->out[1], n_parties);
}

static void digest_run(struct csl_sha256 *all_runs, unsigned n_parties, struct csl_demand d, size_t batch,
                       uint32_t salt, enum place place) {
    size_t n = batch * d.count;
    struct run r = new_run(n_parties, d, n, salt);
    struct parties all;
    r.place = place;
    for (unsigned p = 0; p < n_parties; p++) {
        assert_int_equal(csl_sha256_init(&r.sent[p]), CSL_OK);
    }
    parties_init(&all, n_parties);
    csl_mem_net_tap(all.net, tap, &r);
    parties_deal(&all, &d, 1, NULL, batch, salt);
    parties_run_ok(&all, step, &r);
    parties_clear(&all);
    for (unsigned p = 0; p < n_parties; p++) {
        uint8_t sent[CSL_SHA256_BYTES];
        assert_int_equal(csl_sha256_final(&r.sent[p], sent), CSL_OK);
        csl_sha256_clear(&r.sent[p]);
        assert_int_equal(csl_sha256_update(all_runs, sent, sizeof sent), CSL_OK);
        for (int i = 0; i < 2; i++) {
            bool none = i == 1 && d.kind != CSL_DEMAND_ARGMAX;
            digest_words(all_runs, none ? r.out[i][p] : result(&r, i, p), n);
        }
    }
    free_run(&r, n_parties);
}

typedef struct csl_demand demand_of_fn(uint32_t count);

static struct csl_demand d_relu(uint32_t count) {
    return csl_demand_relu(count, 24, 16, 40);
}
static struct csl_demand d_relu_odd(uint32_t count) { /* no wrap, three digits */
    return csl_demand_relu(count, 17, 3, 17);
}
static struct csl_demand d_relu_one_digit(uint32_t count) {
    return csl_demand_relu(count, 6, 9, 64);
}
static struct csl_demand d_relu_wan(uint32_t count) {
    return csl_demand_wan(csl_demand_relu(count, 20, 13, 37));
}
static struct csl_demand d_trunc(uint32_t count) {
    return csl_demand_trunc(count, 25, 11, 41);
}
static struct csl_demand d_max(uint32_t count) {
    return csl_demand_max(count, 22, 5);
}
static struct csl_demand d_max_wan(uint32_t count) {
    return csl_demand_wan(csl_demand_max(count, 18, 7));
}
static struct csl_demand d_arg_max(uint32_t count) {
    return csl_demand_argmax(count, 19, 6, 7);
}
static struct csl_demand d_arg_max_wan(uint32_t count) {
    return csl_demand_wan(csl_demand_argmax(count, 15, 6, 11));
}

/* SHA-256 over the messages and shares of every shape below, taken before there were blocks. */
static const struct {
    const char *name;
    demand_of_fn *demand;
    const char *digest;
} kinds[] = {
    {"relu", d_relu, "a6b89d4e8b0b4eb61f16aeda5ce0a742aa0466417dc5a0cabf765b90854f7216"},
    {"relu, odd widths", d_relu_odd, "9bbd6505bf2f7d937172da704803aa55463b0b817bbf5f842fbbba696ddf803d"},
    {"relu of one digit", d_relu_one_digit,
     "9883d85327e8d33778f555e953aa10edf86e9256b5c2309d9b2da18e5fbe9958"},
    {"relu, wan", d_relu_wan, "1982c9cc91302801a10201e6cb4cf61f4915c42b5fc957b44aadb51b3a5fa27d"},
    {"trunc", d_trunc, "ee357069399d7a8557e2ffc1222baf729460254f4f7c00cda1c931acca8b9da8"},
    {"max", d_max, "233ece47acdf58f97bb1a639da4d21c8dab879fa430b1297faa18d8bf68b8231"},
    {"max, wan", d_max_wan, "dc8777dba8e37432592201e37e2d452cad78aec9297cd1fbd1c21c84c5785bcc"},
    {"arg-max", d_arg_max, "bbd95479078aa9a6eecb6c7db35304eac81091832fef5f60f649cc337bb9f489"},
    {"arg-max, wan", d_arg_max_wan, "ed092374fe8340a4e6ef1bce2cfc7f59b267e92833ce3915c8cc0d6ae6b3417c"},
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Elements of a row, rows, parties: rows that end within bytes, words and blocks, in one row and in many. */
static const uint32_t shapes[][3] = {
    {1, 1, 2},    {7, 1, 3},    {9, 1, 2},    {63, 1, 2},   {65, 1, 2},    {1, 21, 3},
    {3, 67, 2},   {64, 5, 2},   {127, 9, 2},  {200, 11, 2}, {511, 1, 2},   {513, 3, 2},
    {1023, 1, 2}, {1024, 1, 3}, {1025, 2, 2}, {2047, 1, 2}, {2049, 1, 2},  {2111, 3, 2},
    {4095, 1, 2}, {4096, 2, 2}, {4097, 1, 2}, {8209, 1, 2}, {12001, 1, 2}, {703, 23, 2},
};

static void digest_kind(char hex[2 * CSL_SHA256_BYTES + 1], demand_of_fn *demand, enum place place) {
    struct csl_sha256 all;
    uint8_t digest[CSL_SHA256_BYTES];
    assert_int_equal(csl_sha256_init(&all), CSL_OK);
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        digest_run(&all, shapes[i][2], demand(shapes[i][0]), shapes[i][1], 100 + i, place);
    }
    assert_int_equal(csl_sha256_final(&all, digest), CSL_OK);
    csl_sha256_clear(&all);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

static bool has_two_operands(const struct csl_demand *d) {
    return d->kind == CSL_DEMAND_MAX || d->kind == CSL_DEMAND_ARGMAX;
}

static void check_kinds(enum place place) {
    for (size_t i = 0; i < N_KINDS; i++) {
        char hex[2 * CSL_SHA256_BYTES + 1];
        struct csl_demand d = kinds[i].demand(1);
        if (place == OVER_B && !has_two_operands(&d)) {
            continue;
        }
        digest_kind(hex, kinds[i].demand, place);
        if (strcmp(hex, kinds[i].digest) != 0) {
            fail_msg("%s, place %d: %s", kinds[i].name, place, hex);
        }
    }
}

static void messages_and_shares_are_as_before(void **state) {
    (void)state;
    for (int place = APART; place < PLACES; place++) {
        check_kinds((enum place)place);
    }
}

/* ---- wiping ---- */

static size_t watched_words; /* of each correlation */
static _Atomic unsigned let_go, dirty;

void __real_csl_secret_free_wiped(void *p);
void __wrap_csl_secret_free_wiped(void *p);

/* What is said to be wiped is, all of it. */
void __wrap_csl_secret_free_wiped(void *p) {
    const uint64_t *words = p;
    uint64_t any = 0;
    for (size_t i = 0; i < watched_words; i++) {
        any |= words[i];
    }
    atomic_fetch_add(&let_go, 1);
    atomic_fetch_add(&dirty, any != 0);
    __real_csl_secret_free_wiped(p);
}

static bool all_zero(const uint64_t *words, size_t n) {
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= words[i];
    }
    return any == 0;
}

/* Large demands are wiped where they are used, and wholly, whether the step succeeds (round 0) or a party
 * goes away in a round. */
static void check_wiped(struct csl_demand d, size_t batch, uint32_t gone_in) {
    size_t n = batch * d.count;
    struct run r = new_run(2, d, n, 7);
    struct parties all;
    memset(r.out[0][0], 1, n * sizeof(uint64_t));
    memset(r.out[1][0], 1, n * sizeof(uint64_t));
    parties_init(&all, 2);
    if (gone_in != 0) {
        csl_mem_net_fault(all.net, 1, gone_in, CSL_MEM_GONE, 0, 0);
    }
    parties_deal(&all, &d, 1, NULL, batch, 7);
    watched_words = (csl_corr_bytes(&d, 1, batch) - batch * sizeof(uint32_t)) / sizeof(uint64_t);
    assert_false(all_zero(all.party[0].corr->demands[0].words, watched_words));
    let_go = dirty = 0;
    parties_run(&all, step, &r);
    assert_null(all.party[0].corr->demands[0].words);
    assert_int_equal(dirty, 0);
    if (gone_in == 0) {
        assert_int_equal(all.party[0].err, CSL_OK);
        assert_int_equal(let_go, 2);
    } else {
        assert_int_not_equal(all.party[0].err, CSL_OK);
        assert_true(all_zero(r.out[0][0], n));
        assert_true(d.kind != CSL_DEMAND_ARGMAX || all_zero(r.out[1][0], n));
    }
    parties_clear(&all);
    free_run(&r, 2);
}

static uint32_t rounds_of(const struct csl_demand *d) {
    return d->kind == CSL_DEMAND_TRUNC ? 1 : d->form == CSL_FORM_WAN || d->trunc.n_digits == 1 ? 2 : 3;
}

static void large_correlations_die_where_they_are_used(void **state) {
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct csl_demand one = kinds[i].demand(12001), rows = kinds[i].demand(703);
        for (uint32_t round = 0; round <= rounds_of(&one); round++) {
            check_wiped(one, 1, round);
            check_wiped(rows, 23, round);
        }
    }
}

static enum csl_err linear(struct party *p) {
    struct run *r = p->arg;
    unsigned me = p->s.self;
    struct csl_linear layer = {
        .w = r->in[1][me], .bias = r->in[2][me], .conv = r->demand.conv, .bits = r->demand.bits};
    TRY(csl_corr_bind_weights(p->corr, 0, r->in[3][0], &p->s.diag)); /* some E: the same at all */
    return csl_linear_forward(&p->s, r->out[0][me], &layer, r->in[0][me], p->corr, 0);
}

static void large_layers_wipe_their_correlations(void **state) {
    (void)state;
    for (uint32_t gone_in = 0; gone_in <= 1; gone_in++) {
        struct run r = {.demand = csl_demand_linear(701, 13, 50)};
        size_t batch = 65, n_in = batch * 701, n_out = batch * 13, n_w = 701 * (size_t)13;
        struct parties all;
        uint64_t *mask = alloc_words(n_w), *x = alloc_words(n_in);
        const uint64_t *masks[] = {mask};
        for (int i = 0; i < 4; i++) {
            make_shares(r.in[i], 2, x, i == 0 ? n_in : n_w, 50, 5);
        }
        alloc_shares(r.out[0], 2, n_out);
        parties_init(&all, 2);
        csl_mem_net_fault(all.net, 1, gone_in, CSL_MEM_GONE, 0, 0);
        parties_deal(&all, &r.demand, 1, masks, batch, 7);
        watched_words = n_in + n_out;
        let_go = dirty = 0;
        parties_run(&all, linear, &r);
        assert_null(all.party[0].corr->demands[0].words);
        assert_int_equal(all.party[0].err == CSL_OK, gone_in == 0);
        assert_int_equal(let_go, gone_in == 0 ? 2 : 0);
        assert_int_equal(dirty, 0);
        parties_clear(&all);
        for (int i = 0; i < 4; i++) {
            free_shares(r.in[i], 2);
        }
        free_shares(r.out[0], 2);
        free(mask);
        free(x);
    }
}

/* ---- hostile messages ---- */

static bool has_padding(const struct csl_demand *d, uint32_t round) {
    unsigned bits = d->trunc.k + csl_demand_low_bits(d);
    bits = d->kind == CSL_DEMAND_ARGMAX ? d->bits : bits; /* the last that the message holds */
    return round > 1 || d->count * bits % 8 != 0;
}

/* A bit that nobody reads is set in the last byte of a round's message. */
static void check_padding(struct csl_demand d, uint32_t round) {
    struct run r = new_run(2, d, d.count, 3);
    struct parties all;
    memset(r.out[0][0], 1, d.count * sizeof(uint64_t));
    parties_init(&all, 2);
    parties_deal(&all, &d, 1, NULL, 1, 3);
    csl_mem_net_fault(all.net, 1, round, CSL_MEM_CORRUPT, -1, 0x80);
    parties_run(&all, step, &r);
    assert_int_equal(all.party[0].err, CSL_EPROTO);
    assert_non_null(strstr(all.party[0].s.diag.text, "party 1"));
    assert_non_null(strstr(all.party[0].s.diag.text, "padding"));
    assert_true(all_zero(r.out[0][0], d.count));
    parties_clear(&all);
    free_run(&r, 2);
}

static void padding_is_refused(void **state) {
    (void)state;
    unsigned refused = 0;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct csl_demand d = kinds[i].demand(9);
        for (uint32_t round = 1; round <= rounds_of(&d); round++) {
            if (has_padding(&d, round)) {
                check_padding(d, round);
                refused++;
            }
        }
    }
    assert_true(refused > 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_shares_are_as_before),
        cmocka_unit_test(large_correlations_die_where_they_are_used),
        cmocka_unit_test(large_layers_wipe_their_correlations),
        cmocka_unit_test(padding_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
