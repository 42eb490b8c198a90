/* consilium model seal, share, install. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model/options.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "roles/package/owner.h"

/* ---- Sealing ---- */

static enum csl_err compile_and_seal(struct csl_sealed **out, const struct csl_context *ctx, const char *path,
                                     const struct csl_model_opts *o, struct csl_diag *diag) {
    struct csl_model m = {0};
    struct csl_plan *plan = calloc(1, sizeof *plan);
    struct csl_weights weights = {0};
    enum csl_err err = plan == NULL ? CSL_ENOMEM : CSL_OK;
    TRY_OUT(err);
    TRY_OUT(csl_model_load(&m, path, o, diag));
    TRY_OUT(m.net != NULL ? CSL_OK : csl_issues_fail(&m.issues, diag));
    TRY_OUT(csl_model_compile(plan, &weights, NULL, m.net, &m.choice, diag));
    err = csl_seal(out, ctx, o->name, plan, &weights, (unsigned)o->days, diag);
out:
    csl_model_clear(&m);
    csl_weights_clear(&weights);
    free(plan);
    return err;
}

/* ---- Report ---- */

static json_t *parts_json(const struct csl_sealed *s, const char *dir) {
    json_t *parts = json_array();
    char hex[CSL_HEX32_TEXT], path[CSL__PATH_MAX];
    for (unsigned i = 0; i < s->manifest.n_parties; i++) {
        json_t *o = json_pack("{s:s, s:s, s:I}", "party", s->manifest.parties[i], "sealed_sha256",
                              csl_hex32(hex, s->manifest.sealed[i]), "bytes", (json_int_t)s->parts[i].n);
        if (dir != NULL && csl_sealed_path(path, sizeof path, dir, s, i, NULL) == CSL_OK) {
            (void)json_object_set_new(o, "file", json_string(path));
        }
        (void)json_array_append_new(parts, o);
    }
    return parts;
}

static enum csl_err report(struct csl_cli *cli, const struct csl_sealed *s, const char *dir) {
    char hex[CSL_HEX32_TEXT], until[CSL_TIME_TEXT], path[CSL__PATH_MAX];
    const struct csl_manifest *m = &s->manifest;
    (void)csl_hex32(hex, m->digest);
    (void)csl_time_text(until, (int64_t)(m->expires_ms / 1000));
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:i, s:s, s:i, s:o}", "model", m->name,
                                                 "package_sha256", hex, "parties", (int)m->n_parties,
                                                 "expires", until, "manifest_bytes", (int)s->n_bytes,
                                                 "packages", parts_json(s, dir)));
    }
    (void)printf("model %s is %s %u parties\npackage %s\nvalid   until %s\n", m->name,
                 dir != NULL ? "sealed for" : "shared among", m->n_parties, hex, until);
    for (unsigned i = 0; i < m->n_parties; i++) {
        (void)printf("%-16s %10zu bytes  sealed %s\n", m->parties[i], s->parts[i].n,
                     csl_hex32(hex, m->sealed[i]));
        if (dir != NULL) {
            TRY(csl_sealed_path(path, sizeof path, dir, s, i, &cli->diag));
            (void)printf("  %s\n", path);
        }
    }
    return CSL_OK;
}

/* ---- seal ---- */

#define OWNER_OPTIONS                                                                                        \
    CSL_STRING(struct csl_model_opts, site, "site", "DIR", true, "the owner's site folder"),                 \
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,                                   \
                   "default: roster.yaml in the folder"),                                                    \
        CSL_STRING(struct csl_model_opts, name, "name", "NAME", true, "the model's name in the roster"),     \
        CSL_UINT(struct csl_model_opts, days, "valid-days", "N", 1, CSL_SEAL_DAYS_MAX,                       \
                 "days until the seal expires; default 365")

static enum csl_err seal(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model_site site = {0};
    struct csl_sealed *sealed = NULL;
    enum csl_err err;
    TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
    TRY_OUT(compile_and_seal(&sealed, &site.ctx, path, o, &cli->diag));
    TRY_OUT(csl_sealed_write(sealed, o->out, &cli->diag));
    err = report(cli, sealed, o->out);
out:
    csl_sealed_free(sealed);
    csl_model_site_close(&site);
    return err;
}

int csl_model_seal(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        OWNER_OPTIONS,
        CSL_STRING(struct csl_model_opts, out, "out", "DIR", true, "where the packages go; made if missing"),
        CSL_MODEL_OPTIONS(true), CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model seal",
        .synopsis = "MODEL --site DIR --name NAME --normalize HOW --out DIR [--valid-days N] [--json]",
        .text =
            "Makes one package file a party: its share of the weights, sealed to its wrapping key, and a "
            "manifest\n"
            "that this site signs. Each package is of use to its party alone, and by itself it is noise.\n"
            "Deliver them with: consilium model share --sealed DIR; or by any way, for: consilium model "
            "install.\n"
            "The owner's ledger gets an entry with all digests.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "MODEL"};
    struct csl_model_opts o = {.frac_bits = 16, .days = CSL_SEAL_DAYS_DEFAULT};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, seal(cli, files.items[0], &o));
}

/* ---- share ---- */

static enum csl_err share(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model_site site = {0};
    struct csl_sealed *sealed = NULL;
    enum csl_err err;
    TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
    TRY_OUT(path != NULL ? compile_and_seal(&sealed, &site.ctx, path, o, &cli->diag)
                         : csl_sealed_read(&sealed, &site.ctx, o->name, o->sealed, &cli->diag));
    TRY_OUT(csl_owner_deliver(&site.ctx, sealed, &cli->diag));
    err = report(cli, sealed, NULL);
out:
    csl_sealed_free(sealed);
    csl_model_site_close(&site);
    return err;
}

int csl_model_share(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        OWNER_OPTIONS,
        CSL_STRING(struct csl_model_opts, sealed, "sealed", "DIR", false,
                   "deliver what model seal wrote there, instead of a MODEL"),
        CSL_MODEL_OPTIONS(false), CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model share",
        .synopsis = "MODEL --site DIR --name NAME --normalize HOW [--frac-bits N] [--json] | --sealed DIR "
                    "--site DIR --name NAME",
        .text =
            "Shares the network among the parties: each gets a part that by itself is noise, sealed to its "
            "own\n"
            "key, and stores it so. The architecture, the widths and the normalisation are public to "
            "parties, "
            "dealer and\n"
            "clients. Sharing again replaces the model for sessions that begin afterwards.",
        .opts = opts,
        .has_json = true,
        .pos_max = 1,
        .pos_meta = "MODEL"};
    struct csl_model_opts o = {.frac_bits = 16, .days = CSL_SEAL_DAYS_DEFAULT};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    if ((o.sealed != NULL) == (files.n == 1)) {
        return csl_cli_usage(cli, "either a MODEL or --sealed DIR");
    }
    return csl_cli_finish(cli, share(cli, files.n == 1 ? files.items[0] : NULL, &o));
}

/* ---- install ---- */

static enum csl_err report_installed(struct csl_cli *cli, const struct csl_package *p, size_t hands) {
    char hex[CSL_HEX32_TEXT], sealed[CSL_HEX32_TEXT], until[CSL_TIME_TEXT];
    (void)csl_hex32(hex, p->digest);
    (void)csl_hex32(sealed, p->sealed_digest);
    (void)csl_time_text(until, (int64_t)(p->expires_ms / 1000));
    if (cli->json) {
        return csl_cli_print_json(cli, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "model", p->name, "owner",
                                                 p->owner, "package_sha256", hex, "sealed_sha256", sealed,
                                                 "expires", until, "handed_on", (int)hands));
    }
    (void)printf("model %s of %s is installed\npackage %s\nsealed  %s\nvalid   until %s\n", p->name, p->owner,
                 hex, sealed, until);
    return CSL_OK;
}

static enum csl_err install(struct csl_cli *cli, const char *path, const struct csl_model_opts *o) {
    struct csl_model_site site = {0};
    Csl__Pb__ModelPackage *file = NULL;
    struct csl_package *p = NULL;
    enum csl_err err;
    TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
    TRY_OUT(csl_context_require(&site.ctx, CSL_ROLE_PARTY, &cli->diag));
    TRY_OUT(csl_package_file_read(&file, path, &cli->diag));
    err = csl_store_accept(&p, &site.ctx, file, &cli->diag);
    if (err != CSL_OK) {
        err = csl_fail_context(&cli->diag, err, "%s", path);
        goto out;
    }
    err = report_installed(cli, p, file->n_reseals);
out:
    csl_package_unref(p);
    csl_package_file_free(file);
    csl_model_site_close(&site);
    return err;
}

int csl_model_install(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct csl_model_opts, site, "site", "DIR", true, "the party's site folder"),
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,
                   "default: roster.yaml in the folder"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model install",
        .synopsis = "PACKAGE --site DIR [--json]",
        .text = "Checks a package file (the owner's signature, expiry, that it is for this party, that it "
                "opens and is\n"
                "what the manifest commits to, and through whose hands it came), enters it in the site's "
                "ledger, and puts it\n"
                "among the site's models. A running daemon serves it a few seconds later; no signal or "
                "restart is needed.",
        .opts = opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "PACKAGE"};
    struct csl_model_opts o = {0};
    struct csl_list files = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, install(cli, files.items[0], &o));
}
