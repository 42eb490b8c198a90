#include "audit/statement.h"

#include <stdlib.h>
#include <string.h>

#include "audit/check_internal.h"

static const char *const contexts[] = {
    [CSL_STATEMENT_SESSION] = "consilium/session", [CSL_STATEMENT_DEALT] = "consilium/dealt",
    [CSL_STATEMENT_INPUT] = "consilium/input",     [CSL_STATEMENT_HEAD] = "consilium/head",
    [CSL_STATEMENT_OUTPUT] = "consilium/output",   [CSL_STATEMENT_RESEAL] = "consilium/reseal",
    [CSL_STATEMENT_CONSENT] = "consilium/consent", [CSL_STATEMENT_MANIFEST] = "consilium/manifest",
    [CSL_STATEMENT_VIEW] = "consilium/view",
};

void csl_signed_clear(struct csl_signed *s) {
    free(s->statement);
    *s = (struct csl_signed){0};
}

enum csl_err csl_signed_copy(struct csl_signed *out, const uint8_t *statement, size_t n,
                             const uint8_t signature[CSL_SIGNATURE_BYTES]) {
    struct csl_signed s = {.statement = malloc(n + 1), .n = n};
    *out = (struct csl_signed){0};
    if (s.statement == NULL) {
        return CSL_ENOMEM;
    }
    if (n != 0) {
        memcpy(s.statement, statement, n);
    }
    memcpy(s.signature, signature, sizeof s.signature);
    *out = s;
    return CSL_OK;
}

enum csl_err csl_statement_pack(uint8_t **out, size_t *n, const ProtobufCMessage *m) {
    size_t size = protobuf_c_message_get_packed_size(m);
    *n = 0;
    *out = malloc(size + 1);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    *n = protobuf_c_message_pack(m, *out);
    return CSL_OK;
}

static enum csl_err context_of(const char **context, enum csl_statement what, struct csl_diag *diag) {
    if ((unsigned)what >= sizeof contexts / sizeof contexts[0]) {
        return csl_fail(diag, CSL_EUSAGE, "no kind of statement has the number %d", (int)what);
    }
    *context = contexts[what];
    return CSL_OK;
}

enum csl_err csl_statement_sign_bytes(uint8_t sig[CSL_SIGNATURE_BYTES], enum csl_statement what,
                                      const uint8_t *p, size_t n, EVP_PKEY *key, struct csl_diag *diag) {
    const char *context = NULL;
    memset(sig, 0, CSL_SIGNATURE_BYTES);
    TRY(context_of(&context, what, diag));
    return csl_sign(sig, key, context, p, n, diag);
}

enum csl_err csl_statement_verify(enum csl_statement what, const uint8_t *p, size_t n, const uint8_t *sig,
                                  size_t n_sig, EVP_PKEY *key, struct csl_diag *diag) {
    const char *context = NULL;
    TRY(context_of(&context, what, diag));
    return csl_verify(key, sig, n_sig, context, p, n, diag);
}

enum csl_err csl_statement_sign(struct csl_signed *out, enum csl_statement what, const ProtobufCMessage *m,
                                EVP_PKEY *key, struct csl_diag *diag) {
    struct csl_signed s = {0};
    *out = s;
    TRY(csl_statement_pack(&s.statement, &s.n, m));
    enum csl_err err = csl_statement_sign_bytes(s.signature, what, s.statement, s.n, key, diag);
    if (err != CSL_OK) {
        csl_signed_clear(&s);
        return err;
    }
    *out = s;
    return CSL_OK;
}

/* ---- Decoding ---- */

static void check_session_parties(struct csl__check *c, const Csl__Audit__SessionStatement *m) {
    csl__check_range(c, "parties", m->n_parties, 1, CSL__PARTIES_MAX);
    for (size_t i = 0; c->err == CSL_OK && i < m->n_parties; i++) {
        csl__check_name(c, "parties", m->parties[i]);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->parties[i], m->parties[j]) == 0) {
                csl__check_fail(c, "parties", "names %s twice", m->parties[i]);
            }
        }
    }
    csl__check_digests(c, "software", m->software, m->n_software, m->n_parties, m->n_parties);
    csl__check_digests(c, "configuration", m->configuration, m->n_configuration, m->n_parties, m->n_parties);
    csl__check_digests(c, "seed_commitments", m->seed_commitments, m->n_seed_commitments, m->n_parties,
                       m->n_parties);
}

static void check_session(struct csl__check *c, const Csl__Audit__SessionStatement *m) {
    csl__check_exact(c, "session_id", &m->session_id, CSL__SESSION_ID_BYTES);
    csl__check_exact(c, "roster_digest", &m->roster_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "plan_digest", &m->plan_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "epoch_id", &m->epoch_id, CSL__DIGEST_BYTES);
    csl__check_exact(c, "mask_id", &m->mask_id, CSL__DIGEST_BYTES);
    csl__check_exact(c, "weights_digest", &m->weights_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "request_digest", &m->request_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "nonces_digest", &m->nonces_digest, CSL__DIGEST_BYTES);
    csl__check_range(c, "model", strlen(m->model), 1, CSL__MODEL_NAME_MAX);
    csl__check_text(c, "model", m->model, CSL__MODEL_NAME_MAX);
    if (!m->shared) {
        csl__check_name(c, "client", m->client);
    } else if (m->client[0] != '\0') {
        csl__check_fail(c, "client", "is there in a shared session");
    }
    check_session_parties(c, m);
    csl__check_range(c, "check_rows", m->check_rows, 0, CSL__CHECK_ROWS_MAX);
    csl__check_range(c, "sign", m->sign, CSL_SIGN_OFF, CSL_SIGN_BEFORE_OUTPUT);
    csl__check_range(c, "profile", m->profile, 0, CSL__PROFILE_MAX);
}

static void check_dealt(struct csl__check *c, const Csl__Audit__DealtStatement *m) {
    csl__check_exact(c, "session_id", &m->session_id, CSL__SESSION_ID_BYTES);
    csl__check_exact(c, "epoch_id", &m->epoch_id, CSL__DIGEST_BYTES);
    csl__check_exact(c, "package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_range(c, "count", m->count, 1, CSL__BATCH_MAX + CSL__CHECK_ROWS_MAX);
    csl__check_range(c, "first", m->first, 0, (uint64_t)UINT32_MAX + 1 - m->count);
    csl__check_digests(c, "seed_roots", m->seed_roots, m->n_seed_roots, 1, CSL__PARTIES_MAX);
    csl__check_exact(c, "corrections_root", &m->corrections_root, CSL__DIGEST_BYTES);
    csl__check_exact(c, "demands_digest", &m->demands_digest, CSL__DIGEST_BYTES);
}

static void check_place(struct csl__check *c, const ProtobufCBinaryData *session, uint32_t party,
                        uint32_t batch, uint32_t count) {
    csl__check_exact(c, "session", session, CSL__DIGEST_BYTES);
    csl__check_range(c, "party", party, 0, CSL__PARTIES_MAX - 1);
    csl__check_range(c, "batch", batch, 1, UINT32_MAX);
    csl__check_range(c, "count", count, 1, CSL__BATCH_MAX);
}

/* A guest's request, or neither. */
static void check_request(struct csl__check *c, const ProtobufCBinaryData *guest, uint32_t request) {
    csl__check_exact(c, "guest", guest, request == 0 ? 0 : CSL__GUEST_BYTES);
}

/* A request names no batch: its client cannot know which one it will be in. */
static void check_input(struct csl__check *c, const Csl__Audit__InputStatement *m) {
    check_place(c, &m->session, 0, m->request == 0 ? m->batch : 1, m->count);
    check_request(c, &m->guest, m->request);
    csl__check_range(c, "batch", m->batch, 0, m->request == 0 ? UINT32_MAX : 0);
    csl__check_range(c, "part", m->part, 0, m->request == 0 ? CSL__PARTS_MAX : 0);
    csl__check_digests(c, "roots", m->roots, m->n_roots, 1, CSL__PARTIES_MAX);
}

static void check_head(struct csl__check *c, const Csl__Audit__HeadStatement *m) {
    check_place(c, &m->session, m->party, m->batch, m->count);
    csl__check_range(c, "rounds", m->rounds, 0, CSL__ROUNDS_MAX);
    csl__check_range(c, "first_row", m->first_row, 0, CSL__BATCH_MAX - m->count);
    csl__check_exact(c, "head", &m->head, CSL__DIGEST_BYTES);
    csl__check_exact(c, "dealt_digest", &m->dealt_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "inputs_digest", &m->inputs_digest, CSL__DIGEST_BYTES);
}

static void check_output(struct csl__check *c, const Csl__Audit__OutputStatement *m) {
    check_place(c, &m->session, m->party, m->batch, m->count);
    check_request(c, &m->guest, m->request);
    csl__check_exact(c, "commitment", &m->commitment, CSL__DIGEST_BYTES);
}

static void check_reseal(struct csl__check *c, const Csl__Audit__ResealStatement *m) {
    csl__check_exact(c, "package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_range(c, "party", m->party, 0, CSL__PARTIES_MAX - 1);
    csl__check_exact(c, "from_sealed", &m->from_sealed, CSL__DIGEST_BYTES);
    csl__check_exact(c, "to_sealed", &m->to_sealed, CSL__DIGEST_BYTES);
    csl__check_exact(c, "to_wrap_key", &m->to_wrap_key, CSL__DIGEST_BYTES);
    csl__check_name(c, "to", m->to);
    csl__check_optional(c, "to_sign_key", &m->to_sign_key, CSL__DIGEST_BYTES);
}

static void check_consent(struct csl__check *c, const Csl__Audit__ConsentStatement *m) {
    csl__check_exact(c, "package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "session_id", &m->session_id, CSL__SESSION_ID_BYTES);
    csl__check_name(c, "party", m->party);
    csl__check_exact(c, "judge", &m->judge, CSL__DIGEST_BYTES);
}

static enum csl_err unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *d, const char *what,
                           const uint8_t *p, size_t n, struct csl_diag *diag) {
    *out = NULL;
    if (n > CSL_STATEMENT_MAX) {
        return csl_fail(diag, CSL_EDATA, "%s: has %zu bytes; at most %d are allowed", what, n,
                        CSL_STATEMENT_MAX);
    }
    *out = protobuf_c_message_unpack(d, NULL, n, p);
    return *out != NULL ? CSL_OK : csl_fail(diag, CSL_EDATA, "%s: is not a message of its kind", what);
}

/* One decoder: unpacks, checks fields, then that there is only one encoding. */
#define DECODER(name, Type)                                                                                  \
    enum csl_err csl_##name##_statement_decode(Csl__Audit__##Type##Statement **out, const uint8_t *p,        \
                                               size_t n, struct csl_diag *diag) {                            \
        struct csl__check c = {#name " statement", diag, CSL_OK};                                            \
        ProtobufCMessage *m = NULL;                                                                          \
        *out = NULL;                                                                                         \
        TRY(unpack(&m, &csl__audit__##name##_statement__descriptor, c.what, p, n, diag));                    \
        check_##name(&c, (Csl__Audit__##Type##Statement *)m);                                                \
        csl__check_canonical(&c, m, p, n);                                                                   \
        if (c.err != CSL_OK) {                                                                               \
            csl_statement_free(m);                                                                           \
            return c.err;                                                                                    \
        }                                                                                                    \
        *out = (Csl__Audit__##Type##Statement *)m;                                                           \
        return CSL_OK;                                                                                       \
    }

DECODER(session, Session)
DECODER(dealt, Dealt)
DECODER(input, Input)
DECODER(head, Head)
DECODER(output, Output)
DECODER(reseal, Reseal)
DECODER(consent, Consent)

void csl_statement_free(void *m) {
    if (m != NULL) {
        protobuf_c_message_free_unpacked(m, NULL);
    }
}
