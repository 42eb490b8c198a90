/* Archives as commands open them: model restore, and model run, which leaves nothing on the disk. */
#ifndef CSL_CLI_MODEL_ARCHIVE_H
#define CSL_CLI_MODEL_ARCHIVE_H

#include "cli/model/options.h"
#include "roles/package/archive.h"

/* key_dir: with the recipient's wrap.key. roster_path: NULL, or by which the signer is verified. */
CSL_MUST_CHECK enum csl_err csl_archive_load(struct csl_archive *a, const char *path, const char *key_dir,
                                             const char *roster_path, struct csl_diag *diag);

/* How an archive's network is read, from its options. interval: "" for none. */
struct csl_archive_reading {
    char normalize[32], interval[128];
    unsigned frac_bits;
};
CSL_MUST_CHECK enum csl_err csl_archive_reading(struct csl_archive_reading *out, const struct csl_archive *a,
                                                struct csl_diag *diag);

#endif
