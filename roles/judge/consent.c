/* The owner's consent to an opening, and the judge's register of openings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/judge/opening.h"
#include "roles/message.h"

enum { CONSENT_FILE_MAX = 1 << 14, REGISTER_MAX = 1 << 24 };

/* ---- At the owner ---- */

/* Of the newest entry about a package of this model, or about this package: sealed here. */
static enum csl_err find_sealed(uint8_t digest[CSL_DIGEST_BYTES], bool *found, struct csl_logbook *b,
                                const char *model, const uint8_t *package, struct csl_diag *diag) {
    TRY(csl_ledger_refresh(b->ledger, diag));
    *found = false;
    for (uint64_t i = csl_ledger_size(b->ledger); i-- > 0 && !*found;) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        csl_leaf *leaf = NULL;
        TRY(csl_ledger_leaf(b->ledger, &bytes, &n, i, diag));
        enum csl_err err = csl_leaf_decode(&leaf, bytes, n, diag);
        free(bytes);
        TRY(err);
        const Csl__Audit__ModelLeaf *m = leaf->body_case == CSL__AUDIT__LEAF__BODY_MODEL ? leaf->model : NULL;
        if (m != NULL && m->event == CSL_MODEL_SEALED && m->package_digest.len == CSL_DIGEST_BYTES &&
            (model == NULL || strcmp(m->name, model) == 0) &&
            (package == NULL || memcmp(m->package_digest.data, package, CSL_DIGEST_BYTES) == 0)) {
            memcpy(digest, m->package_digest.data, CSL_DIGEST_BYTES);
            *found = true;
        }
        csl_leaf_free(leaf);
    }
    return CSL_OK;
}

enum csl_err csl_sealed_package(uint8_t digest[CSL_DIGEST_BYTES], struct csl_logbook *b, const char *model,
                                struct csl_diag *diag) {
    bool found;
    TRY(find_sealed(digest, &found, b, model, NULL, diag));
    return found ? CSL_OK
                 : csl_fail(diag, CSL_ENOINPUT, "the ledger of %s has no package of model %s",
                            b->ctx->self->name, model);
}

enum csl_err csl_consent_give(struct csl_signed *out, struct csl_logbook *b, const struct csl_opening *o,
                              struct csl_diag *diag) {
    uint8_t digest[CSL_DIGEST_BYTES];
    bool found;
    *out = (struct csl_signed){0};
    TRY(csl_context_require(b->ctx, CSL_ROLE_OWNER, diag));
    TRY(csl_judge_check(o->judge, &b->ctx->roster, diag));
    const struct csl_member *party = csl_roster_member(&b->ctx->roster, o->party);
    if (party == NULL || party->party < 0) {
        return csl_fail(diag, CSL_EUSAGE, "the roster has no party %s", o->party);
    }
    TRY(find_sealed(digest, &found, b, NULL, o->package_digest, diag));
    if (!found) {
        return csl_fail(diag, CSL_EPERM, "the ledger of %s has not sealed this package", b->ctx->self->name);
    }
    Csl__Audit__ConsentStatement m = CSL__AUDIT__CONSENT_STATEMENT__INIT;
    m.package_digest = csl_bytes(o->package_digest, sizeof o->package_digest);
    m.session_id = csl_bytes(o->session_id, sizeof o->session_id);
    m.party = (char *)(uintptr_t)o->party;
    m.judge = csl_bytes(o->judge, sizeof o->judge);
    m.time_ms = csl_wall_ms();
    TRY(csl_statement_sign(out, CSL_STATEMENT_CONSENT, &m.base, b->ctx->site.sign_key, diag));
    CSL_LEAF(leaf, body, ConsentLeaf, CONSENT_LEAF, CONSENT, consent);
    Csl__Audit__Signed consent = CSL__AUDIT__SIGNED__INIT;
    consent.statement = csl_bytes(out->statement, out->n);
    consent.signature = csl_bytes(out->signature, CSL_SIGNATURE_BYTES);
    consent.signer = (char *)(uintptr_t)b->ctx->self->name;
    body.consent = &consent;
    enum csl_err err = csl_logbook_add(b, &leaf, true, diag);
    if (err != CSL_OK) {
        csl_signed_clear(out);
    }
    return err;
}

/* ---- Verified by everybody ---- */

static bool consents(const Csl__Audit__ConsentStatement *m, const struct csl_opening *o) {
    return m->package_digest.len == CSL_DIGEST_BYTES &&
           memcmp(m->package_digest.data, o->package_digest, CSL_DIGEST_BYTES) == 0 &&
           m->session_id.len == sizeof o->session_id &&
           memcmp(m->session_id.data, o->session_id, sizeof o->session_id) == 0 &&
           m->judge.len == CSL_SPKI_BYTES && memcmp(m->judge.data, o->judge, CSL_SPKI_BYTES) == 0 &&
           strcmp(m->party, o->party) == 0;
}

enum csl_err csl_consent_verify(const struct csl_opening *o, const char *owner, const struct csl_roster *r,
                                struct csl_diag *diag) {
    const struct csl_member *m = csl_roster_member(r, owner);
    Csl__Audit__ConsentStatement *s = NULL;
    if (m == NULL || (m->roles & CSL_ROLE_OWNER) == 0) {
        return csl_fail(diag, CSL_EAUTH, "the roster has no owner %s who could consent", owner);
    }
    if (csl_statement_verify(CSL_STATEMENT_CONSENT, o->consent.statement, o->consent.n, o->consent.signature,
                             CSL_SIGNATURE_BYTES, m->sign_key, NULL) != CSL_OK) {
        return csl_fail(diag, CSL_EAUTH, "the consent is not signed by %s, the model's owner", owner);
    }
    TRY(csl_consent_statement_decode(&s, o->consent.statement, o->consent.n, diag));
    bool fits = consents(s, o);
    csl_statement_free(s);
    return fits ? CSL_OK
                : csl_fail(diag, CSL_EAUTH,
                           "the consent of %s is to another opening (package, session, party or judge)",
                           owner);
}

/* ---- Files ---- */

enum csl_err csl_consent_write(const char *path, const struct csl_signed *consent, const char *owner,
                               struct csl_diag *diag) {
    Csl__Audit__Signed m = CSL__AUDIT__SIGNED__INIT;
    uint8_t *bytes = NULL;
    size_t n = 0;
    m.statement = csl_bytes(consent->statement, consent->n);
    m.signature = csl_bytes(consent->signature, CSL_SIGNATURE_BYTES);
    m.signer = (char *)(uintptr_t)owner;
    TRY(csl_statement_pack(&bytes, &n, &m.base));
    enum csl_err err = csl__create_file(path, 0644, bytes, n, diag);
    free(bytes);
    return err;
}

enum csl_err csl_consent_read(struct csl_signed *out, const char *path, struct csl_diag *diag) {
    char *bytes = NULL;
    size_t n = 0;
    *out = (struct csl_signed){0};
    TRY(csl__read_file(&bytes, &n, path, CONSENT_FILE_MAX, diag));
    Csl__Audit__Signed *m = csl__audit__signed__unpack(NULL, n, (const uint8_t *)bytes);
    csl_secret_free(bytes);
    bool form = m != NULL && m->signature.len == CSL_SIGNATURE_BYTES && m->statement.len != 0 &&
                m->statement.len <= CSL_STATEMENT_MAX;
    enum csl_err err =
        form ? csl_signed_copy(out, m->statement.data, m->statement.len, m->signature.data)
             : csl_fail(diag, CSL_EDATA, "%s: not a consent (consilium audit consent writes one)", path);
    if (m != NULL) {
        csl__audit__signed__free_unpacked(m, NULL);
    }
    return err;
}

/* ---- At the judge ---- */

static const char *owner_of(const struct csl_roster *r, const char *model) {
    for (size_t i = 0; i < r->n_models; i++) {
        if (strcmp(r->models[i].name, model) == 0) {
            return r->members[r->models[i].owner].name;
        }
    }
    return "";
}

/* Whose shares of this package the register has. */
static void read_register(struct csl_openings *o, char *text, const char *hex) {
    for (char *line; (line = strsep(&text, "\n")) != NULL;) {
        if (strncmp(line, hex, 64) == 0 && line[64] == ' ') {
            csl_openings_add(o, line + 65);
        }
    }
}

static enum csl_err judge_register(const struct csl_openings *o, const struct csl_opened_view *v,
                                   const struct csl_roster *r, struct csl_diag *diag) {
    unsigned limit = csl_openings_limit(r);
    const char *owner = owner_of(r, v->model);
    if (v->consent.statement != NULL) {
        struct csl_opening opening = {.consent = v->consent};
        memcpy(opening.package_digest, v->package_digest, sizeof opening.package_digest);
        memcpy(opening.session_id, v->session_id, sizeof opening.session_id);
        memcpy(opening.judge, v->judge, sizeof opening.judge);
        memcpy(opening.party, v->party, sizeof opening.party);
        return csl_consent_verify(&opening, owner, r, diag);
    }
    return o->n <= limit
               ? CSL_OK
               : csl_fail(diag, CSL_EPERM,
                          "with the view of %s this key would have opened the shares of %u parties of one "
                          "package of model %s, and at most %u may be: %s must share the model anew, or "
                          "consent to the opening",
                          v->party, o->n, v->model, limit, owner);
}

/* Behind `end`, whole or not at all: with half a line the next one would not be found. */
static enum csl_err append_line(int fd, size_t end, const char *line, size_t n, const char *path,
                                struct csl_diag *diag) {
    if (write(fd, line, n) == (ssize_t)n && fsync(fd) == 0) {
        return CSL_OK;
    }
    int saved = errno;
    (void)!ftruncate(fd, (off_t)end);
    return csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(saved));
}

enum csl_err csl_register_opening(const char *dir, const struct csl_opened_view *v,
                                  const struct csl_roster *r, struct csl_diag *diag) {
    char path[CSL__PATH_MAX], hex[65], *text = NULL;
    size_t n = 0;
    struct csl_openings o = {.model = ""};
    const struct csl_member *party = csl_roster_member(r, v->party);
    if (party == NULL || party->party < 0) {
        return csl_fail(diag, CSL_EAUTH, "the roster has no party %s", v->party);
    }
    TRY(csl__path(path, dir, "openings", diag));
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        enum csl_err err = csl_fail(diag, CSL_EIO, "%s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    for (int i = 0; i < 32; i++) {
        (void)snprintf(hex + 2 * (ptrdiff_t)i, 3, "%02x", v->package_digest[i]);
    }
    enum csl_err err = csl__read_file(&text, &n, path, REGISTER_MAX, diag);
    if (err == CSL_OK) {
        read_register(&o, text, hex);
        bool known = csl_openings_has(&o, v->party);
        csl_openings_add(&o, v->party);
        err = judge_register(&o, v, r, diag);
        if (err == CSL_OK && !known) {
            char line[128];
            int len = snprintf(line, sizeof line, "%s %s\n", hex, v->party);
            err = append_line(fd, n, line, (size_t)len, path, diag);
        }
    }
    csl_secret_free(text);
    close(fd);
    return err;
}
