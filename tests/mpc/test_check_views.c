/* The check of the dealer: the coin, the choice, and what is seen of secrets. */
#include "checking.h"

#include "crypto/bytes.h"
#include "crypto/secret.h"

#include <stdlib.h>
#include <string.h>

/* ---- The coin ---- */

static enum csl_err toss(struct party *p) {
    struct world *w = p->arg;
    return csl_check_toss(&p->s, (uint8_t *)w->rows[p->s.self], w->name_parties ? names : NULL);
}

static void a_liar_about_its_coin_is_refused(void **state) {
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct world w = {.name_parties = what < 2};
        struct parties all;
        uint32_t round = what % 2 == 0 ? 1 : 2; /* another commitment, another coin */
        parties_init(&all, 3);
        csl_mem_net_fault(all.net, 1, round, CSL_MEM_CORRUPT, -1, 0x80);
        parties_run(&all, toss, &w);
        for (unsigned p = 0; p < 3; p += 2) {
            const uint8_t zero[CSL_COIN_BYTES] = {0};
            assert_int_equal(all.party[p].err, CSL_EPROTO);
            assert_non_null(strstr(all.party[p].s.diag.text,
                                   w.name_parties ? "bob revealed another" : "party 1 revealed another"));
            assert_memory_equal(w.rows[p], zero, sizeof zero);
        }
        parties_clear(&all);
    }
}

static void coins_are_shared_and_fresh(void **state) {
    (void)state;
    struct world w = {.n = 5};
    uint8_t before[CSL_COIN_BYTES] = {0};
    for (int i = 0; i < 3; i++) {
        struct parties all;
        parties_init(&all, 5);
        parties_run_ok(&all, toss, &w);
        for (unsigned p = 1; p < 5; p++) {
            assert_memory_equal(w.rows[p], w.rows[0], CSL_COIN_BYTES);
        }
        assert_memory_not_equal(w.rows[0], before, CSL_COIN_BYTES);
        memcpy(before, w.rows[0], sizeof before);
        parties_clear(&all);
    }
}

static void every_set_of_rows_is_as_likely(void **state) {
    (void)state;
    enum { TRIES = 20000 };
    uint8_t coin[CSL_COIN_BYTES] = {1};
    uint32_t rows[CSL_CHECK_MAX_ROWS], count[1 << 6] = {0};
    for (uint32_t i = 0; i < TRIES; i++) {
        csl_store_u32(coin + 4, i);
        assert_int_equal(csl_check_choose(rows, 3, 6, coin), CSL_OK);
        assert_true(rows[0] < rows[1] && rows[1] < rows[2] && rows[2] < 6);
        count[1 << rows[0] | 1 << rows[1] | 1 << rows[2]]++;
    }
    double chi = 0, mean = TRIES / 20.0; /* C(6, 3) sets: chi squared of 19 degrees */
    for (unsigned set = 0; set < 64; set++) {
        if (__builtin_popcount(set) == 3) {
            chi += (count[set] - mean) * (count[set] - mean) / mean;
        }
    }
    assert_true(chi < 50);
    for (uint32_t n = 1; n <= CSL_CHECK_MAX_ROWS; n++) { /* all but one, and few of many */
        assert_int_equal(csl_check_choose(rows, n, n + 1, coin), CSL_OK);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(rows[i] == i || rows[i] == i + 1);
        }
        assert_int_equal(csl_check_choose(rows, n, CSL_MAX_BATCH, coin), CSL_OK);
        for (uint32_t i = 1; i < n; i++) {
            assert_true(rows[i] > rows[i - 1] && rows[i] < CSL_MAX_BATCH);
        }
    }
    assert_int_equal(csl_check_choose(rows, 0, 6, coin), CSL_EUSAGE);
    assert_int_equal(csl_check_choose(rows, 6, 6, coin), CSL_EUSAGE);
    assert_int_equal(csl_check_choose(rows, CSL_CHECK_MAX_ROWS + 1, 1000, coin), CSL_EUSAGE);
    assert_int_equal(csl_check_choose(rows, 1, CSL_MAX_BATCH + 1, coin), CSL_EUSAGE);
}

/* ---- What is seen ---- */

struct seen {
    uint8_t *bytes;
    size_t n;
};

static void collect(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n) {
    struct seen *s = arg;
    (void)party;
    (void)round;
    s->bytes = realloc(s->bytes, s->n + n);
    assert_non_null(s->bytes);
    memcpy(s->bytes + s->n, out, n);
    s->n += n;
}

static bool holds(const struct seen *s, const uint8_t *p, size_t n) {
    return memmem(s->bytes, s->n, p, n) != NULL;
}

/* Of the chosen rows the bits keys; of no row a matrix key or a half of one; of no other row anything. */
static void matrix_keys_are_never_opened(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    struct seen seen = {NULL, 0};
    world_init(&w, &all, 3, 2);
    csl_mem_net_tap(all.net, collect, &seen);
    w.toss = true;
    parties_run_ok(&all, check, &w);
    for (uint32_t row = 0; row < T; row++) {
        bool chosen = w.rows[0][0] == row || w.rows[0][1] == row;
        for (unsigned p = 0; p < 3; p++) {
            uint8_t seed[CSL_INDEX_SEED_BYTES];
            assert_int_equal(csl_index_seed(seed, &w.keys[p], 1, row), CSL_OK);
            CSL_PUBLIC(seed, sizeof seed);
            assert_false(holds(&seen, seed, 16));
            assert_false(holds(&seen, seed + 16, 16));
            assert_true(holds(&seen, seed + 32, 32) == chosen);
            CSL_PUBLIC(&w.keys[p], sizeof w.keys[p]);
            assert_false(holds(&seen, w.keys[p].corr_key, 16));
            assert_false(holds(&seen, w.keys[p].mask_key, 16));
        }
    }
    free(seen.bytes);
    world_clear(&w, &all);
}

/* Exhaustive mod 2^4: the messages of the other party in the sacrifice are the same, as a multiset over its
 * mask A', whatever its A and its part of B are. Every channel of a convolution with as many groups is an
 * experiment of its own. The parts of B come from a key: each pair of them turns up often enough. */
enum { CHANNELS = 1 << 17, PER_PAIR = 256 };

struct exhaustive {
    struct world w;
    struct csl_demand demand;
    unsigned viewer;
    uint64_t *message[2]; /* of the other: its S, its V */
};

static void exhaustive_tap(void *arg, unsigned party, uint32_t round, const uint8_t *out, size_t n) {
    struct exhaustive *x = arg;
    (void)n;
    if (party != x->viewer) {
        for (size_t i = 0; i < CHANNELS; i++) {
            x->message[round - 1][i] = out[i / 2] >> (4 * (i % 2)) & 15;
        }
    }
}

static enum csl_err exhaustive_run(struct party *p) {
    struct exhaustive *x = p->arg;
    const uint32_t row = 1;
    return csl_check_sacrifice(&p->s, p->corr, &row, 1, x->w.coin, &x->w.keys[p->s.self], x->w.mask_id);
}

static void explore(unsigned viewer, uint64_t a_v, uint64_t mask_v, uint64_t b_v) {
    struct exhaustive x = {.viewer = viewer};
    struct parties all;
    uint64_t *b[2] = {alloc_words(CHANNELS), alloc_words(CHANNELS)};
    uint8_t *a = calloc(CHANNELS, 1), *mask = calloc(CHANNELS, 1);
    uint16_t in_pair[16] = {0};
    struct csl_conv_shape conv = csl_conv_dense(CHANNELS, CHANNELS);
    conv.groups = CHANNELS;
    x.demand = csl_demand_conv(&conv, 4);
    x.message[0] = alloc_words(CHANNELS);
    x.message[1] = alloc_words(CHANNELS);
    parties_init(&all, 2);
    csl_mem_net_tap(all.net, exhaustive_tap, &x);
    for (unsigned p = 0; p < 2; p++) {
        memset(&x.w.keys[p], (int)p + 1, sizeof x.w.keys[p]);
        assert_int_equal(csl_weight_mask(b[p], &x.w.keys[p], x.w.mask_id, 0, CHANNELS, 4), CSL_OK);
        CSL_PUBLIC(b[p], CHANNELS * sizeof *b[p]);
        assert_int_equal(csl_corr_new(&all.party[p].corr, &x.demand, 1, 2, p, 2, NULL), CSL_OK);
        memset(all.party[p].corr->demands[0].filled, 0xff, 2 * sizeof(uint32_t));
    }
    struct csl__corr_demand *mine = all.party[viewer].corr->demands,
                            *other = all.party[1 - viewer].corr->demands;
    for (size_t i = 0; i < CHANNELS; i++) {
        uint64_t b_o = b[1 - viewer][i], b_sum = b[0][i] + b[1][i];
        if (b[viewer][i] == b_v && in_pair[b_o] < PER_PAIR) {
            a[i] = (uint8_t)(in_pair[b_o] / 16);
            mask[i] = (uint8_t)(in_pair[b_o]++ % 16);
        }
        for (size_t row = 0; row < 2; row++) {
            uint64_t own = row == 0 ? a_v : mask_v, others = row == 0 ? a[i] : mask[i];
            uint64_t c =
                test_dealt_share(own, 1, (unsigned)row) & 15; /* all that the viewer holds is fixed */
            csl__corr_row(mine, CSL_LINEAR_A, row)[i] = own;
            csl__corr_row(other, CSL_LINEAR_A, row)[i] = others;
            csl__corr_row(mine, CSL_LINEAR_C, row)[i] = c;
            csl__corr_row(other, CSL_LINEAR_C, row)[i] = ((own + others) * b_sum - c) & 15;
        }
    }
    parties_run_ok(&all, exhaustive_run, &x);
    static uint16_t count[256][256]; /* by A and B of the other: messages */
    memset(count, 0, sizeof count);
    memset(in_pair, 0, sizeof in_pair);
    for (size_t i = 0; i < CHANNELS; i++) {
        uint64_t b_o = b[1 - viewer][i];
        if (b[viewer][i] == b_v && in_pair[b_o] < PER_PAIR) {
            in_pair[b_o]++;
            count[a[i] * 16 + b_o][x.message[0][i] * 16 + x.message[1][i]]++;
        }
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(in_pair[i], PER_PAIR);
    }
    for (size_t secret = 1; secret < 256; secret++) {
        assert_memory_equal(count[secret], count[0], sizeof count[0]);
    }
    for (unsigned p = 0; p < 2; p++) {
        free(b[p]);
        free(x.message[p]);
    }
    free(a);
    free(mask);
    parties_clear(&all);
}

static void views_of_the_sacrifice(void **state) {
    (void)state;
    for (unsigned viewer = 0; viewer < 2; viewer++) {
        explore(viewer, 5, 11, 3);
        explore(viewer, 8, 0, 14);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_liar_about_its_coin_is_refused), cmocka_unit_test(coins_are_shared_and_fresh),
        cmocka_unit_test(every_set_of_rows_is_as_likely),   cmocka_unit_test(matrix_keys_are_never_opened),
        cmocka_unit_test(views_of_the_sacrifice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
