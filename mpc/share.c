#include "mpc/share.h"

#include "crypto/prg.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/ring.h"

#include <string.h>

enum csl_err csl_share_expand(uint64_t *share, const uint8_t seed[CSL_SHARE_SEED_BYTES], size_t n,
                              unsigned bits) {
    struct csl_prg prg = {0};
    enum csl_err err = csl_prg_init(&prg, seed);
    if (err == CSL_OK) {
        err = csl_prg_fill_u64(&prg, share, n, 0, bits);
    }
    csl_prg_clear(&prg);
    if (err != CSL_OK && n != 0) {
        memset(share, 0, n * sizeof *share);
    }
    return err;
}

enum csl_err csl_share_input(uint8_t *seeds, uint64_t *last, const uint64_t *x, size_t n, unsigned bits,
                             unsigned n_parties) {
    if (n_parties < 2 || n_parties > CSL_MAX_PARTIES || bits < 1 || bits > 64) {
        return CSL_EUSAGE;
    }
    size_t n_seeds = (size_t)(n_parties - 1) * CSL_SHARE_SEED_BYTES;
    uint64_t *part = csl_secret_alloc(n, sizeof *part);
    enum csl_err err = part == NULL ? CSL_ENOMEM : csl_rand_secret(seeds, n_seeds);
    if (err == CSL_OK) {
        csl_reduce_mod(last, x, n, bits);
        CSL_SECRET(last, n * sizeof *last);
    }
    for (unsigned p = 0; p + 1 < n_parties && err == CSL_OK; p++) {
        err = csl_share_expand(part, seeds + (size_t)p * CSL_SHARE_SEED_BYTES, n, bits);
        if (err == CSL_OK) {
            csl_sub_mod(last, last, part, n, bits);
        }
    }
    csl_secret_free(part);
    if (err != CSL_OK) {
        csl_wipe(seeds, n_seeds);
        csl_wipe(last, n * sizeof *last);
    }
    return err;
}

void csl_output_cut(uint64_t *out, const uint64_t *y, size_t n, unsigned bits, unsigned cut_bits) {
    uint64_t mask = csl_ring_mask(bits);
    for (size_t i = 0; i < n; i++) {
        out[i] = (y[i] & mask) >> cut_bits;
    }
}

void csl_output_join(int64_t *out, const uint64_t *const *shares, unsigned n_parties, size_t n, unsigned bits,
                     unsigned cut_bits) {
    uint64_t carries = cut_bits == 0 ? 0 : n_parties / 2;
    for (size_t i = 0; i < n; i++) {
        uint64_t sum = carries;
        for (unsigned p = 0; p < n_parties; p++) {
            sum += shares[p][i];
        }
        out[i] = csl_ring_signed(sum, bits - cut_bits);
    }
}
