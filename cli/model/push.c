/* consilium model push, pull. */
#include <string.h>

#include "cli/hex.h"
#include "cli/model/options.h"
#include "cli/model/store.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"

/* ---- push ---- */

static enum csl_err profile_of(const struct csl_unixfs_profile **out, const char *name,
                               struct csl_diag *diag) {
    *out = strcmp(name, "256k") == 0 ? &csl_unixfs_256k : strcmp(name, "1m") == 0 ? &csl_unixfs_1m : NULL;
    return *out != NULL ? CSL_OK : csl_fail(diag, CSL_EUSAGE, "--profile is 256k or 1m, not \"%.40s\"", name);
}

static enum csl_err push(struct csl_cli *cli, const char *path, const struct csl_store_opts *o) {
    const struct csl_unixfs_profile *profile;
    struct csl_cas *store = NULL;
    struct csl_sealed_info info;
    struct csl_cas_file file;
    char *bytes = NULL;
    size_t n = 0;
    TRY(profile_of(&profile, o->profile, &cli->diag));
    TRY(csl_sealed_info_load(&info, &bytes, &n, path, o, &cli->diag));
    enum csl_err err = csl_store_opts_open(&store, o, &cli->diag);
    if (err == CSL_OK) { /* what was looked at is what leaves, whatever the file holds by now */
        err = csl_cas_put_bytes(store, &file, (const uint8_t *)bytes, n, path, profile, &cli->diag);
    }
    csl_secret_free(bytes);
    if (err == CSL_OK) {
        err = csl_sealed_info_report(cli, &info, &file, csl_cas_place(store), o->profile, NULL);
    }
    csl_cas_close(store);
    return err;
}

int csl_model_push(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STORE_OPTIONS,
        CSL_STRING(struct csl_store_opts, profile, "profile", "256k|1m", false,
                   "chunks of 256 KiB, 174 a node (default), or of 1 MiB, 1024 a node"),
        CSL_FLAG(struct csl_store_opts, unpinned, "no-pin", "the node may forget it"), CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model push",
        .synopsis = "PACKAGE [--store DIR|URL] [--profile 256k|1m] [--json]",
        .text =
            "Puts a sealed package into a content-addressed store and prints the CID that it is fetched by "
            "(consilium\n"
            "model pull), its SHA-256, and the two digests that the ledgers commit to. Anything but a sealed "
            "package is\n"
            "refused. A store is not trusted: what it says it holds is compared with what was sent.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "PACKAGE"};
    struct csl_store_opts o = {.profile = "256k", .timeout_s = 600};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, push(cli, files.items[0], &o));
}

/* ---- pull ---- */

struct pulled {
    const struct csl_store_opts *o;
    const uint8_t *sha256; /* that was given, or NULL */
    struct csl_sealed_info info;
};

static enum csl_err check(void *arg, const char *path, const struct csl_cas_file *file,
                          struct csl_diag *diag) {
    struct pulled *p = arg;
    struct csl_diag why = {""};
    enum csl_err err = csl_sealed_info_read(&p->info, path, p->o, &why);
    if (err != CSL_OK) {
        /* The passing name says nothing to anybody. */
        const char *sentence = strncmp(why.text, path, strlen(path)) == 0 ? why.text + strlen(path) : "";
        return csl_fail(diag, err, "what was fetched is not kept%s", sentence[0] != '\0' ? sentence : "");
    }
    if (p->sha256 != NULL && !csl_hash_equal(p->sha256, file->sha256, CSL_SHA256_BYTES) &&
        !csl_hash_equal(p->sha256, p->info.sealed, CSL_SHA256_BYTES)) {
        return csl_fail(diag, CSL_EAUTH,
                        "what was fetched is not kept: the SHA-256 that was given is neither the file's nor "
                        "that of its sealed part");
    }
    return CSL_OK;
}

static enum csl_err pull(struct csl_cli *cli, const char *cid_text, const struct csl_store_opts *o) {
    struct csl_cas *store = NULL;
    struct csl_cid cid;
    struct csl_cas_file file;
    uint8_t sha256[CSL_SHA256_BYTES];
    struct pulled p = {.o = o, .sha256 = o->sha256 != NULL ? sha256 : NULL};
    enum csl_err err = csl_cid_parse(&cid, cid_text, &cli->diag);
    if (err != CSL_OK) {
        return CSL_EUSAGE;
    }
    if (o->sha256 != NULL && !csl_hex_parse(sha256, sizeof sha256, o->sha256)) {
        return csl_fail(&cli->diag, CSL_EUSAGE, "--sha256 has 64 hex digits in lower case");
    }
    TRY(csl_store_opts_open(&store, o, &cli->diag));
    err = csl_cas_get(store, &file, o->out, &cid, o->max_mib << 20, p.sha256, check, &p, &cli->diag);
    if (err == CSL_OK) {
        err = csl_sealed_info_report(cli, &p.info, &file, csl_cas_place(store), NULL, o->out);
    }
    csl_cas_close(store);
    return err;
}

int csl_model_pull(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STORE_OPTIONS,
        CSL_STRING(struct csl_store_opts, out, "out", "FILE", true, "the package; an older file is replaced"),
        CSL_STRING(struct csl_store_opts, sha256, "sha256", "HEX", false,
                   "it must be the file's, or that of its sealed part"),
        CSL_UINT(struct csl_store_opts, max_mib, "max-mib", "N", 1, 2048,
                 "refuse what is larger; default 1024"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model pull",
        .synopsis = "CID --out FILE [--sha256 HEX] [--store DIR|URL] [--max-mib N] [--site DIR] [--json]",
        .text =
            "Fetches a sealed package by its CID. FILE is there only when what came is what the CID names "
            "(or "
            "has the\n"
            "SHA-256 that was given, where another program imported it), and is a sealed package; with "
            "--site "
            "or --roster\n"
            "its owner's signature and its expiry are verified as well. Next: consilium model install FILE.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "CID"};
    struct csl_store_opts o = {.timeout_s = 600, .max_mib = 1024};
    struct csl_list cids = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &cids, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, pull(cli, cids.items[0], &o));
}
