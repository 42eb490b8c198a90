/* A bundle out of a ledger. Two passes over its leaves: the first learns what belongs to the session (its
 * statement's digest, the package), the second takes. */
#include <stdlib.h>
#include <string.h>

#include "audit/bundle_internal.h"
#include "audit/check_internal.h"
#include "audit/leaf.h"
#include "audit/statement.h"

enum { IDENTITIES_MAX = 16 };

struct export {
    csl_bundle *b;
    struct csl_ledger *l;
    const uint8_t *session_id; /* NULL: all */
    struct csl_diag *diag;
    /* of the session, as far as our leaves tell; a session id could have been used twice */
    uint8_t sessions[IDENTITIES_MAX][32], packages[IDENTITIES_MAX][32];
    size_t n_sessions, n_packages;
    uint64_t *indices;
    size_t n, room;
    bool found;
    const struct csl_bundle_roster *of;
    struct csl__bundle_notes notes; /* the chain */
};

static enum csl_err no_memory(struct csl_diag *diag) {
    return csl_fail(diag, CSL_ENOMEM, "no memory for the bundle");
}

/* ---- Which leaves ---- */

static bool is_id(const struct export *e, const ProtobufCBinaryData *id) {
    return id->len == CSL__SESSION_ID_BYTES && memcmp(id->data, e->session_id, id->len) == 0;
}

static bool is_one_of(uint8_t (*all)[32], size_t n, const ProtobufCBinaryData *digest) {
    for (size_t i = 0; i < n; i++) {
        if (digest->len == 32 && memcmp(all[i], digest->data, 32) == 0) {
            return true;
        }
    }
    return false;
}

static void learn(uint8_t (*all)[32], size_t *n, const ProtobufCBinaryData *digest) {
    if (*n < IDENTITIES_MAX && digest->len == 32 && !is_one_of(all, *n, digest)) {
        memcpy(all[(*n)++], digest->data, 32);
    }
}

static enum csl_err learn_session(struct export *e, const Csl__Audit__SessionLeaf *m) {
    Csl__Audit__SessionStatement *s = NULL;
    uint8_t digest[32];
    if (csl_session_statement_decode(&s, m->statement.data, m->statement.len, NULL) != CSL_OK) {
        return CSL_OK; /* not ours to judge */
    }
    enum csl_err err = CSL_OK;
    if (is_id(e, &s->session_id)) {
        err = csl_sha256_once(digest, m->statement.data, m->statement.len);
        ProtobufCBinaryData d = {.len = sizeof digest, .data = digest};
        learn(e->sessions, &e->n_sessions, &d);
        learn(e->packages, &e->n_packages, &s->package_digest);
        e->found = true;
    }
    csl_statement_free(s);
    return err;
}

static bool is_dealt(struct export *e, const Csl__Audit__Signed *signed_, bool take_package) {
    Csl__Audit__DealtStatement *s = NULL;
    if (csl_dealt_statement_decode(&s, signed_->statement.data, signed_->statement.len, NULL) != CSL_OK) {
        return false;
    }
    bool ours = is_id(e, &s->session_id);
    if (ours && take_package) {
        learn(e->packages, &e->n_packages, &s->package_digest);
    }
    csl_statement_free(s);
    return ours;
}

static bool is_consent(const struct export *e, const Csl__Audit__Signed *signed_) {
    Csl__Audit__ConsentStatement *s = NULL;
    if (csl_consent_statement_decode(&s, signed_->statement.data, signed_->statement.len, NULL) != CSL_OK) {
        return false;
    }
    bool ours = is_id(e, &s->session_id);
    csl_statement_free(s);
    return ours;
}

static enum csl_err learn_leaf(struct export *e, const csl_leaf *leaf) {
    switch (leaf->body_case) {
    case CSL__AUDIT__LEAF__BODY_SESSION:
        return learn_session(e, leaf->session);
    case CSL__AUDIT__LEAF__BODY_DEALT:
        e->found |= is_dealt(e, leaf->dealt->dealt, true);
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        e->found |= is_id(e, &leaf->close->session_id);
        break;
    case CSL__AUDIT__LEAF__BODY_OPENING:
        e->found |= is_id(e, &leaf->opening->session_id);
        break;
    case CSL__AUDIT__LEAF__BODY_CONSENT:
        e->found |= is_consent(e, leaf->consent->consent);
        break;
    default:
        break;
    }
    return CSL_OK;
}

static bool belongs(struct export *e, const csl_leaf *leaf) {
    switch (leaf->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        return is_one_of(e->packages, e->n_packages, &leaf->model->package_digest);
    case CSL__AUDIT__LEAF__BODY_SESSION: {
        uint8_t digest[32];
        ProtobufCBinaryData d = {.len = sizeof digest, .data = digest};
        return csl_sha256_once(digest, leaf->session->statement.data, leaf->session->statement.len) ==
                   CSL_OK &&
               is_one_of(e->sessions, e->n_sessions, &d);
    }
    case CSL__AUDIT__LEAF__BODY_INPUT:
        return is_one_of(e->sessions, e->n_sessions, &leaf->input->session);
    case CSL__AUDIT__LEAF__BODY_HEADS:
        return is_one_of(e->sessions, e->n_sessions, &leaf->heads->session);
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        return is_one_of(e->sessions, e->n_sessions, &leaf->output->session);
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        return is_id(e, &leaf->close->session_id);
    case CSL__AUDIT__LEAF__BODY_DEALT:
        return is_dealt(e, leaf->dealt->dealt, false);
    case CSL__AUDIT__LEAF__BODY_OPENING:
        return is_id(e, &leaf->opening->session_id);
    case CSL__AUDIT__LEAF__BODY_CONSENT:
        return is_consent(e, leaf->consent->consent);
    case CSL__AUDIT__LEAF__BODY_WITNESS:
        return true; /* evidence about a whole ledger */
    default:
        return false;
    }
}

static enum csl_err take_index(struct export *e, uint64_t i) {
    if (e->n == e->room) {
        size_t room = e->room == 0 ? 64 : 2 * e->room;
        uint64_t *more = reallocarray(e->indices, room, sizeof *more);
        if (more == NULL) {
            return no_memory(e->diag);
        }
        e->indices = more;
        e->room = room;
    }
    e->indices[e->n++] = i;
    return CSL_OK;
}

static enum csl_err pass(struct export *e, uint64_t size, bool taking) {
    for (uint64_t i = 0; i < size; i++) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        csl_leaf *leaf = NULL;
        TRY(csl_ledger_leaf(e->l, &bytes, &n, i, e->diag));
        enum csl_err err = csl_leaf_decode(&leaf, bytes, n, e->diag);
        free(bytes);
        if (err != CSL_OK) {
            return csl_fail_context(e->diag, err, "entry %llu of the ledger", (unsigned long long)i);
        }
        if (!taking) {
            err = learn_leaf(e, leaf);
        } else if (belongs(e, leaf)) {
            err = take_index(e, i);
        }
        csl_leaf_free(leaf);
        TRY(err);
    }
    return CSL_OK;
}

static enum csl_err take_all(struct export *e) {
    uint64_t size = e->notes.n == 0 ? 0 : e->notes.at[e->notes.n - 1].checkpoint.size;
    e->n = 0;
    for (uint64_t i = 0; i < size; i++) {
        TRY(take_index(e, i));
    }
    return CSL_OK;
}

static enum csl_err choose_leaves(struct export *e) {
    uint64_t size = csl_ledger_size(e->l);
    if (e->session_id == NULL) {
        return size == 0 ? CSL_OK : take_index(e, size - 1); /* the rest when the checkpoint is known */
    }
    TRY(pass(e, size, false));
    if (!e->found) {
        return csl_fail(e->diag, CSL_ENOINPUT,
                        "this ledger knows no such session; `consilium audit show` lists them");
    }
    return pass(e, size, true);
}

/* ---- Filling the message; everything by malloc, as protobuf-c frees it ---- */

static bool copy_bytes(ProtobufCBinaryData *out, const uint8_t *p, size_t n) {
    out->data = malloc(n + 1);
    out->len = out->data == NULL ? 0 : n;
    if (out->data != NULL && n != 0) {
        memcpy(out->data, p, n);
    }
    return out->data != NULL;
}

static enum csl_err copy_proof(ProtobufCBinaryData **out, size_t *n_out,
                               const uint8_t (*proof)[CSL_MERKLE_BYTES], size_t n, struct csl_diag *diag) {
    *out = calloc(n + 1, sizeof **out);
    if (*out == NULL) {
        return no_memory(diag);
    }
    for (*n_out = 0; *n_out < n; (*n_out)++) {
        if (!copy_bytes(&(*out)[*n_out], proof[*n_out], CSL_MERKLE_BYTES)) {
            return no_memory(diag);
        }
    }
    return CSL_OK;
}

static enum csl_err put_checkpoint(struct export *e, size_t i) {
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n_proof = 0;
    Csl__Audit__BundleCheckpoint *c = malloc(sizeof *c);
    if (c == NULL) {
        return no_memory(e->diag);
    }
    csl__audit__bundle_checkpoint__init(c);
    e->b->checkpoints[e->b->n_checkpoints++] = c;
    c->note = strdup(e->notes.at[i].text);
    if (c->note == NULL) {
        return no_memory(e->diag);
    }
    if (i + 1 < e->notes.n) {
        TRY(csl_ledger_consistency(e->l, proof, &n_proof, e->notes.at[i].checkpoint.size,
                                   e->notes.at[i + 1].checkpoint.size));
    }
    return copy_proof(&c->proof, &c->n_proof, (const uint8_t(*)[CSL_MERKLE_BYTES])proof, n_proof, e->diag);
}

static enum csl_err put_leaf(struct export *e, uint64_t index, uint64_t size) {
    uint8_t proof[CSL_MERKLE_PROOF_MAX][CSL_MERKLE_BYTES];
    size_t n_proof = 0;
    Csl__Audit__BundleLeaf *m = malloc(sizeof *m);
    if (m == NULL) {
        return no_memory(e->diag);
    }
    csl__audit__bundle_leaf__init(m);
    e->b->leaves[e->b->n_leaves++] = m;
    m->index = index;
    TRY(csl_ledger_leaf(e->l, &m->leaf.data, &m->leaf.len, index, e->diag));
    TRY(csl_ledger_inclusion(e->l, proof, &n_proof, index, size));
    return copy_proof(&m->proof, &m->n_proof, (const uint8_t(*)[CSL_MERKLE_BYTES])proof, n_proof, e->diag);
}

static enum csl_err put_seen(struct export *e, const char *who, const struct csl_note *note) {
    Csl__Audit__BundleSeen *s = malloc(sizeof *s);
    if (s == NULL) {
        return no_memory(e->diag);
    }
    csl__audit__bundle_seen__init(s);
    e->b->seen[e->b->n_seen++] = s;
    s->who = strdup(who);
    s->note = strdup(note->text);
    return s->who == NULL || s->note == NULL ? no_memory(e->diag) : CSL_OK;
}

/* Whether this member's key in the roster made it. */
static bool is_of(const struct csl_note *note, const struct csl_note_signer *m) {
    return m->key == NULL || csl_note_verify(note, m->name, m->key, NULL) == CSL_OK;
}

static enum csl_err put_all_seen(struct export *e) {
    struct csl_note *note = calloc(1, sizeof *note);
    enum csl_err err = note == NULL ? no_memory(e->diag) : CSL_OK;
    for (size_t i = 0; err == CSL_OK && i < e->of->n; i++) {
        const struct csl_note_signer *m = &e->of->members[i];
        err = csl_ledger_seen(e->l, note, m->name, e->diag);
        if (err == CSL_OK && note->checkpoint.size != 0 && is_of(note, m)) {
            err = put_seen(e, m->name, note);
        }
    }
    free(note);
    return err;
}

static enum csl_err fill(struct export *e, const char *site) {
    csl_bundle *b = e->b;
    b->version = 1;
    b->site = strdup(site);
    b->checkpoints = calloc(e->notes.n + 1, sizeof *b->checkpoints);
    b->leaves = calloc(e->n + 1, sizeof(Csl__Audit__BundleLeaf *));
    b->seen = calloc(e->of->n + 1, sizeof *b->seen);
    if (b->site == NULL || b->checkpoints == NULL || b->leaves == NULL || b->seen == NULL ||
        !copy_bytes(&b->roster_digest, e->of->digest, 32) ||
        (e->session_id != NULL && !copy_bytes(&b->session_id, e->session_id, CSL__SESSION_ID_BYTES))) {
        return no_memory(e->diag);
    }
    for (size_t i = 0; i < e->notes.n; i++) {
        TRY(put_checkpoint(e, i));
    }
    uint64_t size = e->notes.n == 0 ? 0 : e->notes.at[e->notes.n - 1].checkpoint.size;
    for (size_t i = 0; i < e->n && e->indices[i] < size; i++) {
        TRY(put_leaf(e, e->indices[i], size));
    }
    return put_all_seen(e);
}

enum csl_err csl_bundle_export_under(csl_bundle **out, struct csl_ledger *l, const char *site,
                                     const struct csl_bundle_roster *roster, const uint8_t *session_id,
                                     struct csl_diag *diag) {
    enum csl_err err;
    struct export e = {
        .l = l, .session_id = session_id, .of = roster, .diag = diag, .b = malloc(sizeof *e.b)};
    *out = NULL;
    if (e.b == NULL) {
        return no_memory(diag);
    }
    csl__audit__bundle__init(e.b);
    TRY_OUT(csl_ledger_refresh(l, diag));
    TRY_OUT(choose_leaves(&e));
    TRY_OUT(csl__bundle_choose_notes(&e.notes, l, roster, session_id != NULL,
                                     e.n == 0 ? 0 : e.indices[e.n - 1] + 1, diag));
    if (session_id == NULL) {
        TRY_OUT(take_all(&e));
    }
    TRY_OUT(fill(&e, site));
    *out = e.b;
    e.b = NULL;
out:
    csl_bundle_free(e.b);
    free(e.indices);
    free(e.notes.at);
    return err;
}

enum csl_err csl_bundle_export(csl_bundle **out, struct csl_ledger *l, const char *site,
                               const uint8_t roster_digest[32], const uint8_t *session_id,
                               const char *const *members, size_t n_members, struct csl_diag *diag) {
    struct csl_note_signer *any = calloc(n_members + 1, sizeof *any);
    *out = NULL;
    if (any == NULL) {
        return no_memory(diag);
    }
    for (size_t i = 0; i < n_members; i++) {
        any[i].name = members[i];
    }
    struct csl_bundle_roster of = {.digest = roster_digest, .members = any, .n = n_members};
    enum csl_err err = csl_bundle_export_under(out, l, site, &of, session_id, diag);
    free(any);
    return err;
}
