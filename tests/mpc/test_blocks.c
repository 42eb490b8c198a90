/* Comparisons go by blocks: what is sent, and every share of the results, is what it was before they did, at
 * the borders of blocks, words and rows. */
#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "mpc/threads.h"
#include "parties.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PARTIES = 3 };

/* One run: operands and results of each party, and a digest of all that it sent. */
struct run {
    struct csl_demand demand;
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

static enum csl_err step(struct party *p) {
    struct run *r = p->arg;
    unsigned me = p->s.self;
    uint64_t *y = r->out[0][me], *yp = r->out[1][me];
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
static void share_operands(struct run *r, unsigned n_parties, size_t n, uint32_t salt) {
    unsigned l = r->demand.trunc.k + r->demand.trunc.f;
    uint64_t *x = alloc_words(n);
    for (uint32_t i = 0; i < 4; i++) {
        test_random(x, n, l - 2, salt + i);
        make_shares(r->in[i], n_parties, x, n, 64, salt + 10 * i);
    }
    free(x);
}

static void digest_run(struct csl_sha256 *all_runs, unsigned n_parties, struct csl_demand d, size_t batch,
                       uint32_t salt) {
    struct run r = {.demand = d};
    size_t n = batch * d.count;
    struct parties all;
    share_operands(&r, n_parties, n, salt);
    for (int i = 0; i < 2; i++) {
        alloc_shares(r.out[i], n_parties, n);
    }
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
            digest_words(all_runs, r.out[i][p], n);
        }
    }
    for (int i = 0; i < 4; i++) {
        free_shares(r.in[i], n_parties);
    }
    for (int i = 0; i < 2; i++) {
        free_shares(r.out[i], n_parties);
    }
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
    {"relu", d_relu, "2387c78359aca3b39b9c2f191e0724d22dd52193407f9a6374cd937d33636998"},
    {"relu, odd widths", d_relu_odd, "f19bbbbf7eac93c1fabd08183f62a330d9e753f6c3914abba584309d624b16f2"},
    {"relu of one digit", d_relu_one_digit,
     "ed63aa52553048ab4f6f1133b608b87b32e06905e04a582ec89387d991e65715"},
    {"relu, wan", d_relu_wan, "cf374a2a45bce93a33d43682cf1a62ccc74c636ff6442bfa277a8328992aa9eb"},
    {"trunc", d_trunc, "15e1fc68518a10be1e9104d132e5ffb189fd39373fc57f126c624e2c9f1ffd68"},
    {"max", d_max, "310b726f62bcd28e7b48fd3f852f9097df301cc9c1a652cdafcd921e4138ccb8"},
    {"max, wan", d_max_wan, "7185713448207a7d660930b17c3d73725b263a0925b4655adfde624492ee847b"},
    {"arg-max", d_arg_max, "9bd8bd85dae1616e421460cc3810e83f10f3a602243c54717498fef5cd526850"},
    {"arg-max, wan", d_arg_max_wan, "eef0f272a1142ad1eb7d8a0f934c50e1aa545c39bf4f72fbe5a688d5dd5cac87"},
};

/* Elements of a row, rows, parties: rows that end within bytes, words and blocks, in one row and in many. */
static const uint32_t shapes[][3] = {
    {1, 1, 2},    {7, 1, 3},    {9, 1, 2},    {63, 1, 2},   {65, 1, 2},   {1, 21, 3},
    {3, 67, 2},   {64, 5, 2},   {127, 9, 2},  {200, 11, 2}, {511, 1, 2},  {513, 3, 2},
    {1023, 1, 2}, {1024, 1, 3}, {1025, 2, 2}, {2047, 1, 2}, {2049, 1, 2}, {2111, 3, 2},
    {4095, 1, 2}, {4096, 2, 2}, {4097, 1, 2}, {8209, 1, 2},
};

static void digest_kind(char hex[2 * CSL_SHA256_BYTES + 1], demand_of_fn *demand) {
    struct csl_sha256 all;
    uint8_t digest[CSL_SHA256_BYTES];
    assert_int_equal(csl_sha256_init(&all), CSL_OK);
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        digest_run(&all, shapes[i][2], demand(shapes[i][0]), shapes[i][1], 100 + i);
    }
    assert_int_equal(csl_sha256_final(&all, digest), CSL_OK);
    csl_sha256_clear(&all);
    for (size_t i = 0; i < sizeof digest; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

static void check_kinds(void) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char hex[2 * CSL_SHA256_BYTES + 1];
        digest_kind(hex, kinds[i].demand);
        if (strcmp(hex, kinds[i].digest) != 0) {
            fail_msg("%s: %s", kinds[i].name, hex);
        }
    }
}

static void messages_and_shares_are_as_before(void **state) {
    (void)state;
    check_kinds();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_shares_are_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
