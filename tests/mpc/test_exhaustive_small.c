/* The protocols of one opening, exhaustively: truncation, and a linear layer of one element, mod 2^4 (see
 * test_exhaustive.c). */
#include "mpc/pack.h"
#include "parties.h"

#include <stdlib.h>
#include <string.h>

struct small {
    struct csl_demand demand;
    unsigned viewer;
    size_t n_secrets, n; /* secret x the viewer's share x both masks */
    uint64_t e;          /* LINEAR: the opened weight */
    uint64_t *x[2], *y[2], *seen;
};

/* Element i: secret, the viewer's share of it (4 bits), the viewer's mask, the other's mask. */
static uint64_t small_mask(const struct small *w, unsigned party, size_t i) {
    return party == w->viewer ? i / 16 % 16 : i % 16;
}

static void small_tap(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n_bytes) {
    struct small *w = arg;
    (void)n_bytes;
    if (party != w->viewer) {
        assert_int_equal(round, 1);
        csl_unpack_bits(w->seen, out, w->n, 4);
    }
}

static enum csl_err run_small(struct party *p) {
    struct small *w = p->arg;
    unsigned me = p->s.self;
    if (w->demand.kind == CSL_DEMAND_TRUNC) {
        return csl_trunc(&p->s, w->y[me], w->x[me], p->corr, 0);
    }
    const uint64_t share = me == 0 ? 5 : 9; /* W = 14, B = 3 + 6, E = 5 */
    struct csl_linear layer = {&share, NULL, csl_conv_dense(1, 1), 4};
    TRY(csl_corr_bind_weights(p->corr, 0, &w->e, NULL));
    return csl_linear_forward(&p->s, w->y[me], &layer, w->x[me], p->corr, 0);
}

static void put_small(const struct small *w, struct parties *all) {
    bool linear = w->demand.kind == CSL_DEMAND_LINEAR;
    struct csl__corr_demand *mine = all->party[w->viewer].corr->demands;
    struct csl__corr_demand *other = all->party[1 - w->viewer].corr->demands;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t a = small_mask(w, w->viewer, i), b = small_mask(w, 1 - w->viewer, i), sum = (a + b) & 15;
        uint64_t value[3] = {0, linear ? sum * 9 : sum >> 1, sum >> 3};
        mine->data[0][i] = a;
        other->data[0][i] = b;
        for (unsigned f = 1; f < mine->n_fields; f++) {
            uint64_t mask = csl_ring_mask(mine->fields[f].bits);
            mine->data[f][i] = test_dealt_share(i / 16 % 256, f, 0) & mask;
            other->data[f][i] = (value[f] - mine->data[f][i]) & mask;
        }
    }
}

static void explore_small(struct csl_demand demand, unsigned viewer, int64_t lo, int64_t hi) {
    struct small w = {.demand = demand, .viewer = viewer, .n_secrets = (size_t)(hi - lo + 1), .e = 5};
    bool linear = demand.kind == CSL_DEMAND_LINEAR;
    w.n = w.n_secrets * 16 * 256;
    w.demand.count = linear ? 0 : (uint32_t)w.n;
    size_t batch = linear ? w.n : 1;
    struct parties all;
    parties_init(&all, 2);
    csl_mem_net_tap(all.net, small_tap, &w);
    w.seen = alloc_words(w.n);
    for (unsigned p = 0; p < 2; p++) {
        w.x[p] = alloc_words(w.n);
        w.y[p] = alloc_words(w.n);
        assert_int_equal(csl_corr_new(&all.party[p].corr, &w.demand, 1, 2, p, batch, NULL), CSL_OK);
        memset(all.party[p].corr->demands[0].filled, 0xff, batch * sizeof(uint32_t));
    }
    put_small(&w, &all);
    for (size_t i = 0; i < w.n; i++) {
        uint64_t share = i / 256 % 16, secret = (uint64_t)(lo + (int64_t)(i / 4096));
        w.x[viewer][i] = share;
        w.x[1 - viewer][i] = (secret - share) & 15;
    }
    parties_run_ok(&all, run_small, &w);
    static uint32_t count[2][4096 * 16];
    for (size_t i = 0; i < w.n; i++) {
        int64_t secret = lo + (int64_t)(i / 4096);
        int64_t low = (int64_t)((small_mask(&w, 0, i) + small_mask(&w, 1, i)) & 1);
        uint64_t want = linear ? (uint64_t)secret * 14 : (uint64_t)((secret + low) >> 1);
        assert_int_equal((w.y[0][i] + w.y[1][i]) & 15, want & 15);
        if (i % 4096 == 0) {
            memset(count[1], 0, sizeof count[1]);
        }
        count[i >= 4096][(i / 16 % 256) * 16 + w.seen[i]]++; /* what the viewer holds, what it is sent */
        if (i % 4096 == 4095 && i >= 4096) {
            assert_memory_equal(count[0], count[1], sizeof count[0]);
        }
    }
    memset(count, 0, sizeof count);
    for (unsigned p = 0; p < 2; p++) {
        free(w.x[p]);
        free(w.y[p]);
    }
    free(w.seen);
    parties_clear(&all);
}

static void truncation_and_linear(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore_small(csl_demand_trunc(1, 3, 1, 4), viewer, -3, 3); /* |z| < 2^(l-2) */
        explore_small(csl_demand_linear(1, 1, 4), viewer, 0, 15);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(truncation_and_linear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
