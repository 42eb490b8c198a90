/* consilium doctor: says why a peer cannot be reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cert_token.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "roles/daemon/doctor.h"

struct options {
    const char *site, *roster;
};

static const struct csl_opt opts[] = {
    CSL_STRING(struct options, site, "site", "DIR", true, "this site's folder"),
    CSL_STRING(struct options, roster, "roster", "FILE", false, "default: roster.yaml in the folder"),
    CSL_OPTS_END};
static const struct csl_spec spec = {.name = "doctor",
                                     .synopsis = "--site DIR [--roster FILE] [--json]",
                                     .text = "Tests for each daemon of the roster that this site dials: its "
                                             "name, TCP, TLS, certificate and expiry, protocol\n"
                                             "version, roster and clock, and says what to do about the first "
                                             "that fails. Exit code 0 when all is well,\n"
                                             "else that of the first finding.",
                                     .opts = opts,
                                     .has_json = true};

static json_t *checkup_json(const struct csl_checkup *x) {
    json_t *o = json_pack("{s:s, s:s}", "peer", x->member->name, "status",
                          x->skipped         ? "not dialled from here"
                          : x->err == CSL_OK ? "ok"
                                             : "failed");
    if (o != NULL && x->err != CSL_OK) {
        (void)json_object_set_new(o, "check", json_string(csl_check_name(x->failed)));
        (void)json_object_set_new(o, "finding", json_string(x->finding.text));
        (void)json_object_set_new(o, "advice", json_string(x->advice));
    } else if (o != NULL && !x->skipped) {
        (void)json_object_set_new(o, "certificate_days_left", json_integer(x->days_left));
        (void)json_object_set_new(o, "clock_skew_ms", json_integer(x->clock_skew_ms));
        (void)json_object_set_new(o, "software", json_string(x->software));
    }
    return o;
}

static void print_checkup(const struct csl_checkup *x) {
    if (x->skipped) {
        (void)printf("%-16s not dialled from here: it dials us, or it is this site\n", x->member->name);
    } else if (x->err == CSL_OK) {
        (void)printf("%-16s ok: certificate valid for %lld days, clock %+lld ms, version %s\n",
                     x->member->name, (long long)x->days_left, (long long)x->clock_skew_ms, x->software);
    } else {
        (void)printf("%-16s FAILED at %s: %s\n%-16s what to do: %s\n", x->member->name,
                     csl_check_name(x->failed), x->finding.text, "", x->advice);
    }
}

static enum csl_err run(struct csl_cli *cli, const struct options *o) {
    struct csl_context ctx;
    TRY(csl_context_load(&ctx, o->site, o->roster, &cli->diag));
    if (!cli->json) {
        csl_cert_print_keys(&ctx.site);
    }
    struct csl_checkup *list = calloc(CSL_ROSTER_MEMBERS_MAX, sizeof *list);
    size_t n = 0;
    enum csl_err err = list == NULL ? CSL_ENOMEM : csl_doctor_run(list, &n, &ctx, &cli->diag);
    json_t *peers = json_array();
    enum csl_err first = CSL_OK;
    size_t n_failed = 0;
    for (size_t i = 0; err == CSL_OK && i < n; i++) {
        if (list[i].err != CSL_OK) {
            n_failed++;
            first = first == CSL_OK ? list[i].err : first;
        }
        if (cli->json) {
            (void)json_array_append_new(peers, checkup_json(&list[i]));
        } else {
            print_checkup(&list[i]);
        }
    }
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(cli, json_pack("{s:s, s:o, s:O}", "site", ctx.site.name, "private_keys",
                                                csl_cert_keys_json(&ctx.site), "peers", peers));
        cli->json = false; /* the document is out */
    }
    json_decref(peers);
    free(list);
    csl_context_free(&ctx);
    if (err == CSL_OK && first != CSL_OK) {
        err = csl_fail(&cli->diag, first, "%zu of %zu peers cannot be used", n_failed, n);
    }
    return err;
}

int cmd_doctor(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
