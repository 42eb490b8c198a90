#include "roles/judge/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "roles/message.h"
#include "roles/package/recipient.h"
#include "roles/talk.h"

void csl_opening_clear(struct csl_opening *o) {
    csl_signed_clear(&o->consent);
    memset(o, 0, sizeof *o);
}

unsigned csl_openings_limit(const struct csl_roster *r) {
    return r->audit.colluding + 1 >= r->n_parties ? 0 : r->n_parties - 1 - r->audit.colluding;
}

bool csl_openings_has(const struct csl_openings *o, const char *name) {
    for (unsigned i = 0; i < o->n; i++) {
        if (strcmp(o->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void csl_openings_add(struct csl_openings *o, const char *name) {
    if (o->n < CSL_MAX_PARTIES && strlen(name) <= CSL_NAME_MAX && !csl_openings_has(o, name)) {
        (void)strcpy(o->names[o->n++], name);
    }
}

/* ---- What a ledger knows ---- */

static bool same_package(const ProtobufCBinaryData *b, const uint8_t digest[CSL_DIGEST_BYTES]) {
    return b->len == CSL_DIGEST_BYTES && memcmp(b->data, digest, CSL_DIGEST_BYTES) == 0;
}

static void take_leaf(struct csl_openings *o, const csl_leaf *l, const uint8_t *package) {
    if (l->body_case == CSL__AUDIT__LEAF__BODY_OPENING &&
        same_package(&l->opening->package_digest, package)) {
        csl_openings_add(o, l->opening->party);
    } else if (l->body_case == CSL__AUDIT__LEAF__BODY_MODEL &&
               same_package(&l->model->package_digest, package)) {
        (void)snprintf(o->model, sizeof o->model, "%.*s", CSL_MODEL_NAME_MAX, l->model->name);
        (void)snprintf(o->owner, sizeof o->owner, "%.*s", CSL_NAME_MAX, l->model->owner);
    }
}

enum csl_err csl_openings_read(struct csl_openings *out, struct csl_logbook *b,
                               const uint8_t package_digest[CSL_DIGEST_BYTES], struct csl_diag *diag) {
    *out = (struct csl_openings){.model = ""};
    TRY(csl_ledger_refresh(b->ledger, diag));
    uint64_t size = csl_ledger_size(b->ledger);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        csl_leaf *leaf = NULL;
        TRY(csl_ledger_leaf(b->ledger, &bytes, &n, i, diag));
        enum csl_err err = csl_leaf_decode(&leaf, bytes, n, diag);
        free(bytes);
        TRY(err);
        take_leaf(out, leaf, package_digest);
        csl_leaf_free(leaf);
    }
    return CSL_OK;
}

static enum csl_err log_opening(struct csl_logbook *b, const struct csl_opening *o, const char *owner,
                                struct csl_diag *diag) {
    CSL_LEAF(leaf, body, OpeningLeaf, OPENING_LEAF, OPENING, opening);
    Csl__Audit__Signed consent = CSL__AUDIT__SIGNED__INIT;
    body.package_digest = csl_bytes(o->package_digest, sizeof o->package_digest);
    body.session_id = csl_bytes(o->session_id, sizeof o->session_id);
    body.party = (char *)(uintptr_t)o->party;
    body.judge = csl_bytes(o->judge, sizeof o->judge);
    if (o->consent.statement != NULL) {
        consent.statement = csl_bytes(o->consent.statement, o->consent.n);
        consent.signature = csl_bytes(o->consent.signature, CSL_SIGNATURE_BYTES);
        consent.signer = (char *)(uintptr_t)owner;
        body.consent = &consent;
    }
    return csl_logbook_add(b, &leaf, true, diag);
}

/* ---- May it be opened? ---- */

enum csl_err csl_judge_check(const uint8_t judge[CSL_SPKI_BYTES], const struct csl_roster *r,
                             struct csl_diag *diag) {
    for (size_t i = 0; i < r->n_members; i++) {
        const struct csl_member *m = &r->members[i];
        if (memcmp(m->wrap_spki, judge, CSL_SPKI_BYTES) == 0 ||
            memcmp(m->tls_spki, judge, CSL_SPKI_BYTES) == 0 ||
            memcmp(m->sign_spki, judge, CSL_SPKI_BYTES) == 0) {
            return csl_fail(diag, CSL_EPERM,
                            "the judge's key is the key of %s; a view is shown to nobody of the consortium: "
                            "the judge makes a key with: consilium cert recipient",
                            m->name);
        }
    }
    return CSL_OK;
}

/* `all` holds everybody who was opened and who is to be. */
static enum csl_err judge_count(const struct csl_openings *all, const struct csl_opening *o,
                                const struct csl_roster *r, struct csl_diag *diag) {
    char names[512] = "";
    size_t n = 0;
    if (o->consent.statement != NULL) {
        return csl_consent_verify(o, all->owner, r, diag);
    }
    unsigned limit = csl_openings_limit(r);
    if (all->n <= limit) {
        return CSL_OK;
    }
    for (unsigned i = 0; i < all->n && n < sizeof names; i++) {
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n == 0 ? "" : ", ", all->names[i]);
    }
    if (limit == 0) {
        return csl_fail(
            diag, CSL_EPERM,
            "with %u parties of which %u may collude with the judge, one opened share of model %s "
            "is too many: %s must consent (consilium audit consent), or share the model anew "
            "afterwards",
            r->n_parties, r->audit.colluding, all->model, all->owner);
    }
    return csl_fail(diag, CSL_EPERM,
                    "the shares of %s of this package of model %s would be open, and at most %u may be "
                    "(parties - 1 - audit.colluding): %s must share the model anew, or consent to this "
                    "opening (consilium audit consent)",
                    names, all->model, limit, all->owner);
}

/* ---- At a party that is told ---- */

enum csl_err csl_opening_accept(struct csl_openings *known, struct csl_logbook *b,
                                const struct csl_opening *o, struct csl_diag *diag) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* judged and written one after another */
    const struct csl_roster *r = &b->ctx->roster;
    const struct csl_member *party = csl_roster_member(r, o->party);
    if (party == NULL || party->party < 0) {
        return csl_fail(diag, CSL_EPERM, "the roster has no party %s", o->party);
    }
    TRY(csl_judge_check(o->judge, r, diag));
    pthread_mutex_lock(&lock);
    enum csl_err err = csl_openings_read(known, b, o->package_digest, diag);
    if (err == CSL_OK && known->owner[0] == '\0') {
        err = csl_fail(diag, CSL_EPERM, "the ledger of %s has no entry of this package", b->ctx->self->name);
    }
    if (err == CSL_OK) {
        csl_openings_add(known, o->party);
        err = judge_count(known, o, r, diag);
    }
    if (err == CSL_OK) {
        err = log_opening(b, o, known->owner, diag);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

/* ---- At the party that opens ---- */

struct telling {
    struct csl_worker worker;
    struct csl_talk talks[CSL_MAX_PARTIES];
    struct csl_talk *others[CSL_MAX_PARTIES];
    unsigned n;
};

static enum csl_err dial(struct telling *t, const struct csl_context *ctx, struct csl_diag *diag) {
    for (unsigned i = 0; i < ctx->roster.n_parties; i++) {
        const struct csl_member *m = csl_roster_party(&ctx->roster, i);
        if (m == ctx->self) {
            continue;
        }
        t->others[t->n++] = &t->talks[i];
        TRY(csl_talk_dial(&t->talks[i], &t->worker, m, CSL__PB__PURPOSE__PURPOSE_AUDIT, NULL, diag));
    }
    const struct csl_timeouts *w = &ctx->roster.timeouts;
    return csl_talk_wait_ready(&t->worker, t->others, t->n, (uint64_t)w->connect_ms + w->handshake_ms, diag);
}

static enum csl_err tell_and_hear(struct telling *t, struct csl_openings *all, const struct csl_context *ctx,
                                  const struct csl_opening *o, struct csl_diag *diag) {
    CSL_CONTROL(m, body, OpeningAnnounced, OPENING_ANNOUNCED, OPENING_ANNOUNCED, opening_announced);
    body.package_digest = csl_bytes(o->package_digest, sizeof o->package_digest);
    body.session_id = csl_bytes(o->session_id, sizeof o->session_id);
    body.judge = csl_bytes(o->judge, sizeof o->judge);
    if (o->consent.statement != NULL) {
        body.consent = csl_bytes(o->consent.statement, o->consent.n);
        body.consent_signature = csl_bytes(o->consent.signature, CSL_SIGNATURE_BYTES);
    }
    for (unsigned i = 0; i < t->n; i++) {
        TRY(csl_talk_send(t->others[i], &m, diag));
    }
    for (unsigned i = 0; i < t->n; i++) {
        csl_control *answer = NULL;
        TRY(csl_talk_expect(t->others[i], &answer, CSL__PB__CONTROL__KIND_OPENINGS_KNOWN,
                            ctx->roster.timeouts.round_ms, diag));
        for (size_t k = 0; k < answer->openings_known->n_parties; k++) {
            csl_openings_add(all, answer->openings_known->parties[k]);
        }
        csl_message_free(answer);
    }
    return CSL_OK;
}

static enum csl_err tell_all(struct csl_openings *all, const struct csl_context *ctx,
                             const struct csl_opening *o, struct csl_diag *diag) {
    struct telling *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CSL_ENOMEM;
    }
    enum csl_err err = csl_worker_init(&t->worker, ctx, ctx->tls, diag);
    if (err == CSL_OK) {
        err = dial(t, ctx, diag);
        if (err == CSL_OK) {
            err = tell_and_hear(t, all, ctx, o, diag);
        }
        for (unsigned i = 0; i < CSL_MAX_PARTIES; i++) {
            csl_talk_close(&t->talks[i]);
        }
        csl_worker_clear(&t->worker);
    }
    free(t);
    return err == CSL_OK || err == CSL_ENOMEM
               ? err
               : csl_fail_context(
                     diag, err,
                     "the view stays closed, since not every other party could count it and agree");
}

enum csl_err csl_opening_announce(struct csl_logbook *b, const struct csl_opening *o, struct csl_diag *diag) {
    const struct csl_context *ctx = b->ctx;
    struct csl_openings all, ours;
    TRY(csl_judge_check(o->judge, &ctx->roster, diag));
    TRY(csl_openings_read(&all, b, o->package_digest, diag));
    if (all.owner[0] == '\0') {
        return csl_fail(diag, CSL_EPERM, "this site's ledger has no entry of this package");
    }
    csl_openings_add(&all, ctx->self->name);
    TRY(judge_count(&all, o, &ctx->roster, diag)); /* so that nobody is told in vain */
    TRY(tell_all(&all, ctx, o, diag));
    TRY(csl_openings_read(&ours, b, o->package_digest, diag)); /* whom our daemon was told of meanwhile */
    for (unsigned i = 0; i < ours.n; i++) {
        csl_openings_add(&all, ours.names[i]);
    }
    TRY(judge_count(&all, o, &ctx->roster, diag));
    return log_opening(b, o, all.owner, diag);
}

/* ---- audit open ---- */

static enum csl_err fill(struct csl_opening *o, struct csl_opened_view *head, const struct csl_context *ctx,
                         const struct csl_opening_options *opt, struct csl_diag *diag) {
    struct csl_view_reader *v = NULL;
    struct csl_view_session s = {.manifest = NULL};
    TRY(csl_view_open_own(&v, ctx, opt->session_id, diag));
    enum csl_err err = csl_view_read_session(&s, v, &ctx->roster, diag);
    csl_view_reader_free(v);
    if (err == CSL_OK) {
        err = csl_sha256_once(o->package_digest, s.manifest, s.n_manifest);
        (void)snprintf(head->model, sizeof head->model, "%s", s.request.model);
    }
    csl_view_session_clear(&s);
    TRY(err);
    memcpy(o->session_id, opt->session_id, sizeof o->session_id);
    (void)snprintf(o->party, sizeof o->party, "%s", ctx->self->name);
    memcpy(head->roster_digest, ctx->roster_digest, sizeof head->roster_digest);
    memcpy(head->session_id, o->session_id, sizeof head->session_id);
    memcpy(head->package_digest, o->package_digest, sizeof head->package_digest);
    memcpy(head->judge, o->judge, sizeof head->judge);
    (void)snprintf(head->party, sizeof head->party, "%s", o->party);
    return opt->consent == NULL ? CSL_OK : csl_consent_read(&o->consent, opt->consent, diag);
}

static enum csl_err open_and_write(struct csl_opening *o, struct csl_opened_view *head, struct csl_logbook *b,
                                   EVP_PKEY *judge, const struct csl_opening_options *opt,
                                   struct csl_diag *diag) {
    struct csl_view_reader *v = NULL;
    TRY(csl_key_spki(o->judge, judge));
    TRY(csl_judge_check(o->judge, &b->ctx->roster, diag));
    TRY(fill(o, head, b->ctx, opt, diag));
    TRY(csl_opening_announce(b, o, diag));
    if (o->consent.statement != NULL) {
        TRY(csl_signed_copy(&head->consent, o->consent.statement, o->consent.n, o->consent.signature));
    }
    TRY(csl_view_open_own(&v, b->ctx, opt->session_id, diag));
    enum csl_err err = csl_opened_view_write(opt->out, head, v, judge, b->ctx->site.sign_key, diag);
    csl_view_reader_free(v);
    return err;
}

enum csl_err csl_opening_run(struct csl_opening *o, struct csl_logbook *b,
                             const struct csl_opening_options *opt, struct csl_diag *diag) {
    struct csl_opened_view head = {.party = ""};
    EVP_PKEY *judge = NULL;
    *o = (struct csl_opening){.party = ""};
    TRY(csl_context_require(b->ctx, CSL_ROLE_PARTY, diag));
    if (access(opt->out, F_OK) == 0) { /* before anything is announced */
        return csl_fail(diag, CSL_ECREATE, "%s: exists and is never overwritten", opt->out);
    }
    TRY(csl_recipient_public(&judge, NULL, NULL, opt->judge, diag));
    enum csl_err err = open_and_write(o, &head, b, judge, opt, diag);
    EVP_PKEY_free(judge);
    csl_opened_view_clear(&head);
    return err;
}
