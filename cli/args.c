#include "cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"

enum { MAX_OPTS = 48, HELP_ID = 1000, JSON_ID = 1001 };

/* ---- The closest word ---- */

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance of words up to 31 bytes; longer ones are far from everything. */
static size_t distance(const char *a, const char *b) {
    enum { MAX = 32 };
    size_t row[MAX], na = strlen(a), nb = strlen(b);
    if (na >= MAX || nb >= MAX) {
        return MAX;
    }
    for (size_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[nb];
}

const char *csl_closest(const char *word, const char *const *candidates, size_t n) {
    const char *best = NULL;
    size_t best_distance = 3;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidates[i]);
        size_t length = strlen(word);
        bool is_start = length > 0 && strncmp(candidates[i], word, length) == 0;
        d = is_start ? 1 : d;
        if (d < best_distance && d < strlen(candidates[i])) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}

/* ---- Help ---- */

static void print_option(const char *name, const char *meta, const char *help, const char *note) {
    char left[64];
    (void)snprintf(left, sizeof left, "--%s%s%s", name, meta == NULL ? "" : " ", meta == NULL ? "" : meta);
    (void)printf("  %-24s %s%s\n", left, help, note);
}

static void print_spec(const struct csl_spec *spec) {
    (void)printf("Usage: consilium %s %s\n\n%s\n\nOptions:\n", spec->name, spec->synopsis, spec->text);
    for (const struct csl_opt *o = spec->opts; o->type != CSL_OPT_END; o++) {
        print_option(o->name, o->meta, o->help,
                     o->required               ? " (required)"
                     : o->type == CSL_OPT_LIST ? " (repeatable)"
                                               : "");
    }
    if (spec->has_json) {
        print_option("json", NULL, "print one JSON document", "");
    }
    print_option("help", NULL, "show this", "");
}

/* ---- Parsing ---- */

struct parse {
    struct csl_cli *cli;
    const struct csl_spec *spec;
    char *options;
    size_t n_opts;
    bool given[MAX_OPTS];
};

static int bad_unknown(const struct parse *p, const char *arg) {
    const char *names[MAX_OPTS + 2];
    size_t n = 0;
    for (; n < p->n_opts; n++) {
        names[n] = p->spec->opts[n].name;
    }
    names[n++] = "help";
    if (p->spec->has_json) {
        names[n++] = "json";
    }
    char word[40];
    (void)snprintf(word, sizeof word, "%s", arg + strspn(arg, "-"));
    word[strcspn(word, "=")] = 0;
    const char *close = csl_closest(word, names, n);
    return csl_cli_usage(p->cli, "unknown option %.60s%s%s%s", arg, close == NULL ? "" : "; did you mean --",
                         close == NULL ? "" : close, close == NULL ? "" : "?");
}

static int take_uint(const struct parse *p, const struct csl_opt *o, const char *text) {
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    bool ok = text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && v >= o->min && v <= o->max;
    if (!ok) {
        return csl_cli_usage(p->cli, "--%s %.40s: not a number from %llu to %llu", o->name, text,
                             (unsigned long long)o->min, (unsigned long long)o->max);
    }
    *(uint64_t *)(void *)(p->options + o->offset) = v;
    return 0;
}

static int take_item(const struct parse *p, struct csl_list *list, const char *what, const char *text) {
    if (list->n == CSL_LIST_MAX) {
        return csl_cli_usage(p->cli, "%s is there more than %d times", what, CSL_LIST_MAX);
    }
    list->items[list->n++] = text;
    return 0;
}

static int take_option(struct parse *p, size_t i, const char *text) {
    const struct csl_opt *o = &p->spec->opts[i];
    if (p->given[i] && o->type != CSL_OPT_LIST) {
        return csl_cli_usage(p->cli, "--%s is there twice", o->name);
    }
    p->given[i] = true;
    void *member = p->options + o->offset;
    switch (o->type) {
    case CSL_OPT_FLAG:
        *(bool *)member = true;
        return 0;
    case CSL_OPT_STRING:
        *(const char **)member = text;
        return 0;
    case CSL_OPT_UINT:
        return take_uint(p, o, text);
    case CSL_OPT_LIST:
        return take_item(p, member, o->name, text);
    default:
        return 0;
    }
}

static size_t long_options(struct option out[MAX_OPTS + 3], const struct csl_spec *spec) {
    size_t n = 0;
    for (; n < MAX_OPTS && spec->opts[n].type != CSL_OPT_END; n++) {
        int has_arg = spec->opts[n].type == CSL_OPT_FLAG ? no_argument : required_argument;
        out[n] = (struct option){spec->opts[n].name, has_arg, NULL, (int)n};
    }
    size_t all = n;
    out[all++] = (struct option){"help", no_argument, NULL, HELP_ID};
    if (spec->has_json) {
        out[all++] = (struct option){"json", no_argument, NULL, JSON_ID};
    }
    out[all] = (struct option){NULL, 0, NULL, 0};
    return n;
}

/* Errors are wanted as JSON also when they come before --json. */
static bool wants_json(const struct csl_spec *spec, int argc, char **argv) {
    for (int i = 1; spec->has_json && i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

static int check_given(const struct parse *p, const struct csl_list *positional) {
    for (size_t i = 0; i < p->n_opts; i++) {
        if (p->spec->opts[i].required && !p->given[i]) {
            return csl_cli_usage(p->cli, "--%s %s is missing", p->spec->opts[i].name,
                                 p->spec->opts[i].meta == NULL ? "" : p->spec->opts[i].meta);
        }
    }
    size_t n = positional == NULL ? 0 : positional->n;
    if (n < p->spec->pos_min) {
        return csl_cli_usage(p->cli, "%s is missing", p->spec->pos_meta);
    }
    return 0;
}

static int take_positionals(const struct parse *p, struct csl_list *positional, int argc, char **argv) {
    for (int i = optind; i < argc; i++) {
        if (positional == NULL || positional->n == p->spec->pos_max) {
            return csl_cli_usage(p->cli, "unexpected argument \"%.60s\"", argv[i]);
        }
        int code = take_item(p, positional, "the argument", argv[i]);
        if (code != 0) {
            return code;
        }
    }
    return check_given(p, positional);
}

/* Returns -1 to go on, or the exit code. */
static int take_options(struct parse *p, int argc, char **argv) {
    struct option table[MAX_OPTS + 3];
    p->n_opts = long_options(table, p->spec);
    opterr = 0;
    optind = 0; /* GNU: starts anew */
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int id = getopt_long(argc, argv, ":h", table, NULL);
        if (id == -1) {
            return -1;
        }
        if (id == HELP_ID || id == 'h') {
            print_spec(p->spec);
            return 0;
        }
        if (id == ':') {
            return csl_cli_usage(p->cli, "%.60s needs a value", argv[optind - 1]);
        }
        if (id == '?') {
            const char *arg = optind > at ? argv[optind - 1] : argv[at];
            return bad_unknown(p, arg);
        }
        int code = id == JSON_ID ? 0 : take_option(p, (size_t)id, optarg);
        if (code != 0) {
            return code;
        }
    }
}

bool csl_args_parse(struct csl_cli *cli, const struct csl_spec *spec, void *options,
                    struct csl_list *positional, int argc, char **argv, int *exit_code) {
    struct parse p = {.cli = cli, .spec = spec, .options = options};
    if (positional != NULL) {
        positional->n = 0;
    }
    cli->json = wants_json(spec, argc, argv);
    int code = take_options(&p, argc, argv);
    if (code < 0) {
        code = take_positionals(&p, positional, argc, argv);
        code = code == 0 ? -1 : code;
    }
    *exit_code = code < 0 ? 0 : code;
    return code < 0;
}
