#include "cli/model/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/show.h"
#include "crypto/envelope.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "roles/package/reseal.h"

enum csl_err csl_store_opts_open(struct csl_cas **out, const struct csl_store_opts *o,
                                 struct csl_diag *diag) {
    struct csl_cas_options options = {
        .ca_file = o->ca, .total_ms = (uint32_t)(o->timeout_s * 1000), .unpinned = o->unpinned};
    return csl_cas_open(out, o->store != NULL ? o->store : CSL_STORE_DEFAULT, &options, diag);
}

/* ---- A package ---- */

static enum csl_err load_roster(struct csl_roster *roster, const struct csl_store_opts *o,
                                struct csl_diag *diag) {
    char own[CSL__PATH_MAX];
    if (o->roster != NULL) {
        return csl_roster_load(roster, o->roster, diag);
    }
    TRY(csl__path(own, o->site, "roster.yaml", diag));
    return csl_roster_load(roster, own, diag);
}

static enum csl_err verify(const struct csl_manifest *m, const Csl__Pb__ModelPackage *file,
                           const uint8_t sealed[CSL_DIGEST_BYTES], const struct csl_store_opts *o,
                           struct csl_diag *diag) {
    struct csl_roster roster = {0};
    enum csl_err err;
    TRY_OUT(load_roster(&roster, o, diag));
    TRY_OUT(csl_manifest_verify(m, file->manifest.data, file->manifest.len, file->signature.data,
                                file->signature.len, &roster, diag));
    const struct csl_member *holder = &roster.members[roster.parties[file->party]];
    err = csl_reseal_check(m, file, sealed, holder, diag);
out:
    csl_roster_free(&roster);
    return err;
}

static enum csl_err check_sealed(const struct csl_manifest *m, const Csl__Pb__ModelPackage *file,
                                 const uint8_t sealed[CSL_DIGEST_BYTES], struct csl_diag *diag) {
    struct csl_diag why = {""};
    size_t n;
    if (file->party >= m->n_parties) {
        return csl_fail(diag, CSL_EDATA, "a package of party %u, but its manifest has %u parties",
                        file->party, m->n_parties);
    }
    if (csl_envelope_plain_size(&n, file->sealed.data, file->sealed.len, &why) != CSL_OK) {
        return csl_fail(diag, CSL_EDATA, "the part of %s is not sealed (%.200s): such a file is never stored",
                        m->parties[file->party], why.text);
    }
    if (file->n_reseals == 0 && !csl_hash_equal(m->sealed[file->party], sealed, CSL_DIGEST_BYTES)) {
        return csl_fail(diag, CSL_EAUTH, "model %s: the sealed part is not the one that the manifest names",
                        m->name);
    }
    return CSL_OK;
}

static enum csl_err describe(struct csl_sealed_info *out, struct csl_manifest *m,
                             const Csl__Pb__ModelPackage *file, const struct csl_store_opts *o,
                             struct csl_diag *diag) {
    TRY(csl_manifest_decode(m, file->manifest.data, file->manifest.len, diag));
    TRY(csl_sha256_once(out->sealed, file->sealed.data, file->sealed.len));
    TRY(check_sealed(m, file, out->sealed, diag));
    if (o->site != NULL || o->roster != NULL) {
        TRY(verify(m, file, out->sealed, o, diag));
        out->verified = true;
    }
    memcpy(out->model, m->name, sizeof out->model);
    memcpy(out->owner, m->owner, sizeof out->owner);
    memcpy(out->party, m->parties[file->party], sizeof out->party);
    memcpy(out->package, m->digest, sizeof out->package);
    out->expires_ms = m->expires_ms;
    out->hands = file->n_reseals;
    return CSL_OK;
}

enum csl_err csl_sealed_info_load(struct csl_sealed_info *out, char **bytes, size_t *n, const char *path,
                                  const struct csl_store_opts *o, struct csl_diag *diag) {
    Csl__Pb__ModelPackage *file = NULL;
    struct csl_manifest *m = malloc(sizeof *m);
    *bytes = NULL;
    *n = 0;
    memset(out, 0, sizeof *out);
    enum csl_err err = m == NULL ? CSL_ENOMEM : csl_package_file_load(bytes, n, path, diag);
    if (err == CSL_OK) {
        err = csl_sha256_once(out->sha256, (const uint8_t *)*bytes, *n);
        err = err == CSL_OK ? csl_package_file_parse(&file, (const uint8_t *)*bytes, *n, diag) : err;
        err = err == CSL_OK ? describe(out, m, file, o, diag) : err;
        err = err == CSL_OK ? CSL_OK : csl_fail_context(diag, err, "%s", path);
    }
    csl_package_file_free(file);
    free(m);
    if (err != CSL_OK) {
        csl_secret_free(*bytes);
        *bytes = NULL;
        memset(out, 0, sizeof *out);
    }
    return err;
}

enum csl_err csl_sealed_info_read(struct csl_sealed_info *out, const char *path,
                                  const struct csl_store_opts *o, struct csl_diag *diag) {
    char *bytes = NULL;
    size_t n = 0;
    enum csl_err err = csl_sealed_info_load(out, &bytes, &n, path, o, diag);
    csl_secret_free(bytes);
    return err;
}

/* ---- Report ---- */

static json_t *info_json(const struct csl_sealed_info *info, const struct csl_cas_file *file,
                         const char *store) {
    char cid[CSL_CID_TEXT], sha[CSL_HEX32_TEXT], package[CSL_HEX32_TEXT], sealed[CSL_HEX32_TEXT];
    char until[CSL_TIME_TEXT];
    return json_pack("{s:s, s:s, s:I, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b}", "cid",
                     csl_cid_text(cid, &file->cid), "sha256", csl_hex32(sha, file->sha256), "bytes",
                     (json_int_t)file->n_bytes, "store", store, "cid_proven", (int)file->cid_proven, "model",
                     info->model, "owner", info->owner, "party", info->party, "package_sha256",
                     csl_hex32(package, info->package), "sealed_sha256", csl_hex32(sealed, info->sealed),
                     "expires", csl_time_text(until, (int64_t)(info->expires_ms / 1000)), "handed_on",
                     (int)info->hands, "verified", (int)info->verified);
}

enum csl_err csl_sealed_info_report(struct csl_cli *cli, const struct csl_sealed_info *info,
                                    const struct csl_cas_file *file, const char *store, const char *profile,
                                    const char *path) {
    char cid[CSL_CID_TEXT], hex[CSL_HEX32_TEXT], until[CSL_TIME_TEXT];
    if (cli->json) {
        json_t *doc = info_json(info, file, store);
        if (doc != NULL && json_object_set_new(doc, profile != NULL ? "profile" : "file",
                                               json_string(profile != NULL ? profile : path)) != 0) {
            json_decref(doc);
            doc = NULL;
        }
        return csl_cli_print_json(cli, doc);
    }
    (void)printf("cid     %s%s\n", csl_cid_text(cid, &file->cid),
                 file->cid_proven ? "" : "  (imported in another way: only the SHA-256 was checked)");
    (void)printf("sha256  %s\n", csl_hex32(hex, file->sha256));
    (void)printf("%s %s (%llu bytes)\n", profile != NULL ? "stored in" : "fetched from", store,
                 (unsigned long long)file->n_bytes);
    (void)printf("model   %s of %s for %s, %s\n", info->model, info->owner, info->party,
                 info->verified ? "signature verified" : "signature not verified (give --site or --roster)");
    (void)printf("package %s\n", csl_hex32(hex, info->package));
    (void)printf("sealed  %s  (both as in the ledgers)\n", csl_hex32(hex, info->sealed));
    (void)printf("valid   until %s\n", csl_time_text(until, (int64_t)(info->expires_ms / 1000)));
    if (path != NULL) {
        (void)printf("file    %s\n", path);
    }
    return CSL_OK;
}
