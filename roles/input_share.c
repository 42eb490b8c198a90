#include "roles/input_share.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/kdf.h"
#include "crypto/rand.h"
#include "crypto/secret.h"
#include "mpc/pack.h"
#include "mpc/ring.h"
#include "mpc/share.h"
#include "nn/eval.h"
#include "roles/lane/record.h"

void csl_input_share_clear(struct csl_input_share *s) {
    csl_secret_free(s->last);
    csl_secret_free(s->packed);
    csl_secret_free(s->seeds);
    csl_secret_free(s->salts);
    csl_signed_clear(&s->statement);
    memset(s, 0, sizeof *s);
}

/* Values of one owner's box in fixed point: put into whole inputs, encoded with them, and taken out again, so
 * that a part is encoded and judged exactly as an input is. */
static enum csl_err encode_part(uint64_t *out, const struct csl_plan *plan, const struct csl_part *part,
                                const float *x, uint32_t count, struct csl_diag *diag) {
    size_t n = csl_part_elements(part), whole = csl_plan_n_inputs(plan);
    uint32_t *logical = malloc(2 * n * sizeof *logical);
    float *full = csl_secret_alloc(whole, sizeof *full);
    int64_t *coded = csl_secret_alloc(whole, sizeof *coded);
    enum csl_err err = logical == NULL || full == NULL || coded == NULL ? CSL_ENOMEM : CSL_OK;
    if (err == CSL_OK) {
        csl_part_positions(part, plan, logical, logical + n);
    }
    for (uint32_t row = 0; err == CSL_OK && row < count; row++) {
        for (size_t i = 0; i < whole; i++) {
            full[i] = (float)plan->input.lo;
        }
        for (size_t i = 0; i < n; i++) {
            full[logical[i]] = x[row * n + i];
        }
        err = csl_plan_encode_input(plan, coded, full, 1, diag);
        for (size_t i = 0; err == CSL_OK && i < n; i++) {
            out[row * n + i] = (uint64_t)coded[logical[n + i]];
        }
    }
    free(logical);
    csl_secret_free(full);
    csl_secret_free(coded);
    return err;
}

/* ---- Shares ---- */

enum csl_err csl_input_row_seed(uint8_t out[CSL_SHARE_SEED_BYTES], const uint8_t seed[CSL_SHARE_SEED_BYTES],
                                uint32_t row) {
    uint8_t number[4];
    csl_store_u32(number, row);
    return csl_prf(out, seed, "row", number, sizeof number);
}

enum csl_err csl_input_expand(uint64_t *out, const uint8_t seed[CSL_SHARE_SEED_BYTES], uint32_t count,
                              size_t each, unsigned bits) {
    uint8_t row_seed[CSL_SHARE_SEED_BYTES];
    enum csl_err err = CSL_OK;
    for (uint32_t row = 0; row < count && err == CSL_OK; row++) {
        err = csl_input_row_seed(row_seed, seed, row);
        if (err == CSL_OK) {
            err = csl_share_expand(out + row * each, row_seed, each, bits);
        }
    }
    csl_wipe(row_seed, sizeof row_seed);
    return err;
}

/* Step I1: what is left of x when the others' shares are taken away is the last party's. */
static enum csl_err split(struct csl_input_share *s, const uint64_t *x) {
    uint64_t *share = csl_secret_alloc(s->n, sizeof *share);
    enum csl_err err = share == NULL
                           ? CSL_ENOMEM
                           : csl_rand_secret(s->seeds, (size_t)(s->n_parties - 1) * CSL_SHARE_SEED_BYTES);
    if (err == CSL_OK) {
        csl_reduce_mod(s->last, x, s->n, s->bits);
        CSL_SECRET(s->last, s->n * sizeof *s->last);
    }
    for (unsigned p = 0; p + 1 < s->n_parties && err == CSL_OK; p++) {
        err =
            csl_input_expand(share, s->seeds + (size_t)p * CSL_SHARE_SEED_BYTES, s->count, s->each, s->bits);
        if (err == CSL_OK) {
            csl_sub_mod(s->last, s->last, share, s->n, s->bits);
        }
    }
    csl_secret_free(share);
    return err;
}

static enum csl_err make(struct csl_input_share *s, uint64_t *x_coded, const struct csl_plan *plan,
                         const struct csl_part *part, const float *x, uint32_t count, struct csl_diag *diag) {
    if (part != NULL) {
        TRY(encode_part(x_coded, plan, part, x, count, diag));
    } else {
        TRY(csl_plan_encode_input(plan, (int64_t *)x_coded, x, count, diag));
    }
    TRY(split(s, x_coded));
    csl_pack_bits(s->packed, s->last, s->n, s->bits);
    return CSL_OK;
}

enum csl_err csl_input_share_make(struct csl_input_share *out, const struct csl_plan *plan,
                                  const struct csl_part *part, const float *x, uint32_t count,
                                  unsigned n_parties, struct csl_diag *diag) {
    size_t each = part != NULL ? csl_part_elements(part) : csl_plan_n_inputs(plan);
    *out = (struct csl_input_share){.n_parties = n_parties,
                                    .bits = csl_plan_input_bits(plan),
                                    .count = count,
                                    .each = each,
                                    .n = (size_t)count * each};
    TRY(csl_pack_size(&out->n_packed, out->n, out->bits));
    out->last = csl_secret_alloc(out->n, sizeof *out->last);
    out->packed = csl_secret_alloc(out->n_packed, 1);
    out->seeds = csl_secret_alloc(n_parties, CSL_SHARE_SEED_BYTES);
    uint64_t *x_coded = csl_secret_alloc(out->n, sizeof *x_coded);
    enum csl_err err = out->last == NULL || out->packed == NULL || out->seeds == NULL || x_coded == NULL
                           ? CSL_ENOMEM
                           : make(out, x_coded, plan, part, x, count, diag);
    csl_secret_free(x_coded);
    if (err != CSL_OK) {
        csl_input_share_clear(out);
    }
    return err;
}

enum csl_err csl_input_share_of(uint64_t *out, const struct csl_input_share *s, unsigned party) {
    if (party + 1 < s->n_parties) {
        return csl_input_expand(out, s->seeds + (size_t)party * CSL_SHARE_SEED_BYTES, s->count, s->each,
                                s->bits);
    }
    memcpy(out, s->last, s->n * sizeof *out);
    return CSL_OK;
}

/* ---- Commitments and the owner's signature ---- */

enum csl_err csl_input_leaves(uint8_t *leaves, const uint8_t salt[CSL_DIGEST_BYTES], const uint8_t *seed,
                              const uint64_t *x, uint32_t count, size_t each, unsigned bits) {
    size_t n = CSL_SHARE_SEED_BYTES;
    if (seed == NULL) {
        TRY(csl_pack_size(&n, each, bits));
    }
    uint8_t *share = csl_secret_alloc(n, 1);
    enum csl_err err = share == NULL ? CSL_ENOMEM : CSL_OK;
    for (uint32_t row = 0; row < count && err == CSL_OK; row++) {
        if (seed != NULL) {
            err = csl_input_row_seed(share, seed, row);
        } else {
            csl_pack_bits(share, x + row * each, each, bits);
        }
        if (err == CSL_OK) {
            err = csl_input_leaf(leaves + (size_t)row * CSL_MERKLE_BYTES, salt, row, share, n);
        }
    }
    csl_secret_free(share);
    return err;
}

static enum csl_err root_of(uint8_t root[CSL_MERKLE_BYTES], const struct csl_input_share *s, unsigned party,
                            uint8_t *leaves) {
    bool last = party + 1 == s->n_parties;
    TRY(csl_input_leaves(leaves, s->salts + (size_t)party * CSL_DIGEST_BYTES,
                         last ? NULL : s->seeds + (size_t)party * CSL_SHARE_SEED_BYTES, s->last, s->count,
                         s->each, s->bits));
    return csl_merkle_root(root, leaves, s->count);
}

enum csl_err csl_input_share_sign(struct csl_input_share *s, EVP_PKEY *key,
                                  const uint8_t session[CSL_DIGEST_BYTES], uint32_t batch, uint32_t part,
                                  const uint8_t *guest, uint32_t request, struct csl_diag *diag) {
    uint8_t roots[CSL_MAX_PARTIES][CSL_MERKLE_BYTES];
    ProtobufCBinaryData list[CSL_MAX_PARTIES];
    s->salts = csl_secret_alloc(s->n_parties, CSL_DIGEST_BYTES);
    uint8_t *leaves = calloc(s->count, CSL_MERKLE_BYTES);
    enum csl_err err = s->salts == NULL || leaves == NULL
                           ? CSL_ENOMEM
                           : csl_rand_secret(s->salts, s->n_parties * (size_t)CSL_DIGEST_BYTES);
    for (unsigned i = 0; i < s->n_parties && err == CSL_OK; i++) {
        err = root_of(roots[i], s, i, leaves);
        list[i] = csl_bytes(roots[i], CSL_MERKLE_BYTES);
    }
    free(leaves);
    TRY(err);
    Csl__Audit__InputStatement m = CSL__AUDIT__INPUT_STATEMENT__INIT;
    m.session = csl_bytes(session, CSL_DIGEST_BYTES);
    m.batch = batch;
    m.count = s->count;
    m.part = part;
    m.guest = csl_bytes(guest, guest == NULL ? 0 : CSL_GUEST_ID_BYTES);
    m.request = request;
    m.n_roots = s->n_parties;
    m.roots = list;
    return csl_statement_sign(&s->statement, CSL_STATEMENT_INPUT, &m.base, key, diag);
}

/* ---- On the wire ---- */

/* count: 0 where everybody knows it already. */
static enum csl_err send_all(const struct csl_input_share *s, struct csl_talk *talks, uint32_t number,
                             uint32_t count, struct csl_diag *diag) {
    for (unsigned i = 0; i < s->n_parties; i++) {
        CSL_CONTROL(m, body, Input, INPUT, INPUT, input);
        body.batch = number;
        body.count = count;
        if (i + 1 < s->n_parties) {
            uint8_t *seed = s->seeds + (size_t)i * CSL_SHARE_SEED_BYTES;
            CSL_PUBLIC(seed, CSL_SHARE_SEED_BYTES); /* to its one recipient */
            body.seed = csl_bytes(seed, CSL_SHARE_SEED_BYTES);
        }
        if (s->statement.statement != NULL) {
            uint8_t *salt = s->salts + (size_t)i * CSL_DIGEST_BYTES;
            CSL_PUBLIC(salt, CSL_DIGEST_BYTES); /* likewise */
            body.salt = csl_bytes(salt, CSL_DIGEST_BYTES);
            body.statement = csl_bytes(s->statement.statement, s->statement.n);
            body.signature = csl_bytes(s->statement.signature, CSL_SIGNATURE_BYTES);
        }
        TRY(csl_talk_send(&talks[i], &m, diag));
    }
    CSL_PUBLIC(s->packed, s->n_packed);
    return csl_talk_send_data(&talks[s->n_parties - 1], number, s->packed, s->n_packed, diag);
}

enum csl_err csl_input_share_send(const struct csl_input_share *s, struct csl_talk *talks, uint32_t batch,
                                  struct csl_diag *diag) {
    return send_all(s, talks, batch, 0, diag);
}

enum csl_err csl_input_share_send_request(const struct csl_input_share *s, struct csl_talk *talks,
                                          uint32_t request, struct csl_diag *diag) {
    return send_all(s, talks, request, s->count, diag);
}
