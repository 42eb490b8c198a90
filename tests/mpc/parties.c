#include "parties.h"

#include "crypto/bytes.h"
#include "crypto/secret.h"

#include <pthread.h>
#include <stdlib.h>

void parties_init(struct parties *all, unsigned n) {
    memset(all, 0, sizeof *all);
    all->n = n;
    assert_int_equal(csl_mem_net_new(&all->net, n), CSL_OK);
    for (unsigned p = 0; p < n; p++) {
        all->party[p].net = all->net;
        assert_int_equal(csl_session_init(&all->party[p].s, csl_mem_net_link(all->net, p)), CSL_OK);
    }
}

static void *party_main(void *arg) {
    struct party *p = arg;
    p->err = p->run(p);
    if (p->err != CSL_OK) {
        csl_mem_net_leave(p->net, p->s.self);
    }
    return NULL;
}

void parties_run(struct parties *all, party_fn *fn, void *arg) {
    pthread_t thread[CSL_MAX_PARTIES];
    for (unsigned p = 0; p < all->n; p++) {
        all->party[p].run = fn;
        all->party[p].arg = arg;
        assert_int_equal(pthread_create(&thread[p], NULL, party_main, &all->party[p]), 0);
    }
    for (unsigned p = 0; p < all->n; p++) {
        assert_int_equal(pthread_join(thread[p], NULL), 0);
    }
}

void parties_run_ok(struct parties *all, party_fn *fn, void *arg) {
    parties_run(all, fn, arg);
    for (unsigned p = 0; p < all->n; p++) {
        if (all->party[p].err != CSL_OK) {
            fail_msg("party %u: %s: %s", p, csl_err_name(all->party[p].err), all->party[p].s.diag.text);
        }
    }
}

void parties_clear(struct parties *all) {
    for (unsigned p = 0; p < all->n; p++) {
        csl_session_clear(&all->party[p].s);
        csl_corr_free(all->party[p].corr);
    }
    csl_mem_net_free(all->net);
}

void test_seed(uint8_t seed[CSL_INDEX_SEED_BYTES], uint32_t salt, size_t row, unsigned party) {
    memset(seed, 0x5a, CSL_INDEX_SEED_BYTES);
    for (size_t key = 0; key < 2; key++, seed += CSL_SEED_BYTES) {
        csl_store_u32(seed, salt);
        csl_store_u32(seed + 4, (uint32_t)row);
        csl_store_u32(seed + 8, party);
        seed[12] = (uint8_t)key;
        CSL_SECRET(seed, CSL_SEED_BYTES);
    }
}

void parties_deal(struct parties *all, const struct csl_demand *demands, size_t n_demands,
                  const uint64_t *const *masks, size_t batch, uint32_t salt) {
    struct csl_diag diag = {""};
    size_t chunk = csl_correction_bytes(demands, n_demands);
    assert_true(chunk != 0);
    uint8_t *seeds = malloc(batch * all->n * CSL_INDEX_SEED_BYTES), *corrections = malloc(batch * chunk);
    assert_non_null(seeds);
    assert_non_null(corrections);
    for (size_t row = 0; row < batch; row++) {
        for (unsigned p = 0; p < all->n; p++) {
            test_seed(seeds + (row * all->n + p) * CSL_INDEX_SEED_BYTES, salt, row, p);
        }
    }
    enum csl_err err = csl_dealer_corrections(corrections, batch * chunk, demands, n_demands, all->n, seeds,
                                              masks, batch, &diag);
    if (err != CSL_OK) {
        fail_msg("dealer: %s", diag.text);
    }
    CSL_PUBLIC(corrections, batch * chunk); /* sealed to the last party */
    for (unsigned p = 0; p < all->n; p++) {
        csl_corr_free(all->party[p].corr);
        assert_int_equal(csl_corr_new(&all->party[p].corr, demands, n_demands, all->n, p, batch, &diag),
                         CSL_OK);
        for (size_t row = 0; row < batch; row++) {
            bool last = p + 1 == all->n;
            err = csl_corr_expand(all->party[p].corr, row, seeds + (row * all->n + p) * CSL_INDEX_SEED_BYTES,
                                  last ? corrections + row * chunk : NULL, last ? chunk : 0, &diag);
            if (err != CSL_OK) {
                fail_msg("expand: %s", diag.text);
            }
        }
    }
    free(seeds);
    free(corrections);
}

void test_random(uint64_t *out, size_t n, unsigned bits, uint32_t stream) {
    const uint8_t seed[32] = "consilium tests";
    struct csl_prg prg = {0};
    assert_int_equal(csl_prg_init(&prg, seed), CSL_OK);
    assert_int_equal(csl_prg_fill_u64(&prg, out, n, stream, bits), CSL_OK);
    csl_prg_clear(&prg);
    CSL_PUBLIC(out, n * sizeof *out);
}

uint64_t test_dealt_share(uint64_t own, unsigned field, unsigned plane) {
    uint64_t h = own * 0x9e3779b97f4a7c15u + field * 0xc2b2ae3d27d4eb4fu + plane * 0x165667b19e3779f9u + 1;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

uint64_t *alloc_words(size_t n) {
    uint64_t *p = calloc(n + 1, sizeof *p);
    assert_non_null(p);
    return p;
}

void alloc_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties, size_t n) {
    for (unsigned p = 0; p < n_parties; p++) {
        shares[p] = alloc_words(n);
    }
}

void make_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties, const uint64_t *x, size_t n,
                 unsigned bits, uint32_t stream) {
    alloc_shares(shares, n_parties, n);
    uint64_t *last = shares[n_parties - 1];
    csl_reduce_mod(last, x, n, bits);
    for (unsigned p = 0; p + 1 < n_parties; p++) {
        test_random(shares[p], n, bits, stream + 0x100 * (p + 1));
        csl_sub_mod(last, last, shares[p], n, bits);
    }
    for (unsigned p = 0; p < n_parties; p++) {
        CSL_SECRET(shares[p], n * sizeof *shares[p]);
    }
}

void free_shares(uint64_t *shares[CSL_MAX_PARTIES], unsigned n_parties) {
    for (unsigned p = 0; p < n_parties; p++) {
        free(shares[p]);
    }
}

void join_shares(uint64_t *out, uint64_t *const shares[CSL_MAX_PARTIES], unsigned n_parties, size_t n,
                 unsigned bits) {
    memset(out, 0, n * sizeof *out);
    for (unsigned p = 0; p < n_parties; p++) {
        csl_add_mod(out, out, shares[p], n, bits);
    }
    CSL_PUBLIC(out, n * sizeof *out);
}

void join_field(uint64_t *out, const struct parties *all, size_t demand, unsigned field) {
    const struct csl__corr_demand *first = &all->party[0].corr->demands[demand];
    const struct csl_field *f = &first->fields[field];
    size_t n = f->row_words * all->party[0].corr->batch;
    memset(out, 0, n * sizeof *out);
    for (unsigned p = 0; p < all->n; p++) {
        const uint64_t *part = all->party[p].corr->demands[demand].data[field];
        for (size_t i = 0; i < n; i++) {
            out[i] = f->form == CSL_FIELD_RING ? out[i] + part[i] : out[i] ^ part[i];
        }
    }
    csl_reduce_mod(out, out, n, f->form == CSL_FIELD_PLANES ? 64 : f->bits);
    CSL_PUBLIC(out, n * sizeof *out);
}
