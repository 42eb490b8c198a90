#include "checking.h"

#include "crypto/hash.h"
#include "crypto/secret.h"

#include <stdlib.h>
#include <string.h>

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

void deal(struct world *w) {
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

void expand(const struct world *w, struct parties *all) {
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

void world_init(struct world *w, struct parties *all, unsigned n, size_t n_rows) {
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

void world_clear(struct world *w, struct parties *all) {
    for (size_t d = 0; d < DEMANDS; d++) {
        free(w->masks[d]);
    }
    free(w->corrections);
    parties_clear(all);
}

void again(struct world *w, struct parties *all) {
    for (unsigned p = 0; p < all->n; p++) {
        csl_corr_free(all->party[p].corr);
        csl_session_clear(&all->party[p].s);
    }
    csl_mem_net_free(all->net);
    parties_init(all, w->n);
    expand(w, all);
}

/* ---- A party's whole check ---- */

const char *const names[CSL_MAX_PARTIES] = {"ada", "bob", "cleo", "dora", "emil"};

static enum csl_err own_keys(const struct world *w, uint8_t *own, unsigned me, const uint32_t *rows) {
    for (size_t i = 0; i < w->n_rows; i++, own += CSL_CHECK_KEY_BYTES) {
        uint8_t seed[CSL_INDEX_SEED_BYTES];
        TRY(csl_index_seed(seed, &w->keys[me], 1, rows[i]));
        memcpy(own, seed + CSL_SEED_BYTES, CSL_SEED_BYTES);
        TRY(csl_sha256_once(own + CSL_SEED_BYTES, seed, CSL_SEED_BYTES));
    }
    return CSL_OK;
}

enum csl_err check(struct party *p) {
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
