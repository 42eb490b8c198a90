/* A command line under construction, for running this program's own subcommands in a federation. */
#ifndef CSL_CLI_RUN_ARGS_H
#define CSL_CLI_RUN_ARGS_H

#include <stddef.h>
#include <stdint.h>

enum { CSL_RUN_ARGS_MAX = 60, CSL_RUN_NUMBERS_MAX = 6, CSL_RUN_NUMBER_TEXT = 24 };

struct csl_run_args { /* starts zeroed; words are borrowed */
    const char *at[CSL_RUN_ARGS_MAX];
    size_t n;
    char numbers[CSL_RUN_NUMBERS_MAX][CSL_RUN_NUMBER_TEXT];
    size_t n_numbers;
};

void csl_run_args_add(struct csl_run_args *a, const char *word);
/* Nothing for a NULL value, or for the number 0. */
void csl_run_args_option(struct csl_run_args *a, const char *name, const char *value);
void csl_run_args_number(struct csl_run_args *a, const char *name, uint64_t value);

#endif
