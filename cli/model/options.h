/* What the commands of `consilium model` have in common: their options, and the model that these name. */
#ifndef CSL_CLI_MODEL_OPTIONS_H
#define CSL_CLI_MODEL_OPTIONS_H

#include "cli/images.h"
#include "cli/model/file.h"
#include "roles/daemon/logbook.h"

/* One for the group; each command uses some of it. */
struct csl_model_opts {
    const char *normalize, *interval, *npy, *labels, *reveal, *sign, *profile;
    const char *site, *roster, *name, *out, *sealed, *to, *key, *successor;
    struct csl_list images;
    uint64_t parties, batch, frac_bits, count, days, check_rows;
    bool sample_ranges;
};

/* How a network is read; normalize is required where nothing else can say it. */
#define CSL_MODEL_NORMALIZE(required)                                                                        \
    CSL_STRING(struct csl_model_opts, normalize, "normalize", "HOW", required,                               \
               "raw (0..255), unit (/255), centered, mnist, or none with --interval"),                       \
        CSL_STRING(struct csl_model_opts, interval, "interval", "LO:HI", false,                              \
                   "range of the inputs, with none")
#define CSL_MODEL_FRAC_BITS                                                                                  \
    CSL_UINT(struct csl_model_opts, frac_bits, "frac-bits", "N", 4, 20, "fractional bits; default 16")
#define CSL_MODEL_OPTIONS(required)                                                                          \
    CSL_MODEL_NORMALIZE(required), CSL_MODEL_FRAC_BITS,                                                      \
        CSL_LIST(struct csl_model_opts, images, "images", "FILE", false, "sample inputs"),                   \
        CSL_OPT_NPY(struct csl_model_opts), CSL_OPT_COUNT(struct csl_model_opts),                            \
        CSL_FLAG(struct csl_model_opts, sample_ranges, "sample-ranges",                                      \
                 "narrow the ranges by the samples, with 2 bits of margin: an assumption")

/* The model, as the options say. */
struct csl_model {
    struct csl_network *net; /* NULL: cannot be lowered */
    struct csl_issues issues;
    struct csl_images images; /* raw */
    struct csl_labels labels;
    struct csl_model_choice choice;
};
/* The network itself may be one that cannot run: then net is NULL and issues say why. */
CSL_MUST_CHECK enum csl_err csl_model_load(struct csl_model *m, const char *path,
                                           const struct csl_model_opts *o, struct csl_diag *diag);
/* Sample inputs and labels alone. */
CSL_MUST_CHECK enum csl_err csl_model_load_samples(struct csl_model *m, const struct csl_model_opts *o,
                                                   struct csl_diag *diag);
void csl_model_clear(struct csl_model *m); /* may be zero */

/* A site with its ledger open, for commands that write into it. Clear it where it stands: it must not be
 * moved. */
struct csl_model_site {
    struct csl_context ctx;
    struct csl_logbook book;
};
CSL_MUST_CHECK enum csl_err csl_model_site_open(struct csl_model_site *s, const struct csl_model_opts *o,
                                                struct csl_diag *diag);
void csl_model_site_close(struct csl_model_site *s); /* may be zero */

int csl_model_check(struct csl_cli *cli, int argc, char **argv);
int csl_model_seal(struct csl_cli *cli, int argc, char **argv);
int csl_model_share(struct csl_cli *cli, int argc, char **argv);
int csl_model_install(struct csl_cli *cli, int argc, char **argv);
int csl_model_push(struct csl_cli *cli, int argc, char **argv);
int csl_model_pull(struct csl_cli *cli, int argc, char **argv);
int csl_model_reseal(struct csl_cli *cli, int argc, char **argv);
int csl_model_archive(struct csl_cli *cli, int argc, char **argv);
int csl_model_restore(struct csl_cli *cli, int argc, char **argv);
int csl_model_run(struct csl_cli *cli, int argc, char **argv);

#endif
