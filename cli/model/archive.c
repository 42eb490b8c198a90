/* consilium model archive, restore. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model/archive.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "nn/keras/keras.h"
#include "nn/onnx/onnx.h"
#include "roles/package/recipient.h"

/* ---- How the network is read ---- */

static enum csl_err write_options(struct csl_archive *a, const struct csl_model_opts *o,
                                  struct csl_diag *diag) {
    json_t *doc = json_pack("{s:s, s:i}", "normalize", o->normalize, "frac_bits", (int)o->frac_bits);
    if (doc != NULL && o->interval != NULL) {
        (void)json_object_set_new(doc, "interval", json_string(o->interval));
    }
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    if (text == NULL) {
        return CSL_ENOMEM;
    }
    int n = snprintf(a->options, sizeof a->options, "%s", text);
    free(text);
    return n > 0 && (size_t)n < sizeof a->options ? CSL_OK
                                                  : csl_fail(diag, CSL_EUSAGE, "--interval is too long");
}

enum csl_err csl_archive_reading(struct csl_archive_reading *out, const struct csl_archive *a,
                                 struct csl_diag *diag) {
    const char *normalize = NULL, *interval = NULL;
    int frac_bits = 0;
    json_error_t e;
    json_t *doc = json_loads(a->options, JSON_REJECT_DUPLICATES, &e);
    memset(out, 0, sizeof *out);
    int bad = doc == NULL || json_unpack_ex(doc, &e, 0, "{s:s, s:i, s?s}", "normalize", &normalize,
                                            "frac_bits", &frac_bits, "interval", &interval) != 0;
    int n = bad ? -1 : snprintf(out->normalize, sizeof out->normalize, "%s", normalize);
    int k = bad || interval == NULL ? 0 : snprintf(out->interval, sizeof out->interval, "%s", interval);
    bad = bad || n < 0 || (size_t)n >= sizeof out->normalize || (size_t)k >= sizeof out->interval ||
          frac_bits < 0;
    out->frac_bits = bad ? 0 : (unsigned)frac_bits;
    json_decref(doc);
    return bad ? csl_fail(diag, CSL_EDATA, "the archive does not say how its network is read") : CSL_OK;
}

/* ---- archive ---- */

/* The network's file and the files that it keeps its weights in. */
static enum csl_err add_files(struct csl_archive *a, const char *path, struct csl_diag *diag) {
    struct csl_onnx_files files = {0};
    char *copy = strdup(path), *copy2 = strdup(path);
    enum csl_err err = copy == NULL || copy2 == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    const char *folder = dirname(copy), *base = basename(copy2);
    TRY_OUT(csl_archive_add(a, folder, base, diag));
    if (csl_keras_detect(path) == CSL_KERAS_NOT) {
        TRY_OUT(csl_onnx_external_files(&files, path, CSL_ONNX_MAX_FILE_BYTES, diag));
    }
    for (size_t i = 0; i < files.n; i++) {
        TRY_OUT(csl_archive_add(a, folder, files.names[i], diag));
    }
out:
    csl_onnx_files_clear(&files);
    free(copy);
    free(copy2);
    return err;
}

/* The name in the roster, or the file's own without its ending. */
static enum csl_err set_name(struct csl_archive *a, const char *path, const struct csl_model_opts *o,
                             struct csl_diag *diag) {
    const char *base = strrchr(path, '/');
    base = o->name != NULL ? o->name : base != NULL ? base + 1 : path;
    size_t n = strlen(base);
    const char *dot = o->name != NULL ? NULL : strrchr(base, '.');
    n = dot != NULL && dot != base ? (size_t)(dot - base) : n;
    if (n == 0 || n > CSL_MODEL_NAME_MAX) {
        return csl_fail(diag, CSL_EUSAGE, "give the model a name of at most %d bytes with --name",
                        CSL_MODEL_NAME_MAX);
    }
    memcpy(a->name, base, n);
    return CSL_OK;
}

static enum csl_err report_archive(struct csl_cli *cli, const struct csl_archive *a, const char *out,
                                   size_t n) {
    char hex[CSL_HEX32_TEXT];
    (void)csl_hex32(hex, a->digest);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "model", a->name, "owner",
                                                 a->owner, "archive_sha256", hex, "bytes", (json_int_t)n,
                                                 "files", (json_int_t)a->n_files, "file", out));
    }
    (void)printf("model %s, %zu files, is sealed in %s, %zu bytes\narchive %s\n%s%s\n", a->name, a->n_files,
                 out, n, hex, a->owner[0] != '\0' ? "signed by " : "signed by nobody (give --site)",
                 a->owner);
    return CSL_OK;
}

static enum csl_err archive(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model_site site = {0};
    struct csl_archive a = {0};
    struct csl_normalization how;
    EVP_PKEY *recipient = NULL;
    uint8_t *bytes = NULL;
    size_t n;
    enum csl_err err;
    TRY_OUT(csl_parse_normalization(&how, o->normalize, o->interval, &cli->diag));
    TRY_OUT(csl_recipient_public(&recipient, NULL, NULL, o->to, &cli->diag));
    if (o->site != NULL) {
        TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
    }
    TRY_OUT(set_name(&a, path, o, &cli->diag));
    TRY_OUT(write_options(&a, o, &cli->diag));
    TRY_OUT(add_files(&a, path, &cli->diag));
    TRY_OUT(csl_archive_seal(&bytes, &n, &a, recipient, o->site != NULL ? &site.ctx : NULL, &cli->diag));
    TRY_OUT(csl__create_file(o->out, 0600, bytes, n, &cli->diag));
    err = report_archive(cli, &a, o->out, n);
out:
    free(bytes);
    csl_archive_clear(&a);
    EVP_PKEY_free(recipient);
    csl_model_site_close(&site);
    return err;
}

int csl_model_archive(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct csl_model_opts, to, "to", "FILE", true,
                   "recipient.pem of the authority (consilium cert recipient)"),
        CSL_STRING(struct csl_model_opts, out, "out", "FILE", true, "the archive"),
        CSL_STRING(struct csl_model_opts, site, "site", "DIR", false,
                   "this site signs it, and its ledger gets an entry"),
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,
                   "default: roster.yaml in the folder"),
        CSL_STRING(struct csl_model_opts, name, "name", "NAME", false, "default: the file's name"),
        CSL_MODEL_FRAC_BITS,
        CSL_MODEL_NORMALIZE(true),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model archive",
        .synopsis = "MODEL --to recipient.pem --normalize HOW --out FILE [--site DIR] [--json]",
        .text = "Seals the whole network, with its external data files and how its inputs are scaled, to one "
                "recipient: an\n"
                "authority that keeps it, and may classify with it in the clear (model restore, model run). "
                "AES-256-GCM\n"
                "under a fresh key, which RSA wraps. Not for the parties: whoever opens it has the model.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "MODEL"};
    struct csl_model_opts o = {.frac_bits = 16};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, archive(cli, files.items[0], &o));
}

/* ---- restore ---- */

enum csl_err csl_archive_load(struct csl_archive *a, const char *path, const char *key_dir,
                              const char *roster_path, struct csl_diag *diag) {
    struct csl_roster roster = {0};
    EVP_PKEY *key = NULL;
    enum csl_err err;
    TRY_OUT(csl_recipient_key(&key, key_dir, diag));
    if (roster_path != NULL) {
        TRY_OUT(csl_roster_load(&roster, roster_path, diag));
    }
    err = csl_archive_read(a, path, key, roster_path != NULL ? &roster : NULL, diag);
out:
    EVP_PKEY_free(key);
    csl_roster_free(&roster);
    return err;
}

static enum csl_err report_restored(struct csl_cli *cli, const struct csl_archive *a, const char *path,
                                    bool verified) {
    char hex[CSL_HEX32_TEXT];
    (void)csl_hex32(hex, a->digest);
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:b, s:s, s:s, s:s}", "model", a->name, "owner",
                                                 a->owner, "verified", verified, "archive_sha256", hex,
                                                 "file", path, "read_as", a->options));
    }
    (void)printf("model %s is restored: %s\nread as %s\n", a->name, path, a->options);
    if (verified) {
        (void)printf("signed  by %s, as the roster knows it\n", a->owner);
    } else {
        (void)printf("signed  %s%s: nothing was verified (give --roster)\n",
                     a->owner[0] != '\0' ? "by " : "by nobody", a->owner);
    }
    return CSL_OK;
}

static enum csl_err restore(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model_site site = {0};
    struct csl_archive a = {0};
    char network[CSL__PATH_MAX];
    enum csl_err err;
    TRY_OUT(csl_archive_load(&a, path, o->key, o->roster, &cli->diag));
    if (o->site != NULL) {
        TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
        TRY_OUT(csl_archive_log(&a, &site.ctx, CSL_MODEL_RESTORED, &cli->diag));
    }
    TRY_OUT(csl_archive_extract(network, sizeof network, &a, o->out, &cli->diag));
    err = report_restored(cli, &a, network, o->roster != NULL);
out:
    csl_archive_clear(&a);
    csl_model_site_close(&site);
    return err;
}

int csl_model_restore(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct csl_model_opts, key, "key", "DIR", true, "folder of the recipient's wrap.key"),
        CSL_STRING(struct csl_model_opts, out, "out", "DIR", true, "where the files go; made if missing"),
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,
                   "verify who sealed it by this roster"),
        CSL_STRING(struct csl_model_opts, site, "site", "DIR", false, "this site's ledger gets an entry"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model restore",
        .synopsis = "ARCHIVE --key DIR --out DIR [--roster FILE] [--json]",
        .text =
            "Opens an archive and writes its files, never over existing ones. With a roster, the site that "
            "sealed it\n"
            "must be a member and its signature must verify.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "ARCHIVE"};
    struct csl_model_opts o = {0};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, restore(cli, files.items[0], &o));
}
