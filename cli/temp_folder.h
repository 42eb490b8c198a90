/* Folders that live as long as a command. */
#ifndef CSL_CLI_TEMP_FOLDER_H
#define CSL_CLI_TEMP_FOLDER_H

#include "crypto/err.h"

#include <stddef.h>

/* A new folder of this user alone in `place` (NULL: TMPDIR, or /tmp), its path into out (cap bytes). The
 * caller removes it. CSL_ECREATE names the place, also when its path is too long. */
CSL_MUST_CHECK enum csl_err csl_temp_folder(char *out, size_t cap, const char *place, struct csl_diag *diag);

#endif
