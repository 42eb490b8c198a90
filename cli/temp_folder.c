#include "cli/temp_folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum csl_err csl_temp_folder(char *out, size_t cap, const char *place, struct csl_diag *diag) {
    const char *tmp = getenv("TMPDIR");
    const char *in = place != NULL ? place : tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
    int n = snprintf(out, cap, "%s/consilium-XXXXXX", in); /* mkdtemp's template */
    if (n < 0 || (size_t)n >= cap) {
        return csl_fail(diag, CSL_ECREATE, "%s: the path is too long for a temporary folder; set TMPDIR", in);
    }
    return mkdtemp(out) != NULL
               ? CSL_OK
               : csl_fail(diag, CSL_ECREATE, "%s: %s; set TMPDIR to a folder that can be written", in,
                          strerror(errno));
}
