/* consilium bench: measurements, each in a file of its own. */
#include "cli/commands.h"

int cmd_bench(struct csl_cli *cli, int argc, char **argv) {
    static const struct csl_command table[] = {
        {"infer", "a network among real processes, beside its bound", cmd_bench_infer},
        {"serve", "a federation under the load of concurrent clients", cmd_bench_serve},
        {"kernels", "every kernel on one core, beside its bound", cmd_bench_kernels},
        {"machine", "what this machine permits", cmd_bench_machine},
        {"audit", "what signing costs, before the output, after it, and not at all", cmd_bench_audit},
        {"seal", "AES, pure RSA and the envelope, for a model's bytes", cmd_bench_seal},
        {"round", "one exchange of the mesh, beside plain sockets", cmd_bench_round},
        {"relu", "ReLUs among linked processes, beside their bound", cmd_bench_relu},
        {"all", "all of it: a table, a result file, plots", cmd_bench_all},
        {NULL, NULL, NULL},
    };
    return csl_cli_dispatch(cli, "bench", table, argc, argv);
}
