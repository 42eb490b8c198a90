/* consilium bench machine: what this machine permits. */
#include "cli/bench/machine.h"
#include "cli/commands.h"

struct options {
    uint64_t parties;
    bool quick;
};

static const struct csl_opt opts[] = {
    CSL_UINT(struct options, parties, "parties", "N", 2, 16, "processes in an exchange round; default 2"),
    CSL_FLAG(struct options, quick, "quick", "a tenth of the work, for a try"), CSL_OPTS_END};
static const struct csl_spec spec = {
    .name = "bench machine",
    .synopsis = "[--parties N] [--quick] [--json]",
    .text = "Measures what bounds every workload: exchange rounds of N processes over TLS 1.3 on loopback, "
            "products of\n"
            "integers by each vector instruction that the CPU has, AES in counter mode, memory in cache. "
            "Nothing of this\n"
            "program's own networking or kernels is called.",
    .opts = opts,
    .has_json = true};

static enum csl_err run(struct csl_cli *cli, const struct options *o) {
    struct csl_bench_machine m;
    TRY(csl_bench_machine_measure(&m, (unsigned)o->parties, o->quick, &cli->diag));
    if (cli->json) {
        return csl_cli_print_json(cli, csl_bench_machine_json(&m));
    }
    csl_bench_machine_print(&m);
    return CSL_OK;
}

int cmd_bench_machine(struct csl_cli *cli, int argc, char **argv) {
    struct options o = {.parties = 2};
    int code;
    if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
        return code;
    }
    return csl_cli_finish(cli, run(cli, &o));
}
