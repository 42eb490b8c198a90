/* What a party's own ledger says of the packages that it took in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/daemon/logbook.h"
#include "roles/message.h"
#include "roles/package/package.h"

void csl_accepted_clear(struct csl_accepted *a) {
    free(a->models);
    *a = (struct csl_accepted){0};
}

static const struct csl_accepted_model *find(const struct csl_accepted *a, const char *name) {
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->models[i].name, name) == 0) {
            return &a->models[i];
        }
    }
    return NULL;
}

static enum csl_err note(struct csl_accepted *a, const Csl__Audit__ModelLeaf *m) {
    if (m->event != CSL_MODEL_ACCEPTED || m->n_sealed_digests != 1) {
        return CSL_OK;
    }
    struct csl_accepted_model *x = (struct csl_accepted_model *)(uintptr_t)find(a, m->name);
    if (x == NULL) {
        x = realloc(a->models, (a->n + 1) * sizeof *x);
        if (x == NULL) {
            return CSL_ENOMEM;
        }
        a->models = x;
        x = &a->models[a->n++];
        (void)snprintf(x->name, sizeof x->name, "%s", m->name);
    }
    memcpy(x->package_digest, m->package_digest.data, sizeof x->package_digest);
    memcpy(x->sealed_digest, m->sealed_digests[0].data, sizeof x->sealed_digest);
    return CSL_OK;
}

/* Tags as csl_leaf_encode writes them: salt, time, body. Saves decoding the many leaves of sessions. */
static bool is_model_leaf(const uint8_t *p, size_t n) {
    size_t at = 2 + CSL_LEAF_SALT_BYTES;
    if (n > at && p[at] == 0x10) {
        do {
            at++;
        } while (at < n && (p[at] & 0x80) != 0);
        at++;
    }
    return at < n && p[at] == 0x1a;
}

static enum csl_err take(struct csl_accepted *a, struct csl_ledger *ledger, uint64_t i,
                         struct csl_diag *diag) {
    uint8_t *bytes;
    size_t n;
    csl_leaf *leaf = NULL;
    TRY(csl_ledger_leaf(ledger, &bytes, &n, i, diag));
    enum csl_err err = CSL_OK;
    if (is_model_leaf(bytes, n)) {
        err = csl_leaf_decode(&leaf, bytes, n, diag);
    }
    if (err == CSL_OK && leaf != NULL && leaf->body_case == CSL__AUDIT__LEAF__BODY_MODEL) {
        err = note(a, leaf->model);
    }
    csl_leaf_free(leaf);
    free(bytes);
    return err;
}

enum csl_err csl_accepted_update(struct csl_accepted *a, const struct csl_context *ctx,
                                 struct csl_diag *diag) {
    if (ctx->logbook == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "no ledger is open");
    }
    struct csl_ledger *ledger = ctx->logbook->ledger;
    TRY(csl_ledger_refresh(ledger, diag));
    uint64_t size = csl_ledger_size(ledger);
    for (; a->scanned < size; a->scanned++) {
        TRY(take(a, ledger, a->scanned, diag));
    }
    return CSL_OK;
}

enum csl_err csl_accepted_check(const struct csl_accepted *a, const struct csl_package *p,
                                struct csl_diag *diag) {
    const struct csl_accepted_model *x = find(a, p->name);
    if (x == NULL) {
        return csl_fail(
            diag, CSL_EAUTH,
            "model %s: this site's ledger has no entry of it; take the package in with: consilium "
            "model install",
            p->name);
    }
    if (memcmp(x->package_digest, p->digest, sizeof p->digest) != 0 ||
        memcmp(x->sealed_digest, p->sealed_digest, sizeof p->sealed_digest) != 0) {
        return csl_fail(
            diag, CSL_EAUTH,
            "model %s: the newest entry of it in this site's ledger is of another package (was this "
            "file put back?); its owner must share it again, or: consilium model install",
            p->name);
    }
    return CSL_OK;
}

enum csl_err csl_accepted_add(const struct csl_context *ctx, const struct csl_package *p,
                              struct csl_diag *diag) {
    if (ctx->logbook == NULL) {
        return csl_fail(diag, CSL_EINTERNAL, "no ledger is open");
    }
    ProtobufCBinaryData sealed = csl_bytes(p->sealed_digest, sizeof p->sealed_digest);
    CSL_LEAF(leaf, model, ModelLeaf, MODEL_LEAF, MODEL, model);
    model.name = (char *)(uintptr_t)p->name;
    model.owner = (char *)(uintptr_t)p->owner;
    model.package_digest = csl_bytes(p->digest, sizeof p->digest);
    model.sealed_digests = &sealed;
    model.n_sealed_digests = 1;
    model.event = CSL_MODEL_ACCEPTED;
    return csl_logbook_add(ctx->logbook, &leaf, true, diag);
}
