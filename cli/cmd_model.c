/* consilium model: networks, and what becomes of them; each command in a file of its own. */
#include "cli/model/options.h"

int cmd_model(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"check", "whether a network can run, and what it costs", csl_model_check},
        {"seal", "owner: a sealed package for each party", csl_model_seal},
        {"share", "owner: seal a network and deliver it to the parties", csl_model_share},
        {"install", "party: take in a package file", csl_model_install},
        {"push", "put a sealed package into a content-addressed store", csl_model_push},
        {"pull", "fetch a sealed package by its CID", csl_model_pull},
        {"reseal", "party: hand a package on to a successor", csl_model_reseal},
        {"archive", "owner: the whole model, sealed for an authority", csl_model_archive},
        {"restore", "authority: open an archive", csl_model_restore},
        {"run", "classify in the clear with a network or an archive", csl_model_run},
        {NULL, NULL, NULL}};
    return csl_cli_dispatch(cli, "model", table, argc, argv);
}
