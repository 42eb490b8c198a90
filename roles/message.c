#include "roles/message.h"

#include "audit/note.h"
#include "audit/statement.h"
#include "crypto/secret.h"
#include "crypto/sign.h"
#include "mpc/check.h"
#include "mpc/share.h"
#include "nn/plan.h"
#include "roles/lane/record.h"

#include <stdlib.h>
#include <string.h>

enum { SALT = 32, TEXT_MAX = 2048, ENVELOPE_MAX = 4096, PLAN_MAX = 1 << 18 };

struct check {
    const char *message;
    struct csl_diag *diag;
    enum csl_err err;
};

static void fail(struct check *c, const char *field, const char *what) {
    if (c->err == CSL_OK) {
        c->err = csl_fail(c->diag, CSL_EPROTO, "message %s: field %s %s", c->message, field, what);
    }
}

static void exact(struct check *c, const char *field, const ProtobufCBinaryData *b, size_t n) {
    if (b->len != n) {
        fail(c, field, "has the wrong length");
    }
}

static void bounded(struct check *c, const char *field, const ProtobufCBinaryData *b, size_t max) {
    if (b->len == 0 || b->len > max) {
        fail(c, field, b->len == 0 ? "is empty" : "is too long");
    }
}

/* Text that may be shown on a terminal: short, and without control characters. */
static void text(struct check *c, const char *field, const char *s, size_t max) {
    size_t n = strlen(s);
    if (n > max) {
        fail(c, field, "is too long");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            fail(c, field, "holds control characters");
            return;
        }
    }
}

static void positive(struct check *c, const char *field, uint64_t v, uint64_t max) {
    if (v == 0 || v > max) {
        fail(c, field, "is out of range");
    }
}

static void below(struct check *c, const char *field, uint64_t v, uint64_t end) {
    if (v >= end) {
        fail(c, field, "is out of range");
    }
}

/* Of n bytes, or not there. */
static void optional(struct check *c, const char *field, const ProtobufCBinaryData *b, size_t n) {
    if (b->len != 0) {
        exact(c, field, b, n);
    }
}

/* A statement with its signature and, where there is one, its salt: all of them or none. */
static void check_signed(struct check *c, const ProtobufCBinaryData *salt,
                         const ProtobufCBinaryData *statement, const ProtobufCBinaryData *signature) {
    if (salt != NULL) {
        optional(c, "salt", salt, SALT);
    }
    optional(c, "signature", signature, CSL_SIGNATURE_BYTES);
    if (statement->len > CSL_STATEMENT_MAX) {
        fail(c, "statement", "is too long");
    }
    bool there = statement->len != 0;
    if ((signature->len != 0) != there || (salt != NULL && (salt->len != 0) != there)) {
        fail(c, "statement", "comes without signature or salt, or they without it");
    }
}

/* A signed note: text of several lines, or "" where that is allowed. */
static void check_note(struct check *c, const char *field, const char *note, bool must) {
    size_t n = strlen(note);
    if (n >= CSL_NOTE_MAX || (must && n == 0)) {
        fail(c, field, n == 0 ? "is empty" : "is too long");
    }
}

static void check_proof(struct check *c, const ProtobufCBinaryData *proof, size_t n) {
    if (n > CSL_MERKLE_PROOF_MAX) {
        fail(c, "proof", "is too long");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        exact(c, "proof", &proof[i], CSL_MERKLE_BYTES);
    }
}

static void check_grant(struct check *c, const Csl__Pb__EpochGrant *g) {
    exact(c, "dealer_nonce", &g->dealer_nonce, CSL_NONCE_BYTES);
    bounded(c, "sealed_seed", &g->sealed_seed, ENVELOPE_MAX);
    exact(c, "signature", &g->signature, CSL_SIGNATURE_BYTES);
    if (g->n_party_nonces < 2 || g->n_party_nonces > CSL_MAX_PARTIES) {
        fail(c, "party_nonces", "has a wrong count");
    }
    for (size_t i = 0; i < g->n_party_nonces; i++) {
        exact(c, "party_nonces", &g->party_nonces[i], CSL_NONCE_BYTES);
    }
}

static void check_session_kinds(struct check *c, const csl_control *m) {
    switch (m->kind_case) {
    case CSL__PB__CONTROL__KIND_OPEN_SESSION:
        exact(c, "session_id", &m->open_session->session_id, CSL_SESSION_ID_BYTES);
        text(c, "model", m->open_session->model, CSL_MODEL_NAME_MAX);
        positive(c, "max_batch", m->open_session->max_batch, 1 << 16);
        for (size_t i = 0; i < m->open_session->n_parts && i <= 16; i++) {
            text(c, "parts.owner", m->open_session->parts[i]->owner, CSL_NAME_MAX);
        }
        exact(c, "guest_id", &m->open_session->guest_id, m->open_session->shared ? CSL_GUEST_ID_BYTES : 0);
        break;
    case CSL__PB__CONTROL__KIND_ADMITTED:
        optional(c, "session_id", &m->admitted->session_id, CSL_SESSION_ID_BYTES);
        break;
    case CSL__PB__CONTROL__KIND_SESSION_READY:
        exact(c, "package_digest", &m->session_ready->package_digest, CSL_DIGEST_BYTES);
        exact(c, "epoch_id", &m->session_ready->epoch_id, CSL_DIGEST_BYTES);
        bounded(c, "manifest", &m->session_ready->manifest, PLAN_MAX);
        exact(c, "manifest_signature", &m->session_ready->manifest_signature, CSL_SIGNATURE_BYTES);
        optional(c, "session", &m->session_ready->session, CSL_DIGEST_BYTES);
        break;
    case CSL__PB__CONTROL__KIND_PREPARE:
        positive(c, "batch", m->prepare->batch, UINT32_MAX);
        positive(c, "count", m->prepare->count, 1 << 16);
        break;
    case CSL__PB__CONTROL__KIND_INPUT:
        positive(c, "batch", m->input->batch, UINT32_MAX);
        optional(c, "seed", &m->input->seed, CSL_SHARE_SEED_BYTES);
        check_signed(c, &m->input->salt, &m->input->statement, &m->input->signature);
        below(c, "count", m->input->count, (1 << 16) + 1);
        break;
    case CSL__PB__CONTROL__KIND_BATCH_DONE:
        below(c, "profile", m->batch_done->profile, CSL_PROFILE_COUNT);
        check_signed(c, &m->batch_done->salt, &m->batch_done->statement, &m->batch_done->signature);
        break;
    case CSL__PB__CONTROL__KIND_OPEN_CORRECTIONS:
        exact(c, "session_id", &m->open_corrections->session_id, CSL_SESSION_ID_BYTES);
        exact(c, "epoch_id", &m->open_corrections->epoch_id, CSL_DIGEST_BYTES);
        exact(c, "package_digest", &m->open_corrections->package_digest, CSL_DIGEST_BYTES);
        bounded(c, "plan", &m->open_corrections->plan, PLAN_MAX);
        positive(c, "max_batch", m->open_corrections->max_batch, 1 << 16);
        below(c, "profile", m->open_corrections->profile, CSL_PROFILE_COUNT);
        break;
    case CSL__PB__CONTROL__KIND_DEALT:
        bounded(c, "statement", &m->dealt->statement, CSL_STATEMENT_MAX);
        exact(c, "signature", &m->dealt->signature, CSL_SIGNATURE_BYTES);
        break;
    default:
        break;
    }
}

static void check_share_model(struct check *c, const Csl__Pb__ShareModel *m) {
    bounded(c, "manifest", &m->manifest, PLAN_MAX);
    exact(c, "signature", &m->signature, CSL_SIGNATURE_BYTES);
    check_note(c, "checkpoint", m->checkpoint, false);
    check_proof(c, m->proof, m->n_proof);
}

static void check_announcement(struct check *c, const Csl__Pb__OpeningAnnounced *m) {
    exact(c, "package_digest", &m->package_digest, CSL_DIGEST_BYTES);
    exact(c, "session_id", &m->session_id, CSL_SESSION_ID_BYTES);
    exact(c, "judge", &m->judge, CSL_SPKI_BYTES);
    check_signed(c, NULL, &m->consent, &m->consent_signature);
}

/* Checkpoints and openings, daemon to daemon. */
static void check_audit_kinds(struct check *c, const csl_control *m) {
    switch (m->kind_case) {
    case CSL__PB__CONTROL__KIND_ADD_CHECKPOINT:
        check_note(c, "note", m->add_checkpoint->note, true);
        check_proof(c, m->add_checkpoint->proof, m->add_checkpoint->n_proof);
        break;
    case CSL__PB__CONTROL__KIND_COSIGNED:
        check_note(c, "note", m->cosigned->note, true);
        break;
    case CSL__PB__CONTROL__KIND_WITNESS_REFUSES:
        check_note(c, "note", m->witness_refuses->note, false);
        text(c, "reason", m->witness_refuses->reason, TEXT_MAX);
        break;
    case CSL__PB__CONTROL__KIND_OPENING_ANNOUNCED:
        check_announcement(c, m->opening_announced);
        break;
    case CSL__PB__CONTROL__KIND_OPENINGS_KNOWN:
        if (m->openings_known->n_parties > CSL_MAX_PARTIES) {
            fail(c, "parties", "has a wrong count");
        }
        for (size_t i = 0; i < m->openings_known->n_parties && c->err == CSL_OK; i++) {
            text(c, "parties", m->openings_known->parties[i], CSL_NAME_MAX);
        }
        break;
    default:
        check_session_kinds(c, m);
    }
}

static void check_kind(struct check *c, const csl_control *m) {
    switch (m->kind_case) {
    case CSL__PB__CONTROL__KIND__NOT_SET:
        fail(c, "kind", "is missing or unknown");
        break;
    case CSL__PB__CONTROL__KIND_FAILURE:
        text(c, "reason", m->failure->reason, TEXT_MAX);
        positive(c, "error", m->failure->error, CSL_ERR_COUNT - 1);
        break;
    case CSL__PB__CONTROL__KIND_EPOCH_NONCE:
        exact(c, "nonce", &m->epoch_nonce->nonce, CSL_NONCE_BYTES);
        break;
    case CSL__PB__CONTROL__KIND_EPOCH_GRANT:
        check_grant(c, m->epoch_grant);
        break;
    case CSL__PB__CONTROL__KIND_CORRECTIONS_WANTED:
        exact(c, "session_id", &m->corrections_wanted->session_id, CSL_SESSION_ID_BYTES);
        break;
    case CSL__PB__CONTROL__KIND_WANT_CORRECTIONS:
        positive(c, "count", m->want_corrections->count, (1 << 16) + CSL_CHECK_MAX_ROWS);
        break;
    case CSL__PB__CONTROL__KIND_SHARE_MODEL:
        check_share_model(c, m->share_model);
        break;
    case CSL__PB__CONTROL__KIND_MODEL_STORED:
        exact(c, "package_digest", &m->model_stored->package_digest, CSL_DIGEST_BYTES);
        check_note(c, "checkpoint", m->model_stored->checkpoint, false);
        break;
    default:
        check_audit_kinds(c, m);
    }
}

const char *csl_message_kind_name(int kind) {
    const ProtobufCFieldDescriptor *f =
        kind > 0 ? protobuf_c_message_descriptor_get_field(&csl__pb__control__descriptor, (unsigned)kind)
                 : NULL;
    return f != NULL ? f->name : "(unknown)";
}

enum csl_err csl_message_decode(csl_control **out, const uint8_t *p, size_t n, struct csl_diag *diag) {
    csl_control *m = csl__pb__control__unpack(NULL, n, p);
    if (m == NULL) {
        return csl_fail(diag, CSL_EPROTO, "control message of %zu bytes cannot be decoded", n);
    }
    struct check c = {.message = csl_message_kind_name((int)m->kind_case), .diag = diag, .err = CSL_OK};
    check_kind(&c, m);
    if (c.err != CSL_OK) {
        csl_message_free(m);
        return c.err;
    }
    *out = m;
    return CSL_OK;
}

void csl_message_free(csl_control *m) {
    if (m != NULL) {
        if (m->kind_case == CSL__PB__CONTROL__KIND_INPUT) {
            csl_wipe(m->input->seed.data, m->input->seed.len);
            csl_wipe(m->input->salt.data, m->input->salt.len);
        } else if (m->kind_case == CSL__PB__CONTROL__KIND_BATCH_DONE) {
            csl_wipe(m->batch_done->salt.data, m->batch_done->salt.len);
        }
        csl__pb__control__free_unpacked(m, NULL);
    }
}

enum csl_err csl_message_encode(uint8_t **out, size_t *n, const csl_control *m) {
    size_t size = csl__pb__control__get_packed_size(m);
    uint8_t *p = malloc(size + 1);
    if (p == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__pb__control__pack(m, p);
    *out = p;
    return CSL_OK;
}

enum csl_err csl_hello_decode(Csl__Pb__Hello **out, const uint8_t *p, size_t n, struct csl_diag *diag) {
    Csl__Pb__Hello *h = csl__pb__hello__unpack(NULL, n, p);
    if (h == NULL) {
        return csl_fail(diag, CSL_EPROTO, "HELLO of %zu bytes cannot be decoded", n);
    }
    struct check c = {.message = "hello", .diag = diag, .err = CSL_OK};
    exact(&c, "roster_digest", &h->roster_digest, CSL_DIGEST_BYTES);
    text(&c, "software", h->software, CSL_MODEL_NAME_MAX);
    if (csl_purpose_names_session(h->purpose)) {
        exact(&c, "session_id", &h->session_id, CSL_SESSION_ID_BYTES);
    }
    if (c.err != CSL_OK) {
        csl__pb__hello__free_unpacked(h, NULL);
        return c.err;
    }
    *out = h;
    return CSL_OK;
}

enum csl_err csl_hello_ack_decode(Csl__Pb__HelloAck **out, const uint8_t *p, size_t n,
                                  struct csl_diag *diag) {
    Csl__Pb__HelloAck *h = csl__pb__hello_ack__unpack(NULL, n, p);
    if (h == NULL) {
        return csl_fail(diag, CSL_EPROTO, "HELLO_ACK of %zu bytes cannot be decoded", n);
    }
    struct check c = {.message = "hello_ack", .diag = diag, .err = CSL_OK};
    exact(&c, "roster_digest", &h->roster_digest, CSL_DIGEST_BYTES);
    text(&c, "software", h->software, CSL_MODEL_NAME_MAX);
    text(&c, "reason", h->reason, TEXT_MAX);
    if (h->error >= CSL_ERR_COUNT) {
        fail(&c, "error", "is out of range");
    }
    if (c.err != CSL_OK) {
        csl__pb__hello_ack__free_unpacked(h, NULL);
        return c.err;
    }
    *out = h;
    return CSL_OK;
}
