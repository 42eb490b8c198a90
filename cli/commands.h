/* The frame of the program `consilium`: one table of subcommands, their help, errors and exit codes.
 *
 * To add a command: write `int cmd_xxx(struct csl_cli *, int, char **)` in cli/cmd_xxx.c, declare it below,
 * and add its row to the table in cli/main.c and its file to cli/CMakeLists.txt. In it:
 *
 *     static const struct csl_opt opts[] = {CSL_STRING(struct o, site, "site", "DIR", true, "..."),
 * CSL_OPTS_END}; static const struct csl_spec spec = {.name = "xxx", .synopsis = "--site DIR", .opts = opts,
 * .text = "..."}; struct o o = {0}; int code; if (!csl_args_parse(cli, &spec, &o, NULL, argc, argv, &code)) {
 * return code; }
 *     ...
 *     return csl_cli_finish(cli, err);
 *
 * Results go to stdout, errors to stderr as `consilium <command>: <sentence>`. With --json, stdout holds
 * exactly one JSON document, also after an error: {"error": {"code": "CSL_EDATA", "exit": 65, "message":
 * "..."}}.
 */
#ifndef CSL_CLI_COMMANDS_H
#define CSL_CLI_COMMANDS_H

#include <jansson.h>

#include "cli/args.h"
#include "crypto/err.h"

struct csl_cli {
    char command[64]; /* "cert sign", for messages */
    bool json;        /* --json was given */
    struct csl_diag diag;
};

struct csl_command {
    const char *name;
    const char *help; /* one line */
    int (*run)(struct csl_cli *cli, int argc,
               char **argv); /* argv[0] is the command; returns the exit code */
};

/* Runs the command of a group ("cert") that argv[1] names; prints the group's help for none, `help` or
 * --help, and an error with a hint (exit 64) for an unknown one. table ends with a NULL name. */
int csl_cli_dispatch(struct csl_cli *cli, const char *group, const struct csl_command *table, int argc,
                     char **argv);

/* Prints `consilium <command>: <sentence>` to stderr. The usage form returns 64 and adds where to find help.
 */
void csl_cli_error(struct csl_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int csl_cli_usage(struct csl_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The exit code of err; on an error prints cli->diag (or the error's text when it is empty) first. */
int csl_cli_finish(struct csl_cli *cli, enum csl_err err);

/* Prints the document to stdout and releases it. doc NULL (no memory) is CSL_ENOMEM. */
CSL_MUST_CHECK enum csl_err csl_cli_print_json(struct csl_cli *cli, json_t *doc);

/* The end of a command whose result is a document: prints it, as JSON where that was asked for, else by
 * `print`; releases it (NULL is allowed after an error). The exit code, as csl_cli_finish. */
int csl_cli_finish_document(struct csl_cli *cli, enum csl_err err, json_t *doc,
                            void (*print)(const json_t *));

int cmd_cert(struct csl_cli *cli, int argc, char **argv);
int cmd_roster(struct csl_cli *cli, int argc, char **argv);
int cmd_roster_build(struct csl_cli *cli, int argc, char **argv);
int cmd_roster_chain(struct csl_cli *cli, int argc, char **argv);
int cmd_party(struct csl_cli *cli, int argc, char **argv);
int cmd_dealer(struct csl_cli *cli, int argc, char **argv);
int cmd_model(struct csl_cli *cli, int argc, char **argv);
int cmd_infer(struct csl_cli *cli, int argc, char **argv);
int cmd_contribute(struct csl_cli *cli, int argc, char **argv);
int cmd_audit(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_export(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_verify(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_show(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_open(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_consent(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_anchor(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_accept(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_replay(struct csl_cli *cli, int argc, char **argv);
int cmd_audit_replay_dealer(struct csl_cli *cli, int argc, char **argv);
int cmd_bench(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_all(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_infer(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_audit(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_seal(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_kernels(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_machine(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_relu(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_serve(struct csl_cli *cli, int argc, char **argv);
int cmd_bench_round(struct csl_cli *cli, int argc, char **argv);
int cmd_doctor(struct csl_cli *cli, int argc, char **argv);
int cmd_simulate(struct csl_cli *cli, int argc, char **argv);
int cmd_demo(struct csl_cli *cli, int argc, char **argv);

#endif
