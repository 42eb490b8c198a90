/* consilium model reseal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model/options.h"
#include "cli/show.h"
#include "crypto/files_internal.h"
#include "roles/package/recipient.h"
#include "roles/package/reseal.h"

static enum csl_err report(struct csl_cli *cli, const struct csl_model_opts *o,
                           const struct csl_successor *to, size_t n) {
    char hex[CSL_HEX32_TEXT];
    uint8_t spki[CSL_SPKI_BYTES];
    TRY(csl_key_spki(spki, to->wrap_key));
    (void)csl_hex32(hex, spki);
    if (cli->json) {
        return csl_cli_print_json(cli,
                                  json_pack("{s:s, s:s, s:s, s:s, s:I}", "model", o->name, "to", to->name,
                                            "wrap_key_sha256", hex, "file", o->out, "bytes", (json_int_t)n));
    }
    (void)printf(
        "model %s is sealed to %s (wrapping key %s)\npackage %s, %zu bytes\n"
        "Next: compare the key's digits with %s by another way. With a roster that has %s in the place "
        "of this\n      site, it runs: consilium model install\n",
        o->name, to->name, hex, o->out, n, to->name, to->name);
    return CSL_OK;
}

static enum csl_err reseal(struct csl_cli *cli, const struct csl_model_opts *o, const char *model,
                           const char *successor) {
    struct csl_model_site site = {0};
    struct csl_successor to = {0};
    uint8_t *bytes = NULL;
    size_t n;
    enum csl_err err;
    TRY_OUT(csl_recipient_public(&to.wrap_key, to.name, to.sign_spki, o->to, &cli->diag));
    if (successor != NULL && to.name[0] != '\0' && strcmp(successor, to.name) != 0) {
        err =
            csl_fail(&cli->diag, CSL_EUSAGE, "%s is the request of %s, not of %s", o->to, to.name, successor);
        goto out;
    }
    if (successor != NULL) {
        (void)snprintf(to.name, sizeof to.name, "%s", successor);
    }
    TRY_OUT(csl_model_site_open(&site, o, &cli->diag));
    TRY_OUT(csl_reseal(&bytes, &n, &site.ctx, model, &to, &cli->diag));
    TRY_OUT(csl__create_file(o->out, 0600, bytes, n, &cli->diag));
    err = report(cli, o, &to, n);
out:
    free(bytes);
    EVP_PKEY_free(to.wrap_key);
    csl_model_site_close(&site);
    return err;
}

int csl_model_reseal(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_opt opts[] = {
        CSL_STRING(struct csl_model_opts, site, "site", "DIR", true,
                   "the site folder of the party that leaves"),
        CSL_STRING(struct csl_model_opts, roster, "roster", "FILE", false,
                   "default: roster.yaml in the folder"),
        CSL_STRING(struct csl_model_opts, name, "model", "NAME", true, "the model"),
        CSL_STRING(struct csl_model_opts, to, "to", "FILE", true,
                   "the successor's request, or its public wrapping key"),
        CSL_STRING(struct csl_model_opts, successor, "successor", "NAME", false,
                   "its name, where --to is a key without one"),
        CSL_STRING(struct csl_model_opts, out, "out", "FILE", true, "the package for the successor"),
        CSL_OPTS_END};
    static const struct csl_spec spec = {
        .name = "model reseal",
        .synopsis = "--site DIR --model NAME --to NEW.request --out FILE [--json]",
        .text =
            "Hands this party's package on to the site that takes its place, without the model's owner: "
            "the part is\n"
            "sealed to the successor's wrapping key, and this site signs whom it went to. The ledger gets "
            "an entry\n"
            "first. A successor that is named by a wrapping key alone cannot hand the package on in its "
            "turn.",
        .opts = opts,
        .has_json = true};
    struct csl_model_opts o = {0};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, reseal(cli, &o, o.name, o.successor));
}
