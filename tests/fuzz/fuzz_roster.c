/* The roster: any bytes give an error or a roster that survives writing and reading with the same digest. */
#include <stdlib.h>
#include <string.h>

#include "net/roster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct csl_roster r, again;
    struct csl_diag diag = {""};
    if (csl_roster_parse(&r, data, size, "fuzz.yaml", &diag) != CSL_OK) {
        if (diag.text[0] == 0 || r.members != NULL) {
            abort(); /* silent, or something left behind */
        }
        return 0;
    }
    char *text = NULL;
    uint8_t d[32], e[32];
    if (csl_roster_digest(d, &r) != CSL_OK || csl_roster_write(&text, &r, &diag) != CSL_OK ||
        csl_roster_parse(&again, text, strlen(text), "again.yaml", &diag) != CSL_OK ||
        csl_roster_digest(e, &again) != CSL_OK || memcmp(d, e, sizeof d) != 0) {
        abort();
    }
    csl_roster_free(&again);
    csl_roster_free(&r);
    free(text);
    return 0;
}
