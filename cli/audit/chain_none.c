/* The audit commands of a build that knows no chain. */
#include <string.h>

#include "cli/audit/chain.h"

static enum csl_err none(struct csl_diag *diag) {
    return csl_fail(diag, CSL_EUNAVAILABLE,
                    "this build has no chain: it needs libcurl and libsecp256k1 (apt-get install "
                    "libcurl4-openssl-dev libsecp256k1-dev), and to be built anew");
}

int cmd_audit_anchor(struct csl_cli *cli, int argc, char **argv) {
    (void)argc;
    (void)argv;
    return csl_cli_finish(cli, none(&cli->diag));
}

enum csl_err csl_chain_verify(json_t **doc, struct csl_audit_report *r, const struct csl_roster *roster,
                              const struct csl_auditee *members, csl_bundle *const *bundles, size_t n_bundles,
                              const struct csl_chain_node *node, struct csl_diag *diag) {
    (void)doc, (void)r, (void)roster, (void)members, (void)bundles, (void)n_bundles, (void)node;
    return none(diag);
}

void csl_chain_print_verified(const json_t *doc) {
    (void)doc;
}

enum csl_err csl_chain_anchor_of(json_t **out, const struct csl_context *ctx, uint64_t leaf,
                                 const struct csl_chain_node *node, struct csl_diag *diag) {
    (void)ctx, (void)leaf;
    *out = json_null();
    return node->url == NULL ? CSL_OK : none(diag);
}

void csl_chain_print_anchor(const json_t *anchor, const char *indent) {
    (void)anchor, (void)indent;
}
