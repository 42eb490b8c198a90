#include "audit/leaf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/check_internal.h"
#include "audit/ledger.h"
#include "audit/statement.h"
#include "crypto/rand.h"

/* ---- Checking ---- */

static void check_signed(struct csl__check *c, const char *field, const Csl__Audit__Signed *s) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s.statement", field);
    csl__check_bounded(c, name, &s->statement, CSL_STATEMENT_MAX);
    (void)snprintf(name, sizeof name, "%s.signature", field);
    csl__check_exact(c, name, &s->signature, CSL_SIGNATURE_BYTES);
    (void)snprintf(name, sizeof name, "%s.signer", field);
    csl__check_name(c, name, s->signer);
}

static void check_all_signed(struct csl__check *c, const char *field, Csl__Audit__Signed *const *s, size_t n,
                             size_t max) {
    csl__check_range(c, field, n, 0, max);
    for (size_t i = 0; c->err == CSL_OK && i < n; i++) {
        check_signed(c, field, s[i]);
    }
}

static void check_required(struct csl__check *c, const char *field, const Csl__Audit__Signed *s) {
    if (s == NULL) {
        csl__check_fail(c, field, "is missing");
    } else {
        check_signed(c, field, s);
    }
}

static void check_model(struct csl__check *c, const Csl__Audit__ModelLeaf *m) {
    csl__check_range(c, "model.name", strlen(m->name), 1, CSL__MODEL_NAME_MAX);
    csl__check_text(c, "model.name", m->name, CSL__MODEL_NAME_MAX);
    csl__check_name(c, "model.owner", m->owner);
    csl__check_exact(c, "model.package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_digests(c, "model.sealed_digests", m->sealed_digests, m->n_sealed_digests, 0,
                       CSL__PARTIES_MAX);
    csl__check_range(c, "model.event", m->event, CSL_MODEL_SEALED, CSL_MODEL_RESTORED);
    if (m->reseal != NULL) {
        check_signed(c, "model.reseal", m->reseal);
    }
}

static void check_session(struct csl__check *c, const Csl__Audit__SessionLeaf *m) {
    csl__check_bounded(c, "session.statement", &m->statement, CSL_STATEMENT_MAX);
    csl__check_range(c, "session.signatures", m->n_signatures, 0, CSL__PARTIES_MAX);
    for (size_t i = 0; c->err == CSL_OK && i < m->n_signatures; i++) {
        csl__check_exact(c, "session.signatures", &m->signatures[i], CSL_SIGNATURE_BYTES);
    }
    csl__check_optional(c, "session.grant_digest", &m->grant_digest, CSL__DIGEST_BYTES);
}

static void check_input(struct csl__check *c, const Csl__Audit__InputLeaf *m) {
    csl__check_exact(c, "input.session", &m->session, CSL__DIGEST_BYTES);
    csl__check_range(c, "input.batch", m->batch, 1, UINT32_MAX);
    check_all_signed(c, "input.inputs", m->inputs, m->n_inputs, CSL__INPUTS_MAX);
    csl__check_digests(c, "input.commitments", m->commitments, m->n_commitments, 0, CSL_LEAF_COMMITMENTS_MAX);
}

static void check_heads(struct csl__check *c, const Csl__Audit__HeadsLeaf *m) {
    csl__check_exact(c, "heads.session", &m->session, CSL__DIGEST_BYTES);
    csl__check_range(c, "heads.batch", m->batch, 1, UINT32_MAX);
    check_all_signed(c, "heads.heads", m->heads, m->n_heads, CSL__PARTIES_MAX);
    if (m->dealt != NULL) {
        check_signed(c, "heads.dealt", m->dealt);
    }
}

static void check_output(struct csl__check *c, const Csl__Audit__OutputLeaf *m) {
    csl__check_exact(c, "output.session", &m->session, CSL__DIGEST_BYTES);
    check_all_signed(c, "output.outputs", m->outputs, m->n_outputs, CSL__INPUTS_MAX);
}

static void check_close(struct csl__check *c, const Csl__Audit__CloseLeaf *m) {
    csl__check_optional(c, "close.session", &m->session, CSL__DIGEST_BYTES);
    csl__check_exact(c, "close.session_id", &m->session_id, CSL__SESSION_ID_BYTES);
    csl__check_range(c, "close.error", m->error, 0, CSL_ERR_COUNT - 1);
    csl__check_text(c, "close.reason", m->reason, CSL__TEXT_MAX);
}

static void check_refused(struct csl__check *c, const Csl__Audit__RefusedLeaf *m) {
    csl__check_text(c, "refused.who", m->who, CSL__TEXT_MAX);
    csl__check_text(c, "refused.what", m->what, CSL__TEXT_MAX);
    csl__check_text(c, "refused.reason", m->reason, CSL__TEXT_MAX);
    csl__check_range(c, "refused.error", m->error, 1, CSL_ERR_COUNT - 1);
}

static void check_opening(struct csl__check *c, const Csl__Audit__OpeningLeaf *m) {
    csl__check_exact(c, "opening.package_digest", &m->package_digest, CSL__DIGEST_BYTES);
    csl__check_exact(c, "opening.session_id", &m->session_id, CSL__SESSION_ID_BYTES);
    csl__check_name(c, "opening.party", m->party);
    csl__check_exact(c, "opening.judge", &m->judge, CSL__DIGEST_BYTES);
    if (m->consent != NULL) {
        check_signed(c, "opening.consent", m->consent);
    }
}

static void check_witness(struct csl__check *c, const Csl__Audit__WitnessLeaf *m) {
    csl__check_name(c, "witness.who", m->who);
    csl__check_range(c, "witness.note_seen", strlen(m->note_seen), 0, CSL_NOTE_MAX - 1);
    csl__check_range(c, "witness.note_shown", strlen(m->note_shown), 0, CSL_NOTE_MAX - 1);
    csl__check_text(c, "witness.reason", m->reason, CSL__TEXT_MAX);
}

static void check_body(struct csl__check *c, const csl_leaf *l) {
    switch (l->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        check_model(c, l->model);
        break;
    case CSL__AUDIT__LEAF__BODY_SESSION:
        check_session(c, l->session);
        break;
    case CSL__AUDIT__LEAF__BODY_INPUT:
        check_input(c, l->input);
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        check_heads(c, l->heads);
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        check_output(c, l->output);
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        check_close(c, l->close);
        break;
    case CSL__AUDIT__LEAF__BODY_REFUSED:
        check_refused(c, l->refused);
        break;
    case CSL__AUDIT__LEAF__BODY_DEALT:
        check_required(c, "dealt.dealt", l->dealt->dealt);
        break;
    case CSL__AUDIT__LEAF__BODY_OPENING:
        check_opening(c, l->opening);
        break;
    case CSL__AUDIT__LEAF__BODY_CONSENT:
        check_required(c, "consent.consent", l->consent->consent);
        break;
    case CSL__AUDIT__LEAF__BODY_WITNESS:
        check_witness(c, l->witness);
        break;
    default:
        csl__check_fail(c, "body", "is missing or unknown");
    }
}

static enum csl_err check_leaf(const csl_leaf *l, struct csl_diag *diag) {
    struct csl__check c = {"leaf", diag, CSL_OK};
    csl__check_exact(&c, "salt", &l->salt, CSL_LEAF_SALT_BYTES);
    check_body(&c, l);
    return c.err;
}

/* ---- Encoding ---- */

/* Sentences come from anywhere (a peer's name, a peer's reason): they are cut and cleaned, so that they never
 * keep an event from being written. */
struct cleaned {
    char *copies[3];
    size_t n;
    bool no_memory;
};

static void clean(struct cleaned *c, char **field) {
    size_t n = strnlen(*field, CSL__TEXT_MAX);
    char *copy = strndup(*field, n);
    if (copy == NULL) {
        c->no_memory = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f) {
            copy[i] = '?';
        }
    }
    c->copies[c->n++] = copy;
    *field = copy;
}

static enum csl_err pack(uint8_t **out, size_t *n, const csl_leaf *leaf) {
    struct csl_diag ignored;
    TRY(check_leaf(leaf, &ignored));
    size_t size = csl__audit__leaf__get_packed_size(leaf);
    if (size > CSL_LEAF_MAX) {
        return CSL_EDATA;
    }
    *out = malloc(size);
    if (*out == NULL) {
        return CSL_ENOMEM;
    }
    *n = csl__audit__leaf__pack(leaf, *out);
    return CSL_OK;
}

/* Packs with the sentences of the body replaced by clean ones, and puts the caller's back. */
static enum csl_err pack_cleaned(uint8_t **out, size_t *n, csl_leaf *leaf) {
    char **fields[3] = {NULL, NULL, NULL}, *kept[3] = {NULL, NULL, NULL};
    struct cleaned c = {.n = 0};
    if (leaf->body_case == CSL__AUDIT__LEAF__BODY_CLOSE) {
        fields[0] = &leaf->close->reason;
    } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_WITNESS) {
        fields[0] = &leaf->witness->reason;
    } else if (leaf->body_case == CSL__AUDIT__LEAF__BODY_REFUSED) {
        fields[0] = &leaf->refused->who;
        fields[1] = &leaf->refused->what;
        fields[2] = &leaf->refused->reason;
    }
    for (size_t i = 0; i < 3 && fields[i] != NULL; i++) {
        kept[i] = *fields[i];
        clean(&c, fields[i]);
    }
    enum csl_err err = c.no_memory ? CSL_ENOMEM : pack(out, n, leaf);
    for (size_t i = 0; i < 3 && fields[i] != NULL; i++) {
        *fields[i] = kept[i];
    }
    for (size_t i = 0; i < c.n; i++) {
        free(c.copies[i]);
    }
    return err;
}

enum csl_err csl_leaf_encode(uint8_t **out, size_t *n, csl_leaf *leaf) {
    uint8_t salt[CSL_LEAF_SALT_BYTES];
    struct timespec now;
    *out = NULL;
    *n = 0;
    TRY(csl_rand(salt, sizeof salt));
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return CSL_EOS;
    }
    leaf->salt = (ProtobufCBinaryData){.data = salt, .len = sizeof salt};
    leaf->time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)(now.tv_nsec / 1000000);
    size_t *commitments =
        leaf->body_case == CSL__AUDIT__LEAF__BODY_INPUT ? &leaf->input->n_commitments : NULL;
    size_t kept = commitments == NULL ? 0 : *commitments;
    if (kept > CSL_LEAF_COMMITMENTS_MAX) {
        *commitments = 0;
    }
    enum csl_err err = pack_cleaned(out, n, leaf);
    if (commitments != NULL) {
        *commitments = kept;
    }
    leaf->salt = (ProtobufCBinaryData){.data = NULL, .len = 0};
    return err;
}

/* ---- Decoding ---- */

enum csl_err csl_leaf_decode(csl_leaf **out, const uint8_t *p, size_t n, struct csl_diag *diag) {
    *out = NULL;
    if (n > CSL_LEAF_MAX) {
        return csl_fail(diag, CSL_EDATA, "leaf: has %zu bytes; at most %d are allowed", n, CSL_LEAF_MAX);
    }
    csl_leaf *l = csl__audit__leaf__unpack(NULL, n, p);
    if (l == NULL) {
        return csl_fail(diag, CSL_EDATA, "leaf: is not a message of its kind");
    }
    enum csl_err err = check_leaf(l, diag);
    if (err == CSL_OK) {
        struct csl__check c = {"leaf", diag, CSL_OK};
        csl__check_canonical(&c, &l->base, p, n);
        err = c.err;
    }
    if (err != CSL_OK) {
        csl_leaf_free(l);
        return err;
    }
    *out = l;
    return CSL_OK;
}

void csl_leaf_free(csl_leaf *leaf) {
    if (leaf != NULL) {
        csl__audit__leaf__free_unpacked(leaf, NULL);
    }
}

const char *csl_leaf_kind_name(int body_case) {
    static const char *const names[] = {
        [CSL__AUDIT__LEAF__BODY_MODEL] = "model",
        [CSL__AUDIT__LEAF__BODY_SESSION] = "session opened",
        [CSL__AUDIT__LEAF__BODY_INPUT] = "inputs",
        [CSL__AUDIT__LEAF__BODY_HEADS] = "heads",
        [CSL__AUDIT__LEAF__BODY_OUTPUT] = "output",
        [CSL__AUDIT__LEAF__BODY_CLOSE] = "session closed",
        [CSL__AUDIT__LEAF__BODY_REFUSED] = "refused",
        [CSL__AUDIT__LEAF__BODY_DEALT] = "dealt",
        [CSL__AUDIT__LEAF__BODY_OPENING] = "share opened",
        [CSL__AUDIT__LEAF__BODY_CONSENT] = "consent",
        [CSL__AUDIT__LEAF__BODY_WITNESS] = "history refused",
    };
    bool known = body_case > 0 && (size_t)body_case < sizeof names / sizeof names[0];
    return known && names[body_case] != NULL ? names[body_case] : "unknown";
}
