/* A small declarative option parser over getopt_long. One table a command yields both the parsing and
 * the help text, so that they cannot differ. */
#ifndef CSL_CLI_ARGS_H
#define CSL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csl_cli;

enum { CSL_LIST_MAX = 512 };
struct csl_list { /* a repeated option, or the positional arguments; borrowed from argv */
    const char *items[CSL_LIST_MAX];
    size_t n;
};

enum csl_opt_type {
    CSL_OPT_END = 0,
    CSL_OPT_FLAG,   /* bool */
    CSL_OPT_STRING, /* const char *, borrowed from argv; NULL when not given */
    CSL_OPT_UINT,   /* uint64_t in min..max; the struct's initial value is the default */
    CSL_OPT_LIST    /* struct csl_list, repeatable */
};

struct csl_opt {
    enum csl_opt_type type;
    const char *name; /* long name, without -- */
    const char *meta; /* "DIR" in the help; NULL for flags */
    const char *help; /* one line */
    size_t offset;    /* offsetof(struct, member) */
    bool required;
    uint64_t min, max; /* CSL_OPT_UINT */
};

/* Rows of a table. S is the command's options struct, m its member. */
#define CSL_FLAG(S, m, name_, help_)                                                                         \
    { .type = CSL_OPT_FLAG, .name = (name_), .help = (help_), .offset = offsetof(S, m) }
#define CSL_STRING(S, m, name_, meta_, required_, help_)                                                     \
    {                                                                                                        \
        .type = CSL_OPT_STRING, .name = (name_), .meta = (meta_), .help = (help_), .offset = offsetof(S, m), \
        .required = (required_)                                                                              \
    }
#define CSL_UINT(S, m, name_, meta_, min_, max_, help_)                                                      \
    {                                                                                                        \
        .type = CSL_OPT_UINT, .name = (name_), .meta = (meta_), .help = (help_), .offset = offsetof(S, m),   \
        .min = (min_), .max = (max_)                                                                         \
    }
#define CSL_LIST(S, m, name_, meta_, required_, help_)                                                       \
    {                                                                                                        \
        .type = CSL_OPT_LIST, .name = (name_), .meta = (meta_), .help = (help_), .offset = offsetof(S, m),   \
        .required = (required_)                                                                              \
    }
/* the last row */
#define CSL_OPTS_END                                                                                         \
    { .type = CSL_OPT_END }

struct csl_spec {
    const char *name;           /* "cert sign" */
    const char *synopsis;       /* "--ca DIR --in REQUEST --out CERT [--days N]" */
    const char *text;           /* a few lines: what it does, what it prints, what to do next */
    const struct csl_opt *opts; /* ends with CSL_OPTS_END; --help and --json need no row */
    bool has_json;              /* --json is allowed and sets cli->json */
    size_t pos_min, pos_max;    /* how many positional arguments */
    const char *pos_meta;       /* "FILE", for the errors */
};

/* Parses argv[1..] into the options struct and the positional arguments (positional may be NULL when
 * pos_max is 0). Returns true to go on. Otherwise *exit_code is what the command returns: 0 after --help,
 * 64 after an error, which it has printed. An option that is given twice is an error, unless it is a list. */
bool csl_args_parse(struct csl_cli *cli, const struct csl_spec *spec, void *options,
                    struct csl_list *positional, int argc, char **argv, int *exit_code);

/* The candidate that is closest to word (edit distance at most 2, or word is its start), or NULL. */
const char *csl_closest(const char *word, const char *const *candidates, size_t n);

#endif
