/* consilium roster: the table of commands; check, install, digest, show. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/roster_show.h"
#include "cli/show.h"
#include "crypto/cert.h"
#include "crypto/files_internal.h"
#include "crypto/secret.h"
#include "net/roster.h"

/* ---- check, install ---- */

struct roster_opts {
    const char *site;
};

static const struct csl_opt no_opts[] = {CSL_OPTS_END};

static enum csl_err check_site(struct csl_cli *cli, const struct csl_roster *r, const char *dir) {
    struct csl_site site;
    const struct csl_member *self = NULL;
    char roles[CSL_ROLES_TEXT];
    TRY(csl_site_load(&site, dir, &cli->diag));
    enum csl_err err = csl_roster_verify_site(r, &self, &site, &cli->diag);
    if (err == CSL_OK) {
        (void)printf("this site     %s (%s), keys as in the roster\n", self->name,
                     csl_roles_text(roles, self->roles));
        csl_cert_print_expiry(site.tls_cert);
        err = csl_cert_verify(site.tls_cert, site.tls_chain, r->ca, 0, &cli->diag);
    }
    csl_site_free(&site);
    return err;
}

static enum csl_err check(struct csl_cli *cli, const char *file, const char *site) {
    struct csl_roster r;
    char hex[CSL_HEX32_TEXT];
    TRY(csl_roster_load(&r, file, &cli->diag));
    enum csl_err err = csl_roster_digest_text(hex, &r);
    if (err == CSL_OK) {
        (void)printf("roster        %s: correct, %zu members, %u parties, %zu models\ndigest        %s\n",
                     file, r.n_members, r.n_parties, r.n_models, hex);
        err = site == NULL ? CSL_OK : check_site(cli, &r, site);
    }
    csl_roster_free(&r);
    return err;
}

static int run_check(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct roster_opts, site, "site", "DIR", false, "check this site against it, too"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {.name = "roster check",
                                         .synopsis = "FILE [--site DIR]",
                                         .text = "Checks every field of a roster; with --site also that the "
                                                 "site is in it, that its keys and its CA\n"
                                                 "are those of the roster, and when its certificate expires.",
                                         .opts = opts,
                                         .pos_min = 1,
                                         .pos_max = 1,
                                         .pos_meta = "FILE"};
    struct roster_opts o = {0};
    struct csl_list files;
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, check(cli, files.items[0], o.site));
}

static enum csl_err install(struct csl_cli *cli, const char *file, const char *dir) {
    char path[CSL__PATH_MAX];
    char *text = NULL;
    size_t n = 0;
    TRY(check(cli, file, dir));
    TRY(csl__path(path, dir, "roster.yaml", &cli->diag));
    TRY(csl__read_file(&text, &n, file, CSL_ROSTER_BYTES_MAX, &cli->diag));
    enum csl_err err = csl__replace_file(path, 0644, text, n, &cli->diag);
    csl_secret_free(text);
    if (err == CSL_OK) {
        (void)printf("installed     %s\n"
                     "Next: compare the digest with the other sites, then, as this site's role is (above):\n"
                     "      party: consilium party --site %s      dealer: consilium dealer --site %s\n"
                     "      owner: consilium help model share     client: consilium help infer\n"
                     "      When something does not connect: consilium doctor --site %s\n",
                     path, dir, dir, dir);
    }
    return err;
}

static int run_install(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct roster_opts, site, "site", "DIR", true, "folder of the site"), CSL_OPTS_END};
    static const struct csl_spec spec = {.name = "roster install",
                                         .synopsis = "FILE --site DIR",
                                         .text = "Checks the roster against the site, as `roster check` "
                                                 "does, and copies it into the site's folder.",
                                         .opts = opts,
                                         .pos_min = 1,
                                         .pos_max = 1,
                                         .pos_meta = "FILE"};
    struct roster_opts o = {0};
    struct csl_list files;
    int code;
    if (!csl_args_parse(cli, &spec, &o, &files, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, install(cli, files.items[0], o.site));
}

/* ---- digest, show ---- */

static int run_digest(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_spec spec = {
        .name = "roster digest",
        .synopsis = "FILE [--json]",
        .text = "Prints the SHA-256 of the roster's content. Sites whose digests differ refuse each other.",
        .opts = no_opts,
        .has_json = true,
        .pos_min = 1,
        .pos_max = 1,
        .pos_meta = "FILE"};
    struct csl_list files;
    struct csl_roster r;
    char hex[CSL_HEX32_TEXT];
    int code;
    if (!csl_args_parse(cli, &spec, NULL, &files, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_roster_load(&r, files.items[0], &cli->diag);
    if (err == CSL_OK) {
        err = csl_roster_digest_text(hex, &r);
        csl_roster_free(&r);
    }
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(cli, json_pack("{s:s}", "digest", hex));
    } else if (err == CSL_OK) {
        (void)printf("%s\n", hex);
    }
    return csl_cli_finish(cli, err);
}

static int run_show(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_spec spec = {.name = "roster show",
                                         .synopsis = "FILE [--json]",
                                         .text =
                                             "Shows members, models, who dials whom, timeouts and limits.",
                                         .opts = no_opts,
                                         .has_json = true,
                                         .pos_min = 1,
                                         .pos_max = 1,
                                         .pos_meta = "FILE"};
    struct csl_list files;
    struct csl_roster r;
    int code;
    if (!csl_args_parse(cli, &spec, NULL, &files, argc, argv, &code)) {
        return code;
    }
    enum csl_err err = csl_roster_load(&r, files.items[0], &cli->diag);
    if (err == CSL_OK) {
        err = csl_roster_show(cli, &r);
        csl_roster_free(&r);
    }
    return csl_cli_finish(cli, err);
}

int cmd_roster(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"install", "site: check the roster and put it into the site's folder", run_install},
        {"check", "check a roster, and a site against it", run_check},
        {"digest", "its SHA-256, to compare with other sites", run_digest},
        {"show", "members, models, who dials whom", run_show},
        {"build", "consortium: build it from the sites' requests", cmd_roster_build},
        {"chain", "consortium: where and under which accounts members anchor", cmd_roster_chain},
        {NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "roster", table, argc, argv);
}
