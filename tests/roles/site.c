#include "site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/files_internal.h"
#include "roles/message.h"

void site_open(struct site *s, const struct world *w, const char *name) {
    struct csl_diag diag = {""};
    memset(s, 0, sizeof *s);
    (void)snprintf(s->dir, sizeof s->dir, "%s/%s", csl_federation_dir(w->fed), name);
    world_context(&s->ctx, w, name);
    must(csl_logbook_open(&s->book, &s->ctx, 0, &diag), &diag, name);
    s->ctx.logbook = &s->book;
}

void site_open_as(struct site *s, const struct world *w, const char *name, unsigned i) {
    site_open(s, w, name);
    struct csl_member *members = s->ctx.roster.members;
    size_t old = s->ctx.roster.parties[i], new = (size_t)(s->ctx.self - members);
    struct csl_member kept = members[old];
    members[old] = members[new];
    members[new] = kept;
    members[old].party = (int)i;
    members[old].roles = CSL_ROLE_PARTY;
    members[new].party = -1;
    s->ctx.self = &members[old];
}

void site_close(struct site *s) {
    csl_logbook_close(&s->book);
    csl_context_free(&s->ctx);
}

size_t site_model_leaves(struct site *s, unsigned event, uint8_t digest[CSL_DIGEST_BYTES], size_t *n_sealed) {
    struct csl_ledger *l = s->book.ledger;
    struct csl_diag diag = {""};
    size_t found = 0;
    must(csl_ledger_refresh(l, &diag), &diag, "refresh");
    for (uint64_t i = 0; i < csl_ledger_size(l); i++) {
        uint8_t *bytes;
        size_t n;
        csl_leaf *leaf;
        must(csl_ledger_leaf(l, &bytes, &n, i, &diag), &diag, "leaf");
        must(csl_leaf_decode(&leaf, bytes, n, &diag), &diag, "decode");
        if (leaf->body_case == CSL__AUDIT__LEAF__BODY_MODEL && leaf->model->event == event) {
            found++;
            memcpy(digest, leaf->model->package_digest.data, CSL_DIGEST_BYTES);
            *n_sealed = leaf->model->n_sealed_digests;
        }
        csl_leaf_free(leaf);
        free(bytes);
    }
    return found;
}

struct csl_sealed *site_seal(struct site *owner, const struct world *w) {
    struct csl_diag diag = {""};
    struct csl_sealed *sealed;
    must(csl_seal(&sealed, &owner->ctx, MODEL, &w->net->plan, &w->net->weights, 30, &diag), &diag, "seal");
    return sealed;
}

uint8_t *site_package(size_t *n, const struct csl_sealed *s, unsigned i) {
    Csl__Pb__ModelPackage f = CSL__PB__MODEL_PACKAGE__INIT;
    uint8_t *bytes;
    f.manifest = csl_bytes(s->bytes, s->n_bytes);
    f.signature = csl_bytes(s->signature, sizeof s->signature);
    f.party = i;
    f.sealed = csl_bytes(s->parts[i].p, s->parts[i].n);
    assert_int_equal(csl_package_file_pack(&bytes, n, &f), CSL_OK);
    return bytes;
}

enum csl_err site_open_package(struct site *s, const uint8_t *bytes, size_t n, struct csl_diag *diag) {
    Csl__Pb__ModelPackage *f;
    struct csl_package *p = NULL;
    TRY(csl_package_file_parse(&f, bytes, n, diag));
    enum csl_err err = csl_package_open(&p, &s->ctx, f, diag);
    assert_true((err == CSL_OK) == (p != NULL));
    csl_package_unref(p);
    csl_package_file_free(f);
    return err;
}

enum csl_err site_accept(struct site *s, const uint8_t *bytes, size_t n, struct csl_diag *diag) {
    Csl__Pb__ModelPackage *f;
    struct csl_package *p = NULL;
    TRY(csl_package_file_parse(&f, bytes, n, diag));
    enum csl_err err = csl_store_accept(&p, &s->ctx, f, diag);
    csl_package_unref(p);
    csl_package_file_free(f);
    return err;
}

void site_write(const char *dir, const char *file, const void *bytes, size_t n) {
    struct csl_diag diag = {""};
    char path[2048];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    must(csl__replace_file(path, 0600, bytes, n, &diag), &diag, path);
}
