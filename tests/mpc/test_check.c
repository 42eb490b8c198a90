/* The check of the dealer: opened bits, sacrificed matrix correlations, what they find and what they cost. */
#include "checking.h"

#include "crypto/bytes.h"
#include "crypto/secret.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- An honest dealer ---- */

/* Kept rows are what they were, those behind them are wiped. */
static void check_kept(const struct csl_corr *got, const struct csl_corr *was, const uint32_t *rows,
                       size_t n) {
    assert_int_equal(csl_corr_batch(got), T - n);
    for (size_t d = 0; d < was->n_demands; d++) {
        const struct csl__corr_demand *a = &got->demands[d], *b = &was->demands[d];
        for (unsigned f = 0; f < a->n_fields; f++) {
            size_t words = a->fields[f].row_words, kept = 0;
            for (size_t row = 0, gone = 0; row < T && words != 0; row++) {
                if (gone < n && rows[gone] == row) {
                    gone++;
                    continue;
                }
                CSL_PUBLIC(csl__corr_row(a, f, kept), words * 8);
                CSL_PUBLIC(csl__corr_row(b, f, row), words * 8);
                assert_memory_equal(csl__corr_row(a, f, kept), csl__corr_row(b, f, row), words * 8);
                assert_int_equal(a->filled[kept++], b->filled[row]);
            }
            for (size_t i = kept * words; i < T * words; i++) {
                assert_int_equal(a->data[f][i], 0);
            }
        }
    }
}

static void an_honest_dealer_passes(void **state) {
    (void)state;
    const unsigned n_parties[] = {2, 3, 5};
    for (size_t t = 0; t < 3; t++) {
        for (size_t e = 1; e <= MAX_ROWS; e++) {
            struct world w;
            struct parties all, was;
            world_init(&w, &all, n_parties[t], e);
            parties_init(&was, w.n);
            expand(&w, &was);
            w.toss = true;
            parties_run_ok(&all, check, &w);
            for (unsigned p = 0; p < w.n; p++) {
                assert_memory_equal(w.rows[p], w.rows[0], e * sizeof(uint32_t));
                check_kept(all.party[p].corr, was.party[p].corr, w.rows[0], e);
                assert_int_equal(all.party[p].s.stats.rounds, csl_check_rounds(w.demands, DEMANDS));
                assert_int_equal(all.party[p].s.stats.bytes_per_peer,
                                 csl_check_bytes(w.demands, DEMANDS, e, 0));
            }
            parties_clear(&was);
            world_clear(&w, &all);
        }
    }
}

static enum csl_err sacrifice_only(struct party *p) {
    struct world *w = p->arg;
    return csl_check_sacrifice(&p->s, p->corr, w->rows[p->s.self], w->n_rows, w->coin, &w->keys[p->s.self],
                               w->mask_id);
}

/* Layers beyond one round's openings, none at all, and layers numbered as the dealer numbers them. */
static void any_number_of_layers(void **state) {
    (void)state;
    const size_t numbers[] = {0, 1, 64, 65, 130};
    for (size_t t = 0; t < 5; t++) {
        size_t n = numbers[t];
        struct csl_demand demands[131];
        uint64_t b[130][6];
        const uint64_t *masks[131] = {NULL};
        struct world w;
        struct parties all;
        world_init(&w, &all, 2, 1);
        demands[0] = csl_demand_trunc(3, 6, 2, 9);
        for (size_t d = 0; d < n; d++) {
            demands[d + 1] = csl_demand_linear(3, 2, 17);
            masks[d + 1] = b[d];
            assert_int_equal(csl_weight_mask_sum(b[d], w.keys, 2, w.mask_id, (uint32_t)d, 6, 17), CSL_OK);
        }
        parties_deal(&all, demands, n + 1, masks, 3, 5);
        w.rows[0][0] = w.rows[1][0] = 1;
        assert_int_equal(csl_check_rounds(demands, n + 1), 3 + 2 * ((n + 63) / 64));
        parties_run_ok(&all, sacrifice_only, &w);
        assert_int_equal(all.party[0].s.stats.rounds, 2 * ((n + 63) / 64));
        world_clear(&w, &all);
    }
}

/* ---- Wrong bits ---- */

struct place { /* of a dealt field in a chunk */
    size_t demand, at, n_bytes;
    const char *name;
    bool linear;
};

static size_t all_places(struct place *out, const struct world *w) {
    size_t n = 0, at = 0;
    for (size_t d = 0; d < w->n_demands; d++) {
        struct csl_field f[CSL_MAX_FIELDS];
        size_t n_fields = csl_demand_fields(f, &w->demands[d]);
        for (size_t i = 0; i < n_fields; i++) {
            if (f[i].dealt && f[i].row_bytes != 0) {
                out[n++] =
                    (struct place){d, at, f[i].row_bytes, f[i].name, w->demands[d].kind == CSL_DEMAND_LINEAR};
                at += f[i].row_bytes;
            }
        }
    }
    assert_int_equal(at, w->chunk);
    return n;
}

/* Every dealt field of every demand, its first and its last byte, seen by the last party (which names it) and
 * by another. */
static void every_wrong_field_is_caught(void **state) {
    (void)state;
    for (unsigned n = 2; n <= 5; n++) {
        struct world w;
        struct parties all;
        struct place places[CSL_MAX_FIELDS * DEMANDS];
        uint8_t keys[CSL_MAX_PARTIES][CSL_SEED_BYTES], matrix[32], bits[32], seed[CSL_INDEX_SEED_BYTES];
        world_init(&w, &all, n, 1);
        for (unsigned p = 0; p < n; p++) {
            assert_int_equal(csl_index_seed(seed, &w.keys[p], 1, 0), CSL_OK);
            memcpy(keys[p], seed + CSL_SEED_BYTES, CSL_SEED_BYTES);
        }
        CSL_PUBLIC(keys, sizeof keys);
        size_t n_places = all_places(places, &w), caught = 0;
        for (size_t i = 0; i < 2 * n_places; i++) {
            const struct place *at = &places[i / 2];
            struct csl_diag diag = {""};
            uint8_t *byte = w.corrections + at->at + (i % 2 == 0 ? 0 : at->n_bytes - 1);
            *byte ^= 1;
            assert_int_equal(csl_correction_digests(matrix, bits, w.demands, DEMANDS, w.corrections, w.chunk),
                             CSL_OK);
            enum csl_err err =
                csl_check_bits(w.demands, DEMANDS, n, keys[0], CSL_SEED_BYTES, bits, w.corrections, &diag);
            assert_int_equal(err, at->linear ? CSL_OK : CSL_EAUTH); /* those are for the sacrifice */
            char want[64];
            (void)snprintf(want, sizeof want, "demand %zu, %s", at->demand, at->name);
            assert_true(at->linear || strstr(diag.text, want) != NULL);
            caught += err == CSL_EAUTH;
            err = csl_check_bits(w.demands, DEMANDS, n, keys[0], CSL_SEED_BYTES, bits, NULL, &diag);
            assert_int_equal(err, at->linear ? CSL_OK : CSL_EAUTH);
            *byte ^= 1;
        }
        assert_true(caught > 40);
        /* a wrong key is not what the corrections were made from */
        assert_int_equal(csl_correction_digests(matrix, bits, w.demands, DEMANDS, w.corrections, w.chunk),
                         CSL_OK);
        keys[n - 1][0] ^= 1;
        assert_int_equal(csl_check_bits(w.demands, DEMANDS, n, keys[0], CSL_SEED_BYTES, bits, NULL, NULL),
                         CSL_EAUTH);
        world_clear(&w, &all);
    }
}

/* A bad row is caught exactly when it is opened, by every party. */
static void a_bad_row_is_caught_when_it_is_opened(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    world_init(&w, &all, 3, 2);
    size_t opened = 0;
    w.corrections[2 * w.chunk + csl_correction_bytes(w.demands, 1)] ^= 1; /* row 2, the ReLU's first table */
    for (uint8_t coin = 0; coin < 40; coin++) {
        memset(w.coin, coin, sizeof w.coin);
        again(&w, &all);
        parties_run(&all, check, &w);
        bool hit = w.rows[0][0] == 2 || w.rows[0][1] == 2;
        for (unsigned p = 0; p < 3; p++) {
            assert_int_equal(all.party[p].err, hit ? CSL_EAUTH : CSL_OK);
        }
        opened += hit;
    }
    assert_true(opened > 5 && opened < 25); /* 2 of 6 */
    world_clear(&w, &all);
}

/* ---- Wrong matrix correlations ---- */

/* XORs `bit` of element 1 of C of a demand in the corrections of a row: an error of 2^bit mod 2^bits. */
static void flip_c(struct world *w, uint32_t row, size_t demand, unsigned bit) {
    size_t at = 0;
    for (size_t d = 0; d < demand; d++) {
        at += csl_correction_bytes(&w->demands[d], 1);
    }
    size_t place = w->demands[demand].bits + bit;
    w->corrections[row * w->chunk + at + place / 8] ^= (uint8_t)(1u << place % 8);
}

static size_t passes(struct world *w, struct parties *all, uint32_t row, size_t demand, unsigned bit,
                     unsigned tries) {
    size_t passed = 0, unseen = 0;
    flip_c(w, row, demand, bit);
    for (unsigned i = 0; i < tries; i++) {
        csl_store_u32(w->coin, i * 77 + bit);
        again(w, all);
        parties_run(all, check, w);
        bool chosen = false;
        for (size_t e = 0; e < w->n_rows; e++) {
            chosen = chosen || w->rows[0][e] == row;
        }
        enum csl_err err = all->party[0].err;
        for (unsigned p = 1; p < w->n; p++) {
            assert_int_equal(all->party[p].err, err); /* they see the same */
        }
        char want[32];
        (void)snprintf(want, sizeof want, "demand %zu, C", demand);
        assert_true(err == CSL_OK || (err == CSL_EAUTH && strstr(all->party[0].s.diag.text, want) != NULL));
        assert_true(!chosen || err == CSL_EAUTH); /* a wrong C' is always seen */
        unseen += !chosen;
        passed += err == CSL_OK;
    }
    flip_c(w, row, demand, bit);
    assert_true(unseen > tries / 4);
    return passed;
}

static void wrong_products_are_caught(void **state) {
    (void)state;
    for (size_t e = 1; e <= MAX_ROWS; e++) {
        struct world w;
        struct parties all;
        world_init(&w, &all, 2, e);
        const size_t demands[] = {0, 2, 5};
        for (size_t i = 0; i < 3; i++) {
            unsigned bits = w.demands[demands[i]].bits;
            assert_int_equal(passes(&w, &all, 1, demands[i], 0, 20), 0);
            assert_int_equal(passes(&w, &all, 4, demands[i], 3, 20), 0);
            /* the top bit: 2^-e of those whose row is not chosen, (6 - e)/6 of all */
            unsigned tries = 240;
            double mean = tries * (T - (double)e) / T / (double)(1 << e);
            double got = (double)passes(&w, &all, 2, demands[i], bits - 1, tries);
            assert_true(fabs(got - mean) < 5 * sqrt(mean));
        }
        world_clear(&w, &all);
    }
}

static void another_mask_is_caught(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    world_init(&w, &all, 3, 2);
    w.masks[2][7] ^= 1;
    deal(&w);
    again(&w, &all);
    parties_run(&all, check, &w);
    for (unsigned p = 0; p < 3; p++) {
        assert_int_equal(all.party[p].err, CSL_EAUTH);
        assert_non_null(strstr(all.party[p].s.diag.text, "demand 2, C"));
        assert_int_equal(csl_session_error(&all.party[p].s), CSL_EAUTH); /* poisoned */
        assert_int_equal(csl_corr_batch(all.party[p].corr), T);
    }
    world_clear(&w, &all);
}

/* ---- Wrong use ---- */

static void wrong_use_is_refused(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    struct csl_diag diag = {""};
    world_init(&w, &all, 2, 1);
    const uint32_t beyond[] = {T}, twice[] = {1, 1}, falling[] = {2, 1}, every[] = {0, 1, 2, 3, 4, 5},
                   one[] = {3};
    struct csl_corr *c = all.party[1].corr;
    assert_int_equal(csl_corr_discard(c, beyond, 1, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_discard(c, twice, 2, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_discard(c, falling, 2, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_discard(c, every, T, &diag), CSL_EINTERNAL);
    const uint32_t *bad[] = {beyond, twice, falling, every};
    const size_t n_bad[] = {1, 2, 2, T};
    for (size_t i = 0; i < 4; i++) {
        struct csl_session s;
        assert_int_equal(csl_session_init(&s, csl_mem_net_link(all.net, 1)), CSL_OK);
        assert_int_equal(csl_check_sacrifice(&s, c, bad[i], n_bad[i], w.coin, &w.keys[1], w.mask_id),
                         CSL_EINTERNAL);
        assert_int_equal(s.stats.rounds, 0);
        csl_session_clear(&s);
    }
    /* what came is what is given back; only at the last party, only before the weights are bound */
    uint8_t *chunk = malloc(w.chunk);
    assert_non_null(chunk);
    for (size_t row = 0; row < T; row++) {
        assert_int_equal(csl_corr_corrections(chunk, w.chunk, c, row, &diag), CSL_OK);
        CSL_PUBLIC(chunk, w.chunk);
        assert_memory_equal(chunk, w.corrections + row * w.chunk, w.chunk);
    }
    assert_int_equal(csl_corr_corrections(chunk, w.chunk, c, T, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_corrections(chunk, w.chunk - 1, c, 0, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_corrections(chunk, w.chunk, all.party[0].corr, 0, &diag), CSL_EINTERNAL);
    uint64_t e[20] = {0};
    assert_int_equal(csl_corr_bind_weights(c, 0, e, &diag), CSL_OK);
    assert_int_equal(csl_corr_corrections(chunk, w.chunk, c, 0, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_corr_discard(c, one, 1, &diag), CSL_EINTERNAL);
    assert_int_equal(csl_check_sacrifice(&all.party[1].s, c, one, 1, w.coin, &w.keys[1], w.mask_id),
                     CSL_EINTERNAL);
    free(chunk);
    world_clear(&w, &all);
}

/* ---- Numbers and bytes ---- */

static void chances_and_costs(void **state) {
    (void)state;
    assert_true(fabs(csl_check_chance(10, 3, 1) - 0.3) < 1e-12);
    assert_true(fabs(csl_check_chance(6, 2, 2) - (1 - 6.0 / 15.0)) < 1e-12);
    assert_true(csl_check_chance(10, 0, 5) == 0);
    assert_true(csl_check_chance(10, 3, 0) == 0);
    assert_true(csl_check_chance(10, 3, 8) == 1);
    assert_true(csl_check_chance(258, 2, 258) == 1);
    const unsigned want[] = {0, 0, 1, 2, 2, 3, 3, 3, 3, 4};
    for (uint32_t n = 1; n < 10; n++) {
        assert_int_equal(csl_check_path_nodes(n), want[n]);
    }
    assert_int_equal(csl_check_path_nodes(UINT32_MAX), 32);
}

static void demands_as_bytes(void **state) {
    (void)state;
    struct world w;
    struct parties all;
    world_init(&w, &all, 2, 1);
    uint8_t bytes[DEMANDS * CSL_DEMAND_BYTES], again_bytes[sizeof bytes], digest[32], other[32];
    struct csl_demand got[DEMANDS];
    csl_demands_encode(bytes, w.demands, DEMANDS);
    assert_int_equal(csl_demands_digest(digest, w.demands, DEMANDS), CSL_OK);
    assert_int_equal(csl_demands_digest(other, w.demands, DEMANDS - 1), CSL_OK);
    assert_memory_not_equal(digest, other, 32);
    assert_int_equal(csl_demands_decode(got, bytes, DEMANDS, NULL), CSL_OK);
    csl_demands_encode(again_bytes, got, DEMANDS);
    assert_memory_equal(bytes, again_bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) { /* refused, or other demands with another digest */
        struct csl_diag diag = {""};
        bytes[i] ^= 0x11;
        enum csl_err err = csl_demands_decode(got, bytes, DEMANDS, &diag);
        if (err == CSL_OK) {
            assert_int_equal(csl_demands_digest(other, got, DEMANDS), CSL_OK);
            assert_memory_not_equal(digest, other, 32);
        } else {
            assert_int_equal(err, CSL_EDATA);
            assert_non_null(strstr(diag.text, "demand"));
        }
        bytes[i] ^= 0x11;
    }
    assert_int_equal(csl_correction_digests(digest, other, w.demands, DEMANDS, w.corrections, w.chunk - 1),
                     CSL_EPROTO);
    world_clear(&w, &all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_dealer_passes),
        cmocka_unit_test(any_number_of_layers),
        cmocka_unit_test(every_wrong_field_is_caught),
        cmocka_unit_test(a_bad_row_is_caught_when_it_is_opened),
        cmocka_unit_test(wrong_products_are_caught),
        cmocka_unit_test(another_mask_is_caught),
        cmocka_unit_test(wrong_use_is_refused),
        cmocka_unit_test(chances_and_costs),
        cmocka_unit_test(demands_as_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
