#include "roles/lane/record.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

static void clear_output(struct csl_record_output *out) {
    csl_secret_free(out->share);
    csl_signed_clear(&out->statement);
}

void csl_record_input_clear(struct csl_record_input *in) {
    csl_signed_clear(&in->statement);
    csl_secret_free(in->share);
    free(in->commitments);
    csl_wipe(in, sizeof *in);
}

void csl_record_clear(struct csl_record *r) {
    csl_signed_clear(&r->dealt);
    free(r->counters);
    csl_secret_free(r->seeds);
    free(r->seed_leaves);
    csl_secret_free(r->corrections);
    free(r->correction_leaves);
    for (size_t i = 0; i < r->n_inputs; i++) {
        csl_record_input_clear(&r->inputs[i]);
    }
    for (size_t i = 0; i < r->n_rounds; i++) {
        free(r->rounds[i].messages[0]);
    }
    free(r->rounds);
    for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
        csl_signed_clear(&r->heads[i]);
    }
    for (size_t i = 0; i < r->n_outputs; i++) {
        clear_output(&r->outputs[i]);
    }
    csl_wipe(r, sizeof *r);
}

enum csl_err csl_record_chain_rows(struct csl_transcript *t, const struct csl_record *r) {
    size_t n = (size_t)r->count * 4;
    uint8_t *bytes = r->counters == NULL ? NULL : malloc(n);
    if (bytes == NULL) {
        return r->counters == NULL ? CSL_EINTERNAL : CSL_ENOMEM;
    }
    for (size_t i = 0; i < r->count; i++) {
        csl_store_u32(bytes + 4 * i, r->counters[i]);
    }
    enum csl_err err = csl_transcript_add(t, r->batch, 0, bytes, n);
    free(bytes);
    return err;
}

void csl_session_record_clear(struct csl_session_record *r) {
    free(r->statement);
    csl_wipe(r, sizeof *r);
}

/* label with its zero byte, then the nonces. */
static enum csl_err begin_digest(struct csl_sha256 *h, const char *label, const uint8_t *nonces,
                                 unsigned n_parties) {
    TRY(csl_sha256_init(h));
    TRY(csl_sha256_update(h, (const uint8_t *)label, strlen(label) + 1));
    return csl_sha256_update(h, nonces, (size_t)n_parties * CSL_NONCE_BYTES);
}

enum csl_err csl_nonces_digest(uint8_t out[CSL_DIGEST_BYTES], const uint8_t *nonces, unsigned n_parties) {
    struct csl_sha256 h = {0};
    enum csl_err err = begin_digest(&h, "consilium/nonces", nonces, n_parties);
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}

static enum csl_err add_words(struct csl_sha256 *h, const uint64_t *words, size_t n) {
    enum { BLOCK = 512 };
    uint8_t bytes[BLOCK * 8];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t m = n - at < BLOCK ? n - at : BLOCK;
        for (size_t i = 0; i < m; i++) {
            csl_store_u64(bytes + 8 * i, words[at + i]);
        }
        TRY(csl_sha256_update(h, bytes, 8 * m));
    }
    return CSL_OK;
}

enum csl_err csl_weights_digest(uint8_t out[CSL_DIGEST_BYTES], const uint8_t *nonces, unsigned n_parties,
                                const struct csl_model_share *share) {
    struct csl_sha256 h = {0};
    enum csl_err err = begin_digest(&h, "consilium/masked-weights", nonces, n_parties);
    for (uint32_t i = 0; i < share->n_layers && err == CSL_OK; i++) {
        err = add_words(&h, share->layers[i].e, share->layers[i].n_w);
    }
    if (err == CSL_OK) {
        err = csl_sha256_final(&h, out);
    }
    csl_sha256_clear(&h);
    return err;
}
