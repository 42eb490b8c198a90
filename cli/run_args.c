#include "cli/run_args.h"

#include <stdio.h>

void csl_run_args_add(struct csl_run_args *a, const char *word) {
    if (a->n + 1 < CSL_RUN_ARGS_MAX) {
        a->at[a->n++] = word;
        a->at[a->n] = NULL;
    }
}

void csl_run_args_option(struct csl_run_args *a, const char *name, const char *value) {
    if (value != NULL) {
        csl_run_args_add(a, name);
        csl_run_args_add(a, value);
    }
}

void csl_run_args_number(struct csl_run_args *a, const char *name, uint64_t value) {
    if (value != 0 && a->n_numbers < CSL_RUN_NUMBERS_MAX) {
        char *text = a->numbers[a->n_numbers++];
        (void)snprintf(text, CSL_RUN_NUMBER_TEXT, "%llu", (unsigned long long)value);
        csl_run_args_option(a, name, text);
    }
}
