/* Sessions: what their statements say, and what each ledger holds of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify_internal.h"

/* ---- Statements ---- */

static void id_key(uint8_t key[32], const uint8_t id[CSL__SESSION_ID_BYTES]) {
    memset(key, 0, 32);
    memcpy(key, id, CSL__SESSION_ID_BYTES);
}

/* Whether a statement is of the roster that we verify with. */
static bool of_roster(struct csl__verify *v, const Csl__Audit__SessionStatement *m) {
    const uint8_t *id = m->session_id.data;
    if (!csl__is(&m->roster_digest, v->world->roster_digest)) {
        /* A ledger outlives rosters: that is nobody's fault, and this session remains to be verified. */
        csl__find(v, CSL_VERDICT_INCOMPLETE, "", id, 0,
                  "the session ran under another roster; verify with that one");
        return false;
    }
    bool same = m->n_parties == v->world->n_parties;
    for (unsigned i = 0; same && i < m->n_parties; i++) {
        const struct csl_auditee *party = csl__party(v, i);
        same = party != NULL && strcmp(party->name, m->parties[i]) == 0;
    }
    if (!same) {
        csl__find(v, CSL_VERDICT_MISMATCH, "", id, 0,
                  "the session's statement names other parties than the roster of the same digest");
    }
    return same;
}

/* A session id is the client's choice. Two statements with one id are no proof against anybody unless their
 * nonces are the same as well (verify_fact.c). */
static void check_id(struct csl__verify *v, struct csl__session *s) {
    uint8_t key[32];
    memset(key, 0xff, sizeof key); /* apart from the digests in this table */
    memcpy(key, s->m->session_id.data, CSL__SESSION_ID_BYTES);
    if (csl__map_get(&v->slots, key) != NULL) {
        csl__find(v, CSL_VERDICT_MISMATCH, "", csl__id(s), 0,
                  "two different session statements bear the same session id");
    } else {
        (void)csl__failed(v, csl__map_put(&v->slots, key, s));
    }
}

static struct csl__session *add_session(struct csl__verify *v, Csl__Audit__SessionStatement *m,
                                        const uint8_t digest[32]) {
    struct csl__session *s = csl__calloc(v, 1, sizeof *s);
    if (s == NULL) {
        csl_statement_free(m);
        return NULL;
    }
    s->m = m;
    memcpy(s->digest, digest, 32);
    s->next = v->all_sessions;
    v->all_sessions = s;
    s->ours = of_roster(v, m);
    check_id(v, s);
    return csl__failed(v, csl__map_put(&v->sessions, digest, s)) ? NULL : s;
}

static struct csl__session *session_of(struct csl__verify *v, const struct csl__site *site,
                                       const Csl__Audit__SessionLeaf *leaf) {
    struct csl_diag diag = {""};
    uint8_t digest[32];
    Csl__Audit__SessionStatement *m = NULL;
    if (csl__failed(v, csl_sha256_once(digest, leaf->statement.data, leaf->statement.len))) {
        return NULL;
    }
    struct csl__session *s = csl__map_get(&v->sessions, digest);
    if (s != NULL) {
        return s;
    }
    enum csl_err err = csl_session_statement_decode(&m, leaf->statement.data, leaf->statement.len, &diag);
    if (err == CSL_EDATA) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger: a session's statement is malformed: %.200s", site->member->name, diag.text);
        return NULL;
    }
    return csl__failed(v, err) ? NULL : add_session(v, m, digest);
}

static void read_signatures(struct csl__verify *v, struct csl__site *site, const struct csl__session *s,
                            Csl__Audit__SessionLeaf *leaf) {
    if (leaf->n_signatures != s->m->n_parties) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, "", csl__id(s), 0,
                  "%s's ledger: the session's statement has %zu signatures, and %zu parties",
                  site->member->name, leaf->n_signatures, s->m->n_parties);
    }
    for (size_t i = 0; i < leaf->n_signatures && i < s->m->n_parties; i++) {
        Csl__Audit__Signed one = CSL__AUDIT__SIGNED__INIT;
        one.statement = leaf->statement;
        one.signature = leaf->signatures[i];
        one.signer = s->m->parties[i];
        (void)csl__fact(v, CSL_STATEMENT_SESSION, &one, "session opened");
    }
}

void csl__read_sessions(struct csl__verify *v, struct csl__site *site) {
    for (size_t i = 0; site->leaves != NULL && v->err == CSL_OK && i < site->b->n_leaves; i++) {
        const csl_leaf *leaf = site->leaves[i];
        if (leaf == NULL || leaf->body_case != CSL__AUDIT__LEAF__BODY_SESSION) {
            continue;
        }
        const struct csl__session *s = session_of(v, site, leaf->session);
        if (s != NULL && s->ours) {
            read_signatures(v, site, s, leaf->session);
        }
    }
}

/* ---- What a ledger holds ---- */

static struct csl__shown *shown_by_id(struct csl__verify *v, struct csl__site *site,
                                      const uint8_t id[CSL__SESSION_ID_BYTES]) {
    uint8_t key[32];
    id_key(key, id);
    struct csl__shown *shown = csl__map_get(&site->by_id, key);
    if (shown != NULL) {
        return shown;
    }
    shown = csl__calloc(v, 1, sizeof *shown);
    if (shown == NULL) {
        return NULL;
    }
    memcpy(shown->id, id, sizeof shown->id);
    shown->next = site->shown;
    site->shown = shown;
    return csl__failed(v, csl__map_put(&site->by_id, key, shown)) ? NULL : shown;
}

struct csl__shown *csl__shown_of(struct csl__verify *v, struct csl__site *site,
                                 const ProtobufCBinaryData *digest, const char *what) {
    struct csl__shown *shown = digest->len == 32 ? csl__map_get(&site->by_statement, digest->data) : NULL;
    if (shown == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, NULL, 0,
                  "%s's ledger: an entry (%s) is of a session of which no entry says that it was opened",
                  site->member->name, what);
    } else if (shown->close != NULL) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, shown->id, 0,
                  "%s's ledger: an entry (%s) comes after the one that closed the session",
                  site->member->name, what);
        return NULL;
    }
    return shown;
}

static void read_model(struct csl__verify *v, struct csl__site *site, Csl__Audit__ModelLeaf *m) {
    if (m->event == CSL_MODEL_ACCEPTED || m->event == CSL_MODEL_RESEALED) {
        (void)csl__failed(v, csl__map_put(&site->models, m->package_digest.data, m));
    }
    /* A party that handed its part on may have left the roster since: then nobody can verify it here. */
    if (m->reseal == NULL || csl__member(v, m->reseal->signer) == NULL) {
        return;
    }
    const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_RESEAL, m->reseal, "model handed on");
    const Csl__Audit__ResealStatement *s = f == NULL ? NULL : f->m;
    if (s != NULL && !csl__same(&s->package_digest, &m->package_digest)) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger: the statement by which a part of %s was handed on is of another package",
                  site->member->name, m->name);
    }
}

static void check_model(struct csl__verify *v, const struct csl__site *site, const struct csl__session *s) {
    const Csl__Audit__ModelLeaf *m = csl__map_get(&site->models, s->m->package_digest.data);
    if (m == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, csl__id(s), 0,
                  "%s's ledger: no entry before the session's says that the model's package was accepted",
                  site->member->name);
    } else if (strcmp(m->name, s->m->model) != 0) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, csl__id(s), 0,
                  "%s's ledger: the session's package was accepted as model %s, and served as %s",
                  site->member->name, m->name, s->m->model);
    }
}

static void read_session(struct csl__verify *v, struct csl__site *site, const Csl__Audit__SessionLeaf *leaf) {
    const struct csl__session *s = session_of(v, site, leaf);
    if (s == NULL) {
        return;
    }
    if (s->ours && site->member->party < 0) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, csl__id(s), 0,
                  "%s's ledger says that it served a session, and it is no party", site->member->name);
        return;
    }
    if (csl__map_get(&site->by_statement, s->digest) != NULL) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, csl__id(s), 0,
                  "%s's ledger: the session was opened twice", site->member->name);
        return;
    }
    struct csl__shown *shown = shown_by_id(v, site, s->m->session_id.data);
    if (shown == NULL) {
        return;
    }
    shown->session = s;
    shown->close = NULL; /* of an attempt with the same id that had no statement yet */
    (void)csl__failed(v, csl__map_put(&site->by_statement, s->digest, shown));
    if (s->ours) {
        check_model(v, site, s);
    }
}

static void read_close(struct csl__verify *v, struct csl__site *site, const Csl__Audit__CloseLeaf *m) {
    struct csl__shown *shown = NULL;
    if (m->session.len == 0) {
        shown = shown_by_id(v, site, m->session_id.data);
        if (shown != NULL && shown->session != NULL) {
            return; /* another attempt with the same id */
        }
    } else {
        shown = csl__shown_of(v, site, &m->session, "session closed");
        if (shown != NULL && memcmp(shown->id, m->session_id.data, sizeof shown->id) != 0) {
            csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, shown->id, 0,
                      "%s's ledger: the session was closed under another id", site->member->name);
        }
    }
    if (shown != NULL) {
        shown->close = m;
    }
}

static void read_dealt(struct csl__verify *v, struct csl__site *site, Csl__Audit__DealtLeaf *m) {
    const struct csl__fact *f = csl__fact(v, CSL_STATEMENT_DEALT, m->dealt, "dealt");
    if (f == NULL) {
        return;
    }
    if (f->signer != site->member) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, NULL, 0,
                  "%s's ledger says that it dealt what %s signed", site->member->name, f->signer->name);
        return;
    }
    const Csl__Audit__DealtStatement *s = f->m;
    struct csl__shown *shown = shown_by_id(v, site, s->session_id.data);
    if (shown != NULL && !csl__failed(v, csl__map_put(&site->dealt, f->digest, (void *)(uintptr_t)f))) {
        shown->batches++;
    }
}

static void read_opening(struct csl__verify *v, struct csl__site *site, const Csl__Audit__OpeningLeaf *m) {
    const struct csl__fact *f =
        m->consent == NULL ? NULL : csl__fact(v, CSL_STATEMENT_CONSENT, m->consent, "share opened");
    const Csl__Audit__ConsentStatement *s = f == NULL ? NULL : f->m;
    if (s != NULL &&
        (!csl__same(&s->package_digest, &m->package_digest) || !csl__same(&s->session_id, &m->session_id) ||
         strcmp(s->party, m->party) != 0 || !csl__same(&s->judge, &m->judge))) {
        csl__find(v, CSL_VERDICT_MISMATCH, site->member->name, m->session_id.data, 0,
                  "%s's ledger: a share was opened with a consent to something else", site->member->name);
    }
}

/* Both notes count against the one who signed them, if they exclude each other; the refusal by itself does
 * not, nor that somebody accepted what it showed next: that is a hole, where the lost history was. */
static void read_witness(struct csl__verify *v, struct csl__site *site, const Csl__Audit__WitnessLeaf *m) {
    const char *notes[2] = {m->note_seen, m->note_shown};
    char where[2 * CSL_NOTE_NAME_MAX];
    (void)snprintf(where, sizeof where, "%s's ledger, an entry of a witness", site->member->name);
    for (size_t i = 0; i < 2; i++) {
        if (notes[i][0] != '\0' && csl__member(v, m->who) != NULL) {
            csl__read_sighting(v, site, m->who, notes[i], where);
        }
    }
    if (strncmp(m->reason, CSL_WITNESS_ACCEPTED, strlen(CSL_WITNESS_ACCEPTED)) == 0) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, m->who, NULL, 0,
                  "%s took a new ledger of %s for one that it lost, with what was in it (%.300s)",
                  site->member->name, m->who, m->reason);
        return;
    }
    csl__find(v, CSL_VERDICT_MISMATCH, m->who, NULL, 0, "%s refused a history of %s's ledger: %.300s",
              site->member->name, m->who, m->reason);
}

static void read_leaf(struct csl__verify *v, struct csl__site *site, const csl_leaf *leaf) {
    switch (leaf->body_case) {
    case CSL__AUDIT__LEAF__BODY_MODEL:
        read_model(v, site, leaf->model);
        break;
    case CSL__AUDIT__LEAF__BODY_SESSION:
        read_session(v, site, leaf->session);
        break;
    case CSL__AUDIT__LEAF__BODY_INPUT:
        csl__read_input(v, site, leaf->input);
        break;
    case CSL__AUDIT__LEAF__BODY_HEADS:
        csl__read_heads(v, site, leaf->heads);
        break;
    case CSL__AUDIT__LEAF__BODY_OUTPUT:
        csl__read_output(v, site, leaf->output);
        break;
    case CSL__AUDIT__LEAF__BODY_CLOSE:
        read_close(v, site, leaf->close);
        break;
    case CSL__AUDIT__LEAF__BODY_DEALT:
        read_dealt(v, site, leaf->dealt);
        break;
    case CSL__AUDIT__LEAF__BODY_OPENING:
        read_opening(v, site, leaf->opening);
        break;
    case CSL__AUDIT__LEAF__BODY_CONSENT:
        (void)csl__fact(v, CSL_STATEMENT_CONSENT, leaf->consent->consent, "consent");
        break;
    case CSL__AUDIT__LEAF__BODY_WITNESS:
        read_witness(v, site, leaf->witness);
        break;
    default: /* a refusal stands for itself */
        break;
    }
}

void csl__read_leaves(struct csl__verify *v, struct csl__site *site) {
    for (size_t i = 0; site->leaves != NULL && v->err == CSL_OK && i < site->b->n_leaves; i++) {
        if (site->leaves[i] != NULL) {
            read_leaf(v, site, site->leaves[i]);
        }
    }
}

/* ---- Whether it is all there ---- */

static void check_shown(struct csl__verify *v, const struct csl__site *site, const struct csl__shown *s) {
    const char *who = site->member->name;
    const Csl__Audit__CloseLeaf *c = s->close;
    bool party = s->session != NULL;
    if (c == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, who, s->id, 0,
                  "%s's ledger: no entry closes the session: it still runs, or its daemon ended without",
                  who);
        return;
    }
    bool counted = party && s->session->ours;
    bool statements =
        counted && s->session->m->sign != CSL_SIGN_OFF; /* else nothing says how many inferences */
    bool fewer = c->batches > s->batches || (statements && c->inferences > s->inferences);
    /* Of an error's session the last batch may have broken off: what it lacks is found there. */
    bool cut = c->error != CSL_OK && s->batches == c->batches + 1;
    bool more = counted && !cut && (c->batches < s->batches || (statements && c->inferences < s->inferences));
    if (fewer || more) {
        csl__find(v, more ? CSL_VERDICT_MISMATCH : CSL_VERDICT_INCOMPLETE, who, s->id, 0,
                  "%s's ledger: the session closed after %llu batches and %llu inferences, and %llu and %llu "
                  "are shown",
                  who, (unsigned long long)c->batches, (unsigned long long)c->inferences,
                  (unsigned long long)s->batches, (unsigned long long)s->inferences);
    }
}

void csl__check_sessions(struct csl__verify *v, struct csl__site *site) {
    if (site->member == NULL) {
        return;
    }
    for (const struct csl__shown *s = site->shown; s != NULL; s = s->next) {
        check_shown(v, site, s);
    }
    uint8_t key[32];
    if (site->b->session_id.len == 0 || (site->member->roles & (CSL__ROLE_PARTY | CSL__ROLE_DEALER)) == 0) {
        return;
    }
    id_key(key, site->b->session_id.data);
    if (csl__map_get(&site->by_id, key) == NULL) {
        csl__find(v, CSL_VERDICT_INCOMPLETE, site->member->name, site->b->session_id.data, 0,
                  "the bundle of %s is of this session and holds no entry of it", site->member->name);
    }
}
