#include "roles/lane/dealt.h"

#include <string.h>

#include "crypto/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "roles/context.h"
#include "roles/message.h"

/* ---- Leaves ---- */

enum csl_err csl_dealt_seed_leaf(uint8_t out[32], const uint8_t seed[CSL_INDEX_SEED_BYTES]) {
    uint8_t matrix[CSL_SHA256_BYTES], bits[CSL_SHA256_BYTES];
    TRY(csl_sha256_once(matrix, seed, CSL_SEED_BYTES));
    TRY(csl_sha256_once(bits, seed + CSL_SEED_BYTES, CSL_SEED_BYTES));
    CSL_PUBLIC(matrix, sizeof matrix); /* of 32 random bytes: they tell nothing of them */
    CSL_PUBLIC(bits, sizeof bits);
    return csl_seed_leaf(out, matrix, bits);
}

enum csl_err csl_dealt_corrections_leaf(uint8_t out[32], const struct csl_demand *demands, size_t n_demands,
                                        const uint8_t *corrections, size_t n) {
    uint8_t matrix[CSL_SHA256_BYTES], bits[CSL_SHA256_BYTES];
    TRY(csl_correction_digests(matrix, bits, demands, n_demands, corrections, n));
    CSL_PUBLIC(matrix, sizeof matrix);
    CSL_PUBLIC(bits, sizeof bits);
    return csl_corrections_leaf(out, matrix, bits);
}

/* ---- The statement ---- */

enum csl_err csl_dealt_sign(struct csl_signed *out, const struct csl_dealt *d, const uint8_t *seed_leaves,
                            const uint8_t *correction_leaves, EVP_PKEY *key, struct csl_diag *diag) {
    uint8_t roots[CSL_MAX_PARTIES][CSL_MERKLE_BYTES], root[CSL_MERKLE_BYTES];
    ProtobufCBinaryData list[CSL_MAX_PARTIES];
    for (unsigned i = 0; i < d->n_parties; i++) {
        TRY(csl_merkle_root(roots[i], seed_leaves + (size_t)i * d->total * CSL_MERKLE_BYTES, d->total));
        list[i] = csl_bytes(roots[i], CSL_MERKLE_BYTES);
    }
    TRY(csl_merkle_root(root, correction_leaves, d->total));
    Csl__Audit__DealtStatement m = CSL__AUDIT__DEALT_STATEMENT__INIT;
    m.session_id = csl_bytes(d->session_id, sizeof d->session_id);
    m.epoch_id = csl_bytes(d->epoch_id, sizeof d->epoch_id);
    m.package_digest = csl_bytes(d->package_digest, sizeof d->package_digest);
    m.demands_digest = csl_bytes(d->demands_digest, sizeof d->demands_digest);
    m.stream = d->stream;
    m.first = d->first;
    m.count = d->total;
    m.seed_roots = list;
    m.n_seed_roots = d->n_parties;
    m.corrections_root = csl_bytes(root, sizeof root);
    return csl_statement_sign(out, CSL_STATEMENT_DEALT, &m.base, key, diag);
}

static bool is(const ProtobufCBinaryData *field, const uint8_t *want, size_t n) {
    return field->len == n && memcmp(field->data, want, n) == 0;
}

static enum csl_err compare(const Csl__Audit__DealtStatement *m, const struct csl_dealt *d,
                            struct csl_diag *diag) {
    const struct {
        const char *name;
        bool right;
    } fields[] = {
        {"session", is(&m->session_id, d->session_id, sizeof d->session_id)},
        {"epoch", is(&m->epoch_id, d->epoch_id, sizeof d->epoch_id)},
        {"package", is(&m->package_digest, d->package_digest, sizeof d->package_digest)},
        {"plan", is(&m->demands_digest, d->demands_digest, sizeof d->demands_digest)},
        {"stream", m->stream == d->stream},
        {"first counter", m->first == d->first},
        {"count", m->count == d->total},
        {"number of parties", m->n_seed_roots == d->n_parties},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!fields[i].right) {
            return csl_fail(diag, CSL_EAUTH, "what it signed is of another %s", fields[i].name);
        }
    }
    return CSL_OK;
}

static enum csl_err compare_root(const ProtobufCBinaryData *signed_root, const uint8_t *leaves,
                                 uint32_t total, const char *what, struct csl_diag *diag) {
    uint8_t root[CSL_MERKLE_BYTES];
    TRY(csl_merkle_root(root, leaves, total));
    return is(signed_root, root, sizeof root)
               ? CSL_OK
               : csl_fail(diag, CSL_EAUTH, "what it signed is not of the %s that we hold", what);
}

static enum csl_err verify(const struct csl_signed *s, const struct csl_dealt *d, unsigned self,
                           const uint8_t *seed_leaves, const uint8_t *correction_leaves, EVP_PKEY *key,
                           struct csl_diag *diag) {
    TRY(csl_statement_verify(CSL_STATEMENT_DEALT, s->statement, s->n, s->signature, sizeof s->signature, key,
                             diag));
    Csl__Audit__DealtStatement *m;
    TRY(csl_dealt_statement_decode(&m, s->statement, s->n, diag));
    enum csl_err err = compare(m, d, diag);
    if (err == CSL_OK) {
        err = compare_root(&m->seed_roots[self], seed_leaves, d->total, "seeds", diag);
    }
    if (err == CSL_OK && correction_leaves != NULL) {
        err = compare_root(&m->corrections_root, correction_leaves, d->total, "corrections", diag);
    }
    csl_statement_free(m);
    return err;
}

enum csl_err csl_dealt_verify(const struct csl_signed *s, const struct csl_dealt *d, unsigned self,
                              const uint8_t *seed_leaves, const uint8_t *correction_leaves,
                              const struct csl_member *dealer, struct csl_diag *diag) {
    struct csl_diag why = {""};
    enum csl_err err = verify(s, d, self, seed_leaves, correction_leaves, dealer->sign_key, &why);
    if (err == CSL_ENOMEM || err == CSL_EINTERNAL) {
        return csl_fail(diag, err, "the dealer's statement cannot be verified: %s", csl_err_text(err));
    }
    return err == CSL_OK ? CSL_OK
                         : csl_fail(diag, CSL_EAUTH,
                                    "%s dealt correlations, %u from counter %u of stream %u on, that it does "
                                    "not answer for: %.300s",
                                    dealer->name, d->total, d->first, d->stream, why.text);
}

/* ---- The record ---- */

enum csl_err csl_dealt_to_record(uint8_t out[CSL_DEALT_RECORD_BYTES], const struct csl_signed *s) {
    memset(out, 0, CSL_DEALT_RECORD_BYTES);
    if (s->n == 0 || s->n > CSL_DEALT_RECORD_BYTES - 4 - CSL_SIGNATURE_BYTES) {
        return CSL_EPROTO;
    }
    csl_store_u32(out, (uint32_t)s->n);
    memcpy(out + 4, s->statement, s->n);
    memcpy(out + 4 + s->n, s->signature, CSL_SIGNATURE_BYTES);
    return CSL_OK;
}

enum csl_err csl_dealt_from_record(struct csl_signed *out, const uint8_t in[CSL_DEALT_RECORD_BYTES],
                                   struct csl_diag *diag) {
    memset(out, 0, sizeof *out);
    uint32_t n = csl_load_u32(in);
    bool good = n != 0 && n <= CSL_DEALT_RECORD_BYTES - 4 - CSL_SIGNATURE_BYTES;
    for (size_t i = good ? 4 + n + CSL_SIGNATURE_BYTES : 0; good && i < CSL_DEALT_RECORD_BYTES; i++) {
        good = in[i] == 0;
    }
    if (!good) {
        return csl_fail(diag, CSL_EPROTO, "the record of the dealer's statement is malformed");
    }
    enum csl_err err = csl_signed_copy(out, in + 4, n, in + 4 + n);
    return err == CSL_OK ? CSL_OK : csl_fail(diag, err, "the dealer's statement: %s", csl_err_text(err));
}

/* ---- Cost ---- */

size_t csl_dealt_opening_bytes(uint32_t total) {
    return 2 * (CSL_CHECK_KEY_BYTES + (size_t)csl_check_path_nodes(total) * CSL_MERKLE_BYTES);
}

uint64_t csl_dealt_bytes(const struct csl_demand *demands, size_t n_demands, size_t n_rows, uint32_t total) {
    uint64_t n = CSL_DEALT_RECORD_BYTES;
    if (n_rows != 0) {
        n +=
            csl_check_bytes(demands, n_demands, n_rows, csl_dealt_opening_bytes(total) - CSL_CHECK_KEY_BYTES);
    }
    return n;
}

uint64_t csl_dealt_max_message(const struct csl_demand *demands, size_t n_demands, size_t n_rows,
                               uint32_t total) {
    return csl_dealt_bytes(demands, n_demands, n_rows, total); /* of all messages together: more than any */
}
