/* The check of the dealer: the coin, the choice, opened bits, sacrificed matrix correlations. */
#include "mpc/check.h"

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "parties.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 6, DEMANDS = 7, MAX_ROWS = 3 };

struct world {
    unsigned n;    /* parties */
    size_t n_rows; /* e */
    uint8_t coin[CSL_COIN_BYTES];
    bool toss; /* else the coin above */
    bool name_parties;
    struct csl_demand demands[DEMANDS];
    size_t n_demands;
    uint64_t *masks[DEMANDS];
    struct csl_epoch_keys keys[CSL_MAX_PARTIES];
    uint8_t mask_id[32];
    size_t chunk;
    uint8_t *corrections;                               /* T chunks, as the dealer sends them */
    uint32_t rows[CSL_MAX_PARTIES][CSL_CHECK_MAX_ROWS]; /* that each party saw chosen */
    struct csl_diag diag[CSL_MAX_PARTIES];
};

static struct csl_conv_shape small_conv(void) {
    return (struct csl_conv_shape){.in_h = 4,
                                   .in_w = 3,
                                   .in_c = 2,
                                   .out_h = 4,
                                   .out_w = 3,
                                   .out_c = 4,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .pad_top = 1,
                                   .pad_left = 1,
                                   .dilation_h = 1,
                                   .dilation_w = 1,
                                   .groups = 2};
}

static void deal(struct world *w) {
    uint8_t *seeds = malloc((size_t)T * w->n * CSL_INDEX_SEED_BYTES);
    assert_non_null(seeds);
    for (size_t row = 0, at = 0; row < T; row++) {
        for (unsigned p = 0; p < w->n; p++, at += CSL_INDEX_SEED_BYTES) {
            assert_int_equal(csl_index_seed(seeds + at, &w->keys[p], 1, (uint32_t)row), CSL_OK);
        }
    }
    assert_int_equal(csl_dealer_corrections(w->corrections, T * w->chunk, w->demands, w->n_demands, w->n,
                                            seeds, (const uint64_t *const *)w->masks, T, NULL),
                     CSL_OK);
    CSL_PUBLIC(w->corrections, T * w->chunk);
    free(seeds);
}

/* What each party makes of its keys and of w->corrections, which may have been changed. */
static void expand(const struct world *w, struct parties *all) {
    for (unsigned p = 0; p < w->n; p++) {
        bool last = p + 1 == w->n;
        struct csl_corr **c = &all->party[p].corr;
        csl_corr_free(*c);
        assert_int_equal(csl_corr_new(c, w->demands, w->n_demands, w->n, p, T, NULL), CSL_OK);
        for (uint32_t row = 0; row < T; row++) {
            uint8_t seed[CSL_INDEX_SEED_BYTES];
            assert_int_equal(csl_index_seed(seed, &w->keys[p], 1, row), CSL_OK);
            assert_int_equal(csl_corr_expand(*c, row, seed, last ? w->corrections + row * w->chunk : NULL,
                                             last ? w->chunk : 0, NULL),
                             CSL_OK);
        }
    }
}

static void world_init(struct world *w, struct parties *all, unsigned n, size_t n_rows) {
    struct csl_conv_shape conv = small_conv();
    uint8_t id[32] = "epoch", package[32] = "package", seed[32];
    memset(w, 0, sizeof *w);
    w->n = n;
    w->n_rows = n_rows;
    w->n_demands = DEMANDS;
    w->demands[0] = csl_demand_linear(5, 4, 33);
    w->demands[1] = csl_demand_relu(70, 21, 9, 33);
    w->demands[2] = csl_demand_conv(&conv, 20);
    w->demands[3] = csl_demand_max(9, 14, 6);
    w->demands[4] = csl_demand_trunc(7, 20, 4, 30);
    w->demands[5] = csl_demand_linear(3, 3, 64);
    w->demands[6] = csl_demand_argmax(3, 8, 3, 4);
    assert_int_equal(csl_mask_id(w->mask_id, package, id), CSL_OK);
    for (unsigned p = 0; p < n; p++) {
        memset(seed, (int)p + 1, sizeof seed);
        CSL_SECRET(seed, sizeof seed);
        assert_int_equal(csl_epoch_keys_derive(&w->keys[p], id, seed), CSL_OK);
    }
    uint32_t layer = 0;
    for (size_t d = 0; d < DEMANDS; d++) {
        if (w->demands[d].kind == CSL_DEMAND_LINEAR) {
            size_t size = csl_conv_weights(&w->demands[d].conv);
            w->masks[d] = alloc_words(size);
            assert_int_equal(
                csl_weight_mask_sum(w->masks[d], w->keys, n, w->mask_id, layer++, size, w->demands[d].bits),
                CSL_OK);
        }
    }
    w->chunk = csl_correction_bytes(w->demands, DEMANDS);
    w->corrections = malloc(T * w->chunk);
    assert_non_null(w->corrections);
    parties_init(all, n);
    deal(w);
    expand(w, all);
}

static void world_clear(struct world *w, struct parties *all) {
    for (size_t d = 0; d < DEMANDS; d++) {
        free(w->masks[d]);
    }
    free(w->corrections);
    parties_clear(all);
}

/* Another session over the same correlations, which are made anew. */
static void again(struct world *w, struct parties *all) {
    for (unsigned p = 0; p < all->n; p++) {
        csl_corr_free(all->party[p].corr);
        csl_session_clear(&all->party[p].s);
    }
    csl_mem_net_free(all->net);
    parties_init(all, w->n);
    expand(w, all);
}

/* ---- A party's whole check ---- */

static const char *const names[CSL_MAX_PARTIES] = {"ada", "bob", "cleo", "dora", "emil"};

static enum csl_err own_keys(const struct world *w, uint8_t *own, unsigned me, const uint32_t *rows) {
    for (size_t i = 0; i < w->n_rows; i++, own += CSL_CHECK_KEY_BYTES) {
        uint8_t seed[CSL_INDEX_SEED_BYTES];
        TRY(csl_index_seed(seed, &w->keys[me], 1, rows[i]));
        memcpy(own, seed + CSL_SEED_BYTES, CSL_SEED_BYTES);
        TRY(csl_sha256_once(own + CSL_SEED_BYTES, seed, CSL_SEED_BYTES));
    }
    return CSL_OK;
}

static enum csl_err check(struct party *p) {
    struct world *w = p->arg;
    unsigned me = p->s.self;
    uint32_t *rows = w->rows[me];
    uint8_t coin[CSL_COIN_BYTES], own[MAX_ROWS * CSL_CHECK_KEY_BYTES];
    uint8_t opened[CSL_MAX_PARTIES * MAX_ROWS * CSL_CHECK_KEY_BYTES], matrix[32], bits[32];
    memcpy(coin, w->coin, sizeof coin);
    if (w->toss) {
        TRY(csl_check_toss(&p->s, coin, w->name_parties ? names : NULL));
    }
    TRY(csl_check_choose(rows, w->n_rows, T, coin));
    TRY(own_keys(w, own, me, rows));
    TRY(csl_check_open(&p->s, opened, own, w->n_rows, 0));
    for (size_t i = 0; i < w->n_rows; i++) {
        const uint8_t *chunk = w->corrections + rows[i] * w->chunk;
        TRY(csl_correction_digests(matrix, bits, w->demands, w->n_demands, chunk, w->chunk));
        TRY(csl_check_bits(w->demands, w->n_demands, w->n, opened + i * CSL_CHECK_KEY_BYTES,
                           w->n_rows * CSL_CHECK_KEY_BYTES, bits, me + 1 == w->n ? chunk : NULL,
                           &w->diag[me]));
    }
    TRY(csl_check_sacrifice(&p->s, p->corr, rows, w->n_rows, coin, &w->keys[me], w->mask_id));
    return csl_corr_discard(p->corr, rows, w->n_rows, &w->diag[me]);
}

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
        cmocka_unit_test(a_liar_about_its_coin_is_refused),
        cmocka_unit_test(coins_are_shared_and_fresh),
        cmocka_unit_test(every_set_of_rows_is_as_likely),
        cmocka_unit_test(matrix_keys_are_never_opened),
        cmocka_unit_test(views_of_the_sacrifice),
        cmocka_unit_test(chances_and_costs),
        cmocka_unit_test(demands_as_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
