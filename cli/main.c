/* The program's entry: the table of subcommands, dispatch, errors. */
#include <jansson.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

static const struct csl_command commands[] = {
    {"cert", "keys, certificate requests and the consortium's CA", cmd_cert},
    {"roster", "build, check and show the roster", cmd_roster},
    {"party", "run a party's daemon", cmd_party},
    {"dealer", "run the dealer's daemon", cmd_dealer},
    {"model", "check a network, share it among the parties", cmd_model},
    {"infer", "evaluate a shared network on images", cmd_infer},
    {"contribute", "share a part of another site's inputs", cmd_contribute},
    {"audit", "what was run, proved to others", cmd_audit},
    {"doctor", "say why a peer cannot be reached", cmd_doctor},
    {"simulate", "a whole consortium on this machine, measured", cmd_simulate},
    {"demo", "the same, shown", cmd_demo},
    {"bench", "what it costs on this machine, and how far that is from the limit", cmd_bench},
    {NULL, NULL, NULL},
};

/* ---- Messages ---- */

static void print_json_error(struct csl_cli *cli, enum csl_err err, const char *sentence) {
    json_t *doc = json_pack("{s:{s:s, s:i, s:s}}", "error", "code", csl_err_name(err), "exit",
                            csl_err_exit_code(err), "message", sentence);
    if (csl_cli_print_json(cli, doc) != CSL_OK) {
        (void)fprintf(stderr, "consilium %s: out of memory\n", cli->command);
    }
}

static void vprint_error(struct csl_cli *cli, enum csl_err err, const char *fmt, va_list ap) {
    char sentence[sizeof cli->diag.text];
    (void)vsnprintf(sentence, sizeof sentence, fmt, ap);
    (void)fprintf(stderr, "consilium%s%s: %s\n", cli->command[0] == 0 ? "" : " ", cli->command, sentence);
    if (cli->json) {
        print_json_error(cli, err, sentence);
    }
}

void csl_cli_error(struct csl_cli *cli, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)fprintf(stderr, "consilium%s%s: ", cli->command[0] == 0 ? "" : " ", cli->command);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
}

int csl_cli_usage(struct csl_cli *cli, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vprint_error(cli, CSL_EUSAGE, fmt, ap);
    va_end(ap);
    (void)fprintf(stderr, "Try: consilium help%s%s\n", cli->command[0] == 0 ? "" : " ", cli->command);
    return csl_err_exit_code(CSL_EUSAGE);
}

static void print_error(struct csl_cli *cli, enum csl_err err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vprint_error(cli, err, fmt, ap);
    va_end(ap);
}

int csl_cli_finish(struct csl_cli *cli, enum csl_err err) {
    if (err != CSL_OK) {
        print_error(cli, err, "%s", cli->diag.text[0] != 0 ? cli->diag.text : csl_err_text(err));
    }
    return csl_err_exit_code(err);
}

enum csl_err csl_cli_print_json(struct csl_cli *cli, json_t *doc) {
    if (doc == NULL) {
        return csl_fail(&cli->diag, CSL_ENOMEM, "the JSON document cannot be made: out of memory");
    }
    int rc = json_dumpf(doc, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(doc);
    return rc == 0 ? CSL_OK : csl_fail(&cli->diag, CSL_EIO, "the JSON document cannot be written");
}

int csl_cli_finish_document(struct csl_cli *cli, enum csl_err err, json_t *doc,
                            void (*print)(const json_t *)) {
    if (err == CSL_OK && cli->json) {
        err = csl_cli_print_json(cli, json_incref(doc));
    } else if (err == CSL_OK) {
        print(doc);
    }
    json_decref(doc);
    return csl_cli_finish(cli, err);
}

/* ---- Dispatch ---- */

enum { MAX_COMMANDS = 32 };

static size_t list_names(const char *names[MAX_COMMANDS], const struct csl_command *table) {
    size_t n = 0;
    while (n < MAX_COMMANDS && table[n].name != NULL) {
        names[n] = table[n].name;
        n++;
    }
    return n;
}

static const struct csl_command *find(const struct csl_command *table, const char *name) {
    for (; table->name != NULL; table++) {
        if (strcmp(table->name, name) == 0) {
            return table;
        }
    }
    return NULL;
}

static void print_table(const struct csl_command *table) {
    for (; table->name != NULL; table++) {
        (void)printf("  %-10s %s\n", table->name, table->help);
    }
}

static int run(struct csl_cli *cli, const struct csl_command *table, int argc, char **argv) {
    const struct csl_command *c = find(table, argv[0]);
    if (c == NULL) {
        const char *names[MAX_COMMANDS];
        const char *close = csl_closest(argv[0], names, list_names(names, table));
        return csl_cli_usage(cli, "unknown command \"%.40s\"%s%s%s", argv[0],
                             close == NULL ? "" : "; did you mean ", close == NULL ? "" : close,
                             close == NULL ? "" : "?");
    }
    size_t n = strlen(cli->command);
    (void)snprintf(cli->command + n, sizeof cli->command - n, "%s%s", n == 0 ? "" : " ", c->name);
    return c->run(cli, argc, argv);
}

static bool is_help(const char *arg) {
    return strcmp(arg, "help") == 0 || strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

int csl_cli_dispatch(struct csl_cli *cli, const char *group, const struct csl_command *table, int argc,
                     char **argv) {
    if (argc >= 2 && !is_help(argv[1])) {
        return run(cli, table, argc - 1, argv + 1);
    }
    if (argc >= 3) { /* help for one of the group */
        char help[] = "--help";
        char *args[] = {argv[2], help, NULL};
        return run(cli, table, 2, args);
    }
    (void)printf("Usage: consilium %s COMMAND [OPTIONS]\n\n", group);
    print_table(table);
    (void)printf("\nconsilium help %s COMMAND shows one of them.\n", group);
    return argc >= 2 ? 0 : csl_err_exit_code(CSL_EUSAGE);
}

/* ---- Top level ---- */

/* Every exit code once, with what it means. */
static void print_exit_codes(void) {
    static const char *const texts[] = {
#define TEXT(name, exit_code, text) [name] = text,
        CSL_ERR_LIST(TEXT)
#undef TEXT
    };
    int last = -1;
    (void)printf("\nExit codes:");
    for (unsigned e = 0; e < CSL_ERR_COUNT; e++) {
        int code = csl_err_exit_code((enum csl_err)e);
        (void)(code == last ? printf("; %s", texts[e]) : printf("\n  %2d  %s", code, texts[e]));
        last = code;
    }
    (void)putchar('\n');
}

static int print_help(void) {
    (void)printf("consilium %s: neural networks evaluated among parties that show each other nothing.\n\n"
                 "Usage: consilium COMMAND [OPTIONS]\n"
                 "       consilium help [COMMAND...]\n"
                 "       consilium --version\n\n",
                 CSL_VERSION);
    print_table(commands);
    print_exit_codes();
    return 0;
}

/* `help a b` is `a b --help`, whether or not a is a group. */
static int help(struct csl_cli *cli, int argc, char **argv) {
    enum { MAX_ARGS = 4 };
    char flag[] = "--help";
    char *args[MAX_ARGS + 2] = {NULL};
    int n = 0;
    while (n < argc && n < MAX_ARGS) {
        args[n] = argv[n];
        n++;
    }
    if (n == 0) {
        return print_help();
    }
    args[n++] = flag;
    return run(cli, commands, n, args);
}

static int start(struct csl_cli *cli, int argc, char **argv) {
    if (argc < 2) {
        (void)print_help();
        return csl_err_exit_code(CSL_EUSAGE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("consilium %s\n", CSL_VERSION);
        return 0;
    }
    if (is_help(argv[1])) {
        return help(cli, argc - 2, argv + 2);
    }
    return run(cli, commands, argc - 1, argv + 1);
}

/* Batches take and free the same large blocks again and again: what is freed stays with the process, since
 * getting it anew costs a page fault each 4 KiB. */
static void keep_memory(void) {
    enum { MIB = 1 << 20 };
    (void)mallopt(M_MMAP_THRESHOLD, 16 * MIB);
    (void)mallopt(M_TRIM_THRESHOLD, 64 * MIB);
    (void)mallopt(M_TOP_PAD, MIB);
}

int main(int argc, char **argv) {
    struct csl_cli cli = {.command = ""};
    keep_memory();
    int code = start(&cli, argc, argv);
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout) != 0) && code == 0) {
        csl_cli_error(&cli, "the output cannot be written");
        code = csl_err_exit_code(CSL_EIO);
    }
    return code;
}
